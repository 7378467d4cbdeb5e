"""The numba loops of `hash_lookup`. Places in the box are given from 0 to 1 along each axis."""

from typing import Any

import numpy as np

from unflat.kernels.lookup_cpu import corner_share, entry, touch
from unflat.kernels.walking_cpu import compiled, inlined


@inlined
def strides(j: int, k: int, side: int) -> Any:
    """What the axes y and z add to the row of a corner of a dense level of `side` corners, near and far."""
    return j * side, (j + 1) * side, k * side * side, (k + 1) * side * side


@inlined
def hashes(j: int, k: int) -> Any:
    """What they add to a hash, by xor: see `hash_lookup.hashed_rows`."""
    return j * 2654435761, (j + 1) * 2654435761, k * 805459861, (k + 1) * 805459861


@inlined
def level_row(corner: int, i: int, y: Any, z: Any, begins: int, rows: int, dense: bool) -> int:
    """The row of a corner of a level, of what y and z add."""
    x = i + (corner >> 2)
    if dense:
        return begins + x + y + z
    return begins + ((x ^ y ^ z) & (rows - 1))


@inlined
def two_channels(table: Any, c: int, d: int, x: Any, y: Any, z: Any, cells: int, begins: int, rows: int) -> Any:
    """What a level holds at a place, of two channels at once: they lie side by side."""
    side = cells + 1
    i, fx = entry(x, side)
    j, fy = entry(y, side)
    k, fz = entry(z, side)
    first, second = np.float32(0), np.float32(0)
    if rows == side * side * side:  # two loops: one that asked at every corner would take twice as long
        y0, y1, z0, z1 = strides(j, k, side)
        for corner in range(8):
            row = level_row(corner, i, y1 if corner & 2 else y0, z1 if corner & 1 else z0, begins, rows, True)
            share = corner_share(corner, fx, fy, fz)
            first += share * table[row, c]
            second += share * table[row, d]
        return first, second
    y0, y1, z0, z1 = hashes(j, k)
    for corner in range(8):
        row = level_row(corner, i, y1 if corner & 2 else y0, z1 if corner & 1 else z0, begins, rows, False)
        share = corner_share(corner, fx, fy, fz)
        first += share * table[row, c]
        second += share * table[row, d]
    return first, second


@inlined
def fill_hashed(table: Any, cells: Any, first: Any, count: Any, x: Any, y: Any, z: Any, into: Any) -> None:
    """What all levels hold at one place, [levels c]."""
    channels = table.shape[1]
    for level in range(len(cells)):
        for c in range(0, channels, 2):
            d = min(c + 1, channels - 1)
            a, b = two_channels(table, c, d, x, y, z, cells[level], first[level], count[level])
            into[level * channels + d] = b
            into[level * channels + c] = a


@compiled
def forward(within: Any, field: Any, values: Any) -> None:
    """Fill values [n, levels c]: level by level, since a level's rows stay near."""
    table, cells, first, count = field
    channels = table.shape[1]
    for level in range(len(cells)):
        for c in range(0, channels, 2):
            d, at = min(c + 1, channels - 1), level * channels
            for n in range(len(within)):
                x, y, z = within[n, 0], within[n, 1], within[n, 2]
                a, b = two_channels(table, c, d, x, y, z, cells[level], first[level], count[level])
                values[n, at + d] = b
                values[n, at + c] = a


@compiled
def backward(within: Any, field: Any, of_values: Any, gradients: Any) -> None:
    """Add to the accumulators."""
    _, cells, first, count = field
    of_table, seen, touched, counts = gradients
    channels = of_table.shape[1]
    for level in range(len(cells)):
        side, begins, rows = cells[level] + 1, first[level], count[level]
        dense = rows == side * side * side
        for n in range(len(within)):
            i, fx = entry(within[n, 0], side)
            j, fy = entry(within[n, 1], side)
            k, fz = entry(within[n, 2], side)
            y0, y1, z0, z1 = strides(j, k, side) if dense else hashes(j, k)
            for corner in range(8):
                row = level_row(corner, i, y1 if corner & 2 else y0, z1 if corner & 1 else z0, begins, rows, dense)
                share = corner_share(corner, fx, fy, fz)
                touch(seen, touched, counts, 0, row)
                for c in range(channels):
                    of_table[row, c] += share * of_values[n, level * channels + c]
