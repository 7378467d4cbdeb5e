"""Meshes of pixel grids: which way triangles face, normals, and what is left out."""

import math

import pytest
import torch

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import cross, unproject
from unflat.geometry.meshes import Mesh, grid_triangles, only, relief_mesh, triangle_areas, vertex_normals

CAMERA = Pinhole(40.0, 40.0, 4.0, 3.0, 8, 6)


def test_two_triangles_a_cell_that_meet_in_its_rising_diagonal() -> None:
    """The paper's triangulation: 7938 triangles at 64 px."""
    assert len(grid_triangles(64, 64)) == 7938
    assert grid_triangles(2, 2).tolist() == [[0, 2, 1], [1, 2, 3]]
    assert grid_triangles(2, 3).tolist() == [[0, 3, 1], [1, 4, 2], [1, 3, 4], [2, 4, 5]]
    assert len(grid_triangles(1, 9)) == 0


def test_triangles_of_a_grid_cover_it_once_and_all_go_the_same_way() -> None:
    v, u = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    corners = torch.stack([u, v], -1).flatten(0, 1)[grid_triangles(6, 8).long()]
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    twice_area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    assert bool((twice_area == -1).all()) and len(corners) == 2 * 5 * 7


def test_vertex_normals_of_a_relief_point_towards_the_camera() -> None:
    vertices = unproject(torch.ones(2, 6, 8), CAMERA).flatten(1, 2)
    normals = vertex_normals(vertices, grid_triangles(6, 8))
    assert torch.allclose(normals, torch.tensor([0.0, 0, -1]).expand(2, 48, 3), atol=1e-5)


def test_vertex_normals_are_weighted_by_area() -> None:
    """A vertex shared by a triangle of area 1/2 across z and one of area 2 across x."""
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 2, 0], [0, 0, 2]])
    triangles = torch.tensor([[0, 1, 2], [0, 3, 4]], dtype=torch.int32)
    normal = vertex_normals(vertices, triangles)[0]
    assert torch.allclose(normal, torch.tensor([4.0, 0, 1]) / math.sqrt(17))
    alone = vertex_normals(torch.cat([vertices, torch.ones(1, 3)]), triangles)[-1]
    assert bool((alone == 0).all())  # no triangle, no normal


def test_a_relief_is_a_mesh_of_its_pixel_centres() -> None:
    depth = 1 + 0.1 * torch.rand(6, 8)
    texture = torch.rand(12, 16, 3)
    mesh = relief_mesh(depth, CAMERA, texture)
    assert mesh.vertices.shape == (48, 3) and len(mesh.triangles) == 2 * 5 * 7
    assert torch.allclose(mesh.vertices[:, 2], depth.flatten())
    assert mesh.uv is not None and mesh.normals is not None
    size = torch.tensor([8.0, 6.0])
    assert torch.allclose(CAMERA.project(mesh.vertices), mesh.uv * size, atol=1e-4)  # first and last centres included
    assert mesh.texture is texture
    a, b, c = mesh.vertices[mesh.triangles.long()].unbind(1)
    assert bool(((cross(b - a, c - a) * a).sum(-1) < 0).all())  # every triangle's front looks at the camera
    assert torch.allclose(mesh.normals.norm(dim=-1), torch.ones(48), atol=1e-5)


def test_a_hole_in_the_depth_is_a_hole_in_the_mesh() -> None:
    depth = torch.ones(6, 8)
    depth[2, 3] = math.nan
    mesh = relief_mesh(depth, CAMERA)
    assert len(mesh.vertices) == 47 and len(mesh.triangles) == 70 - 6
    assert bool(mesh.vertices.isfinite().all()) and mesh.normals is not None and bool(mesh.normals.isfinite().all())
    hole = CAMERA.rays()[2, 3]
    assert float((mesh.vertices - hole).norm(dim=1).min()) > 0.01
    nothing = relief_mesh(torch.full((6, 8), math.nan), CAMERA)
    assert len(nothing.vertices) == len(nothing.triangles) == 0


def test_only_keeps_what_its_triangles_need() -> None:
    vertices = torch.arange(15.0).view(5, 3)
    mesh = Mesh(
        vertices,
        torch.tensor([[0, 1, 2], [2, 3, 4], [4, 3, 1]], dtype=torch.int32),
        normals=vertices + 1,
        colours=vertices / 15,
        uv=vertices[:, :2],
        texture=torch.zeros(2, 2, 3),
    )
    kept = only(mesh, torch.tensor([False, True, False]))
    assert kept.vertices.tolist() == vertices[2:].tolist() and kept.triangles.tolist() == [[0, 1, 2]]
    assert kept.triangles.dtype == torch.int32
    assert kept.normals is not None and kept.normals.tolist() == (vertices[2:] + 1).tolist()
    assert kept.colours is not None and kept.uv is not None and len(kept.colours) == len(kept.uv) == 3
    assert kept.texture is mesh.texture
    everything = only(mesh, torch.tensor([True, True, True]))
    assert torch.equal(everything.triangles, mesh.triangles)
    assert torch.equal(everything.vertices, mesh.vertices)


def test_a_batch_of_meshes_has_its_own_normals(generator: torch.Generator) -> None:
    vertices = torch.rand(3, 9, 3, generator=generator)
    triangles = grid_triangles(3, 3)
    together = vertex_normals(vertices, triangles)
    assert torch.allclose(together[1], vertex_normals(vertices[1], triangles))
    assert together.norm(dim=-1).flatten().tolist() == pytest.approx([1.0] * 27, abs=1e-4)


def test_areas_of_triangles() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [3, 0, 0], [0, 0, 4], [6, 0, 0]])
    areas = triangle_areas(Mesh(vertices, torch.tensor([[0, 1, 2], [2, 1, 0], [0, 1, 3]], dtype=torch.int32)))
    assert areas.dtype == torch.float64 and areas.tolist() == [6, 6, 0]
