"""Patches: where they are, how large and how opaque, and what they leave alone."""

from dataclasses import dataclass

import numpy as np
import pytest

from unflat.data.kinds import Photos
from unflat.worlds import patched
from unflat.worlds.faces import Faces
from unflat.worlds.patched import Patched, with_patch
from unflat.worlds.source import PhotoSource

SIZE = 40


@dataclass(frozen=True)
class Grey:
    """Grey photos with a depth."""

    count: int = 3
    split: str = "train"
    grey: int = 100

    def photos(self) -> Photos:
        rgb = np.full((self.count, SIZE, SIZE, 3), self.grey, np.uint8)
        depth = np.ones((self.count, SIZE, SIZE), np.float32)
        return Photos(rgb, [f"{self.split}/{i}" for i in range(self.count)], depth=depth)


def test_a_patch_is_one_rectangle_of_one_colour_with_sides_and_opacity_in_their_limits() -> None:
    """On black and on white the same patch differs by what shines through, in every channel alike."""
    black, white = np.zeros((SIZE, SIZE, 3), np.uint8), np.full((SIZE, SIZE, 3), 255, np.uint8)
    sides, opacities = [], []
    for seed in range(300):
        dark, light = (with_patch(photo, np.random.default_rng(seed)).astype(int) for photo in (black, white))
        through = (light - dark)[..., 0]
        rows, columns = np.nonzero(through < 255)
        box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
        assert (through[box] < 255).all() and len(rows) == through[box].size, "it is no rectangle"
        assert np.ptp(dark[box].reshape(-1, 3), 0).max() == 0, "it is of several colours"
        assert np.ptp((light - dark)[box]) <= 1
        sides.append(np.array(through[box].shape) / SIZE)
        opacities.append(1 - through[box].mean() / 255)
    for values, (low, high) in ((np.array(sides), patched.SIDES), (np.array(opacities), patched.OPACITY)):
        assert low - 0.013 <= values.min() < low + 0.03 and high - 0.03 < values.max() <= high + 0.013
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.02)


def test_the_photo_itself_and_its_truth_are_left_alone() -> None:
    source = Grey()
    photos, plain = Patched(source).photos(), source.photos()
    assert photos.depth is not None and plain.depth is not None and np.array_equal(photos.depth, plain.depth)
    assert photos.names == plain.names and (photos.rgb != plain.rgb).any((1, 2, 3)).all()
    rgb = plain.rgb[0].copy()
    with_patch(rgb, np.random.default_rng(0))
    assert np.array_equal(rgb, plain.rgb[0])


def test_a_photos_patch_depends_on_seed_place_and_name_only() -> None:
    short, long = Patched(Grey(2)).photos().rgb, Patched(Grey(3)).photos().rgb
    assert np.array_equal(short, long[:2]) and not np.array_equal(long[0], long[1])
    for other in (Patched(Grey(2), seed=1), Patched(Grey(2, "test"))):
        assert not np.array_equal(other.photos().rgb[0], short[0])
    assert not np.array_equal(Patched(Grey(2, grey=50)).photos().rgb, short), "the cache of other photos was read"


def test_patches_are_drawn_once_and_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    first = Patched(Grey(2), seed=7).photos().rgb

    def drawn(*_: object) -> None:
        raise AssertionError("drawn again")

    monkeypatch.setattr(patched, "with_patch", drawn)
    again = Patched(Grey(2), seed=7).photos().rgb
    assert np.array_equal(first, again) and isinstance(again, np.memmap)


def test_it_is_a_source_that_says_what_it_is() -> None:
    source = Patched(Faces(2, 16), seed=3)
    assert isinstance(source, PhotoSource)
    assert repr(source) == "Patched(source=Faces(count=2, size=16, seed=0, split='train'), seed=3)"
    with pytest.raises(ValueError, match="seed is -1; it has to be 0 or more"):
        Patched(Faces(2, 16), seed=-1)
