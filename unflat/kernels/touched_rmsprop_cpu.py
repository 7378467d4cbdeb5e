"""The numba loop of `touched_rmsprop`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import compiled


@compiled
def update(touched: Any, gradient: Any, table: Any, square: Any, rate: Any, beta: Any, eps: Any) -> None:
    """One update in place of the rows that are touched."""
    one = np.float32(1)
    for n in range(len(touched)):
        row = touched[n]
        for c in range(table.shape[1]):
            g, before = gradient[n, c], square[row, c]
            mean = g * g if before == 0 else beta * before + (one - beta) * g * g
            square[row, c] = mean
            table[row, c] -= rate * g / (np.sqrt(mean) + eps)
