"""The numba loops of `plane_sweep`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import called, compiled, inlined

NONE = np.float32(1e9)
HALF, ONE = np.float32(0.5), np.float32(1)


@inlined
def difference(picture: Any, x: Any, y: Any, r: Any, g: Any, b: Any) -> Any:
    """Between a colour and that of a picture [h, w, 4] at a place, and the opacity that it lacks; NONE beside it."""
    height, width = picture.shape[0], picture.shape[1]
    if not (x >= 0 and y >= 0 and x < width and y < height):
        return NONE
    x = min(max(x - HALF, np.float32(0)), np.float32(width - 1))
    y = min(max(y - HALF, np.float32(0)), np.float32(height - 1))
    i, j = int(y), int(x)
    k, m = min(i + 1, height - 1), min(j + 1, width - 1)
    fy, fx = y - np.float32(i), x - np.float32(j)
    a, c = (ONE - fy) * (ONE - fx), (ONE - fy) * fx
    d, e = fy * (ONE - fx), fy * fx
    total = abs(a * picture[i, j, 0] + c * picture[i, m, 0] + d * picture[k, j, 0] + e * picture[k, m, 0] - r)
    total += abs(a * picture[i, j, 1] + c * picture[i, m, 1] + d * picture[k, j, 1] + e * picture[k, m, 1] - g)
    total += abs(a * picture[i, j, 2] + c * picture[i, m, 2] + d * picture[k, j, 2] + e * picture[k, m, 2] - b)
    opacity = a * picture[i, j, 3] + c * picture[i, m, 3] + d * picture[k, j, 3] + e * picture[k, m, 3]
    return total + (ONE - opacity)


@called
def swept_along(
    here: Any, x: Any, y: Any, others: Any, turns: Any, shifts: Any, lens: Any, planes: Any, lo: int, hi: int, into: Any
) -> None:
    """Fill into [s] from lo to hi: mean difference between a pixel's colour and the two others most like it."""
    fx, fy, cx, cy = lens
    second = np.empty(hi - lo, np.float32)
    for s in range(lo, hi):
        into[s] = NONE
        second[s - lo] = NONE
    u, v = (x - cx) / fx, (y - cy) / fy
    for n in range(len(others)):
        t = turns[n]
        ax, ay = t[0, 0] * u + t[0, 1] * v + t[0, 2], t[1, 0] * u + t[1, 1] * v + t[1, 2]
        az = t[2, 0] * u + t[2, 1] * v + t[2, 2]
        bx, by, bz = shifts[n, 0], shifts[n, 1], shifts[n, 2]
        for s in range(lo, hi):
            z = planes[s]
            depth = z * az + bz
            if depth <= np.float32(1e-6):
                continue
            over = ONE / depth
            apart = difference(
                others[n], fx * (z * ax + bx) * over + cx, fy * (z * ay + by) * over + cy, here[0], here[1], here[2]
            )
            if apart < into[s]:
                second[s - lo] = into[s]
                into[s] = apart
            elif apart < second[s - lo]:
                second[s - lo] = apart
    for s in range(lo, hi):
        into[s] = HALF * (into[s] + second[s - lo]) if second[s - lo] < NONE else NONE


@compiled
def swept(
    picture: Any, others: Any, turns: Any, shifts: Any, lens: Any, planes: Any, rows: Any, columns: Any, reach: Any,
    costs: Any,
) -> None:  # fmt: skip
    """Fill costs [n, s] of the pixels of a picture [h, w, 4] that lie in rows and columns, at the planes that each is
    asked at: reach [n, 2]."""
    for p in range(len(rows)):
        y, x = np.float32(rows[p]) + HALF, np.float32(columns[p]) + HALF
        here = picture[rows[p], columns[p]]
        swept_along(here, x, y, others, turns, shifts, lens, planes, reach[p, 0], reach[p, 1], costs[p])


@inlined
def around(number: Any, rows: Any, columns: Any, reach: Any, costs: Any, p: int, s: int) -> Any:
    """Mean cost of a pixel and its eight neighbours that are asked at this plane."""
    height, width = number.shape
    total, count = np.float32(0), 0
    for i in range(max(rows[p] - 1, 0), min(rows[p] + 2, height)):
        for j in range(max(columns[p] - 1, 0), min(columns[p] + 2, width)):
            q = number[i, j]
            if q >= 0 and reach[q, 0] <= s < reach[q, 1] and costs[q, s] < NONE:
                total += costs[q, s]
                count += 1
    return total / np.float32(count) if count > 0 else NONE


@compiled
def chosen(
    number: Any, rows: Any, columns: Any, reach: Any, costs: Any, first: int, end: int, at: Any
) -> None:  # fmt: skip
    """Fill at [n], from first to end, with the plane that costs least, and where between its neighbours; -1 where none
    has a cost."""
    for p in range(first, end):
        best, which, before, after, last = NONE, -1, NONE, NONE, NONE
        for s in range(reach[p, 0], reach[p, 1]):
            cost = around(number, rows, columns, reach, costs, p, s)
            if cost < best:
                best, which, before, after = cost, s, last, NONE
            elif s == which + 1:
                after = cost
            last = cost
        at[p] = np.float32(which)
        if which >= 0 and before < NONE and after < NONE:
            bend = before - np.float32(2) * best + after
            if bend > np.float32(1e-6):
                at[p] += min(max(HALF * (before - after) / bend, -HALF), HALF)
