"""Distances between surfaces in closed form, and which points cameras see."""

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.meshes import Mesh, SurfacePoints
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.metrics.surfaces import (
    Apart,
    apart,
    chamfer,
    chosen,
    f_score,
    normal_consistency,
    normal_error,
    seen_points,
)
from unflat.worlds.object_shapes import rounded_box

COUNT = 10_000


def sphere(radius: float, seed: int = 0, count: int = COUNT) -> SurfacePoints:
    """Points drawn evenly on a sphere about the origin."""
    normals = torch.nn.functional.normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=1)
    return SurfacePoints(radius * normals, normals)


def both(ours: SurfacePoints, truth: SurfacePoints) -> tuple[Apart, Apart]:
    return apart(ours, truth), apart(truth, ours)


def spacing(radius: float) -> float:
    """How far the nearest of the points is from a place on the sphere, on average: 0.5 sqrt(area / count)."""
    return 0.5 * math.sqrt(4 * math.pi * radius**2 / COUNT)


def test_concentric_spheres_are_apart_by_the_difference_of_their_radii() -> None:
    """d is the gap; to the nearest point that was drawn, about sqrt(gap^2 + spacing^2)."""
    ours, truth = both(sphere(1.0), sphere(1.1, seed=1))
    expected = (math.hypot(0.1, spacing(1.05)) + 0.1) / 2
    assert chamfer(ours, truth) == pytest.approx(expected, rel=0.02)
    assert ours.distance.min() >= 0.1 - 1e-6


def test_the_f_score_jumps_at_the_gap() -> None:
    ours, truth = both(sphere(1.0), sphere(1.1, seed=1))
    assert f_score(ours, truth, 0.0999) == 0 and f_score(ours, truth, 0.11) > 0.99


def test_an_f_score_is_the_harmonic_mean_of_both_shares() -> None:
    zero = np.zeros(4)
    ours, truth = Apart(np.array([0, 0, 0, 9.0]), zero), Apart(np.array([0, 9.0, 9, 9]), zero)
    assert f_score(ours, truth, 1.0) == pytest.approx(2 * 0.75 * 0.25 / (0.75 + 0.25))


def test_a_surface_is_as_far_from_itself_as_its_points_are_from_each_other() -> None:
    ours, truth = both(sphere(1.0), sphere(1.0, seed=1))
    assert chamfer(ours, truth) == pytest.approx(spacing(1.0), rel=0.03)
    same, _ = both(sphere(1.0), sphere(1.0))
    assert not same.distance.any() and np.abs(same.angle).max() < 1e-6


def test_all_figures_are_symmetric() -> None:
    one, other = both(sphere(1.0), sphere(1.2, seed=1))
    for figure in (chamfer, normal_error, normal_consistency, lambda a, b: f_score(a, b, 0.205)):
        assert figure(one, other) == figure(other, one)


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 20.0, 90.0, 150.0])
def test_a_turned_plane_is_off_by_its_angle(degrees: float) -> None:
    """The places are the same, the normals turned about x."""
    places = torch.cat([torch.rand(500, 2, generator=torch.Generator().manual_seed(0)), torch.zeros(500, 1)], 1)
    turn = math.radians(degrees)
    up, tilted = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, math.sin(turn), math.cos(turn)])
    planes = [SurfacePoints(places, normal.expand(500, 3)) for normal in (up, tilted)]
    ours, truth = both(planes[0], planes[1])
    assert normal_error(ours, truth) == pytest.approx(degrees, abs=1e-5)
    assert normal_error(ours, truth, sides=False) == pytest.approx(min(degrees, 180 - degrees), abs=1e-5)
    assert normal_consistency(ours, truth) == pytest.approx(abs(math.cos(turn)), abs=1e-6)


def test_what_faces_inwards_is_consistent_and_half_a_turn_off() -> None:
    outwards = sphere(1.0)
    ours, truth = both(outwards, SurfacePoints(outwards.places, -outwards.normals))
    assert normal_error(ours, truth) == pytest.approx(180) and normal_consistency(ours, truth) == pytest.approx(1)
    assert normal_error(ours, truth, sides=False) == pytest.approx(0, abs=1e-5)


def test_the_figures_do_not_ask_where_the_surfaces_are_nor_in_which_unit() -> None:
    turn = rotation_from_euler(torch.tensor([0.3, -0.7, 1.1]))

    def moved(points: SurfacePoints) -> SurfacePoints:
        return SurfacePoints(1000 * points.places.double() @ turn.double().T + 5.0, points.normals @ turn.T)

    one, other = sphere(1.0, count=2000), sphere(1.1, seed=1, count=2000)
    before, after = both(one, other), both(moved(one), moved(other))
    assert chamfer(*after) == pytest.approx(1000 * chamfer(*before), rel=1e-6)
    assert normal_error(*after) == pytest.approx(normal_error(*before), abs=1e-4)


def test_a_surface_without_points_is_refused() -> None:
    none = SurfacePoints(torch.zeros(0, 3), torch.zeros(0, 3))
    with pytest.raises(ValueError, match="the first surface has no points"):
        apart(none, sphere(1.0))
    with pytest.raises(ValueError, match=r"the second surface has no points.*draw some"):
        apart(sphere(1.0), none)
    with pytest.raises(ValueError, match="points that are no numbers"):
        apart(SurfacePoints(torch.full((1, 3), torch.nan), torch.ones(1, 3)), sphere(1.0))


def test_without_scipy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    with pytest.raises(ValueError, match="pip install"):
        apart(sphere(1.0, count=3), sphere(1.0, count=3))


# What cameras see


def looking(forward: Tensor, distance: float, pixels: int = 160) -> Cameras:
    """A camera at that distance from the origin, which it looks at along `forward`."""
    right = torch.linalg.cross(forward, torch.tensor([0.3, 1.0, 0.2]))
    right = right / right.norm()
    rotation = torch.stack([right, torch.linalg.cross(forward, right), forward])
    pinhole = Pinhole(float(pixels), float(pixels), pixels / 2, pixels / 2, pixels, pixels)
    return Cameras(pinhole, Rigid(rotation[None], torch.tensor([[0.0, 0.0, distance]])))


def shells(*radii: float) -> Mesh:
    """Spheres about the origin."""
    balls = [rounded_box((r, r, r), r, np.zeros(3), quarter=16) for r in radii]
    first = np.cumsum([0, *(len(ball.vertices) for ball in balls)]).tolist()
    return Mesh(
        torch.cat([ball.vertices for ball in balls]).float(),
        torch.cat([ball.triangles + start for ball, start in zip(balls, first, strict=False)]),
    )


def test_one_camera_sees_the_cap_that_faces_it() -> None:
    """Of a sphere of radius 1 from distance d, what lies beyond the plane at 1 / d; cut at the steepest angle."""
    points, forward = sphere(1.0), torch.tensor([0.0, 0.0, 1.0])
    height = -points.places[:, 2]
    seen = seen_points(points, shells(1.0), [looking(forward, 4.0)])
    assert seen[height > 0.42].all() and not seen[height < 0.24].any()
    beside = looking(forward, 4.0)
    narrow = Cameras(beside.pinhole.cropped(0, 0, 80, 160), beside.camera_from_world)
    half = seen_points(points, shells(1.0), [narrow])
    assert half.any() and torch.equal(half, seen & half) and 0.4 < half.sum() / seen.sum() < 0.6


def test_cameras_all_around_see_all_of_a_shell_and_nothing_within() -> None:
    around = [looking(axis * sign, 4.0) for axis in torch.eye(3) for sign in (1.0, -1.0)]
    outer, inner = sphere(1.0), sphere(0.9)
    mesh = shells(1.0, 0.9)
    assert seen_points(outer, mesh, around).all()
    assert not seen_points(inner, mesh, around).any()
    assert seen_points(inner, shells(0.9), around).all()


def test_points_are_chosen_with_their_colours() -> None:
    points = SurfacePoints(torch.eye(3), torch.eye(3), torch.eye(3))
    some = chosen(points, torch.tensor([True, False, True]))
    assert some.colours is not None and torch.equal(some.places, torch.eye(3)[[0, 2]]) and len(some.colours) == 2
    assert chosen(SurfacePoints(torch.eye(3), torch.eye(3)), torch.ones(3, dtype=torch.bool)).colours is None
