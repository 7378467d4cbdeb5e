"""Random places of cells: where they lie, how many each cell has, and that they depend on seed and step alone."""

import torch

from unflat.data.places import places_drawn


def test_each_cell_has_as_many_places_anywhere_in_it() -> None:
    number, corner = torch.arange(5), torch.full((5, 3), -1.0)
    batch = next(places_drawn(number, corner, 2.0, 200, seed=1))
    assert len(batch) == 1000 and torch.bincount(batch.number).tolist() == [200] * 5
    assert batch.local.abs().max() <= 1
    torch.testing.assert_close(batch.local.mean(0), torch.zeros(3), rtol=0, atol=0.08)
    torch.testing.assert_close(batch.local.var(0), torch.full((3,), 1 / 3), rtol=0, atol=0.03)


def test_directions_are_as_often_anywhere() -> None:
    batch = next(places_drawn(torch.arange(4), torch.zeros(4, 3), 1.0, 1000, seed=2))
    torch.testing.assert_close(batch.sights.norm(dim=1), torch.ones(4000))
    torch.testing.assert_close(batch.sights.T @ batch.sights / 4000, torch.eye(3) / 3, rtol=0, atol=0.03)


def test_places_lie_in_the_cubes_that_were_named() -> None:
    number, corner = torch.tensor([0, 0, 1]), torch.tensor([[-1.0, -1.0, -1.0], [0.5, 0.5, 0.5], [0.0, 0.0, 0.0]])
    batch = next(places_drawn(number, corner, 0.5, 300, seed=3))
    assert torch.bincount(batch.number).tolist() == [400, 200]
    inside = [((batch.local >= c) & (batch.local <= c + 0.5)).all(1) & (batch.number == n)
              for n, c in zip(number, corner, strict=True)]  # fmt: skip
    assert [int(cube.sum()) for cube in inside] == [200] * 3


def test_batches_depend_on_seed_and_step_alone() -> None:
    given = torch.arange(3), torch.zeros(3, 3), 1.0, 10
    whole = places_drawn(*given, seed=4)
    third = [next(whole) for _ in range(3)][2]
    again, other = next(places_drawn(*given, seed=4, start=2)), next(places_drawn(*given, seed=5, start=2))
    assert torch.equal(third.local, again.local) and torch.equal(third.sights, again.sights)
    assert not torch.equal(third.local, other.local)
