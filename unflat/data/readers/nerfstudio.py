"""Captures of nerfstudio and instant-ngp: transforms.json with the cameras, and the pictures beside it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unflat.data.kinds import Points, Skipped
from unflat.data.readers.picture_files import is_file, name_below, sorted_frames
from unflat.data.readers.transforms_json import Transforms, frames_of, number, path_of, read_transforms
from unflat.data.recordings import CaptureError, Frame, Recording, Split

_MILLIMETRES = 0.001
_SPLITS: tuple[Split, ...] = ("train", "test", "val")
"""a frame that is named for more than one belongs to the first"""


def recognises(folder: Path) -> bool:
    """Whether transforms.json is there."""
    return is_file(folder / "transforms.json")


def read(folder: Path) -> Recording:
    """The frames of transforms.json in the folder, or of another file of its kind that is given itself.

    Poses are taken as they are: applied_transform is only noted. Depth and points are taken to be without
    applied_scale, as nerfstudio takes them, and are brought to the poses' scale.
    """
    transforms = read_transforms(folder if is_file(folder) else folder / "transforms.json")
    found, skipped = frames_of(transforms)
    frames = sorted_frames(found, skipped, transforms.file)
    splits, notes = _splits(transforms, frames, skipped)
    scale = _scale(transforms)
    points, about_points = _points(transforms, scale)
    if "applied_transform" in transforms.top:
        notes.append("the file says applied_transform: poses are in the frame after it, as they stand there")
    return Recording(
        reader="nerfstudio",
        frames=frames,
        splits=splits,
        points=points,
        depth_unit=_MILLIMETRES * scale,
        skipped=tuple(skipped),
        notes=(*notes, *about_points),
    )


def _splits(
    transforms: Transforms, frames: Sequence[Frame], skipped: Sequence[Skipped]
) -> tuple[dict[str, Split], list[str]]:
    """What train_filenames and the like say, by the frames' names, and what to note."""
    folder, splits = transforms.file.parent, dict[str, Split]()
    there = {frame.name for frame in frames}
    known = there | {entry.name for entry in skipped}
    again = 0
    for split in _SPLITS:
        for written in _names(transforms, f"{split}_filenames"):
            name = name_below(folder, path_of(folder, written))
            if name not in known:
                raise CaptureError(f"{transforms.file} names {written} in {split}_filenames, and no frame has it")
            again += name in splits
            if name in there:
                splits.setdefault(name, split)
    notes = [f"{again} frames are named for several splits and belong to the first of {', '.join(_SPLITS)}"]
    if splits and len(splits) < len(there):
        notes.append(f"{len(there) - len(splits)} frames are named for no split and left out of all")
    return splits, notes[0 if again else 1 :]


def _names(transforms: Transforms, key: str) -> list[str]:
    names = transforms.top.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise CaptureError(f"{transforms.file} needs a list of file names as {key}")
    return names


def _scale(transforms: Transforms) -> float:
    """What the poses were multiplied with before they were written."""
    if "applied_scale" not in transforms.top:
        return 1.0
    scale = number(transforms.top, "applied_scale", str(transforms.file))
    if scale <= 0:
        raise CaptureError(f"{transforms.file} has applied_scale = {scale}; a number above 0 is needed")
    return scale


def _points(transforms: Transforms, scale: float) -> tuple[Points | None, list[str]]:
    """The points of ply_file_path, if there are any, and what to note."""
    written = transforms.top.get("ply_file_path")
    if written is None:
        return None, []
    if not isinstance(written, str):
        raise CaptureError(f"{transforms.file} needs a file's name as ply_file_path")
    file = path_of(transforms.file.parent, written)
    if not is_file(file):
        return None, [f"the points in {written} are missing"]
    places, colours = _of_ply(file)
    if not np.isfinite(places).all():
        raise CaptureError(f"{file} holds points at places that are not finite: it is damaged; leave ply_file_path out")
    return Points(places * scale, colours, np.zeros(len(places), np.int64)), []


def _of_ply(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """float64 [m, 3] and uint8 [m, 3], grey where the file has no colours."""
    import trimesh

    try:
        with file.open("rb") as opened:
            loaded = trimesh.load(opened, file_type="ply", process=False)
        places = np.array(loaded.vertices, np.float64).reshape(-1, 3)
        colours = np.array(loaded.colors if isinstance(loaded, trimesh.PointCloud) else loaded.visual.vertex_colors)
        if colours.shape[:1] != places.shape[:1] or colours.ndim != 2:
            colours = np.full((len(places), 3), 128)
        return places, colours[:, :3].astype(np.uint8)
    except Exception as error:  # a broken file makes the reader raise nearly anything
        raise CaptureError(f"{file} holds no points that can be read ({error or type(error).__name__})") from error
