"""The report on photos: one HTML page with pictures, turnable meshes, videos, figures, settings and warnings."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from unflat.outputs.files import write_text
from unflat.outputs.pages import Table, embedded, figure, page, settings_table, table_of, warning_of
from unflat.outputs.photos import FORMAT, INDEX

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
        *map(warning_of, warnings),
        *map(table_of, tables),
        f"<h2>Photos</h2>{_left_out(len(entries), len(shown), models)}",
        *cards,
        settings_table(settings or {}),
        "<footer>Made with unflat. Meshes are shown with model-viewer (Apache-2.0). This page asks the network for "
        "nothing.</footer>",
    ]
    return write_text(path, page(title, "\n".join(body), with_viewer=any("<model-viewer" in card for card in cards)))


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
    maps = [figure(folder / files[role], caption) for role, caption in MAPS.items() if role in files]
    played = [figure(file, VIDEOS[role]) for role, file in videos.items()]
    mesh = next((files[role] for role in ("mesh_canonical", "mesh_input") if role in files), None)
    still = next((files[role] for role in ("frontalised", "reconstruction", "photo") if role in files), "")
    if with_model and mesh is not None:
        view = _viewer(folder / mesh, entry["photo"])
    else:
        view = f'<img class="still" src="{embedded(folder / still)}" alt="">' if still else ""
    return f"""<section class="card">
<header><h3>{escape(entry["photo"])}</h3><span class="soft">{escape(_in_words(factors))}</span></header>
<div class="body"><div>{view}</div><div class="maps">{"".join(maps)}</div></div>
{f'<div class="videos">{"".join(played)}</div>' if played else ""}
</section>"""


def _viewer(mesh: Path, photo: str) -> str:
    return (
        f'<model-viewer src="{embedded(mesh)}" alt="{escape(photo)} in 3D" camera-controls interaction-prompt="none" '
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
