"""Total variation of a few voxels of a grid, whose gradient joins the one that the pictures give.

Of all voxels it would cost more than the rest of a step, so a step asks it of some that lie one behind the other,
others each time (Fridovich-Keil et al. 2022, Plenoxels). One function with two back ends: a loop in numba that adds the
few rows to those of a sparse gradient (CPU), and the readable PyTorch twin, whose gradient is dense.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from unflat.kernels.accumulators import flattened, marks, sparse_rows
from unflat.kernels.loops import compiled_loops
from unflat.kernels.touched_adam import each_once

_loops = partial(compiled_loops, "variation_cpu")

LEAST = 1e-9
"""added to the sum of squares, whose root then has a gradient where all is the same"""


class Asked(NamedTuple):
    """Of which voxels, and how much it weighs."""

    first: int
    """of those that are asked, x first"""
    number: int
    """how many are; behind the last voxel the first comes again"""
    variation: float
    """weight of the mean, over these voxels, of what each channel changes to the next voxels along the three axes"""
    sparsity: float = 0.0
    """weight of the sum, over these voxels, of log(1 + 2 value^2), of what is above 0"""


def varied(table: Float[Tensor, "rows c"] | Float[Tensor, "v"], row_of: Int[Tensor, "x y z"], asked: Asked) -> Tensor:
    """The table itself, whose gradient gains that of `penalty`.

    `table` has a value for each voxel [v], x first, or rows [rows, c] for those voxels that have one in `row_of` (in
    the order of voxels; -1: none, which does not count).
    """
    if not asked.number or not (asked.variation or asked.sparsity):
        return table
    return _Varied.apply(table, row_of, asked)  # type: ignore[no-untyped-call]


def penalty(values: Float[Tensor, "rows c"], row_of: Int[Tensor, "x y z"], asked: Asked) -> Float[Tensor, ""]:
    """What is minimised: the readable twin. The root of the sum of the squares of a voxel's three differences is added
    up over channels; where the next voxel is not there, the difference is 0."""
    shape, device = row_of.shape, values.device
    rows = row_of.long().flatten()
    if len(values) == len(rows):
        rows = torch.arange(len(rows), device=device)
    voxel = (asked.first + torch.arange(asked.number, device=device)) % len(rows)
    voxel = voxel[rows[voxel] >= 0]
    own = values[rows[voxel]]
    squares = torch.zeros_like(own)
    for axis, side in enumerate((shape[1] * shape[2], shape[2], 1)):
        within = voxel // side % shape[axis] < shape[axis] - 1
        other = rows[(voxel + side) % len(rows)].where(within, -1)
        difference = (values[other.clamp_min(0)] - own) * (other >= 0)[:, None]
        squares = squares + difference.square()
    variation = (squares + LEAST).sqrt().sum() / asked.number
    return asked.variation * variation + asked.sparsity * (1 + 2 * own.clamp_min(0).square()).log().sum()


class _Varied(torch.autograd.Function):
    """The table forwards; backwards, the gradient with that of the penalty, as sparse as it was."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, row_of: Tensor, asked: Asked) -> Tensor:
        ctx.kept = table.detach(), row_of, asked
        return table.view_as(table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        table, row_of, asked = ctx.kept
        values = table.view(len(table), -1)
        if gradient.is_sparse and gradient.device.type == "cpu" and _loops() is not None:
            joined = _looped(gradient, values, row_of, asked)
            return flattened(joined) if table.dim() == 1 else joined, None, None
        with torch.enable_grad():
            wanted = values.requires_grad_()
            added = torch.autograd.grad(penalty(wanted, row_of, asked), wanted)[0].view(table.shape)
        return added + gradient, None, None


def _looped(gradient: Tensor, values: Tensor, row_of: Tensor, asked: Asked) -> Tensor:
    place = marks(len(values))
    gradient = each_once(gradient, place)
    touched, given = gradient._indices()[0], gradient._values().reshape(-1, values.shape[1])
    room = len(touched) + min(4 * asked.number, len(values))
    rows, into = torch.empty(room, dtype=torch.long), torch.empty(room, values.shape[1])
    rows[: len(touched)], into[: len(touched)] = touched, given
    numbers = np.float32(asked.variation / asked.number), np.float32(asked.sparsity), np.float32(LEAST)
    arrays = [part.numpy() for part in (row_of, values, place, rows, into)]
    used = _loops().vary(len(touched), asked.first, asked.number, *numbers, *arrays)
    return sparse_rows(rows[:used], into[:used], len(values))
