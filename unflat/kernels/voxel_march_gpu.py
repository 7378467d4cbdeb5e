"""The Triton kernels of `voxel_march`: rays through a voxel grid of densities and spherical harmonics, and back.

One lane a ray. All lanes of a program walk, by densities alone, to their next samples that count; then they look up the
colours of these together, a row of harmonics each, which lies in one piece. The way back is the same walk again, near
to far: what lies behind a sample is what came out in all, less what came so far, so nothing is kept of samples.
"""

import triton
import triton.language as tl

from unflat.kernels.lookup_gpu import corner, voxel_of
from unflat.kernels.walking_gpu import below, corner_of, looked_at, opacity, place_of, set_out, three

NUMBERS = ["key", "count", "nx", "ny", "nz", "cx", "cy", "cz"]
"""integers that are not worth a kernel of their own for some of their values"""


# -- pieces ------------------------------------------------------------------------------------------------------------


@triton.jit
def cell_of(x, y, z, low, per, shape):
    """The first voxel of the cells that places are in, and where in the cells they are. `per` are voxels per length."""
    u, v, w = (x - low[0]) * per[0], (y - low[1]) * per[1], (z - low[2]) * per[2]
    i, j, k = below(u, shape[0] - 1), below(v, shape[1] - 1), below(w, shape[2] - 1)
    return voxel_of(i, j, k, shape), u - i.to(tl.float32), v - j.to(tl.float32), w - k.to(tl.float32)


@triton.jit
def trilinear(density, at, fx, fy, fz, shape, there):
    """The raw density between the voxels of cells."""
    total = tl.zeros(fx.shape, tl.float32)
    for number in tl.static_range(8):
        place, share = corner(number, at, fx, fy, fz, shape)
        total += share * tl.load(density + place, mask=there, other=0.0)
    return total


@triton.jit
def next_that_counts(
    o, d, t, t0, t1, offset, left, walking, clear, cells, low, sides, step, density, shape, per, thickness, shift,
    thinnest, least, is_contracted: tl.constexpr, relu_density: tl.constexpr,
):  # fmt: skip
    """The t of the next samples that count, not before t1 where there is none; and their raw densities less the
    shift."""
    raw, seeking = tl.zeros(t.shape, tl.float32), walking
    while tl.max(seeking.to(tl.int32), 0) > 0:
        x, y, z, full, then = looked_at(o, d, t, t0, offset, seeking, clear, cells, low, sides, step, is_contracted)
        at, fx, fy, fz = cell_of(x, y, z, low, per, shape)
        here = trilinear(density, at, fx, fy, fz, shape, full) - shift
        alpha = opacity(here, thickness, relu_density)
        counts = full & (alpha > thinnest) & (left * alpha > least)
        raw = tl.where(counts, here, raw)
        t = tl.where(seeking & (counts == 0), then, t)
        seeking = seeking & (counts == 0) & (t < t1)
    return t, raw


@triton.jit
def harmonics(sights, rays, there, bands: tl.constexpr, padded: tl.constexpr):
    """Spherical harmonics of the rays' sights [lanes, padded], once for each colour: see
    `geometry.spherical_harmonics`."""
    a, b, c = three(sights, rays, there)
    x, y, z = a[:, None], b[:, None], c[:, None]
    band = (tl.arange(0, padded) % bands)[None, :]
    of = tl.where(band == 0, 0.28209479177387814, x * 0.0)
    if bands > 1:
        of = tl.where(band == 1, -0.4886025119029199 * y, of)
        of = tl.where(band == 2, 0.4886025119029199 * z, of)
        of = tl.where(band == 3, -0.4886025119029199 * x, of)
    if bands > 4:
        of = tl.where(band == 4, 1.0925484305920792 * x * y, of)
        of = tl.where(band == 5, -1.0925484305920792 * y * z, of)
        of = tl.where(band == 6, 0.31539156525252005 * (3.0 * z * z - 1.0), of)
        of = tl.where(band == 7, -1.0925484305920792 * x * z, of)
        of = tl.where(band == 8, 0.5462742152960396 * (x * x - y * y), of)
    if bands > 9:
        five = 5.0 * z * z
        of = tl.where(band == 9, -0.5900435899266435 * y * (3.0 * x * x - y * y), of)
        of = tl.where(band == 10, 2.890611442640554 * x * y * z, of)
        of = tl.where(band == 11, -0.4570457994644658 * y * (five - 1.0), of)
        of = tl.where(band == 12, 0.3731763325901154 * z * (five - 3.0), of)
        of = tl.where(band == 13, -0.4570457994644658 * x * (five - 1.0), of)
        of = tl.where(band == 14, 1.445305721320277 * z * (x * x - y * y), of)
        of = tl.where(band == 15, -0.5900435899266435 * x * (x * x - 3.0 * y * y), of)
    return of


@triton.jit
def colours(
    colour, row_of, at, fx, fy, fz, shape, counts, sh, is_relu: tl.constexpr, bands: tl.constexpr,
    padded: tl.constexpr,
):  # fmt: skip
    """The colours of places, seen along the directions of the harmonics: red, green, blue."""
    number = tl.arange(0, padded)[None, :]
    mixed = tl.zeros(sh.shape, tl.float32)
    for which in tl.static_range(8):
        place, share = corner(which, at, fx, fy, fz, shape)
        row = tl.load(row_of + place, mask=counts, other=-1).to(tl.int64)[:, None]
        known = tl.load(colour + row * (3 * bands) + number, mask=(row >= 0) & (number < 3 * bands), other=0.0)
        mixed += share[:, None] * known
    mixed *= sh
    red = tl.sum(tl.where(number < bands, mixed, 0.0), 1)
    green = tl.sum(tl.where((number >= bands) & (number < 2 * bands), mixed, 0.0), 1)
    blue = tl.sum(tl.where(number >= 2 * bands, mixed, 0.0), 1)
    if is_relu:
        return tl.maximum(red + 0.5, 0.0), tl.maximum(green + 0.5, 0.0), tl.maximum(blue + 0.5, 0.0)
    return tl.sigmoid(red), tl.sigmoid(green), tl.sigmoid(blue)


@triton.jit
def slope(colour, is_relu: tl.constexpr):
    """By how much a colour grows with the sum of its harmonics."""
    if is_relu:
        return tl.where(colour > 0, 1.0, 0.0)
    return colour * (1.0 - colour)


@triton.jit
def add_gradients(
    of_density, of_colour, row_of, at, fx, fy, fz, shape, counts, of_raw, red, green, blue, sh, bands: tl.constexpr,
    padded: tl.constexpr,
):  # fmt: skip
    """Add what samples give to the voxels around them: the gradients of their raw densities and of their three colours
    before they are activated. The order of additions is the hardware's."""
    number = tl.arange(0, padded)[None, :]
    of_row = sh * tl.where(number < bands, red[:, None], tl.where(number < 2 * bands, green[:, None], blue[:, None]))
    for which in tl.static_range(8):
        place, share = corner(which, at, fx, fy, fz, shape)
        tl.atomic_add(of_density + place, share * of_raw, mask=counts, sem="relaxed")
        row = tl.load(row_of + place, mask=counts, other=-1).to(tl.int64)[:, None]
        into, known = of_colour + row * (3 * bands) + number, (row >= 0) & (number < 3 * bands)
        tl.atomic_add(into, share[:, None] * of_row, mask=known, sem="relaxed")


@triton.jit
def measured(lowest, highest, shape, cells):
    """The box's corners, its voxels per length, and the sides of its coarse cells."""
    low, high = corner_of(lowest), corner_of(highest)
    wide, deep, tall = high[0] - low[0], high[1] - low[1], high[2] - low[2]
    per = (shape[0] - 1) / wide, (shape[1] - 1) / deep, (shape[2] - 1) / tall
    return low, high, per, (wide / cells[0], deep / cells[1], tall / cells[2])


# -- the march, and the same way again ---------------------------------------------------------------------------------


@triton.jit(do_not_specialize=NUMBERS)
def forward(
    origins, directions, sights, near, far, index, key: tl.uint64, density, row_of, colour, clear, lowest, highest,
    background, rgb, through, distance, spread, placed, samples, count, nx, ny, nz, cx, cy, cz, step, thickness, shift,
    thinnest, least, last, is_contracted: tl.constexpr, relu_density: tl.constexpr, relu_colour: tl.constexpr,
    bands: tl.constexpr, padded: tl.constexpr, lanes: tl.constexpr,
):  # fmt: skip
    """Fill rgb [r, 3], through [r] (what passes), distance [r], spread [r], placed [r] (the sum of weight times place,
    which the way back has use for) and samples [r] (int32: how many counted)."""
    ray = tl.program_id(0) * lanes + tl.arange(0, lanes)
    there, shape, cells = ray < count, (nx, ny, nz), (cx, cy, cz)
    low, high, per, sides = measured(lowest, highest, shape, cells)
    o, d, t0, t1, offset, t = set_out(
        origins, directions, near, far, index, key, ray, there, low, high, step, is_contracted
    )  # fmt: skip
    sh = harmonics(sights, ray, there, bands, padded)
    left, used = tl.full((lanes,), 1.0, tl.float32), tl.zeros((lanes,), tl.int32)
    red, green, blue, far_off = left * 0.0, left * 0.0, left * 0.0, left * 0.0
    apart, before = left * 0.0, left * 0.0
    walking = there & (t < t1) & (left >= last)
    while tl.max(walking.to(tl.int32), 0) > 0:
        t, raw = next_that_counts(
            o, d, t, t0, t1, offset, left, walking, clear, cells, low, sides, step, density, shape, per, thickness,
            shift, thinnest, least, is_contracted, relu_density,
        )  # fmt: skip
        counts = walking & (t < t1)
        x, y, z, onwards = place_of(o, d, t, step, is_contracted)
        at, fx, fy, fz = cell_of(x, y, z, low, per, shape)
        r, g, b = colours(colour, row_of, at, fx, fy, fz, shape, counts, sh, relu_colour, bands, padded)
        alpha = tl.where(counts, opacity(raw, thickness, relu_density), 0.0)
        weight = left * alpha
        red, green, blue = red + weight * r, green + weight * g, blue + weight * b
        far_off += tl.where(counts, weight * t, 0.0)
        place = tl.where(counts, t / (1.0 + t), 0.0)
        apart += 2.0 * weight * (place * (1.0 - left) - before)
        before += weight * place
        left, used = left * (1.0 - alpha), used + counts.to(tl.int32)
        t += onwards
        walking = counts & (t < t1) & (left >= last)
    tl.store(rgb + ray * 3, red + left * tl.load(background), mask=there)
    tl.store(rgb + ray * 3 + 1, green + left * tl.load(background + 1), mask=there)
    tl.store(rgb + ray * 3 + 2, blue + left * tl.load(background + 2), mask=there)
    tl.store(through + ray, left, mask=there)
    tl.store(distance + ray, far_off, mask=there)
    tl.store(spread + ray, apart, mask=there)
    tl.store(placed + ray, before, mask=there)
    tl.store(samples + ray, used, mask=there)


@triton.jit(do_not_specialize=NUMBERS)
def backward(
    origins, directions, sights, near, far, index, key: tl.uint64, density, row_of, colour, clear, lowest, highest, rgb,
    through, distance, spread, placed, of_rgb, of_through, of_distance, of_spread, of_density, of_colour, count, nx, ny,
    nz, cx, cy, cz, step, thickness, shift, thinnest, least, last, is_contracted: tl.constexpr,
    relu_density: tl.constexpr, relu_colour: tl.constexpr, bands: tl.constexpr, padded: tl.constexpr,
    lanes: tl.constexpr,
):  # fmt: skip
    """Add to of_density [v] and of_colour [rows, 3 bands], given what `forward` filled and the gradients of that."""
    ray = tl.program_id(0) * lanes + tl.arange(0, lanes)
    there, shape, cells = ray < count, (nx, ny, nz), (cx, cy, cz)
    low, high, per, sides = measured(lowest, highest, shape, cells)
    o, d, t0, t1, offset, t = set_out(
        origins, directions, near, far, index, key, ray, there, low, high, step, is_contracted
    )  # fmt: skip
    sh = harmonics(sights, ray, there, bands, padded)
    of_red, of_green, of_blue = three(of_rgb, ray, there)
    of_t = tl.load(of_distance + ray, mask=there, other=0.0)
    red, green, blue = three(rgb, ray, there)
    # what lies behind a sample, each part times its gradient: at first all that came out
    behind = of_red * red + of_green * green + of_blue * blue
    behind += of_t * tl.load(distance + ray, mask=there, other=0.0)
    passing = tl.load(through + ray, mask=there, other=0.0)
    behind += tl.load(of_through + ray, mask=there, other=0.0) * passing
    of_apart = 2.0 * tl.load(of_spread + ray, mask=there, other=0.0)
    behind += of_apart * tl.load(spread + ray, mask=there, other=0.0)  # which is of the second degree in the weights
    after, before = tl.load(placed + ray, mask=there, other=0.0), behind * 0.0  # weights times places
    left = tl.full((lanes,), 1.0, tl.float32)
    walking = there & (t < t1) & (left >= last)
    while tl.max(walking.to(tl.int32), 0) > 0:
        t, raw = next_that_counts(
            o, d, t, t0, t1, offset, left, walking, clear, cells, low, sides, step, density, shape, per, thickness,
            shift, thinnest, least, is_contracted, relu_density,
        )  # fmt: skip
        counts = walking & (t < t1)
        x, y, z, onwards = place_of(o, d, t, step, is_contracted)
        at, fx, fy, fz = cell_of(x, y, z, low, per, shape)
        r, g, b = colours(colour, row_of, at, fx, fy, fz, shape, counts, sh, relu_colour, bands, padded)
        alpha = tl.where(counts, opacity(raw, thickness, relu_density), 0.0)
        weight, here = left * alpha, of_red * r + of_green * g + of_blue * b + of_t * t
        place = tl.where(counts, t / (1.0 + t), 0.0)
        after -= weight * place
        # what weighs before a sample and after it, and the same times where it lies
        here += of_apart * (place * ((1.0 - left) - (left * (1.0 - alpha) - passing)) - before + after)
        before += weight * place
        behind -= tl.where(counts, weight * here, 0.0)
        of_raw = thickness * ((1.0 - alpha) * left * here - behind)
        if not relu_density:
            of_raw *= tl.sigmoid(raw)
        add_gradients(
            of_density, of_colour, row_of, at, fx, fy, fz, shape, counts, of_raw,
            of_red * weight * slope(r, relu_colour), of_green * weight * slope(g, relu_colour),
            of_blue * weight * slope(b, relu_colour), sh, bands, padded,
        )  # fmt: skip
        left = left * (1.0 - alpha)
        t += onwards
        walking = counts & (t < t1) & (left >= last)
