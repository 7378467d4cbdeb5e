"""What tables over a box hold at points, with gradients: voxels, planes with lines, lines alone, and planes alone.

Four ways to keep a field of c numbers over a box, the outermost entries on its faces:

Voxels   values [x, y, z, c], trilinear
Pairs    planes and lines (Chen et al. 2022, TensoRF, eq. 5, vector-matrix): of each pair the plane is bilinear in two
         axes and the line linear in the third, and their products are what the field is; the three pairs one after
         the other make 3 c numbers
Lines    one for each axis (the same, eq. 2, CP): the product of all three
Planes   one for each pair of axes, bilinear, at a point's three projections (Chan et al. 2022, EG3D): added up,
         multiplied (Fridovich-Keil et al. 2023, K-Planes) or one after the other, which makes 3 c numbers

Each has loops in numba (CPU), whose gradients hold the touched entries, kernels in Triton (GPU), whose gradients are
dense, and a readable PyTorch twin.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from unflat.kernels.accumulators import Accumulator, accumulator
from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.threads import pieces, side_by_side

_loops = partial(compiled_loops, "lookup_cpu")
_kernels = partial(compiled_loops, "lookup_gpu")

AXES = ((0, 1), (0, 2), (1, 2))
"""the axes of each plane, rows first"""
ALONG = (2, 1, 0)
"""the axis of each pair's line"""


class Box(NamedTuple):
    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]


class Voxels(NamedTuple):
    """Values of voxels, x first."""

    values: Float[Tensor, "v c"]
    shape: tuple[int, int, int]


class Pairs(NamedTuple):
    """Planes with the axes `AXES`, row by row, and lines along `ALONG`."""

    planes: tuple[Tensor, Tensor, Tensor]
    """each [rows * columns, c]"""
    lines: tuple[Tensor, Tensor, Tensor]
    """each [entries, c]"""


class Lines(NamedTuple):
    """Lines along x, y and z."""

    lines: tuple[Tensor, Tensor, Tensor]
    """each [entries, c]"""


Aggregate = Literal["sum", "product", "concat"]
"""what is made of the three planes' numbers"""
AGGREGATES: tuple[Aggregate, ...] = ("sum", "product", "concat")


class Planes(NamedTuple):
    """Planes with the axes `AXES`, row by row."""

    planes: tuple[Tensor, Tensor, Tensor]
    """each [rows * columns, c]"""
    shape: tuple[int, int, int]
    """entries along x, y and z"""
    aggregate: Aggregate = "sum"
    painted: bool = False
    """by a network, through which gradients flow on: they are dense then"""


Table = Voxels | Pairs | Lines
"""whose numbers add up to a density"""


class Kind(NamedTuple):
    """What loops and kernels need to know of a table beside its tensors."""

    name: Literal["voxels", "pairs", "lines", "planes"]
    shape: tuple[int, int, int]
    """entries along x, y and z"""
    aggregate: Aggregate = "sum"
    painted: bool = False

    @property
    def numbers(self) -> int:
        """How many there are at a point, over the channels."""
        return 3 if self.name == "pairs" or (self.name == "planes" and self.aggregate == "concat") else 1

    @property
    def long(self) -> int:
        """How many of the tensors, the first ones, are so long that a step touches them in few places only."""
        return {"voxels": 1, "pairs": 3, "lines": 0, "planes": 3}[self.name]


def looked_up(points: Float[Tensor, "n 3"], table: Table | Planes, box: Box) -> Float[Tensor, "n k"]:
    """What the table holds at points of the box; at points beside it, what it holds at its faces. Gradients for the
    table only."""
    tables, device = tables_of(table), points.device.type
    if device == "cuda" and tables[0].dtype == torch.float32 and _kernels() is not None:
        return looked_up_triton(points, table, box)
    if device != "cpu" or tables[0].dtype != torch.float32 or _loops() is None:
        return looked_up_torch(points, table, box)
    found: Tensor = _LookUp.apply(points, kind_of(table), box, *tables)  # type: ignore[no-untyped-call]
    return found


def tables_of(table: Table | Planes) -> tuple[Tensor, ...]:
    """Its tensors, for a gradient."""
    if isinstance(table, Voxels):
        return (table.values,)
    if isinstance(table, Planes):
        return table.planes
    return (*table.planes, *table.lines) if isinstance(table, Pairs) else table.lines


def kind_of(table: Table | Planes) -> Kind:
    if isinstance(table, Voxels):
        return Kind("voxels", table.shape)
    if isinstance(table, Planes):
        return Kind("planes", *table[1:])
    if isinstance(table, Pairs):
        return Kind("pairs", plane_sides(table))
    x, y, z = (len(line) for line in table.lines)
    return Kind("lines", (x, y, z))


# -- the readable twins ------------------------------------------------------------------------------------------------


def looked_up_torch(points: Float[Tensor, "n 3"], table: Table | Planes, box: Box) -> Float[Tensor, "n k"]:
    """All four ways by gathering."""
    if isinstance(table, Voxels):
        place, share = grid_corners(points, box, table.shape)
        return (table.values[place] * share[..., None]).sum(1)
    within = ((points - box.low) / (box.high - box.low)).clamp(0, 1)
    if isinstance(table, Lines):
        x, y, z = (_on_line(line, within[:, axis]) for axis, line in enumerate(table.lines))
        return x * y * z
    shape = kind_of(table).shape
    flat = [_on_plane(plane, within[:, axes], [shape[a] for a in axes])
            for plane, axes in zip(table.planes, AXES, strict=True)]  # fmt: skip
    if isinstance(table, Pairs):
        across = [_on_line(line, within[:, axis]) for line, axis in zip(table.lines, ALONG, strict=True)]
        return torch.cat([a * b for a, b in zip(flat, across, strict=True)], 1)
    xy, xz, yz = flat
    return {"sum": xy + xz + yz, "product": xy * xz * yz, "concat": torch.cat(flat, 1)}[table.aggregate]


def plane_sides(table: Pairs) -> tuple[int, int, int]:
    """Entries along x, y and z."""
    x, y, z = (len(table.lines[ALONG.index(axis)]) for axis in range(3))
    return x, y, z


def _on_line(line: Float[Tensor, "l c"], within: Float[Tensor, "n"]) -> Float[Tensor, "n c"]:
    i, f = _between(within, len(line))
    return line[i] * (1 - f) + line[i + 1] * f


def _on_plane(plane: Float[Tensor, "p c"], within: Float[Tensor, "n 2"], sides: Sequence[int]) -> Float[Tensor, "n c"]:
    rows, columns = sides
    square = plane.view(rows, columns, -1)
    (i, fi), (j, fj) = _between(within[:, 0], rows), _between(within[:, 1], columns)
    near = square[i, j] * (1 - fj) + square[i, j + 1] * fj
    far = square[i + 1, j] * (1 - fj) + square[i + 1, j + 1] * fj
    return near * (1 - fi) + far * fi


def _between(within: Float[Tensor, "n"], count: int) -> tuple[Int[Tensor, "n"], Float[Tensor, "n 1"]]:
    """The entry before a place from 0 to 1, and how far behind it the place is."""
    at = within * (count - 1)
    entry = at.long().clamp_max(count - 2)
    return entry, (at - entry)[:, None]


def grid_corners(
    points: Float[Tensor, "n 3"], box: Any, shape: Sequence[int]
) -> tuple[Int[Tensor, "n 8"], Float[Tensor, "n 8"]]:
    """The voxels around each point, and their shares in what is interpolated there. `box` has `low` and `high`."""
    size = torch.tensor(tuple(shape), device=points.device)
    inside = ((points - box.low) / (box.high - box.low)).clamp(0, 1) * (size - 1)
    cell = inside.long().minimum(size - 2)
    within = inside - cell
    corner = torch.tensor([[c >> 2 & 1, c >> 1 & 1, c & 1] for c in range(8)], device=points.device)
    x, y, z = (cell[:, None] + corner).unbind(-1)
    share = torch.where(corner == 1, within[:, None], 1 - within[:, None]).prod(-1)
    return (x * size[1] + y) * size[2] + z, share


# -- the loops ---------------------------------------------------------------------------------------------------------


def field_of(kind: Kind, tables: Sequence[Tensor]) -> tuple[Any, ...]:
    """The tables as loops take them: arrays, and their lengths along x, y and z."""
    arrays = tuple(t.detach().contiguous().numpy() for t in tables)
    if kind.name == "lines":
        return arrays
    return (*arrays, *kind.shape, AGGREGATES.index(kind.aggregate)) if kind.name == "planes" else (*arrays, *kind.shape)


class Gradients:
    """Accumulators of all tables of a field, as loops take them, and afterwards the gradients as tensors."""

    def __init__(self, kind: Kind, tables: Sequence[Tensor]) -> None:
        self.counts = np.zeros(len(tables), np.int64)
        self.parts: list[Accumulator | np.ndarray] = []
        self.painted = kind.painted
        room = {"pairs": 2, "planes": 4}.get(kind.name)
        self.scratch = [np.empty((room, tables[0].shape[1]), np.float32)] if room else []
        for which, table in enumerate(tables):
            # what is long is touched in few places; a line is short, and all of it is added up
            rows, columns = table.shape
            long = which < kind.long
            self.parts.append(accumulator(rows, columns, which) if long else np.zeros((rows, columns), np.float32))

    @property
    def arrays(self) -> tuple[Any, ...]:
        """Of each long table values, whether a row was touched, and which were; values of the others; of planes, room
        to work in; the counts."""
        found: list[Any] = []
        for part in self.parts:
            found += [part.values, part.seen, part.touched] if isinstance(part, Accumulator) else [part]
        return (*found, *self.scratch, self.counts)

    def tensors(self) -> list[Tensor]:
        found = [
            part.taken(int(count)) if isinstance(part, Accumulator) else torch.from_numpy(part)
            for part, count in zip(self.parts, self.counts, strict=True)
        ]
        return [part.to_dense() for part in found] if self.painted else found


class _LookUp(torch.autograd.Function):
    """`looked_up` by loops."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, kind: Kind, box: Box, *tables: Tensor) -> Tensor:
        field = field_of(kind, tables)
        within = ((points.detach() - box.low) / (box.high - box.low)).clamp(0, 1).float().contiguous().numpy()
        values = np.empty((len(within), tables[0].shape[1] * kind.numbers), np.float32)
        loop = getattr(_loops(), f"{kind.name}_forward")
        side_by_side(lambda piece: loop(within[slice(*piece)], field, values[slice(*piece)]), pieces(len(within)))
        ctx.kept = kind, within, field
        ctx.tables = tables
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, of_values: Tensor) -> Any:
        kind, within, field = ctx.kept
        gradients = Gradients(kind, ctx.tables)
        getattr(_loops(), f"{kind.name}_backward")(
            within, field, of_values.float().contiguous().numpy(), gradients.arrays
        )
        return None, None, None, *gradients.tensors()


# -- the kernels -------------------------------------------------------------------------------------------------------


TILE = 1024
"""numbers, of points and channels, that a program fills"""
CHANNELS = 64
"""of these at most, so that a program has several points"""


@torch.compiler.disable
def looked_up_triton(points: Float[Tensor, "n 3"], table: Table | Planes, box: Box) -> Float[Tensor, "n k"]:
    """The look-up on a GPU. Its gradients are dense, and added up in any order."""
    if _kernels() is None:
        raise ModuleNotFoundError(NO_TRITON)
    found: Tensor = _TritonLookUp.apply(points, kind_of(table), box, *tables_of(table))  # type: ignore[no-untyped-call]
    return found


class _TritonLookUp(torch.autograd.Function):
    """`looked_up` by kernels."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, kind: Kind, box: Box, *tables: Tensor) -> Tensor:
        asked = [part.detach().float().contiguous() for part in (points, *box)]
        held = [table.detach().contiguous() for table in tables]
        values = held[0].new_empty(len(points), tables[0].shape[1] * kind.numbers)
        for name, read, _, sizes, axes in _calls(kind, held, held):
            _asked(f"{name}_forward", asked, (*read, values), sizes, axes, tables[0].shape[1])
        ctx.kind = kind
        ctx.save_for_backward(*asked, *held)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_values: Tensor) -> Any:
        asked, held = ctx.saved_tensors[:3], ctx.saved_tensors[3:]
        given, gradients = of_values.float().contiguous(), [torch.zeros_like(table) for table in held]
        for name, read, written, sizes, axes in _calls(ctx.kind, held, gradients):
            read = () if name == "voxels" else read  # what is linear in its table need not be looked up again
            _asked(f"{name}_backward", asked, (*read, given, *written), sizes, axes, held[0].shape[1])
        return None, None, None, *gradients


def _calls(kind: Kind, tables: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[tuple[Any, ...]]:
    """The kernels to run for a look-up: their name, the tables that each reads, the gradients that it adds to, how many
    entries there are along its axes, and which pair and axes these are."""
    if kind.name != "pairs":
        axes = (AGGREGATES.index(kind.aggregate),) if kind.name == "planes" else ()
        return [(kind.name, tables, gradients, kind.shape, axes)]
    sizes, calls = kind.shape, []
    for pair, ((a, b), along) in enumerate(zip(AXES, ALONG, strict=True)):
        read, written = (part[pair::3] for part in (tables, gradients))
        calls.append(("pair", read, written, (sizes[a], sizes[b], sizes[along]), (pair, a, b, along)))
    return calls


def _asked(
    name: str,
    asked: Sequence[Tensor],
    tensors: Sequence[Tensor],
    sizes: Sequence[int],
    axes: Sequence[int],
    channels: int,
) -> None:
    """Run a kernel over all points and channels. `asked` are the points and the box."""
    count, block = len(asked[0]), min(CHANNELS, 1 << (channels - 1).bit_length())
    lanes = min(256, TILE // block)
    if count:
        grid = (-(-count // lanes), -(-channels // block))
        kernel = getattr(_kernels(), name)
        launched(kernel, grid, *asked, *tensors, count, *sizes, *axes, channels, lanes, block)
