"""Depth maps of a ball on a floor, before a wall: each pixel by hand, as the nearest of three intersections."""

import math

import numpy as np
import torch
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid
from unflat.outputs.fusion import DepthMap

CAMERA = Pinhole(48.0, 48.0, 24.0, 24.0, 48, 48)
FLOOR, WALL, BLUE, WHITE = (0.55, 0.52, 0.5), (0.6, 0.45, 0.3), (0.2, 0.3, 0.7), (0.9, 0.88, 0.92)


def still_life(
    views: int = 24,
    radius: float = 0.5,
    floor: float | None = -0.5,
    wall: float | None = 0.5,
    tilt: float = 0.0,
    distance: float = 2.6,
) -> list[DepthMap]:
    """A ball of blue and white bands about the middle; a floor of that height at the middle, which rises along x by
    `tilt` radians, and a wall at that y, if any. Cameras stand before the wall where there is one, above the floor."""
    ground = torch.tensor([-math.sin(tilt), 0.0, math.cos(tilt)])
    planes = [] if floor is None else [(ground, floor * math.cos(tilt), FLOOR)]
    planes += [] if wall is None else [(torch.tensor([0.0, -1.0, 0.0]), -wall, WALL)]
    found = []
    for i in range(views):
        span = 2 * math.pi if wall is None else math.radians(170)
        turn = -math.pi / 2 + span * ((i + 0.5) / views - 0.5)
        high = math.radians((25, 45, 12)[i % 3])
        out = np.array([math.cos(turn) * math.cos(high), math.sin(turn) * math.cos(high), math.sin(high)])
        found.append(_seen(out * distance, radius, planes))
    return found


def _seen(eye: np.ndarray, radius: float, planes: list[tuple[Tensor, float, tuple[float, float, float]]]) -> DepthMap:
    forward = -eye / np.linalg.norm(eye)
    right = np.cross((0.0, 0.0, -1.0), forward)
    right /= np.linalg.norm(right)
    turn = torch.from_numpy(np.stack([right, np.cross(forward, right), forward], 1)).float()
    start, rays = torch.from_numpy(eye).float(), CAMERA.rays() @ turn.T
    a, b = (rays * rays).sum(-1), (rays * start).sum(-1)
    inside = b * b - a * (start @ start - radius**2)
    depth = ((-b - inside.clamp_min(0).sqrt()) / a).where(inside > 0, torch.inf)
    places = start + depth[..., None].nan_to_num(0, 0, 0) * rays
    banded = torch.sin(14 * places[..., 2:] + 2) > 0
    rgb = torch.where(banded, torch.tensor(BLUE), torch.tensor(WHITE))
    for normal, height, colour in planes:
        along = (height - start @ normal) / (rays @ normal)
        nearer = (along > 0) & (along < depth)
        depth, rgb = along.where(nearer, depth), torch.tensor(colour).where(nearer[..., None], rgb)
    rgb = rgb.where(depth.isfinite()[..., None], 0.8)
    back = Rigid(turn, start)
    return DepthMap(depth, CAMERA, back.inverse, rgb)
