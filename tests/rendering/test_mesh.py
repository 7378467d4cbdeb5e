"""The mesh renderer: closed forms, its two paths against each other, finite differences, pictures one can predict."""

import math

import pytest
import torch
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import unproject
from unflat.geometry.meshes import Mesh, grid_triangles
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.rendering.mesh import GREY, interpolate, rasterise, render_mesh, sample_texture

CAMERA = Pinhole(20.0, 20.0, 6.0, 5.0, 12, 10)
STILL = Rigid(torch.eye(3), torch.zeros(3))
QUAD = torch.tensor([[0, 2, 1], [1, 2, 3]], dtype=torch.int32)


def quad(slope: float = 0.0, half: float = 10.0, distance: float = 4.0) -> Tensor:
    """The square |x|, |y| < half of the plane z = distance + slope x."""
    corners = torch.tensor([[x, y, distance + slope * x] for y in (-half, half) for x in (-half, half)])
    return corners


def test_a_tilted_plane_has_the_depth_at_which_the_rays_meet_it() -> None:
    seen = rasterise(quad(slope=0.3)[None], QUAD, CAMERA)
    x = CAMERA.rays()[..., 0]
    torch.testing.assert_close(seen.depth[0], 4 / (1 - 0.3 * x), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.weights.sum(-1), torch.ones(1, 10, 12))


def test_interpolated_places_lie_on_the_rays(generator: torch.Generator) -> None:
    camera = Pinhole.across_centres(16, math.radians(10))
    depth = 1 + 0.01 * torch.randn(2, 16, 16, generator=generator)
    vertices = unproject(depth, camera).flatten(1, 2)
    triangles = grid_triangles(16, 16)
    seen = rasterise(vertices, triangles, camera)
    assert (seen.triangle >= 0).all()
    torch.testing.assert_close(seen.depth, depth, atol=1e-5, rtol=0)  # a relief seen from where it was taken
    places = interpolate(seen, triangles, vertices)
    torch.testing.assert_close(places, seen.depth[..., None] * camera.rays(), atol=1e-5, rtol=0)


def test_nothing_is_nan_in_depth_and_zero_otherwise() -> None:
    seen = rasterise(quad(half=0.3)[None], QUAD, CAMERA)
    nothing = seen.triangle < 0
    assert nothing.any() and not nothing.all()
    assert torch.equal(seen.depth.isnan(), nothing)
    assert not seen.weights[nothing].any()
    assert not interpolate(seen, QUAD, torch.ones(1, 4, 2))[nothing].any()


def test_with_gradient_and_without_are_the_same(generator: torch.Generator) -> None:
    vertices = quad(slope=0.2, half=1.0).repeat(2, 1, 1) + 0.1 * torch.randn(2, 4, 3, generator=generator)
    plain, tracked = rasterise(vertices, QUAD, CAMERA), rasterise(vertices.requires_grad_(), QUAD, CAMERA)
    assert torch.equal(plain.triangle, tracked.triangle)
    torch.testing.assert_close(plain.weights, tracked.weights.detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(plain.depth, tracked.depth.detach(), atol=1e-5, rtol=0, equal_nan=True)
    assert tracked.depth.requires_grad and not plain.depth.requires_grad


def test_gradients_are_those_of_finite_differences(generator: torch.Generator) -> None:
    vertices = (quad(slope=0.2) + 0.3 * torch.randn(4, 3, generator=generator)).double()[None]
    values = torch.randn(1, 4, 2, generator=generator, dtype=torch.double)

    def total(points: Tensor) -> Tensor:
        seen = rasterise(points, QUAD, CAMERA)
        return (seen.depth**2).mean() + interpolate(seen, QUAD, values).square().mean()

    points = vertices.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(total(points), points)
    for corner in range(4):
        for axis in range(3):
            step = torch.zeros_like(vertices)
            step[0, corner, axis] = 1e-5
            # through the path with gradient, which keeps double precision
            ahead, behind = (total((vertices + sign * step).requires_grad_()).item() for sign in (1, -1))
            assert gradient[0, corner, axis].item() == pytest.approx((ahead - behind) / 2e-5, rel=1e-3, abs=1e-5)


def test_attributes_of_one_mesh_or_of_each(generator: torch.Generator) -> None:
    vertices = torch.stack([quad(half=1.0), quad(half=0.6)])
    seen = rasterise(vertices, QUAD, CAMERA)
    own = torch.rand(2, 4, 3, generator=generator)
    shared = interpolate(seen, QUAD, own[:1])
    each = interpolate(seen, QUAD, own)
    assert torch.equal(shared[0], each[0]) and not torch.equal(shared[1], each[1])
    with pytest.raises(ValueError, match="given for 3 meshes, but fragments hold 2; give one set for all or one for"):
        interpolate(seen, QUAD, torch.zeros(3, 4, 1))


def test_a_texture_is_bilinear_between_the_centres_of_its_texels() -> None:
    texture = torch.tensor([[0.0, 1.0], [2.0, 3.0]])[..., None].expand(2, 2, 3)
    uv = torch.tensor([[0.25, 0.25], [0.75, 0.75], [0.5, 0.25], [0.25, 0.5], [0.5, 0.5], [0.0, 0.0], [1.0, 0.25]])
    expected = torch.tensor([0.0, 3.0, 0.5, 1.0, 1.5, 0.0, 1.0])
    torch.testing.assert_close(sample_texture(texture, uv), expected[:, None].expand(-1, 3))


def test_a_textured_relief_shows_its_texture_at_the_view_it_was_taken_from(generator: torch.Generator) -> None:
    camera = Pinhole.across_centres(16, math.radians(10))
    depth = 1 + 0.01 * torch.randn(1, 16, 16, generator=generator)
    centres = (torch.arange(16) + 0.5) / 16
    uv = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1).flatten(0, 1)
    texture = torch.rand(16, 16, 3, generator=generator)
    mesh = Mesh(unproject(depth, camera).flatten(0, 2), grid_triangles(16, 16), uv=uv, texture=texture)
    rgb, opacity = render_mesh(mesh, STILL, camera, supersample=1)
    torch.testing.assert_close(rgb, texture, atol=1e-3, rtol=0)
    assert (opacity == 1).all()


def test_a_pixel_that_is_half_covered_is_half_background() -> None:
    """At depth 4 and focal length 20, the edge x = 0.1 lies at u = 6.5: through the middle of column 6."""
    square = torch.tensor([[-9.0, -9, 4], [0.1, -9, 4], [-9, 9, 4], [0.1, 9, 4]])
    mesh = Mesh(square, QUAD, colours=torch.tensor([1.0, 0, 0]).expand(4, 3).contiguous())
    rgb, opacity = render_mesh(mesh, STILL, CAMERA, background=(0.0, 0.0, 1.0))
    torch.testing.assert_close(opacity[:, 5:8], torch.tensor([1.0, 0.5, 0.0]).expand(10, 3))
    torch.testing.assert_close(rgb[:, 6], torch.tensor([0.5, 0, 0.5]).expand(10, 3))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_a_headlight_shows_how_a_surface_is_tilted_on_both_its_sides(behind: bool, given: bool) -> None:
    slope = math.tan(math.radians(40))
    triangles = QUAD.flip(1) if behind else QUAD
    normals = torch.tensor([slope, 0.0, -1.0]) * math.cos(math.radians(40)) * (-1 if behind else 1)
    mesh = Mesh(quad(slope, half=2.5), triangles, normals=normals.expand(4, 3).contiguous() if given else None)
    rgb, _ = render_mesh(mesh, STILL, CAMERA, light=(0.0, 0.0, -5.0), ambient=0.2)
    expected = GREY * (0.2 + 0.8 * math.cos(math.radians(40)))
    torch.testing.assert_close(rgb, torch.full((10, 12, 3), expected), atol=1e-5, rtol=0)


def test_light_stays_with_the_camera_when_the_object_turns() -> None:
    """A square turned by 60 degrees about y shows the cosine of 60 degrees to a headlight."""
    turn = Rigid.about(
        torch.tensor([0.0, 0.0, 4.0]), rotation_from_euler(torch.tensor([0, math.radians(60), 0])), torch.zeros(3)
    )
    rgb, opacity = render_mesh(Mesh(quad(half=2.0), QUAD), turn, CAMERA, light=(0.0, 0.0, -1.0), ambient=0.0)
    torch.testing.assert_close(rgb[opacity == 1], torch.full_like(rgb[opacity == 1], GREY / 2), atol=1e-5, rtol=0)


def test_a_mesh_without_triangles_is_all_background() -> None:
    mesh = Mesh(torch.zeros(3, 3), torch.zeros(0, 3, dtype=torch.int32))
    rgb, opacity = render_mesh(mesh, STILL, CAMERA, background=(0.2, 0.4, 0.6))
    torch.testing.assert_close(rgb, torch.tensor([0.2, 0.4, 0.6]).expand(10, 12, 3))
    assert not opacity.any()


def test_no_samples_are_too_few() -> None:
    with pytest.raises(ValueError, match="supersample is 0; give a whole number of samples a side, at least 1"):
        render_mesh(Mesh(quad(), QUAD), STILL, CAMERA, supersample=0)
