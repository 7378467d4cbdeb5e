"""How far each cell of a grid is from the nearest one that is not empty: what lets rays jump over what is empty.

One function with two back ends: two passes over the grid in numba (CPU), and the readable PyTorch twin.
"""

from functools import partial

import torch
from jaxtyping import Bool, UInt8
from torch import Tensor
from torch.nn.functional import max_pool3d

from unflat.kernels.loops import compiled_loops

_loops = partial(compiled_loops, "clearance_cpu")

FURTHEST = 255
"""cells: larger distances count as this"""


def clearance(occupied: Bool[Tensor, "i j k"]) -> UInt8[Tensor, "i j k"]:
    """Cells to the nearest occupied one, counted as a king moves; 0 in it. Without any, `FURTHEST` everywhere."""
    loops = _loops()
    if occupied.device.type != "cpu" or loops is None:
        return clearance_torch(occupied)
    distance = torch.empty(occupied.shape, dtype=torch.uint8)
    loops.fill(occupied.contiguous().numpy(), distance.numpy())
    return distance


def clearance_torch(occupied: Bool[Tensor, "i j k"]) -> UInt8[Tensor, "i j k"]:
    """The readable twin: what is occupied grows by a cell in every direction until it fills the grid."""
    distance = torch.full(occupied.shape, FURTHEST, dtype=torch.uint8, device=occupied.device)
    grown = occupied[None].float()
    for cells in range(min(max(occupied.shape), FURTHEST)):
        distance[(grown[0] > 0) & (distance == FURTHEST)] = cells
        grown = max_pool3d(grown, 3, 1, 1)
    return distance
