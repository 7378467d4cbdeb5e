"""The numba loops of `lookup`. Places in the box are given from 0 to 1 along each axis."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import called, compiled, inlined

ONE = np.float32(1)


@inlined
def entry(within: Any, count: int) -> Any:
    """The entry before a place, and how far behind it the place is."""
    at = within * np.float32(count - 1)
    before = min(int(at), count - 2)
    return before, at - np.float32(before)


@inlined
def corner_share(corner: int, fx: Any, fy: Any, fz: Any) -> Any:
    """The weight of a corner of a cell; its bits say which side of x, y and z it is on."""
    share = fx if corner & 4 else ONE - fx
    share *= fy if corner & 2 else ONE - fy
    return share * (fz if corner & 1 else ONE - fz)


@inlined
def corner_place(corner: int, at: int, row: int, plane: int) -> Any:
    return at + (plane if corner & 4 else 0) + (row if corner & 2 else 0) + (corner & 1)


@inlined
def square_share(corner: int, f: Any, g: Any) -> Any:
    """The weight of a corner of a square; its bits say which side of rows and columns it is on."""
    return (f if corner & 2 else ONE - f) * (g if corner & 1 else ONE - g)


@inlined
def touch(seen: Any, touched: Any, counts: Any, table: int, row: int) -> None:
    """List a row once."""
    if not seen[row]:
        seen[row] = True
        touched[counts[table]] = row
        counts[table] += 1


@called
def add_scaled(into: Any, row: int, share: Any, values: Any) -> None:
    """Add a share of values [c] to a row of `into` [rows, c]."""
    for c in range(len(values)):
        into[row, c] += share * values[c]


# -- voxels ------------------------------------------------------------------------------------------------------------


@compiled
def voxels_forward(within: Any, field: Any, values: Any) -> None:
    """Fill values [n, c]."""
    table, nx, ny, nz = field
    for n in range(len(within)):
        i, fx = entry(within[n, 0], nx)
        j, fy = entry(within[n, 1], ny)
        k, fz = entry(within[n, 2], nz)
        at = (i * ny + j) * nz + k
        values[n] = np.float32(0)
        for corner in range(8):
            share, row = corner_share(corner, fx, fy, fz), corner_place(corner, at, nz, ny * nz)
            for c in range(table.shape[1]):
                values[n, c] += share * table[row, c]


@compiled
def voxels_backward(within: Any, field: Any, of_values: Any, gradients: Any) -> None:
    """Add to the accumulators."""
    _, nx, ny, nz = field
    of_table, seen, touched, counts = gradients
    for n in range(len(within)):
        i, fx = entry(within[n, 0], nx)
        j, fy = entry(within[n, 1], ny)
        k, fz = entry(within[n, 2], nz)
        at = (i * ny + j) * nz + k
        for corner in range(8):
            share, row = corner_share(corner, fx, fy, fz), corner_place(corner, at, nz, ny * nz)
            touch(seen, touched, counts, 0, row)
            for c in range(of_table.shape[1]):
                of_table[row, c] += share * of_values[n, c]


# -- planes with lines -------------------------------------------------------------------------------------------------


@called
def fill_flat(plane: Any, at: int, columns: int, f: Any, g: Any, into: Any) -> None:
    """What a bilinear plane holds in the square that begins at `at`."""
    p, q, r, s = (ONE - f) * (ONE - g), (ONE - f) * g, f * (ONE - g), f * g
    for c in range(plane.shape[1]):
        into[c] = p * plane[at, c] + q * plane[at + 1, c] + r * plane[at + columns, c] + s * plane[at + columns + 1, c]


@called
def fill_across(line: Any, k: int, h: Any, into: Any) -> None:
    """What a linear line holds behind its entry k."""
    for c in range(line.shape[1]):
        into[c] = (ONE - h) * line[k, c] + h * line[k + 1, c]


@inlined
def fill_pair(plane: Any, line: Any, a: Any, b: Any, z: Any, rows: int, columns: int, across: Any, into: Any) -> None:
    """The products of a bilinear plane and a linear line."""
    i, f = entry(a, rows)
    j, g = entry(b, columns)
    k, h = entry(z, len(line))
    fill_flat(plane, i * columns + j, columns, f, g, into)
    fill_across(line, k, h, across)
    scale(into, across)


@called
def scale(values: Any, factors: Any) -> None:
    for c in range(len(factors)):
        values[c] *= factors[c]


@inlined
def add_pair(
    plane: Any, line: Any, a: Any, b: Any, z: Any, rows: int, columns: int, of_each: Any, of_all: Any,
    of_plane: Any, seen: Any, touched: Any, of_line: Any, scratch: Any, counts: Any, pair: int,
) -> None:  # fmt: skip
    """Add the gradient of a pair's products, of which each has its own, of_each [c] (or [0]: 1), times `of_all`.

    Several loops, each over few arrays: one would be simpler and is seven times slower, since the compiler cannot know
    that so many do not overlap."""
    i, f = entry(a, rows)
    j, g = entry(b, columns)
    k, h = entry(z, len(line))
    at, flat, across = i * columns + j, scratch[0], scratch[1]
    fill_flat(plane, at, columns, f, g, flat)
    fill_across(line, k, h, across)
    scale(flat, of_each)
    scale(across, of_each)
    for corner in range(4):
        row = at + (columns if corner & 2 else 0) + (corner & 1)
        touch(seen, touched, counts, pair, row)
        add_scaled(of_plane, row, of_all * square_share(corner, f, g), across)
    add_scaled(of_line, k, of_all * (ONE - h), flat)
    add_scaled(of_line, k + 1, of_all * h, flat)


@compiled
def pairs_forward(within: Any, field: Any, values: Any) -> None:
    """Fill values [n, 3 c]."""
    xy, xz, yz, lz, ly, lx, nx, ny, nz = field
    c = xy.shape[1]
    across = np.empty(c, np.float32)
    for n in range(len(within)):
        x, y, z = within[n, 0], within[n, 1], within[n, 2]
        fill_pair(xy, lz, x, y, z, nx, ny, across, values[n, :c])
        fill_pair(xz, ly, x, z, y, nx, nz, across, values[n, c : 2 * c])
        fill_pair(yz, lx, y, z, x, ny, nz, across, values[n, 2 * c :])


@compiled
def pairs_backward(within: Any, field: Any, of_values: Any, gradients: Any) -> None:
    """Add to the accumulators."""
    xy, xz, yz, lz, ly, lx, nx, ny, nz = field
    gxy, sxy, txy, gxz, sxz, txz, gyz, syz, tyz, gz, gy, gx, scratch, counts = gradients
    c = xy.shape[1]
    for n in range(len(within)):
        x, y, z = within[n, 0], within[n, 1], within[n, 2]
        add_pair(xy, lz, x, y, z, nx, ny, of_values[n, :c], ONE, gxy, sxy, txy, gz, scratch, counts, 0)
        add_pair(xz, ly, x, z, y, nx, nz, of_values[n, c : 2 * c], ONE, gxz, sxz, txz, gy, scratch, counts, 1)
        add_pair(yz, lx, y, z, x, ny, nz, of_values[n, 2 * c :], ONE, gyz, syz, tyz, gx, scratch, counts, 2)


# -- lines alone -------------------------------------------------------------------------------------------------------


@inlined
def on_line(line: Any, i: int, f: Any, c: int) -> Any:
    return (ONE - f) * line[i, c] + f * line[i + 1, c]


@compiled
def lines_forward(within: Any, field: Any, values: Any) -> None:
    """Fill values [n, c]."""
    lx, ly, lz = field
    for n in range(len(within)):
        i, fx = entry(within[n, 0], len(lx))
        j, fy = entry(within[n, 1], len(ly))
        k, fz = entry(within[n, 2], len(lz))
        for c in range(lx.shape[1]):
            values[n, c] = on_line(lx, i, fx, c) * on_line(ly, j, fy, c) * on_line(lz, k, fz, c)


@inlined
def add_lines(
    field: Any, i: int, j: int, k: int, fx: Any, fy: Any, fz: Any, c: int, d: Any, of_x: Any, of_y: Any, of_z: Any
) -> None:
    """The gradient of one product of three lines."""
    lx, ly, lz = field
    x, y, z = on_line(lx, i, fx, c), on_line(ly, j, fy, c), on_line(lz, k, fz, c)
    of_x[i, c] += (ONE - fx) * d * y * z
    of_x[i + 1, c] += fx * d * y * z
    of_y[j, c] += (ONE - fy) * d * x * z
    of_y[j + 1, c] += fy * d * x * z
    of_z[k, c] += (ONE - fz) * d * x * y
    of_z[k + 1, c] += fz * d * x * y


@compiled
def lines_backward(within: Any, field: Any, of_values: Any, gradients: Any) -> None:
    """Add to the accumulators."""
    lx, ly, lz = field
    of_x, of_y, of_z, _ = gradients
    for n in range(len(within)):
        i, fx = entry(within[n, 0], len(lx))
        j, fy = entry(within[n, 1], len(ly))
        k, fz = entry(within[n, 2], len(lz))
        for c in range(lx.shape[1]):
            add_lines(field, i, j, k, fx, fy, fz, c, of_values[n, c], of_x, of_y, of_z)


# -- planes alone ------------------------------------------------------------------------------------------------------

SUM, PRODUCT, CONCAT = 0, 1, 2


@called
def add_flat(plane: Any, at: int, columns: int, f: Any, g: Any, into: Any) -> None:
    """Add what a bilinear plane holds in the square that begins at `at`."""
    p, q, r, s = (ONE - f) * (ONE - g), (ONE - f) * g, f * (ONE - g), f * g
    for c in range(plane.shape[1]):
        into[c] += p * plane[at, c] + q * plane[at + 1, c] + r * plane[at + columns, c] + s * plane[at + columns + 1, c]


@called
def fill_products(a: Any, b: Any, d: Any, into: Any) -> None:
    for c in range(len(into)):
        into[c] = a[c] * b[c] * d[c]


@inlined
def add_plane(
    i: int, j: int, f: Any, g: Any, columns: int, given: Any, of_plane: Any, seen: Any, touched: Any, counts: Any,
    table: int,
) -> None:  # fmt: skip
    """Add the gradient of what a plane holds in a square."""
    for corner in range(4):
        row = (i + (corner >> 1)) * columns + j + (corner & 1)
        touch(seen, touched, counts, table, row)
        add_scaled(of_plane, row, square_share(corner, f, g), given)


@compiled
def planes_forward(within: Any, field: Any, values: Any) -> None:
    """Fill values [n, c], or [n, 3 c] where the planes' numbers stand one after the other."""
    xy, xz, yz, nx, ny, nz, how = field
    channels = xy.shape[1]
    scratch = np.empty((2, channels), np.float32)
    for n in range(len(within)):
        i, fx = entry(within[n, 0], nx)
        j, fy = entry(within[n, 1], ny)
        k, fz = entry(within[n, 2], nz)
        found = values[n]
        if how == SUM:
            fill_flat(xy, i * ny + j, ny, fx, fy, found)
            add_flat(xz, i * nz + k, nz, fx, fz, found)
            add_flat(yz, j * nz + k, nz, fy, fz, found)
        elif how == PRODUCT:
            fill_flat(xy, i * ny + j, ny, fx, fy, found)
            fill_flat(xz, i * nz + k, nz, fx, fz, scratch[0])
            fill_flat(yz, j * nz + k, nz, fy, fz, scratch[1])
            scale(found, scratch[0])
            scale(found, scratch[1])
        else:
            fill_flat(xy, i * ny + j, ny, fx, fy, found[:channels])
            fill_flat(xz, i * nz + k, nz, fx, fz, found[channels : 2 * channels])
            fill_flat(yz, j * nz + k, nz, fy, fz, found[2 * channels :])


@compiled
def planes_backward(within: Any, field: Any, of_values: Any, gradients: Any) -> None:
    """Add to the accumulators."""
    xy, xz, yz, nx, ny, nz, how = field
    gxy, sxy, txy, gxz, sxz, txz, gyz, syz, tyz, scratch, counts = gradients
    c = xy.shape[1]
    flat_xy, flat_xz, flat_yz, part = scratch[0], scratch[1], scratch[2], scratch[3]
    for n in range(len(within)):
        i, fx = entry(within[n, 0], nx)
        j, fy = entry(within[n, 1], ny)
        k, fz = entry(within[n, 2], nz)
        given = of_values[n]
        if how == PRODUCT:
            fill_flat(xy, i * ny + j, ny, fx, fy, flat_xy)
            fill_flat(xz, i * nz + k, nz, fx, fz, flat_xz)
            fill_flat(yz, j * nz + k, nz, fy, fz, flat_yz)
            fill_products(given, flat_xz, flat_yz, part)
            add_plane(i, j, fx, fy, ny, part, gxy, sxy, txy, counts, 0)
            fill_products(given, flat_xy, flat_yz, part)
            add_plane(i, k, fx, fz, nz, part, gxz, sxz, txz, counts, 1)
            fill_products(given, flat_xy, flat_xz, part)
            add_plane(j, k, fy, fz, nz, part, gyz, syz, tyz, counts, 2)
        else:
            first, second = (c, 2 * c) if how == CONCAT else (0, 0)
            add_plane(i, j, fx, fy, ny, given[:c], gxy, sxy, txy, counts, 0)
            add_plane(i, k, fx, fz, nz, given[first : first + c], gxz, sxz, txz, counts, 1)
            add_plane(j, k, fy, fz, nz, given[second : second + c], gyz, syz, tyz, counts, 2)
