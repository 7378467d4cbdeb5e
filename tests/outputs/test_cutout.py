"""What is cut off an object: cuts and walks by hand and by trying everything; whole scenes are in `test_foreground`."""

from itertools import product

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab

from tests.oracles.still_life import still_life
from unflat.fields.voxels import places_of
from unflat.outputs.cutout import _counted, _cut, _least_cut, _looked_up, _Surface, _walked, share_of_object


def cost(own: np.ndarray, pairs: np.ndarray, joined: np.ndarray, said: np.ndarray) -> float:
    parted = own[pairs[:, 0]] != own[pairs[:, 1]]
    against = np.where(own, (-said).clip(0), said.clip(0))
    return float(joined[parted].sum() + against.sum())


@pytest.mark.parametrize("seed", range(8))
def test_no_other_cut_costs_less(seed: int) -> None:
    draw = np.random.default_rng(seed)
    pairs = np.array([(a, b) for a in range(8) for b in range(a) if draw.random() < 0.5])
    joined, said = draw.random(len(pairs)).round(2), draw.normal(size=8).round(2)
    found = cost(_least_cut(pairs, joined, said), pairs, joined, said)
    least = min(cost(np.array(own), pairs, joined, said) for own in product((False, True), repeat=8))
    assert found == pytest.approx(least, abs=1e-9)


def test_a_cut_keeps_to_what_is_certain() -> None:
    pairs = np.array([(0, 1), (1, 2), (2, 3)])
    said = np.array([1.0, 0.0, 0.0, -np.inf])
    assert _least_cut(pairs, np.array([5.0, 5.0, 0.2]), said).tolist() == [True, True, True, False]
    assert not _least_cut(pairs, np.array([5.0, 5.0, 2.0]), said).any(), "what holds more than what is said"


def test_a_walk_between_two_walls_is_a_straight_line() -> None:
    """Of harmonic functions in one dimension there is no other; nothing is said in between."""
    solid = np.ones((3, 3, 11), bool)
    solid[0] = solid[-1] = solid[:, 0] = solid[:, -1] = False
    said, weight = np.zeros(solid.shape), np.zeros(solid.shape)
    said[1, 1, 1], weight[1, 1, 1] = 1, 1e3
    weight[1, 1, 9] = 1e3
    share = _walked(solid, said, weight)
    np.testing.assert_allclose(share[1, 1, 1:10], np.linspace(1, 0, 9), atol=5e-3)
    assert (share[~solid] == 0).all()


def test_a_surface_is_the_cells_that_pixels_lie_in() -> None:
    places = np.array([(0.1, 0.1, 0.1), (0.3, 0.2, 0.4), (0.6, 0.1, 0.1), (1.1, 0.9, 0.9), (0.6, 0.6, 0.6)])
    lab = np.array([(50.0, 0, 0), (60.0, 0, 0), (55.0, 0, 0), (0.0, 0, 0), (55.0, 0, 4)])
    surface, cell_of = _Surface.of(places, lab, np.zeros(3), np.ones(3), 0.5)
    assert cell_of[0] == cell_of[1] and sorted(surface.pixels) == [1, 1, 1, 2]
    np.testing.assert_allclose(surface.lab[cell_of[0]], (55, 0, 0))
    assert surface.beyond[cell_of].tolist() == [False, False, False, True, False]
    joined = {frozenset(pair): weight for pair, weight in zip(map(tuple, surface.pairs), surface.joined, strict=True)}
    near = joined[frozenset((cell_of[0], cell_of[2]))]
    assert near == pytest.approx(1.02), "the same colour, side by side"
    assert joined[frozenset((cell_of[0], cell_of[4]))] == pytest.approx(np.exp(-0.5) / 3**0.5 + 0.02)
    middle = _Surface.of(np.array([(0.5, 0.5, 0.5), (1.0, 0.5, 0.5)]), lab[:2], np.zeros(3), np.ones(3), 0.1)[0].middle
    np.testing.assert_allclose(sorted(middle), (0, 1), atol=1e-9)


def test_colours_decide_where_place_does_not() -> None:
    """A row of cells, half of them coloured as what is beyond, of which one is in the middle and the others are equally
    far from it."""
    count = 20
    lab = np.where(np.arange(count)[:, None] < 10, (60.0, 40, 0), (60.0, -40, 0))
    pairs = np.stack([np.arange(count - 1), np.arange(1, count)], 1)
    joined = np.where(pairs[:, 0] == 9, 0.02, 1.0)
    beyond = np.arange(count) == count - 1
    surface = _Surface(lab, np.ones(count, int), np.where(np.arange(count) == 3, 0.9, 0.3), beyond, pairs, joined)
    assert _cut(surface, np.full((50, 3), (60.0, -40, 0))).tolist() == [True] * 10 + [False] * 10


def test_depth_without_colours_is_refused() -> None:
    maps = [one._replace(rgb=None) for one in still_life(views=2)]
    places = places_of((3, 3, 3), -torch.ones(3), torch.ones(3))
    with pytest.raises(ValueError, match="cutting out what stands in the middle needs pictures with colours"):
        share_of_object(maps, np.ones((3, 3, 3), bool), places)


@pytest.mark.parametrize("rgb", [(0.9, 0.05, 0.05), (1.0, 0.9, 0.0), (0.05, 0.1, 0.9)], ids=["red", "yellow", "blue"])
def test_vivid_colours_count(rgb: tuple[float, float, float]) -> None:
    lab = rgb2lab(np.full((1, 50, 3), rgb)).reshape(-1, 3)
    counts = _counted(lab, np.ones(50))
    assert counts.sum() == pytest.approx(50, rel=0.01) and (_looked_up(counts, lab) > 1e-3).all()
