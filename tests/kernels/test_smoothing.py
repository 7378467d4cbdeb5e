"""Smoothness where a step touches: the loop, its twin, and the roughness that both are the gradient of."""

from functools import partial

import pytest
import torch
from torch import Tensor

from unflat.kernels import smoothing
from unflat.kernels.accumulators import flattened, sparse_rows
from unflat.kernels.smoothing import roughness_gradient, smoothed

SHAPE = (4, 5, 6)


def roughness(grid: Tensor, there: Tensor) -> Tensor:
    """Huber's function of all pairs side by side of which both are there. [x, y, z, c] and [x, y, z]"""
    total = grid.new_zeros(())
    for axis in range(3):
        a, b = (grid.narrow(axis, first, grid.shape[axis] - 1) for first in (0, 1))
        both = there.narrow(axis, 0, there.shape[axis] - 1) & there.narrow(axis, 1, there.shape[axis] - 1)
        pairs = torch.nn.functional.huber_loss(a, b, reduction="none")
        total = total + (pairs * both[..., None]).sum()
    return total


@pytest.fixture(params=[True, False], ids=["every voxel", "some voxels"])
def grid(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """A table and the row that each voxel has."""
    generator = torch.Generator().manual_seed(0)
    if request.param:  # a number for each
        table = 2 * torch.randn(4 * 5 * 6, generator=generator)
        return table, torch.full(SHAPE, -1, dtype=torch.int32)
    there = torch.rand(SHAPE, generator=generator) < 0.7
    row_of = torch.full(SHAPE, -1, dtype=torch.int32)
    row_of[there] = torch.arange(int(there.sum()), dtype=torch.int32)
    return 2 * torch.randn(int(there.sum()), 3, generator=generator), row_of


def expected(table: Tensor, row_of: Tensor) -> Tensor:
    """The gradient of the whole roughness, of each row. [rows, c]"""
    there = torch.ones(SHAPE, dtype=torch.bool) if table.dim() == 1 else row_of >= 0
    values = table.reshape(len(table), -1).clone().requires_grad_()
    filled = torch.zeros(*SHAPE, values.shape[1]).index_put((there,), values)
    return torch.autograd.grad(roughness(filled, there), values)[0]


@pytest.mark.parametrize("loops", [True, False], ids=["loop", "twin"])
def test_what_is_touched_gains_the_gradient_of_roughness(
    grid: tuple[Tensor, Tensor], loops: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not loops:
        monkeypatch.setattr(smoothing, "_loops", lambda: None)
    table, row_of = grid
    touched, weight = torch.tensor([7, 0, 33, 12]), 0.3
    given = torch.randn(4, table.numel() // len(table), generator=torch.Generator().manual_seed(1))
    sparse = sparse_rows(touched, given.clone(), len(table))
    parameter = table.clone().requires_grad_()
    joined = smoothed(parameter, row_of, weight)
    assert torch.equal(joined, parameter)
    joined.backward(flattened(sparse) if table.dim() == 1 else sparse)
    found = parameter.grad
    assert found is not None and found.is_sparse
    assert torch.equal(found._indices()[0], touched)
    wanted = given + weight * expected(table, row_of)[touched]
    torch.testing.assert_close(found._values().reshape(wanted.shape), wanted)
    assert torch.equal(sparse._values(), given), "what the pictures gave is left as it was"


def test_of_a_dense_gradient_what_is_not_zero_is_touched(grid: tuple[Tensor, Tensor]) -> None:
    table, row_of = grid
    parameter = table.clone().requires_grad_()
    given = torch.zeros_like(table)
    given[3] = 1.0
    smoothed(parameter, row_of, 0.5).backward(given)
    assert parameter.grad is not None
    wanted = given.reshape(len(table), -1).clone()
    wanted[3] += 0.5 * expected(table, row_of)[3]
    torch.testing.assert_close(parameter.grad.reshape(wanted.shape), wanted)


def test_without_a_weight_nothing_is_done(grid: tuple[Tensor, Tensor]) -> None:
    table, row_of = grid
    assert smoothed(table, row_of, 0.0) is table


def test_everywhere_the_same_is_smooth() -> None:
    row_of = torch.arange(4 * 5 * 6, dtype=torch.int32).view(SHAPE)
    gradient = partial(roughness_gradient, row_of=row_of, touched=torch.arange(120))
    assert not gradient(torch.ones(120, 2)).any()
    assert gradient(torch.arange(120.0)[:, None]).any()
