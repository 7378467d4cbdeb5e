"""A single HTML page with everything in it, which works from a disk: what reports are made of.

Images, meshes, videos and the viewer of meshes (model-viewer, in `vendor/`) are embedded, and the page's content
security policy forbids it any request.
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from numbers import Real
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TYPES = {".png": "image/png", ".webp": "image/webp", ".mp4": "video/mp4", ".glb": "model/gltf-binary"}
POLICY = (
    "default-src 'none'; img-src data: blob:; media-src data: blob:; connect-src data: blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'wasm-unsafe-eval'"
)


@dataclass(frozen=True)
class Table:
    """Figures with their names: one row a method or baseline, say, and one column a metric."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


def page(title: str, body: str, *, with_viewer: bool) -> str:
    style = (HERE / "report.css").read_text(encoding="utf-8")
    viewer = (HERE / "vendor" / "model-viewer.min.js").read_text(encoding="utf-8") if with_viewer else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
{f'<script type="module">{viewer}</script>' if with_viewer else ""}
</body>
</html>
"""


def warning_of(text: str) -> str:
    return f'<div class="warning">{escape(text)}</div>'


def figure(file: Path, caption: str) -> str:
    source = embedded(file)
    if file.suffix == ".mp4":
        shown = f'<video src="{source}" controls loop muted autoplay playsinline></video>'
    else:
        shown = f'<img src="{source}" alt="{escape(caption)}">'
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def pictures_of(title: str, files: Mapping[str, Path], look: str, note: str = "") -> str:
    """A section of pictures or videos with their captions, in a class of the style (wide, videos); nothing for none."""
    if not files:
        return ""
    figures = "".join(figure(file, caption) for caption, file in files.items())
    return f'<h2>{escape(title)}</h2>{note_of(note)}<div class="{look}">{figures}</div>'


def note_of(text: str) -> str:
    return f'<p class="note">{escape(text)}</p>' if text else ""


def table_of(table: Table) -> str:
    head = "".join(f"<th{_aligned(table, column)}>{escape(name)}</th>" for column, name in enumerate(table.columns))
    head = f"<tr>{head}</tr>" if any(table.columns) else ""
    rows = "".join(
        "<tr>"
        + "".join(f"<td{_aligned(table, column)}>{_cell(value)}</td>" for column, value in enumerate(row))
        + "</tr>"
        for row in table.rows
    )
    return f'<h2>{escape(table.title)}</h2>{note_of(table.note)}<div class="scroll"><table>{head}{rows}</table></div>'


def _aligned(table: Table, column: int) -> str:
    numeric = any(len(row) > column and isinstance(row[column], Real) for row in table.rows)
    return ' class="number"' if numeric else ""


def _cell(value: object) -> str:
    return escape(f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value))


def settings_table(settings: Mapping[str, Any]) -> str:
    if not settings:
        return ""
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{_cell(value)}</td></tr>" for name, value in _flat(settings))
    return (
        f"<h2>Settings</h2><details><summary>{len(_flat(settings))} settings</summary><table>{rows}</table></details>"
    )


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for name, value in settings.items():
        pairs += _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return pairs


def embedded(file: Path) -> str:
    """The file as a data URI."""
    return f"data:{TYPES[file.suffix]};base64,{b64encode(file.read_bytes()).decode()}"
