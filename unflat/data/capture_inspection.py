"""What is in a capture, before anything is learned from it: pictures, cameras, the scene's place, what is wrong."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Group
from rich.table import Table

from unflat.data.capture_checks import rig_warnings
from unflat.data.captures import read_capture
from unflat.data.frame_pictures import pinhole_of
from unflat.data.inspect import contact_sheet, counted, listing, whole_tile
from unflat.data.kinds import Capture, Photos, Skipped, Space
from unflat.data.picture_checks import check_pictures
from unflat.data.pictures import quiet_pillow, stored_header
from unflat.data.readers.captures import read_recording, split_names
from unflat.data.recordings import Recording
from unflat.data.viewpoints import Viewpoints, spread_over
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens

SIDE = 400
"""pixels of the longer side in which pictures are looked at"""
ON_SHEET, COLUMNS, CELL = 100, 10, 128
"""pictures on a contact sheet, in a row of it, and the side of one"""


@dataclass(frozen=True)
class CaptureInspection:
    """What was found. Lengths are in the unit of the files."""

    source: str
    reader: str
    """the format"""
    found: int
    """pictures that the files name"""
    usable: int
    sizes: dict[str, int]
    """width x height in pixels, and how many pictures of each"""
    lenses: dict[str, int]
    """cameras, and how many pictures of each"""
    splits: dict[str, int]
    splits_said: bool
    """whether the files say which picture is for what; else every eighth is for testing"""
    transparent: bool
    """whether the pictures say where nothing is"""
    masks: int
    """pictures with one"""
    depths: int
    """pictures with a depth map"""
    points: int
    """of structure from motion"""
    space: Space
    space_why: str
    middle: tuple[float, float, float]
    """of the scene"""
    unit: float
    """how far from the middle what matters lies, along each axis"""
    up: tuple[float, float, float]
    """which way is up in the files' world"""
    near: float
    far: float
    checks: dict[str, float]
    """shares from 0 to 1, by what was compared"""
    left_out: tuple[str, ...]
    """what could not be compared, and why"""
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    """what had to be assumed"""
    warnings: tuple[str, ...]

    def to_json(self) -> str:
        """All of it, for scripts; skipped files as objects with `name` and `why`."""
        return json.dumps({**asdict(self), "skipped": [entry._asdict() for entry in self.skipped]}, indent=2)

    def table(self) -> Group:
        """For people: print it with rich."""
        facts = Table(title=f"Capture in {self.source}", show_header=False, title_justify="left")
        facts.add_row("format", self.reader)
        facts.add_row("usable", f"{self.usable} of {self.found} pictures")
        facts.add_row("sizes", counted(self.sizes))
        facts.add_row("cameras", counted(self.lenses))
        facts.add_row("splits", counted(self.splits) + ("" if self.splits_said else "; the files do not say"))
        has = {"transparency": int(self.transparent), "masks": self.masks, "depth": self.depths, "points": self.points}
        with_counts = [f"{what} ({n})" if what != "transparency" else what for what, n in has.items() if n]
        facts.add_row("besides", ", ".join(with_counts) or "nothing")
        facts.add_row("space", f"{self.space}: {self.space_why}")
        facts.add_row("middle", f"{_listed(self.middle, self.unit)}; what matters lies within {self.unit:.4g} of it")
        facts.add_row("up", _listed(self.up))
        facts.add_row("near, far", f"{self.near:.4g}, " + (f"{self.far:.4g}" if self.space == "box" else "no end"))
        for what, share in self.checks.items():
            facts.add_row(what, f"{share:.0%}" if "agree" not in what else f"{share:.2f} of 1")
        lists = (
            ("Not compared", self.left_out),
            ("Skipped", [f"{name} {why}" for name, why in self.skipped]),
            ("Assumed", self.notes),
            ("Warnings", self.warnings),
        )
        return Group(facts, *(listing(title, lines) for title, lines in lists if lines))


def inspect_capture(
    source: Path | str, *, reader: str = "", space: Space | None = None, progress: bool = True
) -> tuple[CaptureInspection, Capture]:
    """Look at all pictures of a capture as `read_capture` would read them; the arguments are its own. Also returns the
    capture, its pictures of at most 400 pixels.

    Raises CaptureError as `read_capture` does.
    """
    recording = read_recording(Path(source), reader)
    notes: list[str] = []
    capture = read_capture(source, side=SIDE, reader=reader, space=space, report=notes.append, progress=progress)
    scene, cameras, splits = capture.scene, _cameras(recording, capture), split_names(recording)
    pictures = check_pictures(capture)
    up_x, up_y, up_z = scene.world_from_scene.rotation[:, 2].tolist()
    return CaptureInspection(
        source=str(source),
        reader=recording.reader,
        found=len(capture) + len(capture.skipped),
        usable=len(capture),
        sizes=_counts([f"{camera.width}x{camera.height}" for camera in cameras]),
        lenses=_counts([_lens(camera) for camera in cameras]),
        splits=_counts([splits[name] for name in capture.names if name in splits]),
        splits_said=bool(recording.splits),
        transparent=capture.has_alpha,
        masks=sum(frame.mask is not None for frame in recording.frames),
        depths=sum(frame.depth is not None for frame in recording.frames),
        points=0 if capture.points is None else len(capture.points),
        space=scene.space,
        space_why="as you said" if space else _WHY[scene.space],
        middle=scene.world_shift,
        unit=scene.world_scale * scene.reach,
        up=(up_x, up_y, up_z),
        near=scene.near * scene.world_scale,
        far=scene.far * scene.world_scale,
        checks=pictures.figures,
        left_out=pictures.left_out,
        skipped=tuple(capture.skipped),
        notes=tuple(note for note in notes if not note.startswith("skipped: ")),
        warnings=(*rig_warnings(capture.viewpoints, scene), *pictures.warnings),
    ), capture


_WHY: Mapping[Space, str] = {
    "box": "the pictures say where nothing is, so there is a single object",
    "contracted": "cameras look in many directions, and the pictures show what is behind",
    "ndc": "all cameras look about the same way, past one another",
}


def _cameras(recording: Recording, capture: Capture) -> list[Pinhole]:
    """Of the pictures that are there, in the size of the files."""
    used = set(capture.names)
    with quiet_pillow():
        return [pinhole_of(f, stored_header(f.picture)[0]) for f in recording.frames if f.name in used]


def _lens(camera: Pinhole) -> str:
    """What it is, how wide it sees, and its focal length."""
    wide = math.degrees(2 * math.atan(camera.width / 2 / camera.fx))
    kind = f"{camera.model} lens" if isinstance(camera, Lens) else "pinhole"
    wide_too = "" if isinstance(camera, Lens) else f", {wide:.0f} degrees wide"
    return f"{kind}, focal length {camera.fx:.0f}{wide_too}"


def _counts(words: Sequence[str]) -> dict[str, int]:
    return dict(Counter(words).most_common())


def _listed(numbers: Sequence[float], unit: float = 1.0) -> str:
    """To four digits of the unit: the rest is rounding."""
    return "(" + ", ".join(f"{round(number / unit, 4) * unit + 0.0:.4g}" for number in numbers) + ")"


def by_split(found: CaptureInspection, capture: Capture) -> dict[str, Viewpoints]:
    """The cameras of each split, to be drawn; those that belong to none as `cameras`."""
    names = split_names(read_recording(Path(found.source), found.reader))
    of_each = [names.get(name, "cameras") for name in capture.names]
    parts = {split: [i for i, own in enumerate(of_each) if own == split] for split in dict.fromkeys(of_each)}
    return {split: capture.viewpoints[chosen] for split, chosen in parts.items()}


def capture_sheet(capture: Capture, path: Path) -> Path:
    """Write a PNG of the pictures with their names, at most 100 of them spread over the capture."""
    chosen = spread_over(len(capture), ON_SHEET)
    tiles = [whole_tile(Image.fromarray(capture.picture(i)), CELL) for i in chosen]
    photos = Photos(np.stack(tiles), [capture.names[i] for i in chosen])
    return contact_sheet(photos, path, COLUMNS, ON_SHEET, CELL)
