"""The pinhole camera. x right, y down, z forward; the centre of the first pixel is at (0.5, 0.5)."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from unflat.geometry.rotations import Rigid


@dataclass(frozen=True)
class Pinhole:
    """Focal lengths and principal point in pixels; image size in pixels."""

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    @staticmethod
    def across_centres(size: int, field_of_view: float) -> "Pinhole":
        """A square camera whose field of view (radians) reaches from the first pixel's *centre* to the last one's.

        This is Unsup3D's camera (f = ((S-1)/2) / tan(theta/2)) with our pixel centres.
        """
        focal = (size - 1) / 2 / math.tan(field_of_view / 2)
        return Pinhole(focal, focal, size / 2, size / 2, size, size)

    def within(self, side: int, least: int = 1) -> "Pinhole":
        """The same camera with pictures whose longer side is at most `side` pixels, and no side under `least`."""
        scale = min(1.0, side / max(self.width, self.height))
        return self.resized(max(least, round(self.width * scale)), max(least, round(self.height * scale)))

    def resized(self, width: int, height: int) -> "Pinhole":
        """The same camera with another number of pixels over the same image plane."""
        sx, sy = width / self.width, height / self.height
        return Pinhole(self.fx * sx, self.fy * sy, self.cx * sx, self.cy * sy, width, height)

    def shifted(self, dx: float, dy: float) -> "Pinhole":
        """The same camera with its principal point moved by (dx, dy) pixels."""
        return replace(self, cx=self.cx + dx, cy=self.cy + dy)

    def cropped(self, left: int, top: int, width: int, height: int) -> "Pinhole":
        """The camera of a part of the picture, which begins at pixel (left, top)."""
        return replace(self, cx=self.cx - left, cy=self.cy - top, width=width, height=height)

    def rays(self, device: torch.device | None = None, dtype: torch.dtype = torch.float32) -> Float[Tensor, "h w 3"]:
        """K^-1 (u, v, 1) at every pixel centre: a point is its depth times this."""
        u = torch.arange(self.width, device=device, dtype=dtype) + 0.5
        v = torch.arange(self.height, device=device, dtype=dtype) + 0.5
        y, x = torch.meshgrid(v, u, indexing="ij")
        return self.directions(torch.stack([x, y], -1))

    def directions(self, pixels: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 3"]:
        """K^-1 (u, v, 1) at pixel coordinates (u, v)."""
        u, v = pixels.unbind(-1)
        x, y = (u - self.cx) / self.fx, (v - self.cy) / self.fy
        return torch.stack([x, y, torch.ones_like(x)], -1)

    def project(self, points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 2"]:
        """Pixel coordinates (u, v) of points in the camera's frame."""
        x, y, z = points.unbind(-1)
        return torch.stack([self.fx * x / z + self.cx, self.fy * y / z + self.cy], -1)


@dataclass(frozen=True)
class Cameras:
    """Cameras that share one pinhole (or `Lens`), each at its own place in the world."""

    pinhole: Pinhole
    camera_from_world: Rigid

    def __len__(self) -> int:
        return len(self.camera_from_world.translation)

    def __getitem__(self, index: slice) -> "Cameras":
        return Cameras(self.pinhole, self.camera_from_world[index])

    def rows(self, first: int, last: int) -> "Cameras":
        """The cameras of rows `first` to `last` - 1 of the pictures."""
        return Cameras(self.pinhole.cropped(0, first, self.pinhole.width, last - first), self.camera_from_world)
