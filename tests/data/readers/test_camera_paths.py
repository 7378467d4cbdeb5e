"""Paths of cameras in files: nerfstudio's camera_path.json by hand, and transforms.json without its pictures."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from five_cameras import POSES, blender_said, opengl, write_json, write_nerfstudio

from unflat.data.readers.camera_paths import read_camera_path
from unflat.data.recordings import CaptureError


def said(**change: Any) -> dict[str, Any]:
    """The five cameras as nerfstudio's viewer writes a path: sixteen numbers, row by row."""
    cameras = [{"camera_to_world": np.ravel(opengl(i)).tolist(), "fov": 60.0, "aspect": 4 / 3} for i in range(5)]
    return {"camera_type": "perspective", "render_width": 64, "render_height": 48, "camera_path": cameras, **change}


def test_a_camera_path_keeps_its_cameras(tmp_path: Path) -> None:
    write_json(tmp_path / "camera_path.json", said())
    frames = read_camera_path(tmp_path / "camera_path.json")
    for i, frame in enumerate(frames):
        np.testing.assert_allclose(frame.world_from_camera, POSES[i], atol=1e-12)
        assert frame.pinhole is not None
        # the top and the bottom of the picture are 60 degrees apart
        half = math.atan(frame.pinhole.height / 2 / frame.pinhole.fy)
        assert math.degrees(2 * half) == pytest.approx(60) and frame.pinhole.fx == frame.pinhole.fy
        assert (frame.pinhole.width, frame.pinhole.height, frame.pinhole.cx) == (64, 48, 32)


def test_a_path_of_rows_is_the_same(tmp_path: Path) -> None:
    cameras = [{"camera_to_world": opengl(i), "fov": 60.0} for i in range(5)]
    write_json(tmp_path / "rows.json", said(camera_path=cameras))
    for i, frame in enumerate(read_camera_path(tmp_path / "rows.json")):
        np.testing.assert_allclose(frame.world_from_camera, POSES[i], atol=1e-12)


def test_transforms_need_no_pictures(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path)
    (alone := tmp_path / "elsewhere" / "my path.json").parent.mkdir()
    alone.write_text((tmp_path / "transforms.json").read_text())
    frames = read_camera_path(alone)
    found = sorted(tuple(frame.world_from_camera[:3, 3].round(9).tolist()) for frame in frames)
    assert found == sorted(tuple(pose[:3, 3].round(9).tolist()) for pose in POSES)
    assert all(frame.pinhole is not None and frame.pinhole.width == 40 for frame in frames)


def test_where_only_the_field_of_view_is_known_it_is_kept(tmp_path: Path) -> None:
    write_json(tmp_path / "transforms_train.json", blender_said((0, 1)))
    first, _ = read_camera_path(tmp_path / "transforms_train.json")
    assert first.pinhole is None and first.field_of_view == pytest.approx(1.0383, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"camera_path": []}, "holds no path: nerfstudio's camera_path.json has a list"),
        ({"camera_path": 3}, "holds no path"),
        ({"camera_path": [{"fov": 50.0}]}, "camera 0, has no camera_to_world"),
        ({"camera_path": [{"camera_to_world": [1.0] * 15, "fov": 50.0}]}, "camera 0, is no pose"),
        ({"camera_path": [{"camera_to_world": "x" * 16, "fov": 50.0}]}, "no matrix of numbers"),
        ({"camera_path": [{"camera_to_world": opengl(0)}]}, "camera 0, has no fov"),
        ({"camera_path": [{"camera_to_world": opengl(0), "fov": 180}]}, "an angle in degrees between 0 and 180"),
        ({"render_width": 10.5}, "render_width = 10.5, which is no number of pixels"),
        ({"render_height": 0}, "render_height = 0.0, which is no number of pixels"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], match: str) -> None:
    write_json(tmp_path / "path.json", said(**change))
    with pytest.raises(CaptureError, match=match):
        read_camera_path(tmp_path / "path.json")


def test_a_size_is_needed_and_some_json(tmp_path: Path) -> None:
    whole = said()
    del whole["render_width"]
    write_json(tmp_path / "path.json", whole)
    with pytest.raises(CaptureError, match="does not say how large its frames are: render_width is needed"):
        read_camera_path(tmp_path / "path.json")
    (tmp_path / "cut.json").write_text(json.dumps(whole)[:40])
    with pytest.raises(CaptureError, match="is no JSON, or was cut off"):
        read_camera_path(tmp_path / "cut.json")
    with pytest.raises(CaptureError, match="cannot be read"):
        read_camera_path(tmp_path / "nothing.json")
