"""The numba loop of `facing`: a module of its own so that numba is imported only where it is used."""

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy", boundscheck=False, fastmath={"contract"})
def face(vertices: Any, triangles: Any, normals: Any, front: Any) -> None:
    """Add to `normals` [b, v, 3], which are zero, and fill `front` [b, t]."""
    for n in range(len(vertices)):
        points, sums = vertices[n], normals[n]
        for t in range(len(triangles)):
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            ax, ay, az = points[i, 0], points[i, 1], points[i, 2]
            px, py, pz = points[j, 0] - ax, points[j, 1] - ay, points[j, 2] - az
            qx, qy, qz = points[k, 0] - ax, points[k, 1] - ay, points[k, 2] - az
            x, y, z = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
            front[n, t] = x * ax + y * ay + z * az < 0
            for corner in (i, j, k):
                sums[corner, 0] += x
                sums[corner, 1] += y
                sums[corner, 2] += z
        for v in range(len(points)):
            x, y, z = sums[v, 0], sums[v, 1], sums[v, 2]
            share = np.float32(1) / max(np.sqrt(x * x + y * y + z * z), np.float32(1e-12))
            sums[v, 0], sums[v, 1], sums[v, 2] = x * share, y * share, z * share
