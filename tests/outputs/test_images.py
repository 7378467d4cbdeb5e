"""Maps as pictures: clamping, colours, 16-bit depth, sheets."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unflat.outputs.images import (
    colour_confidence,
    colour_depth,
    colour_normals,
    resized,
    save_depth_png16,
    save_png,
    sheet,
    to_rgb,
    to_uint8,
)


def test_values_outside_are_clamped_and_never_wrap() -> None:
    values = np.array([[-0.1, 0.0, 0.5, 1.0, 1.01, 2.0, np.nan, np.inf, -np.inf]])
    assert to_uint8(values).tolist() == [[0, 0, 128, 255, 255, 255, 255, 255, 0]]
    assert to_uint8(torch.tensor([1.3])).tolist() == [255]


def test_tensors_arrays_and_bytes_agree() -> None:
    values = np.random.default_rng(0).random((3, 4, 3), dtype=np.float32)
    assert np.array_equal(to_uint8(values), to_uint8(torch.from_numpy(values)))
    assert np.array_equal(to_uint8(to_uint8(values)), to_uint8(values))
    assert np.array_equal(to_uint8(torch.from_numpy(to_uint8(values))), to_uint8(values))


def test_grey_is_repeated_and_other_shapes_are_refused() -> None:
    assert to_rgb(np.zeros((2, 5))).shape == (2, 5, 3)
    with pytest.raises(ValueError, match=r"shape \[h, w, 3\] or \[h, w\], but this one has \[3, 8, 9\]"):
        to_rgb(np.zeros((3, 8, 9)))
    with pytest.raises(ValueError, match="int64"):
        to_uint8(np.zeros((2, 2), dtype=np.int64))


def test_near_is_lighter_than_far_and_nothing_is_white() -> None:
    depth = np.array([[0.9, 1.0, 1.1, np.nan]])
    colours = colour_depth(depth)[0].astype(int)
    assert colours[0].sum() > colours[1].sum() > colours[2].sum()
    assert colours[3].tolist() == [255, 255, 255]
    assert np.array_equal(colour_depth(depth, 0.9, 1.1)[0], colours)
    assert np.array_equal(colour_depth(np.full((2, 2), np.nan)), np.full((2, 2, 3), 255))


def test_normals_are_blue_towards_the_viewer_green_up_red_right() -> None:
    towards_the_camera, up, right = [0.0, 0.0, -1.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]
    colours = colour_normals(np.array([[towards_the_camera, up, right]]))[0].tolist()
    assert colours == [[128, 128, 255], [128, 255, 128], [255, 128, 128]]


def test_confidence_is_red_where_low() -> None:
    low, high = colour_confidence(np.array([0.0, 1.0])).astype(int)
    assert low[0] > low[2] and high[2] > high[0]


def test_png_round_trip(tmp_path: Path) -> None:
    image = np.random.default_rng(1).random((5, 7, 3))
    read = np.asarray(Image.open(save_png(tmp_path / "a.png", image)))
    assert np.abs(read / 255 - image).max() <= 0.5 / 255 + 1e-9


def test_depth_png_is_read_back_with_its_documented_formula(tmp_path: Path) -> None:
    depth = np.random.default_rng(2).uniform(0.87, 1.15, (20, 30))
    depth[3, 4] = np.nan
    picture = Image.open(save_depth_png16(tmp_path / "d.png", depth))
    values = np.asarray(picture).astype(np.float64)
    near, far = float(picture.info["near"]), float(picture.info["far"])
    assert picture.mode == "I;16" and values.max() == 65535 and values[3, 4] == 0
    back = far + (near - far) * (values - 1) / 65534
    there = np.isfinite(depth)
    assert np.abs(back - depth)[there].max() <= 0.51 * (far - near) / 65534


def test_depth_beyond_the_limits_is_clamped_not_wrapped(tmp_path: Path) -> None:
    values = np.asarray(
        Image.open(save_depth_png16(tmp_path / "d.png", torch.tensor([[0.5, 0.9, 1.1, 3.0]]), near=0.9, far=1.1))
    )
    assert values.tolist() == [[65535, 65535, 1, 1]]


def test_a_constant_and_an_empty_depth_can_be_written(tmp_path: Path) -> None:
    assert np.asarray(Image.open(save_depth_png16(tmp_path / "c.png", np.ones((2, 2))))).min() >= 1
    assert np.asarray(Image.open(save_depth_png16(tmp_path / "e.png", np.full((2, 2), np.nan)))).max() == 0


def test_resizing_keeps_a_constant_and_does_not_shift() -> None:
    ramp = np.repeat(np.linspace(0.2, 0.8, 16)[None], 16, 0)
    large = resized(ramp, 64, 64).astype(float) / 255
    centres = (np.arange(64) + 0.5) / 4 - 0.5  # where the large pixels' centres are among the small ones
    assert np.abs(large[30, 8:-8, 0] - np.interp(centres, np.arange(16), ramp[0])[8:-8]).max() < 1.5 / 255


def test_a_sheet_holds_its_pictures_in_order() -> None:
    red, green = np.full((8, 8, 3), [1.0, 0, 0]), np.full((8, 8, 3), [0, 1.0, 0])
    page = sheet([[red, None], [None, green]], cell=32)
    assert page.dtype == np.uint8
    is_red, is_green = (page == [255, 0, 0]).all(-1), (page == [0, 255, 0]).all(-1)
    assert is_red.sum() == is_green.sum() == 32 * 32
    assert np.argwhere(is_red).max() < np.argwhere(is_green).min()


def test_titles_and_names_are_drawn_without_touching_the_pictures() -> None:
    grey = np.full((10, 20), 0.5)
    bare, titled = (
        sheet([[grey, grey]]),
        sheet([[grey, grey]], ["depth", "a title that is far too long for its column"], ["name"]),
    )
    assert ((titled == 128).all(-1)).sum() >= ((bare == 128).all(-1)).sum() == 2 * 96 * 48
    assert titled.shape[0] > bare.shape[0] and titled.shape[1] > bare.shape[1]
    assert (titled[:20] < 100).any()


def test_an_empty_sheet_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one picture"):
        sheet([])
