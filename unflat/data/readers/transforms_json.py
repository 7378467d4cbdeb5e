"""Files of the family transforms.json, which Blender's scenes, instant-ngp and nerfstudio share.

Poses are camera-to-world with OpenGL's axes (x right, y up, z backwards). What is known of the camera stands either at
the top of the file or in every frame.
"""

import json
import math
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unflat.data.kinds import Skipped
from unflat.data.readers.camera_models import CAMERA_MODELS
from unflat.data.readers.picture_files import MISSING, is_file, name_below
from unflat.data.recordings import CaptureError, Frame, checked_pose, opencv_from_opengl
from unflat.geometry.cameras import Pinhole

_SUFFIXES = ("", ".png", ".jpg", ".jpeg", ".JPG", ".PNG", ".webp")
"""Blender's files name their pictures without"""
_BENDING = ("k1", "k2", "k3", "k4", "p1", "p2")
"""in the order of distortion_params"""
_OF_CAMERAS = (
    "camera_model", "is_fisheye", "fl_x", "fl_y", "cx", "cy", "w", "h", "camera_angle_x", "camera_angle_y",
    "distortion_params", *_BENDING,
)  # fmt: skip
_PERSPECTIVE = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV")
_FISHEYE = ("OPENCV_FISHEYE",)


@dataclass(frozen=True)
class Transforms:
    """A file, as far as it makes sense without looking into its frames."""

    file: Path
    top: Mapping[str, Any]
    """all it says besides the frames"""
    entries: Sequence[Mapping[str, Any]]
    """its frames; each has a file_path"""

    def where(self, index: int) -> str:
        """A frame, for messages."""
        return f"{self.file}, frame {index} ({self.entries[index]['file_path']}),"


def read_transforms(file: Path) -> Transforms:
    """CaptureError, naming the file, for what is no JSON, has no frames, or says things of cameras in two places."""
    said = read_json(file)
    entries = said.pop("frames", None)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise CaptureError(f'{file} has no list of "frames": each has a file_path and a transform_matrix')
    if not entries:
        raise CaptureError(f'{file} has no frames: its list "frames" is empty')
    for index, entry in enumerate(entries):
        if not isinstance(entry.get("file_path"), str) or not entry["file_path"]:
            raise CaptureError(f"{file}, frame {index} names no picture: a file_path is needed")
    for key in _OF_CAMERAS:
        _refuse_two_places(file, key, key in said, sum(key in entry for entry in entries), len(entries))
    return Transforms(file, said, entries)


def read_json(file: Path) -> dict[str, Any]:
    try:
        said = json.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise CaptureError(f"{file} cannot be read ({error})") from error
    except (ValueError, RecursionError) as error:  # of bad UTF-8 too
        raise CaptureError(f"{file} is no JSON, or was cut off ({error}): write or copy it again") from error
    if not isinstance(said, dict):
        raise CaptureError(f"{file} is no JSON object: the poses of a capture are expected in it")
    return said


def _refuse_two_places(file: Path, key: str, at_top: bool, inside: int, count: int) -> None:
    if inside and (at_top or inside < count):
        also = "at the top and " if at_top else ""
        raise CaptureError(
            f"{file} has {key} {also}in {inside} of {count} frames: what is known of cameras stands either at the top, "
            "for all, or in every frame"
        )


def frames_of(transforms: Transforms) -> tuple[list[Frame], list[Skipped]]:
    """The frames of a file, in its order, and those whose picture is missing."""
    frames: list[Frame] = []
    skipped: list[Skipped] = []
    for index, entry in enumerate(transforms.entries):
        where = transforms.where(index)
        pinhole, angle = _camera({**transforms.top, **entry}, where)
        pose = pose_of(entry, "transform_matrix", where)
        folder = transforms.file.parent
        picture = _picture(folder, entry["file_path"])
        if picture is None:
            skipped.append(Skipped(name_below(folder, path_of(folder, entry["file_path"])), MISSING))
            continue
        mask, depth = (_beside(folder, entry, key, where) for key in ("mask_path", "depth_file_path"))
        frames.append(Frame(name_below(folder, picture), picture, pinhole, pose, angle, mask, depth))
    return frames, skipped


def cameras_of(transforms: Transforms) -> list[Frame]:
    """The cameras of a file, in its order, whether their pictures are there or not."""
    frames = []
    for index, entry in enumerate(transforms.entries):
        where, written = transforms.where(index), entry["file_path"]
        pinhole, angle = _camera({**transforms.top, **entry}, where)
        pose = pose_of(entry, "transform_matrix", where)
        frames.append(Frame(written, path_of(transforms.file.parent, written), pinhole, pose, angle))
    return frames


def path_of(folder: Path, written: str) -> Path:
    """The file that is meant by what stands in a file of this folder."""
    return folder / posixpath.normpath(written.replace("\\", "/"))


def _picture(folder: Path, written: str) -> Path | None:
    whole = path_of(folder, written)
    ways = (whole.with_name(whole.name + suffix) for suffix in _SUFFIXES if whole.name)
    return next((path for path in ways if is_file(path)), None)


def _beside(folder: Path, entry: Mapping[str, Any], key: str, where: str) -> Path | None:
    written = entry.get(key)
    if written is None:
        return None
    if not isinstance(written, str) or not written:
        raise CaptureError(f"{where} has a {key} that is no file's name")
    return path_of(folder, written)


def pose_of(entry: Mapping[str, Any], key: str, where: str) -> np.ndarray:
    """float64 [4, 4], world from camera with OpenCV's axes, of rows with OpenGL's."""
    try:
        matrix = np.array(entry[key], np.float64)
    except KeyError:
        raise CaptureError(f"{where} has no {key}") from None
    except (TypeError, ValueError, OverflowError) as error:
        raise CaptureError(f"{where} has a {key} that is no matrix of numbers ({error})") from error
    pose = checked_pose(matrix, where)
    if len(matrix) == 4 and not np.allclose(matrix[3], (0, 0, 0, 1), atol=1e-4):
        raise CaptureError(
            f"{where} has a {key} whose last row is {matrix[3].tolist()}, not [0, 0, 0, 1]: it is written "
            "column by column where it has to be row by row, the place in the last column"
        )
    return opencv_from_opengl(pose)


def _camera(said: Mapping[str, Any], where: str) -> tuple[Pinhole | None, float | None]:
    """The pinhole or lens of a frame; where the size is not said, only the field of view."""
    fisheye, bending = _lens(said, where)
    if "w" not in said or "h" not in said:
        more = fisheye or any(bending) or any(key in said for key in ("fl_x", "fl_y", "cx", "cy"))
        if "camera_angle_x" in said and not more:
            return None, _angle(said, "camera_angle_x", where)
        raise CaptureError(f"{where} does not say how large the pictures are: w and h are needed, in pixels")
    width, height = _pixels(said, "w", where), _pixels(said, "h", where)
    fx = _focal(said, "fl_x", "camera_angle_x", width, where)
    if fx is None:
        raise CaptureError(f"{where} does not say how wide the camera sees: fl_x or camera_angle_x is needed")
    fy = _focal(said, "fl_y", "camera_angle_y", height, where) or fx
    cx = number(said, "cx", where) if "cx" in said else width / 2
    cy = number(said, "cy", where) if "cy" in said else height / 2
    model = CAMERA_MODELS["OPENCV_FISHEYE" if fisheye else "FULL_OPENCV"]
    return model.pinhole((fx, fy, cx, cy, *bending), width, height, where), None


def _lens(said: Mapping[str, Any], where: str) -> tuple[bool, tuple[float, ...]]:
    """Whether it is a fisheye, and the coefficients in the order of OPENCV_FISHEYE or FULL_OPENCV."""
    name = said.get("camera_model", "OPENCV_FISHEYE" if said.get("is_fisheye") is True else "OPENCV")
    if name not in (*_PERSPECTIVE, *_FISHEYE):
        raise CaptureError(
            f"{where} has the camera_model {name}, which is not read; {', '.join((*_PERSPECTIVE, *_FISHEYE))} are: "
            "undistort the pictures first"
        )
    k1, k2, k3, k4, p1, p2 = _coefficients(said, where)
    if name in _FISHEYE:
        if p1 or p2:
            raise CaptureError(f"{where} has p1 and p2 other than zero, which {name} has not")
        return True, (k1, k2, k3, k4)
    if k4:
        raise CaptureError(
            f"{where} has k4 other than zero, which {name} has not, nor has nerfstudio: is it an OPENCV_FISHEYE?"
        )
    return False, (k1, k2, p1, p2, k3, 0.0, 0.0, 0.0)


def _coefficients(said: Mapping[str, Any], where: str) -> tuple[float, ...]:
    """k1, k2, k3, k4, p1, p2; those that are not said are zero."""
    if "distortion_params" not in said:
        return tuple(number(said, key, where) if key in said else 0.0 for key in _BENDING)
    listed = said["distortion_params"]
    if not isinstance(listed, list) or len(listed) != len(_BENDING) or any(key in said for key in _BENDING):
        raise CaptureError(f"{where} needs as distortion_params a list of {', '.join(_BENDING)}, and none besides it")
    return tuple(number(dict(zip(_BENDING, listed, strict=True)), key, where) for key in _BENDING)


def _focal(said: Mapping[str, Any], key: str, angle: str, size: int, where: str) -> float | None:
    """A focal length in pixels, of itself or of the field of view."""
    if key in said:
        return number(said, key, where)
    return size / 2 / math.tan(_angle(said, angle, where) / 2) if angle in said else None


def _angle(said: Mapping[str, Any], key: str, where: str) -> float:
    angle = number(said, key, where)
    if not 0 < angle < math.pi:
        raise CaptureError(f"{where} has a {key} of {angle}: an angle in radians between 0 and pi is needed")
    return angle


def _pixels(said: Mapping[str, Any], key: str, where: str) -> int:
    size = number(said, key, where)
    if size != round(size):
        raise CaptureError(f"{where} has {key} = {size}, which is no number of pixels")
    return round(size)


def number(said: Mapping[str, Any], key: str, where: str) -> float:
    """A finite number. CaptureError, told by `where`, for anything else."""
    value = said[key]
    try:
        known = math.nan if isinstance(value, bool) or not isinstance(value, int | float) else float(value)
    except OverflowError:
        known = math.nan
    if not math.isfinite(known):
        raise CaptureError(f"{where} has {key} = {str(value)[:40]}, which is no finite number")
    return known
