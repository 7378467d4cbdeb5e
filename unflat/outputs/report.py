"""One HTML page with everything in it: pictures, turnable meshes, videos, figures, settings and warnings.

The page is a single file that works from a disk: images, meshes, videos and the viewer (model-viewer, in `vendor/`) are
embedded, and its content security policy forbids it any request.
"""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from numbers import Real
from pathlib import Path
from typing import Any

from unflat.outputs.files import write_text
from unflat.outputs.photos import FORMAT, INDEX

HERE = Path(__file__).parent
TYPES = {".png": "image/png", ".webp": "image/webp", ".mp4": "video/mp4", ".glb": "model/gltf-binary"}
POLICY = (
    "default-src 'none'; img-src data: blob:; media-src data: blob:; connect-src data: blob:; worker-src blob:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline' 'wasm-unsafe-eval'"
)
MAPS = {
    "photo": "photo",
    "reconstruction": "reconstruction",
    "depth_preview": "depth",
    "normals": "normals",
    "albedo": "albedo",
    "shading": "shading",
    "frontalised": "frontalised",
    "symmetry_line": "symmetry line",
    "confidence": "confidence",
    "asymmetry": "not symmetric",
}
"""what a card shows, by the names in the index, and its captions"""
VIDEOS = {"turntable": "turned", "relighting": "relit"}
MEBIBYTE = 2**20


@dataclass(frozen=True)
class Table:
    """Figures with their names: one row a method or baseline, say, and one column a metric."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""


def write_report(
    path: Path,
    outputs: Path,
    *,
    title: str = "Photos in 3D",
    introduction: str = "",
    tables: Sequence[Table] = (),
    settings: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
    photos: int = 60,
    models: int = 12,
    megabytes_of_video: float = 24,
) -> Path:
    """Write the report of a folder that `write_outputs` filled.

    The first `photos` are shown, the first `models` of them with a mesh to turn, and videos as long as they fit into
    `megabytes_of_video`; the page says what it leaves out. Raises ValueError if the folder holds no outputs.
    """
    entries = _read_index(Path(outputs))
    shown = entries[:photos]
    budget = megabytes_of_video * MEBIBYTE
    cards = []
    for number, entry in enumerate(shown):
        folder = Path(outputs) / entry["folder"]
        videos = {role: folder / name for role, name in entry["files"].items() if role in VIDEOS}
        size = sum(file.stat().st_size for file in videos.values())
        budget -= size
        cards.append(_card(folder, entry, with_model=number < models, videos=videos if budget >= 0 else {}))
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{escape(introduction or f"{len(entries)} photos, each explained from itself alone.")}</p>',
        *(f'<div class="warning">{escape(warning)}</div>' for warning in warnings),
        *map(_table, tables),
        f"<h2>Photos</h2>{_left_out(len(entries), len(shown), models)}",
        *cards,
        _settings(settings or {}),
        "<footer>Made with unflat. Meshes are shown with model-viewer (Apache-2.0). This page asks the network for "
        "nothing.</footer>",
    ]
    return write_text(path, _page(title, "\n".join(body), with_viewer=any("<model-viewer" in card for card in cards)))


def _read_index(outputs: Path) -> list[dict[str, Any]]:
    path = outputs / INDEX
    if not path.exists():
        raise ValueError(f"{outputs} holds no {INDEX}: write the outputs there first (write_outputs)")
    index = json.loads(path.read_text(encoding="utf-8"))
    if index.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {index.get('format')}, this version reads {FORMAT}: write the outputs again"
        )
    entries: list[dict[str, Any]] = index["photos"]
    return entries


def _left_out(count: int, shown: int, models: int) -> str:
    notes = []
    if shown < count:
        notes.append(f"The first {shown} of {count} are shown; the others are in their folders.")
    if models < shown:
        notes.append(f"The first {models} have a mesh to turn; the others' are in their folders.")
    return f'<p class="note">{escape(" ".join(notes))}</p>' if notes else ""


def _card(folder: Path, entry: dict[str, Any], *, with_model: bool, videos: dict[str, Path]) -> str:
    files: dict[str, str] = entry["files"]
    factors = json.loads((folder / files["factors"]).read_text(encoding="utf-8")) if "factors" in files else {}
    maps = [_figure(folder / files[role], caption) for role, caption in MAPS.items() if role in files]
    played = [_figure(file, VIDEOS[role]) for role, file in videos.items()]
    mesh = next((files[role] for role in ("mesh_canonical", "mesh_input") if role in files), None)
    still = next((files[role] for role in ("frontalised", "reconstruction", "photo") if role in files), "")
    if with_model and mesh is not None:
        view = _viewer(folder / mesh, entry["photo"])
    else:
        view = f'<img class="still" src="{_embedded(folder / still)}" alt="">' if still else ""
    return f"""<section class="card">
<header><h3>{escape(entry["photo"])}</h3><span class="soft">{escape(_in_words(factors))}</span></header>
<div class="body"><div>{view}</div><div class="maps">{"".join(maps)}</div></div>
{f'<div class="videos">{"".join(played)}</div>' if played else ""}
</section>"""


def _viewer(mesh: Path, photo: str) -> str:
    return (
        f'<model-viewer src="{_embedded(mesh)}" alt="{escape(photo)} in 3D" camera-controls interaction-prompt="none" '
        'camera-orbit="25deg 85deg 80%" min-camera-orbit="-100deg 30deg 20%" max-camera-orbit="100deg 150deg 200%" '
        'disable-pan shadow-intensity="0" tone-mapping="neutral" loading="lazy"></model-viewer>'
    )


def _in_words(factors: dict[str, Any]) -> str:
    """View and light in one line."""
    words = []
    if view := factors.get("view"):
        words.append(
            "view: " + ", ".join(f"{name} {view[f'{name}_degrees']:+.0f}°" for name in ("yaw", "pitch", "roll"))
        )
    if light := factors.get("light"):
        words.append(
            f"light: ambient {light['ambient']:.2f}, diffuse {light['diffuse']:.2f}, {_from(light['direction'])}"
        )
    return " · ".join(words)


def _from(direction: Sequence[float]) -> str:
    """Where a light comes from, as the viewer of the photo would say."""
    x, y, _ = direction
    sideways = "" if abs(x) < 0.15 else "left" if x < 0 else "right"
    upwards = "" if abs(y) < 0.15 else "above" if y < 0 else "below"
    return f"from {' and '.join(filter(None, (upwards, sideways))) or 'the camera'}"


def _figure(file: Path, caption: str) -> str:
    source = _embedded(file)
    if file.suffix == ".mp4":
        shown = f'<video src="{source}" controls loop muted autoplay playsinline></video>'
    else:
        shown = f'<img src="{source}" alt="{escape(caption)}">'
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _table(table: Table) -> str:
    head = "".join(f"<th{_aligned(table, column)}>{escape(name)}</th>" for column, name in enumerate(table.columns))
    rows = "".join(
        "<tr>"
        + "".join(f"<td{_aligned(table, column)}>{_cell(value)}</td>" for column, value in enumerate(row))
        + "</tr>"
        for row in table.rows
    )
    note = f'<p class="note">{escape(table.note)}</p>' if table.note else ""
    return f'<h2>{escape(table.title)}</h2>{note}<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>'


def _aligned(table: Table, column: int) -> str:
    numeric = any(len(row) > column and isinstance(row[column], Real) for row in table.rows)
    return ' class="number"' if numeric else ""


def _cell(value: object) -> str:
    return escape(f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value))


def _settings(settings: Mapping[str, Any]) -> str:
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


def _embedded(file: Path) -> str:
    """The file as a data URI."""
    return f"data:{TYPES[file.suffix]};base64,{b64encode(file.read_bytes()).decode()}"


def _page(title: str, body: str, *, with_viewer: bool) -> str:
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
