"""The Triton kernel of `density_march`: which samples count, one lane a ray.

Their weights and the gradients of these need no walk: they are made of the samples afterwards.
"""

import triton
import triton.language as tl

from unflat.kernels.lookup_gpu import across, corner, entries_of, flat, voxel_of, within
from unflat.kernels.walking_gpu import corner_of, looked_at, opacity, set_out

NUMBERS = ["key", "count", "nx", "ny", "nz", "cx", "cy", "cz", "room"]
"""integers that are not worth a kernel of their own for some of their values"""


@triton.jit
def raw_of(
    kind: tl.constexpr, a, b, c, d, e, f, x, y, z, shape, there, channels: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """The raw density at places in the box from 0 to 1: the sum over all channels. Of the tables a to f, voxels are
    `a`, planes `a`, `b`, `c` with lines `d`, `e`, `f`, and lines alone `a`, `b`, `c`."""
    i, j, k, fx, fy, fz = entries_of(x, y, z, shape)
    raw = tl.zeros(x.shape, tl.float32)
    if kind == "voxels":
        for number in tl.static_range(8):
            row, share = corner(number, voxel_of(i, j, k, shape), fx, fy, fz, shape)
            for channel in tl.static_range(channels):
                raw += share * tl.load(a + row * channels + channel, mask=there, other=0.0)
    else:
        for first in tl.static_range(0, channels, block):
            some = (first + tl.arange(0, block))[None, :]
            if kind == "pairs":
                sums = flat(a, i, j, fx, fy, shape[1], some, channels, there) * across(d, k, fz, some, channels, there)
                sums += flat(b, i, k, fx, fz, shape[2], some, channels, there) * across(e, j, fy, some, channels, there)
                sums += flat(c, j, k, fy, fz, shape[2], some, channels, there) * across(f, i, fx, some, channels, there)
            else:
                sums = across(a, i, fx, some, channels, there) * across(b, j, fy, some, channels, there)
                sums *= across(c, k, fz, some, channels, there)
            raw += tl.sum(sums, 1)
    return raw


@triton.jit(do_not_specialize=NUMBERS)
def forward(
    origins, directions, near, far, index, key: tl.uint64, clear, lowest, highest, a, b, c, d, e, f, found, number,
    count, nx, ny, nz, cx, cy, cz, room, step, thickness, shift, thinnest, least, last, is_contracted: tl.constexpr,
    is_relu: tl.constexpr, kind: tl.constexpr, channels: tl.constexpr, block: tl.constexpr, lanes: tl.constexpr,
):  # fmt: skip
    """Fill number [r] (int32: how many samples of each ray count) and found [r, room]: the t of the first of them."""
    ray = tl.program_id(0) * lanes + tl.arange(0, lanes)
    there, shape, cells, low, high = ray < count, (nx, ny, nz), (cx, cy, cz), corner_of(lowest), corner_of(highest)
    sides = (high[0] - low[0]) / cx, (high[1] - low[1]) / cy, (high[2] - low[2]) / cz
    o, v, t0, t1, offset, t = set_out(
        origins, directions, near, far, index, key, ray, there, low, high, step, is_contracted
    )  # fmt: skip
    left, used = tl.full((lanes,), 1.0, tl.float32), tl.zeros((lanes,), tl.int32)
    into, walking = found + ray.to(tl.int64) * room, there & (t < t1) & (left >= last)
    while tl.max(walking.to(tl.int32), 0) > 0:
        x, y, z, full, then = looked_at(o, v, t, t0, offset, walking, clear, cells, low, sides, step, is_contracted)
        if tl.max(full.to(tl.int32), 0) > 0:
            x, y, z = within(x, low[0], high[0]), within(y, low[1], high[1]), within(z, low[2], high[2])
            raw = raw_of(kind, a, b, c, d, e, f, x, y, z, shape, full, channels, block) - shift
            alpha = opacity(raw, thickness, is_relu)
            counts = full & (alpha > thinnest) & (left * alpha > least)
            tl.store(into + used, t, mask=counts & (used < room))
            left, used = tl.where(counts, left * (1.0 - alpha), left), used + counts.to(tl.int32)
        t = tl.where(walking, then, t)
        walking = walking & (t < t1) & (left >= last)
    tl.store(number + ray, used, mask=there)
