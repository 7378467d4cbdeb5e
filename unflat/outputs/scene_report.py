"""The report on a run on a capture: one HTML page with its cameras, its training, held-out pictures and a turntable."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from unflat.outputs.curves import Points, curves_svg
from unflat.outputs.files import write_text
from unflat.outputs.pages import Table, note_of, page, pictures_of, settings_table, table_of, warning_of

ERRORS = (
    "Each row: the picture, which was not learned from, what the method shows from its camera, the difference (mean of "
    "the three colours), and depth in the unit of the capture's files."
)
CURVES = (
    "Held-out pictures are whole ones. Many methods learn from the rays around an object alone, so that the two curves "
    "may lie apart; one that falls while the other rises has learned its pictures by heart."
)


@dataclass(frozen=True)
class SceneReport:
    """What stands in the page; what is empty is left out."""

    title: str
    introduction: str
    rig: Path
    """picture of the cameras"""
    facts: Sequence[tuple[str, object]]
    """of the run, with their names"""
    curves: Mapping[str, Points] = field(default_factory=dict)
    """of training: a figure over steps, by what it was measured on"""
    figure: str = ""
    """what the curves show"""
    videos: Mapping[str, Path] = field(default_factory=dict)
    """of the turntable, by their captions"""
    pairs: Mapping[str, Path] = field(default_factory=dict)
    """held-out pictures beside the method's, by their captions"""
    figures: Table | None = None
    """of the held-out pictures"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def write_scene_report(path: Path, held: SceneReport) -> Path:
    """Write the page; all that it shows is inside."""
    body = [
        f"<h1>{escape(held.title)}</h1>",
        f'<p class="soft">{escape(held.introduction)}</p>',
        *map(warning_of, held.warnings),
        pictures_of("Turntable", held.videos, "videos"),
        table_of(Table("The run", ("", ""), held.facts)),
        pictures_of("Cameras", {"": held.rig}, "wide"),
        f"<h2>Training</h2>{note_of(CURVES)}{curves_svg(held.curves, held.figure)}" if held.curves else "",
        table_of(held.figures) if held.figures is not None else "",
        pictures_of("Held-out pictures", held.pairs, "wide", ERRORS),
        settings_table(held.settings),
        "<footer>Made with unflat. This page asks the network for nothing.</footer>",
    ]
    return write_text(path, page(held.title, "\n".join(filter(None, body)), with_viewer=False))
