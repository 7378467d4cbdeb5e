"""Hash grids: how large they are, and how they begin."""

import itertools

import pytest
import torch

from unflat.fields.hashgrid import BEGINS, HashGrid
from unflat.kernels.hash_lookup import hash_looked_up, levels_of
from unflat.kernels.lookup import Box


def test_the_published_grid_has_the_published_size() -> None:
    """Section 3: 16 levels from 16 to 2048 cells, b = 1.38, of 2 numbers in at most 2^19 rows: 12.2 million numbers."""
    grid = HashGrid(16, 2, 19, 16, 2048)
    cells = grid.cells
    assert len(cells) == 16 and (cells[0], cells[-1]) == (16, 2048)
    assert all(b / a == pytest.approx(1.3819, rel=0.04) for a, b in itertools.pairwise(cells))
    assert grid.values.shape[0] == pytest.approx(6.10e6, rel=2e-3)
    assert grid.values.numel() == pytest.approx(12.2e6, rel=2e-3)
    dense = [count == (n + 1) ** 3 for n, (_, count) in zip(cells, levels_of(cells, grid.most), strict=True)]
    assert dense == [True] * 5 + [False] * 11


@pytest.mark.parametrize("levels, finest", [(8, 2048), (5, 256), (6, 512)])
def test_a_whole_growth_gives_whole_levels(levels: int, finest: int) -> None:
    """b = 2: what is rounded off must not make 63 cells of 64."""
    growth = (finest / 16) ** (1 / (levels - 1))
    assert growth == pytest.approx(2)
    assert HashGrid(levels, 4, 10, 16, finest).cells == tuple(16 * 2**level for level in range(levels))


def test_one_level_is_the_coarsest() -> None:
    assert HashGrid(1, 2, 10, 16, 64).cells == (16,)


def test_entries_begin_next_to_nothing() -> None:
    """Uniformly between -1e-4 and 1e-4."""
    values = HashGrid(4, 2, 12, 4, 64).values.detach()
    assert values.abs().max() <= BEGINS == 1e-4
    assert float(values.mean()) == pytest.approx(0, abs=5e-6)
    assert float(values.std()) == pytest.approx(1e-4 / 3**0.5, rel=0.03)


def test_it_is_looked_up_and_learns() -> None:
    grid, box = HashGrid(3, 2, 10, 4, 32), Box(torch.full((3,), -1.0), torch.full((3,), 1.0))
    found = hash_looked_up(torch.zeros(5, 3), grid.table, box)
    assert found.shape == (5, 6)
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert grid.values.grad is not None
