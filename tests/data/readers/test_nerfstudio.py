"""transforms.json of nerfstudio and instant-ngp: splits, masks, depth, points and what is noted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from five_cameras import nerfstudio_said, write_json, write_nerfstudio

from unflat.data.readers import nerfstudio
from unflat.data.recordings import CaptureError, Recording


def read(folder: Path, **more: Any) -> Recording:
    write_nerfstudio(folder)
    write_json(folder / "transforms.json", {**nerfstudio_said(), **more})
    return nerfstudio.read(folder)


def test_masks_and_depth_are_named(tmp_path: Path) -> None:
    said = nerfstudio_said()
    said["frames"][0].update(mask_path="masks/e.png", depth_file_path="./depth/e.png")
    said["frames"][1].update(mask_path=None)
    recording = read(tmp_path, frames=said["frames"])
    assert recording.frames[4].mask == tmp_path / "masks/e.png"
    assert recording.frames[4].depth == tmp_path / "depth/e.png"
    assert recording.frames[3].mask is recording.frames[3].depth is None
    said["frames"][2]["mask_path"] = 3
    with pytest.raises(CaptureError, match=r"frame 2 \(images/c\.png\), has a mask_path that is no file's name"):
        read(tmp_path, frames=said["frames"])


def test_depth_is_in_millimetres_before_the_applied_scale(tmp_path: Path) -> None:
    assert read(tmp_path).depth_unit == 0.001
    assert read(tmp_path, applied_scale=0.5).depth_unit == 0.0005
    for scale in (0, -1, "x", float("nan")):
        with pytest.raises(CaptureError, match=r"applied_scale = "):
            read(tmp_path, applied_scale=scale)


def test_the_applied_transform_is_noted_and_not_undone(tmp_path: Path) -> None:
    plain = read(tmp_path)
    noted = read(tmp_path, applied_transform=[[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, -1, 0]])
    assert noted.notes == ("the file says applied_transform: poses are in the frame after it, as they stand there",)
    for a, b in zip(plain.frames, noted.frames, strict=True):
        assert np.array_equal(a.world_from_camera, b.world_from_camera)


def test_its_own_splits(tmp_path: Path) -> None:
    recording = read(
        tmp_path,
        train_filenames=["images/a view.png", "./images/b.png"],
        val_filenames=["images/d.png", "images/b.png"],
        test_filenames=["images/d.png"],
    )
    assert recording.splits == {"images/a view.png": "train", "images/b.png": "train", "images/d.png": "test"}
    assert recording.notes == (
        "2 frames are named for several splits and belong to the first of train, test, val",
        "2 frames are named for no split and left out of all",
    )


def test_a_split_may_name_a_picture_that_is_missing_but_no_stranger(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path)
    (tmp_path / "images/b.png").unlink()
    write_json(
        tmp_path / "transforms.json",
        {**nerfstudio_said(), "train_filenames": ["images/b.png", "images/c.png"], "test_filenames": ["images/d.png"]},
    )
    assert nerfstudio.read(tmp_path).splits == {"images/c.png": "train", "images/d.png": "test"}
    with pytest.raises(CaptureError, match=r"names images/z\.png in val_filenames, and no frame has it"):
        read(tmp_path, val_filenames=["images/z.png"])
    with pytest.raises(CaptureError, match="needs a list of file names as train_filenames"):
        read(tmp_path, train_filenames={"a": 1})


# Points

PLACES = np.array([[0.5, -1.0, 2.0], [1e-9, 1234.5, 0.25], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
COLOURS = np.array([[255, 0, 1], [2, 3, 4], [5, 6, 7], [8, 9, 10]])


def ply(binary: bool, coloured: bool = True) -> bytes:
    colour = ("property uchar red", "property uchar green", "property uchar blue") if coloured else ()
    form = "binary_little_endian" if binary else "ascii"
    head = ["ply", f"format {form} 1.0", "element vertex 4", *(f"property double {axis}" for axis in "xyz"), *colour]
    rows = [(*place, *part) if coloured else tuple(place) for place, part in zip(PLACES, COLOURS, strict=True)]
    if binary:
        kind = [(axis, "<f8") for axis in "xyz"] + [(part, "u1") for part in ("r", "g", "b")][: 3 * coloured]
        body = np.array(rows, kind).tobytes()
    else:
        body = "\n".join(
            " ".join(str(float(v)) if k < 3 else str(v) for k, v in enumerate(row)) for row in rows
        ).encode()
    return "\n".join([*head, "end_header", ""]).encode() + body + b"\n" * (not binary)


@pytest.mark.parametrize("binary", [True, False])
def test_points(tmp_path: Path, binary: bool) -> None:
    (tmp_path / "sparse.ply").write_bytes(ply(binary))
    points = read(tmp_path, ply_file_path="sparse.ply").points
    assert points is not None
    np.testing.assert_allclose(points.places, PLACES)
    assert points.colours.dtype == np.uint8 and np.array_equal(points.colours, COLOURS)
    assert points.seen_in.tolist() == [0, 0, 0, 0]
    scaled = read(tmp_path, ply_file_path="sparse.ply", applied_scale=2.0).points
    assert scaled is not None
    np.testing.assert_allclose(scaled.places, 2 * PLACES)


def test_points_without_colours_are_grey(tmp_path: Path) -> None:
    (tmp_path / "sparse.ply").write_bytes(ply(True, coloured=False))
    points = read(tmp_path, ply_file_path="sparse.ply").points
    assert points is not None and points.colours.shape == (4, 3) and len(np.unique(points.colours)) == 1


def test_the_corners_of_a_mesh_are_points(tmp_path: Path) -> None:
    trimesh.creation.box().export(tmp_path / "box.ply")
    points = read(tmp_path, ply_file_path="box.ply").points
    assert points is not None and len(points) == 8 and np.abs(points.places).max() == 0.5


def test_points_that_are_missing_are_noted(tmp_path: Path) -> None:
    recording = read(tmp_path, ply_file_path="sparse.ply")
    assert recording.points is None and recording.notes == ("the points in sparse.ply are missing",)


@pytest.mark.parametrize("content", [b"", b"ply\n", b"no ply", ply(False)[:-30], ply(True)[:-7]])
def test_broken_points_are_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "sparse.ply").write_bytes(content)
    with pytest.raises(CaptureError, match=r"sparse\.ply holds no points that can be read \(.+\)"):
        read(tmp_path, ply_file_path="sparse.ply")


def test_points_that_are_nowhere_are_told(tmp_path: Path) -> None:
    (tmp_path / "sparse.ply").write_bytes(ply(False).replace(b"1234.5", b"nan"))
    with pytest.raises(CaptureError, match=r"sparse\.ply holds points at places that are not finite: it is damaged"):
        read(tmp_path, ply_file_path="sparse.ply")
    with pytest.raises(CaptureError, match="needs a file's name as ply_file_path"):
        read(tmp_path, ply_file_path=3)
