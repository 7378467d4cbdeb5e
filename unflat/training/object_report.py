"""The page on the mesh of an object: put together from its run, its previews and the capture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from unflat.data.kinds import Capture
from unflat.data.viewpoints import spread_over
from unflat.outputs.images import save_png
from unflat.outputs.object_mesh import ObjectMesh
from unflat.outputs.object_report import ObjectReport, write_object_report
from unflat.outputs.rig_picture import draw_rig
from unflat.outputs.scene_mesh import write_in_world
from unflat.training.captured import opened
from unflat.training.run import Run
from unflat.training.scene_report import curves_of, facts_of

SEEN = "seen"
SHOWN = 4
"""sheets of sample pictures"""
CAPTIONS = {"textured": "with the photos on it", "shaded": "the bare shape, under a headlight"}
"""of the other previews, by the names of their files"""


def report_on(
    run: Run, capture: Capture, found: ObjectMesh, facts: Mapping[str, str], file: Path, previews: Sequence[Path],
    warnings: Sequence[str] = (),
) -> Path:  # fmt: skip
    """Write report.html beside the previews, all that it shows inside, and a picture of the cameras.

    `file` is the mesh as it was written; of another format than GLB, a GLB is written for the page.
    """
    folder, captured = previews[0].parent, opened(run)
    model = file if file.suffix.lower() == ".glb" else folder / "model.glb"
    if model != file:
        write_in_world(model, found.mesh, capture.scene)
    figure, curves = curves_of(run.folder / "log.jsonl")
    by_name = {preview.stem: preview for preview in previews}
    header = captured.header
    held = ObjectReport(
        title=file.name,
        introduction=f"The mesh of an object, learned from {len(capture)} pictures of it and from nothing else.",
        model=model,
        facts=[*facts.items(), *facts_of(captured)],
        stages=stages_of(run.folder),
        shapes={caption: by_name[name] for name, caption in CAPTIONS.items() if name in by_name},
        seen={"": by_name[SEEN]} if SEEN in by_name else {},
        rig=save_png(folder / "rig.png", draw_rig({"train": capture.viewpoints}, capture.scene, capture.points)),
        curves=curves,
        figure=figure,
        settings={part: header.get(part) or {} for part in ("config", "training", "versions")},
        warnings=warnings,
    )
    return write_object_report(folder / "report.html", held)


def stages_of(run: Path) -> dict[str, Path]:
    """At most `SHOWN` sheets of sample pictures of a run's folder, by their captions, spread over its steps."""
    sheets = {int(file.stem): file for file in sorted((run / "samples").glob("*.png")) if file.stem.isdecimal()}
    steps = sorted(sheets)
    return {f"after {steps[i]} steps": sheets[steps[i]] for i in spread_over(len(steps), SHOWN)}
