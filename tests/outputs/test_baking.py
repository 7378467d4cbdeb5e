"""Colours of a field on a mesh: from which direction it is asked, and that a texture gives back what was baked."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from unflat.geometry.depth import cross
from unflat.geometry.meshes import Mesh, triangle_areas
from unflat.outputs.baking import coloured, points_of, textured
from unflat.outputs.mesh import vertex_colours
from unflat.outputs.surfaces import surface_of
from unflat.rendering.mesh import sample_texture

CUBE = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
RADIUS = 0.7


def sphere(points: Tensor) -> Tensor:
    return points.norm(dim=-1) - RADIUS


def torus(points: Tensor) -> Tensor:
    return torch.hypot(points[:, :2].norm(dim=-1) - 0.6, points[:, 2]) - 0.25


def brick(points: Tensor) -> Tensor:
    """Turned, so that no side lies along an axis; edges are sharp."""
    turned = points @ torch.tensor([[0.8, 0.6, 0.0], [-0.36, 0.48, 0.8], [0.48, -0.64, 0.6]])
    return (turned.abs() - torch.tensor([0.6, 0.4, 0.2])).amax(-1)


def of_place(points: Tensor, directions: Tensor) -> Tensor:
    return (points + 1) / 2


def of_direction(points: Tensor, directions: Tensor) -> Tensor:
    assert torch.allclose(directions.norm(dim=-1), torch.ones(len(directions)), atol=1e-5)
    return (directions + 1) / 2


@pytest.fixture(scope="module")
def globe() -> Mesh:
    return surface_of(sphere, CUBE, 20, 0.0, "below")


def directions_of(mesh: Mesh) -> Tensor:
    assert mesh.colours is not None
    return mesh.colours * 2 - 1


def test_without_cameras_the_surface_is_seen_along_its_normals(globe: Mesh) -> None:
    mesh = coloured(globe, of_direction)
    assert torch.allclose(directions_of(mesh), -globe.vertices / RADIUS, atol=0.12)  # of a coarse mesh
    assert torch.equal(mesh.vertices, globe.vertices) and torch.equal(mesh.triangles, globe.triangles)


def test_a_vertex_is_seen_from_the_cameras_that_it_faces_most_squarely(globe: Mesh, generator: torch.Generator) -> None:
    views = torch.randn(12, 3, generator=generator)
    views = 3 * views / views.norm(dim=-1, keepdim=True) + torch.tensor([0.0, 1.0, 0.0])
    found = directions_of(coloured(globe, of_direction, views))
    assert globe.normals is not None
    for place, normal, direction in zip(globe.vertices[::7], globe.normals[::7], found[::7], strict=True):
        sights = [(place - view) / (place - view).norm() for view in views]
        facing = sorted((s for s in sights if s @ normal < 0), key=lambda s: float(s @ normal))[:3]
        expected = sum(facing, torch.zeros(3)) if facing else -normal
        assert torch.allclose(direction, expected / expected.norm(), atol=1e-5)


def test_where_no_camera_looks_the_normal_stands_in(globe: Mesh) -> None:
    view = torch.tensor([[0.0, 0.0, 4.0]])
    found = directions_of(coloured(globe, of_direction, view))
    z = globe.vertices[:, 2]
    seen, away = z > RADIUS**2 / 4 + 0.05, z < RADIUS**2 / 4 - 0.05  # the horizon of a sphere seen from distance 4
    towards = globe.vertices - view
    assert torch.allclose(found[seen], (towards / towards.norm(dim=-1, keepdim=True))[seen], atol=1e-5)
    assert torch.allclose(found[away], -globe.vertices[away] / RADIUS, atol=0.12)


def test_colours_stay_in_range_and_nothing_else_is_taken(globe: Mesh) -> None:
    mesh = coloured(globe, lambda points, directions: 3 * points)
    assert torch.allclose(mesh.colours, (3 * globe.vertices).clamp(0, 1))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(\d+, 1\) .* three finite numbers"):
        coloured(globe, lambda points, directions: points[:, :1])
    with pytest.raises(ValueError, match=r"\d+ of them not finite"):
        coloured(globe, lambda points, directions: points.log())


def spots(mesh: Mesh, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Triangles, places and uv of points all over a textured mesh, a third of them on edges, where seams are."""
    assert mesh.uv is not None
    chosen = torch.arange(len(mesh.triangles)).repeat(12)
    weights = -torch.rand(len(chosen), 3, generator=generator).log()
    weights[::3, 0] = 0
    weights = (weights / weights.sum(-1, keepdim=True))[..., None]
    corners = mesh.triangles[chosen].long()
    return chosen, (mesh.vertices[corners] * weights).sum(1), (mesh.uv[corners] * weights).sum(1)


def texel_sides(mesh: Mesh) -> Tensor:
    """For each triangle, the largest length on the surface that one texel covers there."""
    assert mesh.uv is not None and mesh.texture is not None
    size = mesh.uv.new_tensor([mesh.texture.shape[1], mesh.texture.shape[0]])
    a, b, c = mesh.vertices[mesh.triangles.long()].double().unbind(1)
    p, q, r = (mesh.uv * size)[mesh.triangles.long()].double().unbind(1)
    in_texture, in_space = torch.stack([q - p, r - p], -1), torch.stack([b - a, c - a], -1)
    return torch.linalg.matrix_norm(in_space @ torch.linalg.inv(in_texture), 2)


@pytest.mark.parametrize(("field", "side"), [(sphere, 256), (torus, 512), (torus, 128), (brick, 256)])
def test_a_texture_gives_back_the_baked_colours(field, side: int, generator: torch.Generator) -> None:  # type: ignore[no-untyped-def]
    """Colour is place, so a colour that is off tells by how far: by no more than a texel, but for the two sides of a
    slit in a chart, which share texels."""
    mesh = textured(surface_of(field, CUBE, 24, 0.0, "below"), of_place, side, triangles=1000)
    assert mesh.texture is not None and max(mesh.texture.shape) == side and mesh.colours is None
    sides = texel_sides(mesh)
    assert sides.median() < 2.5 * (triangle_areas(mesh).sum().sqrt() / side), "the atlas is well filled"
    chosen, places, uv = spots(mesh, generator)
    off = (sample_texture(mesh.texture, uv) * 2 - 1 - places).norm(dim=-1)
    texels = off / sides[chosen]
    assert texels.mean() < 0.1 and texels.quantile(0.999) < 1 and texels.max() < 4


def test_texturing_keeps_the_surface(generator: torch.Generator) -> None:
    before = surface_of(torus, CUBE, 20, 0.0, "below")
    mesh = textured(before, of_place, 128)
    assert len(mesh.triangles) == len(before.triangles) > 1000, "few enough to be left alone"
    assert torch.equal(mesh.vertices[mesh.triangles.long()], before.vertices[before.triangles.long()])
    assert mesh.normals is not None and before.normals is not None
    assert torch.equal(mesh.normals[mesh.triangles.long()], before.normals[before.triangles.long()])
    assert len(textured(before, of_place, 64, triangles=400).triangles) <= 400


def test_no_texel_has_a_colour_from_nowhere() -> None:
    mesh = textured(surface_of(torus, CUBE, 20, 0.0, "below"), lambda p, d: torch.full_like(p, 0.25), 128)
    assert mesh.texture is not None and bool((mesh.texture == 0.25).all())


@pytest.mark.parametrize("size", [1e-3, 1e3])
def test_a_texture_does_not_depend_on_the_unit(size: float, generator: torch.Generator) -> None:
    """xatlas leaves triangles out by their area."""
    before = surface_of(torus, CUBE, 20, 0.0, "below")
    before = Mesh(before.vertices * size, before.triangles)
    mesh = textured(before, lambda p, d: (p / size + 1) / 2, 256)
    assert mesh.texture is not None and mesh.uv is not None
    p, q, r = mesh.uv[mesh.triangles.long()].unbind(1)
    assert (cross(*(torch.nn.functional.pad(e, (0, 1)) for e in (q - p, r - p))).norm(dim=-1) > 0).all()
    _, places, uv = spots(mesh, generator)
    assert (sample_texture(mesh.texture, uv) * 2 - 1 - places / size).norm(dim=-1).max() < 0.1


def test_a_texture_needs_triangles_and_texels(globe: Mesh) -> None:
    with pytest.raises(ValueError, match="a texture of 0 texels"):
        textured(globe, of_place, 0)
    with pytest.raises(ValueError, match="for 0 triangles"):
        textured(replace(globe, triangles=globe.triangles[:0]), of_place)


def test_points_lie_on_the_surface_with_its_normals_and_colours() -> None:
    mesh = coloured(surface_of(torus, CUBE, 40, 0.0, "below"), of_place)
    points = points_of(mesh, 5000)
    assert points.places.shape == (5000, 3) and torus(points.places).abs().max() < 5e-3
    assert points.colours is not None and torch.allclose(points.colours, (points.places + 1) / 2, atol=1e-5)
    ring = 0.6 * points.places * torch.tensor([1.0, 1.0, 0.0]) / points.places[:, :2].norm(dim=-1, keepdim=True)
    assert ((points.places - ring) * points.normals).sum(-1).min() > 0.25 * 0.98
    assert torch.allclose(points.normals.norm(dim=-1), torch.ones(5000), atol=1e-5)
    # by area, the outer half of a torus has 1/2 + r / (pi R) of the points
    outer = (points.places[:, :2].norm(dim=-1) > 0.6).float().mean().item()
    assert outer == pytest.approx(0.5 + 0.25 / (math.pi * 0.6), abs=0.02)
    assert torch.equal(points.places, points_of(mesh, 5000).places)
    assert not torch.equal(points.places, points_of(mesh, 5000, seed=1).places)


def test_points_are_shared_out_by_area() -> None:
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [10, 0, 0], [13, 0, 0], [10, 1, 0]])
    mesh = Mesh(corners, torch.tensor([[0, 1, 2], [3, 4, 5]], dtype=torch.int32))
    points = points_of(mesh, 4000)
    near = points.places[points.places[:, 0] < 5]
    assert abs(len(near) - 1000) <= 1 and points.colours is None
    assert torch.allclose(near.mean(0), torch.tensor([1 / 3, 1 / 3, 0]), atol=0.02), "evenly within a triangle"
    assert torch.allclose((near**2).mean(0)[:2], torch.full((2,), 1 / 6), atol=0.02)


def test_points_of_a_texture_have_its_colours() -> None:
    mesh = textured(surface_of(sphere, CUBE, 20, 0.0, "below"), of_place, 256)
    points = points_of(mesh, 1000)
    assert points.colours is not None and (points.colours - (points.places + 1) / 2).norm(dim=-1).max() < 0.02
    vertices = points_of(mesh)
    assert torch.equal(vertices.places, mesh.vertices)
    assert torch.equal(vertices.colours, vertex_colours(mesh))  # type: ignore[arg-type]


def test_no_points_are_drawn_on_nothing(globe: Mesh) -> None:
    with pytest.raises(ValueError, match="cannot draw 0 points"):
        points_of(globe, 0)
    with pytest.raises(ValueError, match="on 0 triangles"):
        points_of(replace(globe, triangles=globe.triangles[:0]), 10)
