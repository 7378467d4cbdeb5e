"""Light on surfaces against closed forms."""

import math

import pytest
import torch

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import normals_of
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.rendering.shading import Light, lambertian

CAMERA = Pinhole.across_centres(16, math.radians(10))


def light(direction: tuple[float, float, float], ambient: float = 0.2, diffuse: float = 0.7) -> Light:
    towards = torch.tensor([direction]).float()
    return Light(torch.tensor([ambient]), torch.tensor([diffuse]), towards / towards.norm())


@pytest.mark.parametrize("degrees", [0.0, 30.0, 60.0, 89.0, 120.0])
def test_a_plane_is_as_bright_as_the_cosine_says(degrees: float) -> None:
    """A plane across the line of sight, lit from `degrees` beside the camera: behind it, only the ambient light."""
    angle = math.radians(degrees)
    normals = normals_of(torch.ones(1, 16, 16), CAMERA)
    shade = lambertian(normals, light((math.sin(angle), 0, -math.cos(angle))))
    assert shade.shape == (1, 16, 16)
    assert torch.allclose(shade, torch.full_like(shade, 0.2 + 0.7 * max(math.cos(angle), 0)), atol=1e-6)


def test_the_side_that_faces_the_light_is_the_brighter() -> None:
    """A roof: nearer in the middle, so its left half faces left, and a light from the left lights it."""
    across = (torch.arange(16) + 0.5 - 8).abs() * 0.003
    normals = normals_of((1 + across).expand(1, 16, 16), CAMERA)
    shade = lambertian(normals, light((-1, 0, -1)))
    assert float(shade[0, 2:-2, 2:6].min()) > float(shade[0, 2:-2, 10:14].max())


def test_shading_may_exceed_one_but_never_falls_under_the_ambient_light(generator: torch.Generator) -> None:
    normals = torch.nn.functional.normalize(torch.randn(1, 8, 8, 3, generator=generator), dim=-1)
    shade = lambertian(normals, light((0.3, -0.5, -1), ambient=0.9, diffuse=1.0))
    assert float(shade.max()) > 1 and float(shade.min()) == pytest.approx(0.9)


def test_each_picture_has_its_own_light() -> None:
    normals = normals_of(torch.ones(2, 16, 16), CAMERA)
    lights = Light(torch.tensor([0.1, 0.5]), torch.tensor([1.0, 0.0]), torch.tensor([[0.0, 0, -1], [0, 0, -1]]))
    shade = lambertian(normals, lights)
    assert shade[:, 0, 0].tolist() == pytest.approx([1.1, 0.5])
    assert torch.equal(lambertian(normals[1:], lights[1:]), shade[1:])


def test_turning_surface_and_light_together_changes_nothing(generator: torch.Generator) -> None:
    normals = torch.nn.functional.normalize(torch.randn(1, 8, 8, 3, generator=generator), dim=-1)
    turn = Rigid(rotation_from_euler(torch.tensor([[0.3, -0.8, 1.2]])), torch.tensor([[5.0, 6, 7]]))
    lit = light((0.4, 0.2, -1))
    turned = turn.turn(normals.flatten(1, 2)).view_as(normals)
    assert torch.allclose(lambertian(normals, lit), lambertian(turned, lit.turned(turn)), atol=1e-6)


def test_a_tilted_light_covers_its_ranges() -> None:
    """The paper's four numbers: strengths across their ranges, at most 45 degrees a side, from the camera's side."""
    q = torch.tensor([[-1.0, -1, 0, 0], [1, 1, 1, 0], [0, 0, 0, -1], [0, 0, 1, 1]])
    lights = Light.tilted(q, (0.1, 0.9), (0.5, 1.0))
    assert lights.ambient.tolist() == pytest.approx([0.1, 0.9, 0.5, 0.5])
    assert lights.diffuse.tolist() == pytest.approx([0.5, 1.0, 0.75, 0.75])
    half, third = 0.5**0.5, 3**-0.5
    wanted = torch.tensor([[0, 0, -1], [-half, 0, -half], [0, half, -half], [-third, -third, -third]])
    assert torch.allclose(lights.direction, wanted, atol=1e-6)


def test_gradients_reach_normals_and_light() -> None:
    depth = (1 + 0.02 * torch.rand(1, 16, 16)).requires_grad_()
    direction = torch.tensor([[0.3, 0.2, -0.9]], requires_grad=True)
    ambient, diffuse = torch.tensor([0.3], requires_grad=True), torch.tensor([0.6], requires_grad=True)
    lambertian(normals_of(depth, CAMERA), Light(ambient, diffuse, direction)).square().sum().backward()
    for leaf in (depth, direction, ambient, diffuse):
        assert leaf.grad is not None and bool(leaf.grad.isfinite().all()) and float(leaf.grad.abs().sum()) > 0
