"""Points and normals of depth maps against closed forms."""

import math

import pytest
import torch
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import cross, normals_of, paraboloid, unproject

CAMERA = Pinhole.across_centres(20, math.radians(10))


def plane(normal: list[float], distance: float = 1.0) -> tuple[Tensor, Tensor]:
    """Depth of the plane through (0, 0, distance) with this normal, and the unit normal towards the camera."""
    n = torch.tensor(normal, dtype=torch.float64)
    n = n / n.norm() * -n[2].sign()
    return (n[2] * distance / (CAMERA.rays(dtype=torch.float64) @ n))[None], n


def test_points_project_to_their_pixels_at_their_depth() -> None:
    depth = torch.rand(2, 20, 20, dtype=torch.float64) + 0.5
    points = unproject(depth, CAMERA)
    assert torch.equal(points[..., 2], depth)
    assert points.dtype == torch.float64
    v, u = torch.meshgrid(torch.arange(20) + 0.5, torch.arange(20) + 0.5, indexing="ij")
    assert torch.allclose(CAMERA.project(points), torch.stack([u, v], -1).double().expand(2, -1, -1, -1))


@pytest.mark.parametrize("normal", [[0.0, 0, -1], [0.5, 0, -1], [0, -1, -1], [-2, 1, -1], [0.3, 0.4, 1]])
def test_normals_of_a_plane_are_its_normal_towards_the_camera(normal: list[float]) -> None:
    depth, n = plane(normal)
    normals = normals_of(depth, CAMERA)
    assert torch.allclose(normals[:, 1:-1, 1:-1], n.expand(1, 18, 18, 3), atol=1e-9)
    assert bool((normals[..., 2] < 0).all())


def test_the_outermost_pixels_face_the_camera() -> None:
    normals = normals_of(plane([1.0, 1, -1])[0], CAMERA)
    border = torch.ones(20, 20, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert bool((normals[0][border] == torch.tensor([0, 0, -1.0], dtype=torch.float64)).all())


def test_normals_of_a_sphere_point_away_from_its_centre() -> None:
    """A sphere of radius 0.2 about (0, 0, 1.15), by the quadratic formula on every ray."""
    rays = CAMERA.rays(dtype=torch.float64)
    a, b, c = rays.square().sum(-1), rays[..., 2] * 1.15, 1.15**2 - 0.2**2
    depth = ((b - (b * b - a * c).sqrt()) / a)[None]
    outwards = unproject(depth, CAMERA) - torch.tensor([0, 0, 1.15], dtype=torch.float64)
    cosine = (normals_of(depth, CAMERA) * outwards).sum(-1)[:, 1:-1, 1:-1] / 0.2
    assert float(cosine.min()) > math.cos(math.radians(0.5))


def test_normals_are_units_and_do_not_depend_on_the_scale_of_depth() -> None:
    depth = 1 + 0.03 * torch.rand(2, 20, 20, dtype=torch.float64)
    normals = normals_of(depth, CAMERA)
    assert torch.allclose(normals.norm(dim=-1), torch.ones(2, 20, 20, dtype=torch.float64))
    assert torch.allclose(normals, normals_of(depth * 7, CAMERA))


def test_normals_mirror_with_the_relief() -> None:
    depth = 1 + 0.03 * torch.rand(1, 20, 20, dtype=torch.float64)
    mirrored = normals_of(depth.flip(-1), CAMERA).flip(2)
    assert torch.allclose(mirrored, normals_of(depth, CAMERA) * torch.tensor([-1.0, 1, 1], dtype=torch.float64))


def test_gradients_of_normals_are_those_of_finite_differences() -> None:
    camera = Pinhole.across_centres(5, math.radians(10))
    depth = (1 + 0.02 * torch.rand(1, 5, 5, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda d: normals_of(d, camera), (depth,))


def test_degenerate_depth_has_finite_normals_and_gradients() -> None:
    depth = torch.zeros(1, 6, 6, requires_grad=True)
    normals = normals_of(depth, Pinhole.across_centres(6, 0.2))
    normals.sum().backward()
    assert bool(normals.isfinite().all())
    assert depth.grad is not None and bool(depth.grad.isfinite().all())


def test_cross_is_the_vector_product(generator: torch.Generator) -> None:
    a, b = torch.randn(2, 4, 5, 3, generator=generator)
    assert torch.allclose(cross(a, b), torch.linalg.cross(a, b), atol=1e-6)


def test_a_paraboloid_is_near_in_the_middle_symmetric_and_without_offset() -> None:
    bowl = paraboloid(9)
    assert float(bowl.mean()) == pytest.approx(0, abs=1e-6)
    assert int(bowl.argmin()) == 40 and float(bowl[0, 0] - bowl[4, 4]) == pytest.approx(2)
    assert torch.allclose(bowl, bowl.T) and torch.allclose(bowl, bowl.flip(0))


def test_a_tall_paraboloid_rises_slower_from_top_to_bottom() -> None:
    bowl = paraboloid(9, tall=2.0)
    assert bowl.mean().abs() < 1e-6
    across, down = bowl[4, 0] - bowl[4, 4], bowl[0, 4] - bowl[4, 4]
    assert across.item() == pytest.approx(1.0) and down.item() == pytest.approx(0.25)
