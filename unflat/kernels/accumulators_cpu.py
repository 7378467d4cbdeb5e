"""The numba loop of `accumulators`."""

from typing import Any

from unflat.kernels.walking_cpu import compiled


@compiled
def gathered(values: Any, seen: Any, touched: Any, into: Any) -> None:
    """Take the touched rows out of a table, which is zero again afterwards."""
    for m in range(into.shape[0]):
        row = touched[m]
        seen[row] = False
        for c in range(into.shape[1]):
            into[m, c] = values[row, c]
            values[row, c] = 0
