"""Adam for large tables of which a step touches few rows: only these change, and each counts its own updates.

One function with two back ends: a loop in numba (CPU, float32), and the readable PyTorch twin. For dense gradients
there is another function, with a Triton kernel (GPU, float32) that finds the rows and updates them at once. What no ray
has met keeps its value to the bit, where ordinary Adam would move it on by old gradients (Sun et al. 2022, DVGO, call
it masked).
"""

from functools import lru_cache, partial

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.kernels.accumulators import added_up
from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.threads import pieces, side_by_side

_loops = partial(compiled_loops, "touched_adam_cpu")
_kernels = partial(compiled_loops, "touched_adam_gpu")

COUNTED = 4096
"""updates of a row after which the corrections for a young mean are as good as 1"""
TILE = 1024
"""numbers of a table that a program looks at"""
_EVERYWHERE = np.ones(1, np.float32)


@torch.no_grad()
def update_rows(
    table: Float[Tensor, "rows c"],
    touched: Int[Tensor, "n"],
    gradient: Float[Tensor, "n c"],
    mean: Float[Tensor, "rows c"],
    square: Float[Tensor, "rows c"],
    count: Int[Tensor, "rows"],
    *,
    rate: float,
    betas: tuple[float, float],
    eps: float,
    scales: Float[Tensor, "rows"] | None = None,
) -> None:
    """One update in place (Kingma and Ba 2015, algorithm 1) of the rows `touched`, each named once.

    `mean` and `square` are the running means of the gradient and of its square, `count` (int32) how often each row was
    updated; `scales` are factors on the rate.
    """
    loops = _loops()
    if table.device.type == "cpu" and table.dtype == torch.float32 and loops is not None:
        held = [part.detach().numpy() for part in (table, mean, square, count)]
        rows, given = touched.numpy(), gradient.contiguous().numpy()
        numbers = (np.float32(rate), np.float32(betas[0]), np.float32(betas[1]), np.float32(eps))
        factors = _EVERYWHERE if scales is None else scales.numpy()

        def update(piece: tuple[int, int]) -> None:
            a, b = piece
            loops.update(rows[a:b], given[a:b], *held, *numbers, *_corrections(betas), factors)

        side_by_side(update, pieces(len(rows)))
        return
    update_rows_torch(table, touched, gradient, mean, square, count, rate=rate, betas=betas, eps=eps, scales=scales)


@torch.no_grad()
def update_touched(
    table: Float[Tensor, "rows c"],
    gradient: Float[Tensor, "rows c"],
    mean: Float[Tensor, "rows c"],
    square: Float[Tensor, "rows c"],
    count: Int[Tensor, "rows"],
    *,
    rate: float,
    betas: tuple[float, float],
    eps: float,
    scales: Float[Tensor, "rows"] | None = None,
) -> None:
    """`update_rows` of those whose gradient is not exactly zero."""
    held = (table, gradient, mean, square, count)
    if table.device.type == "cuda" and table.dtype == torch.float32 and _kernels() is not None:
        update_touched_triton(*held, rate=rate, betas=betas, eps=eps, scales=scales)
        return
    touched = gradient.any(1).nonzero()[:, 0]
    rest = (gradient[touched], mean, square, count)
    update_rows(table, touched, *rest, rate=rate, betas=betas, eps=eps, scales=scales)


@torch.no_grad()
def update_touched_triton(
    table: Float[Tensor, "rows c"],
    gradient: Float[Tensor, "rows c"],
    mean: Float[Tensor, "rows c"],
    square: Float[Tensor, "rows c"],
    count: Int[Tensor, "rows"],
    *,
    rate: float,
    betas: tuple[float, float],
    eps: float,
    scales: Float[Tensor, "rows"] | None = None,
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
            table, gradient.float().contiguous(), mean, square, count, *_corrections_on(betas, table.device),
            count if scales is None else scales.float().contiguous(), rows, COUNTED, float(rate), *map(float, betas),
            float(eps), scales is not None, columns, lanes, block,
        )  # fmt: skip


def each_once(gradient: Tensor, marks: Int[Tensor, "rows"]) -> Tensor:
    """A sparse gradient that names each row once: itself, or added up where several losses met.

    torch forgets on the way that rows are different, and sorting them costs more than the rest of a step. `marks` are
    `all_different`'s.
    """
    return gradient if all_different(gradient._indices()[0], marks) else added_up(gradient)


def all_different(rows: Int[Tensor, "n"], count: Int[Tensor, "rows"]) -> bool:
    """Whether no row is named twice. `count` is used to mark what was seen, and is afterwards as it was."""
    loops = _loops()
    if rows.device.type != "cpu" or loops is None:
        return len(torch.unique(rows)) == len(rows)
    return bool(loops.differ(rows.numpy(), count.numpy()))


@torch.no_grad()
def update_rows_torch(
    table: Float[Tensor, "rows c"],
    touched: Int[Tensor, "n"],
    gradient: Float[Tensor, "n c"],
    mean: Float[Tensor, "rows c"],
    square: Float[Tensor, "rows c"],
    count: Int[Tensor, "rows"],
    *,
    rate: float,
    betas: tuple[float, float],
    eps: float,
    scales: Float[Tensor, "rows"] | None = None,
) -> None:
    """The readable twin."""
    (b1, b2), times = betas, count[touched] + 1
    m, v = b1 * mean[touched] + (1 - b1) * gradient, b2 * square[touched] + (1 - b2) * gradient.square()
    mean[touched], square[touched], count[touched] = m, v, times
    age = times.clamp_max(COUNTED).double()[:, None]
    m, v = m / (1 - b1**age).to(m.dtype), v / (1 - b2**age).to(v.dtype)
    factor = rate if scales is None else rate * scales[touched][:, None]
    table[touched] -= factor * m / (v.sqrt() + eps)


@lru_cache(maxsize=16)
def _corrections(betas: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """1 / (1 - beta^n) for n up to `COUNTED`."""
    age = np.arange(COUNTED + 1, dtype=np.float64)
    age[0] = 1
    b1, b2 = betas
    return (1 / (1 - b1**age)).astype(np.float32), (1 / (1 - b2**age)).astype(np.float32)


@lru_cache(maxsize=16)
def _corrections_on(betas: tuple[float, float], device: torch.device) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(part).to(device) for part in _corrections(betas))
