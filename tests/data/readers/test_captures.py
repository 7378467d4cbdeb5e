"""The same five cameras in every format: found, read to the same rays, and what is said of what is no capture."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from five_cameras import DEPTHS, FORMATS, LIT, NAMES, lit_point, rays, write_colmap_text, write_llff, write_nerfstudio

from unflat.data.frame_pictures import load_pictures
from unflat.data.readers.captures import READERS, find_reader, read_recording, split_names
from unflat.data.recordings import CaptureError, Frame, Recording, Split

Write = Callable[[Path], None]
EVERY = pytest.mark.parametrize(("name", "write"), FORMATS.values(), ids=FORMATS)


def written(folder: Path, form: str) -> Path:
    FORMATS[form][1](folder)
    return folder


@EVERY
def test_all_formats_load_to_the_same_rays(tmp_path: Path, name: str, write: Write) -> None:
    write(tmp_path)
    assert find_reader(tmp_path) == name
    recording = read_recording(tmp_path)
    assert recording.reader == name and recording.skipped == ()
    assert [Path(frame.name).name for frame in recording.frames] == list(NAMES)
    pictures = load_pictures(recording.frames, progress=False)
    assert pictures.skipped == () and len(pictures.frames) == 5
    for i, (frame, pinhole) in enumerate(zip(pictures.frames, pictures.pinholes, strict=True)):
        assert frame.picture == tmp_path / frame.name
        origin, directions = rays(i)
        np.testing.assert_allclose(frame.world_from_camera[:3, 3], origin, atol=1e-6)
        found = pinhole.rays(dtype=torch.float64).numpy() @ frame.world_from_camera[:3, :3].T
        np.testing.assert_allclose(found, directions, atol=1e-6)


@EVERY
def test_known_points_are_seen_in_the_middle_of_their_pixels(tmp_path: Path, name: str, write: Write) -> None:
    write(tmp_path)
    pictures = load_pictures(read_recording(tmp_path).frames, progress=False)
    first = 0
    for i, (frame, pinhole) in enumerate(zip(pictures.frames, pictures.pinholes, strict=True)):
        camera_from_world = np.linalg.inv(frame.world_from_camera)
        seen = camera_from_world[:3, :3] @ lit_point(i) + camera_from_world[:3, 3]
        assert seen[2] == pytest.approx(DEPTHS[i])
        u, v = pinhole.project(torch.from_numpy(seen)).tolist()
        assert (u, v) == pytest.approx((LIT[i][0] + 0.5, LIT[i][1] + 0.5), abs=1e-4)
        rows = pictures.pixels[first : first + 1200].reshape(30, 40, 3)
        assert rows[int(v), int(u)].tolist() == [255, 50 * i, 7]
        assert np.count_nonzero(rows[..., 0]) == 1
        first += 1200


@EVERY
def test_the_same_where_the_name_is_forced(tmp_path: Path, name: str, write: Write) -> None:
    write(tmp_path)
    assert len(read_recording(tmp_path, name).frames) == 5


@EVERY
def test_missing_pictures_are_left_out_and_named(tmp_path: Path, name: str, write: Write) -> None:
    if name == "llff":
        pytest.skip("pictures are told by their order there")
    write(tmp_path)
    for missing in ("b.png", "d.png"):
        next(tmp_path.rglob(missing)).unlink()
    recording = read_recording(tmp_path)
    assert [Path(frame.name).name for frame in recording.frames] == ["a view.png", "c.png", "e.png"]
    assert {Path(entry.name).stem for entry in recording.skipped} == {"b", "d"}
    assert {entry.why for entry in recording.skipped} == {"is missing"}
    for missing in ("a view.png", "c.png"):
        next(tmp_path.rglob(missing)).unlink()
    with pytest.raises(
        CaptureError, match=r"has a single picture that is there, .*e\.png: depth is seen from at least"
    ):
        read_recording(tmp_path)
    next(tmp_path.rglob("e.png")).unlink()
    with pytest.raises(CaptureError, match=r"names 5 pictures, and not one of them is there \(.* \.\.\.\): put the"):
        read_recording(tmp_path)


# What is no capture


def test_nothing_recognised_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CaptureError) as told:
        read_recording(tmp_path)
    assert f"{tmp_path} is no capture: no camera poses were found in it" in str(told.value)
    for looked in ("transforms_train.json", "transforms.json", "sparse/0", "poses_bounds.npy", *READERS):
        assert looked in str(told.value)


@pytest.mark.parametrize(("given", "near"), [("colmpa", "; did you mean colmap?"), ("Blender", "blender?"), ("x", "")])
def test_an_unknown_reader_has_a_nearest(tmp_path: Path, given: str, near: str) -> None:
    with pytest.raises(CaptureError) as told:
        read_recording(tmp_path, given)
    assert f"there is no reader '{given}'; there are blender, nerfstudio, colmap, llff" in str(told.value)
    assert str(told.value).endswith(near or "llff")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="nowhere does not exist: give the folder of a capture"):
        read_recording(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("form", "file", "count"),
    [
        ("blender", "transforms_train.json", 5),
        ("blender", "transforms_test.json", 5),
        ("nerfstudio", "transforms.json", 5),
        ("llff", "poses_bounds.npy", 5),
    ],
)
def test_files_that_may_be_given_themselves(tmp_path: Path, form: str, file: str, count: int) -> None:
    recording = read_recording(written(tmp_path, form) / file)
    assert (recording.reader, len(recording.frames)) == (form, count)


def test_a_file_like_transforms_json_has_any_name(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path)
    (tmp_path / "transforms.json").rename(tmp_path / "mine.json")
    assert len(read_recording(tmp_path / "mine.json").frames) == 5
    with pytest.raises(CaptureError, match=r"has no COLMAP model"):
        read_recording(tmp_path / "mine.json", "colmap")


def test_another_file_is_refused(tmp_path: Path) -> None:
    write_llff(tmp_path)
    with pytest.raises(
        CaptureError, match=r"b\.png is a file: give the folder it is in, a transforms\.json or a poses_b"
    ):
        read_recording(tmp_path / "images" / "b.png")


def test_a_forced_reader_says_what_it_needs(tmp_path: Path) -> None:
    write_llff(tmp_path)
    for name, said in {
        "blender": "has no transforms_train.json, nor _val or _test",
        "nerfstudio": "transforms.json cannot be read",
        "colmap": "has no COLMAP model: cameras and images, .bin or .txt, in sparse/0 or sparse or colmap",
    }.items():
        with pytest.raises(CaptureError) as told:
            read_recording(tmp_path, name)
        assert said in str(told.value)


def test_of_several_formats_the_first_is_read_and_the_others_are_named(tmp_path: Path) -> None:
    write_colmap_text(tmp_path)
    write_llff(tmp_path)
    recording = read_recording(tmp_path)
    assert recording.reader == "colmap"
    assert recording.notes == (f"{tmp_path} is read as colmap; llff would recognise it too",)
    assert read_recording(tmp_path, "llff").reader == "llff"
    shutil.rmtree(tmp_path / "sparse")
    assert read_recording(tmp_path).notes == ()


# Splits


def frames(count: int) -> tuple[Frame, ...]:
    return tuple(Frame(f"{i:02d}.png", Path(f"{i:02d}.png"), None, np.eye(4), 1.0) for i in range(count))


def of(split: str, splits: dict[str, Split]) -> list[int]:
    return [int(name[:2]) for name, chosen in splits.items() if chosen == split]


@pytest.mark.parametrize(
    ("count", "tested"), [(2, [1]), (7, [6]), (8, [0]), (9, [0, 8]), (17, [0, 8, 16]), (20, [0, 8, 16])]
)
def test_every_eighth_frame_is_tested_unless_the_files_say(count: int, tested: list[int]) -> None:
    splits = split_names(Recording("x", frames(count)))
    assert of("test", splits) == tested
    assert sorted(of("train", splits) + tested) == list(range(count))


def test_the_files_own_splits(tmp_path: Path) -> None:
    assert split_names(Recording("x", frames(9), splits={"03.png": "val", "04.png": "train"})) == {
        "03.png": "val",
        "04.png": "train",
    }
    splits = split_names(read_recording(written(tmp_path, "blender")))
    assert splits == {
        "pictures/a view.png": "train",
        "pictures/b.png": "val",
        "pictures/c.png": "train",
        "pictures/d.png": "test",
        "pictures/e.png": "train",
    }
