"""`unflat data`: captures are looked at, made and generated from the command line."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from unflat.cli.main import main
from unflat.data import structure_from_motion
from unflat.data.captures import read_capture
from unflat.data.structure_from_motion import Placed, Skipped
from unflat.outputs.video import write_video
from unflat.worlds.faces import Faces
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("data") / "vase"
    Objects("vase", 12, 64).write(place, progress=False)
    return place


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command says with --json."""
    capsys.readouterr()
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_capture_is_inspected(capture: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "data", "inspect", str(capture))
    assert found["reader"] == "blender" and found["usable"] == 12 and found["warnings"] == []
    assert (found["cameras"], found["sheet"]) == ("vase-cameras.png", "vase-sheet.png")
    for name in ("cameras", "sheet"):
        with Image.open(here / found[name]) as picture:
            assert picture.format == "PNG"


def test_the_table_and_where_the_pictures_are_is_printed(
    capture: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "inspect", str(capture), "--cameras", "a/rig.png", "--sheet", "b/sheet.png"]) == 0
    out = capsys.readouterr().out
    assert "12 of 12 pictures" in out and "cameras and box: a/rig.png" in out and "pictures: b/sheet.png" in out
    assert (here / "a/rig.png").is_file() and (here / "b/sheet.png").is_file()


def test_photos_are_inspected_as_before(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "cats").mkdir()
    for index, rgb in enumerate(Faces(3, size=32).photos(progress=False).rgb):
        Image.fromarray(rgb).save(here / "cats" / f"{index}.png")
    found = said(capsys, "data", "inspect", "cats", "--size", "16")
    assert found["usable"] == 3 and found["sheet"] == "cats-sheet.png" and (here / "cats-sheet.png").is_file()


def test_options_of_the_other_kind_are_refused(capture: Path, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", str(capture), "--crop", "face"]) == 2
    assert "--crop is about photos" in capsys.readouterr().err
    (here / "cats").mkdir()
    assert main(["data", "inspect", "cats", "--space", "ndc"]) == 2
    assert "--space is about captures" in capsys.readouterr().err


def test_an_object_is_written_and_read_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = said(capsys, "data", "objects", "torus", "out", "--views", "6", "--size", "40", "--video")
    names = {Path(path).name for path in written["files"]}
    assert {"transforms_train.json", "transforms_val.json", "transforms_test.json", "mesh.glb"} <= names
    assert names & {"turntable.mp4", "turntable.webp"}
    again = read_capture("out", progress=False)
    assert len(again) == 6 + 2 + 2 and again.has_alpha and again.pinholes[0].width == 40
    truth = Objects("torus", 6, 40)
    mesh = trimesh.load(here / "out" / "mesh.glb", force="mesh", process=False)
    expected = truth.world_from_scene.apply(truth.mesh().vertices.numpy())
    # the file turns z, which is up, to glTF's y
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), np.ptp(expected, axis=0)[[0, 2, 1]], rtol=1e-4)


def test_a_folder_with_one_mesh_is_a_shape(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "data", "objects", "box", "first", "--views", "2", "--size", "8")
    (here / "scan").mkdir()
    assert main(["data", "objects", "scan", "second"]) == 2
    assert "one mesh (.obj or .glb) is needed in it; there is none" in capsys.readouterr().err
    (here / "first" / "mesh.glb").rename(here / "scan" / "mesh.glb")
    written = said(capsys, "data", "objects", "scan", "second", "--views", "2", "--size", "8")
    assert len(written["files"]) == 4 and len(read_capture("second", split="train", progress=False)) == 2


PLACED = Placed(
    folder=Path("out"), found=9, used=8, placed=7, unplaced=(Skipped("a.jpg", "shares too little"),), skipped=(),
    error=0.75, track_length=5.5, points=321, models=1, warnings=("only 7 of 8",),
)  # fmt: skip


def test_cameras_of_photos_are_worked_out(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options reach what does it, and what became of the pictures is told."""
    asked: list[Any] = []

    def place(*given: Any, **options: Any) -> Placed:
        asked.append((given, options))
        return PLACED

    monkeypatch.setattr(structure_from_motion, "place_cameras", place)
    assert main(["data", "capture", "photos", "out", "--count", "50", "--own-cameras", "--lens", "RADIAL"]) == 0
    assert asked[0][0] == (Path("photos"), Path("out"))
    assert asked[0][1]["count"] == 50 and asked[0][1]["shared_camera"] is False and asked[0][1]["model"] == "RADIAL"
    out = capsys.readouterr().out
    for part in ("7 of 8 pictures have a camera", "0.75 pixels", "a.jpg shares too little", "warning: only 7 of 8"):
        assert part in out
    found = said(capsys, "data", "capture", "photos", "out")
    assert found["unplaced"] == [{"name": "a.jpg", "why": "shares too little"}] and found["error"] == 0.75


def test_a_video_becomes_a_capture(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From a turntable, whose cameras are known, by way of a video and structure from motion."""
    pytest.importorskip("pycolmap")
    pytest.importorskip("av")
    around = Objects("vase").turntable(24, 200, progress=False)
    write_video(here / "vase.mp4", (around.picture(index) for index in range(8)))
    found = said(capsys, "data", "capture", "vase.mp4", "out", "--lens", "SIMPLE_PINHOLE", "--threads", "1")
    assert found["placed"] >= 6 and found["error"] < 1.5
    looked = said(capsys, "data", "inspect", "out")
    assert looked["reader"] == "colmap" and looked["points"] > 50 and looked["usable"] == found["placed"]
    assert looked["warnings"] == [] and looked["checks"]["colours agree at points"] > 0.5


def test_photos_without_pycolmap_are_told_what_to_install(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    assert main(["data", "capture", "photos", "out"]) == 2
    assert "pip install 'unflat[sfm]'" in capsys.readouterr().err
