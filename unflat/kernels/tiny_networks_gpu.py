"""The Triton kernels of `tiny_networks`: a block of samples of one network each, whose weights are read once for all of
them. Layers are products of blocks in float32; gradients of weights are added up by the hardware, in any order.

Blocks are padded to powers of two, with zeros. Behind the waves of a place, and behind those of a direction, stands a
one, which meets the bias.
"""

import triton
import triton.language as tl

import unflat.kernels.walking_gpu  # noqa: F401 (which says so where Triton is too old)


@triton.jit
def waves(values, sample, there, octaves: tl.constexpr, block: tl.constexpr):
    """Numbers [samples, 3], their waves, and a one, as a block; sines by polynomials of half the angle, since those of
    the library compute in double precision."""
    column = tl.arange(0, block)[None, :]
    wave = column - 3
    coordinate = tl.where(column < 3, column, wave % 3)
    inside = there[:, None] & (column < 3 + 6 * octaves)
    value = tl.load(values + sample[:, None] * 3 + coordinate, mask=inside, other=0.0)
    angle = value * tl.exp2((wave // 6).to(tl.float32))
    turns = tl.floor(angle * 0.15915494309189535 + 0.5)
    half = 0.5 * ((angle - turns * 6.28125) - turns * 0.0019353071795864769)
    u = half * half
    sine = half * (1.0 + u * (-1.0 / 6 + u * (1.0 / 120 + u * (-1.0 / 5040 + u * (1.0 / 362880 - u / 39916800)))))
    cosine = 1.0 + u * (
        -0.5 + u * (1.0 / 24 + u * (-1.0 / 720 + u * (1.0 / 40320 - u * (1.0 / 3628800 - u / 479001600))))
    )
    wavy = tl.where(wave % 6 < 3, 2.0 * sine * cosine, 1.0 - 2.0 * sine * sine)
    found = tl.where(column < 3, value, wavy)
    return tl.where(inside, found, tl.where(there[:, None] & (column == 3 + 6 * octaves), 1.0, 0.0))


@triton.jit
def table_at(first, rows: tl.constexpr, columns: tl.constexpr, height: tl.constexpr, width: tl.constexpr):
    """Where a layer's weights stand, as a block, and which of the block there are."""
    row, column = tl.arange(0, height)[:, None], tl.arange(0, width)[None, :]
    return first + row * columns + column, (row < rows) & (column < columns)


@triton.jit
def table(weights, first, rows: tl.constexpr, columns: tl.constexpr, height: tl.constexpr, width: tl.constexpr):
    """A layer's weights as a block."""
    at, there = table_at(first, rows, columns, height, width)
    return tl.load(weights + at, mask=there, other=0.0)


@triton.jit
def add_table(of_weights, first, values, rows: tl.constexpr, columns: tl.constexpr, height: tl.constexpr,
              width: tl.constexpr):  # fmt: skip
    """Add a block to the gradient of a layer's weights."""
    at, there = table_at(first, rows, columns, height, width)
    tl.atomic_add(of_weights + at, values, mask=there, sem="relaxed")


@triton.jit
def product(a, b):
    return tl.dot(a, b, input_precision="tf32x3")


@triton.jit
def computed(
    points, sights, sample, there, weights, octaves: tl.constexpr, direction_octaves: tl.constexpr, width: tl.constexpr,
    place_block: tl.constexpr, direction_block: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """All that a network computes of a block of samples, without the last layers; and where its layers begin."""
    places: tl.constexpr = 4 + 6 * octaves  # with the bias
    directions: tl.constexpr = 4 + 6 * direction_octaves
    hidden: tl.constexpr = places * width
    density: tl.constexpr = hidden + (width + 1) * width
    feature: tl.constexpr = density + width + 1
    mixed: tl.constexpr = feature + (width + 1) * width
    colour: tl.constexpr = mixed + (width + directions) * width
    place = waves(points, sample, there, octaves, place_block)
    direction = waves(sights, sample, there, direction_octaves, direction_block)
    first = tl.maximum(product(place, table(weights, 0, places, width, place_block, block)), 0.0)
    second = product(first, table(weights, hidden, width, width, block, block))
    second += table(weights, hidden + width * width, 1, width, 1, block)
    second = tl.maximum(second, 0.0)
    features = product(second, table(weights, feature, width, width, block, block))
    features += table(weights, feature + width * width, 1, width, 1, block)
    both = product(features, table(weights, mixed, width, width, block, block))
    both += product(direction, table(weights, mixed + width * width, directions, width, direction_block, block))
    both = tl.maximum(both, 0.0)
    return place, direction, first, second, features, both, hidden, density, feature, mixed, colour


@triton.jit
def block_of(network, begins, ends, order, samples: tl.constexpr):
    """The network of this program, its samples, and which of them there are."""
    program = tl.program_id(0)
    k = tl.load(network + program)
    at = tl.load(begins + program) + tl.arange(0, samples)
    there = at < tl.load(ends + program)
    return k, tl.load(order + at, mask=there, other=0), there


@triton.jit
def forward(
    points, sights, order, network, begins, ends, weights, found, octaves: tl.constexpr,
    direction_octaves: tl.constexpr, width: tl.constexpr, total: tl.constexpr, place_block: tl.constexpr,
    direction_block: tl.constexpr, block: tl.constexpr, samples: tl.constexpr,
):  # fmt: skip
    """Write found [m, 4], raw density and colour."""
    k, sample, there = block_of(network, begins, ends, order, samples)
    own = weights + k * total
    _, _, _, second, _, both, _, density, _, _, colour = computed(
        points, sights, sample, there, own, octaves, direction_octaves, width, place_block, direction_block, block
    )
    unit, column = tl.arange(0, block), tl.arange(0, 16)
    heads = tl.load(own + density + unit, mask=unit < width, other=0.0)
    raw = tl.sum(second * heads[None, :], 1) + tl.load(own + density + width)
    rgb = product(both, table(own, colour, width, 3, block, 16)) + table(own, colour + 3 * width, 1, 3, 1, 16)
    tl.store(found + sample * 4, raw, mask=there)
    into = found + sample[:, None] * 4 + 1 + column[None, :]
    tl.store(into, rgb, mask=there[:, None] & (column < 3)[None, :])


@triton.jit
def backward(
    points, sights, order, network, begins, ends, weights, of_found, of_weights, octaves: tl.constexpr,
    direction_octaves: tl.constexpr, width: tl.constexpr, total: tl.constexpr, place_block: tl.constexpr,
    direction_block: tl.constexpr, block: tl.constexpr, samples: tl.constexpr,
):  # fmt: skip
    """Add to of_weights [k, n]."""
    k, sample, there = block_of(network, begins, ends, order, samples)
    own, gradient = weights + k * total, of_weights + k * total
    place, direction, first, second, features, both, hidden, density, feature, mixed, colour = computed(
        points, sights, sample, there, own, octaves, direction_octaves, width, place_block, direction_block, block
    )
    unit, column = tl.arange(0, block), tl.arange(0, 16)
    of_raw = tl.load(of_found + sample * 4, mask=there, other=0.0)
    shown = there[:, None] & (column < 3)[None, :]
    of_rgb = tl.load(of_found + sample[:, None] * 4 + 1 + column[None, :], mask=shown, other=0.0)
    add_table(gradient, colour, product(tl.trans(both), of_rgb), width, 3, block, 16)
    add_table(gradient, colour + 3 * width, tl.sum(of_rgb, 0)[None, :], 1, 3, 1, 16)
    of_both = product(of_rgb, tl.trans(table(own, colour, width, 3, block, 16)))
    of_both = tl.where(both > 0.0, of_both, 0.0)
    add_table(gradient, mixed, product(tl.trans(features), of_both), width, width, block, block)
    of_directions = product(tl.trans(direction), of_both)
    directions: tl.constexpr = 4 + 6 * direction_octaves
    add_table(gradient, mixed + width * width, of_directions, directions, width, direction_block, block)
    of_features = product(of_both, tl.trans(table(own, mixed, width, width, block, block)))
    add_table(gradient, feature, product(tl.trans(second), of_features), width, width, block, block)
    add_table(gradient, feature + width * width, tl.sum(of_features, 0)[None, :], 1, width, 1, block)
    of_heads = tl.sum(second * of_raw[:, None], 0)
    tl.atomic_add(gradient + density + unit, of_heads, mask=unit < width, sem="relaxed")
    tl.atomic_add(gradient + density + width, tl.sum(of_raw, 0), sem="relaxed")
    heads = tl.load(own + density + unit, mask=unit < width, other=0.0)
    of_second = product(of_features, tl.trans(table(own, feature, width, width, block, block)))
    of_second = tl.where(second > 0.0, of_second + of_raw[:, None] * heads[None, :], 0.0)
    add_table(gradient, hidden, product(tl.trans(first), of_second), width, width, block, block)
    add_table(gradient, hidden + width * width, tl.sum(of_second, 0)[None, :], 1, width, 1, block)
    of_first = product(of_second, tl.trans(table(own, hidden, width, width, block, block)))
    of_first = tl.where(first > 0.0, of_first, 0.0)
    add_table(gradient, 0, product(tl.trans(place), of_first), 4 + 6 * octaves, width, place_block, block)
