"""Which frames of a video, or photos of a folder, cameras are worked out from: sharp ones that show something new."""

import itertools
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image

from unflat.data.frames import VideoError, frames_of
from unflat.data.kinds import Skipped
from unflat.data.photo_files import Found, PhotosError, find_photos
from unflat.data.pictures import Picture, PictureError, open_picture, quiet_pillow
from unflat.data.recordings import CaptureError
from unflat.data.stages import Stages

SCORED = 640
"""sharpness is measured on a grey copy with a longer side of so many pixels: finer blur is not worth a frame"""
LOOK = 64
"""side of the small copies that tell whether two neighbours show the same"""
TILE = 8
"""these are compared tile by tile: a small thing before an empty wall counts as much as a full picture"""
ALIKE = 4.0
"""grey levels: neighbours whose tiles all differ by less on average show the same. A camera that is moved by a
hundredth of the picture's width makes 12 to 22 on photos of a room; noise and encoding make 1 to 2"""
FLAT = 2.0
"""grey levels: pictures that vary by less show nothing, and cannot be told to be the same"""
QUALITY = 95
"""of JPEG files that are written"""
_AS_THEY_ARE = {"JPEG": (".jpg", ".jpeg"), "PNG": (".png",)}
_KEPT_TAGS = (ExifTags.Base.Make, ExifTags.Base.Model)
_KEPT_LENS_TAGS = (ExifTags.Base.FocalLength, ExifTags.Base.FocalLengthIn35mmFilm)


@dataclass(frozen=True)
class SharpFrames:
    """The pictures that were chosen and written."""

    pictures: tuple[Path, ...]
    """in the order of the video, or of the photos' names, numbers in them counted as numbers"""
    found: int
    """frames of the video, or photos that can be read"""
    left_out: int
    """that were less sharp than one near them"""
    alike: int
    """that were the sharpest of theirs, and hardly differ from the picture before"""
    in_order: bool
    """whether the pictures follow one another, as frames do, or photos that are numbered"""
    video: bool
    skipped: tuple[Skipped, ...] = ()
    """photos that cannot be read"""


@dataclass(frozen=True)
class _Candidate:
    sharpness: float
    look: UInt8[np.ndarray, "s s"]
    """a small grey copy, stretched to a square"""


def sharp_frames(
    source: Path, folder: Path, count: int = 100, *, side: int = 1600, stages: Stages | None = None
) -> SharpFrames:
    """Choose pictures and write them into `folder`, upright, the longer side at most `side` pixels.

    The video, or the folder of photos that are numbered, is cut into `count` stretches of equal length, and the
    sharpest picture of each is taken: the one with the largest variance of the Laplacian on a small grey copy. Photos
    whose names do not number them are all taken, as are those of a folder with no more than `count`. What hardly
    differs from the picture before (the camera stood still) is left out.

    Frames become `frame_00012.jpg`, with their number in the video, counted from 0. Photos keep their names and, if
    they are JPEG or PNG files that need no change, their bytes; names of other formats have `.jpg` or `.png` added.
    Raises CaptureError if there is nothing to choose from.
    """
    if count < 1 or side < 16:
        raise CaptureError(
            f"count={count} and side={side} leave no pictures; 100 pictures of up to 1600 pixels are usual"
        )
    stages = stages or Stages(False)
    try:
        found = find_photos(source)
        return (
            _from_video(found, folder, count, side, stages)
            if found.video
            else _photos(found, folder, count, side, stages)
        )
    except (PhotosError, VideoError) as error:
        raise CaptureError(str(error)) from error


def _from_video(found: Found, folder: Path, count: int, side: int, stages: Stages) -> SharpFrames:
    """The video is read twice: how many frames it has is not known before its end, and all of them do not fit in
    memory."""
    video = found.photos[0].path
    with stages.stage("Looking at frames") as seen:
        candidates = [_candidate(frame, seen, i) for i, frame in enumerate(frames_of(video))]
    best = _sharpest(candidates, count)
    kept = _that_differ(candidates, best)
    width = max(5, len(str(len(candidates))))
    written = []
    with stages.stage("Writing frames", len(kept)) as done:
        wanted = set(kept)
        for i, frame in enumerate(itertools.islice(frames_of(video), kept[-1] + 1)):
            if i in wanted:
                written.append(_place(folder, f"frame_{i:0{width}d}.jpg"))
                _shrunk(frame, side).save(written[-1], quality=QUALITY)
                done(len(written))
    left_out = len(candidates) - len(best)
    return SharpFrames(tuple(written), len(candidates), left_out, len(best) - len(kept), in_order=True, video=True)


def _photos(found: Found, folder: Path, count: int, side: int, stages: Stages) -> SharpFrames:
    photos = sorted(found.photos, key=lambda photo: _natural(photo.name))
    candidates, readable, skipped = [], [], list(found.skipped)
    with stages.stage("Looking at photos", len(photos)) as seen, quiet_pillow():
        for i, photo in enumerate(photos):
            try:
                candidates.append(_candidate(open_picture(photo.path, SCORED // 2).rgb, seen, i))
                readable.append(photo)
            except PictureError as error:
                skipped.append(Skipped(photo.name, str(error)))
    if not readable:
        shown = "; ".join(f"{name} {why}" for name, why in skipped[:3])
        raise CaptureError(f"none of the {len(skipped)} pictures of {found.where} can be read: {shown}")
    in_order = _numbered([photo.name for photo in readable])
    best = _sharpest(candidates, count) if in_order else list(range(len(candidates)))
    kept = _that_differ(candidates, best)
    written = []
    with stages.stage("Writing photos", len(kept)) as done, quiet_pillow():
        for i in kept:
            written.append(_write_photo(readable[i].path, folder, readable[i].name, side))
            done(len(written))
    left_out, alike = len(candidates) - len(best), len(best) - len(kept)
    return SharpFrames(tuple(written), len(candidates), left_out, alike, in_order, video=False, skipped=tuple(skipped))


def _candidate(picture: Image.Image, seen: Callable[[int], None], index: int) -> _Candidate:
    grey = picture.convert("L")
    scale = min(1.0, SCORED / max(grey.size))
    small = grey.resize(_times(grey.size, scale), Image.Resampling.BOX)
    look = small.resize((LOOK, LOOK), Image.Resampling.BOX)
    seen(index + 1)
    return _Candidate(_sharpness(np.asarray(small)), np.asarray(look))


def _sharpness(grey: UInt8[np.ndarray, "h w"]) -> float:
    """The variance of the Laplacian."""
    values = grey.astype(np.float32)
    if min(values.shape) < 3:
        return 0.0
    neighbours = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float(np.var(neighbours - 4 * values[1:-1, 1:-1]))


def _sharpest(candidates: list[_Candidate], count: int) -> list[int]:
    """Of each of `count` stretches of equal length, the sharpest; all if there are no more than that."""
    edges = np.linspace(0, len(candidates), min(count, len(candidates)) + 1).round().astype(int)
    stretches = [range(first, last) for first, last in itertools.pairwise(edges.tolist())]
    return [max(stretch, key=lambda i: candidates[i].sharpness) for stretch in stretches]


def _that_differ(candidates: list[_Candidate], chosen: list[int]) -> list[int]:
    """Those that do not show what the last one kept before them shows."""
    kept = chosen[:1]
    for i in chosen[1:]:
        if not _alike(candidates[kept[-1]].look, candidates[i].look):
            kept.append(i)
    return kept


def _alike(one: UInt8[np.ndarray, "s s"], other: UInt8[np.ndarray, "s s"]) -> bool:
    a, b = one.astype(np.float32), other.astype(np.float32)
    if max(a.std(), b.std()) < FLAT:
        return False
    difference = a - b
    off = np.abs(difference - difference.mean())  # not that it became brighter
    tiles: Float[np.ndarray, "t t"] = off.reshape(LOOK // TILE, TILE, LOOK // TILE, TILE).mean((1, 3))
    return bool(tiles.max() < ALIKE)


def _natural(name: str) -> list[tuple[int, str]]:
    """By which names are sorted so that 2 comes before 10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name) if part]


def _numbered(names: list[str]) -> bool:
    """Whether names differ by their last number alone."""
    parts = [re.fullmatch(r"(.*?)(\d+)(\D*)", name, re.DOTALL) for name in names]
    return len({(part[1], part[3]) if part else None for part in parts}) == 1 and None not in parts


def _write_photo(photo: Path, folder: Path, name: str, side: int) -> Path:
    if _usable_as_it_is(photo, side):
        return Path(shutil.copyfile(photo, _place(folder, name)))
    picture = open_picture(photo)
    suffixes = _AS_THEY_ARE["JPEG" if picture.alpha is None and photo.suffix.lower() != ".png" else "PNG"]
    path = _place(folder, name if photo.suffix.lower() in suffixes else name + suffixes[0])
    if suffixes == _AS_THEY_ARE["JPEG"]:
        _shrunk(picture.rgb, side).save(path, quality=QUALITY, exif=_lens_tags(photo))
    else:
        _shrunk(_straight(picture), side).save(path)
    return path


def _usable_as_it_is(photo: Path, side: int) -> bool:
    """Whether every program reads the file as the picture that it shows."""
    with Image.open(photo) as image:
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        suffixes = _AS_THEY_ARE.get(image.format or "", ())
        plain = image.mode in ("L", "RGB", "RGBA") and "transparency" not in image.info
        return upright and plain and photo.suffix.lower() in suffixes and max(image.size) <= side


def _straight(picture: Picture) -> Image.Image:
    """With transparency, if the file has it, and the colours from before the picture was laid on white."""
    if picture.alpha is None:
        return picture.rgb
    opacity = np.asarray(picture.alpha, np.float32)[..., None] / 255
    laid = np.asarray(picture.rgb, np.float32)
    colours = 255 - (255 - laid) / np.maximum(opacity, 1 / 255)
    straight = Image.fromarray(np.clip(colours.round(), 0, 255).astype(np.uint8))
    straight.putalpha(picture.alpha)
    return straight


def _shrunk(picture: Image.Image, side: int) -> Image.Image:
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    return picture.resize(_times(picture.size, scale), Image.Resampling.LANCZOS)


def _times(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _lens_tags(photo: Path) -> Image.Exif:
    """The tags by which the focal length is guessed; it does not change with the size of the picture."""
    kept = Image.Exif()
    try:
        with Image.open(photo) as image:
            found = image.getexif()
            lens = found.get_ifd(ExifTags.IFD.Exif)
            kept.update({tag: found[tag] for tag in _KEPT_TAGS if tag in found})
            kept.get_ifd(ExifTags.IFD.Exif).update({tag: lens[tag] for tag in _KEPT_LENS_TAGS if tag in lens})
            kept.tobytes()
    except Exception:  # tags are written by all sorts of programs
        return Image.Exif()
    return kept


def _place(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
