"""Square crops: where to cut a photo, cutting it, and telling when two sets are not cropped alike.

A method that learns from single photos takes scale for shape: it has to be shown photos cropped like those it learned
from. So every crop is measured (`Framing`), the measurements of a set are summed up beside it (`summary`), and photos
that come later are held against them (`crop_warnings`).
"""

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from PIL import Image

from unflat.data.detection import Box, can_find_faces, face_box, face_in_crop, square_about
from unflat.data.kinds import Photos
from unflat.data.pictures import Picture, PictureError

CropMode = Literal["centre", "alpha", "box", "face", "none"]
CROP_MODES: tuple[str, ...] = get_args(CropMode)

MARGINS = {"centre": 1.0, "alpha": 1.15, "box": 1.0, "face": 1.38, "none": 1.0}
"""what the found box is widened by unless told otherwise. 1.38 shows a face as `worlds.faces` does: in the means over
real and over generated frontal faces the eyes are equally high and within 4 % equally far apart, and the outline of
nearly every head is inside"""
FACE_RISE = 0.055
"""faces stand this share of their box lower in the crop than its middle: there is more head above them than below"""
TOLERANCE = 0.25
"""faces or objects whose size in the crop differs by more than this from the training photos' are warned about"""
MEASURED = 64
"""faces are looked for in at most this many photos of a set"""
OUTSIDE_SHARE = 0.5
"""a crop of which more than this share lies outside its picture is not usable"""


class CropError(ValueError):
    """A crop was asked for that makes no sense."""


class Framing(NamedTuple):
    """What a crop took and shows; NaN where it was not measured. The columns of `Photos.framing`."""

    share: float
    """side of the crop over the shorter side of the picture"""
    face: float
    """side of the face's box over that of the crop"""
    object: float
    """longer side of the object's box over that of the crop"""


@dataclass(frozen=True)
class Boxes:
    """A box table: where the object is in each file."""

    boxes: dict[str, Box]
    """by the file's path as the table gives it"""
    splits: dict[str, str]
    """train, val or test, by the same path, for the files that have one"""

    def __getitem__(self, name: str) -> Box | None:
        """The box of a file, given by its path below the photos' folder; None if there is none."""
        return self.boxes.get(name) or self.boxes.get(Path(name).name)

    def split_of(self, name: str) -> str | None:
        """train, val, test or None."""
        return self.splits.get(name) or self.splits.get(Path(name).name)


_SPLIT_NAMES = {"0": "train", "1": "val", "2": "test", "train": "train", "val": "val", "test": "test"}


def read_boxes(path: Path) -> Boxes:
    """Read a table with the columns `file [split] x0 y0 w h`, separated by commas or white space; a header may stand
    first. Raises CropError with the line that makes no sense."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CropError(f"cannot read the box table {path} ({error})") from error
    table = Boxes({}, {})
    for number, line in enumerate(lines, 1):
        fields = next(csv.reader([line])) if "," in line else line.split()
        fields = [field.strip() for field in fields]
        if not any(fields) or line.startswith("#"):
            continue
        try:
            *naming, x, y, width, height = fields
            box = Box(float(x), float(y), float(width), float(height))
        except ValueError as error:
            if number == 1 or not table.boxes:
                continue  # a header
            raise CropError(f"{path}, line {number}: expected `file [split] x0 y0 w h`, found {line!r}") from error
        if not naming or not all(map(math.isfinite, box)) or min(box.width, box.height) <= 0:
            raise CropError(f"{path}, line {number}: a file and a box of some width and height, not {line!r}")
        split = _SPLIT_NAMES.get(naming[-1]) if len(naming) > 1 else None
        name = " ".join(naming[:-1] if split else naming)
        table.boxes[name] = box
        if split:
            table.splits[name] = split
    if not table.boxes:
        raise CropError(f"the box table {path} holds no line `file [split] x0 y0 w h`")
    return table


def check_mode(mode: str) -> None:
    """Raise CropError unless this is a way of cropping."""
    if mode not in CROP_MODES:
        raise CropError(f"crop={mode!r} is not known: one of {', '.join(CROP_MODES)} is")


@dataclass(frozen=True)
class Cropping:
    """How photos are cropped."""

    mode: CropMode = "centre"
    margin: float = 1.0
    """what the found box is widened by"""
    boxes: Boxes | None = None

    def __post_init__(self) -> None:
        check_mode(self.mode)
        if not 0.1 <= self.margin <= 10:
            raise CropError(f"margin={self.margin} makes no sense: the found box is widened by it, 1.5 is usual")
        if (self.mode == "box") != (self.boxes is not None):
            raise CropError("crop='box' needs a table of boxes, and a table of boxes needs crop='box'")

    def square(self, name: str, picture: Picture, mask: np.ndarray | None) -> tuple[Box, float]:
        """The square to cut out, in pixels of the file, and the side of the face in it over its own (NaN unless cropped
        by face).

        `mask` [h, w] is True on the object and shows the same view with any number of pixels. Raises PictureError where
        the photo does not allow this crop.
        """
        width, height = picture.size
        if self.mode == "face":
            face = face_box(picture.rgb)
            return self.about_face(face and face.scaled(width / picture.rgb.width))
        if self.mode == "none" and width != height:
            raise PictureError(f"is not square ({width}x{height} pixels) and crop='none' was asked for")
        if self.mode == "box":
            box = self._of_table(name)
        elif self.mode == "alpha":
            box = _object_box(mask, width)
        else:
            box = square_about((width / 2, height / 2), float(min(width, height)))
        return square_about(box.centre, self.margin * max(box.width, box.height)), math.nan

    def about_face(self, face: Box | None) -> tuple[Box, float]:
        """The square that shows a face as those of `worlds.faces` are shown."""
        if face is None:
            raise PictureError("shows no face that was found (crop='centre' takes it as it is)")
        x, y = face.centre
        return square_about((x, y - FACE_RISE * face.height), self.margin * face.width), 1 / self.margin

    def _of_table(self, name: str) -> Box:
        box = None if self.boxes is None else self.boxes[name]
        if box is None:
            raise PictureError("has no line in the box table")
        return box


def _object_box(mask: np.ndarray | None, width: int) -> Box:
    """The box of the object in a picture `width` pixels wide."""
    if mask is None:
        raise PictureError("has neither transparency nor a mask, and crop='alpha' was asked for")
    return _extent(mask).scaled(width / mask.shape[1])


def _extent(mask: np.ndarray) -> Box:
    """The box of what is True in [h, w]."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        raise PictureError("shows nothing: it is transparent all over, or its mask is empty")
    return Box(float(columns[0]), float(rows[0]), float(columns[-1] - columns[0] + 1), float(rows[-1] - rows[0] + 1))


def check_square(box: Box, size: tuple[int, int], smallest: float) -> None:
    """Raise PictureError if a square cannot be cut from a picture of this (width, height): it is under `smallest`
    pixels, or lies mostly outside."""
    if box.width < smallest:
        raise PictureError(f"is too small: the crop is {box.width:.0f} pixels wide, at least {smallest:.0f} are needed")
    if 1 - _area_inside(box, size) / (box.width * box.height) > OUTSIDE_SHARE and not _holds_all(box, size):
        raise PictureError(
            f"would be cropped mostly outside: {box.width:.0f} pixels from ({box.left:.0f}, {box.top:.0f}) "
            f"of {size[0]}x{size[1]}"
        )


def _holds_all(box: Box, size: tuple[int, int]) -> bool:
    """Whether the whole picture is in the box: a margin around an object that fills the picture is no mistake."""
    return box.left <= 0 and box.top <= 0 and box.left + box.width >= size[0] and box.top + box.height >= size[1]


def _area_inside(box: Box, size: tuple[int, int]) -> float:
    width = min(box.left + box.width, size[0]) - max(box.left, 0.0)
    height = min(box.top + box.height, size[1]) - max(box.top, 0.0)
    return max(width, 0.0) * max(height, 0.0)


def cut(image: Image.Image, box: Box, size: int, filter: Image.Resampling = Image.Resampling.BILINEAR) -> Image.Image:
    """The square `box` of a picture at `size` pixels a side, antialiased; outside the picture its edge is repeated."""
    left, top = math.floor(box.left), math.floor(box.top)
    right, bottom = math.ceil(box.left + box.width), math.ceil(box.top + box.height)
    missing = (max(0, -left), max(0, -top), max(0, right - image.width), max(0, bottom - image.height))
    if any(missing):
        image = _extended(image, (left, top, right, bottom))
        box = box._replace(left=box.left - left, top=box.top - top)
    edges = (box.left, box.top, min(box.left + box.width, image.width), min(box.top + box.height, image.height))
    return image.resize((size, size), filter, box=edges, reducing_gap=3.0)


def _extended(image: Image.Image, edges: tuple[int, int, int, int]) -> Image.Image:
    """The part of a picture between whole-pixel edges, some of which lie outside, with its edge repeated there."""
    left, top, right, bottom = edges
    columns = np.clip(np.arange(left, right), 0, image.width - 1)
    rows = np.clip(np.arange(top, bottom), 0, image.height - 1)
    return Image.fromarray(np.asarray(image)[rows[:, None], columns[None, :]])


def face_share(crop: Image.Image) -> float:
    """Side of the face in a square crop over that of the crop, from about 0.2 to 1.1; NaN where none is found."""
    face = face_in_crop(crop)
    return math.nan if face is None else face.width / crop.width


def object_share(mask: np.ndarray) -> float:
    """Longer side of the object in a square mask [s, s] over that of the mask; NaN where it is empty."""
    if not mask.any():
        return math.nan
    box = _extent(mask)
    return max(box.width, box.height) / len(mask)


def with_framing(photos: Photos) -> Photos:
    """The photos with their crop measured and summed up in `photos.crop`, whoever made them.

    Faces are looked for, where scikit-image is there, in at most `MEASURED` photos spread over the set.
    """
    framing = np.full((len(photos), 3), np.nan, np.float32) if photos.framing is None else np.array(photos.framing)
    if can_find_faces():
        for i in spread_over(len(photos), MEASURED):
            framing[i, 1] = face_share(Image.fromarray(np.asarray(photos.rgb[i])))
    if photos.mask is not None:
        framing[:, 2] = [object_share(np.asarray(mask)) for mask in photos.mask]
    return replace(photos, framing=framing, crop={**photos.crop, **summary(framing)})


def spread_over(count: int, most: int) -> list[int]:
    """At most `most` of the numbers 0 .. count-1, evenly spaced."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most)).round()}) if count else []


def summary(framing: np.ndarray) -> dict[str, float | None]:
    """The typical framing of a set from its measurements [n, 3], for `Photos.crop`; None where unknown.

    `face` is None unless a face was found in at least 4 of 10 photos looked at: the set shows something else.
    """
    looked = framing[spread_over(len(framing), MEASURED)]
    found = np.isfinite(looked[:, 1]).mean() if len(looked) else 0.0
    return {
        "share": _median(framing[:, 0]),
        "face": _median(looked[:, 1]) if found >= 0.4 else None,
        "faces_found": round(float(found), 3),
        "object": _median(framing[:, 2]),
    }


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(np.median(known)), 4) if len(known) else None


def crop_warnings(photos: Photos, training_crop: dict[str, Any], those: str = "the training photos") -> list[str]:
    """Say, by name, which photos are cropped unlike `those`, given those's `crop`.

    The size of the object (where both sets have masks) and of the face (where the training photos show faces and
    scikit-image is there) is compared; a photo that differs by over a quarter is named. Where neither can be measured,
    another way of cropping is pointed out. No warnings, an empty list.
    """
    warnings = []
    measured = False
    for what, column in (("face", 1), ("object", 2)):
        usual = training_crop.get(what)
        shares = None if usual is None else _shares(photos, column)
        if shares is None or usual is None:
            continue
        measured = True
        named = list(zip(photos.names, shares.tolist(), strict=True))
        way = {"face": "face", "object": "alpha"}[what]
        for name, share in named:
            if abs(share / usual - 1) > TOLERANCE:
                size = "larger" if share > usual else "smaller"
                warnings.append(
                    f"{name}: the {what} fills {share:.0%} of the crop's side, in {those} {usual:.0%}; "
                    f"the {size} {what} is taken for another shape: crop={way!r} with margin={1 / usual:.2f} mends it"
                )
        unknown = [name for name, share in named if math.isnan(share)]
        if what == "face" and unknown:
            warnings.append(_unchecked(unknown, len(photos), those))
    ours, theirs = photos.crop.get("mode"), training_crop.get("mode")
    if not measured and ours and theirs and ours != theirs:
        warnings.append(
            f"{those} were cropped by {theirs!r}, these by {ours!r}: check on the contact sheet that the "
            f"object is as large in these as in those, or crop={theirs!r}"
        )
    return warnings


def _shares(photos: Photos, column: int) -> np.ndarray | None:
    """Size of face (1) or object (2) over that of the crop for every photo; None if it cannot be known."""
    known = photos.framing[:, column] if photos.framing is not None else np.full(len(photos), np.nan)
    if column == 1:
        if not can_find_faces():
            return None  # what is not installed cannot accuse
        crops = (Image.fromarray(np.asarray(rgb)) for rgb in photos.rgb)
        return np.array([k if math.isfinite(k) else face_share(c) for k, c in zip(known, crops, strict=True)])
    if photos.mask is not None:
        return np.array([object_share(np.asarray(mask)) for mask in photos.mask])
    return known if np.isfinite(known).any() else None


def _unchecked(names: Sequence[str], count: int, those: str) -> str:
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return (
        f"no face was found in {len(names)} of {count} cropped photos, so that their scale could not be compared with "
        f"{those}: {shown}"
    )


def steadied(faces: Sequence[Box | None]) -> list[Box]:
    """Face boxes of consecutive frames without jitter and gaps: gaps are filled from their neighbours, then every value
    is the median of nine frames, then the mean of five. Raises CropError if no frame shows a face."""
    seen = [i for i, box in enumerate(faces) if box is not None]
    if not seen:
        raise CropError("no frame shows a face that was found; crop='centre' takes the frames as they are")
    known = np.array([box for box in faces if box is not None])
    values = np.stack([np.interp(range(len(faces)), seen, known[:, k]) for k in range(4)], 1)
    for window, average in ((9, np.median), (5, np.mean)):
        padded = np.pad(values, ((window // 2, window // 2), (0, 0)), mode="edge")
        values = average(np.lib.stride_tricks.sliding_window_view(padded, window, 0), axis=-1)
    return [Box(*row) for row in values.tolist()]
