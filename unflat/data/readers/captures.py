"""Posed pictures of one scene, in whichever format they are."""

import difflib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from unflat.data.readers import blender, colmap, llff, nerfstudio
from unflat.data.recordings import CaptureError, Recording, Split

EVERY = 8
"""the first and every so-manieth frame is kept for testing, unless the files say which"""


class Reader(Protocol):
    """A module that reads a format."""

    def recognises(self, folder: Path) -> bool:
        """Whether the files of the format are in the folder."""
        ...

    def read(self, folder: Path) -> Recording:
        """What they say. CaptureError where it makes no sense."""
        ...


READERS: Mapping[str, Reader] = MappingProxyType(
    {"blender": blender, "nerfstudio": nerfstudio, "colmap": colmap, "llff": llff}
)
"""by name; of several that recognise a folder the first is taken"""
_LOOKS_FOR = {
    "blender": "transforms_train.json",
    "nerfstudio": "transforms.json",
    "colmap": f"cameras and images, .bin or .txt, in {' or '.join(colmap.PLACES)}",
    "llff": llff.NAME,
}


def find_reader(folder: Path) -> str:
    """The name of the reader that recognises a folder. CaptureError, with what each looks for, if none does."""
    found = _recognising(folder)
    if not found:
        looked = "; ".join(f"{name}: {files}" for name, files in _LOOKS_FOR.items())
        raise CaptureError(
            f"{folder} is no capture: no camera poses were found in it. Looked for {looked}. Photos alone have to be "
            "placed first, by structure from motion (unflat data capture)"
        )
    return found[0]


def is_capture(source: Path) -> bool:
    """Whether a reader recognises what is there: a folder, or one of the files that can be given itself."""
    if source.is_dir():
        return bool(_recognising(source))
    return source.is_file() and (source.suffix == ".json" or source.name == llff.NAME)


def _recognising(folder: Path) -> list[str]:
    return [name for name, reader in READERS.items() if reader.recognises(folder)]


def read_recording(source: Path, reader: str = "") -> Recording:
    """What the files of a capture say, before any picture is decoded.

    `source`: its folder; or transforms.json (under any name), transforms_train.json or poses_bounds.npy itself.
    `reader`: one of `READERS` instead of the one that recognises the folder.

    Raises CaptureError for what is no capture, is damaged, or makes no sense.
    """
    if reader and reader not in READERS:
        near = difflib.get_close_matches(reader.lower(), READERS, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise CaptureError(f"there is no reader {reader!r}; there are {', '.join(READERS)}{hint}")
    if not source.exists():
        raise CaptureError(f"{source} does not exist: give the folder of a capture")
    if not source.is_dir():
        source, reader = _of_file(source, reader)
    others = [] if reader else _recognising(source)[1:]
    name = reader or find_reader(source)
    recording = READERS[name].read(source)
    if others:
        also = f"{source} is read as {name}; {' and '.join(others)} would recognise it too"
        recording = replace(recording, notes=(*recording.notes, also))
    if len(recording.frames) < 2:
        raise CaptureError(
            f"{source} has a single picture that is there, {recording.frames[0].name}: depth is seen from at least two "
            "places, and a whole scene from dozens"
        )
    return recording


def _of_file(file: Path, reader: str) -> tuple[Path, str]:
    """What to give to which reader, where a file is given instead of a folder."""
    name = file.name
    if name == llff.NAME:
        return file.parent, reader or "llff"
    if name in ("transforms_train.json", "transforms_val.json", "transforms_test.json"):
        return file.parent, reader or "blender"
    if file.suffix == ".json":
        return file if reader in ("", "nerfstudio") else file.parent, reader or "nerfstudio"
    raise CaptureError(f"{file} is a file: give the folder it is in, a transforms.json or a {llff.NAME}")


def split_names(recording: Recording) -> dict[str, Split]:
    """Which frames are for learning and which for testing: what the files say, in which some may belong to neither.

    Where they say nothing, the first and every eighth frame in the order of names is for testing, of fewer than eight
    the last one; the others are for learning.
    """
    if recording.splits:
        return dict(recording.splits)
    names = [frame.name for frame in recording.frames]
    tested = set(names[::EVERY] if len(names) >= EVERY else names[-1:])
    return {name: "test" if name in tested else "train" for name in names}
