"""Rays through a grid of signed distances and spherical harmonics: picture, opacity and distance, with gradients.

The opacity is NeuS's (Wang et al. 2021, eq. 13): between two neighbouring samples of a ray, at distances f and g from
the surface, a section takes away 1 - logistic(s g) / logistic(s f) of the light where the ray comes nearer, and nothing
where it does not. s is the sharpness, in 1 / length. The colour of a section is that at the place where the distance is
zero, or of its middle: a sigmoid of spherical harmonics between the voxels.

One function with two back ends: loops in numba that walk each ray, composite and walk back (CPU), and the readable
PyTorch twin, which is their oracle and runs everywhere else. Distances are positive outside. Samples lie `step` apart
where the grid's coarse cells are not empty (`walking`).
"""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize

from unflat.geometry.spaces import Rays
from unflat.kernels.accumulators import accumulator, flattened
from unflat.kernels.lookup import grid_corners
from unflat.kernels.loops import compiled_loops
from unflat.kernels.threads import pieces, side_by_side
from unflat.kernels.voxel_march import Voxels, slabs, voxel_colour
from unflat.kernels.walking import Cells, Walk, is_empty, jitter, weighed, within_limits

_loops = partial(compiled_loops, "distance_march_cpu")

ROOM = 8
"""sections a ray for which there is room at first; where it is not enough, twice as many"""


class Distances(NamedTuple):
    """A grid whose outermost voxels lie on the faces of its box; colours only where the surface may be."""

    distance: Float[Tensor, "v"]
    """to the surface, positive outside, of every voxel, x first, in units of the box"""
    colour: Float[Tensor, "rows k"]
    """spherical harmonics of red, then green, then blue"""
    row_of: Int[Tensor, "x y z"]
    """int32: the row of `colour` that a voxel has, -1 for none (its harmonics are zero)"""
    cells: Cells


class Approach(NamedTuple):
    """How rays are walked towards a surface."""

    step: float
    """between two samples, in units of the box"""
    sharpness: float
    """of the surface, in 1 / length: light passes from 73 % to 27 % over 2 / sharpness"""
    key: int = 0
    """of what is drawn at random: where in its first step each ray begins; 0 begins in the middle of it"""
    least: float = 1e-3
    """weight in the picture under which a section is left out"""
    last: float = 1e-3
    """of what passes, under which a ray ends"""


class Met(NamedTuple):
    """What rays see of a surface."""

    rgb: Float[Tensor, "r 3"]
    through: Float[Tensor, "r"]
    """what passes: 1 - opacity"""
    distance: Float[Tensor, "r"]
    """sum of weight times distance along the ray; over the opacity, the mean distance"""
    sections: Int[Tensor, "r"]
    """how many were composited"""


def distance_march(rays: Rays, grid: Distances, approach: Approach, background: Float[Tensor, "3"]) -> Met:
    """What rays see of a surface before a background. Gradients for distance, colour and background."""
    if grid.distance.device.type == "cpu" and _loops() is not None:
        parts = grid.distance, grid.colour
        return Met(*_March.apply(rays, grid, approach, *parts, background))  # type: ignore[no-untyped-call]
    return distance_march_torch(rays, grid, approach, background)


# -- the readable twin -------------------------------------------------------------------------------------------------


def distance_march_torch(rays: Rays, grid: Distances, approach: Approach, background: Float[Tensor, "3"]) -> Met:
    """All rays take their steps together; then the sections that count are composited with gradients."""
    with torch.no_grad():
        ray, begins, ends = _sections(rays, grid, approach)
    there = rays[ray]
    first, last = (distance_at(_along(there, t), grid) for t in (begins, ends))
    thickness = logsigmoid(approach.sharpness * first) - logsigmoid(approach.sharpness * last)
    weight, through = weighed(thickness, ray, len(rays))
    with torch.no_grad():
        crosses = (first > 0) & (last < 0)
        t = begins + torch.where(crosses, first / (first - last), 0.5) * (ends - begins)
    rgb = colour_at(_along(there, t), there.sights, grid)
    picture = (through[:, None] * background).index_add(0, ray, weight[:, None] * rgb)
    distance = torch.zeros_like(through).index_add(0, ray, weight * t)
    return Met(picture, through, distance, torch.bincount(ray, minlength=len(rays)).to(torch.int32))


def _sections(
    rays: Rays, grid: Distances, approach: Approach
) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"], Float[Tensor, "m"]]:
    """The sections that count, by ray and then by distance: their rays, and where they begin and end."""
    walk = Walk(approach.step, False, 1.0, 0.0, approach.key)
    first, last = within_limits(rays, grid.cells, walk)
    t = first + jitter(approach.key, rays.index) * approach.step
    value, left, onwards = torch.zeros_like(t), torch.ones_like(t), torch.zeros_like(t, dtype=torch.bool)
    found = [(t[:0].long(), t[:0], t[:0])]
    while True:
        walking = (t < last) & (left >= approach.last)
        if not walking.any():
            break
        points = _along(rays, t)
        there = walking & ~is_empty(points, grid.cells)
        reached = distance_at(points, grid)
        alpha = 1 - torch.sigmoid(approach.sharpness * reached) / torch.sigmoid(approach.sharpness * value)
        counts = there & onwards & (reached < value) & (left * alpha > approach.least)
        found.append((counts.nonzero()[:, 0], t[counts] - approach.step, t[counts]))
        left = torch.where(counts, left * (1 - alpha), left)
        value, onwards, t = reached, there, t + approach.step
    ray, begins, ends = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(ray, stable=True)
    return ray[order], begins[order], ends[order]


def _along(rays: Rays, t: Float[Tensor, "r"]) -> Float[Tensor, "r 3"]:
    return rays.origins + t[:, None] * rays.directions


def distance_at(points: Float[Tensor, "n 3"], grid: Distances) -> Float[Tensor, "n"]:
    """The distance of points of the grid's box to the surface."""
    place, share = grid_corners(points, grid.cells, grid.row_of.shape)
    return (grid.distance[place] * share).sum(1)


def slope_at(points: Float[Tensor, "n 3"], grid: Distances, side: float) -> Float[Tensor, "n 3"]:
    """The gradient of the distance at points of the grid's box: differences over a voxel of that side each way."""
    ways = side * torch.eye(3, device=points.device)
    return torch.stack([distance_at(points + way, grid) - distance_at(points - way, grid) for way in ways], 1) / (
        2 * side
    )


def facing(
    points: Float[Tensor, "n 3"], sights: Float[Tensor, "n 3"], grid: Distances, side: float
) -> Float[Tensor, "n 3"]:
    """The unit normals of the surface at points of it, seen along unit directions: at a rim, where one points away by a
    little, the nearest that does not."""
    outwards = slope_at(points, grid, side)
    away = (outwards * sights).sum(1, keepdim=True).clamp_min(0)
    return normalize(outwards - away * sights, dim=1)


def colour_at(points: Float[Tensor, "n 3"], sights: Float[Tensor, "n 3"], grid: Distances) -> Float[Tensor, "n 3"]:
    """The colours of points of the grid's box, seen along unit directions."""
    return voxel_colour(points, sights, Voxels(grid.distance, grid.colour, grid.row_of, grid.cells))


# -- the loops ---------------------------------------------------------------------------------------------------------


class _March(torch.autograd.Function):
    """`distance_march` by loops: rays in equal parts, then voxels in equal parts, one part a thread. Its gradients are
    sparse: of the touched voxels and rows."""

    @staticmethod
    def forward(
        ctx: Any, rays: Rays, voxels: Distances, approach: Approach, distance: Tensor, colour: Tensor,
        background: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        walked = (rays.origins, rays.directions, rays.sights, rays.near, rays.far)
        given = [part.detach().float().contiguous().numpy() for part in walked]
        cells = voxels.cells
        grid = [part.detach().numpy() for part in (distance, voxels.row_of, colour, cells.clear, cells.low, cells.high)]
        numbers = [np.float32(v) for v in (approach.step, approach.sharpness, approach.least, approach.last)]
        shade, key = background.detach().float().numpy(), np.uint64(approach.key & 2**64 - 1)
        count, index = len(rays), rays.index.numpy()
        rgb, *along = (np.empty((count, *s), np.float32) for s in ((3,), (), ()))

        def march(piece: tuple[int, int]) -> tuple[np.ndarray, ...]:
            a, b = piece
            first, room, used = np.empty(b - a + 1, np.int64), ROOM * max(b - a, 64), -1
            while used < 0:
                sections: list[np.ndarray] = [
                    np.empty((room, 3), np.int64),
                    *(np.empty((room, n), np.float32) for n in (9, 8)),
                ]
                used = _loops().forward(
                    *(part[a:b] for part in given), index[a:b], key, *grid, *numbers, shade, rgb[a:b],
                    *(part[a:b] for part in along), first, *sections,
                )  # fmt: skip
                room *= 2
            return first, *(part[:used] for part in sections)

        ctx.pieces = pieces(count)
        ctx.sections = side_by_side(march, ctx.pieces)
        ctx.kept = given[2], numbers[1], shade, along[0], voxels.row_of.numpy(), colour.shape
        number = torch.from_numpy(np.concatenate([np.diff(first) for first, *_ in ctx.sections]).astype(np.int32))
        ctx.mark_non_differentiable(number)
        return torch.from_numpy(rgb), *(torch.from_numpy(part) for part in along), number

    @staticmethod
    def backward(ctx: Any, of_rgb: Tensor, *of_others: Tensor) -> Any:
        sights, sharpness, shade, through, row_of, (row_count, channels) = ctx.kept
        given = [part.float().contiguous().numpy() for part in (of_rgb, *of_others[:2])]  # the last is the sections'

        def weigh(which: int) -> np.ndarray:
            (a, b), (first, *_, kept) = ctx.pieces[which], ctx.sections[which]
            back = np.empty((len(kept), 5), np.float32)
            _loops().backward(first, kept, sharpness, shade, through[a:b], *(part[a:b] for part in given), back)
            return back

        backs = side_by_side(weigh, range(len(ctx.pieces)))
        of_distance, of_colour = accumulator(row_of.size, 1), accumulator(row_count, channels)
        parts = slabs([cell[:, 2] for _, cell, *_ in ctx.sections], row_of.size)

        def scatter(slab: tuple[int, int]) -> list[np.ndarray]:
            lists = [np.empty(len(part.touched), np.int64) for part in (of_distance, of_colour)]
            counts = np.zeros(2, np.int64)
            for (a, b), (first, cell, within, _), back in zip(ctx.pieces, ctx.sections, backs, strict=True):
                _loops().scatter(
                    sights[a:b], first, cell, within, back, row_of, channels // 3, np.array(slab),
                    of_distance.values, of_distance.seen, lists[0], of_colour.values, of_colour.seen, lists[1], counts,
                )  # fmt: skip
            return [part[:n] for part, n in zip(lists, counts, strict=True)]

        touched = [np.concatenate(parts) for parts in zip(*side_by_side(scatter, parts), strict=True)]
        grid, colours = of_distance.rows(touched[0]), of_colour.rows(touched[1])
        of_background = (of_rgb * torch.from_numpy(through)[:, None]).sum(0)
        return None, None, None, flattened(grid), colours, of_background
