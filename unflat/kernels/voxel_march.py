"""Rays through a grid of densities and spherical harmonics: picture, opacity and distance, with gradients for the grid.

One function with three back ends: loops in numba that walk each ray, interpolate, composite and walk back (CPU), Triton
kernels that do the same (GPU), and the readable PyTorch twin, which is their oracle and runs everywhere else. The
gradient of the first is sparse: it holds the voxels that some ray has touched. That of the others is dense.

What all do. A ray is sampled every `step` where the grid's coarse cells are not empty. The raw density between the
voxels, less `shift`, becomes an optical thickness `thickness * softplus(raw)` of a step (or `relu`); what is as thin
as `thinnest` is left out, and so is what would weigh as little as `least` in the picture. Colours are sigmoids of
spherical harmonics between the voxels (or `relu(sum + 1/2)`). A ray ends when less than `last` would pass.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding_bag

from unflat.geometry.spaces import Rays
from unflat.geometry.spherical_harmonics import harmonics
from unflat.kernels.accumulators import accumulator, flattened
from unflat.kernels.lookup import grid_corners
from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.threads import pieces, side_by_side
from unflat.kernels.walking import Cells, Walk, composited, met, points_at, raw_at, spread_of

_loops = partial(compiled_loops, "voxel_march_cpu")
_kernels = partial(compiled_loops, "voxel_march_gpu")

ROOM = 16
"""samples a ray for which there is room at first; where it is not enough, twice as many"""


class Voxels(NamedTuple):
    """A grid whose outermost voxels lie on the faces of its box; colours only where there may be something."""

    density: Float[Tensor, "v"]
    """raw, of every voxel, x first"""
    colour: Float[Tensor, "rows k"]
    """spherical harmonics of red, then green, then blue"""
    row_of: Int[Tensor, "x y z"]
    """int32: the row of `colour` that a voxel has, -1 for none (its harmonics are zero)"""
    cells: Cells
    activation: Literal["sigmoid", "relu"] = "sigmoid"
    """what a sum of harmonics becomes: relu is that of the sum and 1/2, so that without any all is grey"""


class Marched(NamedTuple):
    rgb: Float[Tensor, "r 3"]
    through: Float[Tensor, "r"]
    """what passes: 1 - opacity"""
    distance: Float[Tensor, "r"]
    """sum of weight times distance along the ray; over the opacity, the mean distance"""
    spread: Float[Tensor, "r"]
    """how far apart what a ray sees lies: `walking.spread_of`"""
    samples: Int[Tensor, "r"]
    """how many were composited"""


def voxel_march(rays: Rays, voxels: Voxels, walk: Walk, background: Float[Tensor, "3"]) -> Marched:
    """What rays see of a grid before a background. Gradients for density, colour and background."""
    device, kind = voxels.density.device.type, voxels.density.dtype
    if device == "cuda" and kind == torch.float32 and _kernels() is not None:
        return voxel_march_triton(rays, voxels, walk, background)
    if device == "cpu" and _loops() is not None:
        grid = voxels.density, voxels.colour
        return Marched(*_March.apply(rays, voxels, walk, *grid, background))  # type: ignore[no-untyped-call]
    return voxel_march_torch(rays, voxels, walk, background)


# -- the readable twin -------------------------------------------------------------------------------------------------


def voxel_march_torch(rays: Rays, voxels: Voxels, walk: Walk, background: Float[Tensor, "3"]) -> Marched:
    """All rays take their steps together; then what was met is composited with gradients."""
    with torch.no_grad():
        ray, t = met(rays, voxels.cells, walk, lambda points: voxel_raw(points, voxels))
    points = points_at(rays[ray], t, walk)
    weight, through = composited(voxel_raw(points, voxels) - walk.shift, ray, len(rays), walk)
    rgb = voxel_colour(points, rays.sights[ray], voxels)
    picture = (through[:, None] * background).index_add(0, ray, weight[:, None] * rgb)
    distance = torch.zeros_like(through).index_add(0, ray, weight * t)
    samples = torch.bincount(ray, minlength=len(rays)).to(torch.int32)
    return Marched(picture, through, distance, spread_of(weight, t, ray, len(rays)), samples)


def voxel_colour(points: Float[Tensor, "n 3"], sights: Float[Tensor, "n 3"], voxels: Voxels) -> Float[Tensor, "n 3"]:
    """The colours of points of the grid's box, seen along unit directions: in [0, 1], or with relu not below 0."""
    place, share = grid_corners(points, voxels.cells, voxels.row_of.shape)
    row = voxels.row_of.flatten()[place]
    shares = (share * (row >= 0)).to(voxels.colour)
    if len(voxels.colour):  # one pass over the rows: 17 times quicker than rows times shares, added up
        mixed = embedding_bag(row.clamp_min(0).long(), voxels.colour, mode="sum", per_sample_weights=shares)
    else:
        mixed = shares.new_zeros(len(points), voxels.colour.shape[1])
    bands = voxels.colour.shape[1] // 3
    total = (mixed.view(-1, 3, bands) * harmonics(sights, bands)[:, None]).sum(-1)
    return torch.sigmoid(total) if voxels.activation == "sigmoid" else torch.relu(total + 0.5)


def voxel_raw(points: Float[Tensor, "n 3"], voxels: Voxels) -> Float[Tensor, "n"]:
    """The raw density at points of the grid's box."""
    place, share = grid_corners(points, voxels.cells, voxels.row_of.shape)
    return (voxels.density[place] * share).sum(1)


# -- the loops ---------------------------------------------------------------------------------------------------------


class _March(torch.autograd.Function):
    """`voxel_march` by loops: rays in equal parts, then voxels in equal parts, one part a thread. Its gradients are
    sparse: of the touched voxels and rows."""

    @staticmethod
    def forward(
        ctx: Any, rays: Rays, voxels: Voxels, walk: Walk, density: Tensor, colour: Tensor, background: Tensor
    ) -> tuple[Tensor, ...]:
        walked = (rays.origins, rays.directions, rays.sights, rays.near, rays.far)
        given = [part.detach().float().contiguous().numpy() for part in walked]
        cells = voxels.cells
        grid = [part.detach().numpy() for part in (density, voxels.row_of, colour, cells.clear, cells.low, cells.high)]
        numbers = [np.float32(v) for v in (walk.thickness, walk.shift, raw_at(walk), walk.least, walk.last)]
        relus = _relus(voxels, walk)
        shade, key = background.detach().float().numpy(), np.uint64(walk.key & 2**64 - 1)
        count, index = len(rays), rays.index.numpy()
        rgb, *along = (np.empty((count, *s), np.float32) for s in ((3,), (), (), ()))

        def march(piece: tuple[int, int]) -> tuple[np.ndarray, ...]:
            a, b = piece
            first, room, used = np.empty(b - a + 1, np.int64), ROOM * max(b - a, 64), -1
            while used < 0:
                samples = np.empty(room, np.int64), np.empty((room, 3), np.float32), np.empty((room, 7), np.float32)
                used = _loops().forward(
                    *(part[a:b] for part in given), index[a:b], key, *grid, np.float32(walk.step), walk.contracted,
                    *numbers, *relus, shade, rgb[a:b], *(part[a:b] for part in along), first, *samples,
                )  # fmt: skip
                room *= 2
            return first, *(part[:used] for part in samples)

        ctx.pieces = pieces(count)
        ctx.samples = side_by_side(march, ctx.pieces)
        ctx.kept = given[2], (numbers[0], *relus), shade, along[0], voxels.row_of.numpy(), colour.shape
        number = torch.from_numpy(np.concatenate([np.diff(first) for first, *_ in ctx.samples]).astype(np.int32))
        ctx.mark_non_differentiable(number)
        return torch.from_numpy(rgb), *(torch.from_numpy(part) for part in along), number

    @staticmethod
    def backward(ctx: Any, of_rgb: Tensor, *of_others: Tensor) -> Any:
        sights, rules, shade, through, row_of, (row_count, channels) = ctx.kept
        given = [part.float().contiguous().numpy() for part in (of_rgb, *of_others[:3])]  # the last is the samples'

        def weigh(which: int) -> np.ndarray:
            (a, b), (first, *_, kept) = ctx.pieces[which], ctx.samples[which]
            back = np.empty((len(kept), 4), np.float32)
            _loops().backward(first, kept, *rules, shade, through[a:b], *(part[a:b] for part in given), back)
            return back

        backs = side_by_side(weigh, range(len(ctx.pieces)))
        of_density, of_colour = accumulator(row_of.size, 1), accumulator(row_count, channels)
        parts = slabs([cell for _, cell, *_ in ctx.samples], row_of.size)

        def scatter(slab: tuple[int, int]) -> list[np.ndarray]:
            lists = [np.empty(len(part.touched), np.int64) for part in (of_density, of_colour)]
            counts = np.zeros(2, np.int64)
            for (a, b), (first, cell, within, _), back in zip(ctx.pieces, ctx.samples, backs, strict=True):
                _loops().scatter(
                    sights[a:b], first, cell, within, back, row_of, channels // 3, np.array(slab),
                    of_density.values, of_density.seen, lists[0], of_colour.values, of_colour.seen, lists[1], counts,
                )  # fmt: skip
            return [part[:n] for part, n in zip(lists, counts, strict=True)]

        touched = [np.concatenate(parts) for parts in zip(*side_by_side(scatter, parts), strict=True)]
        grid, colours = of_density.rows(touched[0]), of_colour.rows(touched[1])
        of_background = (of_rgb * torch.from_numpy(through)[:, None]).sum(0)
        return None, None, None, flattened(grid), colours, of_background


def _relus(voxels: Voxels, walk: Walk) -> tuple[bool, bool]:
    """Whether densities and colours are rectified."""
    return walk.activation == "relu", voxels.activation == "relu"


def slabs(cells: list[np.ndarray], voxels: int) -> list[tuple[int, int]]:
    """Ranges of voxels to which about equally many samples give, one for each part of the rays."""
    some = np.concatenate([cell[:: max(1, len(cell) // 256)] for cell in cells])
    edges = [0, *(int(np.quantile(some, i / len(cells))) for i in range(1, len(cells)) if len(some)), voxels]
    return [(a, b) for a, b in pairwise(edges) if b > a]


# -- the kernels -------------------------------------------------------------------------------------------------------


@torch.compiler.disable
def voxel_march_triton(rays: Rays, voxels: Voxels, walk: Walk, background: Float[Tensor, "3"]) -> Marched:
    """The march on a GPU, in which nothing waits for the device. Its gradients are dense, zero where no ray has been,
    and added up in any order: the last bits differ from run to run."""
    if _kernels() is None:
        raise ModuleNotFoundError(NO_TRITON)
    grid = voxels.density, voxels.colour
    return Marched(*_TritonMarch.apply(rays, voxels, walk, *grid, background))  # type: ignore[no-untyped-call]


class _TritonMarch(torch.autograd.Function):
    """`voxel_march` by kernels, which keep nothing of their samples: the way back is the same walk again."""

    @staticmethod
    def forward(
        ctx: Any, rays: Rays, voxels: Voxels, walk: Walk, density: Tensor, colour: Tensor, background: Tensor
    ) -> tuple[Tensor, ...]:
        walked = (rays.origins, rays.directions, rays.sights, rays.near, rays.far)
        given = [part.detach().float().contiguous() for part in walked]
        place = voxels.row_of.contiguous(), voxels.cells.clear.contiguous(), rays.index.contiguous()
        grid = density.detach().contiguous(), place[0], colour.detach().contiguous(), place[1]
        box, shade = [side.float().contiguous() for side in voxels.cells[:2]], background.detach().float().contiguous()
        rgb, *along = (density.new_empty((len(rays), *s)) for s in ((3,), (), (), (), ()))
        number = torch.empty(len(rays), dtype=torch.int32, device=density.device)
        tensors = [*given, place[2], *grid, *box]
        relus = _relus(voxels, walk)
        _walked(_kernels().forward, tensors, walk, relus, (shade, rgb, *along, number))
        ctx.walk, ctx.relus, ctx.given = walk, relus, len(tensors)
        ctx.save_for_backward(*tensors, rgb, *along)
        ctx.mark_non_differentiable(number)
        return rgb, *along[:3], number  # the last is for the way back alone

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_rgb: Tensor, *of_others: Tensor) -> Any:
        tensors, out = ctx.saved_tensors[: ctx.given], ctx.saved_tensors[ctx.given :]
        given, through = [part.float().contiguous() for part in (of_rgb, *of_others[:3])], out[1]
        of_density, of_colour = (torch.zeros_like(tensors[n]) for n in (DENSITY, COLOUR))
        _walked(_kernels().backward, tensors, ctx.walk, ctx.relus, (*out, *given, of_density, of_colour))
        return None, None, None, of_density, of_colour, (given[0] * through[:, None]).sum(0)


DENSITY, ROW_OF, COLOUR, CLEAR = 6, 7, 8, 9
"""where these are among the tensors that the kernels begin with"""
TILE = 256
"""harmonics that a program, one warp, holds at once: with more than twice as many, registers are spilled"""


def _walked(
    kernel: Any, tensors: Sequence[Tensor], walk: Walk, relus: tuple[bool, bool], others: Sequence[Tensor]
) -> None:
    """Run a kernel over all rays. `tensors` are rays (6), grid (4) and box (2), `others` what it alone takes."""
    count, shape, cells = len(tensors[0]), tensors[ROW_OF].shape, tensors[CLEAR].shape
    if not count:
        return
    channels = tensors[COLOUR].shape[1]
    padded = 1 << (channels - 1).bit_length()
    lanes = max(8, min(32, TILE // padded))
    numbers = map(float, (walk.step, walk.thickness, walk.shift, walk.thinnest, walk.least, walk.last))
    launched(
        kernel, (-(-count // lanes),),
        *tensors[:6], walk.key & 2**64 - 1, *tensors[6:], *others, count, *shape, *cells, *numbers, walk.contracted,
        *relus, channels // 3, padded, lanes, warps=1,
    )  # fmt: skip
