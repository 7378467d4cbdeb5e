"""The spaces that a scene lies in, and rays in them.

box         rays and points as they are
contracted  all of space in a cube of side 4: the cube of side 2 about the origin stays, what is beyond is brought in
            (Barron et al. 2022, mip-NeRF 360, eq. 10, with the largest coordinate as the norm, which suits grids)
ndc         normalised device coordinates for what is seen from one side (Mildenhall et al. 2020, appendix C): straight
            rays stay straight, the near plane z = 1 becomes -1 and the horizon 1
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Float, Int
from torch import Tensor

CONTRACTED = (-2.0, -2.0, -2.0, 2.0, 2.0, 2.0)
"""where contracted points lie"""


@dataclass(frozen=True)
class Rays:
    """Rays x = origin + t * direction in the coordinates in which a field is asked, for t from `near` to `far`."""

    origins: Float[Tensor, "r 3"]
    directions: Float[Tensor, "r 3"]
    """unit"""
    sights: Float[Tensor, "r 3"]
    """unit, in the scene's own frame whatever the space: what a colour that depends on the direction is asked with"""
    near: Float[Tensor, "r"]
    far: Float[Tensor, "r"]
    index: Int[Tensor, "r"]
    """a number of its own for each, by which what is drawn at random is drawn"""

    def __len__(self) -> int:
        return len(self.near)

    def __getitem__(self, chosen: "slice | Tensor") -> "Rays":
        return Rays(*(getattr(self, f.name)[chosen] for f in fields(self)))


def contracted(points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """x where no coordinate is beyond 1; else x / m * (2 - 1 / m), where m is the largest coordinate's amount."""
    largest = points.abs().amax(-1, keepdim=True).clamp_min(1)
    return points * ((2 - 1 / largest) / largest)


def contracted_speed(points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
    """How far contracted points move for one unit along their directions."""
    largest, axis = points.abs().max(1, keepdim=True)
    grows = (directions * points.sign()).gather(1, axis)  # of the largest coordinate
    inverse = 1 / largest.clamp_min(1)
    share = (2 - inverse) * inverse
    moved = share * directions + (2 * inverse**3 - 2 * inverse**2) * grows * points
    return torch.where(largest > 1, moved, directions).norm(dim=1)


def expanded(points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """The points whose contractions these are; what is at the cube's faces lies a million units out."""
    largest = points.abs().amax(-1, keepdim=True).clamp(1, 2 - 1e-6)
    return points * (1 / (2 - largest) / largest)


def within_space(points: Float[Tensor, "n 3"], space: str, window: tuple[float, float]) -> Float[Tensor, "n 3"]:
    """Points of the scene's frame in the coordinates in which a field is asked: box, contracted or ndc."""
    if space == "contracted":
        return contracted(points)
    if space == "box":
        return points
    z = points[:, 2:].clamp_min(1e-6)
    return torch.cat([points[:, :2] / z / points.new_tensor(window), 1 - 2 / z], 1)


def out_of_space(places: Float[Tensor, "n 3"], space: str, window: tuple[float, float]) -> Float[Tensor, "n 3"]:
    """The points of the scene's frame that `within_space` brings to these places."""
    if space == "contracted":
        return expanded(places)
    if space == "box":
        return places
    slopes = torch.cat([places[:, :2] * places.new_tensor(window), torch.ones_like(places[:, 2:])], 1)
    return slopes * window_depth(places[:, 2:])


def speed_within(
    points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"], space: str, window: tuple[float, float]
) -> Float[Tensor, "n"]:
    """How far `within_space` of points moves for one unit along their directions in the scene's frame: what a density
    per unit there is more than one per unit here."""
    if space == "contracted":
        return contracted_speed(points, directions)
    return torch.ones_like(points[:, 0]) if space == "box" else windowed_speed(points, directions, window)


def window_rays(
    origins: Float[Tensor, "r 3"], directions: Float[Tensor, "r 3"], window: tuple[float, float]
) -> tuple[Float[Tensor, "r 3"], Float[Tensor, "r 3"]]:
    """Rays in normalised device coordinates: origins on the near plane, and directions that reach the horizon at t = 1.

    The camera looks along +z from z <= 0, the near plane is z = 1, and `window` is half its width and height.
    """
    origins = origins + (1 - origins[:, 2:]) / directions[:, 2:] * directions
    size = origins.new_tensor(window)
    there = origins[:, :2] / size  # z is 1
    slope = directions[:, :2] / directions[:, 2:] / size - there
    near = torch.full_like(origins[:, 2:], -1.0)
    return torch.cat([there, near], 1), torch.cat([slope, torch.full_like(near, 2.0)], 1)


def windowed(points: Float[Tensor, "n 3"], window: tuple[float, float]) -> Float[Tensor, "n 3"]:
    """Points before the camera in normalised device coordinates, those of `window_rays`."""
    z = points[:, 2:]
    return torch.cat([points[:, :2] / z / points.new_tensor(window), 1 - 2 / z], 1)


def windowed_speed(
    points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"], window: tuple[float, float]
) -> Float[Tensor, "n"]:
    """How far normalised device coordinates move for one unit along the directions."""
    z, forward = points[:, 2:], directions[:, 2:]
    aside = (directions[:, :2] - points[:, :2] / z * forward) / z / points.new_tensor(window)
    return torch.cat([aside, 2 * forward / z**2], 1).norm(dim=1)


def window_depth(z: Float[Tensor, "*b"]) -> Float[Tensor, "*b"]:
    """The distance from the plane z = 0 of what has the third normalised device coordinate `z`, from -1 to 1."""
    return 2 / (1 - z).clamp_min(1e-6)
