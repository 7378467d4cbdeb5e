"""A method that has learned a torus, whose pictures are found by walking along each ray until the surface is met."""

import torch
from torch import Tensor, nn

from unflat.data.kinds import Capture, Extent, Scene
from unflat.geometry.cameras import Cameras
from unflat.method import Method, Prediction

RADII = 0.6, 0.25
"""of the circle in the middle of the ring, about z, and of the ring"""
STEPS = 60


def distance(points: Tensor) -> Tensor:
    """To the surface: negative inside."""
    return torch.hypot(points[..., :2].norm(dim=-1) - RADII[0], points[..., 2]) - RADII[1]


class Ring(Method, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """Opaque and grey, on white."""

    def __init__(self, config: None, extent: Extent) -> None:
        super().__init__(config, extent)
        self.nothing = nn.Parameter(torch.zeros(1))

    def predict(self, query: Cameras) -> Prediction:
        back = query.camera_from_world.inverse
        local = query.pinhole.rays().reshape(-1, 3).double()
        sights = torch.einsum("bij,rj->bri", back.rotation.double(), local)
        depth = torch.zeros(sights.shape[:2], dtype=torch.double)
        for _ in range(STEPS):  # a ray is at least as long as its depth, so no step goes through
            gone = distance(back.translation[:, None].double() + depth[..., None] * sights)
            depth = depth + gone / sights.norm(dim=-1)
        size = len(query), query.pinhole.height, query.pinhole.width
        there = (gone.abs() < 1e-3) & (depth < 20)
        return Prediction(
            rgb=torch.where(there[..., None], 0.5, 1.0).expand(-1, -1, 3).float().reshape(*size, 3),
            depth=depth.where(there, torch.nan).float().view(size),
            opacity=there.float().view(size),
        )

    def field(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        return 300.0 * (distance(points) < 0).float(), torch.full_like(points, 0.5)


def ring() -> Ring:
    return Ring(None, Extent(12, (40, 40), Scene()))
