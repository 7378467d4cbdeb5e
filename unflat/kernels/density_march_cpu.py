"""The numba loops of `density_march`: one walk for every kind of table.

What a table is, is told by how many parts its tuple has: numba compiles the walk once for each.
"""

from typing import Any

import numpy as np
from numba.extending import overload

from unflat.kernels.hash_lookup_cpu import fill_hashed
from unflat.kernels.lookup_cpu import (
    add_lines,
    add_pair,
    corner_place,
    corner_share,
    entry,
    on_line,
    touch,
)
from unflat.kernels.walking_cpu import (
    PLAIN,
    called,
    compiled,
    contracted,
    first_step,
    inlined,
    into_box,
    jittered,
    next_sample,
)

ONE = np.float32(1)
SURELY = np.float32(15)  # the softplus of what is larger is itself
VOXELS, PAIRS, LINES, DECODED = 4, 9, 3, 10
"""parts of the tuples that `lookup.field_of` makes, and of a density that a network makes"""


# -- the raw density of each kind, at places in the box from 0 to 1, and its gradient ----------------------------------


def raw_of(field: Any, x: Any, y: Any, z: Any) -> Any:
    """The raw density of a field."""
    raise NotImplementedError("only in compiled loops")


def activated(field: Any, raw: Any, is_relu: bool) -> Any:
    """What a raw density becomes: the exponential of what a network makes, else softplus or relu."""
    raise NotImplementedError("only in compiled loops")


def add_raw(field: Any, x: Any, y: Any, z: Any, of_raw: Any, gradients: Any) -> None:
    """Add the gradient of a raw density to those of the field's tables."""
    raise NotImplementedError("only in compiled loops")


@inlined
def _voxels_raw(field: Any, x: Any, y: Any, z: Any) -> Any:
    """The voxels' first channel, trilinear."""
    table, nx, ny, nz = field
    i, fx = entry(x, nx)
    j, fy = entry(y, ny)
    k, fz = entry(z, nz)
    at, row, plane = (i * ny + j) * nz + k, nz, ny * nz
    gx, gy, gz = ONE - fx, ONE - fy, ONE - fz
    a = gz * table[at, 0] + fz * table[at + 1, 0]
    b = gz * table[at + row, 0] + fz * table[at + row + 1, 0]
    c = gz * table[at + plane, 0] + fz * table[at + plane + 1, 0]
    d = gz * table[at + plane + row, 0] + fz * table[at + plane + row + 1, 0]
    return gx * (gy * a + fy * b) + fx * (gy * c + fy * d)


@inlined
def _voxels_add(field: Any, x: Any, y: Any, z: Any, of_raw: Any, gradients: Any) -> None:
    _, nx, ny, nz = field
    of_table, seen, touched, counts = gradients
    i, fx = entry(x, nx)
    j, fy = entry(y, ny)
    k, fz = entry(z, nz)
    at = (i * ny + j) * nz + k
    for corner in range(8):
        row = corner_place(corner, at, nz, ny * nz)
        touch(seen, touched, counts, 0, row)
        of_table[row, 0] += corner_share(corner, fx, fy, fz) * of_raw


@inlined
def _pair_raw(plane: Any, line: Any, a: Any, b: Any, z: Any, rows: int, columns: int) -> Any:
    """The sum of the products of a bilinear plane and a linear line."""
    i, f = entry(a, rows)
    j, g = entry(b, columns)
    k, h = entry(z, len(line))
    at, total = i * columns + j, np.float32(0)
    p, q, r, s = (ONE - f) * (ONE - g), (ONE - f) * g, f * (ONE - g), f * g
    for c in range(plane.shape[1]):
        flat = p * plane[at, c] + q * plane[at + 1, c] + r * plane[at + columns, c] + s * plane[at + columns + 1, c]
        total += flat * ((ONE - h) * line[k, c] + h * line[k + 1, c])
    return total


@inlined
def _pairs_raw(field: Any, x: Any, y: Any, z: Any) -> Any:
    xy, xz, yz, lz, ly, lx, nx, ny, nz = field
    first, second = _pair_raw(xy, lz, x, y, z, nx, ny), _pair_raw(xz, ly, x, z, y, nx, nz)
    return first + second + _pair_raw(yz, lx, y, z, x, ny, nz)


@inlined
def _pairs_add(field: Any, x: Any, y: Any, z: Any, of_raw: Any, gradients: Any) -> None:
    xy, xz, yz, lz, ly, lx, nx, ny, nz = field
    gxy, sxy, txy, gxz, sxz, txz, gyz, syz, tyz, gz, gy, gx, scratch, counts = gradients
    none = scratch[0, :0]
    add_pair(xy, lz, x, y, z, nx, ny, none, of_raw, gxy, sxy, txy, gz, scratch, counts, 0)
    add_pair(xz, ly, x, z, y, nx, nz, none, of_raw, gxz, sxz, txz, gy, scratch, counts, 1)
    add_pair(yz, lx, y, z, x, ny, nz, none, of_raw, gyz, syz, tyz, gx, scratch, counts, 2)


@inlined
def _lines_raw(field: Any, x: Any, y: Any, z: Any) -> Any:
    lx, ly, lz = field
    i, fx = entry(x, len(lx))
    j, fy = entry(y, len(ly))
    k, fz = entry(z, len(lz))
    total = np.float32(0)
    for c in range(lx.shape[1]):
        total += on_line(lx, i, fx, c) * on_line(ly, j, fy, c) * on_line(lz, k, fz, c)
    return total


@inlined
def _lines_add(field: Any, x: Any, y: Any, z: Any, of_raw: Any, gradients: Any) -> None:
    lx, ly, lz = field
    of_x, of_y, of_z, _ = gradients
    i, fx = entry(x, len(lx))
    j, fy = entry(y, len(ly))
    k, fz = entry(z, len(lz))
    for c in range(lx.shape[1]):
        add_lines(field, i, j, k, fx, fy, fz, c, of_raw, of_x, of_y, of_z)


@called
def _fill_hidden(features: Any, weight: Any, bias: Any, hidden: Any) -> None:
    """A layer before its ReLU: weight [k, w]."""
    for o in range(len(hidden)):
        hidden[o] = bias[o]
    for i in range(len(features)):
        f = features[i]
        for o in range(len(hidden)):
            hidden[o] += f * weight[i, o]


@called
def _sum_positive(hidden: Any, last: Any) -> Any:
    total = np.float32(0)
    for o in range(len(hidden)):
        total += max(hidden[o], np.float32(0)) * last[o]
    return total


@inlined
def _decoded_raw(field: Any, x: Any, y: Any, z: Any) -> Any:
    """The logarithm of a density: a hidden layer on what hashed grids hold."""
    table, cells, first, count, weight, bias, last, last_bias, features, hidden = field
    fill_hashed(table, cells, first, count, x, y, z, features)
    _fill_hidden(features, weight, bias, hidden)
    return _sum_positive(hidden, last) + last_bias


@overload(activated, jit_options=PLAIN)
def _activated(field, raw, is_relu):  # type: ignore[no-untyped-def]
    if len(field.types) == DECODED:
        return lambda field, raw, is_relu: np.exp(min(raw, SURELY))
    return lambda field, raw, is_relu: raw if is_relu or raw >= SURELY else np.log(ONE + np.exp(raw))


@overload(raw_of, jit_options=PLAIN)
def _raw_of(field, x, y, z):  # type: ignore[no-untyped-def] # numba compares signatures by their letters
    kind = {VOXELS: _voxels_raw, PAIRS: _pairs_raw, LINES: _lines_raw, DECODED: _decoded_raw}[len(field.types)]
    return lambda field, x, y, z: kind(field, x, y, z)


@overload(add_raw, jit_options=PLAIN)
def _add_raw(field, x, y, z, of_raw, gradients):  # type: ignore[no-untyped-def]
    kind = {VOXELS: _voxels_add, PAIRS: _pairs_add, LINES: _lines_add}[len(field.types)]
    return lambda field, x, y, z, of_raw, gradients: kind(field, x, y, z, of_raw, gradients)


# -- the walk, and the way back ----------------------------------------------------------------------------------------


@compiled
def forward(
    origins: Any, directions: Any, near: Any, far: Any, rays: Any, key: Any, field: Any, clear: Any, low: Any,
    high: Any, step: Any, is_contracted: bool, thickness: Any, shift: Any, thinnest: Any, least: Any, last: Any,
    is_relu: bool, through: Any, first: Any, within: Any, kept: Any,
) -> int:  # fmt: skip
    """Fill through [r], first [r + 1], and of the samples within [m, 3] and kept [m, 4] (alpha, what came through to
    it, raw density, t). Returns their number, or -1 where there is no room for all of them."""
    sides, used = ((high - low) / np.array(clear.shape)).astype(np.float32), 0
    for r in range(origins.shape[0]):
        first[r] = used
        o, d, t0, t1, left = origins[r], directions[r], near[r], far[r], ONE
        if not is_contracted:
            t0, t1 = into_box(o, d, low, high, t0, t1)
        offset = jittered(key, rays[r]) if key != 0 else np.float32(0.5)
        t = first_step(o, d, t0, step, offset, is_contracted)
        while left >= last and t1 > t0:
            t, onwards = next_sample(o, d, t, t0, t1, offset, step, is_contracted, clear, low, sides)
            if not t < t1:
                break
            x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
            if is_contracted:
                x, y, z = contracted(x, y, z)
            x = min(max((x - low[0]) / (high[0] - low[0]), np.float32(0)), ONE)
            y = min(max((y - low[1]) / (high[1] - low[1]), np.float32(0)), ONE)
            z = min(max((z - low[2]) / (high[2] - low[2]), np.float32(0)), ONE)
            raw = raw_of(field, x, y, z) - shift
            if raw > thinnest:
                alpha = ONE - np.exp(-thickness * activated(field, raw, is_relu))
                if left * alpha > least:
                    if used >= kept.shape[0]:
                        return -1
                    within[used, 0], within[used, 1], within[used, 2] = x, y, z
                    kept[used, 0], kept[used, 1], kept[used, 2], kept[used, 3] = alpha, left, raw, t
                    left *= ONE - alpha
                    used += 1
            t += onwards
        through[r] = left
    first[origins.shape[0]] = used
    return used


@compiled
def backward(
    first: Any, within: Any, kept: Any, thickness: Any, is_relu: bool, through: Any, of_weight: Any, of_through: Any,
    field: Any, gradients: Any,
) -> None:  # fmt: skip
    """Add to the gradients of the field's tables."""
    for r in range(len(through)):
        behind = through[r] * of_through[r]  # what lies behind a sample, each part times its gradient
        for m in range(first[r + 1] - 1, first[r] - 1, -1):
            alpha, left, raw, _ = kept[m]
            grows = thickness if is_relu else thickness / (ONE + np.exp(-raw))
            of_raw = grows * ((ONE - alpha) * left * of_weight[m] - behind)
            behind += left * alpha * of_weight[m]
            add_raw(field, within[m, 0], within[m, 1], within[m, 2], of_raw, gradients)
