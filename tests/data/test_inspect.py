"""Inspection: counts, sizes, copies, warnings; for scripts, for people, and as a sheet of pictures."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from unflat.data.inspect import contact_sheet, inspect_photos
from unflat.data.readers.photos import PhotosError
from unflat.worlds.faces import Faces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i, (width, height) in enumerate(((40, 20), (64, 64), (100, 200))):
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(tmp_path / f"{i}.png")
    Image.fromarray(rng.integers(0, 255, (50, 50), np.uint8)).save(tmp_path / "grey.jpg")
    (tmp_path / "copy.png").write_bytes((tmp_path / "1.png").read_bytes())
    (tmp_path / "text.png").write_text("text")
    return tmp_path


def test_what_is_found(folder: Path) -> None:
    found, photos = inspect_photos(folder, size=16, progress=False)
    assert (found.found, found.usable, len(photos)) == (6, 5, 5)
    assert found.formats == {"PNG": 4, "JPEG": 1} and found.modes == {"RGB": 4, "L": 1}
    assert found.shorter_sides == {"16-31": 1, "32-63": 1, "64-127": 3}
    assert found.smallest == (40, 20) and found.largest == (100, 200)
    assert found.duplicates == (("1.png", "copy.png"),)
    assert found.cut_away == 0  # three of five are square
    assert [name for name, _ in found.skipped] == ["text.png"]
    assert any("5 photos are few" in line for line in found.warnings)
    assert any("1 files are copies of others" in line for line in found.warnings)


def test_for_scripts_and_for_people(folder: Path) -> None:
    found, _ = inspect_photos(folder, size=16, progress=False)
    said = json.loads(found.to_json())
    assert said["usable"] == 5 and said["skipped"][0]["name"] == "text.png" and said["smallest"] == [40, 20]
    console = Console(file=io.StringIO(), width=100)
    console.print(found.table())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for words in (
        "5 of 6",
        "PNG (4), JPEG (1)",
        "40x20 to 100x200",
        "text.png is no picture",
        "1.png, copy.png",
        "centre",
    ):
        assert words in text


def test_photos_that_are_nearly_the_same(folder: Path) -> None:
    """Not those whose content is the same: these are told apart already."""
    face = Image.fromarray(Faces(1).photos(progress=False).rgb[0])
    face.save(folder / "face.png")
    face.resize((80, 80)).save(folder / "again.jpg", quality=60)
    found, _ = inspect_photos(folder, size=16, progress=False)
    assert found.duplicates == (("1.png", "copy.png"),) and found.nearly_the_same == (("again.jpg", "face.png"),)
    assert json.loads(found.to_json())["nearly_the_same"] == [["again.jpg", "face.png"]]
    assert any("1 of 7 photos are nearly the same as another one, such as again.jpg" in line for line in found.warnings)
    console = Console(file=io.StringIO(), width=100)
    console.print(found.table())
    assert "Nearly the same (1)" in console.file.getvalue()  # type: ignore[attr-defined]
    found, _ = inspect_photos(folder, size=16, progress=False, training_crop={"mode": "centre"})
    assert not any("nearly the same" in line for line in found.warnings), "these are not learned from"


def test_unlike_training_photos(folder: Path) -> None:
    found, _ = inspect_photos(folder, size=16, progress=False, training_crop={"mode": "alpha", "object": None})
    assert any(line.startswith("the training photos were cropped by 'alpha'") for line in found.warnings)
    assert not any("few" in line for line in found.warnings)


def test_partial_depth_is_pointed_out(tmp_path: Path) -> None:
    for i in range(3):
        (tmp_path / "image").mkdir(exist_ok=True)
        Image.new("RGB", (20, 20), (i, 0, 0)).save(tmp_path / f"image/{i}.png")
    (tmp_path / "depth").mkdir()
    np.save(tmp_path / "depth/1.npy", np.ones((20, 20)))
    found, _ = inspect_photos(tmp_path, size=16, progress=False)
    assert found.truth == ("depth",) and "only 1 of 3 photos have depth beside them" in found.warnings


def test_what_cannot_be_read_cannot_be_inspected(tmp_path: Path) -> None:
    with pytest.raises(PhotosError, match="holds no pictures"):
        inspect_photos(tmp_path)


def test_a_contact_sheet(folder: Path, tmp_path: Path) -> None:
    _, photos = inspect_photos(folder, size=16, progress=False)
    path = contact_sheet(photos, tmp_path / "new" / "sheet.png", columns=3, cell=48)
    with Image.open(path) as sheet:
        assert sheet.format == "PNG" and sheet.size == (3 * 52, 2 * 66)
        sheet.load()
    plain = path.read_bytes()
    first = np.asarray(sheet)[2:50, 2:50].astype(float)
    assert abs(first.mean() - photos.rgb[0].mean()) < 6
    assert contact_sheet(photos, path, columns=3, most=2) == path
    with Image.open(path) as sheet:
        assert sheet.size[1] == 2 + 96 + 14 + 2
    assert [left.name for left in path.parent.iterdir()] == ["sheet.png"]
    contact_sheet(photos, path, columns=3, cell=48, marked=[photos.names[1]])
    with Image.open(path) as sheet:
        marked = np.asarray(sheet.convert("RGB")).astype(int)
    changed = (marked != np.asarray(Image.open(io.BytesIO(plain)).convert("RGB"))).any(-1)
    assert changed[2:50, 54:102].any() and (marked[2:5, 54:102] == (255, 0, 0)).all(), "framed in red"
    assert not changed[:, :52].any() and not changed[66:].any(), "and the others as they were"
    with pytest.raises(ValueError, match="a contact sheet of 0 photos"):
        contact_sheet(photos[:0], path)
