"""The mesh of an object, from a capture to files, with a method that has hardly learned; what it learns is tested at
the method."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from unflat.data import object_checks
from unflat.data.kinds import Capture
from unflat.data.picture_checks import PictureChecks
from unflat.training import object_run
from unflat.training.checkpoint import CheckpointError
from unflat.training.object_report import stages_of
from unflat.training.object_run import MeshRun, check_request, mesh_of, surface_learned

from .metric_capture import SHIFT, from_truth, read_metric_capture, write_metric_capture

LITTLE = {"experiment": "tiny", "faces": 300, "texture": 64, "quiet": True}


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Capture:
    """A box of 12 cm somewhere in a world in metres."""
    return read_metric_capture(write_metric_capture(tmp_path_factory.mktemp("box"), side=24))


@pytest.fixture(scope="module")
def uncompared() -> Iterator[None]:
    """Pictures are not compared with one another, which takes a second: that is tested where it is done."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(object_checks, "check_pictures", lambda capture: PictureChecks())
        yield


@pytest.fixture(scope="module")
def made(capture: Capture, uncompared: None, tmp_path_factory: pytest.TempPathFactory) -> MeshRun:
    file = tmp_path_factory.mktemp("mesh") / "box.glb"
    return mesh_of(capture, file, previews=32, report=lambda said: None, **LITTLE)  # type: ignore[arg-type]


def test_all_that_belongs_to_a_mesh_is_beside_it(made: MeshRun) -> None:
    folder = made.file.parent / "box-mesh"
    assert made.file.name == "box.glb" and made.run.folder == folder / "run"
    assert [path.relative_to(folder).name for path in made.files[1:]] == [
        "textured.png", "shaded.png", "seen.png", "report.html",
    ]  # fmt: skip
    assert all(path.is_file() for path in made.files)
    for preview in made.previews:
        with Image.open(preview) as picture:
            assert picture.width == 4 * 32


def test_the_mesh_stands_where_the_object_is_in_metres(made: MeshRun) -> None:
    mesh = trimesh.load(made.file, force="mesh", process=False)
    up = trimesh.load(made.file).graph.get(next(iter(trimesh.load(made.file).graph.nodes_geometry)))[0]
    world = (np.asarray(mesh.vertices) - up[:3, 3]) @ up[:3, :3]  # as it was before viewers turn it upright
    assert np.linalg.norm(world.mean(0) - SHIFT) < 0.05 and np.median(from_truth(world)) < 0.02
    np.testing.assert_allclose(world.max(0) - world.min(0), made.size, rtol=1e-3)
    assert 0.08 < max(made.size) < 0.25


def test_three_facts_are_told(made: MeshRun) -> None:
    assert list(made.facts) == ["size", "triangles", "poorly seen"]
    assert made.facts["size"].endswith(" along x, y, z, in the capture's unit")
    assert made.facts["triangles"].startswith(f"{len(made.found.mesh.triangles):,}, solid, ")
    assert made.volume == pytest.approx(np.prod(made.size), rel=0.7)
    assert "of its area, by fewer than 3 cameras" in made.facts["poorly seen"]
    assert not [warning for warning in made.warnings if "of its surface" in warning]
    poor = replace(made, found=made.found._replace(cameras=torch.zeros(len(made.found.cameras), dtype=torch.long)))
    assert poor.facts["poorly seen"].startswith("100.0% of its area")
    assert poor.facts["poorly seen"].endswith(f"; red and purple in {made.previews[2]}")


def test_the_page_shows_every_stage(made: MeshRun) -> None:
    assert made.page is not None
    page = made.page.read_text()
    assert "<model-viewer" in page and "data:model/gltf-binary" in page
    assert "How well it was seen" in page and "after 5 steps" in page and made.facts["triangles"] in page
    stages = list(stages_of(made.run.folder))
    assert 2 <= len(stages) <= 4 and stages[-1] == "after 5 steps"


def test_other_formats_are_written_from_the_run_that_is_there(
    made: MeshRun, capture: Capture, uncompared: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(made.run.method), "losses", None)  # nothing is learned again
    for ending, beside in ((".obj", {".mtl", ".png"}), (".ply", set())):
        again = mesh_of(capture, tmp_path / f"one{ending}", run=made.run.folder, previews=0, **LITTLE)  # type: ignore[arg-type]
        assert again.page is None and {file.suffix for file in again.files} == {ending, *beside}
        np.testing.assert_allclose(trimesh.load(again.file, force="mesh").extents, made.size, rtol=1e-3)


def test_a_run_with_other_settings_is_not_gone_on_with(made: MeshRun, capture: Capture, uncompared: None) -> None:
    with pytest.raises(CheckpointError, match=r"holds a run with other settings: count was 20, is 9"):
        mesh_of(capture[:9], made.file, report=lambda said: None, **LITTLE)  # type: ignore[arg-type]


def test_what_cannot_be_made_is_told_before_anything_is_looked_at(capture: Capture) -> None:
    with pytest.raises(ValueError, match=r"box.stl: the ending says the format; give a name in .glb, .ply, .obj"):
        mesh_of(capture, "box.stl")
    for name, wrong in (("faces", 3), ("texture", 0), ("steps", 0), ("previews", -1)):
        asked = {"faces": None, "texture": 64, "steps": None, "previews": 0} | {name: wrong}
        with pytest.raises(ValueError, match=rf"{name} is {wrong}; give at least \d, or leave it out for"):
            check_request(Path("box.glb"), **asked)  # type: ignore[arg-type]


def test_no_surface_is_told(made: MeshRun, capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(made.run.method), "field", lambda self, p, d: (torch.ones(len(p)), torch.ones(len(p), 3)))
    with pytest.raises(ValueError, match=r"no surface was learned .* Look at the sample pictures in the run's folder"):
        surface_learned(made.run.method, capture.viewpoints)


@pytest.mark.soak
def test_the_command_finds_the_box(tmp_path: Path) -> None:
    whole = read_metric_capture(write_metric_capture(tmp_path / "box", 60, 100))
    found = mesh_of(whole, tmp_path / "box.ply", previews=0, quiet=True)
    apart = from_truth(np.asarray(trimesh.load(found.file, process=False).vertices))
    assert found.found.solid.solid and np.median(apart) < 1e-3 and np.quantile(apart, 0.95) < 4e-3
    assert object_run.METHOD == "quick_surface"
