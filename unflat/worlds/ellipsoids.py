"""Shapes made of ellipsoids that run together, seen along rays.

Ellipsoid i has the level g_i(x) = k_i ((x - c_i)' A_i (x - c_i) - 1), which is 0 on its surface, and the surface of all
of them is where F = sum_i exp(-g_i) is 1: a smooth union, since -log F is a soft minimum of the levels. One ellipsoid
alone keeps its exact shape.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unflat.kernels.blend_hits import blend_hits


@dataclass(frozen=True)
class Ellipsoids:
    """The parts of one shape."""

    centres: Float[np.ndarray, "p 3"]
    forms: Float[np.ndarray, "p 3 3"]
    """A_i, symmetric: R diag(1 / radii^2) R' for axes that are the columns of R"""
    sharpness: Float[np.ndarray, "p"]
    """k_i: the seam with a neighbour is about radius / (2 k) wide"""

    def hits(
        self, rays: Float[np.ndarray, "2 n"], base: Float[np.ndarray, "3 3"], direction: Float[np.ndarray, "3 3"]
    ) -> Float[np.ndarray, "n"]:
        """s of the nearest point of the surface on each ray base r + s direction r, r = (x, y, 1); NaN if none.

        It is looked for from s = -REACH to REACH of `kernels.blend_hits`.
        """
        steep = self.sharpness[:, None, None] * self.forms
        away = base - self.centres[:, :, None] * np.array([0.0, 0.0, 1.0])
        a = direction.T @ steep @ direction
        b = away.swapaxes(1, 2) @ steep @ direction
        c = away.swapaxes(1, 2) @ steep @ away
        polynomials = np.stack([_polynomial(form) for form in (a, b, c)])
        polynomials[2, :, 2] -= self.sharpness
        return blend_hits(polynomials, *rays)

    def shares(self, points: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "p n"]:
        """exp(-g_i) at points: the share of each part in the surface there."""
        x, y, z = points
        steep = self.sharpness[:, None, None] * self.forms
        shift = (steep @ self.centres[:, :, None])[..., 0]
        level = (shift * self.centres).sum(1) - self.sharpness
        weights = [steep[:, 0, 0], steep[:, 1, 1], steep[:, 2, 2], 2 * steep[:, 0, 1], 2 * steep[:, 0, 2]]
        weights += [2 * steep[:, 1, 2], *(-2 * shift.T), level]
        monomials = np.stack([x * x, y * y, z * z, x * y, x * z, y * z, x, y, z, np.ones_like(x)])
        return np.exp((-np.stack(weights, 1) @ monomials).astype(np.float32))

    def normals(self, points: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "3 n"]:
        """-grad F / |grad F|: outward unit normals at points of the surface."""
        shares = self.shares(points)
        steep = self.sharpness[:, None, None] * self.forms
        pulls = np.concatenate([steep, -steep @ self.centres[:, :, None]], 2).reshape(-1, 12).astype(np.float32)
        pulls = (pulls.T @ shares).reshape(3, 4, -1)
        x, y, z = points.astype(np.float32)
        outwards = pulls[:, 0] * x + pulls[:, 1] * y + pulls[:, 2] * z + pulls[:, 3]
        return outwards / np.sqrt((outwards * outwards).sum(0))


def _polynomial(forms: Float[np.ndarray, "p 3 3"]) -> Float[np.ndarray, "p 6"]:
    """r' form r for r = (x, y, 1), over x^2, y^2, 1, x y, x, y."""
    both = forms + forms.swapaxes(1, 2)
    rows = [forms[:, 0, 0], forms[:, 1, 1], forms[:, 2, 2], both[:, 0, 1], both[:, 0, 2], both[:, 1, 2]]
    return np.stack(rows, 1)
