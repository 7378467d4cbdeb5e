"""`unflat mesh` as a person and a script meet it. What it makes is looked at in tests/training/test_object_run.py, and
the whole command is run where the docs' commands are."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unflat.cli.main import main
from unflat.data import structure_from_motion
from unflat.outputs.paths import looking
from unflat.training import object_run

Ran = Callable[..., tuple[int, str, str]]
FACTS = {"size": "1 x 2 x 3", "triangles": "12, solid", "poorly seen": "0.0%"}


class Made(SimpleNamespace):
    """What stands in for a mesh that was made."""

    def __init__(self, file: Path, **more: Any) -> None:
        solid = SimpleNamespace(solid=True)
        found = SimpleNamespace(mesh=SimpleNamespace(triangles=range(12)), solid=solid, barely_seen=0.25)
        super().__init__(
            file=file, found=found, facts=FACTS, page=Path("report.html"), files=[file], size=(1.0, 2.0, 3.0),
            volume=6.0, warnings=("one",), run=SimpleNamespace(folder=Path("run")),
        )  # fmt: skip


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What `mesh_of` was asked for: (capture, file, the rest)."""
    calls: list[Any] = []

    def mesh_of(capture: Any, file: Path, **more: Any) -> Made:
        calls.append((capture, file, more))
        file.write_bytes(b"mesh")
        return Made(file)

    monkeypatch.setattr(object_run, "mesh_of", mesh_of)
    return calls


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, asked: list[Any]) -> Ran:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["mesh", *map(str, arguments)])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for index in range(16):
        Image.new("RGB", (16, 16), (index, 0, 0)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def crate(photos: Path, tmp_path: Path) -> Path:
    """A capture of them whose file does not say which are for testing."""
    turn = np.arange(16) / 16 * 2 * np.pi
    out = np.stack([np.cos(turn), np.sin(turn), np.zeros(16)], 1)
    poses = looking(3 * out, -out) @ np.diag([1.0, -1.0, -1.0, 1.0])
    frames = [
        {"file_path": str(photos / f"{i}.png"), "transform_matrix": pose.tolist()} for i, pose in enumerate(poses)
    ]
    (tmp_path / "crate").mkdir()
    (tmp_path / "crate" / "transforms.json").write_text(json.dumps({"camera_angle_x": 0.7, "frames": frames}))
    return tmp_path / "crate"


def test_a_capture_becomes_a_mesh(ran: Ran, asked: list[Any], crate: Path) -> None:
    code, out, err = ran(crate, "-o", "box.obj", "--faces", "100", "--texture", "64", "--steps", "9", "--side", "8")
    ((capture, file, more),) = asked
    assert code == 0, err
    assert out.splitlines() == [
        "size: 1 x 2 x 3", "triangles: 12, solid", "poorly seen: 0.0%",
        "The mesh is in box.obj, 0.0 MB. Open report.html in a browser.",
    ]  # fmt: skip
    assert len(capture) == 16, "all of them: the file does not say which are for testing"
    assert capture.pinholes[0].width == 8 and file == Path("box.obj")
    assert (more["faces"], more["texture"], more["steps"], more["previews"]) == (100, 64, 9, object_run.PREVIEW)
    assert more["experiment"] == "small" and more["resume"] and more["run"] is None


def test_scripts_get_one_object(ran: Ran, crate: Path) -> None:
    code, out, err = ran(crate, "--json", "--quiet")
    assert code == 0 and "triangles: 12" in err
    assert json.loads(out) == {
        "files": ["crate.glb"], "page": "report.html", "run": "run", "size": [1.0, 2.0, 3.0], "triangles": 12,
        "solid": True, "volume": 6.0, "barely_seen": 0.25, "warnings": ["one"],
    }  # fmt: skip


def test_tiny_is_small(ran: Ran, asked: list[Any], crate: Path) -> None:
    assert ran(crate, "--tiny", "--faces", "9000", "--previews", "0")[0] == 0
    ((capture, file, more),) = asked
    assert len(capture) == 12 and file == Path("crate.glb")
    assert (more["faces"], more["texture"], more["previews"], more["experiment"]) == (500, 64, 0, "tiny")


def test_bare_photos_get_cameras_first_and_only_once(
    ran: Ran, asked: list[Any], photos: Path, crate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Structure from motion is stood in for: it finds the capture."""
    placed: list[Path] = []

    def place(source: Path, out: Path) -> SimpleNamespace:
        placed.append(source)
        out.parent.mkdir(parents=True)
        out.symlink_to(crate)
        return SimpleNamespace(placed=15, used=16, warnings=("one is loose",))

    monkeypatch.setattr(structure_from_motion, "place_cameras", place)
    code, out, err = ran(photos, "-o", "mine.glb")
    assert code == 0 and placed == [photos] and len(asked[0][0]) == 16
    assert "cameras: 15 of 16 pictures have one" in out and "The unit of what follows is arbitrary" in out
    assert "warning: one is loose" in err
    code, out, _ = ran(photos, "-o", "mine.glb")
    assert code == 0 and len(placed) == 1 and "as they were worked out before, in mine-mesh/capture; remove it" in out


def test_what_is_no_pictures_of_an_object_is_told(ran: Ran, asked: list[Any], crate: Path) -> None:
    code, _, err = ran("nowhere")
    assert code == 2 and "nowhere does not exist: give the folder of a capture, a folder of photos, or a video" in err
    code, _, err = ran("faces:20")
    assert code == 2 and "faces:20 show many things, each once" in err and "vase" in err
    code, _, err = ran(crate, "-o", "box.stl")
    assert code == 2 and "give a name in .glb, .ply, .obj" in err
    code, _, err = ran(crate, "--faces", "2")
    assert code == 2 and "faces is 2; give at least 4, or leave it out for 20000" in err
    assert not asked


def test_too_few_photos_are_told_before_cameras_are_worked_out(ran: Ran, photos: Path) -> None:
    for index in range(3, 16):
        (photos / f"{index}.png").unlink()
    code, _, err = ran(photos)
    assert code == 2 and "3 pictures are too few for the mesh of an object: at least 8 are needed" in err
    assert not Path("photos").with_suffix(".glb").exists() and not (photos / "capture").exists()
