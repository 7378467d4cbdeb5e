"""Videos: MP4 (or animated WebP where PyAV is absent), the turntable, and the sweep of a light.

Frames are uint8 [h, w, 3]. Poses and lights are the house's: OpenCV frames, directions towards the light.
"""

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh, vertex_normals
from unflat.geometry.rotations import Rigid, euler_from_rotation, rotation_from_euler
from unflat.outputs.files import whole
from unflat.outputs.images import to_uint8
from unflat.rendering.mesh import GREY, interpolate, rasterise, sample_texture

FPS = 25.0
SUPERSAMPLE = 2
CRF = "18"
"""x264's quality: visually lossless"""

TILT = math.radians(9)
"""pitch of the turntable: seen slightly from above"""
MOVE, QUARTER, HOLD = 15, 20, 5
"""frames from the photo's view to the front, for a sweep to one side, and of a hold"""
ROOM = 0.8
"""share of the frame that the object's width or height takes"""

SHAPE_LIGHT = (-0.4, -0.6, -1.0)
"""towards the light of the grey shape, in the camera's frame: from above left"""
SHAPE_AMBIENT, SHAPE_DIFFUSE = 0.15, 0.7

GRID_X, GRID_Y = (-1.5, -0.7, 0.0, 0.7, 1.5), (0.0, 0.6)
"""the lights of the relighting grid: to the right and upwards, against 1 towards the camera"""


def write_video(path: Path, frames: Iterable[np.ndarray], fps: float = FPS) -> Path:
    """Write an H.264 MP4 that browsers play; the path that was written comes back.

    Odd sides grow by one repeated pixel. Without PyAV (or x264 in it) an animated WebP of the same name is written.
    Raises ValueError if there are no frames or if they differ in size.
    """
    encoder = _encoder()
    path = path.with_suffix(".mp4" if encoder else ".webp")
    with whole(path) as part:
        if encoder:
            _write_mp4(encoder, part, _alike(frames), fps)
        else:
            _write_webp(part, _alike(frames), fps)
    return path


def _encoder() -> Any:
    """The module `av` if it is installed and can encode H.264."""
    try:
        import av
    except ImportError:
        return None
    return av if "libx264" in av.codecs_available else None


def _alike(frames: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Frames of one even size."""
    size = None
    for number, frame in enumerate(frames):
        size = size or frame.shape
        if frame.ndim != 3 or frame.shape != size or frame.dtype != np.uint8:
            raise ValueError(
                f"frame {number} is {frame.dtype} {list(frame.shape)}; all frames must be uint8 [h, w, 3] of one size, "
                f"here {list(size)}"
            )
        yield np.pad(frame, ((0, frame.shape[0] % 2), (0, frame.shape[1] % 2), (0, 0)), mode="edge")
    if size is None:
        raise ValueError("a video needs at least one frame")


def _write_mp4(av: Any, path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    first = next(frames)
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": CRF, "preset": "medium"}
        for frame in chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def _write_webp(path: Path, frames: Iterator[np.ndarray], fps: float) -> None:
    first, *others = [Image.fromarray(frame) for frame in frames]
    first.save(path, format="WEBP", save_all=True, append_images=others, duration=round(1000 / fps), loop=0, quality=90)


class Path3D(NamedTuple):
    """Poses of an object, and the order in which a video shows them: a turntable passes each pose twice."""

    poses: Rigid
    """camera_from_object, [p]"""
    order: list[int]


def turntable(camera_from_object: Rigid, centre: Float[Tensor, "3"], turn: float = math.pi / 2) -> Path3D:
    """From the given view to the front, tilted a little, to both sides by `turn` (radians), and back.

    The six numbers of a view (turns, then shift, about `centre`) move linearly.
    """
    rotation, translation = camera_from_object.rotation.double(), camera_from_object.translation.double()
    middle = centre.double()
    shift = translation - (middle - rotation @ middle)
    seen = torch.cat([euler_from_rotation(rotation), shift])
    front = seen.new_tensor([TILT, 0, 0, 0, 0, 0])
    along = torch.linspace(0, 1, MOVE + 1, dtype=torch.float64)[:MOVE, None]  # the last one is the sweep's middle
    moves = seen + (front - seen) * along
    sweep = front.repeat(2 * QUARTER + 1, 1)
    sweep[:, 1] = torch.linspace(-turn, turn, 2 * QUARTER + 1)
    views = torch.cat([moves, sweep])
    poses = Rigid.about(middle, rotation_from_euler(views[:, :3]), views[:, 3:])
    return Path3D(Rigid(poses.rotation.float(), poses.translation.float()), _there_and_back())


def _there_and_back() -> list[int]:
    left, right = MOVE, MOVE + 2 * QUARTER
    front = MOVE + QUARTER
    there, hold = [*[0] * HOLD, *range(1, MOVE)], [front] * HOLD
    sides = [
        *range(front, right),
        *[right] * HOLD,
        *range(right - 1, left, -1),
        *[left] * HOLD,
        *range(left + 1, front),
    ]
    return [*there, *hold, *sides, *hold, *reversed(there)]


def display_camera(mesh: Mesh, size: int) -> Pinhole:
    """A camera at the frame's origin that shows the mesh's box in the middle of a square picture."""
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    x, y, z = ((low + high) / 2).tolist()
    if z <= 0:
        raise ValueError(f"the object's middle is at depth {z:.3g}: it must stand in front of the camera, at z > 0")
    focal = ROOM * size * z / max((high - low)[:2].max().item(), 1e-12)
    return Pinhole(focal, focal, size / 2 - focal * x / z, size / 2 - focal * y / z, size, size)


def turntable_frames(mesh: Mesh, path: Path3D, camera: Pinhole) -> Iterator[np.ndarray]:
    """The object with its colours, and beside it its grey shape under a light that stays with the camera."""
    shown = [_two_looks(mesh, path.poses[pose], camera) for pose in range(len(path.poses.rotation))]
    return (shown[pose] for pose in path.order)


def _two_looks(mesh: Mesh, camera_from_object: Rigid, camera: Pinhole) -> np.ndarray:
    """Textured and grey side by side, from one rasterisation. uint8 [h, 2 w, 3]"""
    normals = camera_from_object.turn(_normals(mesh))
    light = normalize(normals.new_tensor(SHAPE_LIGHT), dim=0)
    grey = SHAPE_AMBIENT + SHAPE_DIFFUSE * (normals @ light).clamp_min(0)
    colours, grey, opacity = _seen(mesh, camera_from_object, camera, grey[:, None])
    both = torch.cat([colours, grey.expand_as(colours)], 1)
    return to_uint8(both + 1 - torch.cat([opacity, opacity], 1))


def seen_from(mesh: Mesh, camera_from_object: Rigid, camera: Pinhole) -> np.ndarray:
    """The mesh in its colours on white. uint8 [h, w, 3]"""
    colours, _, opacity = _seen(mesh, camera_from_object, camera, mesh.vertices[:, :0])
    return to_uint8(colours + 1 - opacity)


def _normals(mesh: Mesh) -> Float[Tensor, "v 3"]:
    return vertex_normals(mesh.vertices, mesh.triangles) if mesh.normals is None else mesh.normals


def _seen(
    mesh: Mesh, camera_from_object: Rigid, camera: Pinhole, values: Float[Tensor, "v c"]
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w c"], Float[Tensor, "h w 1"]]:
    """The mesh's colours, values given at its vertices, and opacity. Antialiased; 0 where nothing is."""
    fine = camera.resized(camera.width * SUPERSAMPLE, camera.height * SUPERSAMPLE)
    fragments = rasterise(camera_from_object.apply(mesh.vertices)[None], mesh.triangles, fine)
    textured = mesh.texture is not None and mesh.uv is not None
    paint = mesh.uv if textured else mesh.colours
    paint = values.new_full((len(values), 3), GREY) if paint is None else paint
    across = interpolate(fragments, mesh.triangles, torch.cat([values, paint], 1)[None])
    values, paint = across[..., : values.shape[1]], across[..., values.shape[1] :]
    there = (fragments.triangle >= 0)[..., None]
    colours = sample_texture(mesh.texture, paint).where(there, 0) if mesh.texture is not None and textured else paint
    layers = torch.cat([colours, values, there.to(values.dtype)], -1).permute(0, 3, 1, 2)
    pooled = avg_pool2d(layers, SUPERSAMPLE)[0].permute(1, 2, 0)
    return pooled[..., :3], pooled[..., 3:-1], pooled[..., -1:]


class Relighting:
    """An object with its albedo, seen once, that can be shown under any light."""

    def __init__(self, mesh: Mesh, camera_from_object: Rigid, camera: Pinhole) -> None:
        """`mesh` has its albedo as texture or colours."""
        normals = camera_from_object.turn(_normals(mesh))
        self.albedo, normals, self.opacity = _seen(mesh, camera_from_object, camera, normals)
        self.normals = normalize(normals, dim=-1)

    def under(self, direction: Float[Tensor, "3"], ambient: float, diffuse: float) -> np.ndarray:
        """albedo * (ambient + diffuse * max(0, n . l)) on white, `direction` in the camera's frame. uint8 [h, w, 3]"""
        shading = ambient + diffuse * (self.normals @ normalize(direction, dim=0).to(self.normals)).clamp_min(0)
        return to_uint8((self.albedo * shading[..., None]).clamp(0, 1) + 1 - self.opacity)


def light_sweep(count: int = 75) -> Float[Tensor, "n 3"]:
    """Directions towards a light that goes once around the camera: left, above, right, below."""
    angle = torch.linspace(0, 2 * math.pi, count + 1)[:count]
    return normalize(torch.stack([-1.3 * angle.cos(), -1.0 * angle.sin(), -torch.ones(count)], 1), dim=1)


def light_grid() -> Float[Tensor, "n 3"]:
    """Directions of the relighting picture, row by row: the upper row's lights stand higher."""
    slants = [(x, -up, -1.0) for up in reversed(GRID_Y) for x in GRID_X]
    return normalize(torch.tensor(slants), dim=1)
