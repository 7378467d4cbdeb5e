"""Multiresolution hash grids over a box (Mueller et al. 2022, Instant-NGP, section 3), as kernels take them."""

import torch
from torch import nn

from unflat.kernels.hash_lookup import Hashed, levels_of

BEGINS = 1e-4
"""entries begin as random numbers between minus and plus this"""


class HashGrid(nn.Module):
    """Grids of `levels` finenesses between `coarsest` and `finest` cells along a side, each in at most 2^`log2_rows`
    rows of `features` numbers."""

    def __init__(self, levels: int, features: int, log2_rows: int, coarsest: int, finest: int) -> None:
        super().__init__()
        growth = (finest / coarsest) ** (1 / max(1, levels - 1))  # eq. 3
        self.cells = tuple(int(coarsest * growth**level + 1e-6) for level in range(levels))  # eq. 2
        self.most = 2**log2_rows
        rows = sum(count for _, count in levels_of(self.cells, self.most))
        self.values = nn.Parameter(torch.empty(rows, features).uniform_(-BEGINS, BEGINS))

    @property
    def table(self) -> Hashed:
        return Hashed(self.values, self.cells, self.most)
