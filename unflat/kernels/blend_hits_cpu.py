"""The numba loop of `blend_hits`: a module of its own so that numba is imported only where it is used."""

from math import exp, inf, log, nan, sqrt
from typing import Any

import numba
import numpy as np


@numba.njit(cache=True, error_model="numpy", boundscheck=False, fastmath={"contract"})
def march(
    polynomials: Any,
    x: Any,
    y: Any,
    hits: Any,
    reach: float,
    steps: int,
    tolerance: float,
    last: float,
    grazing: float,
    reserved: float,
    negligible: float,
    leap: float,
    creep: float,
) -> None:
    """Fill `hits` [n]; the limits are the constants of `blend_hits`. Each ray looks only at the parts near it."""
    row = np.empty((9, polynomials.shape[1]))
    parts = np.empty((5, polynomials.shape[1]))  # a, b, c, entry and h of the parts near a ray
    counts = log(polynomials.shape[1] / reserved)
    for n in range(len(x)):
        if n == 0 or y[n] != y[n - 1]:
            _fold(polynomials, y[n], row)
        count, s = _near(row, x[n], parts, negligible, counts)
        hits[n], s = nan, max(s, -reach)
        outside = s
        for _ in range(steps):
            if not s <= reach:
                break
            total, sloping = 1e-300, 0.0
            for i in range(count):
                h = parts[0, i] * s + parts[1, i]
                g = (h + parts[1, i]) * s + parts[2, i]
                if g < negligible:
                    e = exp(-g)
                    total, sloping = total + e, sloping - 2 * e * h
                parts[4, i] = h
            level, slope = log(total), sloping / total
            if abs(level) < min(tolerance, last * slope):
                hits[n] = s - level / slope
                break
            if abs(level) < grazing:
                hits[n] = s
                break
            if level > 0:
                s = max(outside, s - level / slope) if slope > 0 else (s + outside) / 2
                continue
            outside = s
            on = min(-level / slope, leap) if slope > 0 and level > -1 else creep
            s += max(on, _safe(parts, count, s, max(log(1 - reserved) - level, 0.0)))


@numba.njit(cache=True, error_model="numpy", boundscheck=False, fastmath={"contract"})
def _fold(polynomials: Any, y: float, row: Any) -> None:
    """The polynomials as ones in x alone: rays come in rows, so that this is seldom done."""
    for k in range(3):
        for i in range(polynomials.shape[1]):
            p = polynomials[k, i]
            row[3 * k, i], row[3 * k + 1, i], row[3 * k + 2, i] = p[0], p[3] * y + p[4], (p[1] * y + p[5]) * y + p[2]


@numba.njit(cache=True, error_model="numpy", boundscheck=False, fastmath={"contract"})
def _near(row: Any, x: float, parts: Any, negligible: float, counts: float) -> tuple[int, float]:
    """Gather the parts that count on a ray, with the places where they begin to; their number and the first place."""
    count, first = 0, inf
    for i in range(row.shape[1]):
        a = (row[0, i] * x + row[1, i]) * x + row[2, i]
        b = (row[3, i] * x + row[4, i]) * x + row[5, i]
        c = (row[6, i] * x + row[7, i]) * x + row[8, i]
        if b * b > a * (c - negligible):
            parts[0, count], parts[1, count], parts[2, count] = a, b, c
            within = b * b - a * (c - counts)
            parts[3, count] = (-b - sqrt(within)) / a if within >= 0 else inf
            first = min(first, parts[3, count])
            count += 1
    return count, first


@numba.njit(cache=True, error_model="numpy", boundscheck=False, fastmath={"contract"})
def _safe(parts: Any, count: int, s: float, drop: float) -> float:
    """How far on F is sure to stay under 1."""
    least = inf
    for i in range(count):
        way, h = inf, parts[4, i]
        within = h * h - parts[0, i] * drop
        if within >= 0 and h < 0:
            way = drop / (sqrt(within) - h)
        least = min(least, max(way, parts[3, i] - s))
    return least
