"""What is in a folder of photos, before anything is learned from it: counts, sizes, crops, what is wrong with it."""

import json
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont
from rich.console import Group
from rich.table import Table

from unflat.data.crops import CropMode, crop_warnings, read_boxes
from unflat.data.kinds import Photos, Skipped
from unflat.data.photo_files import Found, Source, find_photos
from unflat.data.pictures import PictureError, picture_header, quiet_pillow
from unflat.data.readers.photos import content_of, read_photos
from unflat.data.variety import copied, variety_warnings

LISTED = 10
"""names and reasons are listed up to this number in a table"""
CAPTION = 14
"""height of a caption in pixels"""


@dataclass(frozen=True)
class Inspection:
    """What was found. Sizes are of the files, in pixels, before cropping."""

    source: str
    found: int
    """pictures"""
    usable: int
    formats: dict[str, int]
    """how many of each"""
    modes: dict[str, int]
    """Pillow's names of pixel formats, and how many of each"""
    shorter_sides: dict[str, int]
    """how many files have their shorter side in each range"""
    smallest: tuple[int, int]
    largest: tuple[int, int]
    crop: dict[str, Any]
    """how they were cropped and how large faces and objects are in the crops (see `data.crops`)"""
    cut_away: float
    """share of a picture's area that the crop leaves out, median"""
    truth: tuple[str, ...]
    """what is known besides the pictures"""
    skipped: tuple[Skipped, ...]
    duplicates: tuple[tuple[str, ...], ...]
    """names of files with the same content"""
    nearly_the_same: tuple[tuple[str, str], ...]
    """names of two photos each that hardly differ, apart from those with the same content"""
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """All of it, for scripts; skipped files as objects with `name` and `why`."""
        said = {**asdict(self), "skipped": [entry._asdict() for entry in self.skipped]}
        return json.dumps(said, indent=2)

    def table(self) -> Group:
        """For people: print it with rich."""
        facts = Table(title=f"Photos in {self.source}", show_header=False, title_justify="left")
        facts.add_row("usable", f"{self.usable} of {self.found}")
        facts.add_row("formats", counted(self.formats))
        facts.add_row("modes", counted(self.modes))
        facts.add_row("sizes", f"{_by(self.smallest)} to {_by(self.largest)}")
        facts.add_row("shorter side", counted(self.shorter_sides))
        facts.add_row(
            "crop", f"{self.crop['mode']}, margin {self.crop['margin']:g}; {self.cut_away:.0%} cut away (median)"
        )
        for what in ("face", "object"):
            if self.crop.get(what) is not None:
                facts.add_row(what, f"fills {self.crop[what]:.0%} of the crop's side (median)")
        facts.add_row("truth", ", ".join(self.truth) or "none")
        lists = (
            ("Skipped", [f"{name} {why}" for name, why in self.skipped]),
            ("Same content", [", ".join(names) for names in self.duplicates]),
            ("Nearly the same", [", ".join(names) for names in self.nearly_the_same]),
            ("Warnings", list(self.warnings)),
        )
        return Group(facts, *(listing(title, lines) for title, lines in lists if lines))


def inspect_photos(
    source: Source,
    *,
    size: int = 64,
    crop: CropMode = "centre",
    boxes: Path | str | None = None,
    margin: float | None = None,
    split: str | None = None,
    limit: int | None = None,
    training_crop: dict[str, Any] | None = None,
    progress: bool = True,
) -> tuple[Inspection, Photos]:
    """Look at photos as `read_photos` would read them; the arguments are its own. Also returns the photos.

    With `training_crop`, the `crop` of the photos a model was trained on, photos that are cropped unlike those are
    warned about; without it, those unlike the rest of their own set. Raises PhotosError as `read_photos` does.
    """
    given: dict[str, Any] = {"size": size, "crop": crop, "boxes": boxes, "margin": margin, "split": split}
    photos = read_photos(source, **given, limit=limit, progress=progress, report=lambda _: None)
    found = find_photos(source, split, None if boxes is None else read_boxes(Path(boxes)), limit)
    headers = _headers(found)
    sizes = {name: pixels for name, (_, _, pixels) in headers.items()}
    shorter = [min(pixels) for pixels in sizes.values()]
    by_area = sorted(sizes.values(), key=lambda pixels: pixels[0] * pixels[1]) or [(0, 0)]
    duplicates = _duplicates(found)
    alike = _alike(photos, duplicates)
    inspection = Inspection(
        source=str(source) if isinstance(source, str | Path) else f"a list of {len(source)} files",
        found=len(photos) + len(photos.skipped),
        usable=len(photos),
        formats=dict(Counter(kind for kind, _, _ in headers.values()).most_common()),
        modes=dict(Counter(mode for _, mode, _ in headers.values()).most_common()),
        shorter_sides=_ranges(shorter),
        smallest=by_area[0],
        largest=by_area[-1],
        crop=photos.crop,
        cut_away=_cut_away(photos, sizes),
        truth=photos.known,
        skipped=tuple(photos.skipped),
        duplicates=duplicates,
        nearly_the_same=alike,
        warnings=tuple(_warnings(photos, training_crop, duplicates, alike)),
    )
    return inspection, photos


def _headers(found: Found) -> dict[str, tuple[str, str, tuple[int, int]]]:
    """Format, mode and size of the files that Pillow knows, by name."""
    headers = {}
    with quiet_pillow():
        for photo in () if found.video else found.photos:
            try:
                headers[photo.name] = picture_header(photo.path)
            except PictureError:
                continue  # it is among the skipped
    return headers


def _ranges(shorter_sides: Sequence[int]) -> dict[str, int]:
    """Counts between powers of two, smallest first."""
    edges = Counter(max(0, side.bit_length() - 1) for side in shorter_sides)
    return {f"{2**edge}-{2 ** (edge + 1) - 1}": edges[edge] for edge in sorted(edges)}


def _cut_away(photos: Photos, sizes: dict[str, tuple[int, int]]) -> float:
    if photos.framing is None:
        return 0.0
    left = [
        1 - min(1.0, float(share) ** 2 * min(sizes[name]) / max(sizes[name]))
        for name, share in zip(photos.names, photos.framing[:, 0], strict=True)
        if name in sizes
    ]
    return float(np.median(left)) if left else 0.0


def _duplicates(found: Found) -> tuple[tuple[str, ...], ...]:
    groups: dict[str, list[str]] = {}
    for photo in found.photos:
        groups.setdefault(content_of(photo.path), []).append(photo.name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _alike(photos: Photos, duplicates: Sequence[Sequence[str]]) -> tuple[tuple[str, str], ...]:
    """Photos that show nearly the same, two by two, but for files with the same content."""
    content = {name: i for i, names in enumerate(duplicates) for name in names}
    return tuple((a, b) for a, b in copied(photos) if a not in content or content[a] != content.get(b))


def _warnings(
    photos: Photos,
    training_crop: dict[str, Any] | None,
    duplicates: Sequence[Sequence[str]],
    alike: tuple[tuple[str, str], ...],
) -> list[str]:
    said = variety_warnings(photos, alike) if training_crop is None else []
    copies = sum(len(names) - 1 for names in duplicates)
    if copies:
        said.append(f"{copies} files are copies of others: they only add weight to what they show")
    depths = 0 if photos.depth is None else sum(bool(np.isfinite(depth).any()) for depth in photos.depth)
    if 0 < depths < len(photos):
        said.append(f"only {depths} of {len(photos)} photos have depth beside them")
    if training_crop is not None:
        return [*said, *crop_warnings(photos, training_crop)]
    measured = photos if photos.framing is None else photos[np.flatnonzero(np.isfinite(photos.framing[:, 1]))]
    return [*said, *crop_warnings(measured, photos.crop, "the other photos")]


def contact_sheet(
    photos: Photos,
    path: Path | str,
    columns: int = 12,
    most: int = 240,
    cell: int = 96,
    marked: Collection[str] = (),
) -> Path:
    """Write a PNG of the crops with their names, at most `most` of them spread over the set, `cell` pixels each.

    Those whose names are in `marked` have a red frame and a red name.
    """
    if len(photos) == 0 or columns < 1:
        raise ValueError(f"a contact sheet of {len(photos)} photos in {columns} columns cannot be drawn")
    chosen = sorted({int(i) for i in np.linspace(0, len(photos) - 1, min(most, len(photos))).round()})
    rows = -(-len(chosen) // columns)
    canvas = Image.new("RGB", (min(columns, len(chosen)) * (cell + 4), rows * (cell + CAPTION + 4)), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(10)
    for place, i in enumerate(chosen):
        x, y = place % columns * (cell + 4) + 2, place // columns * (cell + CAPTION + 4) + 2
        tile = Image.fromarray(np.asarray(photos.rgb[i])).resize((cell, cell), Image.Resampling.BICUBIC)
        canvas.paste(tile, (x, y))
        colour = "red" if photos.names[i] in marked else "black"
        if photos.names[i] in marked:
            draw.rectangle((x, y, x + cell - 1, y + cell - 1), outline=colour, width=3)
        draw.text((x, y + cell), _fitting(photos.names[i], draw, font, cell), colour, font)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        canvas.save(part, format="PNG")
        return part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def whole_tile(image: Image.Image, cell: int) -> UInt8[np.ndarray, "_c _c 3"]:
    """All of a picture in a square of `cell` pixels a side, for a contact sheet: just above its name."""
    tile = Image.new("RGB", (cell, cell), "white")
    small = image.convert("RGBA")
    small.thumbnail((cell, cell))
    tile.paste(small, ((cell - small.width) // 2, cell - small.height), small)
    return np.asarray(tile)


def _fitting(name: str, draw: ImageDraw.ImageDraw, font: Any, room: int) -> str:
    """The end of a name that fits into a caption: names differ at their ends."""
    text = name
    while len(text) > 4 and draw.textlength(text, font=font) > room:
        text = "…" + text[2:]
    return text


def counted(counts: dict[str, int]) -> str:
    """`a (3), b (1)`, for a table."""
    return ", ".join(f"{name} ({count})" for name, count in counts.items()) or "-"


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def listing(title: str, lines: Sequence[str]) -> Table:
    """The first lines under a title, and how many more there are."""
    table = Table(title=f"{title} ({len(lines)})", show_header=False, title_justify="left", box=None)
    for line in lines[:LISTED]:
        table.add_row(line)
    if len(lines) > LISTED:
        table.add_row(f"and {len(lines) - LISTED} more")
    return table
