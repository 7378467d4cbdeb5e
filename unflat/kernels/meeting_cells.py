"""Which rays meet a cell that is not empty.

One function with two back ends: a loop in numba that jumps over what is empty (CPU), and the readable PyTorch twin.
"""

from functools import partial

import torch
from jaxtyping import Bool
from torch import Tensor

from unflat.geometry.spaces import Rays
from unflat.kernels.loops import compiled_loops
from unflat.kernels.walking import Cells, Walk, is_empty, points_at, within_limits

_loops = partial(compiled_loops, "meeting_cells_cpu")


@torch.no_grad()
def meet(rays: Rays, cells: Cells, walk: Walk) -> Bool[Tensor, "r"]:
    """Whether a walk of each ray has a sample where something may be; of `walk`, its step and space count."""
    loops = _loops()
    if loops is None or rays.near.device.type != "cpu":
        return meet_torch(rays, cells, walk)
    found = torch.empty(len(rays), dtype=torch.bool)
    walked = (rays.origins, rays.directions, rays.near, rays.far, cells.clear, cells.low, cells.high)
    arrays = (part.contiguous().numpy() for part in walked)
    loops.look(*arrays, torch.tensor(walk.step).numpy()[()], walk.contracted, found.numpy())
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
