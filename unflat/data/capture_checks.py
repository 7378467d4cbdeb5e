"""What speaks against the cameras of a capture, before anything is learned from it.

Wrong conventions are the commonest reason for results that are only fog: each of them leaves marks on the cameras that
can be seen without looking at a picture. `data.picture_checks` looks at the pictures.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float

from unflat.data.kinds import Scene
from unflat.data.scenes import SEEN_BY, SINGLE, Rig, upward
from unflat.data.viewpoints import Viewpoints

NAMED = 5
"""cameras are named up to this number"""
STEADY = 0.01
"""of the distance to what is looked at: cameras that are moved by less see no depth to speak of"""
NEARLY = 0.25
"""of the cameras' distance: optical axes that pass a point within this meet there"""
LEVEL = math.radians(20)
"""cameras are held level to about this"""
UPSIDE_DOWN = 0.3
"""a picture whose own up points down by this much, of 1, hangs upside down"""
UPRIGHT = math.radians(10)
"""from z of the files' world, within which the way up is taken to be it"""
PARALLEL = 0.05
"""radians: axes that are nearer to parallel meet nowhere"""
IN_COMMON = 0.15
"""share of what a camera sees that another has to see, too"""
PLACES, DEPTHS = 5, 6
"""along each side of a picture and along z: where it is asked what else sees it"""
NEAREST, SPREAD = 32, 32
"""other cameras that are asked: those next to it, and some of all"""
AROUND, BEYOND = 0.5, 2.0
"""of the depth at which a camera's axis passes those of its neighbours: how far around that the scene reaches, and how
far a camera is taken to see it"""


def rig_warnings(viewpoints: Viewpoints, scene: Scene) -> list[str]:
    """What speaks against the cameras, a sentence each with what to do; nothing for cameras that can be believed.

    `viewpoints` are in the frame of `scene`. Only the cameras are looked at.
    """
    unusable = _unusable(viewpoints)
    if unusable:
        return unusable
    rig = Rig(scene.world_from_scene.place(viewpoints.scene_from_camera), viewpoints.pinholes)
    # the others follow from these: they would only be in the way
    said = _in_one_point(rig, scene.world_scale) or _looking_away(rig)
    return said or [*_turned_over(rig, viewpoints.names), *_apart(viewpoints, scene)]


def _unusable(viewpoints: Viewpoints) -> list[str]:
    """What is no capture at all."""
    if len(viewpoints) < 2:
        return [f"{len(viewpoints)} picture shows no shape: take dozens, each from another place"]
    poses = viewpoints.scene_from_camera
    lost = ~np.isfinite(poses).all((1, 2))
    if lost.any():
        return [f"{_named(viewpoints.names, lost)} have poses that are no finite numbers: leave them out"]
    mirrored = np.linalg.det(poses[:, :3, :3]) < 0
    if mirrored.any():
        return [
            f"{_named(viewpoints.names, mirrored)} are mirrored: the determinant of their rotation is negative. One "
            "axis has the wrong sign, or two are swapped; OpenCV's have x to the right, y down and z forwards"
        ]
    return []


def _in_one_point(rig: Rig, unit: float) -> list[str]:
    """Cameras that do not move. `unit` is the scene's in the world."""
    apart = float(np.linalg.norm(rig.centres - rig.centres.mean(0), axis=1).max())
    if apart <= SINGLE * unit:
        said = "all cameras stand in one point: pictures from one place show no depth"
        if _meet(_inverted(rig)):
            return [f"{said}. {_INVERTED}"]
        return [f"{said}. Move the camera sideways while taking them; if you did, the poses in the files are wrong"]
    middle = _meeting_point(rig)
    if middle is None:
        return []
    distance = float(np.median(np.linalg.norm(rig.centres - middle, axis=1)))
    if apart < STEADY * distance:
        return [
            f"the cameras were hardly moved, by {apart / distance:.2%} of their distance to what they look at: depth "
            "can hardly be seen. Take pictures from places that are further apart"
        ]
    return []


_INVERTED = (
    "The inverse poses all look at one thing: the files seem to hold camera-from-world matrices where "
    "world-from-camera is expected (COLMAP stores the former, transforms.json the latter)"
)


def _looking_away(rig: Rig) -> list[str]:
    """Cameras whose axes meet behind them, or meet only if their poses are taken the other way round."""
    if _meet(rig):
        return []
    flipped = Rig(rig.poses @ np.diag([1.0, -1.0, -1.0, 1.0]), rig.pinholes)
    if _meet(flipped):
        over = " They hang upside down, too, which speaks for this." if upward(rig.poses)[2] < -0.9 else ""
        return [
            "the cameras look away from the point that they stand around. That is right where the camera was turned on "
            "the spot; if you went around something, y and z of the poses have the wrong sign: OpenCV's axes (y down, "
            "z forwards) stand in the files where OpenGL's (y up, z backwards) are expected, or the other way round. "
            f"Negate the second and third column of every matrix.{over}"
        ]
    if _meet(_inverted(rig)):
        return [f"the cameras look at nothing in common. {_INVERTED}"]
    return []


def _inverted(rig: Rig) -> Rig:
    """World and camera exchanged; of the two signs of the axes the one with which they look at one thing."""
    inverse = np.linalg.inv(rig.poses)
    other = Rig(inverse @ np.diag([1.0, -1.0, -1.0, 1.0]), rig.pinholes)
    return other if _meet(other) else Rig(inverse, rig.pinholes)


def _meeting_point(rig: Rig) -> Float[np.ndarray, "3"] | None:
    """The point nearest to all optical axes; None where they have no direction to meet in."""
    across = np.eye(3) - rig.forward[:, :, None] * rig.forward[:, None, :]
    total = across.sum(0)
    if np.linalg.cond(total) > 1e6:
        return None
    point: np.ndarray = np.linalg.solve(total, (across @ rig.centres[:, :, None]).sum(0))[:, 0]
    return point


def _meet(rig: Rig) -> bool:
    """Whether the cameras stand around something and look at it, from nearer than they are apart by much."""
    point = _meeting_point(rig)
    if point is None:
        return False
    along = ((point - rig.centres) * rig.forward).sum(1)
    distance = np.linalg.norm(point - rig.centres, axis=1)
    off = np.sqrt(np.maximum(distance**2 - along**2, 0))
    turned = np.linalg.norm(rig.forward.mean(0)) < math.cos(LEVEL)
    return bool(((along > 0) & (off < NEARLY * distance)).mean() >= SEEN_BY and turned)


def _turned_over(rig: Rig, names: Sequence[str]) -> list[str]:
    """A way up that cannot be."""
    up = upward(rig.poses)
    roll = np.arcsin(np.clip(np.abs(rig.poses[:, :3, 0] @ up), 0, 1))
    over = -rig.poses[:, :3, 1] @ up < -UPSIDE_DOWN
    askew = over | ((roll > LEVEL) & (roll < math.pi / 2 - LEVEL))  # on its side is how many take a picture
    if askew.mean() > 0.4:
        return [
            f"no way up fits the pictures: whichever is taken, {askew.mean():.0%} of them hang upside down or are "
            f"tilted by more than {math.degrees(LEVEL):.0f} degrees. If they were held level, x and y of the poses are "
            "mixed up; if not, it is chance how the scene stands"
        ]
    if over.any():
        return [
            f"{_named(names, over)} hang upside down against the others: were their files written by another program, "
            "or turned after the poses were found?"
        ]
    if up[2] < -math.cos(UPRIGHT):
        return [
            "the cameras hang upside down in the files' world, whose z points down then. If its z is up, x and y of "
            "the poses have the wrong sign, or y and z; the scene is turned so that the pictures are upright"
        ]
    return []


def _apart(viewpoints: Viewpoints, scene: Scene) -> list[str]:
    """Cameras that see nothing which another sees."""
    shares = _seen_shares(viewpoints, scene)
    alone = shares.max(1) < IN_COMMON
    if alone.mean() > 0.5:
        return [
            f"the pictures do not overlap: {alone.sum()} of {len(viewpoints)} cameras see nothing that another sees, "
            "too. Take them in smaller steps, so that each shows half of what the one before shows; if you did, the "
            "poses or the fields of view are wrong"
        ]
    said = []
    if alone.any():
        said.append(
            f"{_named(viewpoints.names, alone)} see nothing that another camera sees, too: their poses are wrong, or "
            "pictures between them and the others are missing"
        )
    parts = _parts((shares >= IN_COMMON) | (shares >= IN_COMMON).T)
    whole = [part for part in parts if part.sum() > 1]
    if len(whole) > 1:
        said.append(
            f"the cameras fall into {len(whole)} groups that see nothing in common "
            f"({_named(viewpoints.names, whole[1])} are one): take pictures that lead from one to the other, or read "
            "them as captures of their own"
        )
    return said


def _seen_shares(viewpoints: Viewpoints, scene: Scene) -> Float[np.ndarray, "n n"]:
    """Row i, column j: the share of what camera i may see of the scene that lies in the picture of camera j. Of many
    cameras only some are asked; the rest is 0."""
    count = len(viewpoints)
    depths = subject_depths(viewpoints, scene)
    places = np.stack([_may_see(viewpoints, i, float(depths[i])) for i in range(count)])
    asked = _asked(viewpoints)
    shares = np.zeros((count, count))
    for j, (pinhole, pose) in enumerate(zip(viewpoints.pinholes, viewpoints.scene_from_camera, strict=True)):
        others = np.flatnonzero(asked[:, j])
        local = (places[others] - pose[:3, 3]) @ pose[:3, :3]
        pixel = pinhole.project(torch.from_numpy(local)).numpy()
        z = local[..., 2]
        inside = (pixel >= 0).all(-1) & (pixel < (pinhole.width, pinhole.height)).all(-1)
        shares[others, j] = (inside & (z > 0) & (z < BEYOND * depths[j])).mean(1)
    return shares


def subject_depths(viewpoints: Viewpoints, scene: Scene) -> Float[np.ndarray, "n"]:
    """How far from each camera the scene is, about: where its axis passes those of its neighbours, or, if they meet
    nowhere in front of it, where the scene's middle is."""
    centres, forward = viewpoints.centres, viewpoints.forward
    around = np.maximum(np.linalg.norm(centres, axis=1), 1.0)
    found = np.full(len(centres), BEYOND * scene.near) if scene.space == "ndc" else around
    for i in range(len(centres)):
        near = np.argsort(np.linalg.norm(centres - centres[i], axis=1))[1 : NEAREST // 2]
        cosine, between = forward[near] @ forward[i], centres[i] - centres[near]
        square = 1 - cosine**2
        meets = square > PARALLEL**2
        along = (cosine * (forward[near] * between).sum(1) - between @ forward[i]) / np.where(meets, square, 1)
        along = np.where(meets, along, -1)
        if (along > 0).mean() > 0.5:
            found[i] = np.median(along[along > 0])
    return found


def _may_see(viewpoints: Viewpoints, index: int, depth: float) -> Float[np.ndarray, "m 3"]:
    """Points over a camera's picture, around a depth."""
    pinhole, pose = viewpoints.pinholes[index], viewpoints.scene_from_camera[index]
    u, v = ((np.arange(PLACES) + 0.5) / PLACES * side for side in (pinhole.width, pinhole.height))
    pixels = np.stack(np.meshgrid(u, v), -1).reshape(-1, 2)
    rays = np.nan_to_num(pinhole.directions(torch.from_numpy(pixels)).numpy())
    depths = depth * np.linspace(1 - AROUND, 1 + AROUND, DEPTHS)
    local = (rays[:, None] * depths[:, None]).reshape(-1, 3)
    seen: np.ndarray = local @ pose[:3, :3].T + pose[:3, 3]
    return seen


def _asked(viewpoints: Viewpoints) -> Bool[np.ndarray, "n n"]:
    """Which cameras (columns) are asked what they see of another (rows): those that stand and look alike, and some of
    all."""
    count = len(viewpoints)
    asked = np.zeros((count, count), bool)
    asked[:, np.linspace(0, count - 1, min(count, SPREAD)).round().astype(int)] = True
    size = max(float(np.linalg.norm(viewpoints.centres - viewpoints.centres.mean(0), axis=1).mean()), 1e-12)
    for i in range(count):
        away = np.linalg.norm(viewpoints.centres - viewpoints.centres[i], axis=1) / size
        turned = np.linalg.norm(viewpoints.forward - viewpoints.forward[i], axis=1)
        asked[i, np.argsort(away + turned)[: NEAREST + 1]] = True
    np.fill_diagonal(asked, False)
    return asked


def _parts(joined: Bool[np.ndarray, "n n"]) -> list[Bool[np.ndarray, "n"]]:
    """Which cameras hang together, the largest part first."""
    left, found = np.ones(len(joined), bool), []
    while left.any():
        part = np.zeros(len(joined), bool)
        new = part.copy()
        new[np.flatnonzero(left)[0]] = True
        while new.any():
            part |= new
            new = joined[new].any(0) & ~part
        found.append(part)
        left &= ~part
    return sorted(found, key=lambda part: -int(part.sum()))


def _named(names: Sequence[str], chosen: Bool[np.ndarray, "n"]) -> str:
    """How many of the cameras, and which."""
    shown = [names[i] for i in np.flatnonzero(chosen)[:NAMED]]
    more = f" and {int(chosen.sum()) - NAMED} more" if chosen.sum() > NAMED else ""
    return f"{int(chosen.sum())} of {len(names)} cameras ({', '.join(shown)}{more})"
