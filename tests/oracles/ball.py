"""A method that has learned a ball, exactly: what pictures, videos and meshes of a scene have to show."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unflat.data.kinds import Capture, Extent, Scene
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.method import Method, Prediction


@dataclass(frozen=True)
class Config:
    radius: float = 0.6
    middle: tuple[float, float, float] = (0.0, 0.0, 0.0)
    hollow: float = 0.0
    """radius of a hole inside"""
    speck: float = 0.0
    """radius of a second ball, at (0.9, 0.9, 0.9)"""
    density: float = 300.0


class Ball(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """Opaque, on white; its colour at a point is 0.5 + 0.5 (x - middle) / radius."""

    config: Config

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        self.nothing = nn.Parameter(torch.zeros(1))

    def colour(self, points: Tensor) -> Tensor:
        return (0.5 + 0.5 * (points - points.new_tensor(self.config.middle)) / self.config.radius).clamp(0, 1)

    def predict(self, query: Cameras) -> Prediction:
        back = query.camera_from_world.inverse
        local = query.pinhole.rays().reshape(-1, 3)
        sights = back.turn(local.expand(len(query), -1, -1)).double()
        starts = (back.translation - torch.tensor(self.config.middle))[:, None].double()
        a, b = (sights * sights).sum(-1), (sights * starts).sum(-1)
        inside = b * b - a * ((starts * starts).sum(-1) - self.config.radius**2)
        depth = (-b - inside.clamp_min(0).sqrt()) / a
        there = (inside > 0) & (depth > 0)
        points = starts + depth[..., None] * sights + torch.tensor(self.config.middle)
        rgb = self.colour(points).where(there[..., None], 1.0)
        size = len(query), query.pinhole.height, query.pinhole.width
        return Prediction(
            rgb=rgb.float().view(*size, 3),
            depth=depth.where(there, torch.nan).float().view(size),
            opacity=there.float().view(size),
        )

    def field(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        distance = (points - points.new_tensor(self.config.middle)).norm(dim=1)
        there = (distance < self.config.radius) & (distance >= self.config.hollow)
        there |= (points - 0.9).norm(dim=1) < self.config.speck
        return self.config.density * there.float(), self.colour(points)


def ball(scene: Scene | None = None, **config: object) -> Ball:
    return Ball(Config(**config), Extent(12, (30, 40), scene or Scene()))  # type: ignore[arg-type]


def around(count: int = 30, distance: float = 3.0, above: float = -1.0) -> Viewpoints:
    """Cameras on a sphere that look at its middle, with pictures of 40 pixels a side; only those above a height, as a
    share of the radius."""
    index = np.arange(count)
    height, turn = 1 - (2 * index + 1) / count, index * math.pi * (3 - math.sqrt(5))
    height = above + (1 - above) * (height + 1) / 2
    out = np.sqrt(1 - height**2)
    poses = np.tile(np.eye(4), (count, 1, 1))
    forward = -np.stack([out * np.cos(turn), out * np.sin(turn), height], 1)
    right = np.cross((0.0, 0.0, -1.0), forward)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    poses[:, :3] = np.stack([right, np.cross(forward, right), forward, -distance * forward], -1)
    return Viewpoints([Pinhole(50.0, 50.0, 20.0, 20.0, 40, 40)] * count, poses, tuple(map(str, range(count))))
