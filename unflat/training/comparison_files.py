"""What a comparison of methods on a capture found, as plain data, and where its folder has what. It holds

comparison.html  comparison.json     the page, and its figures
runs/METHOD/                         a run of each, as `train` makes it: render, export and report take it
pictures/VIEW/METHOD.png             the held-out pictures, each with truth.png
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unflat.outputs.files import safe_names
from unflat.training.checkpoint import write_json
from unflat.training.settings import from_plain, to_plain
from unflat.training.timed import Point

FILE, PAGE = "comparison.json", "comparison.html"
LEVELS = ("25", "30", "33", "35")
"""dB"""


@dataclass(frozen=True)
class Compared:
    """What one method reached."""

    method: str
    experiment: str
    """whose settings, fitted to the capture"""
    budget: float = 0.0
    """seconds of wall time that it had"""
    failed: str = ""
    """why it could not be compared"""
    points: tuple[Point, ...] = ()
    """the looks at the held-out pictures"""
    step: int = 0
    """updates that there was time for"""
    steps: int = 0
    """of its schedule, which ends by itself"""
    cpu: float = 0.0
    """process seconds of the training"""
    wall: float = 0.0
    figures: dict[str, float | None] = field(default_factory=dict)
    """at the end, mean of the held-out pictures"""
    per_view: dict[str, list[float | None]] = field(default_factory=dict)
    seconds_to: dict[str, float | None] = field(default_factory=dict)
    """of wall time, by level in dB; None if it was not reached"""
    cpu_seconds_to: dict[str, float | None] = field(default_factory=dict)
    parameters: int = 0
    bytes: int = 0
    """of the weights' file"""
    frames_per_second: float = 0.0
    """of the held-out pictures' size"""
    cpu_per_frame: float = 0.0
    """process seconds"""

    @property
    def ended(self) -> bool:
        """Whether its schedule was over before the time was."""
        return not self.failed and self.step >= self.steps


@dataclass(frozen=True)
class Comparison:
    """What all of them reached, and on what."""

    capture: str
    """where it was read from"""
    space: str
    side: int
    """pixels of the longer side of the largest picture"""
    learned: int
    """pictures"""
    views: tuple[str, ...]
    """held-out pictures that were looked at"""
    seconds: float
    """of wall time for each method"""
    threads: int
    hardware: str
    date: str
    versions: dict[str, str]
    methods: tuple[Compared, ...] = ()

    def same_data(self, other: "Comparison") -> bool:
        return all(
            getattr(self, name) == getattr(other, name) for name in ("capture", "space", "side", "learned", "views")
        )


def read(out: Path) -> Comparison | None:
    """The comparison in a folder, or None. ValueError if it is none of ours."""
    path = out / FILE
    if not path.is_file():
        return None
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return from_plain(Comparison, said)
    except ValueError as error:
        raise ValueError(f"{path} is no comparison of this version: {error}. Give another folder") from error


def write(out: Path, comparison: Comparison) -> None:
    write_json(out / FILE, to_plain(comparison))


def view_folders(out: Path, names: Sequence[str]) -> list[Path]:
    """Where the pictures of each held-out view are."""
    return [out / "pictures" / name for name in safe_names(names)]
