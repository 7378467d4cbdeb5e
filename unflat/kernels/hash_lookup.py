"""What hashed grids over a box hold at points, with gradients (Mueller et al. 2022, Instant-NGP, section 3).

Grids of several finenesses, trilinear, whose numbers stand one after the other. A level has a row for each of its
corners, but no more than `most`: where it has more corners they share rows, as a hash of the corner says (eq. 4). Loops
in numba (CPU), whose gradient holds the touched rows, kernels in Triton (GPU), whose gradient is dense and added up in
any order, and the readable PyTorch twin, which runs everywhere.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from unflat.kernels.accumulators import accumulator
from unflat.kernels.lookup import Box
from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.threads import pieces, side_by_side

_loops = partial(compiled_loops, "hash_lookup_cpu")
_kernels = partial(compiled_loops, "hash_lookup_gpu")

PRIMES = 1, 2654435761, 805459861
"""of the hash, of 32 bits"""


class Hashed(NamedTuple):
    """Rows of all levels, one level after the other; see `levels_of`."""

    values: Float[Tensor, "v c"]
    cells: tuple[int, ...]
    """of each level along a side of the box: N_l"""
    most: int
    """rows of a level, a power of two: T"""


def levels_of(cells: Sequence[int], most: int) -> list[tuple[int, int]]:
    """The first row and the number of rows of every level: one for each corner, but at most `most`."""
    counts = [min(most, (n + 1) ** 3) for n in cells]
    return [(sum(counts[:level]), count) for level, count in enumerate(counts)]


def hash_looked_up(points: Float[Tensor, "n 3"], table: Hashed, box: Box) -> Float[Tensor, "n k"]:
    """What all levels hold at points of the box; at points beside it, what they hold at its faces. A gradient for the
    rows only."""
    values = table.values
    if points.device.type == "cuda" and values.dtype == torch.float32 and _kernels() is not None:
        return hash_looked_up_triton(points, table, box)
    if points.device.type != "cpu" or values.dtype != torch.float32 or _loops() is None:
        return hash_looked_up_torch(points, table, box)
    found: Tensor = _LookUp.apply(points, table, box, values)  # type: ignore[no-untyped-call]
    return found


# -- the readable twin -------------------------------------------------------------------------------------------------


def hash_looked_up_torch(points: Float[Tensor, "n 3"], table: Hashed, box: Box) -> Float[Tensor, "n k"]:
    """The readable twin."""
    within = ((points - box.low) / (box.high - box.low)).clamp(0, 1)
    levels = zip(table.cells, levels_of(table.cells, table.most), strict=True)
    return torch.cat([_on_level(table.values, within, cells, level) for cells, level in levels], 1)


def _on_level(
    values: Float[Tensor, "v c"], within: Float[Tensor, "n 3"], cells: int, level: tuple[int, int]
) -> Float[Tensor, "n c"]:
    """What one level holds."""
    at = within * cells
    cell = at.long().clamp_max(cells - 1)
    corner = torch.tensor([[c >> 2 & 1, c >> 1 & 1, c & 1] for c in range(8)], device=at.device)
    share = torch.where(corner == 1, (at - cell)[:, None], 1 - (at - cell)[:, None]).prod(-1)
    return (values[hashed_rows(cell[:, None] + corner, cells, level)] * share[..., None]).sum(1)


def hashed_rows(corner: Int[Tensor, "*n 3"], cells: int, level: tuple[int, int]) -> Int[Tensor, "*n"]:
    """The rows of the corners of a level: in order, x fastest, where there is one for each, or their hashes."""
    (first, count), (i, j, k) = level, corner.unbind(-1)
    if count == (cells + 1) ** 3:
        return first + i + (cells + 1) * (j + (cells + 1) * k)
    # only the lower bits count, which 64 bits have as 32 do
    return first + ((i * PRIMES[0] ^ j * PRIMES[1] ^ k * PRIMES[2]) & count - 1)


# -- the loops ---------------------------------------------------------------------------------------------------------


def hashed_field(table: Hashed) -> tuple[np.ndarray, ...]:
    """As loops take it: rows [v, c], and of each level its cells, its first row, and how many it has."""
    levels = np.array(levels_of(table.cells, table.most))
    values = table.values.detach().contiguous().numpy()
    return values, np.array(table.cells), levels[:, 0].copy(), levels[:, 1].copy()


class _LookUp(torch.autograd.Function):
    """`hash_looked_up` by loops."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Hashed, box: Box, values: Tensor) -> Tensor:
        field = hashed_field(table)
        within = ((points.detach() - box.low) / (box.high - box.low)).clamp(0, 1).float().contiguous().numpy()
        found = np.empty((len(within), values.shape[1] * len(table.cells)), np.float32)
        loop = _loops().forward
        side_by_side(lambda piece: loop(within[slice(*piece)], field, found[slice(*piece)]), pieces(len(within)))
        ctx.kept = within, field
        return torch.from_numpy(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found: Tensor) -> Any:
        within, field = ctx.kept
        into, counts = accumulator(*field[0].shape), np.zeros(1, np.int64)
        given = of_found.float().contiguous().numpy()
        _loops().backward(within, field, given, (into.values, into.seen, into.touched, counts))
        return None, None, None, into.taken(int(counts[0]))


# -- the kernels -------------------------------------------------------------------------------------------------------

TILE = 256
"""numbers, of points and channels, that a program has"""


@torch.compiler.disable
def hash_looked_up_triton(points: Float[Tensor, "n 3"], table: Hashed, box: Box) -> Float[Tensor, "n k"]:
    """The look-up on a GPU."""
    if _kernels() is None:
        raise ModuleNotFoundError(NO_TRITON)
    found: Tensor = _TritonLookUp.apply(points, table, box, table.values)  # type: ignore[no-untyped-call]
    return found


@lru_cache(maxsize=16)
def _levels_on(cells: tuple[int, ...], most: int, device: torch.device) -> Tensor:
    """Of each level, as the kernels take it, its cells, its first row, and the mask of its hashes: the number of its
    rows less one, or -1 where each corner has a row [levels, 3]."""
    rows = zip(cells, levels_of(cells, most), strict=True)
    told = [(n, first, -1 if count == (n + 1) ** 3 else count - 1) for n, (first, count) in rows]
    with torch.inference_mode(False):  # whoever comes first: others may want gradients
        return torch.tensor(told, dtype=torch.int32, device=device)


class _TritonLookUp(torch.autograd.Function):
    """`hash_looked_up` by kernels."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, table: Hashed, box: Box, values: Tensor) -> Tensor:
        asked = [part.detach().float().contiguous() for part in (points, *box)]
        levels, held = _levels_on(table.cells, table.most, values.device), values.detach().contiguous()
        found = held.new_empty(len(points), len(levels) * held.shape[1])
        _asked("forward", asked, (held, levels, found), held.shape[1])
        ctx.rows = len(held)
        ctx.save_for_backward(*asked, levels)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found: Tensor) -> Any:
        *asked, levels = ctx.saved_tensors
        channels, given = of_found.shape[1] // len(levels), of_found.float().contiguous()
        of_values = given.new_zeros(ctx.rows, channels)
        _asked("backward", asked, (given, levels, of_values), channels)
        return None, None, None, of_values


def _asked(name: str, asked: Sequence[Tensor], tensors: Sequence[Tensor], channels: int) -> None:
    """Run a kernel over all points and levels. `asked` are the points and the box."""
    count, depth, block = len(asked[0]), len(tensors[1]), 1 << (channels - 1).bit_length()
    lanes = max(1, min(256, TILE // block))
    if count:
        programs = (-(-count // lanes), depth)
        launched(getattr(_kernels(), name), programs, *asked, *tensors, count, depth, channels, lanes, block)
