"""Smoothness of a voxel grid, asked of what a step touches and of nothing else.

Total variation of the whole grid would cost more than the step, and would move every voxel by whole steps, since Adam
takes the smallest gradient for a large one where there is no other. So, as DVGO does (Sun et al. 2022, the released
code), the gradient of the roughness joins the one that the pictures give, where they give one.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from unflat.kernels.accumulators import flattened, marks, sparse_rows
from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.threads import pieces, side_by_side
from unflat.kernels.touched_adam import each_once

_loops = partial(compiled_loops, "smoothing_cpu")
_kernels = partial(compiled_loops, "smoothing_gpu")


def smoothed(
    table: Float[Tensor, "rows c"] | Float[Tensor, "v"], row_of: Int[Tensor, "x y z"], weight: float
) -> Tensor:
    """The table itself, whose gradient gains that of `weight` times the roughness in the rows that it touches.

    The roughness is the sum, over pairs of voxels side by side and over channels, of Huber's function of their
    difference: half its square up to 1, and linear beyond. `table` has a value for each voxel [v], x first, or rows
    [rows, c] for those voxels that have one in `row_of` (in the order of voxels; -1: none, which does not count).
    """
    if not weight:
        return table
    return _Smoothed.apply(table, row_of, weight, table if table.is_leaf else None)  # type: ignore[no-untyped-call]


@contextmanager
def postponed() -> Iterator[list[Callable[[], None]]]:
    """Gradients of parameters that are found inside are without roughness: what is given adds it to them, afterwards.
    For those who still change which rows are touched, such as processes that average their gradients."""
    global _postponed
    before, _postponed = _postponed, []
    try:
        yield _postponed
    finally:
        _postponed = before


def roughness_gradient(
    values: Float[Tensor, "rows c"], row_of: Int[Tensor, "x y z"], touched: Int[Tensor, "n"]
) -> Float[Tensor, "n c"]:
    """The gradient of the roughness in some rows, of every voxel or of those in `row_of`: the readable twin."""
    rows, count = row_of.long(), row_of.numel()
    if len(values) == count:
        rows = torch.arange(count, device=values.device).view(row_of.shape)
    voxel = (rows.flatten() >= 0).nonzero()[touched, 0]
    place = torch.stack(torch.unravel_index(voxel, row_of.shape), 1)
    total = torch.zeros_like(values[touched])
    for axis in range(3):
        for side in (-1, 1):
            beside = place.clone()
            beside[:, axis] += side
            within = (beside[:, axis] >= 0) & (beside[:, axis] < row_of.shape[axis])
            i, j, k = beside.where(within[:, None], 0).unbind(1)
            other = rows[i, j, k].where(within, -1)
            difference = (values[touched] - values[other.clamp_min(0)]).clamp(-1, 1)
            total += difference * (other >= 0)[:, None]
    return total


def with_roughness(
    gradient: Float[Tensor, "rows c"], values: Float[Tensor, "rows c"], row_of: Int[Tensor, "x y z"], weight: float
) -> Float[Tensor, "rows c"]:
    """A dense gradient that gains that of the roughness in the rows where it is not exactly zero."""
    if values.device.type == "cuda" and values.dtype == torch.float32 and _kernels() is not None:
        return with_roughness_triton(gradient, values, row_of, weight)
    touched = gradient.any(1).nonzero()[:, 0]
    return gradient.index_add(0, touched, weight * roughness_gradient(values, row_of, touched))


def with_roughness_triton(
    gradient: Float[Tensor, "rows c"], values: Float[Tensor, "rows c"], row_of: Int[Tensor, "x y z"], weight: float
) -> Float[Tensor, "rows c"]:
    """The same by a kernel, which a GPU need not be waited for to list what is touched."""
    if _kernels() is None:
        raise ModuleNotFoundError(NO_TRITON)
    given, channels, voxels = gradient.float().contiguous(), values.shape[1], row_of.numel()
    into, block = given.clone(), 1 << (channels - 1).bit_length()
    lanes = max(1, TILE // block)
    if len(values):
        launched(
            _kernels().smoothed, (-(-voxels // lanes),),
            given, values.contiguous(), row_of.contiguous(), into, float(weight), *row_of.shape, len(values) == voxels,
            channels, lanes, block,
        )  # fmt: skip
    return into


TILE = 512
"""numbers, of voxels and channels, that a program looks at"""


class _Smoothed(torch.autograd.Function):
    """The table forwards; backwards, the gradient with that of the roughness, as sparse as it was."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, row_of: Tensor, weight: float, parameter: Tensor | None) -> Tensor:
        ctx.kept = table.detach(), row_of, weight
        ctx.parameter = parameter
        return table.view_as(table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        parameter, kept = ctx.parameter, ctx.kept
        if _postponed is None or parameter is None:
            return _with(gradient, *kept), None, None, None

        def join() -> None:
            if parameter.grad is not None:
                parameter.grad = _with(parameter.grad, *kept)

        _postponed.append(join)
        return gradient, None, None, None


_postponed: list[Callable[[], None]] | None = None
"""what is to add roughness later, where that is asked for"""


def _with(gradient: Tensor, table: Tensor, row_of: Tensor, weight: float) -> Tensor:
    """A gradient of the table, dense or sparse, with the roughness where it touches."""
    values = table.view(len(table), -1)
    if not gradient.is_sparse:
        return with_roughness(gradient.reshape(values.shape), values, row_of, weight).view(table.shape)
    gradient = each_once(gradient, marks(len(table)))
    touched, given = gradient._indices()[0], gradient._values().reshape(-1, values.shape[1])
    if given.device.type == "cpu" and _loops() is not None:
        joined = sparse_rows(touched, _looped(given, touched, values, row_of, weight), len(table))
    else:
        joined = sparse_rows(touched, given + weight * roughness_gradient(values, row_of, touched), len(table))
    return flattened(joined) if table.dim() == 1 else joined


def _looped(given: Tensor, touched: Tensor, values: Tensor, row_of: Tensor, weight: float) -> Tensor:
    into, one_each = given.clone(), len(values) == row_of.numel()
    voxel_of = touched.new_empty(0) if one_each else _voxels_with_a_row(row_of)
    parts = [part.numpy() for part in (touched, voxel_of, row_of, values, into)]

    def add(piece: tuple[int, int]) -> None:
        rows, voxels, of, known, sums = parts
        _loops().smoothed(rows[slice(*piece)], voxels, of, known, np.float32(weight), sums[slice(*piece)])

    side_by_side(add, pieces(len(touched)))
    return into


def _voxels_with_a_row(row_of: Tensor) -> Tensor:
    """In the order of rows; found anew only for another grid, since looking takes as long as the loop."""
    global _last
    known, voxels = _last
    if known is None or known[0]() is not row_of or known[1] != row_of._version:
        voxels = (row_of.flatten() >= 0).nonzero()[:, 0]
        _last = (weakref.ref(row_of), row_of._version), voxels
    return voxels


_last: tuple[Any, Tensor] = (None, torch.empty(0, dtype=torch.int64))
"""the last grid asked for, and its voxels"""
