"""Captures that COLMAP has placed: a sparse model, binary or text, and the pictures it was made of."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from unflat.data.kinds import Skipped
from unflat.data.readers.colmap_files import ColmapImage, kind_of, read_cameras, read_images, read_points
from unflat.data.readers.picture_files import MISSING, is_file, name_below, sorted_frames
from unflat.data.recordings import CaptureError, Frame, Recording, checked_pose
from unflat.geometry.cameras import Pinhole

PLACES = ("sparse/0", "sparse", "colmap/sparse/0", ".")
"""where a model may lie below the folder"""
_UNIT_WITHIN = 1e-3
"""quaternions that are further from length 1 are no rotations"""


def recognises(folder: Path) -> bool:
    """Whether there is a model in one of `PLACES`."""
    return any(kind_of(folder / place) for place in PLACES)


def read(folder: Path) -> Recording:
    """The frames of a sparse model, binary where there are both, and its points.

    Pictures are looked for in `images` and in the folder itself, then beside the model.
    """
    model = next((folder / place for place in PLACES if kind_of(folder / place)), folder)
    kind = kind_of(model)
    if kind is None:
        raise CaptureError(f"{folder} has no COLMAP model: cameras and images, .bin or .txt, in {' or '.join(PLACES)}")
    file = model / f"images{kind}"
    cameras, images = read_cameras(model, kind), read_images(model, kind)
    if not images:
        raise CaptureError(f"{file} has no images: COLMAP could not place a single picture")
    frames, skipped = _frames(folder, model, images, cameras, file)
    return Recording(
        reader="colmap",
        frames=sorted_frames(frames, skipped, file),
        points=read_points(model, kind),
        skipped=tuple(skipped),
        notes=_other_models(model),
    )


def _other_models(model: Path) -> tuple[str, ...]:
    """A word on sparse/1 and so on: COLMAP makes several where it cannot join all pictures."""
    others = sorted(other.name for other in model.parent.glob("[1-9]*") if re.fullmatch(r"\d+", other.name))
    if model.name != "0" or not others:
        return ()
    return (f"{model} is read; COLMAP made other models of other pictures beside it: {', '.join(others)}",)


def _frames(
    folder: Path, model: Path, images: Sequence[ColmapImage], cameras: Mapping[int, Pinhole], file: Path
) -> tuple[list[Frame], list[Skipped]]:
    home = _home_of_pictures(folder, model, images)
    frames: list[Frame] = []
    skipped: list[Skipped] = []
    for image in images:
        where = f"{file}, image {image.name},"
        if image.camera not in cameras:
            raise CaptureError(f"{where} was taken with camera {image.camera}, which {file.with_stem('cameras')} lacks")
        pose = _pose(image, where)
        picture = home / image.name
        if is_file(picture):
            frames.append(Frame(name_below(folder, picture), picture, cameras[image.camera], pose))
        else:
            skipped.append(Skipped(image.name, MISSING))
    return frames, skipped


def _home_of_pictures(folder: Path, model: Path, images: Sequence[ColmapImage]) -> Path:
    """The folder that the images' names are given in: the first that has any of them."""
    around = [folder, *(parent for parent in model.parents if parent.is_relative_to(folder))]
    if model == folder:  # the model itself was given; pictures lie beside it, or beside sparse/
        around += [*folder.absolute().parents][:2]
    places = [place for root in around for place in (root / "images", root)]
    return next((place for place in places if any(is_file(place / image.name) for image in images)), places[0])


def _pose(image: ColmapImage, where: str) -> np.ndarray:
    """float64 [4, 4], world from camera."""
    length = math.hypot(*image.quaternion)
    if not abs(length - 1) <= _UNIT_WITHIN:
        raise CaptureError(f"{where} has a quaternion of length {length:.6g}, and only one of length 1 is a rotation")
    w, x, y, z = (part / length for part in image.quaternion)
    world_from_camera = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y), 0],
            [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x), 0],
            [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y), 0],
            [0, 0, 0, 1],
        ]
    )
    with np.errstate(all="ignore"):  # what is not finite then is told below
        world_from_camera[:3, 3] = -(world_from_camera[:3, :3] @ image.shift)
    return checked_pose(world_from_camera, where)
