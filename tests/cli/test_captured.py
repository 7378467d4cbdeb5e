"""`unflat train`, `render`, `export` and `report` on captures, as a person and a script meet them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import trimesh

from tests.training.metric_capture import write_metric_capture
from unflat.cli.main import main

Ran = Callable[..., tuple[int, str, str]]
FEW = ("--side", "24", "--training.steps", "60", "--config.until", "20", "--config.stages", "0.5", "1.0")
QUICK = (*FEW, "--config.smaller", "1", "1", "--config.batch-size", "2048", "--quiet")


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_metric_capture(tmp_path_factory.mktemp("box"), side=24)


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    assert main(["train", "quick_grid", str(folder), "--out", str(out), *QUICK]) == 0
    return out


def test_data_alone_are_enough_to_train(ran: Ran, tmp_path: Path) -> None:
    code, out, _ = ran("train", "vase:20", "--tiny", "--out", tmp_path / "run")
    assert code == 0
    assert "vase:20 is a capture (posed pictures of one scene): quick_grid is taken" in out
    assert "PSNR" in out and "rays/s" in out and "2 held-out pictures" in out
    assert f"unflat render {tmp_path / 'run'}" in out and f"unflat report {tmp_path / 'run'}" in out


def test_a_folder_with_cameras_is_a_capture(ran: Ran, folder: Path, tmp_path: Path) -> None:
    code, out, _ = ran("train", folder, "--tiny", "--out", tmp_path / "run", "--json")
    assert code == 0 and json.loads(out)["run"] == str(tmp_path / "run")
    code, _, err = ran("train", "unsup3d", folder, "--out", tmp_path / "other")
    assert code == 2 and "unsup3d takes Photos" in err and "take quick_grid" in err


def test_render_writes_videos_and_says_where(ran: Ran, trained: Path, tmp_path: Path) -> None:
    code, out, _ = ran("render", trained, "--out", tmp_path, "--frames", "3", "--side", "12", "--no-pictures")
    assert code == 0 and "rgb." in out and "camera_path.json" in out and not (tmp_path / "rgb").exists()
    # the path that was written is one to be rendered
    again = ran("render", trained, "--out", tmp_path / "2", "--path", tmp_path / "camera_path.json", "--json")
    files = [Path(file).name for file in json.loads(again[1])["files"]]
    assert files.count("0002.png") == 3 and "0003.png" not in files


def test_render_says_which_paths_there_are(ran: Ran, trained: Path, tmp_path: Path) -> None:
    code, _, err = ran("render", trained, "--out", tmp_path / "out", "--path", "spiral")
    assert code == 2 and "there is no path 'spiral': give orbit, train, interpolate" in err
    (tmp_path / "odd.json").write_text('{"cameras": []}')
    code, _, err = ran("render", trained, "--out", tmp_path / "out", "--path", tmp_path / "odd.json")
    assert code == 2 and "odd.json" in err
    assert not (tmp_path / "out").exists(), "nothing is written before the path is known"


def test_export_writes_the_mesh_that_is_asked_for(ran: Ran, trained: Path, tmp_path: Path) -> None:
    code, out, _ = ran("export", trained, tmp_path / "mesh.ply", "--cells", "32", "--triangles", "500")
    assert code == 0 and "triangles" in out and "in the capture's unit" in out and "MB" in out
    assert 300 < len(trimesh.load(tmp_path / "mesh.ply").faces) <= 520
    code, out, err = ran("export", trained, tmp_path / "points.ply", "--cells", "32", "--points", "200", "--json")
    assert code == 0 and json.loads(out) == {"files": [str(tmp_path / "points.ply")], "said": ["200 points"]}
    assert "points.ply" in err


def test_export_says_which_endings_there_are(ran: Ran, trained: Path, tmp_path: Path) -> None:
    code, _, err = ran("export", trained, tmp_path / "mesh.stl")
    assert code == 2 and "give a name in .glb, .ply, .obj, or points.ply" in err
    code, _, err = ran("export", trained, tmp_path / "mesh.glb", "--level", "1e9", "--cells", "16")
    assert code == 2 and "level" in err


def test_a_report_takes_the_captures_own_test_pictures(ran: Ran, trained: Path, tmp_path: Path) -> None:
    code, out, _ = ran("report", trained, "--out", tmp_path, "--frames", "0", "--json")
    said = json.loads(out)
    assert code == 0 and said["page"] == str(tmp_path / "report.html") and len(said["per_image"]["PSNR"]) == 3
    assert "test/r_0001" in (tmp_path / "report.html").read_text()


def test_a_report_says_where_the_pictures_went(ran: Ran, folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "here"
    moved.mkdir()
    for path in folder.glob("transforms_*.json"):
        (moved / path.name).write_text(path.read_text())
    for split in ("train", "test"):
        (moved / split).symlink_to(folder / split)
    assert ran("train", "quick_grid", moved, "--tiny", "--out", tmp_path / "run", "--quiet")[0] == 0
    moved.rename(tmp_path / "there")
    code, _, err = ran("report", tmp_path / "run", "--out", tmp_path / "a", "--frames", "0")
    assert code == 0 and "is not there any more: give DATA" in err
    assert "There are no held-out pictures here" in (tmp_path / "a" / "report.html").read_text()
    code, _, err = ran("report", tmp_path / "run", tmp_path / "there", "--out", tmp_path / "b", "--frames", "0")
    assert code == 0 and "Held-out pictures<" in (tmp_path / "b" / "report.html").read_text()
    assert ran("report", tmp_path / "run", tmp_path / "nowhere", "--out", tmp_path / "c")[0] == 2


@pytest.mark.parametrize("command", [("render",), ("export", "mesh.glb"), ("report",)])
def test_runs_on_photos_are_told_of_predict(ran: Ran, command: tuple[str, ...]) -> None:
    name, *more = command
    code, _, err = ran(name, "faces", *more)
    assert code == 2 and "learned from photos of a kind of object" in err and "unflat predict" in err


@pytest.mark.parametrize("command", [("render",), ("export", "mesh.glb"), ("report",)])
def test_a_run_that_is_not_there_is_told(ran: Ran, command: tuple[str, ...]) -> None:
    name, *more = command
    code, _, err = ran(name, "nowhere", *more)
    assert code == 2 and "no weights at nowhere" in err
