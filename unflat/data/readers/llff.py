"""Captures of LLFF: poses_bounds.npy, a row for each picture of `images`, in the order of their names.

A row is a matrix of 3 x 5, row by row, and the depths of the nearest and of the furthest thing seen. Four columns are
camera-to-world with the axes (down, right, backwards); the fifth is height, width and focal length of the original
pictures, whatever the size of those that are there.
"""

import re
from pathlib import Path

import numpy as np

from unflat.data.readers.camera_models import CAMERA_MODELS
from unflat.data.readers.picture_files import is_file, name_below, pictures_in, sorted_frames
from unflat.data.recordings import CaptureError, Frame, Recording, checked_pose

NAME = "poses_bounds.npy"


def recognises(folder: Path) -> bool:
    """Whether poses_bounds.npy is there."""
    return is_file(folder / NAME)


def read(folder: Path) -> Recording:
    """The pictures of `images`, or of the largest of images_4, images_8 and so on where that is missing."""
    file = folder / NAME
    rows = _rows(file)
    home, pictures = _pictures(folder)
    if len(pictures) != len(rows):
        raise CaptureError(
            f"{file} has poses for {len(rows)} pictures, and {home} holds {len(pictures)}: which belongs to which is "
            "told by their order, so take away the pictures that have no pose, or make the file again"
        )
    placed = enumerate(zip(pictures, rows, strict=True))
    frames = [_frame(folder, picture, row, f"{file}, row {i} ({picture.name}),") for i, (picture, row) in placed]
    near, far = rows[:, 15], rows[:, 16]
    known = bool(np.all((near > 0) & (near < far) & np.isfinite(far)))
    return Recording(
        reader="llff",
        frames=sorted_frames(frames, (), file),
        bounds=rows[:, 15:] if known else None,
        notes=() if known else (f"{file} has nearest and furthest depths that make no sense; they are not used",),
    )


def _rows(file: Path) -> np.ndarray:
    """float64 [n, 17]."""
    try:
        mapped = np.load(file, mmap_mode="r", allow_pickle=False)  # no longer than it says, or it is an error
        rows = np.array(mapped, np.float64)
    except Exception as error:  # a broken file makes numpy raise nearly anything
        raise CaptureError(f"{file} is no array that can be read ({error or type(error).__name__})") from error
    if rows.ndim != 2 or rows.shape[1] != 17 or not len(rows):
        raise CaptureError(f"{file} is an array of {list(rows.shape)}; a row of 17 numbers for each picture is needed")
    return rows


def _pictures(folder: Path) -> tuple[Path, list[Path]]:
    """The folder of the pictures, and the pictures sorted by name."""
    smaller = (
        (int(found[1]), path) for path in folder.iterdir() if (found := re.fullmatch(r"images_(\d+)", path.name))
    )
    for home in (folder / "images", *(path for _, path in sorted(smaller))):
        if pictures := pictures_in(home):
            return home, pictures
    raise CaptureError(f"{folder} has no pictures: {NAME} belongs to those in images (or images_4, images_8)")


def _frame(folder: Path, picture: Path, row: np.ndarray, where: str) -> Frame:
    matrix = row[:15].reshape(3, 5)
    down, right, backwards, place = matrix[:, :4].T
    pose = checked_pose(np.stack([right, down, -backwards, place], 1), where)
    height, width, focal = (float(value) for value in matrix[:, 4])
    if not (width.is_integer() and height.is_integer()):  # neither is what is not finite
        raise CaptureError(f"{where} has pictures of {width}x{height} pixels, which are no numbers of pixels")
    parameters = (focal, width / 2, height / 2)
    pinhole = CAMERA_MODELS["SIMPLE_PINHOLE"].pinhole(parameters, int(width), int(height), where)
    return Frame(name_below(folder, picture), picture, pinhole, pose)
