"""Pictures beside what a method makes of them: what the columns show, pixel by pixel."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.oracles.ball import around, ball
from unflat.data.kinds import Capture, Scene
from unflat.evaluation.captures import evaluate_capture
from unflat.method import Prediction, predict_in_pieces
from unflat.outputs.comparisons import ERROR_COLOURS, GAP, LARGEST, SMALLEST, Comparisons, compared
from unflat.outputs.walks import Limits

TOP = 24
"""pixels of the titles"""


def capture(side: int = 40, count: int = 2) -> Capture:
    """What the ball's own method sees, rounded to 8 bits."""
    views = around(count)
    pinholes = [pinhole.resized(side, side) for pinhole in views.pinholes]
    made = replace(views, pinholes=pinholes)
    seen = [predict_in_pieces(ball(), made.cameras(i)).rgb for i in range(count)]
    pixels = np.concatenate(
        [(rgb.numpy().reshape(-1, 3) * 255 + 0.5).astype(np.uint8) for rgb in seen if rgb is not None]
    )
    return Capture(pixels, pinholes, made.scene_from_camera, ("set/a.png", "set/b.png")[:count], Scene())


def column(picture: np.ndarray, number: int, side: int) -> np.ndarray:
    left = number * (side + GAP)
    return picture[TOP : TOP + side, left : left + side]


def of(rgb: np.ndarray) -> Prediction:
    return Prediction(rgb=torch.from_numpy(rgb.astype(np.float32))[None])


def test_truth_ours_and_where_they_differ() -> None:
    held = capture(side=SMALLEST, count=1)
    ours = held.rgb(0).copy()
    ours[100:140, 100:140] = np.clip(ours[100:140, 100:140] - 0.05, 0, 1)
    ours[10:20, 10:20] = 0.0  # of white: as wrong as can be
    picture = compared(held, 0, of(ours))
    assert picture.shape[1] == 3 * SMALLEST + 2 * GAP, "truth, ours, error, and no depth"
    np.testing.assert_array_equal(column(picture, 0, SMALLEST), held.picture(0))
    np.testing.assert_array_equal(column(picture, 1, SMALLEST)[12, 12], [0, 0, 0])
    error = column(picture, 2, SMALLEST).astype(int)
    np.testing.assert_array_equal(error[60, 30], [255, 255, 255])
    worst = np.array(ERROR_COLOURS[-1]) * 255
    np.testing.assert_allclose(error[15, 15], worst, atol=1)
    middle = np.array(ERROR_COLOURS[2]) * 255  # half of what is shown as most
    np.testing.assert_allclose(error[120, 120], middle, atol=12)


def test_what_a_mask_leaves_out_is_no_error() -> None:
    held = capture(side=SMALLEST, count=1)
    mask = np.ones(SMALLEST * SMALLEST, bool)
    mask[: SMALLEST * SMALLEST // 2] = False
    wrong = 1 - held.rgb(0)
    picture = compared(replace(held, mask=mask), 0, of(wrong))
    error = column(picture, 2, SMALLEST)
    assert (error[: SMALLEST // 2] == 255).all() and (error[SMALLEST // 2 + 5, 5] < 100).any()


def test_depth_is_a_column_with_its_scale() -> None:
    held = capture(side=SMALLEST, count=1)
    prediction = predict_in_pieces(ball(), held.cameras(0))
    picture = compared(held, 0, prediction, Limits(2.4, 3.0), unit=0.1)
    assert picture.shape[1] == 4 * SMALLEST + 3 * GAP
    depth = column(picture, 3, SMALLEST).astype(int)
    assert depth[120, 120].sum() > depth[120, 60].sum(), "near is pale"
    assert (depth[0, 0] == 255).all(), "nothing is there"
    inks = picture[TOP + SMALLEST + 4 :, -SMALLEST:]
    assert (inks < 100).any(), "the scale has its numbers"
    assert (compared(held, 0, prediction, Limits(2.4, 3.0), unit=1.0) != picture).any(), "in the unit of the files"


@pytest.mark.parametrize(("side", "shown"), [(40, SMALLEST), (600, LARGEST)])
def test_small_pictures_are_enlarged_and_large_ones_shrunk(side: int, shown: int) -> None:
    held = capture(side=side, count=1)
    assert compared(held, 0, of(held.rgb(0))).shape[1] == 3 * shown + 2 * GAP


def test_pixels_of_enlarged_pictures_stay_pixels() -> None:
    held = capture(count=1)
    shown = column(compared(held, 0, of(held.rgb(0))), 0, SMALLEST)
    np.testing.assert_array_equal(shown, held.picture(0).repeat(6, 0).repeat(6, 1))


def test_an_evaluation_writes_one_for_each_picture(tmp_path: Path) -> None:
    held = capture()
    look = Comparisons(ball(), held, tmp_path)
    evaluation = evaluate_capture(ball(), held, look=look)
    assert evaluation.figures["PSNR"] > 50
    assert [file.name for file in look.files.values()] == ["a.png", "b.png"] and list(look.files) == [0, 1]
    for file in look.files.values():
        with Image.open(file) as picture:
            assert picture.width == 4 * SMALLEST + 3 * GAP
