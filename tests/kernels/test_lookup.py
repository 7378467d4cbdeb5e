"""Tables over a box: loops against twins, and both against the tensors that they stand for, written out."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from unflat.kernels.lookup import (
    AGGREGATES,
    Box,
    Lines,
    Pairs,
    Planes,
    Table,
    Voxels,
    looked_up,
    looked_up_torch,
    tables_of,
)

SHAPE = (5, 7, 6)
BOX = Box(torch.tensor([-1.0, -1.2, -0.5]), torch.tensor([1.0, 0.7, 0.9]))
BACKENDS = [looked_up, looked_up_torch]
KINDS = ["voxels", "pairs", "lines", *AGGREGATES]


def table(kind: str, channels: int, generator: torch.Generator) -> Table | Planes:
    """Random entries that have gradients; of planes by what is made of their numbers."""
    (x, y, z), c = SHAPE, channels

    def some(*rows: int) -> Tensor:
        count = 1
        for row in rows:
            count *= row
        return torch.randn(count, c, generator=generator).requires_grad_()

    if kind == "voxels":
        return Voxels(some(x, y, z), SHAPE)
    if kind == "pairs":
        return Pairs((some(x, y), some(x, z), some(y, z)), (some(z), some(y), some(x)))
    if kind == "lines":
        return Lines((some(x), some(y), some(z)))
    return Planes((some(x, y), some(x, z), some(y, z)), SHAPE, kind)  # type: ignore[arg-type]


def rebuilt(one: Table | Planes, tables: Sequence[Tensor]) -> Table | Planes:
    """A table of the same kind with other tensors."""
    if isinstance(one, Voxels):
        return Voxels(tables[0], one.shape)
    if isinstance(one, Pairs):
        return Pairs(tuple(tables[:3]), tuple(tables[3:]))  # type: ignore[arg-type]
    return one._replace(planes=tuple(tables)) if isinstance(one, Planes) else Lines(tuple(tables))  # type: ignore[arg-type]


def expanded(one: Table | Planes) -> Tensor:
    """The values of all voxels, [x y z k], that the table stands for."""
    x, y, z = SHAPE
    if isinstance(one, Voxels):
        return one.values.view(x, y, z, -1)
    if isinstance(one, Pairs):
        (xy, xz, yz), (lz, ly, lx) = one.planes, one.lines
        parts = (
            torch.einsum("xyc,zc->xyzc", xy.view(x, y, -1), lz),
            torch.einsum("xzc,yc->xyzc", xz.view(x, z, -1), ly),
            torch.einsum("yzc,xc->xyzc", yz.view(y, z, -1), lx),
        )
        return torch.cat(parts, -1)
    if isinstance(one, Lines):
        return torch.einsum("xc,yc,zc->xyzc", *one.lines)
    xy, xz, yz = one.planes
    parts = torch.broadcast_tensors(xy.view(x, y, 1, -1), xz.view(x, 1, z, -1), yz.view(1, y, z, -1))
    if one.aggregate == "concat":
        return torch.cat(parts, -1)
    return sum(parts) if one.aggregate == "sum" else parts[0] * parts[1] * parts[2]  # type: ignore[return-value]


def points(count: int, generator: torch.Generator) -> Tensor:
    """In the box, on its faces, and a few beside it."""
    within = torch.rand(count, 3, generator=generator) * 1.2 - 0.1
    within[:20] = within[:20].round()
    return BOX.low + within * (BOX.high - BOX.low)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "product"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_the_trilinear_look_up_of_the_expanded_tensor(
    kind: str, backend: object, generator: torch.Generator
) -> None:
    one, at = table(kind, 3, generator), points(200, generator)
    grid = ((at - BOX.low) / (BOX.high - BOX.low) * 2 - 1).flip(1).view(1, -1, 1, 1, 3)
    dense = expanded(one).permute(3, 0, 1, 2)[None]
    expected = torch.nn.functional.grid_sample(dense, grid, align_corners=True, padding_mode="border")
    torch.testing.assert_close(backend(at, one, BOX), expected[0, :, :, 0, 0].T, rtol=1e-5, atol=1e-5)  # type: ignore[operator]


@pytest.mark.parametrize("kind", AGGREGATES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_planes_are_pictures_at_the_three_projections(kind: str, backend: object, generator: torch.Generator) -> None:
    """A product of bilinear planes is not trilinear, so that it is asked of torch plane by plane."""
    one, at = table(kind, 5, generator), points(200, generator)
    assert isinstance(one, Planes)
    there, parts = (at - BOX.low) / (BOX.high - BOX.low) * 2 - 1, []
    for plane, (a, b) in zip(one.planes, ((0, 1), (0, 2), (1, 2)), strict=True):
        picture = plane.view(1, SHAPE[a], SHAPE[b], -1).permute(0, 3, 1, 2)
        grid = there[:, [b, a]].view(1, -1, 1, 2)
        found = torch.nn.functional.grid_sample(picture, grid, align_corners=True, padding_mode="border")
        parts.append(found[0, :, :, 0].T)
    stacked = torch.stack(parts)
    expected = {"sum": stacked.sum(0), "product": stacked.prod(0), "concat": torch.cat(parts, 1)}[kind]
    torch.testing.assert_close(backend(at, one, BOX), expected, rtol=1e-5, atol=1e-5)  # type: ignore[operator]


def test_each_plane_changes_along_its_own_two_axes_alone(generator: torch.Generator) -> None:
    """Three different pairs: EG3D's released code repeats one of them and leaves y and z out."""
    at = points(50, generator).clamp(BOX.low + 1e-3, BOX.high - 1e-3)
    for number, third in enumerate((2, 1, 0)):
        zeros = [torch.zeros(a * b, 2) for a, b in ((5, 7), (5, 6), (7, 6))]
        zeros[number] = torch.randn(zeros[number].shape, generator=generator)
        one = Planes((zeros[0], zeros[1], zeros[2]), SHAPE)
        for axis in range(3):
            moved = at.clone()
            moved[:, axis] = BOX.low[axis] + 0.3
            same = torch.isclose(looked_up(moved, one, BOX), looked_up(at, one, BOX), atol=1e-6).all()
            assert bool(same) == (axis == third)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 4])
def test_gradients_of_the_loops_are_the_twins(kind: str, channels: int, generator: torch.Generator) -> None:
    one, at = table(kind, channels, generator), points(100, generator)
    weight = torch.randn(looked_up_torch(at, one, BOX).shape, generator=generator)
    ours, theirs = (torch.autograd.grad((f(at, one, BOX) * weight).sum(), tables_of(one)) for f in BACKENDS)  # type: ignore[operator]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.to_dense() if a.is_sparse else a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_the_twins_are_those_of_finite_differences(kind: str, generator: torch.Generator) -> None:
    one, at = table(kind, 2, generator), points(15, generator).double()
    box = Box(BOX.low.double(), BOX.high.double())
    held = [t.detach().double().requires_grad_() for t in tables_of(one)]

    def values(*tables: Tensor) -> Tensor:
        return looked_up_torch(at, rebuilt(one, tables), box)

    assert torch.autograd.gradcheck(values, held, fast_mode=True)


@pytest.mark.parametrize("kind, corners", [("voxels", 8), *((kind, 4) for kind in AGGREGATES)])
def test_long_tables_have_sparse_gradients_that_name_each_entry_once(
    kind: str, corners: int, generator: torch.Generator
) -> None:
    one = table(kind, 3, generator)
    for gradient in torch.autograd.grad(looked_up(points(10, generator), one, BOX).sum(), tables_of(one)):
        if not gradient.is_sparse:
            pytest.skip("the twin's gradients are dense")
        rows = gradient._indices()[0]
        assert 0 < len(rows) == len(rows.unique()) <= 10 * corners


@pytest.mark.parametrize("kind", AGGREGATES)
def test_gradients_flow_on_through_what_has_painted_planes(kind: str, generator: torch.Generator) -> None:
    one, at = table(kind, 3, generator), points(60, generator)
    assert isinstance(one, Planes)
    found = []
    for backend in BACKENDS:
        painted = [(2 * part.T.reshape(3, -1, 1)).squeeze(-1).T for part in one.planes]
        values = backend(at, rebuilt(one._replace(painted=True), painted), BOX)
        found.append(torch.autograd.grad(values.square().sum(), one.planes))
    for a, b in zip(*found, strict=True):
        assert not a.is_sparse
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-3)
