"""Which rays meet a cell that is not empty.

One function with two back ends: a loop in numba that jumps over what is empty (CPU), and the readable PyTorch twin.
"""

from functools import cache
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor

from unflat.geometry.spaces import Rays
from unflat.kernels.walking import Cells, Walk, is_empty, points_at, within_limits


@torch.no_grad()
def meet(rays: Rays, cells: Cells, walk: Walk) -> Bool[Tensor, "r"]:
    """Whether a walk of each ray has a sample where something may be; of `walk`, its step and space count."""
    loop = _loop()
    if loop is None or rays.near.device.type != "cpu":
        return meet_torch(rays, cells, walk)
    found = torch.empty(len(rays), dtype=torch.bool)
    walked = (rays.origins, rays.directions, rays.near, rays.far, cells.clear, cells.low, cells.high)
    arrays = (part.contiguous().numpy() for part in walked)
    loop(*arrays, torch.tensor(walk.step).numpy()[()], walk.contracted, found.numpy())
    return found


@torch.no_grad()
def meet_torch(rays: Rays, cells: Cells, walk: Walk) -> Bool[Tensor, "r"]:
    """The readable twin: all rays step together through all of the box."""
    t, t1 = within_limits(rays, cells, walk)
    walk = walk._replace(key=0)
    t = t + 0.5 * walk.onwards(rays, t)
    found = torch.zeros(len(rays), dtype=torch.bool, device=t.device)
    while (t < t1).any():
        found |= (t < t1) & ~is_empty(points_at(rays, t, walk), cells)
        t = t + walk.onwards(rays, t)
    return found


@torch.compiler.disable
@cache
def _loop() -> Any:
    """The compiled loop, or None without numba."""
    try:
        from unflat.kernels import meeting_cells_cpu
    except ModuleNotFoundError:
        return None
    return meeting_cells_cpu.look
