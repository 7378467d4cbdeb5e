"""What a grid of distances has to be like near its surface: a slope of 1, and smooth.

Both terms are sums over the voxels of a band around the surface that are not on the grid's faces:

    eikonal      (|grad f| - 1)^2 / 2       central differences: f is a distance (Gropp et al. 2020, eq. 3)
    curvature    (side lap f)^2 / 2         of a distance the Laplacian is the sum of both curvatures

Their gradient joins the one that the pictures give, over all of the band in each step: what no ray of a step has met
follows what has been met beside it, so that the band stays one of distances while the surface moves through it. Loops
in numba (CPU) and the readable PyTorch twin.
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from unflat.kernels.accumulators import flattened, sparse_rows
from unflat.kernels.loops import compiled_loops
from unflat.kernels.threads import pieces, side_by_side

_loops = partial(compiled_loops, "distance_terms_cpu")


class Band(NamedTuple):
    """The voxels of which the terms are asked."""

    row_of: Int[Tensor, "x y z"]
    """int32: a number from 0 on for each of them, in the order of voxels, -1 for the others"""
    voxels: Int[Tensor, "n"]
    """int64: the voxel of each number"""
    side: float
    """of a voxel"""

    @staticmethod
    def of(row_of: Int[Tensor, "x y z"], side: float) -> "Band":
        return Band(row_of, (row_of.flatten() >= 0).nonzero()[:, 0], side)


def with_terms(distance: Float[Tensor, "v"], band: Band, eikonal: float, curvature: float) -> Float[Tensor, "v"]:
    """The distances themselves, whose gradient gains that of both terms with these weights, and is that of the band.

    Gradients come sparse on a CPU with loops, as the march gives them; they have to lie in the band.
    """
    return _WithTerms.apply(distance, band, eikonal, curvature)  # type: ignore[no-untyped-call]


def terms(distance: Float[Tensor, "v"], band: Band) -> tuple[Tensor, Tensor]:
    """Both terms, eikonal and curvature: the readable form."""
    grid = distance.view(band.row_of.shape)
    ahead, behind = [], []
    for axis in range(3):
        inner = [slice(1, -1)] * 3
        inner[axis] = slice(2, None)
        ahead.append(grid[tuple(inner)])
        inner[axis] = slice(None, -2)
        behind.append(grid[tuple(inner)])
    inside = (slice(1, -1),) * 3
    there = band.row_of[inside] >= 0
    slope = torch.stack([(a - b) / (2 * band.side) for a, b in zip(ahead, behind, strict=True)])
    length = (slope.square().sum(0) + TINY**2).sqrt()
    bend = (torch.stack(ahead).sum(0) + torch.stack(behind).sum(0) - 6 * grid[inside]) / band.side
    return ((length - 1).square() * there).sum() / 2, (bend.square() * there).sum() / 2


TINY = 1e-6
"""least slope: where there is none, none is made"""


def terms_gradient(distance: Float[Tensor, "v"], band: Band, eikonal: float, curvature: float) -> Float[Tensor, "n"]:
    """The gradient of the weighted terms at the voxels of the band: the readable twin."""
    with torch.enable_grad():
        table = distance.detach().requires_grad_()
        first, second = terms(table, band)
        (gradient,) = torch.autograd.grad(eikonal * first + curvature * second, table)
    return gradient[band.voxels]


class _WithTerms(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, band: Band, eikonal: float, curvature: float) -> Tensor:
        ctx.kept = table.detach(), band, eikonal, curvature
        return table.view_as(table)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        table, band, eikonal, curvature = ctx.kept
        if table.device.type == "cpu" and table.dtype == torch.float32 and _loops() is not None:
            own = _looped(table, band, eikonal, curvature)
        else:
            own = terms_gradient(table, band, eikonal, curvature)
        if not gradient.is_sparse:
            return gradient.index_add(0, band.voxels, own), None, None, None
        rows = band.row_of.flatten()[gradient._indices()[0]].long()
        own.index_add_(0, rows, gradient._values())
        return flattened(sparse_rows(band.voxels, own[:, None], len(table))), None, None, None


def _looped(table: Tensor, band: Band, eikonal: float, curvature: float) -> Tensor:
    count = len(band.voxels)
    pull, into = np.empty((count, 4), np.float32), np.empty(count, np.float32)
    rows = band.row_of.numpy()
    values, voxels, shape, rows = table.numpy(), band.voxels.numpy(), rows.shape, rows.reshape(-1)
    numbers = np.float32(band.side), np.float32(eikonal), np.float32(curvature)

    def look(piece: tuple[int, int]) -> None:
        a, b = piece
        _loops().pulls(voxels[a:b], values, shape, *numbers, pull[a:b])

    def join(piece: tuple[int, int]) -> None:
        a, b = piece
        _loops().joined(voxels[a:b], rows, shape, pull, into[a:b])

    side_by_side(look, pieces(count))
    side_by_side(join, pieces(count))
    return torch.from_numpy(into)
