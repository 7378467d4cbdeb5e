"""Scenes rendered by Blender, as the synthetic ones of NeRF: transforms_train.json, and _val and _test beside it."""

from pathlib import Path

import numpy as np

from unflat.data.kinds import Skipped
from unflat.data.readers.picture_files import is_file, sorted_frames
from unflat.data.readers.transforms_json import frames_of, read_transforms
from unflat.data.recordings import CaptureError, Frame, Recording, Split

_SPLITS: tuple[Split, ...] = ("train", "test", "val")
"""a frame that is named more than once belongs to the first"""


def recognises(folder: Path) -> bool:
    """Whether transforms_train.json is there."""
    return is_file(_file(folder, "train"))


def read(folder: Path) -> Recording:
    """The frames of all splits. Where there is transforms_train.json alone, they belong to none."""
    frames: dict[str, Frame] = {}
    splits: dict[str, Split] = {}
    skipped: list[Skipped] = []
    there = [split for split in _SPLITS if is_file(_file(folder, split))]
    if not there:
        raise CaptureError(f"{folder} has no transforms_train.json, nor _val or _test")
    again = 0
    for split in there:
        found, missing = frames_of(read_transforms(_file(folder, split)))
        skipped += missing
        if found:
            found = list(sorted_frames(found, missing, _file(folder, split)))
        again += sum(frame.name in frames for frame in found)
        for frame in found:
            _refuse_other_pose(frame, frames.get(frame.name, frame), folder)
            frames.setdefault(frame.name, frame)
            splits.setdefault(frame.name, split)
    notes = [f"{again} frames stand in several files and belong to the first of {', '.join(there)}"] if again else []
    return Recording(
        reader="blender",
        frames=sorted_frames(list(frames.values()), skipped, folder),
        splits=splits if len(there) > 1 else {},
        skipped=tuple(skipped),
        notes=tuple(notes),
    )


def _file(folder: Path, split: Split) -> Path:
    return folder / f"transforms_{split}.json"


def _refuse_other_pose(frame: Frame, other: Frame, folder: Path) -> None:
    if not np.allclose(frame.world_from_camera, other.world_from_camera, atol=1e-6):
        raise CaptureError(f"{folder} has two poses for {frame.name} in two of its files: leave one of them out")
