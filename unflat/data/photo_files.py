"""Which files a user means by a folder, a glob, a list or a video, and what stands beside them."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from unflat.data.crops import Boxes
from unflat.data.frames import VIDEO_SUFFIXES, is_video
from unflat.data.kinds import Skipped
from unflat.data.pictures import FOREIGN_SUFFIXES, picture_suffixes
from unflat.data.truth import IMAGE_FOLDERS, MAP_FOLDERS, MapFinder, home_of, is_truth

Source = str | Path | Sequence[str | Path]
SPLITS = ("train", "val", "test")


class PhotosError(ValueError):
    """Photos that were asked for cannot be had: says what was given, what is needed and what to do."""


@dataclass(frozen=True)
class PhotoFile:
    """A photo and the truth beside it."""

    name: str
    """its path below the folder that was given"""
    path: Path
    depth: Path | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Found:
    """The photos a source stands for, in order."""

    where: str
    """the source, for messages"""
    photos: tuple[PhotoFile, ...]
    skipped: tuple[Skipped, ...] = ()
    """pictures in formats that Pillow does not read"""
    video: bool = False
    """True if the one photo is a video, to be taken frame by frame"""
    limit: int | None = None
    """frames of the video to take"""

    @cached_property
    def homes(self) -> tuple[Path, ...]:
        """The folders that hold image/ folders, where truth.jsonl would be."""
        folders = {photo.path.parent for photo in self.photos}
        return tuple(sorted({home for folder in folders if (home := home_of(folder)) is not None}))

    @property
    def files(self) -> list[Path]:
        """All files on which the photos and their truth depend, whether they exist or not."""
        maps = [path for photo in self.photos for path in (photo.path, photo.depth, photo.mask) if path is not None]
        said = [home / "truth.jsonl" for home in self.homes]
        return [*maps, *said, *(place / "world.json" for home in self.homes for place in (home, home.parent))]


def find_photos(
    source: Source, split: str | None = None, boxes: Boxes | None = None, limit: int | None = None
) -> Found:
    """The files that `source` stands for, sorted by name; a list keeps its order.

    With `split`, the photos of that subfolder, or of that split of the box table; where neither knows splits, all.
    `limit` keeps the first so many. Raises PhotosError where nothing is found.
    """
    if limit is not None and limit < 1:
        raise PhotosError(f"limit={limit} leaves no photos; give 1 or more, or leave it out")
    if split is not None and split not in SPLITS:
        raise PhotosError(f"split={split!r} is not known: one of {', '.join(SPLITS)} is")
    where, root, paths = _listed(source)
    if len(paths) == 1 and is_video(paths[0]):
        return Found(where, (PhotoFile(paths[0].name, paths[0]),), video=True, limit=limit)
    named = _of_split([(_name(path, root), path) for path in paths], root, split, boxes, where)
    foreign = [name for name, path in named if path.suffix.lower() in FOREIGN_SUFFIXES]
    named = [(name, path) for name, path in named if path.suffix.lower() not in FOREIGN_SUFFIXES][:limit]
    why = "is a {} file, which Pillow does not read: save it as JPEG"
    skipped = tuple(Skipped(name, why.format(PurePosixPath(name).suffix[1:].upper())) for name in foreign)
    if not named:
        raise PhotosError(_nothing(where, paths, skipped))
    maps = MapFinder()
    photos = (PhotoFile(name, path, maps.beside(path, "depth"), maps.beside(path, "mask")) for name, path in named)
    return Found(where, tuple(photos), skipped)


def _listed(source: Source) -> tuple[str, Path, list[Path]]:
    """The source in words, the folder that names are given below, and absolute paths of its pictures and videos."""
    if not isinstance(source, str | Path):
        return _of_list([Path(path) for path in source])
    path = absolute_path(Path(source))
    if path.is_dir():
        return f"the folder {source}", path, _pictures_below(path)
    if path.is_file():
        return f"the file {source}", path.parent, [path]
    if any(letter in str(source) for letter in "*?["):
        return _of_glob(str(source), path)
    raise PhotosError(
        f"{source} does not exist: give a folder of photos, a photo, a video or a glob such as 'photos/*.jpg'"
    )


def _of_list(paths: list[Path]) -> tuple[str, Path, list[Path]]:
    if not paths:
        raise PhotosError("the list of photos is empty: give at least one file")
    absolute = [absolute_path(path) for path in paths]
    missing = [str(path) for path in absolute if not path.is_file()]
    if missing:
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise PhotosError(f"{len(missing)} of {len(paths)} listed photos are no files: {shown}")
    return f"the list of {len(paths)} files", Path(os.path.commonpath([path.parent for path in absolute])), absolute


def absolute_path(path: Path) -> Path:
    """Without `..`, but with links as they are: their names are the user's names."""
    return Path(os.path.normpath(path.expanduser().absolute()))


def _of_glob(pattern: str, path: Path) -> tuple[str, Path, list[Path]]:
    fixed = next(parent for parent in path.parents if not any(letter in str(parent) for letter in "*?["))
    matches = sorted(fixed.glob(path.relative_to(fixed).as_posix()))
    shown = [match for match in matches if not any(map(_is_hidden, match.relative_to(fixed).parts))]
    files = [match for match in shown if match.is_file() and _wanted(match.name)]
    files = [file for file in files if not is_truth(PurePosixPath(_name(file, fixed)), fixed)]
    if not files:
        raise PhotosError(f"{pattern} matches {len(matches)} files, and no picture among them")
    return f"the glob {pattern}", fixed, files


def _pictures_below(folder: Path) -> list[Path]:
    """Pictures and videos, sorted by their path below the folder; neither what is hidden nor the maps of photos."""
    found: list[str] = []
    for place, folders, names in os.walk(folder):
        maps = MAP_FOLDERS if any(name in folders for name in IMAGE_FOLDERS) else ()
        folders[:] = [name for name in folders if not _is_hidden(name) and name not in maps]
        found += [f"{place}{os.sep}{name}" for name in names if not _is_hidden(name) and _wanted(name)]
    return [Path(file) for file in sorted(found, key=lambda file: file.replace(os.sep, "/"))]


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"


def _wanted(name: str) -> bool:
    suffix = f".{name.rpartition('.')[2].lower()}"
    return suffix in picture_suffixes() or suffix in FOREIGN_SUFFIXES or suffix in VIDEO_SUFFIXES


def _name(path: Path, root: Path) -> str:
    """The path below the folder, with slashes."""
    below = str(path)[len(str(root)) :] if path.is_relative_to(root) else str(path)
    return below.replace(os.sep, "/").lstrip("/")


def _of_split(
    named: Iterable[tuple[str, Path]], root: Path, split: str | None, boxes: Boxes | None, where: str
) -> list[tuple[str, Path]]:
    """Those of the split, without videos: a folder of photos with a video in it is a folder of photos."""
    pictures = [(name, path) for name, path in named if not is_video(path)]
    if split is None:
        return pictures
    if boxes is not None and boxes.splits:
        return [(name, path) for name, path in pictures if boxes.split_of(name) == split]
    there = [part for part in SPLITS if (root / part).is_dir()]
    if not there:
        return pictures
    if split not in there:
        raise PhotosError(f"{where} is split into {', '.join(there)}, and {split!r} was asked for")
    return [(name, path) for name, path in pictures if name.startswith(f"{split}/")]


def _nothing(where: str, paths: list[Path], skipped: Sequence[Skipped]) -> str:
    if skipped:
        example = skipped[0].name
        return f"{where} holds {len(skipped)} pictures that Pillow does not read, as {example}: save them as JPEG"
    videos = [path for path in paths if is_video(path)]
    if videos:
        return f"{where} holds no photos, but {len(videos)} videos: give one of them, such as {videos[0]}"
    return f"{where} holds no pictures: give one with .jpg, .png, .webp, .tif or other pictures in it or its folders"
