"""The numba loop of `carving`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import compiled


@compiled
def carve(inside: Any, low: Any, high: Any, silhouette: Any, pose: Any, lens: Any) -> None:
    """Take out of `inside` [i, j, k] the cells that the picture rules out."""
    side = np.empty(3, np.float32)
    for a in range(3):
        side[a] = (high[a] - low[a]) / inside.shape[a]
    half = np.float32(0.5)
    radius = half * np.sqrt(side[0] * side[0] + side[1] * side[1] + side[2] * side[2]) * max(lens[0], lens[1])
    for i in range(inside.shape[0]):
        x = low[0] + (i + half) * side[0]
        for j in range(inside.shape[1]):
            y = low[1] + (j + half) * side[1]
            for k in range(inside.shape[2]):
                if not inside[i, j, k]:
                    continue
                z = low[2] + (k + half) * side[2]
                depth = pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3]
                if not depth > 0:
                    continue
                u = lens[0] * (pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3]) / depth + lens[2]
                v = lens[1] * (pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3]) / depth + lens[3]
                seen = u >= 0 and v >= 0 and u < silhouette.shape[1] and v < silhouette.shape[0]
                if seen and silhouette[int(v), int(u)] > radius / depth + 1:
                    inside[i, j, k] = False
