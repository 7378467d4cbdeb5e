"""COLMAP's camera models against their formulas, written out here once more after COLMAP's documentation."""

import math
from collections.abc import Sequence

import pytest
import torch

from unflat.data.readers.camera_models import CAMERA_MODELS, COLMAP_IDS
from unflat.data.recordings import CaptureError
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens

X, Y = 0.3, -0.2
"""of the point that is looked at, at depth 1"""
RADIUS = math.hypot(X, Y)
ANGLE = math.atan(RADIUS)
A, B = X * ANGLE / RADIUS, Y * ANGLE / RADIUS
"""the same as far out as its angle"""


def radial(x: float, y: float, coefficients: Sequence[float]) -> tuple[float, float]:
    square = x * x + y * y
    factor = 1 + sum(k * square ** (i + 1) for i, k in enumerate(coefficients))
    return x * factor, y * factor


def tangential(x: float, y: float, p1: float, p2: float) -> tuple[float, float]:
    square = x * x + y * y
    return 2 * p1 * x * y + p2 * (square + 2 * x * x), 2 * p2 * x * y + p1 * (square + 2 * y * y)


def full() -> tuple[float, float]:
    square = X * X + Y * Y
    above = 1 + 0.1 * square + 0.2 * square**2 + 0.03 * square**3
    below = 1 + 0.04 * square + 0.05 * square**2 + 0.06 * square**3
    across, down = tangential(X, Y, 0.01, 0.02)
    return X * above / below + across, Y * above / below + down


def opencv() -> tuple[float, float]:
    (u, v), (across, down) = radial(X, Y, (0.1, 0.2)), tangential(X, Y, 0.01, 0.02)
    return u + across, v + down


def fov() -> tuple[float, float]:
    bent = math.atan(2 * RADIUS * math.tan(0.8 / 2)) / 0.8
    return X * bent / RADIUS, Y * bent / RADIUS


def thin_prism() -> tuple[float, float]:
    (u, v), (across, down) = radial(A, B, (0.1, 0.2, 0.03, 0.04)), tangential(A, B, 0.01, 0.02)
    square = A * A + B * B
    return u + across + 0.005 * square, v + down + 0.006 * square


SEEN = {
    0: ("SIMPLE_PINHOLE", (60.0, 20.0, 15.0), (X, Y)),
    1: ("PINHOLE", (60.0, 70.0, 20.0, 15.0), (X, Y)),
    2: ("SIMPLE_RADIAL", (60.0, 20.0, 15.0, 0.1), radial(X, Y, (0.1,))),
    3: ("RADIAL", (60.0, 20.0, 15.0, 0.1, 0.2), radial(X, Y, (0.1, 0.2))),
    4: ("OPENCV", (60.0, 70.0, 20.0, 15.0, 0.1, 0.2, 0.01, 0.02), opencv()),
    5: ("OPENCV_FISHEYE", (60.0, 70.0, 20.0, 15.0, 0.1, 0.2, 0.03, 0.04), radial(A, B, (0.1, 0.2, 0.03, 0.04))),
    6: ("FULL_OPENCV", (60.0, 70.0, 20.0, 15.0, 0.1, 0.2, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06), full()),
    7: ("FOV", (60.0, 70.0, 20.0, 15.0, 0.8), fov()),
    8: ("SIMPLE_RADIAL_FISHEYE", (60.0, 20.0, 15.0, 0.1), radial(A, B, (0.1,))),
    9: ("RADIAL_FISHEYE", (60.0, 20.0, 15.0, 0.1, 0.2), radial(A, B, (0.1, 0.2))),
    10: ("THIN_PRISM_FISHEYE", (60.0, 70.0, 20.0, 15.0, 0.1, 0.2, 0.01, 0.02, 0.03, 0.04, 0.005, 0.006), thin_prism()),
    14: ("SIMPLE_FISHEYE", (60.0, 20.0, 15.0), (A, B)),
    15: ("FISHEYE", (60.0, 70.0, 20.0, 15.0), (A, B)),
}
"""by number: name, parameters, and where (X, Y, 1) is seen in units of the focal lengths from (20, 15)"""


@pytest.mark.parametrize("number", SEEN)
def test_a_point_is_seen_where_the_formula_says(number: int) -> None:
    name, parameters, (u, v) = SEEN[number]
    model = COLMAP_IDS[number]
    assert model is CAMERA_MODELS[name] and not isinstance(model, str)
    camera = model.pinhole(parameters, 40, 30, "here")
    fy = 70 if len(parameters) > 3 and parameters[1] == 70 else 60
    seen = camera.project(torch.tensor([X, Y, 1.0], dtype=torch.float64)).tolist()
    assert seen == pytest.approx((60 * u + 20, fy * v + 15), abs=1e-9)
    assert (camera.width, camera.height) == (40, 30)


def test_every_model_that_is_read_is_tested() -> None:
    assert {name for name, _, _ in SEEN.values()} == set(CAMERA_MODELS)


@pytest.mark.parametrize(("name", "count"), [("SIMPLE_RADIAL", 1), ("FULL_OPENCV", 8), ("FOV", 1)])
def test_what_bends_nothing_is_a_pinhole(name: str, count: int) -> None:
    model = CAMERA_MODELS[name]
    straight = model.pinhole([60.0] * model.focal + [20.0, 15.0] + [0.0] * count, 40, 30, "here")
    assert straight == Pinhole(60.0, 60.0, 20.0, 15.0, 40, 30) and not isinstance(straight, Lens)


@pytest.mark.parametrize(
    ("parameters", "width", "height", "told"),
    [
        ((60.0, 20.0), 40, 30, "has 2 parameters, and the camera model SIMPLE_PINHOLE has 3"),
        ((60.0, 20.0, 15.0, 0.1), 40, 30, "has 4 parameters"),
        ((0.0, 20.0, 15.0), 40, 30, r"is no camera: focal lengths 0.0 and 0.0, principal point \(20.0, 15.0\)"),
        ((60.0, math.nan, 15.0), 40, 30, "is no camera: focal lengths"),
        ((math.inf, 20.0, 15.0), 40, 30, "is no camera: focal lengths"),
        ((60.0, 20.0, 15.0), 0, 30, "is no camera: its pictures have 0x30 pixels"),
        ((60.0, 20.0, 15.0), 40, 2**40, "is no camera: its pictures have 40x1099511627776 pixels"),
    ],
)
def test_what_is_no_camera(parameters: tuple[float, ...], width: int, height: int, told: str) -> None:
    with pytest.raises(CaptureError, match=f"^there {told}"):
        CAMERA_MODELS["SIMPLE_PINHOLE"].pinhole(parameters, width, height, "there")
