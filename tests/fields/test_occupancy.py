"""What cells remember of where there was something: against a loop over the cells."""

import torch
from torch import Tensor

from unflat.fields.occupancy import looked_again, occupied_lately

LOW, HIGH, SHAPE = torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([1.0, 3.0, 2.5]), (2, 3, 4)


def test_cells_that_are_asked_keep_what_is_more_and_all_fade(generator: torch.Generator) -> None:
    lately, cells = torch.rand(SHAPE, generator=generator), torch.tensor([[0, 0, 0], [1, 2, 3], [1, 0, 2]])
    asked: list[Tensor] = []

    def value_of(points: Tensor) -> Tensor:
        asked.append(points)
        return points.sum(1).abs() / 5

    found = looked_again(lately, cells, LOW, HIGH, value_of, 0.9, torch.Generator().manual_seed(3))
    side = (HIGH - LOW) / torch.tensor(SHAPE)
    expected = 0.9 * lately
    for cell, point in zip(cells, asked[0], strict=True):
        assert (point >= LOW + cell * side).all() and (point <= LOW + (cell + 1) * side).all(), "somewhere in its cell"
        expected[tuple(cell.tolist())] = max(expected[tuple(cell.tolist())], point.sum().abs() / 5)
    torch.testing.assert_close(found, expected)
    again = looked_again(lately, cells, LOW, HIGH, value_of, 0.9, torch.Generator().manual_seed(3))
    assert torch.equal(again, found), "where it is asked depends on the seed only"


def test_occupied_is_what_remembers_more_than_the_limit_or_than_the_mean() -> None:
    lately = torch.tensor([0.0, 0.002, 0.004, 0.5]).view(1, 1, 4)
    everywhere = torch.ones(1, 1, 4, dtype=torch.bool)
    assert occupied_lately(lately, everywhere, 0.003).flatten().tolist() == [False, False, True, True]
    assert occupied_lately(lately, everywhere, 10.0).flatten().tolist() == [False, False, False, True], "the mean"
    allowed = torch.tensor([True, True, True, False]).view(1, 1, 4)
    assert occupied_lately(lately, allowed, 10.0).flatten().tolist() == [False, False, True, False], (
        "of what is allowed"
    )
