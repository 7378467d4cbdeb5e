"""What tables over a box hold at points, with gradients: voxels, planes with lines, and lines alone.

Three ways to keep a field of c numbers over a box, the outermost entries on its faces:

Voxels   values [x, y, z, c], trilinear
Pairs    planes and lines (Chen et al. 2022, TensoRF, eq. 5, vector-matrix): of each pair the plane is bilinear in two
         axes and the line linear in the third, and their products are what the field is; the three pairs one after
         the other make 3 c numbers
Lines    one for each axis (the same, eq. 2, CP): the product of all three

Each has loops in numba (CPU), whose gradients hold the touched entries, and a readable PyTorch twin.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.kernels.accumulators import Accumulator, accumulator
from unflat.kernels.loops import compiled_loops
from unflat.kernels.threads import pieces, side_by_side

_loops = partial(compiled_loops, "lookup_cpu")

AXES = ((0, 1), (0, 2), (1, 2))
"""the axes of each pair's plane, rows first"""
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


Table = Voxels | Pairs | Lines


def looked_up(points: Float[Tensor, "n 3"], table: Table, box: Box) -> Float[Tensor, "n k"]:
    """What the table holds at points of the box; at points beside it, what it holds at its faces. Gradients for the
    table only."""
    loops = _loops()
    tables = tables_of(table)
    if loops is None or points.device.type != "cpu" or tables[0].dtype != torch.float32:
        return looked_up_torch(points, table, box)
    found: Tensor = _LookUp.apply(points, kind_of(table), box, *tables)  # type: ignore[no-untyped-call]
    return found


def tables_of(table: Table) -> tuple[Tensor, ...]:
    """Its tensors, for a gradient."""
    if isinstance(table, Voxels):
        return (table.values,)
    return (*table.planes, *table.lines) if isinstance(table, Pairs) else table.lines


def kind_of(table: Table) -> Any:
    """What loops need to know of a table beside its tensors."""
    return table.shape if isinstance(table, Voxels) else type(table)


# -- the readable twins ------------------------------------------------------------------------------------------------


def looked_up_torch(points: Float[Tensor, "n 3"], table: Table, box: Box) -> Float[Tensor, "n k"]:
    """All three ways by gathering."""
    if isinstance(table, Voxels):
        place, share = grid_corners(points, box, table.shape)
        return (table.values[place] * share[..., None]).sum(1)
    within = ((points - box.low) / (box.high - box.low)).clamp(0, 1)
    if isinstance(table, Lines):
        x, y, z = (_on_line(line, within[:, axis]) for axis, line in enumerate(table.lines))
        return x * y * z
    lengths = plane_sides(table)
    found = []
    for plane, line, (a, b), along in zip(table.planes, table.lines, AXES, ALONG, strict=True):
        rows, columns = lengths[a], lengths[b]
        square = plane.view(rows, columns, -1)
        (i, fi), (j, fj) = _between(within[:, a], rows), _between(within[:, b], columns)
        near = square[i, j] * (1 - fj) + square[i, j + 1] * fj
        far = square[i + 1, j] * (1 - fj) + square[i + 1, j + 1] * fj
        found.append((near * (1 - fi) + far * fi) * _on_line(line, within[:, along]))
    return torch.cat(found, 1)


def plane_sides(table: Pairs) -> tuple[int, int, int]:
    """Entries along x, y and z."""
    x, y, z = (len(table.lines[ALONG.index(axis)]) for axis in range(3))
    return x, y, z


def _on_line(line: Float[Tensor, "l c"], within: Float[Tensor, "n"]) -> Float[Tensor, "n c"]:
    i, f = _between(within, len(line))
    return line[i] * (1 - f) + line[i + 1] * f


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


def field_of(kind: Any, tables: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Which loops are meant, and the tables as they take them: arrays, and their lengths along x, y and z."""
    arrays = tuple(t.detach().numpy() for t in tables)
    if isinstance(kind, tuple):
        return "voxels", (*arrays, *kind)
    if kind is Pairs:
        return "pairs", (*arrays, *plane_sides(Pairs(tuple(tables[:3]), tuple(tables[3:]))))
    return "lines", arrays


class Gradients:
    """Accumulators of all tables of a field, as loops take them, and afterwards the gradients as tensors."""

    def __init__(self, kind: Any, tables: Sequence[Tensor]) -> None:
        self.counts = np.zeros(len(tables), np.int64)
        self.parts: list[Accumulator | np.ndarray] = []
        self.scratch = [np.empty((2, tables[0].shape[1]), np.float32)] if kind is Pairs else []
        for which, table in enumerate(tables):
            # what is long is touched in few places; a line is short, and all of it is added up
            long = isinstance(kind, tuple) or (kind is Pairs and which < len(AXES))
            rows, columns = table.shape
            self.parts.append(accumulator(rows, columns, which) if long else np.zeros((rows, columns), np.float32))

    @property
    def arrays(self) -> tuple[Any, ...]:
        """Of each long table values, whether a row was touched, and which were; values of the others; of pairs, room to
        work in; the counts."""
        found: list[Any] = []
        for part in self.parts:
            found += [part.values, part.seen, part.touched] if isinstance(part, Accumulator) else [part]
        return (*found, *self.scratch, self.counts)

    def tensors(self) -> list[Tensor]:
        return [
            part.taken(int(count)) if isinstance(part, Accumulator) else torch.from_numpy(part)
            for part, count in zip(self.parts, self.counts, strict=True)
        ]


class _LookUp(torch.autograd.Function):
    """`looked_up` by loops."""

    @staticmethod
    def forward(ctx: Any, points: Tensor, kind: Any, box: Box, *tables: Tensor) -> Tensor:
        name, field = field_of(kind, tables)
        within = ((points.detach() - box.low) / (box.high - box.low)).clamp(0, 1).float().contiguous().numpy()
        channels = tables[0].shape[1] * (3 if name == "pairs" else 1)
        values = np.empty((len(within), channels), np.float32)
        loop = getattr(_loops(), f"{name}_forward")
        side_by_side(lambda piece: loop(within[slice(*piece)], field, values[slice(*piece)]), pieces(len(within)))
        ctx.kept = kind, within, field
        ctx.tables = tables
        return torch.from_numpy(values)

    @staticmethod
    def backward(ctx: Any, of_values: Tensor) -> Any:
        kind, within, field = ctx.kept
        name, _ = field_of(kind, ctx.tables)
        gradients = Gradients(kind, ctx.tables)
        getattr(_loops(), f"{name}_backward")(within, field, of_values.float().contiguous().numpy(), gradients.arrays)
        return None, None, None, *gradients.tensors()
