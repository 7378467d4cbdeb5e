"""What is said about a capture is what was written into it."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from unflat.data.capture_inspection import by_split, capture_sheet, inspect_capture
from unflat.data.recordings import CaptureError
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("vase")
    Objects("vase", 12, 96).write(place, progress=False)
    Objects("vase", 3, 96, split="test").write(place, progress=False)
    (place / "test" / "r_0002.png").write_bytes(b"no picture")
    return place


def printed(folder: Path) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(inspect_capture(folder, progress=False)[0].table())
    return console.export_text()


def test_facts_are_those_of_the_files(folder: Path) -> None:
    found, capture = inspect_capture(folder, progress=False)
    assert (found.reader, found.found, found.usable, found.splits_said) == ("blender", 15, 14, True)
    assert found.sizes == {"96x96": 14} and found.splits == {"train": 12, "test": 2}
    assert found.lenses == {f"pinhole, focal length {48 / np.tan(np.radians(39.6 / 2)):.0f}, 40 degrees wide": 14}
    assert found.transparent and (found.masks, found.depths, found.points) == (0, 0, 0)
    assert found.space == "box" and found.up == (0.0, 0.0, 1.0)
    truth = Objects("vase", 12, 96).capture(progress=False).scene
    assert found.near < truth.near * truth.world_scale and found.far > truth.far * truth.world_scale
    np.testing.assert_allclose(found.middle, truth.world_shift, atol=0.05 * truth.world_scale)
    assert [name for name, _ in found.skipped] == ["test/r_0002.png"] and found.warnings == ()
    assert found.checks["silhouettes that the visual hull fills"] > 0.99
    assert {split: len(views) for split, views in by_split(found, capture).items()} == {"train": 12, "test": 2}


def test_all_of_it_is_printed(folder: Path) -> None:
    text = printed(folder)
    for part in ("blender", "14 of 15", "96x96 (14)", "train (12), test (2)", "transparency", "box: ", "r_0002.png"):
        assert part in text


def test_all_of_it_is_json(folder: Path) -> None:
    said = json.loads(inspect_capture(folder, progress=False)[0].to_json())
    assert said["skipped"][0]["name"] == "test/r_0002.png" and said["splits"] == {"train": 12, "test": 2}


def test_files_that_name_no_splits_are_said_to(folder: Path, tmp_path: Path) -> None:
    written = json.loads((folder / "transforms_train.json").read_text())
    frames = [{**frame, "file_path": f"{folder}/{frame['file_path']}.png"} for frame in written["frames"]]
    (tmp_path / "transforms.json").write_text(json.dumps({**written, "frames": frames, "w": 96, "h": 96}))
    found, _ = inspect_capture(tmp_path, space="contracted", progress=False)
    assert (found.reader, found.space, found.space_why) == ("nerfstudio", "contracted", "as you said")
    assert not found.splits_said and found.splits == {"train": 10, "test": 2}
    assert "the files do not say" in printed(tmp_path)


def test_the_wrong_axes_are_warned_about(folder: Path, tmp_path: Path) -> None:
    """OpenCV's poses in a file where OpenGL's are expected."""
    written = json.loads((folder / "transforms_train.json").read_text())
    for frame in written["frames"]:
        frame["file_path"] = f"{folder}/{frame['file_path']}.png"
        pose = np.array(frame["transform_matrix"]) @ np.diag([1.0, -1.0, -1.0, 1.0])
        frame["transform_matrix"] = pose.tolist()
    (tmp_path / "transforms.json").write_text(json.dumps({**written, "w": 96, "h": 96}))
    found, _ = inspect_capture(tmp_path, progress=False)
    assert any("Negate the second and third column" in warning for warning in found.warnings)
    assert any("silhouettes do not fit together" in warning for warning in found.warnings)


def test_the_sheet_shows_every_picture(folder: Path, tmp_path: Path) -> None:
    _, capture = inspect_capture(folder, progress=False)
    with Image.open(capture_sheet(capture, tmp_path / "sheet.png")) as sheet:
        shown = np.asarray(sheet.convert("RGB"))
    assert shown.shape == (2 * (128 + 18), 10 * 132, 3)
    tiles = [shown[146 * row : 146 * row + 128, 132 * column : 132 * (column + 1)] for row, column in ((0, 0), (1, 3))]
    assert all((tile < 200).any() for tile in tiles) and (shown[146:, 4 * 132 :] == 255).all()


def test_what_is_no_capture_is_said(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="is no capture"):
        inspect_capture(tmp_path, progress=False)
