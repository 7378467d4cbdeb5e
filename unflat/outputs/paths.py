"""Paths for cameras, in the scene's frame: around it, along the cameras that it was seen from, or from a file.

The frames of a path are of one size, so that they make a video.
"""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.data.kinds import Scene
from unflat.data.readers.camera_paths import read_camera_path
from unflat.data.recordings import Frame
from unflat.data.viewpoints import Viewpoints, spread_over
from unflat.geometry.cameras import Pinhole
from unflat.geometry.quaternions import neighbourly, quaternion_of, rotation_of, slerp

FOCUS = 4.0
"""ndc: depth of what a spiral's cameras look at, in units of the near plane's: half of what is seen is nearer"""
SWAY = 0.7
"""ndc: radii of a spiral, as shares of how far nine in ten cameras stand from the mean one"""
TOUR = 0.7
"""of the given order's length: a shorter way past all cameras than this is taken instead"""
DOT = 0.02
"""of a picture's width: a unit of the scene that is seen smaller is a dot"""
GAP = math.radians(100)
"""an angle, seen from above, without any camera, over which an orbit does not go"""
NEARBY = math.radians(15)
"""over such an angle an orbit that goes to and fro takes the mean of how far and how high views stand"""
UPRIGHT = math.radians(80)
"""elevation that an orbit keeps below: above it, which way is up in the picture is not clear"""


def orbit(views: Viewpoints, scene: Scene, frames: int, side: int | None = None) -> Viewpoints:
    """Once around the scene's middle, z up, at the median distance and elevation of `views`, looking at the middle, or
    away from it where most of them look away (a room). Where no view stands over a wide angle, to and fro over the
    others, as far and as high as these stand there: nobody has seen the scene from elsewhere. In ndc a small spiral
    about the mean camera.

    Pictures have `side` pixels along their longer side and the views' median field of view.
    """
    _check(views, frames)
    camera = usual_pinhole(views, side)
    if scene.space == "ndc":
        return _named(_spiral(views, frames), camera)
    middle = np.add(scene.box[:3], scene.box[3:]) / 2 if scene.space == "box" else np.zeros(3)
    offset = views.centres - middle
    distance = np.linalg.norm(offset, axis=1)
    elevation = np.arcsin((offset[:, 2] / np.maximum(distance, 1e-12)).clip(-1, 1))
    azimuth = np.arctan2(offset[:, 1], offset[:, 0])
    turn, far, high = _around(azimuth, distance, elevation, frames)
    high = high.clip(-UPRIGHT, UPRIGHT)
    around = np.stack([np.cos(high) * np.cos(turn), np.cos(high) * np.sin(turn), np.sin(high)], 1)
    inwards = float(np.median((views.forward * -offset).sum(1))) >= 0
    return _named(looking(middle + far[:, None] * around, -around if inwards else around), camera)


def _around(
    azimuth: Float[np.ndarray, "n"], distance: Float[np.ndarray, "n"], elevation: Float[np.ndarray, "n"], frames: int
) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m"], Float[np.ndarray, "m"]]:
    """Azimuths, distances and elevations of an orbit, from those of views: around counter-clockwise seen from above,
    from the first view on, or to and fro."""
    way = 2 * math.pi * np.arange(frames) / frames
    ordered = np.sort(azimuth)
    gaps = np.diff(ordered, append=ordered[0] + 2 * math.pi)
    widest = int(np.argmax(gaps))
    if gaps[widest] <= GAP:
        return azimuth[0] + way, np.full(frames, np.median(distance)), np.full(frames, np.median(elevation))
    begins = ordered[(widest + 1) % len(ordered)]
    turn = begins + (2 * math.pi - gaps[widest]) * (1 - np.cos(way)) / 2
    apart = np.abs((turn[:, None] - azimuth + math.pi) % (2 * math.pi) - math.pi)
    nearness = np.exp(-0.5 * (apart / NEARBY) ** 2)
    share = nearness / nearness.sum(1, keepdims=True)
    return turn, share @ distance, share @ elevation


def _spiral(views: Viewpoints, frames: int) -> Float[np.ndarray, "n 4 4"]:
    """An ellipse about the mean camera, which looks along z; a closed one, that a video can repeat."""
    mean = views.centres.mean(0)
    wide, tall, _ = SWAY * np.quantile(np.abs(views.centres - mean), 0.9, axis=0)
    turn = 2 * math.pi * np.arange(frames) / frames
    places = mean + np.stack([wide * np.cos(turn), tall * np.sin(turn), np.zeros(frames)], 1)
    focus = np.array([mean[0], mean[1], FOCUS])
    sight = focus - places
    return looking(places, sight / np.linalg.norm(sight, axis=1, keepdims=True), down=(0.0, 1.0, 0.0))


def along(views: Viewpoints, frames: int, side: int | None = None) -> Viewpoints:
    """Smoothly past all of `views`, at an even speed: places on a spline, turns on the shortest arcs between them.

    They are passed in their order, or, where that leads to and fro, on a shorter way from one to the nearest.
    """
    _check(views, frames)
    camera = usual_pinhole(views, side)
    views = views[_order(views.centres)]
    if len(views) == 1:
        return _named(np.repeat(views.scene_from_camera, frames, 0), camera)
    steps = np.linspace(0, len(views) - 1, max(16 * len(views), 2 * frames))
    way = _spline(views.centres, steps)
    turns = neighbourly(np.stack([quaternion_of(turn) for turn in views.scene_from_camera[:, :3, :3]]))
    gone = np.linalg.norm(np.diff(way, axis=0), axis=1) + _turning(views, turns, steps)
    length = np.concatenate([[0], np.cumsum(gone)])
    at = np.interp(np.linspace(0, length[-1], frames), length, steps)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    poses[:, :3, 3] = _spline(views.centres, at)
    poses[:, :3, :3] = rotation_of(slerp(turns, at))
    return _named(poses, camera)


def as_taken(views: Viewpoints, side: int | None = None) -> Viewpoints:
    """The views themselves, as pictures of one size: with their own lenses, or, where their pictures differ in size,
    each with its own field of view in the usual frame."""
    _check(views, len(views))
    camera = usual_pinhole(views, side)
    sizes = {(p.width, p.height) for p in views.pinholes}
    if len(sizes) == 1:
        pinholes = [p.resized(camera.width, camera.height) for p in views.pinholes]
    else:
        pinholes = [_framed(p, camera) for p in views.pinholes]
    return Viewpoints(pinholes, views.scene_from_camera, views.names)


def of_file(file: Path, scene: Scene, views: Viewpoints, side: int | None = None) -> Viewpoints:
    """The cameras of nerfstudio's camera_path.json or of any transforms.json, given in the world of the capture's own
    files, whose similarity the scene keeps. `views` say how large pictures are where the file does not.

    `side` scales pictures to so many pixels along their longer side. CaptureError for what is neither kind of file.
    """
    frames, usual = read_camera_path(file), usual_pinhole(views)
    pinholes = [_of_frame(frame, usual) for frame in frames]
    poses = scene.world_from_scene.inverse.place(np.stack([frame.world_from_camera for frame in frames]))
    return as_taken(Viewpoints(pinholes, poses, tuple(f"{number:04d}" for number in range(len(frames)))), side)


def _of_frame(frame: Frame, usual: Pinhole) -> Pinhole:
    if frame.pinhole is not None:
        return frame.pinhole
    angle = frame.field_of_view
    focal = usual.fx if angle is None else usual.width / 2 / math.tan(angle / 2)
    return Pinhole(focal, focal, usual.cx, usual.cy, usual.width, usual.height)


def sees_scene(path: Viewpoints, scene: Scene) -> bool:
    """Whether any camera of a path has the scene's middle in its picture, and the scene not as small as a dot."""
    middle = np.array([0.0, 0.0, FOCUS]) if scene.space == "ndc" else np.add(scene.box[:3], scene.box[3:]) / 2
    for pinhole, pose in zip(path.pinholes, path.scene_from_camera, strict=True):
        local = (middle - pose[:3, 3]) @ pose[:3, :3]
        if local[2] > 0 and pinhole.fx / local[2] > DOT * pinhole.width:
            u, v = pinhole.project(torch.from_numpy(local)).tolist()
            if 0 <= u < pinhole.width and 0 <= v < pinhole.height:
                return True
    return False


def _framed(pinhole: Pinhole, frame: Pinhole) -> Pinhole:
    """A plain camera whose picture has the frame's size and shows as much along its shorter side."""
    shorter = min(pinhole.width / pinhole.fx, pinhole.height / pinhole.fy)
    focal = min(frame.width, frame.height) / shorter
    return Pinhole(focal, focal, frame.width / 2, frame.height / 2, frame.width, frame.height)


def usual_pinhole(views: Viewpoints, side: int | None = None) -> Pinhole:
    """A plain camera with the size that most of `views` have, scaled to `side` pixels along the longer side, and their
    median field of view, its principal point in the middle."""
    if side is not None and side < 1:
        raise ValueError(f"side is {side}; give the longer side of a picture in pixels, at least 1")
    (width, height), _ = Counter((p.width, p.height) for p in views.pinholes).most_common(1)[0]
    across = float(
        np.median([max(p.width, p.height) / (p.fx if p.width >= p.height else p.fy) for p in views.pinholes])
    )
    scale = 1.0 if side is None else side / max(width, height)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    focal = max(width, height) / across
    return Pinhole(focal, focal, width / 2, height / 2, width, height)


def kept_views(views: Viewpoints, most: int, side: int) -> tuple[Float[Tensor, "k 4 4"], Float[Tensor, "6"]]:
    """At most so many of the views, and `usual_pinhole`, as what a checkpoint can hold: see `views_of`."""
    some = views[spread_over(len(views), most)]
    lens = usual_pinhole(some, side)
    numbers = [lens.fx, lens.fy, lens.cx, lens.cy, lens.width, lens.height]
    return torch.from_numpy(some.scene_from_camera.copy()), torch.tensor(numbers, dtype=torch.float64)


def views_of(poses: Float[Tensor, "k 4 4"], lens: Float[Tensor, "6"]) -> Viewpoints:
    """What `kept_views` gave."""
    fx, fy, cx, cy, width, height = lens.tolist()
    pinhole = Pinhole(fx, fy, cx, cy, round(width), round(height))
    return Viewpoints([pinhole] * len(poses), poses.cpu().numpy(), ("",) * len(poses))


def _check(views: Viewpoints, frames: int) -> None:
    if len(views) == 0:
        raise ValueError("there are no cameras to lay a path by")
    if frames < 1:
        raise ValueError(f"a path of {frames} frames cannot be rendered; give at least 1")


def _named(poses: Float[np.ndarray, "n 4 4"], camera: Pinhole) -> Viewpoints:
    return Viewpoints([camera] * len(poses), poses, tuple(f"{number:04d}" for number in range(len(poses))))


def looking(
    places: Float[np.ndarray, "n 3"],
    forward: Float[np.ndarray, "n 3"],
    down: tuple[float, float, float] = (0.0, 0.0, -1.0),
) -> Float[np.ndarray, "n 4 4"]:
    """Upright cameras at places, looking along unit directions."""
    right = np.cross(down, forward)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    poses[:, :3] = np.stack([right, np.cross(forward, right), forward, places], -1)
    return poses


def _order(centres: Float[np.ndarray, "n 3"]) -> Int[np.ndarray, "n"]:
    """The given order, or a much shorter one that goes on to the nearest camera that is left, from the first."""
    left, tour = list(range(1, len(centres))), [0]
    while left:
        nearest = int(np.argmin(np.linalg.norm(centres[left] - centres[tour[-1]], axis=1)))
        tour.append(left.pop(nearest))
    order = np.array(tour)
    return order if _length(centres[order]) < TOUR * _length(centres) else np.arange(len(centres))


def _length(way: Float[np.ndarray, "n 3"]) -> float:
    return float(np.linalg.norm(np.diff(way, axis=0), axis=1).sum())


def _spline(points: Float[np.ndarray, "n 3"], at: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m 3"]:
    """Catmull and Rom's spline through two or more points, point i at i: centripetal, so that it neither overshoots
    nor makes loops (Yuksel et al. 2011), by Barry and Goldman's pyramid (1988)."""
    ends = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    first = np.minimum(at.astype(np.int64), len(points) - 2)
    p = [ends[first + k] for k in range(4)]
    apart = [np.linalg.norm(p[k + 1] - p[k], axis=1).clip(1e-9)[:, None] ** 0.5 for k in range(3)]
    knot = np.cumsum([np.zeros_like(apart[0]), *apart], 0)
    t = knot[1] + (at - first)[:, None] * apart[1]

    def between(a: np.ndarray, b: np.ndarray, low: int, high: int) -> np.ndarray:
        return a + (b - a) * (t - knot[low]) / (knot[high] - knot[low])

    a = [between(p[k], p[k + 1], k, k + 1) for k in range(3)]
    b = [between(a[k], a[k + 1], k, k + 2) for k in range(2)]
    return between(b[0], b[1], 1, 2)


def _turning(
    views: Viewpoints, turns: Float[np.ndarray, "n 4"], steps: Float[np.ndarray, "m"]
) -> Float[np.ndarray, "k"]:
    """How much turning there is between neighbouring steps, as lengths: a radian counts as the median step between
    cameras, so that a camera that only turns goes on as well."""
    angles = 2 * np.arccos((turns[1:] * turns[:-1]).sum(1).clip(-1, 1))
    step = float(np.median(np.linalg.norm(np.diff(views.centres, axis=0), axis=1)))
    gone = np.concatenate([[0], np.cumsum(angles)])
    return step * np.diff(np.interp(steps, np.arange(len(turns)), gone))
