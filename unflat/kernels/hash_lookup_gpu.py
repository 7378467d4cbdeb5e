"""The Triton kernels of `hash_lookup`: a block of points on one level each.

Places in the box are given from 0 to 1 along each axis. All points are on one level before any is on the next, so that
what is read lies near. Gradients are added up by the hardware, in any order.
"""

import triton
import triton.language as tl

from unflat.kernels.lookup_gpu import add_rows, asked, entry, rows_of


@triton.jit
def cells_of(levels, level, x, y, z):
    """What a level is (its side in corners, its first row, the mask of its hashes), the corners before places, and how
    far behind these the places are. The mask is negative where each corner has a row."""
    side, first, mask = (
        tl.load(levels + level * 3) + 1,
        tl.load(levels + level * 3 + 1),
        tl.load(levels + level * 3 + 2),
    )
    i, fx = entry(x, side)
    j, fy = entry(y, side)
    k, fz = entry(z, side)
    return side, first, mask, i, j, k, fx, fy, fz


@triton.jit
def corner_row(number: tl.constexpr, i, j, k, fx, fy, fz, side, first, mask):
    """The row of a corner of each place's cell, and its share; its bits say which side of x, y, z it is on."""
    share = fx if number & 4 else 1.0 - fx
    share *= fy if number & 2 else 1.0 - fy
    share *= fz if number & 1 else 1.0 - fz
    a, b, c = i + (number >> 2), j + ((number >> 1) & 1), k + (number & 1)
    mixed = a.to(tl.uint32) ^ (b.to(tl.uint32) * 2654435761) ^ (c.to(tl.uint32) * 805459861)
    row = tl.where(mask < 0, a + side * (b + side * c), (mixed & mask.to(tl.uint32)).to(tl.int32))
    return first + row, share


@triton.jit(do_not_specialize=["count"])
def forward(
    points, lowest, highest, table, levels, values, count, depth: tl.constexpr, channels: tl.constexpr,
    lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Fill values [n, depth c]. `levels` [depth, 3] holds cells, first row and mask."""
    point, there, x, y, z, _ = asked(points, lowest, highest, count, lanes, block)
    level, channel = tl.program_id(1), tl.arange(0, block)[None, :]
    side, first, mask, i, j, k, fx, fy, fz = cells_of(levels, level, x, y, z)
    total = tl.zeros((lanes, block), tl.float32)
    for number in tl.static_range(8):
        row, share = corner_row(number, i, j, k, fx, fy, fz, side, first, mask)
        total += share[:, None] * rows_of(table, row, channel, channels, there)
    into = values + point.to(tl.int64)[:, None] * (depth * channels) + level * channels + channel
    tl.store(into, total, mask=there[:, None] & (channel < channels))


@triton.jit(do_not_specialize=["count"])
def backward(
    points, lowest, highest, of_values, levels, of_table, count, depth: tl.constexpr, channels: tl.constexpr,
    lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Add to of_table [v, c]."""
    point, there, x, y, z, _ = asked(points, lowest, highest, count, lanes, block)
    level, channel = tl.program_id(1), tl.arange(0, block)[None, :]
    side, first, mask, i, j, k, fx, fy, fz = cells_of(levels, level, x, y, z)
    at = of_values + point.to(tl.int64)[:, None] * (depth * channels) + level * channels + channel
    given = tl.load(at, mask=there[:, None] & (channel < channels), other=0.0)
    for number in tl.static_range(8):
        row, share = corner_row(number, i, j, k, fx, fy, fz, side, first, mask)
        add_rows(of_table, row, channel, channels, share[:, None] * given, there)
