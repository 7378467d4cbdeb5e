"""The numba loops of `voxel_march`: rays through a voxel grid of densities and spherical harmonics, and back."""

from typing import Any

import numpy as np

from unflat.kernels.lookup_cpu import corner_place, corner_share, touch
from unflat.kernels.walking_cpu import compiled, contracted, first_step, index, inlined, into_box, jittered, next_sample

ONE, HALF = np.float32(1), np.float32(0.5)
SURELY = np.float32(15)  # the softplus of what is larger is itself


@inlined
def fill_harmonics(d: Any, bands: int, into: Any) -> None:
    """See `geometry.spherical_harmonics`."""
    x, y, z = d[0], d[1], d[2]
    into[0] = np.float32(0.28209479177387814)
    if bands > 1:
        a = np.float32(0.4886025119029199)
        into[1], into[2], into[3] = -a * y, a * z, -a * x
    if bands > 4:
        b = np.float32(1.0925484305920792)
        into[4], into[5], into[7] = b * x * y, -b * y * z, -b * x * z
        into[6] = np.float32(0.31539156525252005) * (np.float32(3) * z * z - ONE)
        into[8] = np.float32(0.5462742152960396) * (x * x - y * y)
    if bands > 9:
        five = np.float32(5) * z * z
        c, e = np.float32(0.5900435899266435), np.float32(0.4570457994644658) * (five - ONE)
        into[9], into[15] = -c * y * (3 * x * x - y * y), -c * x * (x * x - 3 * y * y)
        into[10] = np.float32(2.890611442640554) * x * y * z
        into[14] = np.float32(1.445305721320277) * z * (x * x - y * y)
        into[11], into[12], into[13] = -e * y, np.float32(0.3731763325901154) * z * (five - np.float32(3)), -e * x


@inlined
def trilinear(values: Any, at: int, row: int, plane: int, fx: Any, fy: Any, fz: Any) -> Any:
    """A value between the eight corners of the cell that begins at `at`."""
    gx, gy, gz = ONE - fx, ONE - fy, ONE - fz
    a = gz * values[at] + fz * values[at + 1]
    b = gz * values[at + row] + fz * values[at + row + 1]
    c = gz * values[at + plane] + fz * values[at + plane + 1]
    d = gz * values[at + plane + row] + fz * values[at + plane + row + 1]
    return gx * (gy * a + fy * b) + fx * (gy * c + fy * d)


@inlined
def fill_colour(
    rows: Any, colour: Any, at: int, row: int, plane: int, f: Any, sh: Any, bands: int, is_relu: bool, into: Any,
) -> None:  # fmt: skip
    """The colour of a place, seen along the direction of the harmonics."""
    into[0], into[1], into[2] = np.float32(0), np.float32(0), np.float32(0)
    for corner in range(8):
        place = rows[corner_place(corner, at, row, plane)]
        if place >= 0:
            share = corner_share(corner, f[0], f[1], f[2])
            for p in range(bands):
                s = share * sh[p]
                into[0] += s * colour[place, p]
                into[1] += s * colour[place, bands + p]
                into[2] += s * colour[place, 2 * bands + p]
    for channel in range(3):
        if is_relu:
            into[channel] = max(into[channel] + HALF, np.float32(0))
        else:
            into[channel] = ONE / (ONE + np.exp(-into[channel]))


@inlined
def slope(colour: Any, is_relu: bool) -> Any:
    """By how much a colour grows with the sum of its harmonics."""
    if is_relu:
        return ONE if colour > 0 else np.float32(0)
    return colour * (ONE - colour)


@compiled
def forward(
    origins: Any, directions: Any, sights: Any, near: Any, far: Any, rays: Any, key: Any, density: Any, row_of: Any,
    colour: Any, clear: Any, low: Any, high: Any, step: Any, is_contracted: bool, thickness: Any, shift: Any,
    thinnest: Any, least: Any, last: Any, relu_density: bool, relu_colour: bool, background: Any, rgb: Any,
    through: Any, distance: Any, spread: Any, first: Any, cell: Any, within: Any, kept: Any,
) -> int:  # fmt: skip
    """Fill rgb [r, 3], through [r] (what passes), distance [r], spread [r] and first [r + 1], and the samples: cell
    [m], within [m, 3] and kept [m, 7] (alpha, what came through to it, raw density, t, colour). Returns their number,
    or -1 where there is no room for all of them."""
    bands, rows = colour.shape[1] // 3, row_of.reshape(-1)
    nx, ny, nz = row_of.shape
    per, sides = (np.array(row_of.shape) - 1) / (high - low), (high - low) / np.array(clear.shape)
    per, sides, sh, used = per.astype(np.float32), sides.astype(np.float32), np.empty(16, np.float32), 0
    for r in range(origins.shape[0]):
        first[r] = used
        o, d, t0, t1 = origins[r], directions[r], near[r], far[r]
        if not is_contracted:
            t0, t1 = into_box(o, d, low, high, t0, t1)
        left, c0, c1, c2, weighted = ONE, np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        apart, before = np.float32(0), np.float32(0)
        if t1 > t0:
            fill_harmonics(sights[r], bands, sh)
            offset = jittered(key, rays[r]) if key != 0 else np.float32(0.5)
            t = first_step(o, d, t0, step, offset, is_contracted)
            while left >= last:
                t, onwards = next_sample(o, d, t, t0, t1, offset, step, is_contracted, clear, low, sides)
                if not t < t1:
                    break
                x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
                if is_contracted:
                    x, y, z = contracted(x, y, z)
                u, v, w = (x - low[0]) * per[0], (y - low[1]) * per[1], (z - low[2]) * per[2]
                i, j, k = index(u, nx - 1), index(v, ny - 1), index(w, nz - 1)
                fx, fy, fz = u - np.float32(i), v - np.float32(j), w - np.float32(k)
                at = (i * ny + j) * nz + k
                raw = trilinear(density, at, nz, ny * nz, fx, fy, fz) - shift
                if raw > thinnest:
                    soft = raw if relu_density or raw >= SURELY else np.log(ONE + np.exp(raw))
                    alpha = ONE - np.exp(-thickness * soft)
                    if left * alpha > least:
                        if used >= cell.shape[0]:
                            return -1
                        one = kept[used]
                        cell[used], within[used, 0], within[used, 1], within[used, 2] = at, fx, fy, fz
                        one[0], one[1], one[2], one[3] = alpha, left, raw, t
                        fill_colour(rows, colour, at, nz, ny * nz, within[used], sh, bands, relu_colour, one[4:])
                        weight = left * alpha
                        c0, c1, c2 = c0 + weight * one[4], c1 + weight * one[5], c2 + weight * one[6]
                        weighted += weight * t
                        place = t / (ONE + t)
                        apart += np.float32(2) * weight * (place * (ONE - left) - before)
                        before += weight * place
                        left *= ONE - alpha
                        used += 1
                t += onwards
        rgb[r, 0], rgb[r, 1], rgb[r, 2] = (
            c0 + left * background[0],
            c1 + left * background[1],
            c2 + left * background[2],
        )
        through[r], distance[r], spread[r] = left, weighted, apart
    first[origins.shape[0]] = used
    return used


@compiled
def backward(
    first: Any, kept: Any, thickness: Any, relu_density: bool, relu_colour: bool, background: Any, through: Any,
    of_rgb: Any, of_through: Any, of_distance: Any, of_spread: Any, back: Any,
) -> None:  # fmt: skip
    """Fill back [m, 4]: the gradients of each sample's raw density, and of its three colours before they are
    activated."""
    for r in range(len(through)):
        g0, g1, g2, gt, apart = of_rgb[r, 0], of_rgb[r, 1], of_rgb[r, 2], of_distance[r], of_spread[r]
        # what lies behind a sample, each part times its gradient
        behind = through[r] * (g0 * background[0] + g1 * background[1] + g2 * background[2] + of_through[r])
        after, after_at, before_at = np.float32(0), np.float32(0), np.float32(0)
        if apart != 0:
            for m in range(first[r], first[r + 1]):
                before_at += kept[m, 0] * kept[m, 1] * kept[m, 3] / (ONE + kept[m, 3])
        for m in range(first[r + 1] - 1, first[r] - 1, -1):
            alpha, left, raw, t, q0, q1, q2 = kept[m]
            weight = left * alpha
            here = g0 * q0 + g1 * q1 + g2 * q2 + gt * t
            if apart != 0:  # what weighs before a sample and after it, and the same times where it lies
                at = t / (ONE + t)
                before_at -= weight * at
                here += np.float32(2) * apart * (at * (ONE - left - after) - before_at + after_at)
                after, after_at = after + weight, after_at + weight * at
            grows = thickness if relu_density else thickness / (ONE + np.exp(-raw))
            back[m, 0] = grows * ((ONE - alpha) * left * here - behind)
            back[m, 1], back[m, 2] = g0 * weight * slope(q0, relu_colour), g1 * weight * slope(q1, relu_colour)
            back[m, 3] = g2 * weight * slope(q2, relu_colour)
            behind += weight * here


@compiled
def scatter(
    sights: Any, first: Any, cell: Any, within: Any, back: Any, row_of: Any, bands: int, slab: Any,
    of_density: Any, seen: Any, touched: Any, of_colour: Any, seen_rows: Any, touched_rows: Any, counts: Any,
) -> None:  # fmt: skip
    """Add to of_density [v, 1] and of_colour [rows, 3 bands] what samples give to voxels from slab[0] to slab[1] - 1,
    and list these in `touched` and `touched_rows`, whose lengths are in counts [2]."""
    rows, plane, row = row_of.reshape(-1), row_of.shape[1] * row_of.shape[2], row_of.shape[2]
    sh = np.empty(16, np.float32)
    for r in range(len(first) - 1):
        if first[r] == first[r + 1]:
            continue
        fill_harmonics(sights[r], bands, sh)
        for m in range(first[r], first[r + 1]):
            h0, h1, h2 = back[m, 1], back[m, 2], back[m, 3]
            for corner in range(8):
                place = corner_place(corner, cell[m], row, plane)
                if place < slab[0] or place >= slab[1]:
                    continue
                share = corner_share(corner, within[m, 0], within[m, 1], within[m, 2])
                touch(seen, touched, counts, 0, place)
                of_density[place, 0] += share * back[m, 0]
                place = rows[place]
                if place >= 0:
                    touch(seen_rows, touched_rows, counts, 1, place)
                    for p in range(bands):
                        s = share * sh[p]
                        of_colour[place, p] += s * h0
                        of_colour[place, bands + p] += s * h1
                        of_colour[place, 2 * bands + p] += s * h2
