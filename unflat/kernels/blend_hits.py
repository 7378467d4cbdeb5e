"""Where rays first meet a smooth union of ellipsoids, or of anything whose parts are quadratic along a ray.

A part's level along a ray is g_i(s) = a_i s^2 + 2 b_i s + c_i with a_i > 0, and the surface is where
F = sum_i exp(-g_i) is 1, coming from F < 1. Rays have (x, y), and a_i, b_i, c_i are polynomials of the second degree in
them, so that a part costs 18 numbers and not three per ray.

One function with two back ends that take the same steps: a loop over rays in numba (CPU) and the readable numpy twin.
A step is safe where parts are far: F stays under 1 as long as no part that counts grows by more than
(1 - RESERVED) / F, and no other enters the region where it counts, both of which are roots of quadratics. Near the
surface it is Newton's.
"""

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float

REACH = 0.15
"""nothing is looked for farther than this in front of or behind s = 0"""
STEPS = 80
"""most steps along a ray; nearly all need fewer than ten"""
TOLERANCE, LAST = 0.01, 3e-4
"""of log F, and the longest last step: from there one more of Newton's steps ends within 1e-5 of the hit"""
GRAZING = 1e-4
"""of log F, for rays along which it hardly changes any more"""
RESERVED = 0.3
"""share of F that is kept for parts which do not count yet"""
NEGLIGIBLE = 12.0
"""a part that stays under exp(-12) on a ray is left out there"""
LEAP, CREEP = 3e-3, 1e-3
"""longest step of Newton's, and least step where it leads nowhere: what is thinner along a ray may be missed"""
CHUNK = 4096
"""rays that the twin works on at a time"""


def blend_hits(
    polynomials: Float[np.ndarray, "3 p 6"], x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """s of the first hit on each ray, between -REACH and REACH; NaN where there is none.

    `polynomials` are the coefficients of a, b and c over x^2, y^2, 1, x y, x, y.
    """
    if _numba_loop() is not None:
        return blend_hits_numba(polynomials, x, y)
    return blend_hits_numpy(polynomials, x, y)


def blend_hits_numba(
    polynomials: Float[np.ndarray, "3 p 6"], x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """The loop that a CPU runs."""
    loop = _numba_loop()
    if loop is None:
        raise ModuleNotFoundError("the numba back end needs numba: pip install 'unflat[fast]'")
    hits = np.empty(len(x), np.float64)
    limits = (REACH, STEPS, TOLERANCE, LAST, GRAZING, RESERVED, NEGLIGIBLE, LEAP, CREEP)
    loop(np.ascontiguousarray(polynomials, np.float64), x.astype(np.float64), y.astype(np.float64), hits, *limits)
    return hits


def blend_hits_numpy(
    polynomials: Float[np.ndarray, "3 p 6"], x: Float[np.ndarray, "n"], y: Float[np.ndarray, "n"]
) -> Float[np.ndarray, "n"]:
    """The readable twin."""
    monomials = np.stack([x * x, y * y, np.ones_like(x), x * y, x, y]).astype(np.float64)
    pieces = [monomials[:, start : start + CHUNK] for start in range(0, len(x), CHUNK)]
    return np.concatenate([_hits_of(*(polynomials @ piece)) for piece in pieces])


def _hits_of(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> Float[np.ndarray, "n"]:
    """The first hits for the levels [p, n] of the parts on each ray."""
    entries = _entries(a, b, c, np.log(len(a) / RESERVED))
    first = entries.min(0)
    s = np.maximum(first, -REACH)
    hits, left, outside = np.full(len(s), np.nan), np.flatnonzero(first <= REACH), s.copy()
    for _ in range(STEPS):
        if len(left) == 0:
            break
        here = s[left]
        h = a[:, left] * here + b[:, left]
        e = np.exp(-((h + b[:, left]) * here + c[:, left]))
        total = np.maximum(e.sum(0), 1e-300)
        log, slope = np.log(total), -2 * (e * h).sum(0) / total
        close = np.abs(log) < np.minimum(TOLERANCE, LAST * slope)
        done = close | (np.abs(log) < GRAZING)
        hits[left[done]] = (here - np.where(close, log, 0) / np.where(close, slope, 1))[done]
        outside[left] = np.where(log < 0, here, outside[left])
        s[left] += _step(a[:, left], h, entries[:, left] - here, log, slope, outside[left] - here)
        left = left[~done & (s[left] <= REACH)]
    return hits


def _entries(a: np.ndarray, b: np.ndarray, c: np.ndarray, level: float) -> Float[np.ndarray, "p n"]:
    """Where each part's level first falls to `level`; infinite if nowhere, or if the part is negligible on the ray."""
    within = b * b - a * (c - level)
    entry = (-b - np.sqrt(np.maximum(within, 0))) / a
    return np.where(within < 0, np.inf, entry)


def _step(
    a: np.ndarray, h: np.ndarray, entries: np.ndarray, log: np.ndarray, slope: np.ndarray, back: np.ndarray
) -> Float[np.ndarray, "n"]:
    """How far to go on, from log F and its slope along the ray, half the parts' slopes h, and the ways to their entries
    and back to the last place outside. Inside, Newton's step leads back, though not behind that place."""
    drop = np.maximum(np.log(1 - RESERVED) - log, 0)
    within = h * h - a * drop
    ways = np.where((within < 0) | (h >= 0), np.inf, drop / (np.sqrt(np.maximum(within, 0)) + np.maximum(-h, 1e-300)))
    safe = np.maximum(ways, entries).min(0)
    rising = slope > 0
    newton = -log / np.where(rising, slope, 1)
    on = np.maximum(safe, np.where(rising & (log > -1), np.minimum(newton, LEAP), CREEP))
    return np.where(log < 0, on, np.where(rising, np.maximum(newton, back), back / 2))


@cache
def _numba_loop() -> Any:
    """The compiled loop, or None without numba."""
    try:
        from unflat.kernels import blend_hits_cpu
    except ModuleNotFoundError:
        return None
    return blend_hits_cpu.march
