"""What a set cannot teach is told, and nothing is told of a good one."""

from dataclasses import replace

import numpy as np
import pytest

from unflat.data.crops import object_share, with_framing
from unflat.data.detection import can_find_faces
from unflat.data.kinds import Photos
from unflat.data.variety import FEW, copied, scale_spread, variety_warnings
from unflat.worlds.faces import Faces


@pytest.fixture(scope="module")
def faces() -> Photos:
    return with_framing(Faces(FEW).photos(progress=False))


def discs(radii: np.ndarray, size: int = 32) -> Photos:
    """Noise on discs of these radii (shares of half the side), with their masks."""
    rng = np.random.default_rng(0)
    centres = (np.arange(size) + 0.5) * 2 / size - 1
    mask = np.hypot(centres, centres[:, None]) < radii[:, None, None]
    rgb = np.where(mask[..., None], rng.integers(0, 256, (len(radii), size, size, 3)), 128).astype(np.uint8)
    framing = np.full((len(radii), 3), np.nan, np.float32)
    framing[:, 2] = [object_share(m) for m in mask]
    return Photos(rgb, [f"disc {i}" for i in range(len(radii))], mask=mask, framing=framing)


def test_nothing_is_said_of_good_photos(faces: Photos) -> None:
    assert variety_warnings(faces) == []


def test_few_photos() -> None:
    assert variety_warnings(Faces(20).photos(progress=False)) == [
        "20 photos are few to learn a shape from: some thousands are usual"
    ]


def test_the_same_photos_over_again(faces: Photos) -> None:
    """A tenth of the photos stands there twice, a little darker."""
    rgb = np.array(faces.rgb)
    rgb[:20] = rgb[100:120] * 0.8
    photos = replace(faces, rgb=rgb)
    (warning,) = variety_warnings(photos)
    assert "of 200 photos are nearly the same as another one, such as faces/train/" in warning
    assert 18 <= int(warning.split()[0]) <= 20
    assert "keep one of each" in warning
    rgb[5:20] = faces.rgb[5:20]
    assert variety_warnings(replace(faces, rgb=rgb)) == [], "a few copies are no harm"


def test_four_of_a_kind_are_three_too_many(faces: Photos) -> None:
    rgb = np.array(faces.rgb)
    for i in range(0, 40, 4):
        rgb[i + 1 : i + 4] = rgb[i]
    (warning,) = variety_warnings(replace(faces, rgb=rgb))
    assert 20 <= int(warning.split()[0]) <= 30  # two pairs of a kind that do not know of each other count as two kinds


def test_objects_of_different_size(faces: Photos) -> None:
    rng = np.random.default_rng(0)
    alike, different = discs(rng.uniform(0.7, 0.8, FEW)), discs(rng.uniform(0.3, 0.9, FEW))
    assert variety_warnings(alike) == []
    (warning,) = variety_warnings(different)
    assert warning.startswith("the crops are of different scale: the object fills from 3") and "--crop alpha" in warning


def test_a_spread_is_that_of_the_logarithm() -> None:
    """Radii that are log-normal: the standard deviation is known, and outliers do not count."""
    rng = np.random.default_rng(0)
    spread = scale_spread(discs(0.5 * np.exp(rng.normal(0, 0.2, 2000)), size=64))
    assert spread is not None and spread.what == "object"
    assert spread.spread == pytest.approx(0.2, rel=0.1)
    assert (spread.low, spread.high) == pytest.approx((0.5 * np.exp(-0.256), 0.5 * np.exp(0.256)), rel=0.06)
    framing = np.full((100, 3), np.nan, np.float32)
    framing[:, 2] = np.r_[np.full(90, 0.5), np.full(10, 0.01)]
    odd = scale_spread(Photos(np.zeros((100, 8, 8, 3), np.uint8), [""] * 100, framing=framing))
    assert odd is not None and odd.spread == 0 and not odd.differs


def test_where_nothing_tells_the_scale_nothing_is_said() -> None:
    plain = Photos(np.zeros((300, 8, 8, 3), np.uint8), [str(i) for i in range(300)])
    assert scale_spread(plain) is None
    framing = np.full((300, 3), np.nan, np.float32)
    framing[::3, 2] = 0.5  # masks of a third of the photos
    assert scale_spread(replace(plain, framing=framing)) is None
    assert variety_warnings(plain) == []


@pytest.mark.skipif(not can_find_faces(), reason="scikit-image is not installed")
def test_faces_of_different_size(faces: Photos) -> None:
    """Without masks, the faces that are found tell."""
    rng = np.random.default_rng(0)
    small = np.array(faces.rgb)
    for i in np.flatnonzero(rng.random(FEW) < 0.5):  # every other face at half its size
        half = small[i].reshape(32, 2, 32, 2, 3).mean((1, 3)).astype(np.uint8)
        small[i] = np.pad(half, ((16, 16), (16, 16), (0, 0)), mode="edge")
    bare = Photos(small, faces.names)
    (warning,) = [w for w in variety_warnings(with_framing(bare)) if "scale" in w]
    assert "the face fills from" in warning and "--crop face" in warning
    assert not [w for w in variety_warnings(with_framing(replace(bare, rgb=faces.rgb))) if "scale" in w]


def test_names_of_copies(faces: Photos) -> None:
    twice = replace(faces[:2], rgb=np.asarray(faces.rgb)[[3, 3]])
    assert copied(twice) == (("faces/train/000000", "faces/train/000001"),)
