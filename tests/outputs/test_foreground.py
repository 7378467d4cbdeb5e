"""The thing in the middle, of depth maps that are known exactly: a ball alone, on a floor, and against a wall."""

import math

import pytest
import torch
from torch import Tensor

from tests.oracles.still_life import still_life
from unflat.fields.voxels import grid_shape, places_of
from unflat.outputs.foreground import Foreground, distances_between, object_between
from unflat.outputs.fusion import DepthMap

BOX = (-1.2, -1.2, -1.2, 1.2, 1.2, 1.2)


def shape_in(maps: list[DepthMap], found: Foreground) -> tuple[Tensor, Tensor]:
    """Places around the thing that is found, and the distances that learning begins with there."""
    shape = grid_shape(found.low, found.high, 40)
    return places_of(shape, found.low, found.high), distances_between(maps, found, shape, 0.7).flatten()


def test_a_thing_alone_stays_whole() -> None:
    maps = still_life(floor=None, wall=None, radius=0.6)
    found = object_between(maps, BOX)
    assert ((found.low < -0.6) & (found.low > -0.8)).all() and ((found.high > 0.6) & (found.high < 0.8)).all()
    assert found.holds(places_of((8, 8, 8), found.low, found.high)).all(), "nothing else is in its box"
    places, apart = shape_in(maps, found)
    seen = places[:, 2] > -0.2  # from below nobody looks
    assert (apart - (places.norm(dim=1) - 0.6))[seen].abs().max() < 0.1


@pytest.mark.parametrize(
    "around",
    [{"wall": None}, {"wall": None, "tilt": math.radians(12)}, {"floor": None}, {}, {"tilt": math.radians(12)}],
    ids=["level floor", "slope", "wall", "floor and wall", "slope and wall"],
)
def test_what_it_touches_is_cut_off(around: dict[str, float | None]) -> None:
    maps = still_life(**around)  # type: ignore[arg-type]
    found = object_between(maps, BOX)
    places, apart = shape_in(maps, found)
    inside, true = apart < 0, places.norm(dim=1) < 0.5
    visible = true & (places[:, 1] < 0.2) & (places[:, 2] > -0.25)
    assert (inside & visible).sum() > 0.93 * visible.sum(), "what is seen of the ball is there"
    assert (inside & (places.norm(dim=1) > 0.62)).sum() < 0.06 * true.sum(), "and hardly anything else"
    assert not inside[places.norm(dim=1) > 1].any()


def test_a_box_of_which_all_is_the_objects() -> None:
    low, high = torch.tensor([-1.0, 0, 0]), torch.tensor([1.0, 2, 3])
    whole = Foreground.whole(low, high)
    points = torch.tensor([[0.0, 1, 1], [-1, 0, 0], [1, 2, 3], [0, 1, 3.1], [-1.1, 1, 1]])
    assert whole.holds(points).tolist() == [True, True, True, False, False]


def test_halfway_between_two_things_one_ends_and_the_other_begins() -> None:
    own = torch.zeros(3, 2, 2)
    own[0] = 1
    corners = torch.tensor([[0.0, 0, 0], [2, 1, 1]])
    found = Foreground(corners[0], corners[1], corners, own)
    points = torch.tensor([[0.0, 0.5, 0.5], [0.45, 0.5, 0.5], [0.55, 0.5, 0.5], [2, 0, 1]])
    assert found.holds(points).tolist() == [True, True, False, False]


def test_without_anything_in_the_middle() -> None:
    with pytest.raises(ValueError, match=r"nothing stands in the middle.*walk around the object.*or give masks"):
        object_between(still_life(floor=None, wall=None, radius=1e-3), BOX)
