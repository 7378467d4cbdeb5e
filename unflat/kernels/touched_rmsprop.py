"""RMSProp for large tables of which a step touches few rows: only these change, as in Plenoxels' released code.

The running mean of a gradient's square begins with the first one, so that the first step of an entry is as long as the
rate, whenever it comes. One function with two back ends: a loop in numba (CPU, float32), and the readable PyTorch twin.
For dense gradients there is another one, with a Triton kernel (GPU, float32) that finds the rows and updates them at
once.
"""

from functools import partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.threads import pieces, side_by_side

_loops = partial(compiled_loops, "touched_rmsprop_cpu")
_kernels = partial(compiled_loops, "touched_rmsprop_gpu")

TILE = 1024
"""numbers of a table that a program looks at"""


@torch.no_grad()
def rmsprop_rows(
    table: Float[Tensor, "rows c"],
    touched: Int[Tensor, "n"],
    gradient: Float[Tensor, "n c"],
    square: Float[Tensor, "rows c"],
    *,
    rate: float,
    beta: float,
    eps: float,
) -> None:
    """One update in place (Tieleman and Hinton 2012) of the rows `touched`, each named once.

    `square` is the running mean of the gradient's square, 0 where there was no gradient yet.
    """
    loops = _loops()
    if table.device.type != "cpu" or table.dtype != torch.float32 or loops is None:
        rmsprop_rows_torch(table, touched, gradient, square, rate=rate, beta=beta, eps=eps)
        return
    held = [part.detach().numpy() for part in (table, square)]
    rows, given = touched.numpy(), gradient.contiguous().numpy()
    numbers = np.float32(rate), np.float32(beta), np.float32(eps)

    def update(piece: tuple[int, int]) -> None:
        loops.update(rows[slice(*piece)], given[slice(*piece)], *held, *numbers)

    side_by_side(update, pieces(len(rows)))


@torch.no_grad()
def rmsprop_touched(
    table: Float[Tensor, "rows c"],
    gradient: Float[Tensor, "rows c"],
    square: Float[Tensor, "rows c"],
    *,
    rate: float,
    beta: float,
    eps: float,
) -> None:
    """`rmsprop_rows` of those whose gradient is not exactly zero."""
    if table.device.type == "cuda" and table.dtype == torch.float32 and _kernels() is not None:
        rmsprop_touched_triton(table, gradient, square, rate=rate, beta=beta, eps=eps)
        return
    touched = gradient.any(1).nonzero()[:, 0]
    rmsprop_rows(table, touched, gradient[touched], square, rate=rate, beta=beta, eps=eps)


@torch.no_grad()
def rmsprop_touched_triton(
    table: Float[Tensor, "rows c"],
    gradient: Float[Tensor, "rows c"],
    square: Float[Tensor, "rows c"],
    *,
    rate: float,
    beta: float,
    eps: float,
) -> None:
    """The kernel that a GPU runs; which rows these are is never known outside, so nothing waits for it."""
    if _kernels() is None:
        raise ModuleNotFoundError(NO_TRITON)
    rows, columns = table.shape
    block = 1 << (columns - 1).bit_length()
    lanes = max(1, TILE // block)
    if rows:
        launched(
            _kernels().update, (-(-rows // lanes),),
            table, gradient.float().contiguous(), square, rows, float(rate), float(beta), float(eps),
            columns, lanes, block,
        )  # fmt: skip


@torch.no_grad()
def rmsprop_rows_torch(
    table: Float[Tensor, "rows c"],
    touched: Int[Tensor, "n"],
    gradient: Float[Tensor, "n c"],
    square: Float[Tensor, "rows c"],
    *,
    rate: float,
    beta: float,
    eps: float,
) -> None:
    """The readable twin."""
    before, now = square[touched], gradient.square()
    mean = torch.where(before == 0, now, beta * before + (1 - beta) * now)
    square[touched] = mean
    table[touched] -= rate * gradient / (mean.sqrt() + eps)
