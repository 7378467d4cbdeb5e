"""The numba loops of `distance_terms`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import compiled, inlined

ONE, TINY = np.float32(1), np.float32(1e-6)


@inlined
def of_neighbour(pull: Any, rows: Any, voxel: int, which: int) -> Any:
    """A number of a voxel's; 0 where it is not in the band."""
    row = rows[voxel]
    return pull[row, which] if row >= 0 else np.float32(0)


@compiled
def pulls(voxels: Any, values: Any, shape: Any, side: Any, eikonal: Any, curvature: Any, pull: Any) -> None:
    """Fill pull [n, 4] of voxels [n]: by how much the terms change with the three differences across it, and with what
    its neighbours are above it in sum; 0 on the grid's faces."""
    nx, ny, nz = shape
    plane, half, bend = ny * nz, np.float32(0.5) / side, curvature / (side * side)
    for n in range(len(voxels)):
        v = voxels[n]
        i, j, k = v // plane, (v // nz) % ny, v % nz
        if i < 1 or j < 1 or k < 1 or i > nx - 2 or j > ny - 2 or k > nz - 2:
            pull[n, 0] = pull[n, 1] = pull[n, 2] = pull[n, 3] = np.float32(0)
            continue
        xa, xb, ya, yb = values[v - plane], values[v + plane], values[v - nz], values[v + nz]
        za, zb = values[v - 1], values[v + 1]
        gx, gy, gz = (xb - xa) * half, (yb - ya) * half, (zb - za) * half
        length = np.sqrt(gx * gx + gy * gy + gz * gz + TINY * TINY)
        strength = eikonal * (ONE - ONE / length) * half
        pull[n, 0], pull[n, 1], pull[n, 2] = strength * gx, strength * gy, strength * gz
        pull[n, 3] = bend * (xa + xb + ya + yb + za + zb - np.float32(6) * values[v])


@compiled
def joined(voxels: Any, rows: Any, shape: Any, pull: Any, into: Any) -> None:
    """Fill into [n], the gradient of both terms at voxels [n]: what each pulls at itself and at its neighbours."""
    nx, ny, nz = shape
    plane, count = ny * nz, nx * ny * nz
    for n in range(len(voxels)):
        v = voxels[n]
        total = np.float32(-6) * of_neighbour(pull, rows, v, 3)
        for axis in range(3):
            reach = plane if axis == 0 else (nz if axis == 1 else 1)
            # those on the faces pull at nobody, so it does not matter that rows of voxels run on into the next
            if v >= reach:
                total += of_neighbour(pull, rows, v - reach, axis) + of_neighbour(pull, rows, v - reach, 3)
            if v + reach < count:
                total += of_neighbour(pull, rows, v + reach, 3) - of_neighbour(pull, rows, v + reach, axis)
        into[n] = total
