"""The numba loops of `group_norm`: a module of its own so that numba is imported only where it is used.

Pictures lie as [b, pixels * channels], channels innermost. Everything that belongs to a channel is repeated over
`lanes` neighbouring values (a multiple of the channels, some pixels), so that the innermost loops are long, without
reductions, and become vector instructions.

Values are float32, or bfloat16 as the 16 upper bits of float32 (uint16: numba has no type for them). Sums are float32.
"""

from typing import Any

import numba
import numpy as np
from numba.extending import overload

ONE, NONE = np.float32(1), np.float32(0)
HALF = np.uint32(0x7FFF)
"""just under half of the last bit that bfloat16 keeps"""


def wide(value: Any) -> Any:
    """A stored value as float32. Compiled only."""
    raise NotImplementedError


@overload(wide, inline="always")
def _wide(value):  # type: ignore[no-untyped-def]
    if isinstance(value, numba.types.Float):
        return lambda value: value
    return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)


def stored(value: Any, like: Any) -> Any:
    """A float32 as what `like` is stored as, rounded to nearest, ties to even. Compiled only."""
    raise NotImplementedError


@overload(stored, inline="always")
def _stored(value, like):  # type: ignore[no-untyped-def]
    if isinstance(like, numba.types.Float):
        return lambda value, like: value

    def rounded(value, like):  # type: ignore[no-untyped-def]
        bits = np.float32(value).view(np.uint32)
        upper = np.uint16((bits + HALF + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))
        return upper if value == value else np.uint16(0x7FC0)  # a NaN stays one

    return rounded


@numba.njit(cache=True, error_model="numpy", boundscheck=False, fastmath={"contract"})
def forward(x: Any, weight: Any, bias: Any, eps: float, slope: float, lanes: int, y: Any, mean: Any, root: Any) -> None:
    """Fill `y` [b, pixels * channels] and each group's `mean` and `root` = 1 / standard deviation [b, groups]."""
    batch, length = x.shape
    channels, groups, slant = len(weight), mean.shape[1], np.float32(slope)
    size = channels // groups
    total, squares = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    scale, shift = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    for n in range(batch):
        total[:], squares[:] = 0, 0
        picture, out = x[n], y[n]
        for first in range(0, length, lanes):
            values = picture[first : first + lanes]
            for k in range(lanes):
                value = wide(values[k])
                total[k] += value
                squares[k] += value * value
        for g in range(groups):
            first_moment, second_moment = 0.0, 0.0
            for k in range(lanes):
                if (k % channels) // size == g:
                    first_moment += total[k]
                    second_moment += squares[k]
            count = length // groups
            middle = first_moment / count
            mean[n, g] = middle
            root[n, g] = 1 / np.sqrt(max(second_moment / count - middle * middle, 0.0) + eps)
        for k in range(lanes):
            g = (k % channels) // size
            scale[k] = weight[k % channels] * root[n, g]
            shift[k] = bias[k % channels] - mean[n, g] * scale[k]
        for first in range(0, length, lanes):
            values, results = picture[first : first + lanes], out[first : first + lanes]
            for k in range(lanes):
                z = wide(values[k]) * scale[k] + shift[k]
                results[k] = stored(z if z > NONE else slant * z, results[k])


@numba.njit(cache=True, error_model="numpy", boundscheck=False, fastmath={"contract"})
def backward(
    dy: Any, x: Any, weight: Any, bias: Any, slope: float, lanes: int, mean: Any, root: Any, dx: Any, dw: Any, db: Any
) -> None:
    """Fill `dx`, and add to `dw` and `db` [channels], which are zero. What a ReLU held back is found again from x."""
    batch, length = x.shape
    channels, groups, slant = len(weight), mean.shape[1], np.float32(slope)
    size = channels // groups
    with_x, alone = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    scale, shift = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    along, offset = np.empty(lanes, np.float32), np.empty(lanes, np.float32)
    of_channel, of_channel_with_x = np.empty(channels), np.empty(channels)
    for n in range(batch):
        picture, above, below = x[n], dy[n], dx[n]
        for k in range(lanes):
            g = (k % channels) // size
            scale[k] = weight[k % channels] * root[n, g]
            shift[k] = bias[k % channels] - mean[n, g] * scale[k]
        with_x[:], alone[:] = 0, 0
        for first in range(0, length, lanes):
            values, grads = picture[first : first + lanes], above[first : first + lanes]
            for k in range(lanes):
                value, grad = wide(values[k]), wide(grads[k])
                grad = grad if value * scale[k] + shift[k] > NONE else slant * grad
                alone[k] += grad
                with_x[k] += grad * value
        of_channel[:], of_channel_with_x[:] = 0, 0
        for k in range(lanes):
            of_channel[k % channels] += alone[k]
            of_channel_with_x[k % channels] += with_x[k]
        for c in range(channels):
            g = c // size
            db[c] += of_channel[c]
            dw[c] += (of_channel_with_x[c] - of_channel[c] * mean[n, g]) * root[n, g]
        for g in range(groups):
            through, through_with_x, count = 0.0, 0.0, length // groups
            for c in range(g * size, (g + 1) * size):
                through += weight[c] * of_channel[c]
                through_with_x += weight[c] * of_channel_with_x[c]
            slope_of_x = (through * mean[n, g] - through_with_x) * root[n, g] ** 3 / count
            constant = -slope_of_x * mean[n, g] - through * root[n, g] / count
            for k in range(lanes):
                if (k % channels) // size == g:
                    along[k], offset[k] = slope_of_x, constant
        for first in range(0, length, lanes):
            values, grads = picture[first : first + lanes], above[first : first + lanes]
            results = below[first : first + lanes]
            for k in range(lanes):
                value, grad = wide(values[k]), wide(grads[k])
                grad = grad if value * scale[k] + shift[k] > NONE else slant * grad
                results[k] = stored(scale[k] * grad + along[k] * value + offset[k], results[k])
