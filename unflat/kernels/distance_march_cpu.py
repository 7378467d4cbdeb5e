"""The numba loops of `distance_march`: rays through a voxel grid of distances and spherical harmonics, and back."""

from typing import Any

import numpy as np

from unflat.kernels.lookup_cpu import corner_place, corner_share, touch
from unflat.kernels.voxel_march_cpu import fill_colour, fill_harmonics, trilinear
from unflat.kernels.walking_cpu import compiled, first_step, index, inlined, into_box, jittered, next_sample

ONE, HALF = np.float32(1), np.float32(0.5)


@inlined
def logistic(value: Any) -> Any:
    return ONE / (ONE + np.exp(-value))


@inlined
def cell_of(o: Any, d: Any, t: Any, low: Any, per: Any, shape: Any, within: Any) -> Any:
    """The first voxel of the cell that a point of a ray lies in, and how far within it that is."""
    u, v = (o[0] + t * d[0] - low[0]) * per[0], (o[1] + t * d[1] - low[1]) * per[1]
    w = (o[2] + t * d[2] - low[2]) * per[2]
    i, j, k = index(u, shape[0] - 1), index(v, shape[1] - 1), index(w, shape[2] - 1)
    within[0], within[1], within[2] = u - np.float32(i), v - np.float32(j), w - np.float32(k)
    return (i * shape[1] + j) * shape[2] + k


@compiled
def forward(
    origins: Any, directions: Any, sights: Any, near: Any, far: Any, rays: Any, key: Any, distances: Any, row_of: Any,
    colour: Any, clear: Any, low: Any, high: Any, step: Any, sharpness: Any, least: Any, last: Any, background: Any,
    rgb: Any, through: Any, distance: Any, first: Any, cell: Any, within: Any, kept: Any,
) -> int:  # fmt: skip
    """Fill rgb [r, 3], through [r] (what passes), distance [r] and first [r + 1], and the sections that count: cell
    [m, 3] and within [m, 9] of where each begins, ends and is coloured, and kept [m, 8] (alpha, what came through to
    it, the logistic of both ends, t, colour). Returns their number, or -1 where there is no room for all of them."""
    bands, rows, used = colour.shape[1] // 3, row_of.reshape(-1), 0
    shape, row, plane = row_of.shape, row_of.shape[2], row_of.shape[1] * row_of.shape[2]
    per, sides = (np.array(row_of.shape) - 1) / (high - low), (high - low) / np.array(clear.shape)
    per, sides, sh = per.astype(np.float32), sides.astype(np.float32), np.empty(16, np.float32)
    here, there = np.empty(3, np.float32), np.empty(3, np.float32)
    for r in range(origins.shape[0]):
        first[r] = used
        o, d = origins[r], directions[r]
        t0, t1 = into_box(o, d, low, high, near[r], far[r])
        left, c0, c1, c2, weighted = ONE, np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        if t1 > t0:
            fill_harmonics(sights[r], bands, sh)
            offset = jittered(key, rays[r]) if key != 0 else HALF
            t = first_step(o, d, t0, step, offset, False)
            before, value, passed, start = np.float32(-1e9), np.float32(0), ONE, 0
            while left >= last:
                t, onwards = next_sample(o, d, t, t0, t1, offset, step, False, clear, low, sides)
                if not t < t1:
                    break
                at = cell_of(o, d, t, low, per, shape, here)
                reached = trilinear(distances, at, row, plane, here[0], here[1], here[2])
                passes = logistic(sharpness * reached)
                if t - before < np.float32(1.5) * step and reached < value:
                    alpha = ONE - passes / passed
                    if left * alpha > least:
                        if used >= cell.shape[0]:
                            return -1
                        share = value / (value - reached) if value > 0 and reached < 0 else HALF
                        one, place, middle = kept[used], within[used], before + share * (t - before)
                        cell[used, 0], cell[used, 1] = start, at
                        place[:3], place[3:6] = there, here
                        cell[used, 2] = cell_of(o, d, middle, low, per, shape, place[6:])
                        one[0], one[1], one[2], one[3], one[4] = alpha, left, passed, passes, middle
                        fill_colour(rows, colour, cell[used, 2], row, plane, place[6:], sh, bands, False, one[5:])
                        weight = left * alpha
                        c0, c1, c2 = c0 + weight * one[5], c1 + weight * one[6], c2 + weight * one[7]
                        weighted += weight * middle
                        left *= ONE - alpha
                        used += 1
                before, value, passed, start = t, reached, passes, at
                there[:] = here
                t += onwards
        rgb[r, 0], rgb[r, 1], rgb[r, 2] = (
            c0 + left * background[0],
            c1 + left * background[1],
            c2 + left * background[2],
        )
        through[r], distance[r] = left, weighted
    first[origins.shape[0]] = used
    return used


@compiled
def backward(
    first: Any, kept: Any, sharpness: Any, background: Any, through: Any, of_rgb: Any, of_through: Any,
    of_distance: Any, back: Any,
) -> None:  # fmt: skip
    """Fill back [m, 5]: the gradients of the distance where each section begins and ends, and of its three colours
    before they are activated."""
    for r in range(len(through)):
        g0, g1, g2, gt = of_rgb[r, 0], of_rgb[r, 1], of_rgb[r, 2], of_distance[r]
        behind = through[r] * (g0 * background[0] + g1 * background[1] + g2 * background[2] + of_through[r])
        for m in range(first[r + 1] - 1, first[r] - 1, -1):
            alpha, left, passed, passes, t, q0, q1, q2 = kept[m]
            weight = left * alpha
            here = g0 * q0 + g1 * q1 + g2 * q2 + gt * t
            ratio = passes / passed
            of_alpha = left * here - behind / max(ratio, np.float32(1e-6))
            back[m, 0] = of_alpha * ratio * sharpness * (ONE - passed)
            back[m, 1] = -of_alpha * ratio * sharpness * (ONE - passes)
            back[m, 2], back[m, 3] = g0 * weight * q0 * (ONE - q0), g1 * weight * q1 * (ONE - q1)
            back[m, 4] = g2 * weight * q2 * (ONE - q2)
            behind += weight * here


@compiled
def scatter(
    sights: Any, first: Any, cell: Any, within: Any, back: Any, row_of: Any, bands: int, slab: Any,
    of_distances: Any, seen: Any, touched: Any, of_colour: Any, seen_rows: Any, touched_rows: Any, counts: Any,
) -> None:  # fmt: skip
    """Add to of_distances [v, 1] and of_colour [rows, 3 bands] what sections give to voxels from slab[0] to
    slab[1] - 1, and list these in `touched` and `touched_rows`, whose lengths are in counts [2]."""
    rows, plane, row = row_of.reshape(-1), row_of.shape[1] * row_of.shape[2], row_of.shape[2]
    sh = np.empty(16, np.float32)
    for r in range(len(first) - 1):
        if first[r] == first[r + 1]:
            continue
        fill_harmonics(sights[r], bands, sh)
        for m in range(first[r], first[r + 1]):
            for end in range(2):
                for corner in range(8):
                    place = corner_place(corner, cell[m, end], row, plane)
                    if place < slab[0] or place >= slab[1]:
                        continue
                    share = corner_share(corner, within[m, 3 * end], within[m, 3 * end + 1], within[m, 3 * end + 2])
                    touch(seen, touched, counts, 0, place)
                    of_distances[place, 0] += share * back[m, end]
            h0, h1, h2 = back[m, 2], back[m, 3], back[m, 4]
            for corner in range(8):
                place = corner_place(corner, cell[m, 2], row, plane)
                if place < slab[0] or place >= slab[1]:
                    continue
                place = rows[place]
                if place >= 0:
                    share = corner_share(corner, within[m, 6], within[m, 7], within[m, 8])
                    touch(seen_rows, touched_rows, counts, 1, place)
                    for p in range(bands):
                        s = share * sh[p]
                        of_colour[place, p] += s * h0
                        of_colour[place, bands + p] += s * h1
                        of_colour[place, 2 * bands + p] += s * h2
