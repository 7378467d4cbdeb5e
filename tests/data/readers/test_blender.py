"""Scenes of Blender: what only they have."""

import json
from pathlib import Path

import pytest
from five_cameras import blender_said, opengl, write_blender, write_json, write_pictures

from unflat.data.readers import blender
from unflat.data.readers.captures import split_names
from unflat.data.recordings import CaptureError


def test_the_field_of_view_waits_for_the_picture(tmp_path: Path) -> None:
    write_blender(tmp_path)
    assert blender.recognises(tmp_path)
    for frame in blender.read(tmp_path).frames:
        assert frame.pinhole is None and frame.field_of_view == pytest.approx(1.0383, abs=1e-4)


def test_where_the_size_is_said_there_is_a_pinhole(tmp_path: Path) -> None:
    write_blender(tmp_path)
    for split in ("train", "val", "test"):
        file = tmp_path / f"transforms_{split}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "w": 40.0, "h": 30}))
    pinhole = blender.read(tmp_path).frames[0].pinhole
    assert pinhole is not None
    assert (pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy) == pytest.approx((35, 35, 20, 15))
    assert (pinhole.width, pinhole.height) == (40, 30)


def test_training_frames_alone_are_split_as_if_nothing_was_said(tmp_path: Path) -> None:
    write_pictures(tmp_path / "pictures")
    write_json(tmp_path / "transforms_train.json", blender_said((0, 1, 2, 3, 4)))
    recording = blender.read(tmp_path)
    assert recording.splits == {}
    assert list(split_names(recording).values()) == ["train"] * 4 + ["test"]


def test_a_frame_in_two_files_belongs_to_the_first(tmp_path: Path) -> None:
    write_blender(tmp_path)
    write_json(tmp_path / "transforms_val.json", blender_said((0, 1, 3)))
    recording = blender.read(tmp_path)
    assert len(recording.frames) == 5
    assert recording.splits["pictures/a view.png"] == "train" and recording.splits["pictures/d.png"] == "test"
    assert recording.notes == ("2 frames stand in several files and belong to the first of train, test, val",)
    said = blender_said((0,))
    said["frames"][0]["transform_matrix"] = opengl(1)
    write_json(tmp_path / "transforms_val.json", said)
    with pytest.raises(CaptureError, match=r"has two poses for pictures/a view\.png in two of its files: leave one"):
        blender.read(tmp_path)


def test_depth_and_normals_beside_the_pictures_are_no_pictures(tmp_path: Path) -> None:
    """Blender's scenes have r_0_depth_0000.png beside r_0.png; names are matched exactly."""
    write_blender(tmp_path)
    (tmp_path / "pictures" / "b.png").rename(tmp_path / "pictures" / "b_depth_0000.png")
    recording = blender.read(tmp_path)
    assert [entry.name for entry in recording.skipped] == ["pictures/b"]


def test_a_folder_without_training_frames_is_none_of_these(tmp_path: Path) -> None:
    write_blender(tmp_path)
    (tmp_path / "transforms_train.json").unlink()
    assert not blender.recognises(tmp_path)
