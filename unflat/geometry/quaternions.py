"""Unit quaternions (w, x, y, z) for rotations that are to be joined smoothly. Numpy, float64."""

import numpy as np
from jaxtyping import Float

NEARLY = 1e-6
"""radians: on shorter arcs the mean is taken instead"""


def quaternion_of(rotation: Float[np.ndarray, "3 3"]) -> Float[np.ndarray, "4"]:
    """Of a rotation, either of the two: the main axis of Bar-Itzhack's matrix (2000), which has no special cases."""
    (a, b, c), (d, e, f), (g, h, i) = rotation
    matrix = np.array(
        [
            [a + e + i, h - f, c - g, d - b],
            [h - f, a - e - i, b + d, c + g],
            [c - g, b + d, e - a - i, f + h],
            [d - b, c + g, f + h, i - a - e],
        ]
    )
    return np.linalg.eigh(matrix)[1][:, -1]


def rotation_of(quaternion: Float[np.ndarray, "*n 4"]) -> Float[np.ndarray, "*n 3 3"]:
    """The rotation of a quaternion of any length but 0."""
    w, x, y, z = np.moveaxis(quaternion / np.linalg.norm(quaternion, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


def neighbourly(quaternions: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    """The same rotations, each by the one of its two quaternions that is nearer to the one before."""
    agree = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
    signs = np.concatenate([[1.0], np.cumprod(np.where(agree == 0, 1.0, agree))])
    return quaternions * signs[:, None]


def slerp(quaternions: Float[np.ndarray, "n 4"], at: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m 4"]:
    """On the great arcs from each of two or more to the next (Shoemake 1985): number i at i, evenly in between."""
    first = np.minimum(at.astype(np.int64), len(quaternions) - 2)
    share = (at - first)[:, None]
    a, b = quaternions[first], quaternions[first + 1]
    angle = np.arccos((a * b).sum(1, keepdims=True).clip(-1, 1))
    near = angle < NEARLY
    sine = np.where(near, 1.0, np.sin(angle))
    of_a = np.where(near, 1 - share, np.sin((1 - share) * angle) / sine)
    return of_a * a + np.where(near, share, np.sin(share * angle) / sine) * b
