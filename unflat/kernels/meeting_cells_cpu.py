"""The numba loop of `meeting_cells`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import compiled, first_step, into_box, next_sample


@compiled
def look(
    origins: Any, directions: Any, near: Any, far: Any, clear: Any, low: Any, high: Any, step: Any, is_contracted: bool,
    found: Any,
) -> None:  # fmt: skip
    """Fill found [r]."""
    sides, half = ((high - low) / np.array(clear.shape)).astype(np.float32), np.float32(0.5)
    for r in range(len(found)):
        t0, t1 = near[r], far[r]
        if not is_contracted:
            t0, t1 = into_box(origins[r], directions[r], low, high, t0, t1)
        found[r] = False
        if t1 > t0:
            t = first_step(origins[r], directions[r], t0, step, half, is_contracted)
            t, _ = next_sample(origins[r], directions[r], t, t0, t1, half, step, is_contracted, clear, low, sides)
            found[r] = t < t1
