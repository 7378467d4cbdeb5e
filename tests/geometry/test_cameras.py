"""The pinhole camera: where pixel centres are, and that projecting undoes unprojecting."""

import math

import pytest
import torch

from unflat.geometry.cameras import Pinhole

OBLONG = Pinhole(110.0, 90.0, 14.0, 11.5, 30, 20)


@pytest.mark.parametrize("size", [2, 16, 64])
def test_the_field_of_view_reaches_from_the_first_centre_to_the_last(size: int) -> None:
    rays = Pinhole.across_centres(size, math.radians(10)).rays()
    first, last = rays[0, 0], rays[-1, -1]
    assert float(first[0]) == pytest.approx(-math.tan(math.radians(5)), rel=1e-5)
    assert float(last[1]) == pytest.approx(math.tan(math.radians(5)), rel=1e-5)


def test_it_is_unsup3ds_camera_with_other_pixel_centres() -> None:
    """f = 360.05 px at 64; the paper's cx = 31.5 counts centres as integers, ours is half a pixel more."""
    camera = Pinhole.across_centres(64, math.radians(10))
    assert camera.fx == camera.fy == pytest.approx(360.05, abs=5e-3)
    assert (camera.cx, camera.cy) == (32, 32)
    one_pixel = camera.rays(dtype=torch.float64).diff(dim=1)[..., 0]
    assert torch.allclose(one_pixel, torch.full_like(one_pixel, 0.0027774), atol=1e-7)


def test_projecting_undoes_unprojecting() -> None:
    depth = torch.rand(20, 30, 1, dtype=torch.float64) + 0.5
    pixels = OBLONG.project(depth * OBLONG.rays(dtype=torch.float64))
    v, u = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(30) + 0.5, indexing="ij")
    assert torch.allclose(pixels, torch.stack([u, v], -1).double())


def test_axes_are_right_down_forward() -> None:
    u, v = OBLONG.project(torch.tensor([0.1, 0.2, 1.0])).tolist()
    assert u > OBLONG.cx and v > OBLONG.cy
    assert float(OBLONG.rays()[..., 2].min()) == float(OBLONG.rays()[..., 2].max()) == 1


def test_another_number_of_pixels_shows_the_same() -> None:
    """The outer edges of the picture stay where they are: a point lands at the same share of width and height."""
    point = torch.tensor([0.05, -0.04, 1.1])
    small, large = OBLONG.project(point), OBLONG.resized(90, 40).project(point)
    assert (large / small).tolist() == pytest.approx([3, 2])
    assert (OBLONG.resized(90, 40).width, OBLONG.resized(90, 40).height) == (90, 40)


def test_a_shifted_principal_point_shifts_the_picture() -> None:
    point = torch.tensor([0.05, -0.04, 1.1])
    moved = OBLONG.shifted(2.5, -1.0).project(point) - OBLONG.project(point)
    assert moved.tolist() == pytest.approx([2.5, -1.0], abs=1e-5)


def test_rays_have_the_precision_asked_for() -> None:
    assert OBLONG.rays().dtype == torch.float32
    assert OBLONG.rays(dtype=torch.float64).dtype == torch.float64
