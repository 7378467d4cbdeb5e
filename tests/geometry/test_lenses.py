"""Lenses: what they bend is made straight again, and the models are those whose names they have."""

import dataclasses
import math

import pytest
import torch

from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import MODELS, Lens

COEFFICIENTS = {
    "opencv": [(0.1, -0.05, 0.001, -0.002), (-0.28, 0.07), (0.2, 0.01, 0.0, 0.0, 0.002, 0.1, 0.01, 0.001)],
    "fisheye": [(), (0.02, -0.01, 0.003, -0.001)],
    "fov": [(0.9,), (0.0,)],
    "thin_prism_fisheye": [(0.02, -0.01, 3e-4, -1e-4, 0.001, 0.0, 2e-4, 1e-4)],
}
EVERY = [(model, known) for model, several in COEFFICIENTS.items() for known in several]


def test_every_model_is_tested() -> None:
    assert set(COEFFICIENTS) == set(MODELS)


def lens(model: str = "opencv", coefficients: tuple[float, ...] = ()) -> Lens:
    return Lens(820.0, 815.0, 49.5, 37.1, 99, 74, model, coefficients)


@pytest.mark.parametrize(("model", "coefficients"), EVERY)
def test_what_is_bent_is_straight_again(model: str, coefficients: tuple[float, ...]) -> None:
    camera = dataclasses.replace(lens(model, coefficients), fx=82.0, fy=81.5)
    v, u = torch.meshgrid(torch.arange(74).double() + 0.5, torch.arange(99).double() + 0.5, indexing="ij")
    pixels = torch.stack([u, v], -1)
    torch.testing.assert_close(camera.project(camera.directions(pixels)), pixels, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("model", "coefficients"), EVERY)
def test_a_point_at_any_depth_projects_alike(model: str, coefficients: tuple[float, ...]) -> None:
    points = torch.tensor([[0.1, -0.2, 1.0], [-0.3, 0.05, 1.0]], dtype=torch.float64)
    camera = lens(model, coefficients)
    torch.testing.assert_close(camera.project(points), camera.project(points * 7))


def test_without_coefficients_it_is_a_pinhole() -> None:
    camera = lens()
    assert torch.equal(camera.rays(dtype=torch.float64), camera.plain.rays(dtype=torch.float64))
    assert isinstance(camera.plain, Pinhole) and not isinstance(camera.plain, Lens)


def test_radial_by_hand() -> None:
    """x = 0.3, y = 0.4: r = 0.5, 1 + 0.2 / 4 + 0.1 / 16."""
    u, v = lens("opencv", (0.2, 0.1)).bend(torch.tensor([0.3, 0.4], dtype=torch.float64)).tolist()
    assert (u, v) == pytest.approx((0.3 * 1.05625, 0.4 * 1.05625))


def test_an_equidistant_fisheye_by_hand() -> None:
    """At 45 degrees to the right the distance is pi / 4."""
    u, v = lens("fisheye").bend(torch.tensor([1.0, 0.0], dtype=torch.float64)).tolist()
    assert (u, v) == pytest.approx((math.pi / 4, 0.0))


def test_tangential_by_hand() -> None:
    """p1 and p2 as OpenCV has them: u gets 2 p1 x y + p2 (r^2 + 2 x^2)."""
    u, v = lens("opencv", (0.0, 0.0, 0.01, 0.02)).bend(torch.tensor([0.3, 0.4], dtype=torch.float64)).tolist()
    assert u == pytest.approx(0.3 + 2 * 0.01 * 0.12 + 0.02 * (0.25 + 2 * 0.09))
    assert v == pytest.approx(0.4 + 2 * 0.02 * 0.12 + 0.01 * (0.25 + 2 * 0.16))


def test_the_middle_of_a_fisheye_has_a_gradient() -> None:
    points = torch.zeros(1, 2, dtype=torch.float64, requires_grad=True)
    lens("fisheye", (0.02,)).bend(points).sum().backward()
    assert points.grad is not None and points.grad.isfinite().all()


def test_pixels_that_no_ray_reaches_are_nan() -> None:
    """x - 0.5 x^3 has its largest value, 0.54, at x = 0.82."""
    found = lens("opencv", (-0.5,)).straight(torch.tensor([[0.3, 0.0], [0.9, 0.0]], dtype=torch.float64))
    assert found[0].isfinite().all() and found[1].isnan().all()


def test_cropped_and_resized_it_sees_the_same_directions() -> None:
    camera = lens("opencv", (0.1, -0.05, 0.001, -0.002))
    whole = camera.rays(dtype=torch.float64)
    part = camera.cropped(7, 5, 20, 10)
    torch.testing.assert_close(part.rays(dtype=torch.float64), whole[5:15, 7:27])
    half = camera.resized(33, 37)  # a third across, half down: centre (0.5, 0.5) is where (1.5, 1.0) was
    expected = camera.directions(torch.tensor([1.5, 1.0], dtype=torch.float64))
    torch.testing.assert_close(half.rays(dtype=torch.float64)[0, 0], expected)
    assert isinstance(half, Lens) and half.coefficients == camera.coefficients


def test_unknown_models_and_too_many_coefficients_are_refused() -> None:
    with pytest.raises(ValueError, match="no lens model 'bent'; there are opencv, fisheye"):
        lens("bent")
    with pytest.raises(ValueError, match="2 coefficients are given for the lens model fov, which has 1: omega"):
        lens("fov", (0.9, 0.1))
