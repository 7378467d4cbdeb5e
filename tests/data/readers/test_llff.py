"""LLFF's poses_bounds.npy: axes, sizes of the originals, order, and what is damaged."""

from pathlib import Path

import numpy as np
import pytest
from five_cameras import NAMES, llff_rows, write_llff
from PIL import Image

from unflat.data.frame_pictures import load_pictures
from unflat.data.readers import llff
from unflat.data.recordings import CaptureError
from unflat.geometry.cameras import Pinhole


def write_rows(folder: Path, rows: np.ndarray) -> None:
    write_llff(folder)
    np.save(folder / "poses_bounds.npy", rows)


def test_axes_on_disk_are_down_right_backwards(tmp_path: Path) -> None:
    """A camera at (1, 2, 3) that looks along +y of the world with its top towards +z."""
    down, right, backwards = (0, 0, -1), (1, 0, 0), (0, -1, 0)
    row = np.stack([down, right, backwards, (1, 2, 3), (30, 40, 35)], 1).reshape(-1)
    write_rows(tmp_path, np.tile([*row, 1, 2], (5, 1)))
    pose = llff.read(tmp_path).frames[0].world_from_camera
    np.testing.assert_allclose(pose @ [0, 0, 1, 1], [1, 3, 3, 1], atol=1e-12)  # what is before it
    np.testing.assert_allclose(pose @ [0, 1, 0, 1], [1, 2, 2, 1], atol=1e-12)  # what is below it
    np.testing.assert_allclose(pose @ [1, 0, 0, 1], [2, 2, 3, 1], atol=1e-12)


def test_bounds(tmp_path: Path) -> None:
    write_llff(tmp_path)
    recording = llff.read(tmp_path)
    assert recording.bounds is not None and recording.notes == ()
    np.testing.assert_array_equal(recording.bounds, [[1 + i, 5 + i] for i in range(5)])


@pytest.mark.parametrize("wrong", [(0.0, 5.0), (5.0, 1.0), (-1.0, 5.0), (np.nan, 5.0), (1.0, np.inf)])
def test_bounds_that_make_no_sense_are_noted(tmp_path: Path, wrong: tuple[float, float]) -> None:
    rows = llff_rows()
    rows[2, 15:] = wrong
    write_rows(tmp_path, rows)
    recording = llff.read(tmp_path)
    assert recording.bounds is None and len(recording.frames) == 5
    assert recording.notes == (
        f"{tmp_path / 'poses_bounds.npy'} has nearest and furthest depths that make no sense; they are not used",
    )


def test_smaller_pictures_where_only_those_exist(tmp_path: Path) -> None:
    """The focal length refers to the originals, whatever is there."""
    write_llff(tmp_path)
    for factor in (10, 2, 4):
        home = tmp_path / f"images_{factor}"
        home.mkdir()
        for i in range(5):
            Image.new("RGB", (40 // factor, 30 // factor)).save(home / f"image{i:03d}.png")
    assert [frame.name for frame in llff.read(tmp_path).frames] == [f"images/{name}" for name in NAMES]
    for name in NAMES:
        (tmp_path / "images" / name).unlink()
    frames = llff.read(tmp_path).frames
    assert [frame.name for frame in frames] == [f"images_2/image{i:03d}.png" for i in range(5)]
    assert frames[0].pinhole == Pinhole(35.0, 35.0, 20.0, 15.0, 40, 30)
    assert load_pictures(frames, progress=False).pinholes[0] == Pinhole(17.5, 17.5, 10.0, 7.5, 20, 15)
    (tmp_path / "images").rmdir()
    assert llff.read(tmp_path).frames[0].name == "images_2/image000.png"


def test_pictures_without_a_row_are_told(tmp_path: Path) -> None:
    write_llff(tmp_path)
    (tmp_path / "images/b.png").unlink()
    with pytest.raises(
        CaptureError, match=r"poses_bounds\.npy has poses for 5 pictures, and .*images holds 4: which bel"
    ):
        llff.read(tmp_path)
    for picture in (tmp_path / "images").iterdir():
        picture.unlink()
    with pytest.raises(
        CaptureError, match=r"has no pictures: poses_bounds\.npy belongs to those in images \(or images_4"
    ):
        llff.read(tmp_path)


def changed(row: int, column: int, value: float) -> np.ndarray:
    rows = llff_rows()
    rows[row, column] = value
    return rows


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (changed(1, 3, np.nan), ", row 1 (b.png), holds numbers that are not finite"),
        (changed(1, 0, 3.0), ", row 1 (b.png), is no pose: its first three columns are not at right angles"),
        (changed(3, 14, 0.0), ", row 3 (d.png), is no camera: focal lengths 0.0 and 0.0"),
        (changed(3, 14, np.nan), ", row 3 (d.png), is no camera: focal lengths nan"),
        (changed(3, 4, 30.5), ", row 3 (d.png), has pictures of 40.0x30.5 pixels, which are no numbers of pixels"),
        (changed(3, 4, np.inf), ", row 3 (d.png), has pictures of 40.0xinf pixels"),
        (changed(3, 9, -40), ", row 3 (d.png), is no camera: its pictures have -40x30 pixels"),
        (llff_rows()[:, :15], " is an array of [5, 15]; a row of 17 numbers for each picture is needed"),
        (llff_rows()[:0], " is an array of [0, 17]; a row of 17 numbers"),
        (llff_rows()[0], " is an array of [17]; a row of 17 numbers"),
        (np.array([["a"] * 17]), " is no array that can be read ("),
    ],
)
def test_rows_that_make_no_sense(tmp_path: Path, rows: np.ndarray, told: str) -> None:
    write_rows(tmp_path, rows)
    with pytest.raises(CaptureError) as error:
        llff.read(tmp_path)
    assert f"{tmp_path / 'poses_bounds.npy'}{told}" in str(error.value)


def test_mirrored_axes(tmp_path: Path) -> None:
    """Columns that somebody has already turned into right, up, backwards, but for a sign."""
    rows = llff_rows()
    rows[:, 0:15:5] *= -1
    write_rows(tmp_path, rows)
    with pytest.raises(
        CaptureError, match=r"row 0 \(a view\.png\), mirrors: the determinant of its rotation is negative"
    ):
        llff.read(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "pickle", "long"])
def test_files_that_are_damaged(tmp_path: Path, damage: str) -> None:
    write_llff(tmp_path)
    file = tmp_path / "poses_bounds.npy"
    whole = file.read_bytes()
    if damage == "pickle":
        np.save(file, np.array([{}], object), allow_pickle=True)
    else:
        long = whole.replace(b"(5, 17), }         ", b"(5000000000, 17), }")
        content = {"cut": whole[:-8], "empty": b"", "noise": b"no array", "long": long}[damage]
        assert content != whole
        file.write_bytes(content)
    with pytest.raises(CaptureError, match=r"poses_bounds\.npy is no array that can be read \(.+\)"):
        llff.read(tmp_path)
