"""Voxel grids: finer copies show the same, and nothing that matters counts as empty."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from unflat.fields.voxels import (
    coarse_shape,
    finer,
    finer_rows,
    grid_shape,
    kept_cells,
    occupied_cells,
    places_of,
    rows_within,
    voxels_where,
)

LOW, HIGH = torch.tensor([-1.0, -0.5, -0.25]), torch.tensor([1.0, 0.5, 0.75])


def linear(places: torch.Tensor) -> torch.Tensor:
    """What trilinear interpolation gives exactly."""
    return 2 + places @ torch.tensor([0.5, -1.0, 3.0])


def test_voxels_are_cubes_whose_outermost_lie_on_the_box() -> None:
    assert grid_shape(LOW, HIGH, 20) == (21, 11, 11)
    places = places_of((21, 11, 11), LOW, HIGH).view(21, 11, 11, 3)
    assert torch.equal(places[0, 0, 0], LOW) and torch.equal(places[-1, -1, -1], HIGH)
    torch.testing.assert_close(places[1, 1, 1] - LOW, torch.full((3,), 0.1))


def test_a_finer_grid_is_the_same_field() -> None:
    coarse, fine = (5, 4, 3), (9, 10, 5)
    values = linear(places_of(coarse, LOW, HIGH)).view(coarse)
    torch.testing.assert_close(finer(values, fine).flatten(), linear(places_of(fine, LOW, HIGH)))
    random = torch.rand(coarse)
    torch.testing.assert_close(finer(random, (9, 7, 5))[::2, ::2, ::2], random)


def test_finer_rows_are_interpolated_from_those_that_are_known(generator: torch.Generator) -> None:
    coarse, fine = (6, 5, 4), (11, 9, 10)
    everywhere = torch.arange(120, dtype=torch.int32).view(coarse)
    rows = torch.stack([linear(places_of(coarse, LOW, HIGH))] * 2, 1)
    wanted = torch.full(fine, -1, dtype=torch.int32)
    chosen = torch.rand(fine, generator=generator) < 0.3
    wanted[chosen] = torch.arange(int(chosen.sum()), dtype=torch.int32)
    expected = linear(places_of(fine, LOW, HIGH)).view(fine)[chosen]
    torch.testing.assert_close(finer_rows(rows, everywhere, wanted)[:, 0], expected)
    half = everywhere.clone()
    half[3:] = -1
    found = finer_rows(torch.ones(60, 2) * 5, half, wanted)
    known = wanted[:6]  # up to the voxel before the last known one
    assert torch.allclose(found[known[known >= 0].long()], torch.tensor(5.0))
    far = wanted[8:]
    assert (found[far[far >= 0].long()] == 0).all(), "nothing is known there"


@given(st.tuples(*[st.integers(3, 9)] * 3), st.integers(0, 10_000))
def test_no_voxel_that_holds_something_is_lost(shape: tuple[int, int, int], seed: int) -> None:
    """Every point whose interpolation has a part of such a voxel lies in an occupied cell."""
    generator = torch.Generator().manual_seed(seed)
    there = torch.rand(shape, generator=generator) < 0.05
    coarse = coarse_shape(shape)
    cells = occupied_cells(there, coarse)
    points = torch.rand(300, 3, generator=generator) * (torch.tensor(shape) - 1)
    nearest = points.long().minimum(torch.tensor(shape) - 2)
    touched = torch.zeros(300, dtype=torch.bool)
    for corner in itertools.product((0, 1), repeat=3):
        at = nearest + torch.tensor(corner)
        touched |= there[at[:, 0], at[:, 1], at[:, 2]]
    cell = (points / (torch.tensor(shape) - 1) * torch.tensor(coarse)).long().minimum(torch.tensor(coarse) - 1)
    assert cells[cell[:, 0], cell[:, 1], cell[:, 2]][touched].all()


@given(st.tuples(*[st.integers(1, 6)] * 3), st.tuples(*[st.integers(3, 11)] * 3), st.integers(0, 10_000))
def test_every_voxel_that_an_occupied_cell_is_interpolated_from_has_a_row(
    coarse: tuple[int, int, int], shape: tuple[int, int, int], seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    cells = torch.rand(coarse, generator=generator) < 0.3
    rows = rows_within(cells, shape)
    points = torch.rand(300, 3, generator=generator)
    cell = (points * torch.tensor(coarse)).long().minimum(torch.tensor(coarse) - 1)
    points = points[cells[cell[:, 0], cell[:, 1], cell[:, 2]]] * (torch.tensor(shape) - 1)
    nearest = points.long().minimum(torch.tensor(shape) - 2)
    for corner in itertools.product((0, 1), repeat=3):
        at = nearest + torch.tensor(corner)
        assert (rows[at[:, 0], at[:, 1], at[:, 2]] >= 0).all()
    held = rows[rows >= 0]
    assert sorted(held.tolist()) == list(range(len(held)))


def test_few_voxels_have_a_row_beside_those_that_need_one() -> None:
    cells = torch.zeros(8, 8, 8, dtype=torch.bool)
    cells[4, 4, 4] = True
    assert int((rows_within(cells, (17, 17, 17)) >= 0).sum()) == 3**3
    assert int((rows_within(cells, (18, 18, 18)) >= 0).sum()) <= 5**3


@pytest.mark.parametrize("coarse", [(8, 8, 8), (5, 9, 3), (16, 16, 16)])
def test_cells_of_another_size_are_in_where_they_touch_what_was_in(coarse: tuple[int, int, int]) -> None:
    cells = torch.zeros(8, 8, 8, dtype=torch.bool)
    cells[2, 5, 7] = True
    found = kept_cells(cells, coarse)
    for index in itertools.product(*map(range, coarse)):
        touches = all(
            i * 8 < (c + 1) * n and (i + 1) * 8 > c * n for i, c, n in zip(index, (2, 5, 7), coarse, strict=True)
        )
        assert bool(found[index]) == touches, index
    assert kept_cells(torch.ones(1, 1, 1, dtype=torch.bool), coarse).all()


def test_coarse_cells_are_about_two_voxels_wide() -> None:
    assert coarse_shape((129, 65, 3)) == (64, 32, 1)
    assert math.prod(coarse_shape((3, 3, 3))) == 1


def test_voxels_in_which_something_is_found() -> None:
    """A ball, asked at 4^3 places of each voxel of a box that is no cube, against every place by itself."""
    low, high, shape = torch.tensor([-1.0, -1.0, -0.5]), torch.tensor([1.0, 0.5, 1.0]), (4, 3, 5)
    found = voxels_where(lambda places: places.norm(dim=1) < 0.4, shape, low, high, looks=4)
    for index in itertools.product(*map(range, shape)):
        side = (high - low) / torch.tensor(shape)
        within = torch.tensor(list(itertools.product((0.125, 0.375, 0.625, 0.875), repeat=3)))
        places = low + (torch.tensor(index) + within) * side
        assert bool(found[index]) == bool((places.norm(dim=1) < 0.4).any()), index
    assert 0 < found.sum() < found.numel()
