"""The numba loop of `smoothing`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import compiled, inlined


@inlined
def towards(values: Any, row: int, other: int, weight: Any, into: Any) -> None:
    """Add what makes a row more like another one; a difference counts as 1 at most."""
    if other >= 0:
        for c in range(values.shape[1]):
            difference = values[row, c] - values[other, c]
            into[c] += weight * min(max(difference, np.float32(-1)), np.float32(1))


@compiled
def smoothed(touched: Any, voxel_of: Any, row_of: Any, values: Any, weight: Any, gradient: Any) -> None:
    """Add to gradient [n, c] of the rows touched. `voxel_of` is empty where rows are voxels, and `row_of` then is not
    asked but for its shape."""
    nx, ny, nz = row_of.shape
    rows, dense = row_of.reshape(-1), len(voxel_of) == 0
    for n in range(len(touched)):
        row = touched[n]
        at = row if dense else voxel_of[row]
        k, j, i = at % nz, (at // nz) % ny, at // (nz * ny)
        for axis in range(3):
            side, place = (ny * nz, i) if axis == 0 else ((nz, j) if axis == 1 else (1, k))
            count = nx if axis == 0 else (ny if axis == 1 else nz)
            if place > 0:
                other = at - side
                towards(values, row, other if dense else rows[other], weight, gradient[n])
            if place < count - 1:
                other = at + side
                towards(values, row, other if dense else rows[other], weight, gradient[n])
