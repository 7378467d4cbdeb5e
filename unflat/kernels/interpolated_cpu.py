"""The numba loop of `interpolated`: a module of its own so that numba is imported only where it is used."""

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy", boundscheck=False, fastmath={"contract"})
def interpolate(corners: Any, triangles: Any, seen: Any, attributes: Any, values: Any) -> None:
    """Fill `values` [b, h, w, c]. Single precision is enough: areas are products of distances from the pixel."""
    batch, height, width = seen.shape
    channels, one = values.shape[3], np.float32(1)
    for n in range(batch):
        points, given = corners[n], attributes[n if len(attributes) > 1 else 0]
        last, i, j, k = np.int32(-1), np.int32(0), np.int32(0), np.int32(0)
        a_near, b_near, c_near = one, one, one
        for row in range(height):
            for column in range(width):
                t = seen[n, row, column]
                if t < 0:
                    for channel in range(channels):
                        values[n, row, column, channel] = 0
                    continue
                if t != last:
                    last, i, j, k = t, triangles[t, 0], triangles[t, 1], triangles[t, 2]
                    a_near, b_near, c_near = one / points[i, 2], one / points[j, 2], one / points[k, 2]
                # from the pixel's centre to the corners
                x, y = np.float32(column + 0.5), np.float32(row + 0.5)
                au, av = points[i, 0] - x, points[i, 1] - y
                bu, bv = points[j, 0] - x, points[j, 1] - y
                cu, cv = points[k, 0] - x, points[k, 1] - y
                a, b, c = (bu * cv - bv * cu) * a_near, (cu * av - cv * au) * b_near, (au * bv - av * bu) * c_near
                share = one / (a + b + c)
                a, b, c = a * share, b * share, c * share
                for channel in range(channels):
                    values[n, row, column, channel] = (
                        a * given[i, channel] + b * given[j, channel] + c * given[k, channel]
                    )
