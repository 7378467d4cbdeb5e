"""The numba loop of `heaviest`."""

from typing import Any

import numpy as np

from unflat.kernels.lookup_cpu import corner_place, entry
from unflat.kernels.walking_cpu import compiled


@compiled
def largest(heaviest: Any, weight: Any, points: Any, low: Any, high: Any, nx: int, ny: int, nz: int) -> None:
    """Raise the weights of the voxels around the samples."""
    for m in range(len(weight)):
        i, _ = entry(min(max((points[m, 0] - low[0]) / (high[0] - low[0]), np.float32(0)), np.float32(1)), nx)
        j, _ = entry(min(max((points[m, 1] - low[1]) / (high[1] - low[1]), np.float32(0)), np.float32(1)), ny)
        k, _ = entry(min(max((points[m, 2] - low[2]) / (high[2] - low[2]), np.float32(0)), np.float32(1)), nz)
        at = (i * ny + j) * nz + k
        for corner in range(8):
            place = corner_place(corner, at, nz, ny * nz)
            heaviest[place] = max(heaviest[place], weight[m])
