"""The numba loop of `variation`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import compiled, inlined

NONE = np.float32(0)


@inlined
def placed(row: int, place: Any, rows: Any, into: Any, used: int) -> Any:
    """Where the gradient of a row is added up, and how many rows there are by now; -1 for a row of -1."""
    if row < 0:
        return -1, used
    if place[row] == 0:
        rows[used] = row
        used += 1
        place[row] = used
        for c in range(into.shape[1]):
            into[used - 1, c] = NONE
    return place[row] - 1, used


@inlined
def beyond(values: Any, row: int, own: Any, c: int) -> Any:
    """How much the next voxel has more; 0 where there is none."""
    return values[row, c] - own if row >= 0 else NONE


@compiled
def vary(
    used: int, start: int, count: int, variation: Any, sparsity: Any, least: Any, row_of: Any, values: Any, place: Any,
    rows: Any, into: Any,
) -> int:  # fmt: skip
    """Add the gradient of the penalty to into [n, c], of the rows [n] of which the first `used` are named. Returns how
    many are named then. `place` are zeros, and are so again afterwards."""
    nx, ny, nz = row_of.shape
    row_at, dense = row_of.reshape(-1), len(values) == row_of.size
    for n in range(used):
        place[rows[n]] = n + 1
    for n in range(count):
        at = (start + n) % row_of.size
        row = at if dense else row_at[at]
        if row < 0:
            continue
        x = at + ny * nz if at // (ny * nz) < nx - 1 else -1
        y = at + nz if (at // nz) % ny < ny - 1 else -1
        z = at + 1 if at % nz < nz - 1 else -1
        if not dense:
            x, y, z = row_at[x] if x >= 0 else -1, row_at[y] if y >= 0 else -1, row_at[z] if z >= 0 else -1
        m, used = placed(row, place, rows, into, used)
        mx, used = placed(x, place, rows, into, used)
        my, used = placed(y, place, rows, into, used)
        mz, used = placed(z, place, rows, into, used)
        for c in range(values.shape[1]):
            own = values[row, c]
            dx, dy, dz = beyond(values, x, own, c), beyond(values, y, own, c), beyond(values, z, own, c)
            share = variation / np.sqrt(dx * dx + dy * dy + dz * dz + least)
            into[m, c] -= share * (dx + dy + dz)
            if own > 0:
                into[m, c] += sparsity * np.float32(4) * own / (np.float32(1) + np.float32(2) * own * own)
            if mx >= 0:
                into[mx, c] += share * dx
            if my >= 0:
                into[my, c] += share * dy
            if mz >= 0:
                into[mz, c] += share * dz
    for n in range(used):
        place[rows[n]] = 0
    return used
