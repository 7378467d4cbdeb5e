"""Meshes of scenes whose surface a formula gives: a ball and a ring, by their density and by their depth."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from tests.oracles.ball import around, ball
from tests.oracles.ring import distance, ring
from unflat.data.kinds import Scene
from unflat.geometry.meshes import Mesh
from unflat.geometry.similarities import Similarity
from unflat.outputs.scene_mesh import Surface, described, painted, points_seen, scene_mesh, write_scene

CELLS = 48
CELL = 1.4 / CELLS
"""of a mesh that is drawn tight around the ball, at most"""
TURN = np.array([[0.0, -1.0, 0.0], [0.6, 0.0, -0.8], [0.8, 0.0, 0.6]])
WORLD = Similarity(0.1, TURN, np.array([5.0, -2.0, 1.0]))
METRES = Scene().placed(WORLD)


def radii(mesh: Mesh) -> torch.Tensor:
    return mesh.vertices.norm(dim=1)


def solid(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices.double().numpy(), mesh.triangles.numpy(), process=False)


@pytest.mark.parametrize("surface", ["density", "depth"])
def test_a_ball_comes_out_within_a_cell(surface: Surface) -> None:
    mesh = scene_mesh(ball(), around(), surface=surface, cells=CELLS)
    assert (radii(mesh) - 0.6).abs().max() < CELL
    read = solid(mesh)
    assert read.is_watertight and read.volume == pytest.approx(4 / 3 * np.pi * 0.6**3, rel=0.05)
    assert mesh.normals is not None
    assert ((mesh.normals * mesh.vertices).sum(1) / radii(mesh)).median() > 0.98, "normals point outwards"


@pytest.mark.parametrize("surface", ["density", "depth"])
def test_a_ring_comes_out_with_its_hole(surface: Surface) -> None:
    mesh = scene_mesh(ring(), around(36), surface=surface, cells=CELLS)
    assert distance(mesh.vertices).abs().max() < 1.5 * 1.8 / CELLS
    assert distance(mesh.vertices).abs().median() < 0.5 * 1.8 / CELLS
    read = solid(mesh)
    assert read.euler_number == 0, "it has one hole"


def test_depth_is_taken_unless_a_level_of_density_is_given() -> None:
    """The ball's density says another radius than its depth: which one it was is seen."""
    method = ball()
    method.field = lambda points, directions: (300.0 * (points.norm(dim=1) < 0.4).float(), points)  # type: ignore[method-assign]
    assert radii(scene_mesh(method, around(), cells=32)).median() == pytest.approx(0.6, abs=0.05)
    assert radii(scene_mesh(method, around(), cells=32, level=9.0)).median() == pytest.approx(0.4, abs=0.05)
    method.extent = method.extent.__class__(12, (40, 40), Scene("contracted"))
    assert radii(scene_mesh(method, around(), cells=32)).median() == pytest.approx(0.6, abs=0.05)


def test_what_a_scene_without_end_is_cut_out_of_is_left_out() -> None:
    """Half of a ball: its flat side, on the box, is there with floaters only, as what closes it."""
    method, box = ball(), [-1.0, -1.0, -1.0, 0.1, 1.0, 1.0]
    method.extent = method.extent.__class__(12, (40, 40), Scene("contracted"))
    whole, cut = (scene_mesh(method, around(), cells=CELLS, box=box, floaters=kept) for kept in (True, False))
    assert solid(whole).is_watertight and radii(whole).min() < 0.2
    assert (radii(cut) - 0.6).abs().max() < 1.5 * 2 / CELLS
    with pytest.raises(ValueError, match="no surface that a camera sees within the box"):
        scene_mesh(method, around(), cells=3, box=box)
    assert cut.vertices[:, 0].min() < -0.55 and -0.05 < cut.vertices[:, 0].max() < 0.1


def test_the_surface_is_where_a_cell_takes_half_of_the_light() -> None:
    """In a box of side 2, cells of 2/32 take half at ln 2 * 16 = 11.1, those of 2/64 at 22.2."""
    box = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    views = around()
    scene_mesh(ball(density=12.0), views, surface="density", cells=32, box=box)
    with pytest.raises(ValueError, match="level"):
        scene_mesh(ball(density=10.0), views, surface="density", cells=32, box=box)
    with pytest.raises(ValueError, match="level"):
        scene_mesh(ball(density=20.0), views, surface="density", cells=64, box=box)
    scene_mesh(ball(density=5.0), views, level=4.0, cells=32, box=box)  # a level that is given wins


def test_a_finer_mesh_does_not_ask_for_a_denser_field() -> None:
    """From 128 cells on the level stays: ln 2 * 64 = 44.4; of 192 cells it would be 66.5."""
    box = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    mesh = scene_mesh(ball(density=46.0, radius=0.3), around(), surface="density", cells=192, box=box)
    assert radii(mesh).max() < 0.3 + 2 / 192


def test_floaters_go_unless_they_are_wanted() -> None:
    method = ball(speck=0.055)
    mesh = scene_mesh(method, around(), surface="density", cells=96)
    assert radii(mesh).max() < 0.65
    kept = scene_mesh(method, around(), surface="density", cells=96, floaters=True)
    assert radii(kept).max() > 1.4


def test_holes_inside_go_unless_they_are_wanted() -> None:
    method = ball(hollow=0.35)
    assert radii(scene_mesh(method, around(), surface="density", cells=CELLS)).min() > 0.55
    assert radii(scene_mesh(method, around(), surface="density", cells=CELLS, floaters=True)).min() < 0.4


def test_of_a_density_only_what_a_camera_sees_is_kept() -> None:
    views = around(20, above=0.9)  # from above they see all above z = 0.6 * 0.6 / 3, and a little more from the side
    mesh = scene_mesh(ball(), views, surface="density", cells=CELLS)
    assert mesh.vertices[:, 2].min() > -0.4 and mesh.vertices[:, 2].max() > 0.55
    whole = scene_mesh(ball(), views, surface="density", cells=CELLS, floaters=True)
    assert whole.vertices[:, 2].min() < -0.55


def test_a_scene_seen_through_a_window_has_points_and_no_mesh(tmp_path: Path) -> None:
    method = ball(Scene("ndc"))
    with pytest.raises(ValueError, match=r"window \(ndc\).*points\.ply instead"):
        scene_mesh(method, around())
    (file,) = write_scene(method, around(), tmp_path / "points.ply", points=500)
    assert len(trimesh.load(file).vertices) == 500


def test_points_that_are_seen_lie_on_the_surface_and_have_its_colours() -> None:
    found = points_seen(ball(), around(6), count=300)
    assert len(found.places) == 300
    torch.testing.assert_close(found.places.norm(dim=1), torch.full((300,), 0.6), atol=1e-4, rtol=0)
    outwards = (found.normals * found.places).sum(1) / 0.6
    assert outwards.median() > 0.98
    assert found.colours is not None
    torch.testing.assert_close(found.colours, 0.5 + 0.5 * found.places / 0.6, atol=0.01, rtol=0)


def test_colours_are_those_of_the_field_at_the_surface() -> None:
    bare = scene_mesh(ball(), around(), cells=32)
    mesh = painted(ball(), bare, around())
    assert mesh.colours is not None
    expected = (0.5 + 0.5 * mesh.vertices / 0.6).clamp(0, 1)
    assert (mesh.colours - expected).abs().max() < 0.05
    few = painted(ball(), bare, around(), triangles=200)
    assert len(few.triangles) <= 220


@pytest.mark.parametrize("name", ["mesh.ply", "mesh.glb", "mesh.obj"])
def test_files_are_in_the_captures_own_world(tmp_path: Path, name: str) -> None:
    said: list[str] = []
    files = write_scene(
        ball(METRES), around(), tmp_path / name, cells=32, texture=64, triangles=400, report=said.append
    )
    assert files[0].name == name
    read = trimesh.load(files[0], process=False, force="mesh")
    places = np.asarray(read.vertices)
    if name.endswith("glb"):  # a matrix beside the numbers turns up to y
        scene = trimesh.load(files[0], process=False)
        (matrix,) = (scene.graph.get(node)[0] for node in scene.graph.nodes_geometry)
        places = (places - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T
        np.testing.assert_allclose(matrix[:3, :3] @ TURN[:, 2], [0, 1, 0], atol=1e-6)
    apart = np.linalg.norm(places - WORLD.translation, axis=1)
    np.testing.assert_allclose(apart, 0.06, atol=0.1 * 1.4 / 32)
    assert "in the capture's unit" in said[0] and "0.12" in said[0]


def test_the_mesh_is_turned_into_the_world_not_only_moved(tmp_path: Path) -> None:
    """The ball's colour says which way x points."""
    (file,) = write_scene(ball(METRES), around(), tmp_path / "mesh.ply", cells=32)
    read = trimesh.load(file, process=False)
    local = WORLD.inverse.apply(np.asarray(read.vertices))
    colours = np.asarray(read.visual.vertex_colors)[:, :3] / 255
    assert np.abs(colours - (0.5 + 0.5 * local / 0.6).clip(0, 1)).max() < 0.06


def test_loose_points_are_written_in_the_world(tmp_path: Path) -> None:
    said: list[str] = []
    (file,) = write_scene(ball(METRES), around(), tmp_path / "points.ply", points=250, cells=32, report=said.append)
    places = np.asarray(trimesh.load(file).vertices)
    assert places.shape == (250, 3) and said == ["250 points"]
    np.testing.assert_allclose(np.linalg.norm(places - WORLD.translation, axis=1), 0.06, atol=0.1 * 1.4 / 32)


def test_endings_that_say_no_format_are_refused_before_anything_is_done(tmp_path: Path) -> None:
    for name in ("mesh.stl", "mesh"):
        with pytest.raises(ValueError, match=r"the ending says the format; give a name in \.glb, \.ply, \.obj"):
            write_scene(ball(), around(), tmp_path / name)
    with pytest.raises(ValueError, match="loose points are written as PLY"):
        write_scene(ball(), around(), tmp_path / "mesh.glb", points=100)
    assert not list(tmp_path.iterdir())


def test_a_mesh_is_described_in_the_unit_of_the_captures_files() -> None:
    corner = Mesh(torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 2, 0]]), torch.tensor([[0, 1, 2]], dtype=torch.int32))
    assert described(corner, METRES) == "1 triangles, 0.1 x 0.2 x 0 in the capture's unit"


def test_where_there_is_no_surface_it_is_said_why() -> None:
    with pytest.raises(ValueError, match=r"no surface: .*the field goes from 0 to 300 there.* above 400"):
        scene_mesh(ball(), around(), level=400.0, cells=16)
    away = around(4)
    away.scene_from_camera[:, :3, :3] *= np.array([-1.0, 1.0, -1.0])  # turned about: the ball is behind them
    with pytest.raises(ValueError, match=r"from no camera .* opaque; train longer, or .*--surface density"):
        scene_mesh(ball(), away, surface="depth", cells=16)
    with pytest.raises(
        ValueError, match=r"no surface: nothing in the box.*behind what the views see; --surface density"
    ):
        scene_mesh(ball(), around(), surface="depth", cells=16, box=(0.7, 0.7, 0.7, 1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="cells is 0; give their number"):
        scene_mesh(ball(), around(), cells=0)
