"""Folders, globs, lists and videos of photos as `Photos`: found, cropped, resized, and packed for all later starts."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from unflat.data import crops, packing, truth
from unflat.data.crops import CropMode, Cropping
from unflat.data.cutting import Cutter
from unflat.data.detection import can_find_faces
from unflat.data.frames import VideoError
from unflat.data.kinds import Photos, Skipped
from unflat.data.photo_files import Found, PhotosError, Source, find_photos
from unflat.data.photo_packs import PackWriter, load_pack
from unflat.data.pictures import quiet_pillow
from unflat.data.reading import bar, workers

__all__ = ["PhotosError", "read_photos"]

VERSION = 1
"""of what is packed; older packs are not read"""
REPORTED = 20
"""skipped files are named up to this number, then counted"""


def read_photos(
    source: Source,
    *,
    size: int = 64,
    crop: CropMode = "centre",
    boxes: Path | str | None = None,
    margin: float | None = None,
    split: str | None = None,
    limit: int | None = None,
    minimum: int = 1,
    report: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Photos:
    """Photos of one kind of object as square crops of `size` pixels, memory-mapped.

    `source`: a folder (searched with all its folders), a glob, a list of files, or a video, taken frame by frame.
    Every format and mode that Pillow reads; the first frame of animations, upright, transparency on white.

    `crop`: by the `centre`; the `box` of a table (`boxes`: lines of `file [split] x0 y0 w h`); the object by `alpha`
    or the mask beside the photo; the `face`, framed as `worlds.faces` frames it; or `none` for square pictures.
    `margin` widens the found box (`crops.MARGINS` unless given); outside the picture its edge is repeated.
    `split`: train, val or test, where the folder or the table has them. `limit`: the first so many photos or frames.

    Depth, masks, view, light and landmarks are read where they stand beside the photos (see `data.truth`).

    What cannot be used is told to `report` (a warning in the log unless given), listed in `skipped` and left out.
    Raises PhotosError if fewer than `minimum` photos are left, or if the source or the settings make no sense.
    """
    if size < 8:
        raise PhotosError(f"size={size} is no size for a photo; at least 8 pixels are needed, 64 is usual")
    try:
        table = None if boxes is None else crops.read_boxes(Path(boxes))
        cropping = Cropping(crop, crops.MARGINS.get(crop, 1.0) if margin is None else margin, table)
        found = find_photos(source, split, table, limit)
        photos = load_pack(_pack_of(found, cropping, size, progress))
    except (crops.CropError, truth.TruthError, VideoError) as error:
        raise PhotosError(str(error)) from error
    _tell(photos.skipped, report or logging.getLogger(__name__).warning)
    if len(photos) < minimum:
        raise PhotosError(
            f"{found.where} holds {_photos(len(photos))} that can be used, and at least {minimum} are needed: "
            "a shape is learned from many photos of different objects of one kind, best from thousands"
        )
    return photos


def _photos(count: int) -> str:
    return "a single photo" if count == 1 else f"{count} photos"


def _tell(skipped: Sequence[Skipped], report: Callable[[str], None]) -> None:
    for name, why in skipped[:REPORTED]:
        report(f"skipped: {name} {why}")
    if len(skipped) > REPORTED:
        report(f"skipped: {len(skipped) - REPORTED} more files")


def _pack_of(found: Found, cropping: Cropping, size: int, progress: bool) -> Path:
    """The folder of the pack of these photos, made if it is not there.

    A pack is named by the content of its files. Which content that is, is remembered by place, length and times of the
    files, so that a later start only has to look at their folders.
    """
    settings = [VERSION, size, asdict(cropping), found.limit, can_find_faces(), found.skipped]
    stated = f"stated/{packing.digest_of(settings, [packing.stated(file) for file in found.files])}"
    remembered = packing.recall(stated)
    entry = None if remembered is None else packing.find(remembered)
    if entry is not None:
        return entry
    with ThreadPoolExecutor(workers()) as pool:
        contents = list(pool.map(content_of, found.files))
    key = f"photos/{packing.digest_of(settings, [photo.name for photo in found.photos], contents)}"
    entry = packing.packed(key, partial(_fill, found, cropping, size, progress))
    packing.remember(stated, key)
    return entry


def content_of(file: Path) -> str:
    """Hexadecimal digits that are equal for equal content; the error's name if there is no reading it."""
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "blake2b").hexdigest()[:32]
    except OSError as error:
        return type(error).__name__


def _fill(found: Found, cropping: Cropping, size: int, progress: bool, folder: Path) -> None:
    """Cut all photos into an empty folder. Raises PhotosError if not one can be used."""
    cutter = Cutter(cropping, size, {home: truth.read_world(home) for home in found.homes})
    video = found.photos[0].path
    cuts = cutter.frames(video, found.limit) if found.video else cutter.photos(found.photos, workers())
    writer = PackWriter(folder, size)
    for skipped in found.skipped:
        writer.add(skipped)
    try:
        with quiet_pillow(), bar(progress) as shown:
            task = shown.add_task("Reading photos", total=found.limit if found.video else len(found.photos))
            for cut in cuts:
                writer.add(cut)
                shown.advance(task)
    finally:
        writer.close()
    if not writer.names:
        raise PhotosError(_nothing_left(found, writer.skipped))
    writer.finish(cropping)


def _nothing_left(found: Found, skipped: Sequence[Skipped]) -> str:
    shown = "; ".join(f"{name} {why}" for name, why in skipped[:3])
    rest = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
    return f"none of the {len(skipped)} pictures of {found.where} can be used: {shown}{rest}"
