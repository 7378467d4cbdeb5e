"""Lenses that bend the picture: the distortion models of COLMAP, OpenCV and nerfstudio.

A point at (x, y, 1) in the camera's frame is seen at (fx u + cx, fy v + cy), where (u, v) = bend(x, y). What bends is
one of four formulas, under COLMAP's names; the simpler models are theirs with coefficients of zero.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from unflat.geometry.cameras import Pinhole

NEWTON_STEPS = 20
NEARLY = 1e-10
"""in units of the focal length: a millionth of a pixel at a focal length of 10,000"""
APART = 1e-6
"""of the differences that stand for the derivative in Newton's steps"""


@dataclass(frozen=True)
class Lens(Pinhole):
    """A pinhole behind a lens that bends the picture."""

    model: str = "opencv"
    """one of `MODELS`"""
    coefficients: tuple[float, ...] = ()
    """in the order of the model; those left out at the end are zero"""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ValueError(f"there is no lens model {self.model!r}; there are {', '.join(MODELS)}")
        most = len(MODELS[self.model].names)
        if len(self.coefficients) > most:
            raise ValueError(
                f"{len(self.coefficients)} coefficients are given for the lens model {self.model}, which has {most}: "
                f"{', '.join(MODELS[self.model].names)}"
            )

    @property
    def plain(self) -> Pinhole:
        """The same camera without what bends."""
        return Pinhole(self.fx, self.fy, self.cx, self.cy, self.width, self.height)

    def bend(self, points: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
        """Where (x, y, 1) is seen, in units of the focal lengths from the principal point."""
        model = MODELS[self.model]
        known = [*self.coefficients, *[0.0] * (len(model.names) - len(self.coefficients))]
        return torch.stack(model.bend(*points.unbind(-1), *known), -1)

    def straight(self, bent: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 2"]:
        """The (x, y) that `bend` takes there, by Newton's method in float64; NaN where none was found."""
        target, point = bent.double(), bent.double().clone()
        across, down = (point.new_tensor(step) for step in ((APART, 0.0), (0.0, APART)))
        for _ in range(NEWTON_STEPS):
            apart = self.bend(point) - target
            if apart.abs().max().nan_to_num(0.0) < NEARLY:
                break
            of_x = (self.bend(point + across) - self.bend(point - across)) / (2 * APART)
            of_y = (self.bend(point + down) - self.bend(point - down)) / (2 * APART)
            determinant = of_x[..., 0] * of_y[..., 1] - of_x[..., 1] * of_y[..., 0]
            dx = (apart[..., 0] * of_y[..., 1] - apart[..., 1] * of_y[..., 0]) / determinant
            dy = (of_x[..., 0] * apart[..., 1] - of_x[..., 1] * apart[..., 0]) / determinant
            point = point - torch.stack([dx, dy], -1)
        found = (self.bend(point) - target).abs().amax(-1, keepdim=True) < 1e4 * NEARLY
        return point.where(found, torch.nan).to(bent.dtype)

    def directions(self, pixels: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b 3"]:
        """(x, y, 1) that is seen at pixel coordinates (u, v): a point is its depth times this."""
        centre, focal = (pixels.new_tensor(pair) for pair in ((self.cx, self.cy), (self.fx, self.fy)))
        points = self.straight((pixels - centre) / focal)
        return torch.cat([points, torch.ones_like(points[..., :1])], -1)

    def project(self, points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 2"]:
        """Pixel coordinates (u, v) of points in the camera's frame."""
        centre, focal = (points.new_tensor(pair) for pair in ((self.cx, self.cy), (self.fx, self.fy)))
        return self.bend(points[..., :2] / points[..., 2:]) * focal + centre

    def resized(self, width: int, height: int) -> "Lens":
        """The same camera with another number of pixels over the same image plane."""
        plain = self.plain.resized(width, height)
        return replace(self, fx=plain.fx, fy=plain.fy, cx=plain.cx, cy=plain.cy, width=width, height=height)


@dataclass(frozen=True)
class Model:
    """A formula and the names of its coefficients."""

    names: tuple[str, ...]
    bend: Callable[..., tuple[Tensor, Tensor]]


def _opencv(
    x: Tensor, y: Tensor, k1: float, k2: float, p1: float, p2: float, k3: float, k4: float, k5: float, k6: float
) -> tuple[Tensor, Tensor]:
    """Radial as a quotient of two polynomials, and tangential (COLMAP's FULL_OPENCV)."""
    square = x * x + y * y
    radial = (1 + square * (k1 + square * (k2 + square * k3))) / (1 + square * (k4 + square * (k5 + square * k6)))
    u = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)
    return u, y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y)


def _by_angle(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The point at the same side, as far out as its angle to the optical axis in radians."""
    radius = (x * x + y * y).clamp_min(1e-16).sqrt()  # the root of zero has no gradient
    share = torch.atan(radius) / radius
    return x * share, y * share


def _fisheye(x: Tensor, y: Tensor, k1: float, k2: float, k3: float, k4: float) -> tuple[Tensor, Tensor]:
    """Equidistant with an odd polynomial of the angle (OpenCV's fisheye, after Kannala and Brandt 2006)."""
    x, y = _by_angle(x, y)
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))
    return x * radial, y * radial


def _fov(x: Tensor, y: Tensor, omega: float) -> tuple[Tensor, Tensor]:
    """A single angle (Devernay and Faugeras 2001)."""
    if abs(omega) < 1e-6:
        return x, y
    radius = (x * x + y * y).clamp_min(1e-16).sqrt()
    share = torch.atan(radius * (2 * math.tan(omega / 2))) / (radius * omega)
    return x * share, y * share


def _thin_prism_fisheye(
    x: Tensor, y: Tensor, k1: float, k2: float, p1: float, p2: float, k3: float, k4: float, sx1: float, sy1: float
) -> tuple[Tensor, Tensor]:
    """A fisheye whose elements are not parallel (COLMAP's THIN_PRISM_FISHEYE)."""
    x, y = _by_angle(x, y)
    square = x * x + y * y
    radial = 1 + square * (k1 + square * (k2 + square * (k3 + square * k4)))
    u = x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x) + sx1 * square
    return u, y * radial + 2 * p2 * x * y + p1 * (square + 2 * y * y) + sy1 * square


MODELS: Mapping[str, Model] = MappingProxyType(
    {
        "opencv": Model(("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6"), _opencv),
        "fisheye": Model(("k1", "k2", "k3", "k4"), _fisheye),
        "fov": Model(("omega",), _fov),
        "thin_prism_fisheye": Model(("k1", "k2", "p1", "p2", "k3", "k4", "sx1", "sy1"), _thin_prism_fisheye),
    }
)
