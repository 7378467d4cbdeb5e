"""Captures of COLMAP: where models and pictures lie, poses, and what is said of what is damaged."""

import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from five_cameras import NAMES, POSES, lit_point, quaternion, write_colmap_binary, write_colmap_text

from unflat.data.readers import colmap
from unflat.data.recordings import CaptureError

Write = Callable[..., None]
KINDS = pytest.mark.parametrize("write", [write_colmap_text, write_colmap_binary])


@KINDS
@pytest.mark.parametrize("model", ["sparse/0", "sparse", "colmap/sparse/0", "."])
def test_places_of_the_model(tmp_path: Path, write: Write, model: str) -> None:
    write(tmp_path, model)
    assert colmap.recognises(tmp_path)
    recording = colmap.read(tmp_path)
    assert [frame.name for frame in recording.frames] == [f"images/{name}" for name in NAMES]
    for frame, pose in zip(recording.frames, POSES, strict=True):
        np.testing.assert_allclose(frame.world_from_camera, pose, atol=1e-12)


@KINDS
@pytest.mark.parametrize("home", [".", "colmap", "colmap/images"])
def test_places_of_the_pictures(tmp_path: Path, write: Write, home: str) -> None:
    write(tmp_path, "colmap/sparse/0")
    (tmp_path / home).mkdir(exist_ok=True)
    for name in NAMES:
        (tmp_path / "images" / name).rename(tmp_path / home / name)
    below = "" if home == "." else f"{home}/"
    assert [frame.name for frame in colmap.read(tmp_path).frames] == [f"{below}{name}" for name in NAMES]


@KINDS
def test_the_folder_of_the_model_alone_may_be_given(tmp_path: Path, write: Write) -> None:
    write(tmp_path)
    frames = colmap.read(tmp_path / "sparse/0").frames
    assert [frame.picture for frame in frames] == [tmp_path / "images" / name for name in NAMES]


@KINDS
def test_points_and_in_how_many_pictures_they_are_seen(tmp_path: Path, write: Write) -> None:
    write(tmp_path)
    points = colmap.read(tmp_path).points
    assert points is not None
    np.testing.assert_allclose(points.places, [lit_point(0), lit_point(1)], atol=1e-12)
    assert points.colours.tolist() == [[255, 0, 9], [1, 2, 3]] and points.colours.dtype == np.uint8
    assert points.seen_in.tolist() == [3, 0]


def test_binary_goes_before_text_and_a_file_alone_is_no_model(tmp_path: Path) -> None:
    write_colmap_text(tmp_path)
    write_colmap_binary(tmp_path)
    (tmp_path / "sparse/0/images.txt").write_text("damaged")
    assert len(colmap.read(tmp_path).frames) == 5
    (tmp_path / "sparse/0/cameras.bin").unlink()
    with pytest.raises(CaptureError, match=r"images\.txt, line 1 is no image"):
        colmap.read(tmp_path)
    (tmp_path / "sparse/0/cameras.txt").unlink()
    assert not colmap.recognises(tmp_path)


@KINDS
def test_points_may_be_missing(tmp_path: Path, write: Write) -> None:
    write(tmp_path)
    for file in (tmp_path / "sparse/0").glob("points3D.*"):
        file.unlink()
    assert colmap.read(tmp_path).points is None


@KINDS
def test_rigs_and_frames_are_not_looked_at(tmp_path: Path, write: Write) -> None:
    write(tmp_path)
    for name in ("rigs", "frames"):
        for kind in (".bin", ".txt"):
            (tmp_path / f"sparse/0/{name}{kind}").write_bytes(b"\xff nothing that could be read")
    assert len(colmap.read(tmp_path).frames) == 5


def test_other_models_are_noted(tmp_path: Path) -> None:
    write_colmap_text(tmp_path)
    for name in ("1", "10", "old"):
        (tmp_path / "sparse" / name).mkdir()
    assert colmap.read(tmp_path).notes == (
        f"{tmp_path / 'sparse/0'} is read; COLMAP made other models of other pictures beside it: 1, 10",
    )
    shutil.move(tmp_path / "sparse/0", tmp_path / "colmap/sparse/0")
    assert colmap.read(tmp_path).notes == ()


@KINDS
def test_pictures_in_folders(tmp_path: Path, write: Write) -> None:
    write(tmp_path)
    file = next((tmp_path / "sparse/0").glob("images.*"))
    file.write_bytes(file.read_bytes().replace(b"a view.png", b"left/x.png"))
    (tmp_path / "images/left").mkdir()
    (tmp_path / "images/a view.png").rename(tmp_path / "images/left/x.png")
    assert colmap.read(tmp_path).frames[-1].name == "images/left/x.png"


# What is damaged


def with_quaternion(folder: Path, q: list[float]) -> None:
    """The first camera's, in the binary file."""
    write_colmap_binary(folder)
    file = folder / "sparse/0/images.bin"
    before, after = (struct.pack("<4d", *part) for part in (quaternion(0)[0], q))
    assert file.read_bytes().count(before) == 1
    file.write_bytes(file.read_bytes().replace(before, after))


@pytest.mark.parametrize("length", [0.0, 0.9, 1.002, 2.0, math.nan, math.inf])
def test_a_quaternion_that_is_not_of_length_one(tmp_path: Path, length: float) -> None:
    with_quaternion(tmp_path, [part * length for part in quaternion(0)[0]])
    with pytest.raises(
        CaptureError, match=r"images\.bin, image a view\.png, has a quaternion of length (0|0.9|1.002|2|nan|inf),"
    ):
        colmap.read(tmp_path)


@pytest.mark.parametrize("length", [0.9995, 1.0005, -1.0])
def test_a_quaternion_that_nearly_is_or_stands_for_the_same_turn(tmp_path: Path, length: float) -> None:
    with_quaternion(tmp_path, [part * length for part in quaternion(0)[0]])
    np.testing.assert_allclose(colmap.read(tmp_path).frames[0].world_from_camera, POSES[0], atol=1e-12)


def test_a_place_that_is_not_finite(tmp_path: Path) -> None:
    write_colmap_text(tmp_path)
    file = tmp_path / "sparse/0/images.txt"
    shift = next(repr(part) for part in quaternion(1)[1] if file.read_text().count(repr(part)) == 1)
    assert file.read_text().count(shift) == 1
    file.write_text(file.read_text().replace(shift, "nan"))
    with pytest.raises(CaptureError, match=r"images\.txt, image b\.png, holds numbers that are not finite"):
        colmap.read(tmp_path)


@KINDS
def test_a_camera_that_is_missing(tmp_path: Path, write: Write) -> None:
    write(tmp_path)
    text, binary = tmp_path / "sparse/0/cameras.txt", tmp_path / "sparse/0/cameras.bin"
    if text.exists():
        text.write_text(text.read_text().replace("1 SIMPLE", "2 SIMPLE"))
    else:
        binary.write_bytes(binary.read_bytes()[:8] + struct.pack("<I", 2) + binary.read_bytes()[12:])
    with pytest.raises(CaptureError, match=r"image d\.png, was taken with camera 1, which .*cameras\.(bin|txt) lacks"):
        colmap.read(tmp_path)


def test_a_model_without_images(tmp_path: Path) -> None:
    write_colmap_text(tmp_path)
    (tmp_path / "sparse/0/images.txt").write_text("# nothing\n")
    with pytest.raises(CaptureError, match=r"images\.txt has no images: COLMAP could not place a single picture"):
        colmap.read(tmp_path)
    write_colmap_binary(tmp_path)
    (tmp_path / "sparse/0/images.bin").write_bytes(bytes(8))
    with pytest.raises(CaptureError, match=r"images\.bin has no images"):
        colmap.read(tmp_path)


def test_a_picture_placed_twice(tmp_path: Path) -> None:
    write_colmap_text(tmp_path)
    file = tmp_path / "sparse/0/images.txt"
    file.write_text(file.read_text().replace("b.png", "c.png"))
    with pytest.raises(CaptureError, match=r"images\.txt has 1 pictures twice, as images/c\.png"):
        colmap.read(tmp_path)
