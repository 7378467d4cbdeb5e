"""Where the scene of a capture is: which way is up, where its middle, how large it is, what kind of space it lies in.

All of it comes from the cameras, and from points where structure from motion has left some, so that nobody has to give
a box, a scale or near and far by hand. The similarity that takes the files' world to the scene's frame is kept in
`Scene` and undone on export.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float

from unflat.data.kinds import WHITE, Capture, Scene, Space
from unflat.data.recordings import CaptureError
from unflat.geometry.cameras import Pinhole
from unflat.geometry.similarities import Similarity, rotation_between

UPRIGHT = math.radians(10)
"""an axis of the files that is so near to the way up that was found is taken to be it"""
FACING = math.radians(35)
"""cameras that all look within this of their mean direction see the scene from one side"""
SEEN_BY = 0.8
"""share of the cameras that have the middle in front of them, where they stand around something"""
CLOSE = 0.5
"""of the median distance from the middle to the cameras: how far what matters reaches, where a background is seen"""
KEPT = 0.7
"""of what matters, the part from the middle on that is not contracted: what cameras look at gets more of the voxels"""
MARGIN = 1.1
"""of what all cameras see of an object: pictures may cut it off"""
SINGLE = 1e-4
"""of the scene's size: cameras nearer to each other than that stand in one point"""
WRITTEN = 1e-7
"""the same of the cameras' distance from the world's origin, where the scene's size is not known: the origin may be far
away, as that of a country's grid"""
AGREEING = 0.5
"""length of the mean of the pictures' own up, of 1, from which on it says something"""
BEFORE_NEAREST = 0.75
"""of the nearest depth: where the near plane of normalised device coordinates lies"""
OUTERMOST = 1e3
"""far of scenes without end, in their unit"""


@dataclass(frozen=True)
class Rig:
    """Cameras in the files' world, and what is known of the depth that they see."""

    poses: Float[np.ndarray, "n 4 4"]
    """world from camera, OpenCV's axes"""
    pinholes: Sequence[Pinhole]
    depths: Float[np.ndarray, "n 2"] | None = None
    """nearest and furthest depth along z of each, from points or from the files; NaN where not known"""

    @property
    def centres(self) -> Float[np.ndarray, "n 3"]:
        return self.poses[:, :3, 3]

    @property
    def forward(self) -> Float[np.ndarray, "n 3"]:
        return self.poses[:, :3, 2]


def settled(
    rig: Rig, *, alpha: bool, space: Space | None = None, box: Sequence[float] | None = None
) -> tuple[Similarity, Scene]:
    """What takes the world to the scene's frame (`scene_from_world`), and the scene.

    `alpha`: whether the pictures say where nothing is. `space` and `box` win over what the cameras say; a box is least
    and largest x, y, z in the files' world, whose axes the scene then keeps. CaptureError for cameras that show no
    shape: a single one, or all in one point.
    """
    _check(rig)
    if space is None:
        space = "box" if alpha or box is not None else "ndc" if _from_one_side(rig) else "contracted"
    if box is not None:
        return _boxed(rig, np.asarray(box, np.float64), space, alpha)
    if space == "ndc":
        return _through_a_window(rig)
    up = upward(rig.poses)
    middle, around = middle_of(rig)
    distance, reach = np.linalg.norm(rig.centres - middle, axis=1), 1.0
    if not around:  # looking outwards: a room
        radius = 2 * float(distance.max())
    elif space == "box":
        radius = MARGIN * float(np.median(distance * np.sin([_half_view(p) for p in rig.pinholes])))
    else:
        radius, reach = KEPT * CLOSE * float(np.median(distance)), 1 / KEPT
    turn = _kept_axis(up)
    scene_from_world = Similarity(1 / radius, turn, -(turn @ middle) / radius)
    box = (-reach, -reach, -reach, reach, reach, reach)
    scene = Scene(space=space, box=box, background=WHITE if alpha else None)
    return scene_from_world, _with_depths(scene, rig, scene_from_world).placed(scene_from_world.inverse)


def _check(rig: Rig) -> None:
    if len(rig.poses) < 2:
        raise CaptureError(
            f"a capture of {len(rig.poses)} picture shows no shape: two or more from different places are needed"
        )
    apart = np.linalg.norm(rig.centres - rig.centres.mean(0), axis=1).max()
    depths = np.zeros(0) if rig.depths is None else rig.depths[np.isfinite(rig.depths).all(1)]
    least = SINGLE * float(np.median(depths)) if len(depths) else WRITTEN * float(np.abs(rig.centres).max())
    if apart <= max(least, 1e-12):
        raise CaptureError(
            "all cameras stand in one point: pictures from one place show no depth. Move the camera sideways while "
            "taking them; if you did, the poses in the files are wrong (camera-from-world matrices where "
            "world-from-camera is expected look like that, too)"
        )


def upward(poses: Float[np.ndarray, "n 4 4"]) -> Float[np.ndarray, "3"]:
    """The way up in the world, unit: people hold cameras level, so it is at right angles to what goes to the right in
    the pictures; where that leaves it open (all cameras stand in a row), it is the mean of the pictures' own up. Where
    pictures from above have theirs in all directions, cameras look down."""
    right, mean = poses[:, :3, 0], -poses[:, :3, 1].mean(0)
    _, sizes, axes = np.linalg.svd(right, full_matrices=True)
    spread = np.pad(sizes, (0, 3 - len(sizes)))
    level = axes[2]
    in_a_row = spread[1] < 0.2 * spread[0]
    if np.linalg.norm(mean) > AGREEING and (in_a_row or abs(level @ mean) < 0.1):
        level = mean
    elif in_a_row:
        level = -poses[:, :3, 2].mean(0)
    if np.linalg.norm(level) < 1e-6:  # as many look one way as the other
        level = axes[2]
    level = level / np.linalg.norm(level)
    sign = level @ mean if abs(level @ mean) > 0.1 else -level @ poses[:, :3, 2].mean(0)
    return level if sign >= 0 else -level


def _kept_axis(up: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The turn that brings up to +z: about the files' own axis where up is nearly one of them."""
    axis = int(np.argmax(np.abs(up)))
    if abs(up[axis]) > math.cos(UPRIGHT):
        up = np.sign(up[axis]) * np.eye(3)[axis]
    return rotation_between(up, (0.0, 0.0, 1.0))


def middle_of(rig: Rig) -> tuple[Float[np.ndarray, "3"], bool]:
    """The point nearest to all optical axes, and whether the cameras stand around it; else the cameras' middle."""
    across = np.eye(3) - rig.forward[:, :, None] * rig.forward[:, None, :]
    total = across.sum(0)
    if np.linalg.cond(total) > 1e6:  # all look the same way
        return rig.centres.mean(0), False
    weight = np.ones(len(across))
    for _ in range(10):  # a few that look elsewhere do not count
        middle = np.linalg.solve(
            (weight[:, None, None] * across).sum(0), (weight[:, None, None] * across @ rig.centres[:, :, None]).sum(0)
        )[:, 0]
        off = np.linalg.norm((across @ (middle - rig.centres)[:, :, None])[:, :, 0], axis=1)
        weight = 1 / np.maximum(off, 1e-3 * np.median(off) + 1e-12)
    in_front = ((middle - rig.centres) * rig.forward).sum(1) > 0
    return (middle, True) if in_front.mean() >= SEEN_BY else (rig.centres.mean(0), False)


def _from_one_side(rig: Rig) -> bool:
    """Whether all cameras look about the same way, past each other and not around something."""
    mean = rig.forward.mean(0)
    mean /= max(float(np.linalg.norm(mean)), 1e-12)
    if (rig.forward @ mean).min() < math.cos(FACING):
        return False
    middle, around = middle_of(rig)
    spread = np.linalg.norm(rig.centres - rig.centres.mean(0), axis=1).max()
    return not around or bool(spread < np.linalg.norm(middle - rig.centres.mean(0)))


def _half_view(pinhole: Pinhole) -> float:
    """Half of the smaller field of view, radians."""
    return math.atan(min(pinhole.width / pinhole.fx, pinhole.height / pinhole.fy) / 2)


def _with_depths(scene: Scene, rig: Rig, scene_from_world: Similarity) -> Scene:
    """Near and far, from known depths, or from where the box lies."""
    poses = scene_from_world.place(rig.poses)
    low, high = np.array(scene.box[:3]), np.array(scene.box[3:])
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True), indexing="ij"), -1).reshape(-1, 3)
    to_corners = ((corners[None] - poses[:, None, :3, 3]) * poses[:, None, :3, 2]).sum(-1)
    near, far = max(0.05, 0.9 * float(to_corners.min())), 1.1 * float(to_corners.max())
    known = None if rig.depths is None else rig.depths[np.isfinite(rig.depths).all(1)] * scene_from_world.scale
    if scene.space == "contracted":
        near = 0.05 if known is None or not len(known) else max(0.01, 0.5 * float(known[:, 0].min()))
        return replace(scene, near=near, far=OUTERMOST)
    if known is not None and len(known):
        near, far = max(near, 0.9 * float(known[:, 0].min())), max(far, 1.1 * float(known[:, 1].max()))
    return replace(scene, near=near, far=max(far, near * 1.01))


def _boxed(rig: Rig, box: Float[np.ndarray, "6"], space: Space, alpha: bool) -> tuple[Similarity, Scene]:
    """With a box that was given: the files' axes stay, its longest side becomes 2."""
    low, high = box[:3], box[3:]
    if not (high > low).all() or not np.isfinite(box).all():
        raise CaptureError(f"the box {box.tolist()} is empty: give least x, y, z, then largest x, y, z")
    radius = float((high - low).max() / 2)
    scene_from_world = Similarity(1 / radius, np.eye(3), -(low + high) / 2 / radius)
    x0, y0, z0, x1, y1, z1 = (
        float(v) for v in np.concatenate([scene_from_world.apply(low), scene_from_world.apply(high)])
    )
    scene = Scene(space=space, box=(x0, y0, z0, x1, y1, z1), background=WHITE if alpha else None)
    return scene_from_world, _with_depths(scene, rig, scene_from_world).placed(scene_from_world.inverse)


def _through_a_window(rig: Rig) -> tuple[Similarity, Scene]:
    """Normalised device coordinates: the frame is that of the mean camera, with the near plane at distance 1. `box`
    holds what all cameras see in the warped coordinates: x and y within about 1, z from -1 at near to 1 at infinity."""
    turn = mean_rotation(rig).T
    middle = rig.centres.mean(0)
    in_front = (rig.centres - middle) @ turn[2]
    known = None if rig.depths is None else rig.depths[np.isfinite(rig.depths).all(1)]
    if known is not None and len(known):
        nearest = float(known[:, 0].min())
    else:  # what is nearer than the cameras are apart is blurred in every capture
        nearest = max(float(np.linalg.norm(rig.centres - middle, axis=1).max()), 1e-6)
    scale = 1 / (BEFORE_NEAREST * nearest)
    shift = np.array([0, 0, max(0.0, float(in_front.max()) * scale)])  # all cameras stand behind the near plane
    scene_from_world = Similarity(scale, turn, -scale * turn @ middle - shift)
    window = np.max([(p.width / 2 / p.fx, p.height / 2 / p.fy) for p in rig.pinholes], axis=0)
    scene = Scene(space="ndc", near=1.0, far=OUTERMOST, window=(float(window[0]), float(window[1])))
    x, y = _seen_through(rig, scene_from_world, scene)
    return scene_from_world, replace(scene, box=(-x, -y, -1.0, x, y, 1.0)).placed(scene_from_world.inverse)


def _seen_through(rig: Rig, scene_from_world: Similarity, scene: Scene) -> tuple[float, float]:
    """How far the corners of the pictures reach to the sides, between the near plane and the horizon."""
    poses, reach = scene_from_world.place(rig.poses), np.ones(2)
    for pose, p in zip(poses, rig.pinholes, strict=True):
        corners = torch.tensor([[u, v] for u in (0.0, p.width) for v in (0.0, p.height)], dtype=torch.float64)
        rays = p.directions(corners).numpy() @ pose[:3, :3].T
        rays = rays[np.isfinite(rays).all(1) & (rays[:, 2] > 1e-3)]
        for depth in (scene.near, scene.far):
            points = pose[:3, 3] + rays * ((depth - pose[2, 3]) / rays[:, 2:])
            reach = np.maximum(reach, np.abs(points[:, :2] / points[:, 2:] / np.array(scene.window)).max(0, initial=1))
    return float(min(reach[0], 3)), float(min(reach[1], 3))


def mean_rotation(rig: Rig) -> Float[np.ndarray, "3 3"]:
    """World from the mean camera: forward and up are the means, made square to each other."""
    forward = rig.forward.mean(0)
    forward /= np.linalg.norm(forward)
    right = np.cross(rig.poses[:, :3, 1].mean(0), forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward], 1)


def footprint(capture: Capture) -> float:
    """How long a pixel is at the scene's middle, in the scene's unit: the median over the pictures."""
    distance = np.linalg.norm(capture.scene_from_camera[:, :3, 3], axis=1)
    return float(np.median(distance / np.array([max(p.fx, p.fy) for p in capture.pinholes])))


def depths_of(
    rig: Rig, points: Float[np.ndarray, "m 3"], seen_in: np.ndarray, least_views: int = 3
) -> Float[np.ndarray, "n 2"]:
    """The depths between which points lie that each camera sees, without the outermost thousandth; NaN for a camera
    that sees fewer than ten. Points that were found in fewer than `least_views` pictures do not count, if known."""
    sure = points[(seen_in >= least_views) | (seen_in == 0)]
    found = np.full((len(rig.poses), 2), np.nan)
    for i, (pose, p) in enumerate(zip(rig.poses, rig.pinholes, strict=True)):
        local = (sure - pose[:3, 3]) @ pose[:3, :3]
        local = local[local[:, 2] > 1e-6]
        u, v = p.project(torch.from_numpy(local)).numpy().T if len(local) else (np.zeros(0), np.zeros(0))
        depth = local[(u >= 0) & (u < p.width) & (v >= 0) & (v < p.height), 2]
        if len(depth) >= 10:
            found[i] = np.quantile(depth, (0.001, 0.999))
    return found
