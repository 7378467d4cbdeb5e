"""The report on the mesh of an object: one HTML page with the mesh to turn, how it came about, how well it was seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from unflat.outputs.curves import Points, curves_svg
from unflat.outputs.files import write_text
from unflat.outputs.pages import Table, embedded, note_of, page, pictures_of, settings_table, table_of, warning_of

TURN = (
    "Drag to turn it, scroll to come nearer. It is shown as it is in the file: the colours hold the light of the day."
)
STAGES = (
    "Each row is one of the pictures, what was learned as its camera sees it, depth (pale is near), and the shape as "
    "plaster."
)
SEEN = (
    "Where only one or two cameras look the shape is a guess, and where none does it is made up: a hole is closed, no "
    "more. Where red or purple matters, take more pictures from there."
)


@dataclass(frozen=True)
class ObjectReport:
    """What stands in the page; what is empty is left out."""

    title: str
    introduction: str
    model: Path
    """a GLB, to be turned"""
    facts: Sequence[tuple[str, object]]
    """of the mesh and the run, with their names"""
    stages: Mapping[str, Path] = field(default_factory=dict)
    """sheets of what was learned so far, by their captions"""
    shapes: Mapping[str, Path] = field(default_factory=dict)
    """the mesh from eight sides, by their captions"""
    seen: Mapping[str, Path] = field(default_factory=dict)
    """the same, coloured by how many cameras see it"""
    rig: Path | None = None
    """picture of the cameras"""
    curves: Mapping[str, Points] = field(default_factory=dict)
    """of training: a figure over steps, by what it was measured on"""
    figure: str = ""
    """what the curves show"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[str] = ()


def write_object_report(path: Path, held: ObjectReport) -> Path:
    """Write the page; all that it shows is inside."""
    body = [
        f"<h1>{escape(held.title)}</h1>",
        f'<p class="soft">{escape(held.introduction)}</p>',
        *map(warning_of, held.warnings),
        f'<div class="model">{_turnable(held.model, held.title)}</div>{note_of(TURN)}',
        table_of(Table("The mesh", ("", ""), [(name, str(value)) for name, value in held.facts])),
        pictures_of("How well it was seen", held.seen, "wide", SEEN),
        pictures_of("From eight sides", held.shapes, "wide"),
        pictures_of("How it came about", held.stages, "sheets", STAGES),
        f"<h2>Training</h2>{curves_svg(held.curves, held.figure)}" if held.curves else "",
        pictures_of("Cameras", {"": held.rig} if held.rig is not None else {}, "wide"),
        settings_table(held.settings),
        "<footer>Made with unflat. The mesh is shown with model-viewer (Apache-2.0). This page asks the network for "
        "nothing.</footer>",
    ]
    return write_text(path, page(held.title, "\n".join(filter(None, body)), with_viewer=True))


def _turnable(model: Path, title: str) -> str:
    return (
        f'<model-viewer src="{embedded(model)}" alt="{escape(title)} in 3D" camera-controls interaction-prompt="none" '
        'camera-orbit="30deg 70deg 105%" min-camera-orbit="auto 0deg auto" max-camera-orbit="auto 180deg auto" '
        'shadow-intensity="0" tone-mapping="neutral"></model-viewer>'
    )
