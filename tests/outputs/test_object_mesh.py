"""An object's mesh: a solid of as many triangles as are asked for, and how well it was seen."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.outputs.test_sights import globe, joined, seen_from
from unflat.geometry.meshes import Mesh
from unflat.geometry.solids import solidity, welded
from unflat.outputs.object_mesh import object_mesh

SIDES = [(1.0, 0.0, 0.1), (0.9, 0.4, 0.1), (0.9, -0.4, 0.1)]


def field(points: Tensor, directions: Tensor) -> Tensor:
    return torch.zeros_like(points)


def test_an_object_comes_out_as_a_solid_with_a_texture() -> None:
    found = object_mesh(globe(), seen_from(*SIDES), field, triangles=1000, texture=64)
    mesh = found.mesh
    assert len(mesh.triangles) == len(found.cameras) and 900 < len(mesh.triangles) <= 1000
    assert mesh.texture is not None and max(mesh.texture.shape) == 64 and mesh.uv is not None
    assert found.solid.solid and solidity(welded(mesh)).solid
    assert found.solid.volume == pytest.approx(4 / 3 * torch.pi * 0.6**3, rel=0.02)
    middle = mesh.vertices[mesh.triangles.long()].mean(1)
    assert (found.cameras[middle[:, 0] > 0.45] == 3).all() and (found.cameras[middle[:, 0] < -0.4] == 0).all()
    assert 0.5 < found.barely_seen < 0.85
    assert "triangles, solid; " in str(found) and "% of the area is seen by fewer than 3 cameras" in str(found)


def test_sheets_that_touch_are_taken_apart_and_specks_left_out() -> None:
    ball = globe()
    touching = torch.cat([torch.arange(len(ball.vertices)), torch.arange(len(ball.vertices)) + len(ball.vertices)])
    touching[int(ball.vertices[:, 0].argmin()) + len(ball.vertices)] = int(ball.vertices[:, 0].argmax())
    two = joined(ball, Mesh(ball.vertices + torch.tensor([1.2, 0.0, 0.0]), ball.triangles))
    two = Mesh(two.vertices, touching.int()[two.triangles.long()])
    assert solidity(two).pinched_vertices == 1
    speck = globe((0.0, 0.0, 1.0), 0.02, 6)
    found = object_mesh(joined(two, speck), seen_from(*SIDES), field, texture=32)
    assert found.solid.solid and len(found.mesh.triangles) == 2 * len(ball.triangles)


def test_what_cannot_be_mended_is_said() -> None:
    ball = globe()
    found = object_mesh(replace(ball, triangles=ball.triangles[1:]), seen_from(*SIDES), field, texture=32)
    assert "not solid: 3 open edges;" in str(found)


def test_which_way_faces_what_was_barely_seen() -> None:
    found = object_mesh(globe(), seen_from(*SIDES), field, triangles=600, texture=32)
    corners = found.mesh.vertices[found.mesh.triangles.long()]
    height, every = corners[..., 2].mean(1), torch.full((len(corners),), 9)
    for way, poor in (("down", height < -0.4), ("up", height > 0.4), ("sideways", height.abs() < 0.2)):
        assert found._replace(cameras=every.where(~poor, 0)).barely_seen_faces == way
    assert found._replace(cameras=every).barely_seen_faces == ""
    assert found._replace(cameras=every * 0).barely_seen_faces == "", "as much of a ball faces one way as another"


def test_nothing_is_not_taken_away() -> None:
    ball = globe()
    with pytest.raises(ValueError, match="no surface to be taken away"):
        object_mesh(replace(ball, triangles=ball.triangles[:0]), seen_from(*SIDES), field)
