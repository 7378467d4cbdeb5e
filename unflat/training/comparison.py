"""Methods on the same capture with the same time, one after another: what each reached when, how large it is, how
quickly it draws. Its folder is described in `comparison_files.py`.

A comparison goes on where it was stopped: methods that are done are not trained again, and the one in the middle has
the time that is left to it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from unflat import catalogue, records
from unflat.data.kinds import Capture
from unflat.evaluation.captures import scores_of
from unflat.kernels.threads import share_threads
from unflat.method import Method, predict_in_pieces
from unflat.metrics.images import WINDOW
from unflat.outputs.images import array_of, save_png, to_rgb
from unflat.outputs.progress import Countdown
from unflat.training import checkpoint
from unflat.training.comparison_files import LEVELS, Compared, Comparison, read, view_folders, write
from unflat.training.comparison_report import write_page
from unflat.training.experiment import Experiment
from unflat.training.lock import alone
from unflat.training.log import Log
from unflat.training.parallel import Processes
from unflat.training.run import build, forget
from unflat.training.timed import Clock, Curve, Timed, at_times, compiled_by_tiny

LOOKS = 12
FIRST_LOOK = 0.01
"""of the time; the looks are spread evenly on a logarithmic axis"""
SAVED = 30.0
"""seconds between checkpoints: what a kill costs at most"""
RENDERED = 1.0
"""seconds at least in which the rate of pictures is measured"""


def usual_methods() -> list[str]:
    """All radiance fields of the catalogue that learn from a capture."""
    return [entry.name for entry in catalogue.methods() if entry.family == "radiance" and entry.takes == "Capture"]


def compare(
    capture: Capture,
    held_out: Capture,
    out: Path | str,
    methods: Sequence[str] = (),
    *,
    minutes: float = 5.0,
    experiment: str = "",
    looks: int = LOOKS,
    resume: bool = True,
    progress: bool = True,
    report: Callable[[str], None] = print,
) -> Comparison:
    """Train the methods (all radiance fields, unless they are named), each for so many minutes of wall time, and write
    the figures and pictures of `held_out`; what is told goes to `report`.

    `experiment` is whose settings are taken of each, `small` where there is no GPU. A method that fails is told, and
    does not stop the others. ValueError for a method or an experiment that is not there, and for a folder that holds a
    comparison on other data.
    """
    out, names = Path(out), list(methods) or usual_methods()
    experiments = {name: named_experiment(name, experiment) for name in names}
    _check(capture, held_out, minutes, looks)
    now = _begun(capture, held_out, 60 * minutes)
    with alone(out):
        before = _before(out, now) if resume else {}
        if not resume:
            for folder in (out / "runs").glob("*"):
                forget(folder)
        _write_truth(out, held_out)
        done: list[Compared] = []
        for number, name in enumerate(names, start=1):
            others = [one for other, one in before.items() if other in names[number:]]
            changed = _changed(name, experiments[name], capture, out / "runs" / name)
            if changed:  # what it learned is another method's now
                report(f"{name} is trained again: {'; '.join(changed)}")
                forget(out / "runs" / name)
                before.pop(name, None)
                write(out, replace(now, methods=(*done, *others)))  # a stop in between is no reason to begin again
            kept = before.get(name)
            if kept is not None and _suffices(kept, experiments[name], now, out):
                report(f"{name} is done already: {_told(kept)}")
            else:
                what = f"{number} of {len(names)}: {name}"
                kept = _compared(name, experiments[name], capture, held_out, out, now, looks, what, progress)
                report(f"{what}: {_told(kept)}")
            done.append(kept)
            found = replace(now, methods=(*done, *others))
            write(out, found)
            write_page(out, found)
    return replace(now, methods=tuple(done))


def named_experiment(method: str, experiment: str = "") -> str:
    """The experiment of that name, or the usual one. ValueError for a method that is not there, that learns from
    something else than a capture, or that has no such experiment."""
    entry = catalogue.find(method)
    if entry.takes != "Capture":
        raise ValueError(f"{method} takes {entry.takes}, not a capture; those that do are {', '.join(usual_methods())}")
    if experiment:
        entry.says(experiment)
        return experiment
    return entry.usual_experiment(torch.cuda.is_available())


def _check(capture: Capture, held_out: Capture, minutes: float, looks: int) -> None:
    if not minutes > 0 or looks < 1:
        raise ValueError(f"{minutes:g} minutes and {looks} looks leave nothing to compare: both must be above 0")
    if Processes.join().count > 1:
        raise ValueError("a comparison is made by one process: start it without torchrun")
    sizes = [min(pinhole.width, pinhole.height) for pinhole in held_out.pinholes]
    if not sizes or min(sizes) < WINDOW:
        raise ValueError(
            f"there are {len(held_out)} held-out pictures, the smallest of {min(sizes, default=0)} pixels: at least "
            f"one is needed, and {WINDOW} pixels for SSIM"
        )
    if len(capture) == 0:
        raise ValueError("there are no pictures to learn from")


def _begun(capture: Capture, held_out: Capture, seconds: float) -> Comparison:
    side = max(max(pinhole.width, pinhole.height) for pinhole in held_out.pinholes)
    called = str(capture.origin.get("source", "")) or "a capture without a name"
    date = datetime.now(UTC).isoformat(timespec="seconds")
    return Comparison(
        called, capture.scene.space, side, len(capture), tuple(held_out.names), seconds, share_threads(),
        records.hardware(), date, dict(records.versions()),
    )  # fmt: skip


def _before(out: Path, now: Comparison) -> dict[str, Compared]:
    """What is in the folder already, by method."""
    there = read(out)
    if there is None:
        return {}
    if not there.same_data(now):
        raise ValueError(
            f"{out} holds a comparison on other data: {there.capture}, {there.space}, {there.learned} pictures, "
            f"{len(there.views)} held out, {there.side} px; now {now.capture}, {now.space}, {now.learned} pictures, "
            f"{len(now.views)} held out, {now.side} px. Give another folder (--out), or begin again (--no-resume)"
        )
    return {one.method: one for one in there.methods}


def _suited(name: str, experiment: str, capture: Capture) -> Experiment:
    """What a method learns the capture with."""
    chosen = catalogue.experiment(name, experiment)
    chosen.method.check(capture)
    suited: Experiment = chosen.method.suited(chosen, capture)[0]
    usual = replace(suited.training, validate_every=0, sample_every=0, save_every=10**9, save_seconds=SAVED, keep=1)
    return replace(suited, training=usual)


def _changed(name: str, experiment: str, capture: Capture, folder: Path) -> list[str]:
    """Why the run in a folder cannot go on: settings that are others by now, or that it cannot be read. Nothing where
    there is none, or where the method could not begin anew, which is told when it is trained."""
    if not checkpoint.checkpoints(folder):
        return []
    try:
        suited = _suited(name, experiment, capture)
        method = build(suited.method, suited.config, capture.extent, suited.training.seed)
    except Exception:
        return []
    try:
        stored = checkpoint.last(folder)
        described = checkpoint.describe(method, suited.training, capture)
        return [] if stored is None else checkpoint.differences(checkpoint.as_now(stored, method), described)
    except checkpoint.CheckpointError as error:
        return [str(error)]


def _suffices(kept: Compared, experiment: str, now: Comparison, out: Path) -> bool:
    """Whether a method need not be trained again."""
    enough = not kept.failed and kept.experiment == experiment and (kept.budget >= now.seconds or kept.ended)
    enough = enough and (out / "runs" / kept.method / "weights.safetensors").is_file()
    return enough and all((folder / f"{kept.method}.png").is_file() for folder in view_folders(out, now.views))


def _compared(
    name: str, experiment: str, capture: Capture, held_out: Capture, out: Path, now: Comparison, looks: int, what: str,
    progress: bool,
) -> Compared:  # fmt: skip
    blank = Compared(name, experiment, now.seconds)
    try:
        suited = _suited(name, experiment, capture)
        trainer = _trained(suited, capture, held_out, out / "runs" / name, now.seconds, looks, what, progress)
        return _measured(blank, trainer, held_out, out)
    except OSError:  # a full disk, say, which the others would meet, too
        raise
    except Exception as error:
        return replace(blank, failed=f"{type(error).__name__}: {error}")


def _trained(
    suited: Experiment, capture: Capture, held_out: Capture, folder: Path, seconds: float, looks: int, what: str,
    progress: bool,
) -> Timed:  # fmt: skip
    """A run in its folder, until its time is up."""
    cls: type[Method] = suited.method
    with suppress(Exception):  # only to compile: what is wrong is told by the run itself
        compiled_by_tiny(cls, capture, held_out[:1], suited.training.threads)
    method = build(cls, suited.config, capture.extent, suited.training.seed)
    times = np.geomspace(FIRST_LOOK * seconds, seconds, looks).tolist()
    with Countdown(what, seconds, progress) as countdown:

        def tell(trainer: Timed, log: Log) -> None:
            if countdown.due:
                countdown.show(trainer.seconds, _figure_now(trainer, log))

        given = (method, capture, suited.training, folder, held_out)
        trainer = Timed(*given, due=at_times(times), until=seconds, clock="wall", tell=tell)
        trainer.fit()
    return trainer


def _figure_now(trainer: Timed, log: Log) -> str:
    """PSNR of the last look, or, before there was one, of the rays that are learned from."""
    if trainer.points:
        return f"PSNR {trainer.points[-1].psnr:.2f}"
    total, times = log.counted().get("PSNR", (math.nan, 1))
    return "" if math.isnan(total) else f"PSNR {total / times:.2f} of what is learned"


def _measured(blank: Compared, trainer: Timed, held_out: Capture, out: Path) -> Compared:
    """What the finished run is."""
    method, found = trainer.result.eval(), Curve(trainer.points)
    per_view: dict[str, list[float | None]] = {}
    for i, folder in enumerate(view_folders(out, held_out.names)):
        prediction = predict_in_pieces(method, held_out.cameras(i))
        for figure, value in checkpoint.plain_figures(scores_of(prediction, held_out, i)).items():
            per_view.setdefault(figure, []).append(value)
        if prediction.rgb is not None:
            save_png(folder / f"{blank.method}.png", to_rgb(array_of(prediction.rgb[0])))
    rate, cpu = _rate(method, held_out)
    spent = trainer.clock.read()
    return replace(
        blank, points=tuple(p for p in found.points if math.isfinite(p.psnr + p.ssim)), step=trainer.step,
        steps=trainer.training.steps, cpu=spent.cpu, wall=spent.wall, per_view=per_view,
        figures={name: _mean(values) for name, values in per_view.items()},
        seconds_to={level: found.seconds_to(float(level), "wall") for level in LEVELS},
        cpu_seconds_to={level: found.seconds_to(float(level), "cpu") for level in LEVELS},
        parameters=sum(parameter.numel() for parameter in method.parameters()),
        bytes=checkpoint.find(trainer.folder).stat().st_size, frames_per_second=rate, cpu_per_frame=cpu,
    )  # fmt: skip


def _rate(method: Method, held_out: Capture) -> tuple[float, float]:
    """Pictures a second of wall time, and process seconds of one, over all held-out cameras and so many turns of them
    that it takes a while."""
    clock, frames = Clock(), 0
    while frames == 0 or clock.read().wall < RENDERED:
        shown = predict_in_pieces(method, held_out.cameras(frames % len(held_out))).rgb
        frames += 1 if shown is None else len(shown.cpu())  # a GPU has drawn it once it is here
    spent = clock.read()
    return frames / spent.wall, spent.cpu / frames


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _write_truth(out: Path, held_out: Capture) -> None:
    for i, folder in enumerate(view_folders(out, held_out.names)):
        save_png(folder / "truth.png", to_rgb(held_out.rgb(i)))


def _told(one: Compared) -> str:
    """In one line."""
    if one.failed:
        return f"not compared: {one.failed}"
    figures: Mapping[str, Any] = one.figures
    quality = ", ".join(f"{name} {figures[name]:.4g}" for name in ("PSNR", "SSIM") if figures.get(name) is not None)
    return f"{quality} after {one.wall:.0f} s, step {one.step} of {one.steps}, {one.bytes / 1e6:.1f} MB"
