"""`unflat data`: captures are looked at, made and generated from the command line."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unflat.cli.main import main
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
