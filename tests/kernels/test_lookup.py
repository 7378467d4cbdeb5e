"""Tables over a box: loops against twins, and both against the tensors that they stand for, written out."""

import pytest
import torch
from torch import Tensor

from unflat.kernels.lookup import Box, Lines, Pairs, Table, Voxels, looked_up, looked_up_torch, tables_of

SHAPE = (5, 7, 6)
BOX = Box(torch.tensor([-1.0, -1.2, -0.5]), torch.tensor([1.0, 0.7, 0.9]))
BACKENDS = [looked_up, looked_up_torch]
KINDS = ["voxels", "pairs", "lines"]


def table(kind: str, channels: int, generator: torch.Generator) -> Table:
    """Random entries that have gradients."""
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
    return Lines((some(x), some(y), some(z)))


def expanded(one: Table) -> Tensor:
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
    return torch.einsum("xc,yc,zc->xyzc", *one.lines)


def points(count: int, generator: torch.Generator) -> Tensor:
    """In the box, on its faces, and a few beside it."""
    within = torch.rand(count, 3, generator=generator) * 1.2 - 0.1
    within[:20] = within[:20].round()
    return BOX.low + within * (BOX.high - BOX.low)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_it_is_the_trilinear_look_up_of_the_expanded_tensor(
    kind: str, backend: object, generator: torch.Generator
) -> None:
    one, at = table(kind, 3, generator), points(200, generator)
    grid = ((at - BOX.low) / (BOX.high - BOX.low) * 2 - 1).flip(1).view(1, -1, 1, 1, 3)
    dense = expanded(one).permute(3, 0, 1, 2)[None]
    expected = torch.nn.functional.grid_sample(dense, grid, align_corners=True, padding_mode="border")
    torch.testing.assert_close(backend(at, one, BOX), expected[0, :, :, 0, 0].T, rtol=1e-5, atol=1e-5)  # type: ignore[operator]


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
        if isinstance(one, Voxels):
            return looked_up_torch(at, Voxels(tables[0], SHAPE), box)
        if isinstance(one, Pairs):
            return looked_up_torch(at, Pairs(tables[:3], tables[3:]), box)  # type: ignore[arg-type]
        return looked_up_torch(at, Lines(tables), box)  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(values, held, fast_mode=True)


def test_long_tables_have_sparse_gradients_that_name_each_entry_once(generator: torch.Generator) -> None:
    one = table("voxels", 3, generator)
    (gradient,) = torch.autograd.grad(looked_up(points(10, generator), one, BOX).sum(), tables_of(one))
    if not gradient.is_sparse:
        pytest.skip("the twin's gradients are dense")
    rows = gradient._indices()[0]
    assert 0 < len(rows) == len(rows.unique()) <= 80
