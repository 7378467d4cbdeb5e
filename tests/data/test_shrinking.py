"""Shrinking against an obvious twin: the overlap of every new pixel with every old one, as a matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unflat.data.shrinking import nearest, shrunk, shrunk_mask

SIZES = [
    ((7, 9), (3, 4)),
    ((8, 6), (4, 3)),
    ((200, 150), (199, 149)),
    ((300, 5), (130, 5)),
    ((5, 5), (1, 1)),
    ((9, 70), (1, 64)),
]


def overlap(old: int, new: int) -> np.ndarray:
    """[new, old]: the share of each old pixel in the mean of each new one."""
    edges = np.arange(new + 1) * old / new
    left, right = np.maximum.outer(edges[:-1], np.arange(old)), np.minimum.outer(edges[1:], np.arange(1, old + 1))
    return np.clip(right - left, 0, None) * new / old


def means(values: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = np.tensordot(overlap(values.shape[0], height), values, 1)
    return np.moveaxis(np.tensordot(overlap(values.shape[1], width), rows, (1, 1)), 0, 1)


def noise(h: int, w: int, c: int) -> np.ndarray:
    return np.random.default_rng(h * w).integers(0, 256, (h, w, c), np.uint8)


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_new_pixels_are_means_over_their_area(old: tuple[int, int], new: tuple[int, int]) -> None:
    pixels = noise(*old, 3)
    found = shrunk(pixels, new[1], new[0])
    assert found.shape == (*new, 3) and found.dtype == np.uint8
    assert np.abs(found - means(pixels.astype(float), *new)).max() < 0.51


@pytest.mark.parametrize(("old", "new"), SIZES)
def test_colours_count_as_much_as_they_are_opaque(old: tuple[int, int], new: tuple[int, int]) -> None:
    pixels = noise(*old, 4)
    pixels[..., 3] = np.maximum(pixels[..., 3], 1)
    found = shrunk(pixels, new[1], new[0])
    opacity = means(pixels[..., 3:].astype(float), *new)
    laid = means(pixels[..., :3].astype(float) * pixels[..., 3:], *new)
    assert np.abs(found[..., 3:] - opacity).max() < 0.51
    assert np.abs(found[..., :3] - laid / opacity).max() < 0.51


def test_what_is_hidden_does_not_shine_through() -> None:
    """Red, and green that is quite transparent: half opaque red, not brown."""
    pixels = np.array([[[255, 0, 0, 255], [0, 255, 0, 0]], [[255, 0, 0, 255], [0, 255, 0, 0]]], np.uint8)
    assert shrunk(pixels, 1, 1).tolist() == [[[255, 0, 0, 128]]]
    assert shrunk(np.zeros((2, 2, 4), np.uint8), 1, 1).tolist() == [[[0, 0, 0, 0]]]


def test_the_same_size_is_the_same_picture() -> None:
    pixels = noise(5, 6, 4)
    assert shrunk(pixels, 6, 5) is pixels


@given(st.integers(1, 60), st.integers(1, 60), st.data())
def test_an_even_picture_stays_even(h: int, w: int, data: st.DataObject) -> None:
    height, width = data.draw(st.integers(1, h)), data.draw(st.integers(1, w))
    value = data.draw(st.integers(0, 255))
    assert (shrunk(np.full((h, w, 3), value, np.uint8), width, height) == value).all()


def test_a_masks_pixel_is_kept_when_over_half_of_it_is() -> None:
    mask = np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool)
    assert shrunk_mask(mask, 2, 1).tolist() == [[False, True]]  # exactly half is not over half
    rng = np.random.default_rng(0)
    mask = rng.random((70, 90)) < 0.5
    share = means(mask.astype(float), 33, 40)
    clear = np.abs(share - 0.5) > 1e-3
    assert clear.mean() > 0.9 and np.array_equal(shrunk_mask(mask, 40, 33)[clear], share[clear] > 0.5)
    assert np.array_equal(shrunk_mask(mask, 90, 70), mask)


def test_a_smaller_mask_is_enlarged() -> None:
    mask = np.array([[True, False], [False, True]])
    assert np.array_equal(shrunk_mask(mask, 6, 4), np.kron(mask, np.ones((2, 3), bool)))


def test_nearest_takes_the_value_at_the_centre() -> None:
    values = np.arange(7 * 9, dtype=np.float32).reshape(7, 9)
    found = nearest(values, 3, 2)
    assert found.tolist() == [[values[1, 1], values[1, 4], values[1, 7]], [values[5, 1], values[5, 4], values[5, 7]]]
    assert np.array_equal(nearest(values, 9, 7), values)
