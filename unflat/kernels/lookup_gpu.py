"""The Triton kernels of `lookup`: a block of points and of channels each, whose rows lie in one piece.

Places in the box are given from 0 to 1 along each axis. Gradients are added up by the hardware, in any order.
"""

import triton
import triton.language as tl

from unflat.kernels.walking_gpu import corner_of, three

COUNTS = ["count", "nx", "ny", "nz", "rows", "columns", "entries"]
"""integers that are not worth a kernel of their own for some of their values"""


# -- pieces ------------------------------------------------------------------------------------------------------------


@triton.jit
def within(x, low, high):
    """Where something is in the box along an axis, from 0 to 1."""
    return tl.minimum(tl.maximum((x - low) / (high - low), 0.0), 1.0)


@triton.jit
def entry(place, count):
    """The entry before a place, and how far behind it the place is."""
    at = place * (count - 1.0)
    before = tl.minimum(at.to(tl.int32), count - 2)
    return before, at - before.to(tl.float32)


@triton.jit
def entries_of(x, y, z, shape):
    """The same along x, y and z: three entries, then how far behind them the places are."""
    i, fx = entry(x, shape[0])
    j, fy = entry(y, shape[1])
    k, fz = entry(z, shape[2])
    return i, j, k, fx, fy, fz


@triton.jit
def voxel_of(i, j, k, shape):
    """The number of a voxel."""
    return (i.to(tl.int64) * shape[1] + j) * shape[2] + k


@triton.jit
def corner(number: tl.constexpr, at, fx, fy, fz, shape):
    """A voxel of the cells that begin at `at`, and its share in them; its bits say which side of x, y, z it is on."""
    share = fx if number & 4 else 1.0 - fx
    share *= fy if number & 2 else 1.0 - fy
    share *= fz if number & 1 else 1.0 - fz
    return at + ((number >> 2) * shape[1] + ((number >> 1) & 1)) * shape[2] + (number & 1), share


@triton.jit
def corner_of_square(number: tl.constexpr, i, j, f, g, columns):
    """An entry of a plane in the squares that begin at i, j, and its share."""
    share = f if number & 2 else 1.0 - f
    share *= g if number & 1 else 1.0 - g
    return (i.to(tl.int64) + (number >> 1)) * columns + j + (number & 1), share


@triton.jit
def rows_of(table, row, channel, channels: tl.constexpr, there):
    """Rows of a table [rows, channels], as a block of them and of channels."""
    mask = there[:, None] & (channel < channels)
    return tl.load(table + row.to(tl.int64)[:, None] * channels + channel, mask=mask, other=0.0)


@triton.jit
def add_rows(into, row, channel, channels: tl.constexpr, values, there):
    """Add a block to rows of a table."""
    mask = there[:, None] & (channel < channels)
    tl.atomic_add(into + row.to(tl.int64)[:, None] * channels + channel, values, mask=mask, sem="relaxed")


@triton.jit
def flat(plane, i, j, f, g, columns, channel, channels: tl.constexpr, there):
    """What a bilinear plane holds."""
    first, share = corner_of_square(0, i, j, f, g, columns)
    total = share[:, None] * rows_of(plane, first, channel, channels, there)
    for number in tl.static_range(1, 4):
        row, share = corner_of_square(number, i, j, f, g, columns)
        total += share[:, None] * rows_of(plane, row, channel, channels, there)
    return total


@triton.jit
def across(line, k, h, channel, channels: tl.constexpr, there):
    """What a linear line holds."""
    before, behind = rows_of(line, k, channel, channels, there), rows_of(line, k + 1, channel, channels, there)
    return (1.0 - h)[:, None] * before + h[:, None] * behind


@triton.jit
def add_across(into, k, h, channel, channels: tl.constexpr, values, there):
    """Add what places give to the entries of a line on both sides."""
    add_rows(into, k, channel, channels, (1.0 - h)[:, None] * values, there)
    add_rows(into, k + 1, channel, channels, h[:, None] * values, there)


@triton.jit
def asked(points, lowest, highest, count, lanes: tl.constexpr, block: tl.constexpr):
    """The program's points, which of them there are, their places in the box, and its channels."""
    point = tl.program_id(0) * lanes + tl.arange(0, lanes)
    there, low, high = point < count, corner_of(lowest), corner_of(highest)
    x, y, z = three(points, point.to(tl.int64), there)
    x, y, z = within(x, low[0], high[0]), within(y, low[1], high[1]), within(z, low[2], high[2])
    return point, there, x, y, z, (tl.program_id(1) * block + tl.arange(0, block))[None, :]


# -- voxels ------------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=COUNTS)
def voxels_forward(
    points, lowest, highest, table, values, count, nx, ny, nz, channels: tl.constexpr, lanes: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Fill values [n, c]."""
    point, there, x, y, z, channel = asked(points, lowest, highest, count, lanes, block)
    i, j, k, fx, fy, fz = entries_of(x, y, z, (nx, ny, nz))
    total = tl.zeros((lanes, block), tl.float32)
    for number in tl.static_range(8):
        row, share = corner(number, voxel_of(i, j, k, (nx, ny, nz)), fx, fy, fz, (nx, ny, nz))
        total += share[:, None] * rows_of(table, row, channel, channels, there)
    into = values + point.to(tl.int64)[:, None] * channels + channel
    tl.store(into, total, mask=there[:, None] & (channel < channels))


@triton.jit(do_not_specialize=COUNTS)
def voxels_backward(
    points, lowest, highest, of_values, of_table, count, nx, ny, nz, channels: tl.constexpr, lanes: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Add to of_table [v, c]."""
    point, there, x, y, z, channel = asked(points, lowest, highest, count, lanes, block)
    i, j, k, fx, fy, fz = entries_of(x, y, z, (nx, ny, nz))
    given = rows_of(of_values, point, channel, channels, there)
    for number in tl.static_range(8):
        row, share = corner(number, voxel_of(i, j, k, (nx, ny, nz)), fx, fy, fz, (nx, ny, nz))
        add_rows(of_table, row, channel, channels, share[:, None] * given, there)


# -- planes with lines: one pair at a time -----------------------------------------------------------------------------


@triton.jit
def axis_of(x, y, z, axis: tl.constexpr):
    """One of three."""
    if axis == 0:
        found = x
    elif axis == 1:
        found = y
    else:
        found = z
    return found


@triton.jit(do_not_specialize=COUNTS)
def pair_forward(
    points, lowest, highest, plane, line, values, count, rows, columns, entries, pair: tl.constexpr, a: tl.constexpr,
    b: tl.constexpr, along: tl.constexpr, channels: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Fill the part of values [n, 3 c] that is the pair's. The plane's axes are a and b."""
    point, there, x, y, z, channel = asked(points, lowest, highest, count, lanes, block)
    i, f = entry(axis_of(x, y, z, a), rows)
    j, g = entry(axis_of(x, y, z, b), columns)
    k, h = entry(axis_of(x, y, z, along), entries)
    found = flat(plane, i, j, f, g, columns, channel, channels, there)
    found *= across(line, k, h, channel, channels, there)
    into = values + point.to(tl.int64)[:, None] * (3 * channels) + pair * channels + channel
    tl.store(into, found, mask=there[:, None] & (channel < channels))


@triton.jit(do_not_specialize=COUNTS)
def pair_backward(
    points, lowest, highest, plane, line, of_values, of_plane, of_line, count, rows, columns, entries,
    pair: tl.constexpr, a: tl.constexpr, b: tl.constexpr, along: tl.constexpr, channels: tl.constexpr,
    lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Add to of_plane [rows * columns, c] and of_line [entries, c]."""
    point, there, x, y, z, channel = asked(points, lowest, highest, count, lanes, block)
    i, f = entry(axis_of(x, y, z, a), rows)
    j, g = entry(axis_of(x, y, z, b), columns)
    k, h = entry(axis_of(x, y, z, along), entries)
    at = of_values + point.to(tl.int64)[:, None] * (3 * channels) + pair * channels + channel
    given = tl.load(at, mask=there[:, None] & (channel < channels), other=0.0)
    of_flat = given * across(line, k, h, channel, channels, there)
    for number in tl.static_range(4):
        row, share = corner_of_square(number, i, j, f, g, columns)
        add_rows(of_plane, row, channel, channels, share[:, None] * of_flat, there)
    of_across = given * flat(plane, i, j, f, g, columns, channel, channels, there)
    add_across(of_line, k, h, channel, channels, of_across, there)


# -- lines -------------------------------------------------------------------------------------------------------------


@triton.jit(do_not_specialize=COUNTS)
def lines_forward(
    points, lowest, highest, xs, ys, zs, values, count, nx, ny, nz, channels: tl.constexpr, lanes: tl.constexpr,
    block: tl.constexpr,
):  # fmt: skip
    """Fill values [n, c]."""
    point, there, x, y, z, channel = asked(points, lowest, highest, count, lanes, block)
    i, j, k, fx, fy, fz = entries_of(x, y, z, (nx, ny, nz))
    found = across(xs, i, fx, channel, channels, there) * across(ys, j, fy, channel, channels, there)
    found *= across(zs, k, fz, channel, channels, there)
    into = values + point.to(tl.int64)[:, None] * channels + channel
    tl.store(into, found, mask=there[:, None] & (channel < channels))


@triton.jit(do_not_specialize=COUNTS)
def lines_backward(
    points, lowest, highest, xs, ys, zs, of_values, of_x, of_y, of_z, count, nx, ny, nz, channels: tl.constexpr,
    lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Add to of_x, of_y, of_z [entries, c]."""
    point, there, x, y, z, channel = asked(points, lowest, highest, count, lanes, block)
    i, j, k, fx, fy, fz = entries_of(x, y, z, (nx, ny, nz))
    first = across(xs, i, fx, channel, channels, there)
    second, third = across(ys, j, fy, channel, channels, there), across(zs, k, fz, channel, channels, there)
    given = rows_of(of_values, point, channel, channels, there)
    add_across(of_x, i, fx, channel, channels, given * second * third, there)
    add_across(of_y, j, fy, channel, channels, given * first * third, there)
    add_across(of_z, k, fz, channel, channels, given * first * second, there)


# -- planes alone ------------------------------------------------------------------------------------------------------


@triton.jit
def add_flat(into, i, j, f, g, columns, channel, channels: tl.constexpr, values, there):
    """Add what places give to the entries of a plane around them."""
    for number in tl.static_range(4):
        row, share = corner_of_square(number, i, j, f, g, columns)
        add_rows(into, row, channel, channels, share[:, None] * values, there)


@triton.jit(do_not_specialize=COUNTS)
def planes_forward(
    points, lowest, highest, xy, xz, yz, values, count, nx, ny, nz, how: tl.constexpr, channels: tl.constexpr,
    lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Fill values [n, c]: the planes' sum (how is 0) or product (1); or [n, 3 c], one after the other (2)."""
    point, there, x, y, z, channel = asked(points, lowest, highest, count, lanes, block)
    i, j, k, fx, fy, fz = entries_of(x, y, z, (nx, ny, nz))
    first = flat(xy, i, j, fx, fy, ny, channel, channels, there)
    second = flat(xz, i, k, fx, fz, nz, channel, channels, there)
    third = flat(yz, j, k, fy, fz, nz, channel, channels, there)
    mask, width = there[:, None] & (channel < channels), channels * (3 if how == 2 else 1)
    into = values + point.to(tl.int64)[:, None] * width + channel
    if how == 0:
        tl.store(into, first + second + third, mask=mask)
    elif how == 1:
        tl.store(into, first * second * third, mask=mask)
    else:
        tl.store(into, first, mask=mask)
        tl.store(into + channels, second, mask=mask)
        tl.store(into + 2 * channels, third, mask=mask)


@triton.jit(do_not_specialize=COUNTS)
def planes_backward(
    points, lowest, highest, xy, xz, yz, of_values, of_xy, of_xz, of_yz, count, nx, ny, nz, how: tl.constexpr,
    channels: tl.constexpr, lanes: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Add to of_xy, of_xz, of_yz [rows * columns, c]."""
    point, there, x, y, z, channel = asked(points, lowest, highest, count, lanes, block)
    i, j, k, fx, fy, fz = entries_of(x, y, z, (nx, ny, nz))
    mask, apart = there[:, None] & (channel < channels), channels * (how // 2)
    at = of_values + point.to(tl.int64)[:, None] * (channels + 2 * apart) + channel
    first = tl.load(at, mask=mask, other=0.0)
    second = tl.load(at + apart, mask=mask, other=0.0)
    third = tl.load(at + 2 * apart, mask=mask, other=0.0)
    if how == 1:
        a = flat(xy, i, j, fx, fy, ny, channel, channels, there)
        b = flat(xz, i, k, fx, fz, nz, channel, channels, there)
        c = flat(yz, j, k, fy, fz, nz, channel, channels, there)
        first, second, third = first * b * c, second * a * c, third * a * b
    add_flat(of_xy, i, j, fx, fy, ny, channel, channels, first, there)
    add_flat(of_xz, i, k, fx, fz, nz, channel, channels, second, there)
    add_flat(of_yz, j, k, fy, fz, nz, channel, channels, third, there)
