"""Voxel grids over a box: their sizes, finer copies, which coarse cells are empty, and where colours are kept.

A grid of a box has its outermost voxels on the box's faces. Voxels are cubes but for rounding: `cells` is the number
between the voxels of the longest side.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import interpolate, max_pool3d, pad

COARSE = 2
"""voxels a side of the coarse cells that say what is empty"""
BRIGHTEST = 0.98
"""colour, at most, and 1 less this at least: a sigmoid's ends are at infinity"""


def grid_shape(low: Float[Tensor, "3"], high: Float[Tensor, "3"], cells: int) -> tuple[int, int, int]:
    """Voxels along x, y and z, at least 3 each."""
    side = high - low
    x, y, z = (max(3, round(float(s) / float(side.max()) * cells) + 1) for s in side)
    return x, y, z


def shape_of(low: Float[Tensor, "3"], high: Float[Tensor, "3"], voxels: int) -> tuple[int, int, int]:
    """Voxels along x, y and z, about so many in all, at least 3 each."""
    side = (high - low).double()
    edge = float((side.prod() / voxels) ** (1 / 3))
    x, y, z = (max(3, round(float(s) / edge)) for s in side)
    return x, y, z


def places_of(shape: tuple[int, int, int], low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> Float[Tensor, "v 3"]:
    """Where the voxels are, x first."""
    axes = (torch.linspace(float(a), float(b), n) for a, b, n in zip(low, high, shape, strict=True))
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)


def middles_of(shape: tuple[int, int, int], low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> Float[Tensor, "v 3"]:
    """Where the middles of the cells of a box are, x first."""
    half = (high - low) / torch.tensor(shape) / 2
    return places_of(shape, low + half, high - half)


def corners_of(low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> Float[Tensor, "8 3"]:
    """Of a box."""
    return places_of((2, 2, 2), low, high)


def finer(values: Float[Tensor, "x y z"], shape: tuple[int, int, int]) -> Float[Tensor, "i j k"]:
    """The same field on a grid of other voxels over the same box, trilinear; exact where voxels meet."""
    return interpolate(values[None, None], shape, mode="trilinear", align_corners=True)[0, 0]


def finer_rows(
    rows: Float[Tensor, "n c"], row_of: Int[Tensor, "x y z"], wanted: Int[Tensor, "i j k"]
) -> Float[Tensor, "m c"]:
    """Values of the voxels of another grid over the same box that have a row in `wanted`, in the order of its rows.

    `rows` are the values of the voxels that have a row in `row_of`; those that have none do not count.
    """
    shape, old = torch.tensor(wanted.shape), torch.tensor(row_of.shape)
    voxel = (wanted >= 0).nonzero()
    place = voxel / (shape - 1) * (old - 1)
    cell = place.long().minimum(old - 2)
    within = (place - cell).float()
    total, known = rows.new_zeros(len(voxel), rows.shape[1]), rows.new_zeros(len(voxel), 1)
    for corner in ((a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)):
        at = cell + torch.tensor(corner)
        share = torch.where(torch.tensor(corner) == 1, within, 1 - within).prod(1, keepdim=True)
        row = row_of[at[:, 0], at[:, 1], at[:, 2]].long()
        share = share * (row >= 0)[:, None]
        total += share * rows[row.clamp_min(0)]
        known += share
    return total / known.clamp_min(1e-6)


def plain_harmonics(rgb: Float[Tensor, "n 3"], bands: int) -> Float[Tensor, "n k"]:
    """Spherical harmonics of red, green and blue whose sigmoid is nearly these colours, seen from anywhere."""
    raw = torch.logit(rgb.clamp(1 - BRIGHTEST, BRIGHTEST))
    return pad((raw * (4 * torch.pi) ** 0.5)[..., None], (0, bands - 1)).flatten(1)


def coarse_shape(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """How many coarse cells there are."""
    x, y, z = (max(1, round((n - 1) / COARSE)) for n in shape)
    return x, y, z


def occupied_cells(there: Bool[Tensor, "x y z"], coarse: tuple[int, int, int]) -> Bool[Tensor, "i j k"]:
    """Which coarse cells hold, or have within a voxel of them, a voxel where something is."""
    near = max_pool3d(there[None].float(), 3, 1, 1)[0] > 0
    found = near.new_zeros(coarse)
    voxel = near.nonzero()
    place = voxel / (torch.tensor(near.shape) - 1) * torch.tensor(coarse)
    for nudge in (-1e-4, 1e-4):  # a voxel on the border of two cells is in both
        cell = (place + nudge).long().clamp_min(0).minimum(torch.tensor(coarse) - 1)
        found[cell[:, 0], cell[:, 1], cell[:, 2]] = True
    return found


def kept_cells(cells: Bool[Tensor, "i j k"], coarse: tuple[int, int, int]) -> Bool[Tensor, "a b c"]:
    """The same in cells of another size: a cell is in if it touches one that is."""
    found = cells
    for axis, (n, m) in enumerate(zip(cells.shape, coarse, strict=True)):
        first = (torch.arange(m) * n) // m
        last = ((torch.arange(m) + 1) * n + m - 1) // m  # one past
        found = _any_between(found, axis, first, last)
    return found


def rows_within(cells: Bool[Tensor, "i j k"], shape: tuple[int, int, int]) -> Int[Tensor, "x y z"]:
    """A row for every voxel that a point of an occupied cell is interpolated from; -1 for the others. int32."""
    wanted = cells
    for axis, (n, m) in enumerate(zip(shape, cells.shape, strict=True)):
        place = torch.arange(n) / (n - 1) * m  # of each voxel, in cells
        reach = m / (n - 1)
        first = (place - reach + 1e-6).floor().long().clamp(0, m - 1)
        last = (place + reach - 1e-6).floor().long().clamp(0, m - 1) + 1
        wanted = _any_between(wanted, axis, first, last)
    rows = torch.full(shape, -1, dtype=torch.int32)
    rows[wanted] = torch.arange(int(wanted.sum()), dtype=torch.int32)
    return rows


def voxels_where(
    found: Callable[[Float[Tensor, "m 3"]], Bool[Tensor, "m"]],
    shape: tuple[int, int, int],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    looks: int = 1,
) -> Bool[Tensor, "x y z"]:
    """In which voxels that fill a box something is found at one of `looks`^3 places; `found` is asked slab by slab."""
    axes = [a + (b - a) * (torch.arange(n * looks, device=low.device) + 0.5) / (n * looks)
            for a, b, n in zip(low, high, shape, strict=True)]  # fmt: skip
    slabs = []
    for x in axes[0].view(shape[0], looks):
        places = torch.stack(torch.meshgrid(x, *axes[1:], indexing="ij"), -1).view(-1, 3)
        slabs.append(found(places).view(looks, shape[1], looks, shape[2], looks).any(4).any(2).any(0))
    return torch.stack(slabs)


def _any_between(
    cells: Bool[Tensor, "i j k"], axis: int, first: Int[Tensor, "m"], last: Int[Tensor, "m"]
) -> Bool[Tensor, "a b c"]:
    """Along an axis, whether any of the cells from `first` to `last` - 1 is in."""
    before = cells.to(torch.int32).cumsum(axis, dtype=torch.int32)
    before = torch.cat([torch.zeros_like(before.narrow(axis, 0, 1)), before], axis)
    return before.index_select(axis, last) > before.index_select(axis, first)
