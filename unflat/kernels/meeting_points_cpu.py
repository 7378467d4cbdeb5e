"""The numba loops of `meeting_points`: a module of its own so that numba is imported only where it is used."""

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy", boundscheck=False, inline="always")
def plane(near: Any, k: int) -> Any:
    """(a, b, value at the cell's corner) of triangle k's 1/depth, and the row and column of its cell."""
    height, width = near.shape
    cells = (height - 1) * (width - 1)
    lower = k >= cells
    cell = k - cells if lower else k
    row = cell // (width - 1)
    column = cell - row * (width - 1)
    bottom_left, top_right = near[row + 1, column], near[row, column + 1]
    if lower:
        bottom_right = near[row + 1, column + 1]
        return bottom_right - bottom_left, bottom_right - top_right, top_right + bottom_left - bottom_right, row, column
    top_left = near[row, column]
    return top_right - top_left, bottom_left - top_left, top_left, row, column


@numba.njit(cache=True, error_model="numpy", boundscheck=False)
def forward(
    near: Any, seen: Any, matrix: Any, origin: Any, xs: Any, ys: Any, far: float, edge_on: float,
    depth: Any, canonical: Any, mask: Any,
) -> None:  # fmt: skip
    """Fill depth [b, h, w], canonical [b, h, w, 2] and mask [b, h, w]."""
    one, half = np.float32(1), np.float32(0.5)
    limit, least = np.float32(far), np.float32(edge_on)
    batch, height, width = seen.shape
    for n in range(batch):
        m, (ox, oy, oz) = matrix[n], (origin[n, 0], origin[n, 1], origin[n, 2])
        for i in range(height):
            for j in range(width):
                depth[n, i, j], mask[n, i, j] = limit, False
                canonical[n, i, j, 0], canonical[n, i, j, 1] = -one, -one
                k = seen[n, i, j]
                if k < 0:
                    continue
                a, b, corner, row, column = plane(near[n], k)
                u0, v0 = np.float32(column) + half, np.float32(row) + half
                sx = m[0, 0] * xs[j] + m[0, 1] * ys[i] + m[0, 2]
                sy = m[1, 0] * xs[j] + m[1, 1] * ys[i] + m[1, 2]
                sz = m[2, 0] * xs[j] + m[2, 1] * ys[i] + m[2, 2]
                along = a * (sx - u0 * sz) + b * (sy - v0 * sz) + corner * sz
                if abs(along) < least:
                    along = np.copysign(least, along)
                t = (one - a * (ox - u0 * oz) - b * (oy - v0 * oz) - corner * oz) / along
                if not (t > 0 and t < limit):
                    continue
                z = t * sz + oz
                depth[n, i, j], mask[n, i, j] = t, True
                canonical[n, i, j, 0], canonical[n, i, j, 1] = (t * sx + ox) / z, (t * sy + oy) / z


@numba.njit(cache=True, error_model="numpy", boundscheck=False)
def backward(
    near: Any, seen: Any, matrix: Any, origin: Any, xs: Any, ys: Any, edge_on: float, depth: Any, canonical: Any,
    mask: Any, of_depth: Any, of_canonical: Any, of_near: Any, of_matrix: Any, of_origin: Any,
) -> None:  # fmt: skip
    """Add to of_near [b, h, w], of_matrix [b, 3, 3] and of_origin [b, 3], which are zero, from what the later
    gradients `of_depth` and `of_canonical` are. Names of gradients begin with g."""
    one, half, least = np.float32(1), np.float32(0.5), np.float32(edge_on)
    batch, height, width = seen.shape
    for n in range(batch):
        m, (ox, oy, oz) = matrix[n], (origin[n, 0], origin[n, 1], origin[n, 2])
        for i in range(height):
            for j in range(width):
                if not mask[n, i, j]:
                    continue
                a, b, corner, row, column = plane(near[n], seen[n, i, j])
                u0, v0 = np.float32(column) + half, np.float32(row) + half
                x, y = xs[j], ys[i]
                sx = m[0, 0] * x + m[0, 1] * y + m[0, 2]
                sy = m[1, 0] * x + m[1, 1] * y + m[1, 2]
                sz = m[2, 0] * x + m[2, 1] * y + m[2, 2]
                t, u, v = depth[n, i, j], canonical[n, i, j, 0], canonical[n, i, j, 1]
                # u = (t sx + ox) / z, v = (t sy + oy) / z, z = t sz + oz
                share = one / (t * sz + oz)
                gx, gy = of_canonical[n, i, j, 0] * share, of_canonical[n, i, j, 1] * share
                gz = -(gx * u + gy * v)
                gt = of_depth[n, i, j] + gx * sx + gy * sy + gz * sz
                # t = over / along
                along = a * (sx - u0 * sz) + b * (sy - v0 * sz) + corner * sz
                clamped = abs(along) < least
                g_over = gt / (np.copysign(least, along) if clamped else along)
                g_along = np.float32(0) if clamped else -g_over * t
                ga = g_along * (sx - u0 * sz) - g_over * (ox - u0 * oz)
                gb = g_along * (sy - v0 * sz) - g_over * (oy - v0 * oz)
                g_corner = g_along * sz - g_over * oz
                c = corner - a * u0 - b * v0
                gsx, gsy, gsz = t * gx + g_along * a, t * gy + g_along * b, t * gz + g_along * c
                of_origin[n, 0] += gx - g_over * a
                of_origin[n, 1] += gy - g_over * b
                of_origin[n, 2] += gz - g_over * c
                of_matrix[n, 0, 0] += gsx * x
                of_matrix[n, 0, 1] += gsx * y
                of_matrix[n, 0, 2] += gsx
                of_matrix[n, 1, 0] += gsy * x
                of_matrix[n, 1, 1] += gsy * y
                of_matrix[n, 1, 2] += gsy
                of_matrix[n, 2, 0] += gsz * x
                of_matrix[n, 2, 1] += gsz * y
                of_matrix[n, 2, 2] += gsz
                if seen[n, i, j] >= (height - 1) * (width - 1):
                    of_near[n, row + 1, column + 1] += ga + gb - g_corner
                    of_near[n, row + 1, column] += g_corner - ga
                    of_near[n, row, column + 1] += g_corner - gb
                else:
                    of_near[n, row, column] += g_corner - ga - gb
                    of_near[n, row, column + 1] += ga
                    of_near[n, row + 1, column] += gb
