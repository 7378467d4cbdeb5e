"""Paths of cameras for videos: nerfstudio's camera_path.json, or any transforms.json, whose pictures do not matter."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unflat.data.readers.transforms_json import cameras_of, number, pose_of, read_json, read_transforms
from unflat.data.recordings import CaptureError, Frame
from unflat.geometry.cameras import Pinhole


def read_camera_path(file: Path) -> Sequence[Frame]:
    """The cameras in a file, in its order, in the file's world. CaptureError, naming it, if it holds none."""
    said = read_json(file)
    entries = said.get("camera_path")
    if entries is None and "frames" in said:
        return cameras_of(read_transforms(file))
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise CaptureError(
            f'{file} holds no path: nerfstudio\'s camera_path.json has a list "camera_path", a transforms.json has '
            '"frames"'
        )
    width, height = (_pixels(said, key, file) for key in ("render_width", "render_height"))
    return [_frame(entry, index, width, height, file) for index, entry in enumerate(entries)]


def _frame(entry: Mapping[str, Any], index: int, width: int, height: int, file: Path) -> Frame:
    where = f"{file}, camera {index},"
    written = entry.get("camera_to_world")
    if isinstance(written, list) and len(written) == 16:  # row by row, in one list
        entry = {**entry, "camera_to_world": [written[row : row + 4] for row in range(0, 16, 4)]}
    pose = pose_of(entry, "camera_to_world", where)
    if "fov" not in entry:
        raise CaptureError(f"{where} has no fov: its field of view from top to bottom is needed, in degrees")
    angle = number(entry, "fov", where)
    if not 0 < angle < 180:
        raise CaptureError(f"{where} has a fov of {angle}: an angle in degrees between 0 and 180 is needed")
    focal = height / 2 / math.tan(math.radians(angle) / 2)
    return Frame(str(index), file, Pinhole(focal, focal, width / 2, height / 2, width, height), pose)


def _pixels(said: Mapping[str, Any], key: str, file: Path) -> int:
    if key not in said:
        raise CaptureError(f"{file} does not say how large its frames are: {key} is needed, in pixels")
    size = number(said, key, str(file))
    if size < 1 or size != round(size):
        raise CaptureError(f"{file} has {key} = {size}, which is no number of pixels")
    return round(size)
