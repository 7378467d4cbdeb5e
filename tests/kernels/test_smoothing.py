"""Smoothness where a step touches: the loop, its twin, and the roughness that both are the gradient of."""

from functools import partial
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from unflat.kernels import smoothing
from unflat.kernels.accumulators import flattened, sparse_rows
from unflat.kernels.smoothing import postponed, roughness_gradient, smoothed

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


def test_a_table_that_is_used_twice_is_as_rough_as_once(grid: tuple[Tensor, Tensor]) -> None:
    """Autograd adds up sparse gradients by laying their rows end to end."""
    table, row_of = grid
    parameter = table.clone().requires_grad_()
    joined = smoothed(parameter, row_of, 0.3)
    wanted = torch.zeros(len(table), table.numel() // len(table))
    for touched in (torch.tensor([5, 2]), torch.tensor([2, 9])):
        given = torch.randn(2, wanted.shape[1], generator=torch.Generator().manual_seed(int(touched[0])))
        wanted[touched] += given
        sparse = sparse_rows(touched, given, len(table))
        joined = _Given.apply(joined, flattened(sparse) if table.dim() == 1 else sparse)  # type: ignore[no-untyped-call]
    none = torch.empty(1, 0, dtype=torch.long), torch.empty(0, *table.shape[1:])
    joined.backward(torch.sparse_coo_tensor(*none, table.shape, check_invariants=True))
    rows = torch.tensor([5, 2, 9])
    wanted[rows] += 0.3 * expected(table, row_of)[rows]
    assert parameter.grad is not None
    torch.testing.assert_close(parameter.grad.to_dense().reshape(wanted.shape), wanted)


def test_roughness_can_join_later_what_by_then_is_touched(grid: tuple[Tensor, Tensor]) -> None:
    table, row_of = grid
    given = torch.zeros_like(table)
    given[3] = 1.0
    parameter = table.clone().requires_grad_()
    with postponed() as roughness:
        smoothed(parameter, row_of, 0.5).backward(given)
    assert parameter.grad is not None and torch.equal(parameter.grad, given)
    parameter.grad[8] = 2.0
    for join in roughness:
        join()
    wanted = given.reshape(len(table), -1).clone()
    wanted[8] = 2.0
    wanted[[3, 8]] += 0.5 * expected(table, row_of)[[3, 8]]
    torch.testing.assert_close(parameter.grad.reshape(wanted.shape), wanted)
    smoothed(parameter, row_of, 0.5).backward(given)
    assert len(roughness) == 1, "outside, nothing is put off"


class _Given(torch.autograd.Function):
    """Passes on what it is given, and adds a gradient of its own."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, gradient: Tensor) -> Tensor:
        ctx.gradient = gradient
        return table.view_as(table)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient + ctx.gradient, None


@pytest.mark.parametrize("refilled", [True, False], ids=["refilled", "another"])
def test_another_grid_is_looked_at_anew(refilled: bool) -> None:
    table = torch.randn(60, 2, generator=torch.Generator().manual_seed(2))
    row_of = torch.full(SHAPE, -1, dtype=torch.int32)
    for first in (0, 60):
        filled = torch.full((120,), -1, dtype=torch.int32)
        filled[first : first + 60] = torch.arange(60, dtype=torch.int32)
        if refilled:
            row_of.copy_(filled.view(SHAPE))
        else:
            row_of = filled.view(SHAPE)
        parameter = table.clone().requires_grad_()
        smoothed(parameter, row_of, 1.0).backward(sparse_rows(torch.arange(60), torch.zeros(60, 2), 60))
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad.to_dense(), expected(table, row_of))


def test_threads_take_a_part_each(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(3)
    table, row_of = torch.randn(20**3, generator=generator), torch.full((20, 20, 20), -1, dtype=torch.int32)
    touched, found = torch.randperm(20**3, generator=generator)[:3000], []
    for parts in (1, 3):
        monkeypatch.setattr(smoothing, "pieces", lambda count, parts=parts: cut(count, parts))
        parameter = table.clone().requires_grad_()
        given = flattened(sparse_rows(touched, torch.ones(3000, 1), 20**3))
        smoothed(parameter, row_of, 0.7).backward(given)
        assert parameter.grad is not None
        found.append(parameter.grad.to_dense())
    assert torch.equal(*found)
    assert not torch.equal(found[0][touched], torch.ones(3000))


def cut(count: int, parts: int) -> list[tuple[int, int]]:
    edges = [count * n // parts for n in range(parts + 1)]
    return list(pairwise(edges))


def test_without_a_weight_nothing_is_done(grid: tuple[Tensor, Tensor]) -> None:
    table, row_of = grid
    assert smoothed(table, row_of, 0.0) is table


def test_everywhere_the_same_is_smooth() -> None:
    row_of = torch.arange(4 * 5 * 6, dtype=torch.int32).view(SHAPE)
    gradient = partial(roughness_gradient, row_of=row_of, touched=torch.arange(120))
    assert not gradient(torch.ones(120, 2)).any()
    assert gradient(torch.arange(120.0)[:, None]).any()
