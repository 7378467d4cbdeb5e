"""The numba loops of `tiny_networks`: blocks of samples of one network, each row of a block one number of all of them.

Samples lie along the rows, so that the inner loops run over samples, and four inputs by four outputs are multiplied at
a time: as fast as the machine multiplies large matrices (benchmarks/kilonerf_speed.py). The way back makes the hidden
numbers anew, which costs less than keeping them.
"""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import called, compiled, inlined

BLOCK = 64
"""samples of one network that are computed at once"""
LANES = 16
"""a block is as long as its samples, rounded up to these"""
ZERO = np.float32(0)


@compiled
def grouped(network: Any, first: Any, order: Any) -> None:
    """Fill first [n + 1] and order [m]: the samples of network k are order[first[k]:first[k + 1]]."""
    first[:] = 0
    for k in network:
        first[k + 1] += 1
    for k in range(1, len(first)):
        first[k] += first[k - 1]
    for m in range(len(network)):
        order[first[network[m]]] = m
        first[network[m]] += 1
    for k in range(len(first) - 1, 0, -1):
        first[k] = first[k - 1]
    first[0] = 0


# -- products ----------------------------------------------------------------------------------------------------------


@inlined
def row(number: Any) -> Any:
    """Where a row of a block begins; unsigned, so that numba does not look for negative places in inner loops."""
    return np.uint64(number * BLOCK)


@called
def times(
    w: Any, at: int, down: int, across: int, rows: int, columns: int, x: Any, a: int, y: Any, b: int, n: int
) -> None:
    """Add to y[b + o] the sum over i of w_io x[a + i], for i < rows and o < columns, in n samples; w_io stands at
    w[at + i down + o across]."""
    for o in range(0, columns - columns % 4, 4):
        y0 = row(b + o)
        y1, y2, y3 = row(b + o + 1), row(b + o + 2), row(b + o + 3)
        for i in range(0, rows - rows % 4, 4):
            p, x0 = at + i * down + o * across, row(a + i)
            q, r, t = p + down, p + 2 * down, p + 3 * down
            x1, x2, x3 = row(a + i + 1), row(a + i + 2), row(a + i + 3)
            w00, w01, w02, w03 = w[p], w[p + across], w[p + 2 * across], w[p + 3 * across]
            w10, w11, w12, w13 = w[q], w[q + across], w[q + 2 * across], w[q + 3 * across]
            w20, w21, w22, w23 = w[r], w[r + across], w[r + 2 * across], w[r + 3 * across]
            w30, w31, w32, w33 = w[t], w[t + across], w[t + 2 * across], w[t + 3 * across]
            for s in range(np.uint64(n)):
                e, f, g, h = x[x0 + s], x[x1 + s], x[x2 + s], x[x3 + s]
                y[y0 + s] += w00 * e + w10 * f + w20 * g + w30 * h
                y[y1 + s] += w01 * e + w11 * f + w21 * g + w31 * h
                y[y2 + s] += w02 * e + w12 * f + w22 * g + w32 * h
                y[y3 + s] += w03 * e + w13 * f + w23 * g + w33 * h
        for i in range(rows - rows % 4, rows):
            p, x0 = at + i * down + o * across, row(a + i)
            w0, w1, w2, w3 = w[p], w[p + across], w[p + 2 * across], w[p + 3 * across]
            for s in range(np.uint64(n)):
                e = x[x0 + s]
                y[y0 + s] += w0 * e
                y[y1 + s] += w1 * e
                y[y2 + s] += w2 * e
                y[y3 + s] += w3 * e
    for o in range(columns - columns % 4, columns):
        for i in range(rows):
            w0, x0, y0 = w[at + i * down + o * across], row(a + i), row(b + o)
            for s in range(np.uint64(n)):
                y[y0 + s] += w0 * x[x0 + s]


@called
def spread(x: Any, a: int, rows: int, g: Any, b: int, columns: int, of_w: Any, at: int, n: int) -> None:
    """Add to of_w, row by row from `at`, the sums over n samples of x[a + i] g[b + o]; as the last row, which is the
    bias, those of g[b + o]."""
    for o in range(0, columns - columns % 4, 4):
        g0, p, q, r, t = row(b + o), ZERO, ZERO, ZERO, ZERO
        g1, g2, g3 = row(b + o + 1), row(b + o + 2), row(b + o + 3)
        for s in range(np.uint64(n)):
            p, q, r, t = p + g[g0 + s], q + g[g1 + s], r + g[g2 + s], t + g[g3 + s]
        add_four(of_w, at + rows * columns + o, p, q, r, t)
        for i in range(0, rows, 2):
            p, q, r, t, u, v, y, z = ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO, ZERO
            second = min(i + 1, rows - 1)  # of an odd number of rows, the last is looked at twice, and added once
            x0, x1 = row(a + i), row(a + second)
            for s in range(np.uint64(n)):
                e, f, c, d = x[x0 + s], x[x1 + s], g[g0 + s], g[g1 + s]
                h, k = g[g2 + s], g[g3 + s]
                p, q, r, t = p + e * c, q + e * d, r + e * h, t + e * k
                u, v, y, z = u + f * c, v + f * d, y + f * h, z + f * k
            add_four(of_w, at + i * columns + o, p, q, r, t)
            if second > i:
                add_four(of_w, at + second * columns + o, u, v, y, z)
    for o in range(columns - columns % 4, columns):
        p, g0 = ZERO, row(b + o)
        for s in range(np.uint64(n)):
            p += g[g0 + s]
        of_w[at + rows * columns + o] += p
        for i in range(rows):
            p, x0 = ZERO, row(a + i)
            for s in range(np.uint64(n)):
                p += x[x0 + s] * g[g0 + s]
            of_w[at + i * columns + o] += p


@inlined
def add_four(w: Any, at: int, p: Any, q: Any, r: Any, t: Any) -> None:
    w[at] += p
    w[at + 1] += q
    w[at + 2] += r
    w[at + 3] += t


# -- a block of samples ------------------------------------------------------------------------------------------------


@called
def encode(values: Any, chosen: Any, a: int, count: int, n: int, octaves: int, x: Any, b: int) -> None:
    """x[b:]: numbers in [-1, 1] of the chosen samples, with their waves in the order of `fields.encodings.positional`:
    a polynomial, then double angles."""
    for c in range(3):
        for s in range(n):
            x[row(b + c) + np.uint64(s)] = values[chosen[a + s], c] if s < count else ZERO
        for s in range(np.uint64(n if octaves > 0 else 0)):
            v = x[row(b + c) + s]
            u = v * v
            x[row(b + 3 + c) + s] = v * (
                np.float32(1) + u * (np.float32(-1 / 6) + u * (np.float32(1 / 120) + u * (np.float32(-1 / 5040)
                + u * (np.float32(1 / 362880) + u * np.float32(-1 / 39916800)))))
            )  # fmt: skip
            x[row(b + 6 + c) + s] = np.float32(1) + u * (
                np.float32(-1 / 2) + u * (np.float32(1 / 24) + u * (np.float32(-1 / 720)
                + u * (np.float32(1 / 40320) + u * (np.float32(-1 / 3628800) + u * np.float32(1 / 479001600)))))
            )  # fmt: skip
        for k in range(1, octaves):
            at = b + 6 * k + c
            for s in range(np.uint64(n)):
                sine, cosine = x[row(at - 3) + s], x[row(at) + s]
                x[row(at + 3) + s] = np.float32(2) * sine * cosine
                x[row(at + 6) + s] = np.float32(1) - np.float32(2) * sine * sine


@called
def computed(
    w: Any,
    layers: Any,
    octaves: Any,
    points: Any,
    sights: Any,
    chosen: Any,
    start: int,
    count: int,
    n: int,
    x: Any,
) -> None:
    """Fill a block [rows * BLOCK] with all that the network of weights w computes of the chosen samples."""
    encode(points, chosen, start, count, n, octaves[0], x, 0)
    encode(sights, chosen, start, count, n, octaves[1], x, octaves[2])
    for at, rows, columns, a, b, _, rectified in layers:
        for o in range(columns):
            bias = w[at + rows * columns + o]
            for s in range(np.uint64(n)):
                x[row(b + o) + s] = bias
        times(w, at, columns, 1, rows, columns, x, a, x, b, n)
        for o in range(columns * rectified):
            for s in range(np.uint64(n)):
                x[row(b + o) + s] = max(x[row(b + o) + s], ZERO)


@compiled
def forward(
    weights: Any, layers: Any, octaves: Any, begin: int, end: int, points: Any, sights: Any, first: Any, order: Any,
    found: Any,
) -> None:  # fmt: skip
    """Fill found [m, 4], raw density and colour, of the samples of networks `begin` to `end` - 1.

    Rows of `layers` are, of each layer: where its weights begin, its inputs and outputs, the rows of a block where
    these begin, how many inputs are learned, and whether outputs are rectified. `octaves` are those of place and
    direction, and the row where the direction stands.
    """
    last = layers[-1, 4] - 1
    x = np.empty((last + 4) * BLOCK, np.float32)
    for k in range(begin, end):
        for a in range(first[k], first[k + 1], BLOCK):
            count = min(BLOCK, first[k + 1] - a)
            n = (count + LANES - 1) // LANES * LANES
            computed(weights[k], layers, octaves, points, sights, order, a, count, n, x)
            for s in range(count):
                for c in range(4):
                    found[order[a + s], c] = x[row(last + c) + np.uint64(s)]


@compiled
def backward(
    weights: Any, layers: Any, octaves: Any, begin: int, end: int, points: Any, sights: Any, first: Any, order: Any,
    of_found: Any, gradient: Any,
) -> None:  # fmt: skip
    """Add to the gradient of networks `begin` to `end` - 1."""
    last = layers[-1, 4] - 1
    x, g = np.empty((last + 4) * BLOCK, np.float32), np.empty((last + 4) * BLOCK, np.float32)
    for k in range(begin, end):
        for start in range(first[k], first[k + 1], BLOCK):
            count = min(BLOCK, first[k + 1] - start)
            n = (count + LANES - 1) // LANES * LANES
            computed(weights[k], layers, octaves, points, sights, order, start, count, n, x)
            g[:] = 0
            for s in range(count):
                for c in range(4):
                    g[row(last + c) + np.uint64(s)] = of_found[order[start + s], c]
            for number in range(len(layers) - 1, -1, -1):
                at, rows, columns, a, b, learned, rectified = layers[number]
                for o in range(columns * rectified):
                    for s in range(np.uint64(n)):
                        g[row(b + o) + s] = g[row(b + o) + s] if x[row(b + o) + s] > 0 else ZERO
                spread(x, a, rows, g, b, columns, gradient[k], at, n)
                times(weights[k], at, 1, columns, columns, learned, g, b, g, a, n)
