"""Where loops add up gradients of large tables of which a step touches little; what was touched as sparse tensors."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unflat.kernels.threads import pieces, side_by_side


@dataclass(frozen=True)
class Accumulator:
    """A table of zeros to add to, and which rows were added to. Loops set `seen` and list rows in `touched`."""

    values: np.ndarray
    """float32 [rows, channels]"""
    seen: np.ndarray
    """bool [rows]"""
    touched: np.ndarray
    """int64 [rows]"""

    def taken(self, count: int) -> Tensor:
        """The first `count` rows of `touched` as a sparse tensor; the table is zero again."""
        return self.rows(self.touched[:count].copy())

    def rows(self, touched: np.ndarray) -> Tensor:
        """The rows that were touched as a sparse tensor; the table is zero again."""
        from unflat.kernels.accumulators_cpu import gathered

        values = np.empty((len(touched), self.values.shape[1]), np.float32)

        def gather(piece: tuple[int, int]) -> None:
            a, b = piece
            gathered(self.values, self.seen, touched[a:b], values[a:b])

        side_by_side(gather, pieces(len(touched)))
        return sparse_rows(torch.from_numpy(touched), torch.from_numpy(values), len(self.values))


def sparse_rows(rows: Tensor, values: Tensor, count: int) -> Tensor:
    """A sparse tensor [count, channels] that holds `values` [n, channels] in different rows, in any order."""
    # each row stands once, which is all that what reads it needs; sorting them would cost more than adding them up
    return torch.sparse_coo_tensor(
        rows[None], values, (count, values.shape[1]), check_invariants=False, is_coalesced=True
    )


def added_up(gradient: Tensor) -> Tensor:
    """A sparse tensor in which rows may stand several times, whatever it says of itself, with each once.

    torch adds two of `sparse_rows` by merging rows that it takes for sorted, and takes the sum for one that has each
    row once, which it need not be."""
    again = torch.sparse_coo_tensor(
        gradient._indices(), gradient._values(), gradient.shape, check_invariants=False, is_coalesced=False
    )
    return again.coalesce()


def flattened(gradient: Tensor) -> Tensor:
    """A sparse [rows, 1] as [rows]."""
    values = gradient._values()[:, 0]
    return torch.sparse_coo_tensor(
        gradient._indices(), values, gradient.shape[:1], check_invariants=False, is_coalesced=True
    )


@lru_cache(maxsize=16)
def accumulator(rows: int, channels: int, which: int = 0) -> Accumulator:
    """A table of this size, kept between steps: making and clearing one anew would cost more than a step. Tables that
    are filled at the same time have different numbers."""
    return Accumulator(np.zeros((rows, channels), np.float32), np.zeros(rows, bool), np.empty(rows, np.int64))


@lru_cache(maxsize=16)
def marks(rows: int) -> Tensor:
    """Zeros (int32) to mark rows on; whoever does leaves them as zeros."""
    return torch.zeros(rows, dtype=torch.int32, device="cpu")


def forget_accumulators(*_: Any) -> None:
    """Give the memory back, as after a grid has grown."""
    accumulator.cache_clear()
    marks.cache_clear()
