"""What the marches on a CPU have in common, inlined into each: how a ray is walked through what is not empty.

A ray is x = o + t d. Its samples lie `step` apart, in the walking coordinates of its space: those of the box, or the
contracted ones, in which all of space lies in a cube of side 4. Cells of a coarse grid (`clear`) say how far the
nearest cell lies that is not empty; what is empty is jumped over.
"""

from typing import Any

import numba
import numpy as np

FAST = {"contract", "afn", "reassoc", "arcp", "nsz"}  # what is no number stays none
PLAIN = {"fastmath": FAST, "error_model": "numpy", "boundscheck": False}
inlined = numba.njit(forceinline=True, **PLAIN)
called = numba.njit(**PLAIN)  # a loop over few arrays, which stays one that vectorises where it is called
compiled = numba.njit(cache=True, nogil=True, **PLAIN)


@inlined
def mixed(state: Any) -> Any:
    """64 bits mixed: the finaliser of splitmix64."""
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


@inlined
def jittered(key: Any, ray: Any) -> Any:
    """Where in its first step a ray begins, in [0, 1): a hash of the step's key and the ray's number."""
    bits = mixed(key + np.uint64(ray) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(40)
    return np.float32(bits) * np.float32(1 / 16777216)


@inlined
def inverse(component: Any) -> Any:
    """1 / component, finite: a ray along a face of the box stays in it."""
    least = np.float32(1e-9)
    return np.float32(1) / (component if abs(component) > least else (least if component >= 0 else -least))


@inlined
def contracted(x: Any, y: Any, z: Any) -> Any:
    """The point of the cube of side 4: the largest coordinate m becomes 2 - 1/m beyond 1, the others shrink with it."""
    m = max(abs(x), abs(y), abs(z))
    if m <= np.float32(1):
        return x, y, z
    share = (np.float32(2) - np.float32(1) / m) / m
    return x * share, y * share, z * share


@inlined
def contracted_speed(x: Any, y: Any, z: Any, dx: Any, dy: Any, dz: Any) -> Any:
    """How far the contracted point moves for one unit along the direction."""
    ax, ay, az = abs(x), abs(y), abs(z)
    m = max(ax, ay, az)
    if m <= np.float32(1):
        return np.float32(1)
    one, two = np.float32(1), np.float32(2)
    if ax == m:
        grows = dx if x > 0 else -dx
    elif ay == m:
        grows = dy if y > 0 else -dy
    else:
        grows = dz if z > 0 else -dz
    inv = one / m
    share, change = (two - inv) * inv, grows * (two * inv * inv * inv - two * inv * inv)
    vx, vy, vz = share * dx + change * x, share * dy + change * y, share * dz + change * z
    return max(np.sqrt(vx * vx + vy * vy + vz * vz), np.float32(1e-6))


@inlined
def into_box(o: Any, d: Any, low: Any, high: Any, near: Any, far: Any) -> Any:
    """Between which t a ray is in the box; the first is not before the second where it is not."""
    t0, t1 = near, far
    for axis in range(3):
        share = inverse(d[axis])
        a, b = (low[axis] - o[axis]) * share, (high[axis] - o[axis]) * share
        t0, t1 = max(t0, min(a, b)), min(t1, max(a, b))
    return t0, t1


@inlined
def leaves(position: Any, direction: Any, first: Any, last: Any) -> Any:
    """How far along the direction a point leaves the slab [first, last] that it is in."""
    return ((last if direction > 0 else first) - position) * inverse(direction)


@inlined
def index(value: Any, count: int) -> Any:
    """The whole number below, from 0 to count - 1."""
    return min(max(int(value), 0), count - 1)


@inlined
def first_step(o: Any, d: Any, t0: Any, step: Any, offset: Any, is_contracted: bool) -> Any:
    """Where the first sample lies."""
    if not is_contracted:
        return t0 + offset * step
    x, y, z = o[0] + t0 * d[0], o[1] + t0 * d[1], o[2] + t0 * d[2]
    return t0 + offset * step / contracted_speed(x, y, z, d[0], d[1], d[2])


@inlined
def next_sample(
    o: Any,
    d: Any,
    t: Any,
    t0: Any,
    t1: Any,
    offset: Any,
    step: Any,
    is_contracted: bool,
    clear: Any,
    low: Any,
    sides: Any,
) -> Any:
    """The first place from t on, on the ray's own steps, that is in a cell that is not empty; and by how much t grows
    to the next step from there. Not before t1 where there is none. `sides` are those of a cell of `clear`.

    In a box steps are counted from t0, so that what is jumped over does not move the samples behind it.
    """
    onwards = step
    while t < t1:
        x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
        if is_contracted:
            onwards = step / contracted_speed(x, y, z, d[0], d[1], d[2])
            x, y, z = contracted(x, y, z)
        a = index((x - low[0]) / sides[0], clear.shape[0])
        b = index((y - low[1]) / sides[1], clear.shape[1])
        c = index((z - low[2]) / sides[2], clear.shape[2])
        empty = int(clear[a, b, c])
        if empty == 0:
            break
        e = empty - 1
        if is_contracted:  # half of what is empty: a ray that comes nearer moves faster
            t += max(onwards, np.float32(0.5) * e * min(sides[0], sides[1], sides[2]) * onwards / step)
            continue
        out = leaves(x, d[0], low[0] + (a - e) * sides[0], low[0] + (a + e + 1) * sides[0])
        out = min(out, leaves(y, d[1], low[1] + (b - e) * sides[1], low[1] + (b + e + 1) * sides[1]))
        out = min(out, leaves(z, d[2], low[2] + (c - e) * sides[2], low[2] + (c + e + 1) * sides[2]))
        number = np.ceil((t + max(out, np.float32(0)) - t0) / step - offset)
        t = t0 + max(number + offset, (t - t0) / step + np.float32(1)) * step
    return t, onwards
