"""What cameras on a path see of a scene: videos of colour, depth and opacity, and their frames."""

import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import avg_pool2d, max_pool2d

from unflat.data.kinds import Scene
from unflat.data.viewpoints import Viewpoints, spread_over
from unflat.geometry.cameras import Cameras
from unflat.method import Method, Prediction, predict_in_pieces
from unflat.outputs.files import safe_names, write_npy, write_text
from unflat.outputs.images import array_of, colour_depth, save_depth_png16, save_png, to_rgb
from unflat.outputs.progress import told
from unflat.outputs.video import write_video

SHOWN = ("rgb", "depth", "opacity")
"""fields of a prediction that become a video each"""
LOOKED_AT, SMALL = 24, 48
"""frames, and pixels of their longer side, that the colours of depth are settled with"""
LEFT_OUT = (0.01, 0.03)
"""shares of the depths that lie nearer and further than the colours reach"""
DEPTH_FILES = "depth_maps"
SAMPLES = 2
"""rays a side of a pixel: with one, edges are stairs"""
MOST = 8
"""of them"""

DepthFiles = Literal["none", "npy", "png16"]


class Limits(NamedTuple):
    """Depths of the lightest and the darkest colour, in the scene's unit."""

    near: float
    far: float


def scene_of(method: Method) -> Scene:
    """The scene that a method has learned. ValueError if it has learned none."""
    if method.extent.scene is None:
        raise ValueError(
            f"{type(method).__name__} has not learned a scene from a capture, but photos of a kind of object: there is "
            "no place for a camera to go (unflat predict makes meshes and videos of photos)"
        )
    return method.extent.scene


def write_walk(
    method: Method,
    path: Viewpoints,
    out: Path | str,
    *,
    fps: float = 30.0,
    frames: bool = True,
    depth: DepthFiles = "none",
    samples: int = SAMPLES,
    progress: bool = True,
) -> list[Path]:
    """Write what the cameras of `path` see, which are of one size, in their order: `out`/rgb.mp4 and, where the method
    gives them, depth.mp4 (in colours that mean the same in all frames) and opacity.mp4.

    With `frames`, also every frame as PNG in folders of these names; with `depth` every depth map, along z in the unit
    of the capture's own files and NaN where nothing is, as .npy or as PNG of 16 bits with its range in its text fields.
    A pixel is the mean of `samples` squared rays; its depth is the nearest of them, since a mean lies on no surface.
    `out`/camera_path.json holds the cameras, to be rendered again, and what the colours of depth mean. Returns all
    paths, the videos first.
    """
    scene, out = scene_of(method), Path(out)
    if not fps > 0:
        raise ValueError(f"fps is {fps}; give the frames of a second, more than 0")
    limits = depth_range(method, path)
    names = safe_names(path.names)
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with tempfile.TemporaryDirectory(dir=out, prefix=".part-") as draft:
        folder = out if frames else Path(draft)
        shown: dict[str, list[Path]] = {}
        for i in told(range(len(path)), len(path), "frames", progress):
            prediction = smoothly(method, path.cameras(i), samples)
            for what, picture in _pictures(prediction, limits).items():
                shown.setdefault(what, []).append(save_png(folder / what / f"{names[i]}.png", picture))
            if prediction.depth is not None and depth != "none":
                depths = array_of(prediction.depth[0]) * np.float32(scene.world_scale)
                written.append(_save_depth(out / DEPTH_FILES / names[i], depths, depth))
        videos = [write_video(out / f"{what}.mp4", _read(files), fps) for what, files in shown.items()]
    said = write_text(out / "camera_path.json", json.dumps(_cameras(path, scene, fps, limits), indent=1))
    kept = [file for files in shown.values() for file in files] if frames else []
    return [*videos, said, *kept, *written]


def smoothly(method: Method, cameras: Cameras, samples: int = SAMPLES) -> Prediction:
    """Colour, opacity and depth that cameras see, each pixel from `samples` squared rays. Depth is the nearest of them,
    NaN where opacity is under 0.5."""
    if not 1 <= samples <= MOST:
        raise ValueError(f"samples is {samples}; give 1 to {MOST} rays a side of a pixel")
    if samples == 1:
        return predict_in_pieces(method, cameras)
    p = cameras.pinhole
    fine = Cameras(p.resized(p.width * samples, p.height * samples), cameras.camera_from_world)
    seen = predict_in_pieces(method, fine)
    rgb, opacity, depth = seen.rgb, seen.opacity, seen.depth
    if rgb is not None:
        rgb = avg_pool2d(rgb.movedim(-1, 1), samples).movedim(1, -1)
    if opacity is not None:
        opacity = avg_pool2d(opacity[:, None], samples)[:, 0]
    if depth is not None:
        nearest = -max_pool2d(-depth.nan_to_num(torch.inf)[:, None], samples)[:, 0]
        there = nearest.isfinite() if opacity is None else opacity >= 0.5
        depth = nearest.where(there & nearest.isfinite(), torch.nan)
    return Prediction(rgb=rgb, opacity=opacity, depth=depth)


def depth_range(method: Method, path: Viewpoints) -> Limits | None:
    """Between which depths most of what a path sees lies, from small pictures; None if it sees no depth."""
    found: list[np.ndarray] = []
    for i in spread_over(len(path), LOOKED_AT):
        small = path.pinholes[i].within(SMALL)
        seen = predict_in_pieces(method, Viewpoints([small], path.scene_from_camera[i : i + 1], ("",)).cameras(0))
        if seen.depth is not None:
            found.append(array_of(seen.depth).ravel())
    depths = np.concatenate([np.zeros(0), *found])
    depths = depths[np.isfinite(depths)]
    if not len(depths):
        return None
    near, far = np.quantile(depths, (LEFT_OUT[0], 1 - LEFT_OUT[1])).tolist()
    return Limits(near, max(far, near + 1e-6))


def _pictures(prediction: Prediction, limits: Limits | None) -> dict[str, np.ndarray]:
    """What is shown of one frame, by name: uint8 [h, w, 3]."""
    found: dict[str, np.ndarray] = {}
    for name in SHOWN:
        value = getattr(prediction, name)
        if value is not None and name == "depth":
            found[name] = colour_depth(value[0], *(limits or (0.0, 1.0)))
        elif value is not None:
            found[name] = to_rgb(value[0])
    return found


def _save_depth(path: Path, depth: np.ndarray, form: DepthFiles) -> Path:
    if form == "png16":
        return save_depth_png16(path.with_name(f"{path.name}.png"), depth)
    return write_npy(path.with_name(f"{path.name}.npy"), depth.astype(np.float32))


def _read(files: Sequence[Path]) -> Iterator[np.ndarray]:
    for file in files:
        with Image.open(file) as picture:
            yield np.asarray(picture)


def _cameras(path: Viewpoints, scene: Scene, fps: float, limits: Limits | None) -> dict[str, object]:
    """The path in the world of the capture's own files, in nerfstudio's form, so that it can be given as a path again:
    axes are OpenGL's, and the field of view is counted from top to bottom in degrees."""
    poses = scene.world_from_scene.place(path.scene_from_camera) @ np.diag([1.0, -1.0, -1.0, 1.0])
    first = path.pinholes[0]
    cameras = [
        {
            "name": name,
            "camera_to_world": pose.ravel().tolist(),
            "fov": math.degrees(2 * math.atan(p.height / 2 / p.fy)),
            "aspect": p.width / p.height,
        }
        for name, pose, p in zip(path.names, poses, path.pinholes, strict=True)
    ]
    said: dict[str, object] = {"render_width": first.width, "render_height": first.height, "fps": fps}
    if limits is not None:
        near, far = (value * scene.world_scale for value in limits)
        said["depth_colours"] = {"near": near, "far": far}
    return {**said, "camera_path": cameras}
