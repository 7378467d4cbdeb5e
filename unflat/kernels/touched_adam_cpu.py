"""The numba loop of `touched_adam`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import compiled


@compiled
def update(
    touched: Any, gradient: Any, table: Any, mean: Any, square: Any, count: Any, rate: Any, b1: Any, b2: Any, eps: Any,
    young_mean: Any, young_square: Any, scales: Any,
) -> None:  # fmt: skip
    """One update in place of the rows that are touched."""
    one, oldest = np.float32(1), len(young_mean) - 1
    for n in range(len(touched)):
        row = touched[n]
        age = count[row] + 1
        count[row] = age
        step, size = rate * young_mean[min(age, oldest)], young_square[min(age, oldest)]
        if len(scales) > 1:  # one stands for all
            step *= scales[row]
        for c in range(table.shape[1]):
            g = gradient[n, c]
            m = b1 * mean[row, c] + (one - b1) * g
            v = b2 * square[row, c] + (one - b2) * g * g
            mean[row, c], square[row, c] = m, v
            table[row, c] -= step * m / (np.sqrt(v * size) + eps)


@compiled
def differ(rows: Any, count: Any) -> bool:
    """Whether no row is named twice; counts are turned negative on the way, and back."""
    found = len(rows)
    for n in range(len(rows)):
        if count[rows[n]] < 0:
            found = n
            break
        count[rows[n]] = -1 - count[rows[n]]
    for n in range(found):
        count[rows[n]] = -1 - count[rows[n]]
    return found == len(rows)
