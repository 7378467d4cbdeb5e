"""Files of the family transforms.json: cameras of all kinds, and a precise word for everything that is wrong."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from five_cameras import nerfstudio_said, opengl, write_json, write_nerfstudio

from unflat.data.readers import nerfstudio
from unflat.data.recordings import CaptureError, Frame
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens

CAMERA = ("fl_x", "fl_y", "cx", "cy", "w", "h")


def read(folder: Path, said: Any) -> tuple[Frame, ...]:
    write_nerfstudio(folder)
    write_json(folder / "transforms.json", said)
    return tuple(nerfstudio.read(folder).frames)


def with_camera(**camera: Any) -> dict[str, Any]:
    """All that is known of the camera replaced; what is None is left out."""
    said = {key: value for key, value in nerfstudio_said().items() if key not in (*CAMERA, "camera_model")}
    return {**said, **{key: value for key, value in camera.items() if value is not None}}


def pinhole(folder: Path, **camera: Any) -> Pinhole | None:
    return read(folder, with_camera(**camera))[0].pinhole


SIZE = {"w": 40, "h": 30}


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ({"fl_x": 35, **SIZE}, Pinhole(35.0, 35.0, 20.0, 15.0, 40, 30)),
        ({"fl_x": 35, "fl_y": 36.5, "cx": 19, "cy": 14.5, **SIZE}, Pinhole(35.0, 36.5, 19.0, 14.5, 40, 30)),
        ({"camera_angle_x": math.pi / 2, **SIZE}, Pinhole(20.0, 20.0, 20.0, 15.0, 40, 30)),
        (
            {"camera_angle_x": math.pi / 2, "camera_angle_y": math.pi / 2, **SIZE},
            Pinhole(20.0, 15.0, 20.0, 15.0, 40, 30),
        ),
        ({"fl_x": 35, "camera_angle_x": 0.1, **SIZE}, Pinhole(35.0, 35.0, 20.0, 15.0, 40, 30)),
        (
            {
                "camera_model": "PINHOLE",
                "fl_x": 35,
                "k1": 0,
                "aabb_scale": 16,
                "scale": 0.33,
                "offset": [0.5] * 3,
                **SIZE,
            },
            Pinhole(35.0, 35.0, 20.0, 15.0, 40, 30),
        ),
        (
            {"camera_model": "OPENCV", "fl_x": 35, "k1": 0.1, "k2": 0.2, "k3": 0.3, "p1": 0.4, "p2": 0.5, **SIZE},
            Lens(35.0, 35.0, 20.0, 15.0, 40, 30, "opencv", (0.1, 0.2, 0.4, 0.5, 0.3, 0.0, 0.0, 0.0)),
        ),
        (
            {"fl_x": 35, "distortion_params": [0.1, 0.2, 0.3, 0, 0.4, 0.5], **SIZE},
            Lens(35.0, 35.0, 20.0, 15.0, 40, 30, "opencv", (0.1, 0.2, 0.4, 0.5, 0.3, 0.0, 0.0, 0.0)),
        ),
        (
            {"camera_model": "OPENCV_FISHEYE", "fl_x": 35, "k1": 0.1, "k2": 0.2, "k3": 0.3, "k4": 0.4, **SIZE},
            Lens(35.0, 35.0, 20.0, 15.0, 40, 30, "fisheye", (0.1, 0.2, 0.3, 0.4)),
        ),
        (
            {"is_fisheye": True, "fl_x": 35, **SIZE},
            Lens(35.0, 35.0, 20.0, 15.0, 40, 30, "fisheye", (0.0, 0.0, 0.0, 0.0)),
        ),
    ],
)
def test_cameras(tmp_path: Path, camera: dict[str, Any], expected: Pinhole) -> None:
    found = pinhole(tmp_path, **camera)
    assert type(found) is type(expected)
    assert found is not None
    numbers = [(c.fx, c.fy, c.cx, c.cy, c.width, c.height) for c in (found, expected)]
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-12)
    if isinstance(expected, Lens):
        assert isinstance(found, Lens) and (found.model, found.coefficients) == (expected.model, expected.coefficients)


def test_the_size_may_be_the_pictures_own(tmp_path: Path) -> None:
    frame = read(tmp_path, with_camera(camera_angle_x=0.7))[0]
    assert frame.pinhole is None and frame.field_of_view == 0.7


def test_every_frame_may_have_its_own_camera(tmp_path: Path) -> None:
    said = with_camera()
    for i, entry in enumerate(said["frames"]):
        entry.update(fl_x=30.0 + i, w=40, h=30, k1=0.01 * i)
    frames = read(tmp_path, said)
    assert [f.pinhole.fx for f in frames if f.pinhole] == [34, 33, 32, 31, 30]  # the frames stand from last to first
    assert [isinstance(f.pinhole, Lens) for f in frames] == [True] * 4 + [False]


@pytest.mark.parametrize(
    ("camera", "told"),
    [
        ({"fl_x": 35}, "does not say how large the pictures are: w and h are needed, in pixels"),
        ({"fl_x": 35, "w": 40}, "w and h are needed"),
        ({"camera_angle_x": 0.7, "cx": 20}, "w and h are needed"),
        ({"camera_angle_x": 0.7, "k1": 0.1}, "w and h are needed"),
        ({"camera_angle_y": 0.7}, "w and h are needed"),
        (SIZE, "does not say how wide the camera sees: fl_x or camera_angle_x is needed"),
        (
            {"camera_angle_x": 4.0, **SIZE},
            "has a camera_angle_x of 4.0: an angle in radians between 0 and pi is needed",
        ),
        ({"camera_angle_x": 40}, "has a camera_angle_x of 40.0: an angle in radians"),
        ({"fl_x": "35", **SIZE}, "has fl_x = 35, which is no finite number"),
        ({"fl_x": math.nan, **SIZE}, "has fl_x = nan, which is no finite number"),
        ({"fl_x": True, **SIZE}, "has fl_x = True, which is no finite number"),
        ({"fl_x": 10**400, **SIZE}, "which is no finite number"),
        ({"fl_x": 0, **SIZE}, "is no camera: focal lengths 0.0 and 0.0"),
        ({"fl_x": -35, **SIZE}, "is no camera: focal lengths -35.0 and -35.0"),
        ({"fl_x": 35, "w": 40.5, "h": 30}, "has w = 40.5, which is no number of pixels"),
        ({"fl_x": 35, "w": 0, "h": 30}, "is no camera: its pictures have 0x30 pixels"),
        ({"fl_x": 35, "k4": 0.1, **SIZE}, "has k4 other than zero, which OPENCV has not, nor has nerfstudio: is it an"),
        (
            {"camera_model": "OPENCV_FISHEYE", "fl_x": 35, "p1": 0.1, **SIZE},
            "has p1 and p2 other than zero, which OPENCV_FISHEYE has not",
        ),
        (
            {"camera_model": "EQUIRECTANGULAR", "fl_x": 35, **SIZE},
            "has the camera_model EQUIRECTANGULAR, which is not read; SIMPLE_PINHOLE, PINHOLE, SIMPLE_RADIAL, RADIAL, "
            "OPENCV, OPENCV_FISHEYE are: undistort the pictures first",
        ),
        (
            {"fl_x": 35, "distortion_params": [0.1, 0.2, 0.3, 0.4], **SIZE},
            "needs as distortion_params a list of k1, k2, k3, k4, p1, p2, and none besides it",
        ),
        ({"fl_x": 35, "k1": 0.1, "distortion_params": [0.1] * 6, **SIZE}, "and none besides it"),
        ({"fl_x": 35, "distortion_params": ["a"] * 6, **SIZE}, "has k1 = a, which is no finite number"),
    ],
)
def test_what_is_no_camera_is_told_by_file_and_frame(tmp_path: Path, camera: dict[str, Any], told: str) -> None:
    with pytest.raises(CaptureError) as error:
        pinhole(tmp_path, **camera)
    assert str(error.value).startswith(f"{tmp_path / 'transforms.json'}, frame 0 (images/e.png), ")
    assert told in str(error.value)


@pytest.mark.parametrize("key", ["fl_x", "w", "k1", "camera_angle_x", "camera_model"])
def test_what_stands_in_two_places_is_refused(tmp_path: Path, key: str) -> None:
    said = {**nerfstudio_said(), "k1": 0.0, "camera_angle_x": 1.0}
    said["frames"][1][key] = said["frames"][3][key] = said[key]
    with pytest.raises(
        CaptureError, match=rf"transforms\.json has {key} at the top and in 2 of 5 frames: what is known"
    ):
        read(tmp_path, said)
    del said[key]
    with pytest.raises(CaptureError, match=rf"transforms\.json has {key} in 2 of 5 frames: what is known of cameras"):
        read(tmp_path, said)


def mirrored() -> list[list[float]]:
    return (np.array(opengl(0)) @ np.diag([1.0, 1, -1, 1])).tolist()


def changed(row: int, column: int, value: Any) -> Any:
    pose: list[list[Any]] = opengl(0)
    pose[row][column] = value
    return pose


@pytest.mark.parametrize(
    ("matrix", "told"),
    [
        (changed(0, 3, math.nan), "holds numbers that are not finite: its camera was not found; leave it out"),
        (changed(2, 1, -math.inf), "holds numbers that are not finite"),
        (changed(1, 1, None), "holds numbers that are not finite"),
        (changed(1, 1, "x"), "has a transform_matrix that is no matrix of numbers ("),
        (changed(1, 1, [1, 2]), "has a transform_matrix that is no matrix of numbers ("),
        (mirrored(), "mirrors: the determinant of its rotation is negative. The file mixes up axes; OpenGL's have x"),
        (np.transpose(opengl(1)).tolist(), "has a transform_matrix whose last row is "),
        (changed(0, 0, 3.0), "is no pose: its first three columns are not at right angles and of one length"),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "is no pose: a matrix of 3 or 4 rows and 4 columns is needed, not (3, 3)"),
        ([], "is no pose: a matrix of 3 or 4 rows"),
        (None, "is no pose"),
        ({"a": 1}, "has a transform_matrix that is no matrix of numbers"),
        (np.zeros((4, 4)).tolist(), "is no pose"),
    ],
)
def test_what_is_no_pose_is_told_by_file_and_frame(tmp_path: Path, matrix: Any, told: str) -> None:
    said = nerfstudio_said()
    said["frames"][4]["transform_matrix"] = matrix
    with pytest.raises(CaptureError) as error:
        read(tmp_path, said)
    assert f"{tmp_path / 'transforms.json'}, frame 4 (images/a view.png), {told}" in str(error.value)


def test_a_pose_of_three_rows_is_one(tmp_path: Path) -> None:
    said = nerfstudio_said()
    for entry in said["frames"]:
        entry["transform_matrix"] = entry["transform_matrix"][:3]
    assert len(read(tmp_path, said)) == 5


def without(key: str) -> dict[str, Any]:
    said = nerfstudio_said()
    del said["frames"][2][key]
    return said


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([], "is no JSON object: the poses of a capture are expected in it"),
        ({}, 'has no list of "frames": each has a file_path and a transform_matrix'),
        ({"frames": {}}, 'has no list of "frames"'),
        ({"frames": [3]}, 'has no list of "frames"'),
        ({"frames": []}, 'has no frames: its list "frames" is empty'),
        (without("file_path"), ", frame 2 names no picture: a file_path is needed"),
        (without("transform_matrix"), ", frame 2 (images/c.png), has no transform_matrix"),
    ],
)
def test_what_has_no_frames(tmp_path: Path, said: Any, told: str) -> None:
    with pytest.raises(CaptureError) as error:
        read(tmp_path, said)
    assert f"{tmp_path / 'transforms.json'}" in str(error.value) and told in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_json_that_is_cut_off(tmp_path: Path, share: float) -> None:
    write_nerfstudio(tmp_path)
    text = (tmp_path / "transforms.json").read_text()
    (tmp_path / "transforms.json").write_text(text[: int(share * len(text))])
    with pytest.raises(
        CaptureError, match=r"transforms\.json is no JSON, or was cut off \(.+\): write or copy it again"
    ):
        nerfstudio.read(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b'{"frames": [' + b"1" * 5000 + b"]}", b"\0"])
def test_what_is_no_json(tmp_path: Path, content: bytes) -> None:
    write_nerfstudio(tmp_path)
    (tmp_path / "transforms.json").write_bytes(content)
    with pytest.raises(CaptureError, match=r"transforms\.json is no JSON"):
        nerfstudio.read(tmp_path)


def test_a_mark_of_byte_order_is_read_over(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path)
    (tmp_path / "transforms.json").write_text(json.dumps(nerfstudio_said()), encoding="utf-8-sig")
    assert len(nerfstudio.read(tmp_path).frames) == 5


def test_a_picture_named_twice_is_refused(tmp_path: Path) -> None:
    said = nerfstudio_said()
    said["frames"].append(dict(said["frames"][0], file_path="./images/../images/e.png"))
    with pytest.raises(CaptureError, match=r"has 1 pictures twice, as images/e\.png: leave one of them out"):
        read(tmp_path, said)


def test_names_of_other_systems_and_names_of_no_file(tmp_path: Path) -> None:
    said = nerfstudio_said()
    said["frames"][0]["file_path"] = "images\\e.png"
    for i, name in enumerate(("x" * 5000, "a\0b", "\ud800", "/"), 1):
        said["frames"][i]["file_path"] = name
    write_nerfstudio(tmp_path)
    write_json(tmp_path / "transforms.json", said)
    recording = nerfstudio.read(tmp_path)
    assert [frame.name for frame in recording.frames] == ["images/e.png"]
    assert len(recording.skipped) == 4


def test_pictures_may_lie_elsewhere(tmp_path: Path) -> None:
    write_nerfstudio(tmp_path)
    said = nerfstudio_said()
    for entry in said["frames"]:
        entry["file_path"] = f"../{entry['file_path']}"
    said["frames"][0]["file_path"] = str(tmp_path / "images" / "e.png")
    write_json(tmp_path / "below" / "transforms.json", said)
    frames = nerfstudio.read(tmp_path / "below").frames
    elsewhere = [f"../images/{name}" for name in ("a view.png", "b.png", "c.png", "d.png")]
    assert [frame.name for frame in frames] == [*elsewhere, (tmp_path / "images" / "e.png").as_posix()]
