"""Similarities: a scale, a turn and a shift between two frames of one scene."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Similarity:
    """`x_b = scale * rotation @ x_a + translation` for a `Similarity` called `b_from_a`. Float64, row vectors below."""

    scale: float
    rotation: Float[np.ndarray, "3 3"]
    translation: Float[np.ndarray, "3"]

    @staticmethod
    def identity() -> "Similarity":
        return Similarity(1.0, np.eye(3), np.zeros(3))

    @property
    def inverse(self) -> "Similarity":
        """`a_from_b` of this `b_from_a`."""
        rotation = self.rotation.T
        return Similarity(1 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def __matmul__(self, other: "Similarity") -> "Similarity":
        """`c_from_b @ b_from_a` is `c_from_a`."""
        return Similarity(
            self.scale * other.scale,
            self.rotation @ other.rotation,
            self.scale * self.rotation @ other.translation + self.translation,
        )

    def apply(self, points: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Move points from frame a to frame b."""
        return self.scale * np.asarray(points, np.float64) @ self.rotation.T + self.translation

    def turn(self, directions: Float[np.ndarray, "*b 3"]) -> Float[np.ndarray, "*b 3"]:
        """Turn directions from frame a to frame b."""
        return np.asarray(directions, np.float64) @ self.rotation.T

    def place(self, a_from_camera: Float[np.ndarray, "*b 4 4"]) -> Float[np.ndarray, "*b 4 4"]:
        """Poses in frame a as poses in frame b: rigid again, since what a camera sees has no scale."""
        placed = np.array(a_from_camera, np.float64)
        placed[..., :3, :3] = self.rotation @ placed[..., :3, :3]
        placed[..., :3, 3] = self.apply(placed[..., :3, 3])
        return placed


def aligned(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "n 3"]) -> Similarity:
    """`b_from_a` with the least squared distances (Umeyama 1991). ValueError for fewer than three points, or points on
    one line, which leave the turn open."""
    if len(a) != len(b) or len(a) < 3:
        raise ValueError(f"{len(a)} and {len(b)} points cannot be aligned: give the same three or more in both frames")
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    mean_a, mean_b = a.mean(0), b.mean(0)
    u, spread, v = np.linalg.svd((b - mean_b).T @ (a - mean_a) / len(a))
    if spread[1] <= 1e-12 * max(spread[0], 1e-300):
        raise ValueError("points on one line cannot be aligned: they leave open how the scene is turned about it")
    signs = np.array([1, 1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ np.diag(signs) @ v
    scale = float((spread * signs).sum() / ((a - mean_a) ** 2).sum() * len(a))
    return Similarity(scale, rotation, mean_b - scale * rotation @ mean_a)


def rotation_between(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> Float[np.ndarray, "3 3"]:
    """The smallest turn that takes direction a to direction b."""
    x, y = (np.asarray(v, np.float64) / np.linalg.norm(v) for v in (a, b))
    cosine = float(x @ y)
    if cosine < -1 + 1e-9:  # opposite: half a turn about anything across
        across = np.cross(x, np.eye(3)[np.argmin(np.abs(x))])
        across /= np.linalg.norm(across)
        return 2 * np.outer(across, across) - np.eye(3)
    axis = np.cross(x, y)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)
