"""Rays through a field of densities alone: the few samples that count and what they weigh, with gradients.

March first, learn on what is left: a ray is walked with the density alone, and what is dear (features, networks for
colours, losses) sees only the samples that weigh something in the picture. Walk, interpolation, compositing and their
gradients are one loop for each kind of field (numba, CPU); on a GPU the walk is a Triton kernel, the interpolation
another, and the compositing a few operations on what was met; the readable PyTorch twin is the oracle of both and runs
everywhere else. What all do stands in `kernels.walking`. The raw density of a table is the sum of what it holds at a
point.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.geometry.spaces import Rays
from unflat.kernels.hash_lookup import Hashed, hash_looked_up, hashed_field
from unflat.kernels.lookup import (
    Box,
    Gradients,
    Pairs,
    Table,
    Voxels,
    field_of,
    kind_of,
    looked_up_torch,
    looked_up_triton,
    plane_sides,
    tables_of,
)
from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.occupied_steps import occupied_steps
from unflat.kernels.threads import pieces, side_by_side
from unflat.kernels.walking import Cells, Walk, composited, met, packed, points_at, raw_at, that_count

_loops = partial(compiled_loops, "density_march_cpu")
_kernels = partial(compiled_loops, "density_march_gpu")

ROOM = 16
"""samples a ray for which there is room at first; where it is not enough, twice as many"""
RAYS, POINTS = 2**15, 2**20
"""rays whose samples, and samples whose densities, are asked at once on a GPU: bounds of the memory of misty scenes"""


class Weighed(NamedTuple):
    """Samples of all rays, ray by ray and from near to far, and what passes them."""

    weight: Float[Tensor, "m"]
    """in the picture"""
    ray: Int[Tensor, "m"]
    t: Float[Tensor, "m"]
    """along the ray"""
    points: Float[Tensor, "m 3"]
    """in the walk's coordinates"""
    through: Float[Tensor, "r"]
    """what passes: 1 - opacity"""

    def gathered(self, values: Float[Tensor, "m k"]) -> Float[Tensor, "r k"]:
        """The sums over each ray of weight times value."""
        none = values.new_zeros(len(self.through), values.shape[1])
        return none.index_add(0, self.ray, self.weight[:, None] * values)

    @property
    def distance(self) -> Float[Tensor, "r"]:
        """The sums of weight times distance; over the opacity, the mean distance of what is seen."""
        return self.gathered(self.t[:, None])[:, 0]


class Decoded(NamedTuple):
    """A density whose logarithm a small network makes of what hashed grids hold: one hidden layer of ReLUs."""

    table: Hashed
    hidden: Float[Tensor, "w k"]
    hidden_bias: Float[Tensor, "w"]
    last: Float[Tensor, "w"]
    last_bias: Float[Tensor, ""]

    def raw(self, points: Float[Tensor, "n 3"], box: Box) -> Float[Tensor, "n"]:
        """The logarithm of the density."""
        features = hash_looked_up(points, self.table, box)
        return torch.relu(features @ self.hidden.T + self.hidden_bias) @ self.last + self.last_bias


def density_march(rays: Rays, density: Table, cells: Cells, walk: Walk) -> Weighed:
    """The samples of a field that count. Weights and what passes have gradients for the field's tables."""
    tables = tables_of(density)
    device, kind = tables[0].device.type, tables[0].dtype
    if device == "cuda" and kind == torch.float32 and _kernels() is not None:
        return density_march_triton(rays, density, cells, walk)
    if device != "cpu" or kind != torch.float32 or _loops() is None:
        return density_march_torch(rays, density, cells, walk)
    return Weighed(*_March.apply(rays, kind_of(density), cells, walk, *tables))  # type: ignore[no-untyped-call]


def density_march_torch(rays: Rays, density: Table, cells: Cells, walk: Walk) -> Weighed:
    """The readable twin."""

    def raw_of(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        return looked_up_torch(points, density, Box(cells.low, cells.high)).sum(1)

    with torch.no_grad():
        ray, t = met(rays, cells, walk, raw_of)
    points = points_at(rays[ray], t, walk)
    weight, through = composited(raw_of(points) - walk.shift, ray, len(rays), walk)
    return Weighed(weight, ray, t, points, through)


@torch.no_grad()
def decoded_march(
    rays: Rays, field: Decoded, cells: Cells, walk: Walk
) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"], Float[Tensor, "m 3"]]:
    """The samples that count of a density that a network makes: their rays, distances and points.

    The density is exp(raw - shift); nothing has a gradient, since what has one needs more of the network than the
    density, and is asked again at what is left.
    """
    values = field.table.values
    if walk.activation != "exp":
        raise ValueError(f"the network gives the logarithm of a density: walk with exp, not with {walk.activation}")
    if values.device.type != "cpu":
        return decoded_march_packed(rays, field, cells, walk)
    if values.dtype != torch.float32 or _loops() is None:
        return decoded_march_torch(rays, field, cells, walk)
    _, each, within, kept = _marched(rays, lambda: _decoded(field), cells, walk)
    ray = torch.from_numpy(np.repeat(np.arange(len(rays)), each))
    points = cells.low + torch.from_numpy(within) * (cells.high - cells.low)
    return ray, torch.from_numpy(kept[:, 3].copy()), points


@torch.no_grad()
def decoded_march_torch(
    rays: Rays, field: Decoded, cells: Cells, walk: Walk
) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"], Float[Tensor, "m 3"]]:
    """The readable twin."""
    box = Box(cells.low, cells.high)
    ray, t = met(rays, cells, walk, lambda points: field.raw(points, box))
    return ray, t, points_at(rays[ray], t, walk)


@torch.no_grad()
def decoded_march_packed(
    rays: Rays, field: Decoded, cells: Cells, walk: Walk
) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"], Float[Tensor, "m 3"]]:
    """The march where many are asked at once, as on a GPU: first all samples in cells that are not empty, then their
    densities, then which of them count. A network a step of all rays would ask too little at a time."""
    box, found = Box(cells.low, cells.high), []
    for begin in range(0, max(1, len(rays)), RAYS):
        some = occupied_steps(rays[begin : begin + RAYS], cells, walk)
        raw = torch.cat([field.raw(points, box).float() for points in torch.split(some.points, POINTS)])
        counts = that_count(walk.thickness * walk.activated(raw - walk.shift), some.ray, walk)
        found.append((some.ray[counts] + begin, some.t[counts], some.points[counts]))
    ray, t, points = (torch.cat(parts) for parts in zip(*found, strict=True))
    return ray, t, points


# -- the loops ---------------------------------------------------------------------------------------------------------


def _marched(
    rays: Rays, field_of_piece: Callable[[], tuple[Any, ...]], cells: Cells, walk: Walk
) -> tuple[np.ndarray, ...]:
    """What passes [r], how many samples each ray has [r], and of these within [m, 3] and kept [m, 4], as the loop says
    it."""
    walked = (rays.origins, rays.directions, rays.near, rays.far)
    given = [part.detach().float().contiguous().numpy() for part in walked]
    count, index, key = len(rays), rays.index.numpy(), np.uint64(walk.key & 2**64 - 1)
    through = np.empty(count, np.float32)
    numbers = [np.float32(v) for v in (walk.thickness, walk.shift, raw_at(walk), walk.least, walk.last)]
    room_of = [part.numpy() for part in (cells.clear, cells.low, cells.high)]

    def march(piece: tuple[int, int]) -> tuple[np.ndarray, ...]:
        a, b = piece
        first, room, used, field = np.empty(b - a + 1, np.int64), ROOM * max(b - a, 64), -1, field_of_piece()
        while used < 0:
            within, kept = np.empty((room, 3), np.float32), np.empty((room, 4), np.float32)
            used = _loops().forward(
                *(part[a:b] for part in given), index[a:b], key, field, *room_of, np.float32(walk.step),
                walk.contracted, *numbers, walk.activation == "relu", through[a:b], first, within, kept,
            )  # fmt: skip
            room *= 2
        return np.diff(first), within[:used], kept[:used]

    return through, *(np.concatenate(p) for p in zip(*side_by_side(march, pieces(count)), strict=True))


def _decoded(field: Decoded) -> tuple[Any, ...]:
    """As loops take it, with room to work in."""
    weights = (field.hidden.T, field.hidden_bias, field.last)
    width, features = field.hidden.shape
    arrays = (part.detach().contiguous().numpy() for part in weights)
    return (
        *hashed_field(field.table),
        *arrays,
        np.float32(field.last_bias.detach()),
        np.empty(features, np.float32),
        np.empty(width, np.float32),
    )


class _March(torch.autograd.Function):
    """`density_march` by loops."""

    @staticmethod
    def forward(ctx: Any, rays: Rays, kind: Any, cells: Cells, walk: Walk, *tables: Tensor) -> Any:
        field = field_of(kind, tables)
        through, each, within, kept = _marched(rays, lambda: field, cells, walk)
        first = np.concatenate([[0], np.cumsum(each)])
        rules = np.float32(walk.thickness), walk.activation == "relu"
        ctx.kept, ctx.tables = (kind, field, first, within, kept, rules, through), tables
        ray = torch.from_numpy(np.repeat(np.arange(len(rays)), each))
        points = cells.low + torch.from_numpy(within) * (cells.high - cells.low)
        outputs = torch.from_numpy(kept[:, 0] * kept[:, 1]), ray, torch.from_numpy(kept[:, 3].copy()), points
        ctx.mark_non_differentiable(*outputs[1:])
        return (*outputs, torch.from_numpy(through))

    @staticmethod
    def backward(ctx: Any, of_weight: Tensor, _: Tensor, __: Tensor, ___: Tensor, of_through: Tensor) -> Any:
        kind, field, first, within, kept, rules, through = ctx.kept
        gradients = Gradients(kind, ctx.tables)
        given = (part.float().contiguous().numpy() for part in (of_weight, of_through))
        _loops().backward(first, within, kept, *rules, through, *given, field, gradients.arrays)
        return None, None, None, None, *gradients.tensors()


# -- the kernels -------------------------------------------------------------------------------------------------------

FOUND = 64
"""samples a ray for which a GPU has room at first; where it is not enough, rays are walked again with enough"""
TILE = 256
"""numbers, of rays and channels, that a program looks up at once"""


@torch.compiler.disable
def density_march_triton(rays: Rays, density: Table, cells: Cells, walk: Walk) -> Weighed:
    """The march on a GPU: walked by a kernel, which is waited for once, since nobody knows before how many samples
    count; then what counts is looked up and weighed with gradients, as the twin does it."""
    if _kernels() is None:
        raise ModuleNotFoundError(NO_TRITON)
    ray, t = met_triton(rays, density, cells, walk)
    points = points_at(rays[ray], t, walk)
    raw = looked_up_triton(points, density, Box(cells.low, cells.high)).sum(1)
    weight, through = composited(raw - walk.shift, ray, len(rays), walk)
    return Weighed(weight, ray, t, points, through)


@torch.no_grad()
def met_triton(rays: Rays, density: Table, cells: Cells, walk: Walk) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"]]:
    """The samples that count, by ray and then by distance: their rays and distances."""
    ray, t, () = packed(lambda room: _walked(rays, density, cells, walk, room), FOUND)
    return ray, t


def _walked(rays: Rays, density: Table, cells: Cells, walk: Walk, room: int) -> tuple[Tensor, Tensor]:
    """The t of each ray's first samples that count [r, room], and how many count [r]."""
    walked = (rays.origins, rays.directions, rays.near, rays.far)
    given = [part.detach().float().contiguous() for part in walked]
    tables = [table.detach().contiguous() for table in tables_of(density)]
    channels, name, shape = tables[0].shape[1], "lines", tuple(len(table) for table in tables)
    if isinstance(density, Voxels):
        name, shape = "voxels", density.shape
    if isinstance(density, Pairs):
        name, shape = "pairs", plane_sides(density)
    count, low, high = len(rays), cells.low.float().contiguous(), cells.high.float().contiguous()
    found, number = given[0].new_empty(count, room), torch.empty(count, dtype=torch.int32, device=low.device)
    block = min(16, 1 << (channels - 1).bit_length())
    lanes = min(32, TILE // block)
    numbers = map(float, (walk.step, walk.thickness, walk.shift, walk.thinnest, walk.least, walk.last))
    if count:
        launched(
            _kernels().forward, (-(-count // lanes),),
            *given, rays.index.contiguous(), walk.key & 2**64 - 1, cells.clear.contiguous(), low, high,
            *tables, *tables[:1] * (6 - len(tables)), found, number, count, *shape, *cells.clear.shape, room, *numbers,
            walk.contracted, walk.activation == "relu", name, channels, block, lanes, warps=1,
        )  # fmt: skip
    return found, number.long()
