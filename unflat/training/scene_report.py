"""The report on a run on a capture: what is known of the run, what it makes of held-out pictures, a turntable."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unflat.data.kinds import Capture
from unflat.evaluation.captures import evaluate_capture
from unflat.evaluation.figures import Evaluation
from unflat.method import Prediction
from unflat.outputs.comparisons import Comparisons
from unflat.outputs.curves import Points
from unflat.outputs.files import write_text
from unflat.outputs.images import save_png
from unflat.outputs.pages import Table
from unflat.outputs.progress import told
from unflat.outputs.rig_picture import draw_rig
from unflat.outputs.scene_report import SceneReport, write_scene_report
from unflat.outputs.walks import write_walk
from unflat.training.captured import Captured, opened, path_of
from unflat.training.log import read_log
from unflat.training.run import Run

FRAMES, SIDE = 60, 320
"""of the turntable"""
PICTURES = 12
"""held-out pictures that are looked at, spread over those there are"""
CAPTIONS = {"rgb": "colour", "depth": "depth: pale is near", "opacity": "opacity"}


@dataclass(frozen=True)
class Reported:
    """A report that was written."""

    page: Path
    files: list[Path]
    """all of them, the page first"""
    evaluation: Evaluation | None
    """of the held-out pictures that it shows"""


def report(
    run: Run | str | Path,
    out: Path | str,
    held_out: Capture | None = None,
    *,
    pictures: int = PICTURES,
    frames: int = FRAMES,
    side: int = SIDE,
    warnings: Sequence[str] = (),
    device: str = "cpu",
    progress: bool = True,
) -> Reported:
    """Write `out`/report.html, which has all of it inside, and what it shows as files beside it.

    `held_out` are pictures that were not learned from, in the run's own frame; without them there are no pairs.
    `frames` of a turntable with `side` pixels along the longer side, or none if 0.
    """
    captured, out = opened(run, device), Path(out)
    seen, evaluation = {"train": captured.views}, None
    pairs: dict[str, Path] = {}
    if held_out is not None:
        seen["test"] = held_out.viewpoints
        evaluation, pairs = _compared(captured, held_out.spread(pictures), out / "held_out", progress)
    points = None if held_out is None else held_out.points
    rig = save_png(out / "rig.png", draw_rig(seen, captured.scene, points))
    walk: list[Path] = []
    if frames:
        path = path_of(captured, "orbit", frames, min(side, _usual_side(captured)))
        walk = write_walk(captured.method, path, out / "orbit", frames=False, progress=progress)
    figure, curves = curves_of(captured.file.parent / "log.jsonl")
    held = SceneReport(
        title=f"{captured.header['method']}: {_called(captured)}",
        introduction=_introduction(captured),
        rig=rig,
        facts=facts_of(captured),
        curves=curves,
        figure=figure,
        videos={CAPTIONS[file.stem]: file for file in walk if file.stem in CAPTIONS},
        pairs={_caption(name, index, evaluation): file for index, (name, file) in enumerate(pairs.items())},
        figures=None if evaluation is None or held_out is None else _table(evaluation, len(held_out)),
        settings={part: captured.header.get(part) or {} for part in ("config", "training", "versions")},
        warnings=[*warnings, *captured.header.get("warnings", ())],
    )
    written = [write_scene_report(out / "report.html", held), rig, *walk, *pairs.values()]
    if evaluation is not None:
        written.append(write_text(out / "figures.json", json.dumps(evaluation.to_json(), indent=1)))
    return Reported(written[0], written, evaluation)


def _compared(
    captured: Captured, pictures: Capture, folder: Path, progress: bool
) -> tuple[Evaluation, dict[str, Path]]:
    comparisons = Comparisons(captured.method, pictures, folder)
    bar = told(range(len(pictures)), len(pictures), "held-out pictures", progress)
    next(bar)

    def look(index: int, prediction: Prediction) -> None:
        comparisons(index, prediction)
        next(bar, None)

    evaluation = evaluate_capture(captured.method, pictures, look=look)
    return evaluation, {pictures.names[index]: file for index, file in comparisons.files.items()}


def _usual_side(captured: Captured) -> int:
    return max(max(pinhole.width, pinhole.height) for pinhole in captured.views.pinholes)


def _called(captured: Captured) -> str:
    source = _origin(captured).get("source", "")
    return Path(source).name or captured.header.get("experiment") or captured.file.stem


def _origin(captured: Captured) -> dict[str, Any]:
    return (captured.header.get("data") or {}).get("origin") or {}


def _introduction(captured: Captured) -> str:
    space = {
        "box": "a single object, in a box", "contracted": "a scene with what is around it, without end",
        "ndc": "a scene seen from one side, through a window",
    }[captured.scene.space]  # fmt: skip
    return f"A scene learned from {len(captured.views)} posed pictures: {space}."


def facts_of(captured: Captured) -> list[tuple[str, object]]:
    """What is known of a run, with its names."""
    header, scene, views = captured.header, captured.scene, captured.views
    sizes = sorted({(pinhole.width, pinhole.height) for pinhole in views.pinholes})
    shown = f"{sizes[-1][0]} x {sizes[-1][1]}" + (" and smaller" if len(sizes) > 1 else "")
    sides = np.subtract(scene.box[3:], scene.box[:3]) * scene.world_scale
    facts: list[tuple[str, object]] = [
        ("method", header["method"]),
        ("learned from", _origin(captured).get("source") or header.get("experiment") or "data that had no name"),
        ("pictures", f"{len(views)} of {shown} pixels"),
        ("space", scene.space),
    ]
    if scene.space != "ndc":
        facts.append(("box, in the capture's unit", " x ".join(f"{side:.3g}" for side in sides)))
    facts.append(("steps", header.get("step")))
    if header.get("seconds"):
        facts.append(("training took", _in_words(float(header["seconds"]))))
    count = sum(parameter.numel() for parameter in captured.method.parameters())
    facts.append(("parameters", f"{count:,}"))
    facts.append(("model on disk", f"{captured.file.stat().st_size / 1e6:.1f} MB, {captured.file.name}"))
    return facts


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def curves_of(log: Path) -> tuple[str, dict[str, Points]]:
    """The name of a figure, and its curves: what the log has of PSNR, or, where there is none, of the loss; on rays
    that were learned from and on held-out pictures."""
    lines = read_log(log) if log.is_file() else []
    training = [line for line in lines if line.get("kind") == "training"]
    figure = "PSNR" if any("PSNR" in line for line in training) else "loss"

    def of(kind: str) -> Points:
        kept = (line for line in lines if line.get("kind") == kind and line.get(figure) is not None)
        return [(float(line["step"]), float(line[figure])) for line in kept]

    curves = {"rays learned from": of("training"), "held-out pictures": of("validation")}
    return figure, {name: points for name, points in curves.items() if points}


def _caption(name: str, index: int, evaluation: Evaluation | None) -> str:
    per_image = {} if evaluation is None else evaluation.per_image
    return " · ".join([name, *(f"{metric} {values[index]:.4g}" for metric, values in per_image.items())])


def _table(evaluation: Evaluation, there: int) -> Table:
    names = list(evaluation.figures)
    rows = [["mean", *(float(evaluation.figures[name]) for name in names)]]
    rows += [
        [picture, *(float(evaluation.per_image[name][i]) for name in names)]
        for i, picture in enumerate(evaluation.names)
    ]
    shown = len(evaluation.names)
    note = "PSNR and SSIM: higher is better; errors: lower. "
    note += f"All {there} pictures." if shown == there else f"{shown} of {there} pictures, spread over them."
    return Table("Figures of held-out pictures", ("picture", *names), rows, note)
