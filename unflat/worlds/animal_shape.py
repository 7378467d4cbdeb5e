"""Heads of invented animals as ellipsoids that run together: skull, cheeks, muzzle, nose, brows, eyes, ears, neck.

Lengths are in units of which the picture is 14 wide at the head's distance; x right, y down, z away from the camera.
The head's middle is near 0. Everything beside the plane x = 0 is there twice, mirrored.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float

from unflat.worlds.ellipsoids import Ellipsoids
from unflat.worlds.relatives import Draws

UNIT = 0.0125
"""over the distance to the camera"""
ORIGIN = np.array([0.0, 0.012, 1.0])
"""where the middle of a head stands: ears take room above it, and it turns about the point (0, 0, 1)"""
MIRROR = np.array([-1.0, 1.0, 1.0])


@dataclass(frozen=True)
class Part:
    """An ellipsoid on the right of the picture or in its middle."""

    centre: Float[np.ndarray, "3"]
    radii: Float[np.ndarray, "3"]
    seam: float
    """how wide the transition to its neighbours is"""
    lean: Float[np.ndarray, "3"] = field(default_factory=lambda: np.zeros(3))
    """turns about x, y and z in radians, in this order"""

    @cached_property
    def axes(self) -> Float[np.ndarray, "3 3"]:
        """The ellipsoid's axes as columns."""
        (cx, cy, cz), (sx, sy, sz) = np.cos(self.lean), np.sin(self.lean)
        about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ about_y @ about_x

    @cached_property
    def form(self) -> Float[np.ndarray, "3 3"]:
        """A of (x - centre)' A (x - centre) = 1."""
        return self.axes @ np.diag(self.radii**-2.0) @ self.axes.T

    def local(self, points: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
        """Points in the ellipsoid's own frame, in which it is the unit sphere."""
        inwards = self.axes.T / self.radii[:, None]
        return inwards.astype(points.dtype) @ (points - self.centre[:, None].astype(points.dtype))


@dataclass(frozen=True)
class Head:
    """A head's parts, those first that paint refers to."""

    muzzle: Part
    nose: Part
    eye: Part
    ear: Part
    rest: tuple[Part, ...]

    @cached_property
    def ellipsoids(self) -> Ellipsoids:
        """All parts, in the canonical frame, in which the camera is at 0."""
        return _joined([self.muzzle, self.nose, self.eye, self.ear, *self.rest])


def _joined(parts: list[Part]) -> Ellipsoids:
    rows = []
    for part in parts:
        sharpness = part.radii.min() / (2 * part.seam)
        rows.append((part.centre, part.form, sharpness))
        if part.centre[0]:
            rows.append((part.centre * MIRROR, part.form * np.outer(MIRROR, MIRROR), sharpness))
    centres, forms, sharpness = (np.array(column) for column in zip(*rows, strict=True))
    return Ellipsoids(centres * UNIT + ORIGIN, forms / UNIT**2, sharpness)


def to_head(canonical: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
    """From the canonical frame to a head's own."""
    return (canonical - ORIGIN[:, None]) / UNIT


def random_head(rng: Draws) -> Head:
    """A head drawn at random: short or long muzzle, one of four kinds of ears, perhaps nubs and a ruff."""
    width, height = rng.uniform(4.3, 5.3), rng.uniform(4.2, 5.0)
    skull = _part((0, -0.5, 1.2), (width, height, rng.uniform(4.2, 4.8)), 0.35)
    low, length = rng.uniform(1.3, 2.4), rng.uniform(1.6, 3.2)
    muzzle = _part((0, low, -length), (rng.uniform(1.5, 2.4), rng.uniform(1.3, 1.9), rng.uniform(2.0, 2.8)), 0.35)
    front = -length - 0.86 * muzzle.radii[2]
    nose_size = rng.uniform(0.7, 1.15)
    nose = _part((0, low - rng.uniform(0.35, 0.7), front), (nose_size, 0.72 * nose_size, 0.6), 0.1)
    around = [skull, *_muzzle_parts(rng, muzzle), *_cheeks(rng, width), *_behind(rng, width, height)]
    eye, brow = _eye_and_brow(rng, [muzzle, *around])
    return Head(muzzle, nose, eye, _random_ear(rng, width, height), (*around, brow, *_nubs(rng, width, height)))


def _part(centre: Sequence[Any], radii: Sequence[Any], seam: float, lean: Sequence[Any] = (0, 0, 0)) -> Part:
    return Part(np.array(centre, float), np.array(radii, float), seam, np.array(lean, float))


def _muzzle_parts(rng: Draws, muzzle: Part) -> list[Part]:
    """The bridge of the nose, lips and chin."""
    low, forward, (wide, _, deep) = muzzle.centre[1], muzzle.centre[2], muzzle.radii
    lip = _part((0.5 * wide, low + 0.5, forward - 0.55 * deep), (0.62 * wide, 0.95, 0.5 * deep), 0.15)
    chin = _part((0, low + 1.45, forward + 0.1 * deep), (0.75 * wide, 0.9, 0.75 * deep), 0.2)
    bridge = _part((0, low - 2.0, 0.62 * forward - 0.9), (rng.uniform(0.8, 1.3), 2.2, 1.5), 0.4, (-0.35, 0, 0))
    return [lip, chin, bridge]


def _cheeks(rng: Draws, width: float) -> list[Part]:
    centre = (width * rng.uniform(0.42, 0.58), rng.uniform(0.9, 2.0), rng.uniform(-0.6, 0.2))
    return [_part(centre, (rng.uniform(1.7, 2.6), rng.uniform(1.7, 2.5), rng.uniform(1.8, 2.4)), 0.45)]


def _behind(rng: Draws, width: float, height: float) -> list[Part]:
    """The neck, which leaves the picture, and on some a ruff around the head."""
    neck = _part((0, 7.5, 3.6), (width * rng.uniform(0.75, 1.0), 6.0, 3.4), 0.5)
    if rng.random() > 0.35:
        return [neck]
    return [neck, _part((0, 1.0, 3.4), (width * rng.uniform(1.15, 1.4), height * rng.uniform(1.05, 1.25), 2.4), 0.3)]


def _eye_and_brow(rng: Draws, around: list[Part]) -> tuple[Part, Part]:
    """An eye that looks out of the surface of the parts around it, and the ridge above it."""
    size, x, y = rng.uniform(0.68, 1.05), rng.uniform(1.75, 2.5), rng.uniform(-1.5, -0.5)
    place, normal = _on_surface(around, x, y)
    eye = Part(place - 0.45 * size * normal, np.full(3, size), 0.06)
    above, outwards = _on_surface(around, x + 0.1, y - 1.15 * size)
    ridge = np.array([rng.uniform(1.1, 1.5), rng.uniform(0.45, 0.6), rng.uniform(0.6, 0.85)])
    return eye, Part(above - 0.3 * outwards, ridge, 0.2, np.array([0, 0, rng.uniform(-0.15, 0.35)]))


def _on_surface(parts: list[Part], x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    """The point of the parts' front at about (x, y), and its normal."""
    shape, here = _joined(parts), np.array([[x], [y]]) * UNIT + ORIGIN[:2, None]
    point = np.append(here, [[1.0]], 0) * (1 + shape.hits(here, np.eye(3), np.eye(3)))
    return to_head(point)[:, 0], shape.normals(point)[:, 0]


def _random_ear(rng: Draws, width: float, height: float) -> Part:
    """Round, pointed, hanging or long."""
    kind = rng.choice(4, p=[0.3, 0.35, 0.2, 0.15])
    size = rng.uniform(0.9, 1.15)
    if kind == 0:
        place, radii, tilt = (0.76 * width, -0.5 - 0.78 * height, 1.6), (1.7 * size, 1.8 * size, 0.85), 0.4
    elif kind == 1:
        place, radii, tilt = (0.62 * width, -0.9 - 0.86 * height, 1.6), (1.25 * size, 2.5 * size, 0.8), 0.35
    elif kind == 2:
        place, radii, tilt = (0.98 * width, -0.8, 1.2), (1.2, 3.1 * size, 1.0), -0.22
    else:
        place, radii, tilt = (1.12 * width, -1.6, 1.8), (2.6 * size, 1.15 * size, 0.8), -0.35
    lean = (rng.normal(0, 0.08), rng.normal(-0.1, 0.1), tilt + rng.normal(0, 0.12))
    return _part(place, radii, 0.18, lean)


def _nubs(rng: Draws, width: float, height: float) -> list[Part]:
    """Short horns on one head in five."""
    if rng.random() > 0.2:
        return []
    place = (rng.uniform(0.25, 0.42) * width, -0.3 - 0.95 * height, 0.4)
    return [_part(place, (0.6, rng.uniform(1.1, 1.7), 0.6), 0.15, (0.1, 0.0, rng.uniform(0.0, 0.3)))]
