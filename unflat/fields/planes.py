"""Planes and lines over a box, as TensoRF factors a tensor: begun, made finer, and cut.

A plane is a table [rows * columns, c] over two axes, a line one [entries, c] over one; the outermost entries lie on the
box's faces (see `kernels.lookup`).
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from unflat.kernels.lookup import ALONG, AXES

Shape = tuple[int, int, int]


def plane_lengths(shape: Shape) -> list[int]:
    """Entries of the three planes over a grid of this shape."""
    return [shape[a] * shape[b] for a, b in AXES]


def line_lengths(shape: Shape) -> list[int]:
    """Entries of the three lines that belong to the planes."""
    return [shape[axis] for axis in ALONG]


def finer_planes(planes: Sequence[Float[Tensor, "_ c"]], old: Shape, new: Shape) -> list[Tensor]:
    """The same planes over a grid of another shape, bilinear; exact where entries meet."""
    found = []
    for plane, (a, b) in zip(planes, AXES, strict=True):
        square = plane.view(1, old[a], old[b], -1).permute(0, 3, 1, 2)
        square = interpolate(square, (new[a], new[b]), mode="bilinear", align_corners=True)
        found.append(square[0].flatten(1).T.contiguous())
    return found


def finer_lines(lines: Sequence[Float[Tensor, "_ c"]], lengths: Sequence[int]) -> list[Tensor]:
    """The same lines with other numbers of entries, linear."""
    return [
        interpolate(line.T[None], length, mode="linear", align_corners=True)[0].T.contiguous()
        for line, length in zip(lines, lengths, strict=True)
    ]


def cut_planes(planes: Sequence[Float[Tensor, "_ c"]], old: Shape, first: Shape, last: Shape) -> list[Tensor]:
    """The planes' entries from `first` to `last` - 1 along each axis: the box shrinks to theirs."""
    return [
        plane.view(old[a], old[b], -1)[first[a] : last[a], first[b] : last[b]].flatten(0, 1).contiguous()
        for plane, (a, b) in zip(planes, AXES, strict=True)
    ]


def cut_lines(lines: Sequence[Float[Tensor, "_ c"]], first: Sequence[int], last: Sequence[int]) -> list[Tensor]:
    """The lines' entries from `first` to `last` - 1."""
    return [line[a:b].clone() for line, a, b in zip(lines, first, last, strict=True)]


def variation(planes: Sequence[Float[Tensor, "_ c"]], shape: Shape) -> Float[Tensor, ""]:
    """TensoRF's total variation: of each plane the mean squared difference of neighbours along rows and along columns,
    added up, times 0.02."""
    total = planes[0].new_zeros(())
    for plane, (a, b) in zip(planes, AXES, strict=True):
        square = plane.view(shape[a], shape[b], -1)
        total = total + square.diff(dim=0).square().mean() + square.diff(dim=1).square().mean()
    return 0.02 * total
