"""Random places of cells, seen along random directions: what one field learns from another at."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from unflat.data.batches import hashed


@dataclass(frozen=True)
class PlaceBatch:
    """Places in cells that are numbered."""

    number: Int[Tensor, "m"]
    """of the cell"""
    local: Float[Tensor, "m 3"]
    """in [-1, 1]^3 of the cell"""
    sights: Float[Tensor, "m 3"]
    """unit, in no direction more often than in any other, wherever a place is"""

    def __len__(self) -> int:
        return len(self.number)


def places_drawn(
    number: Int[Tensor, "v"], corner: Float[Tensor, "v 3"], side: float, each: int, *, seed: int, start: int = 0
) -> Iterator[PlaceBatch]:
    """Batches without end from step `start` on: `each` places a cell, evenly among cubes of a cell whose least corners,
    and whose side, are in the cell's coordinates. `number` is that of a cube's cell, from 0 on."""
    total = each * (int(number.max()) + 1)
    for step in count(start):
        drawn = torch.Generator().manual_seed(int(hashed(seed, step, 0)[0] >> np.uint64(1)))
        share = (torch.arange(total) + torch.rand(total, generator=drawn, dtype=torch.float64)) / total
        cube = (share * len(number)).long().clamp_max(len(number) - 1)
        local = corner[cube] + side * torch.rand(total, 3, generator=drawn)
        yield PlaceBatch(number[cube], local, normalize(torch.randn(total, 3, generator=drawn), dim=1))
