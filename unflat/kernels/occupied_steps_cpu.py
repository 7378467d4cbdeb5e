"""The numba loop of `occupied_steps`."""

from typing import Any

import numpy as np

from unflat.kernels.walking_cpu import compiled, contracted, first_step, into_box, jittered, next_sample


@compiled
def walk(
    origins: Any, directions: Any, near: Any, far: Any, rays: Any, key: Any, clear: Any, low: Any, high: Any, step: Any,
    is_contracted: bool, most: int, each: Any, onwards: Any, kept: Any,
) -> Any:  # fmt: skip
    """Fill each and onwards [r], and kept [m, 5] (t, length, point). Returns how many rays there was room for, and the
    number of their samples."""
    sides, used = ((high - low) / np.array(clear.shape)).astype(np.float32), 0
    for r in range(origins.shape[0]):
        o, d, t0, t1, number = origins[r], directions[r], near[r], far[r], 0
        if not is_contracted:
            t0, t1 = into_box(o, d, low, high, t0, t1)
        offset = jittered(key, rays[r]) if key != 0 else np.float32(0.5)
        t = first_step(o, d, t0, step, offset, is_contracted)
        onwards[r] = far[r]
        while t1 > t0:
            t, length = next_sample(o, d, t, t0, t1, offset, step, is_contracted, clear, low, sides)
            if not t < t1:
                break
            if number == most:
                onwards[r] = t - offset * length
                break
            if used >= kept.shape[0]:
                return r, used - number
            x, y, z = o[0] + t * d[0], o[1] + t * d[1], o[2] + t * d[2]
            if is_contracted:
                x, y, z = contracted(x, y, z)
            kept[used, 0], kept[used, 1], kept[used, 2], kept[used, 3], kept[used, 4] = t, length, x, y, z
            number += 1
            used += 1
            t += length
        each[r] = number
    return origins.shape[0], used
