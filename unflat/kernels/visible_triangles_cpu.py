"""The numba loop of `visible_triangles`: a module of its own so that numba is imported only where it is used."""

from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy", boundscheck=False)
def pixels_near(corners: Any, height: int, width: int, edge: float, points: Any, boxes: Any) -> None:
    """Vertices as (u - 0.5, v - 0.5, 1/z), 0 for the last if it is behind the camera, so that pixel centres are whole
    numbers; and the first and last column and row that lie at or beyond each of them."""
    for i in range(len(corners)):
        u, v, z = np.float64(corners[i, 0]) - 0.5, np.float64(corners[i, 1]) - 0.5, np.float64(corners[i, 2])
        points[i, 0], points[i, 1], points[i, 2] = u, v, 1 / z if z > 0 else 0.0
        # kept inside the picture before they become integers: a vertex may be anywhere
        boxes[i, 0] = np.int32(min(max(np.ceil(u - edge), 0.0), width * 1.0))
        boxes[i, 1] = np.int32(max(min(np.floor(u + edge), width - 1.0), -1.0))
        boxes[i, 2] = np.int32(min(max(np.ceil(v - edge), 0.0), height * 1.0))
        boxes[i, 3] = np.int32(max(min(np.floor(v + edge), height - 1.0), -1.0))


@numba.njit(cache=True, error_model="numpy", boundscheck=False)
def visit(corners: Any, triangles: Any, seen: Any, edge: float, thin: float) -> None:
    """Fill `seen` [b, h, w] with the triangle nearest at each pixel, -1 where there is none."""
    batch, height, width = seen.shape
    nearest = np.empty((height, width), np.float32)
    points, boxes = np.empty((corners.shape[1], 3)), np.empty((corners.shape[1], 4), np.int32)
    for n in range(batch):
        nearest[:], seen[n] = 0, -1
        pixels_near(corners[n], height, width, edge, points, boxes)
        for t in range(len(triangles)):
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            left, right = min(boxes[i, 0], boxes[j, 0], boxes[k, 0]), max(boxes[i, 1], boxes[j, 1], boxes[k, 1])
            top, bottom = min(boxes[i, 2], boxes[j, 2], boxes[k, 2]), max(boxes[i, 3], boxes[j, 3], boxes[k, 3])
            if right < left or bottom < top:
                continue
            au, av, an = points[i, 0], points[i, 1], points[i, 2]
            bu, bv, bn = points[j, 0], points[j, 1], points[j, 2]
            cu, cv, cn = points[k, 0], points[k, 1], points[k, 2]
            area = (bu - au) * (cv - av) - (bv - av) * (cu - au)
            least, most = min(an, bn, cn), max(an, bn, cn)
            side = 1.0 if area > 0 else -1.0
            area = abs(area)
            if not thin <= area < np.inf or not least > 0:  # NaN is not seen either
                continue
            # the edges opposite to a, b and c, as vectors, and what a pixel may lack
            a_du, a_dv, b_du, b_dv = side * (cu - bu), side * (cv - bv), side * (au - cu), side * (av - cv)
            c_du, c_dv = side * (bu - au), side * (bv - av)
            a_least = -edge * min(max(abs(a_du), abs(a_dv)), area)
            b_least = -edge * min(max(abs(b_du), abs(b_dv)), area)
            c_least = -edge * min(max(abs(c_du), abs(c_dv)), area)
            share = 1 / area
            for row in range(top, bottom + 1):
                for column in range(left, right + 1):
                    a = a_du * (row - bv) - a_dv * (column - bu)
                    b = b_du * (row - cv) - b_dv * (column - cu)
                    c = c_du * (row - av) - c_dv * (column - au)
                    if a >= a_least and b >= b_least and c >= c_least:
                        nearness = np.float32(min(max((a * an + b * bn + c * cn) * share, least), most))
                        if nearness > nearest[row, column]:
                            nearest[row, column] = nearness
                            seen[n, row, column] = t
