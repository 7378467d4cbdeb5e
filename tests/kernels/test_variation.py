"""Total variation of some voxels: the loop and the twin against brute force."""

import math

import pytest
import torch
from torch import Tensor

from unflat.kernels import variation
from unflat.kernels.accumulators import flattened, marks, sparse_rows
from unflat.kernels.variation import Asked, penalty, varied

SHAPE = (4, 5, 6)
SOME = Asked(first=100, number=37, variation=0.3, sparsity=0.2)
"""beyond the last voxel and on from the first"""


@pytest.fixture(params=[True, False], ids=["every voxel", "some voxels"])
def grid(request: pytest.FixtureRequest) -> tuple[Tensor, Tensor]:
    """A table and the row that each voxel has."""
    generator = torch.Generator().manual_seed(0)
    if request.param:
        return 2 * torch.randn(4 * 5 * 6, generator=generator), torch.full(SHAPE, -1, dtype=torch.int32)
    there = torch.rand(SHAPE, generator=generator) < 0.7
    row_of = torch.full(SHAPE, -1, dtype=torch.int32)
    row_of[there] = torch.arange(int(there.sum()), dtype=torch.int32)
    return 2 * torch.randn(int(there.sum()), 3, generator=generator), row_of


def by_hand(table: Tensor, row_of: Tensor, asked: Asked) -> float:
    """Voxel by voxel and channel by channel."""
    values, total, sparse = table.reshape(len(table), -1), 0.0, 0.0
    known = {}
    for n in range(row_of.numel()):
        place = (n // 30, n // 6 % 5, n % 6)
        row = n if table.dim() == 1 else int(row_of[place])
        if row >= 0:
            known[place] = values[row].tolist()
    for n in range(asked.number):
        at = (asked.first + n) % 120
        i, j, k = at // 30, at // 6 % 5, at % 6
        if (i, j, k) not in known:
            continue
        for c, own in enumerate(known[i, j, k]):
            others = [known.get(place) for place in ((i + 1, j, k), (i, j + 1, k), (i, j, k + 1))]
            total += math.sqrt(sum((other[c] - own) ** 2 for other in others if other is not None) + 1e-9)
            sparse += math.log(1 + 2 * max(own, 0.0) ** 2)
    return asked.variation * total / asked.number + asked.sparsity * sparse


def test_the_twin_is_what_brute_force_says(grid: tuple[Tensor, Tensor]) -> None:
    table, row_of = grid
    found = penalty(table.view(len(table), -1), row_of, SOME)
    assert found.item() == pytest.approx(by_hand(table, row_of, SOME), rel=1e-5)


@pytest.mark.parametrize("kind", ["loop", "twin", "dense"])
def test_the_gradient_gains_that_of_the_penalty(
    grid: tuple[Tensor, Tensor], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By finite differences of brute force, in rows that pictures touch, in others, and in both."""
    if kind == "twin":
        monkeypatch.setattr(variation, "_loops", lambda: None)
    table, row_of = grid
    touched = torch.tensor([7, 0, 33, 12])
    given = torch.randn(4, table.numel() // len(table), generator=torch.Generator().manual_seed(1))
    sparse = sparse_rows(touched, given.clone(), len(table))
    wanted = sparse.to_dense()
    for row in (0, 5, 7, 40, len(table) - 1):
        for c in range(wanted.shape[1]):
            sides = []
            for side in (1e-3, -1e-3):
                moved = table.double().clone()
                moved.view(len(table), -1)[row, c] += side
                sides.append(by_hand(moved, row_of, SOME))
            wanted[row, c] += (sides[0] - sides[1]) / 2e-3
    parameter = table.clone().requires_grad_()
    joined = varied(parameter, row_of, SOME)
    assert torch.equal(joined, parameter)
    handed = flattened(sparse) if table.dim() == 1 else sparse
    joined.backward(handed.to_dense() if kind == "dense" else handed)
    found = parameter.grad
    assert found is not None
    if kind == "loop":
        rows = found._indices()[0]
        assert found.is_sparse and len(rows) == len(rows.unique())
        assert torch.equal(sparse._values(), given), "what the pictures gave is left as it was"
        assert not marks(len(table)).any()
    found = found.to_dense().view(wanted.shape)
    for row in (0, 5, 7, 40, len(table) - 1, 33, 12):
        if row in (33, 12) and row not in (0, 5, 7, 40):
            continue
        torch.testing.assert_close(found[row], wanted[row], rtol=2e-3, atol=2e-3)


def test_loop_and_twin_agree_everywhere(grid: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    table, row_of = grid
    found = []
    for loops in (True, False):
        if not loops:
            monkeypatch.setattr(variation, "_loops", lambda: None)
        parameter = table.clone().requires_grad_()
        some = sparse_rows(torch.tensor([3]), torch.ones(1, table.numel() // len(table)), len(table))
        varied(parameter, row_of, SOME).backward(flattened(some) if table.dim() == 1 else some)
        assert parameter.grad is not None
        found.append(parameter.grad.to_dense())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_without_weights_or_voxels_nothing_is_done(grid: tuple[Tensor, Tensor]) -> None:
    table, row_of = grid
    for asked in (Asked(0, 10, 0.0), Asked(0, 0, 1.0)):
        assert varied(table, row_of, asked) is table
