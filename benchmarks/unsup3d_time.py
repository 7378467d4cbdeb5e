"""How long learning takes: a run's accuracy over time, and the small network against the paper's to the same level.

    python benchmarks/unsup3d_time.py curve runs/small [--record]
    python benchmarks/unsup3d_time.py level [--side 1.0] [--mad 0.97] [--times 10] [--record]

curve  SIDE and MAD of the validation faces, as shares of the average depth's, over the minutes of training
level  `small()` is trained until both are reached, then the paper's network with the settings of `faces()`, but batches
       as small, for `times` as long, on the same faces. Minutes are wall time of one thread, of preparation and
       training, one run after the other: the machine has to be quiet. The paper's network runs in bf16 and warms up as
       in `faces()`.

`level` keeps its runs in runs/time and goes on where it was stopped.
"""

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from processes import end_with_parent

from unflat.data.packing import digest_of
from unflat.records import Record, append

SIDE, MAD, SLOPE = "SIDE / average depth", "MAD / average depth", "yaw slope"
LEAST = 10.0
"""times as long that the paper's network should need"""
POLL = 2.0
"""seconds between two looks at a run's log"""
RECORDED_MINUTES = (2, 5, 10, 20, 30, 45, 60)
SHARE_THERE = 0.9
"""of a recorded minute that a run must have reached: one that ended a little sooner counts as its last"""


@dataclass(frozen=True)
class Point:
    """One validation of a run."""

    step: int
    seconds: float
    """of preparation and training, without validations, pictures and checkpoints"""
    side: float
    mad: float
    """as shares of the average depth's"""
    slope: float
    """of predicted over true yaws"""


def curve(lines: Sequence[dict[str, Any]], batch: int) -> list[Point]:
    """The validations of a log with the seconds of training before them."""
    points, seconds, step = [], 0.0, 0
    for line in lines:
        if line["kind"] == "prepared":
            seconds += line["seconds"]
        elif line["kind"] == "training":
            seconds += (line["step"] - step) * batch / line["images_per_second"]
            step = line["step"]
        elif line["kind"] == "validation":
            figures = (line.get(name) for name in (SIDE, MAD, SLOPE))  # None: not finite, or not known
            points.append(Point(line["step"], seconds, *(math.inf if f is None else f for f in figures)))
    return points


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    began = time.perf_counter()
    if options.part == "curve":
        lines, command = curve_records(options.run), f"curve {options.run}"
    else:
        lines = level_records(options.side, options.mad, options.times, options.out)
        command = f"level --side {options.side:g} --mad {options.mad:g} --times {options.times:g}"
    for line in lines:
        print(f"{line.metric:70}{line.ours:10.4g}  {line.note}")
    if options.record:
        seconds = time.perf_counter() - began
        command = f"python benchmarks/unsup3d_time.py {command} --record"
        append([replace(line, command=command, seconds=line.seconds or seconds) for line in lines])


# -- the curve of a run ------------------------------------------------------------------------------------------------


def points_of(folder: Path) -> list[Point]:
    """The curve so far of a run's folder; empty before its first line."""
    try:
        batch = settings_of(folder)["config"]["batch_size"]
        lines = (folder / "log.jsonl").read_text().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return curve([json.loads(line) for line in lines if line.endswith("\n")], batch)  # the last may be half written


def settings_of(folder: Path) -> dict[str, Any]:
    """What a run was made with."""
    return json.loads((folder / "settings.json").read_text())  # type: ignore[no-any-return]


def curve_records(folder: Path) -> list[Record]:
    """A line for SIDE and for MAD at every one of RECORDED_MINUTES, from the last validation before it, and at the end.

    A curve of other settings replaces the one before as a whole.
    """
    points = points_of(folder)
    if not points:
        raise SystemExit(f"{folder} has no validations in its log: it is no run's folder, or nothing was validated")
    settings = settings_of(folder)
    name, threads = settings["experiment"] or settings["method"], settings["training"]["threads"] or "all"
    print("| steps | minutes | SIDE / average depth | MAD / average depth | yaw slope |\n|---|---|---|---|---|")
    for p in points:
        print(f"| {p.step} | {p.seconds / 60:.1f} | {p.side:.3f} | {p.mad:.3f} | {p.slope:.2f} |")
    there = {}
    for minutes in RECORDED_MINUTES:
        reached = [p for p in points if p.seconds <= 60 * minutes]
        if reached and points[-1].seconds > 60 * SHARE_THERE * minutes:
            there[f"after {minutes} min"] = reached[-1]
    there["at the end"] = points[-1]
    run, digest = f"unsup3d_time, curve of {name}", digest_of(settings["config"], settings["training"])
    lines = []
    for when, p in there.items():
        note = f"validation, {p.step} steps, {p.seconds / 60:.1f} min of training, threads: {threads}"
        for metric, value in ((SIDE, p.side), (MAD, p.mad)):
            lines.append(figure(f"{metric} {when}", value, run, note=note, seconds=p.seconds, settings=digest))
    return lines


def figure(metric: str, ours: float, experiment: str = "unsup3d_time", **more: Any) -> Record:
    return Record("speed", experiment, metric, ours, **{"better": "lower", **more})


# -- to a level --------------------------------------------------------------------------------------------------------


def both() -> tuple[Any, Any]:
    """The experiments that are compared."""
    from unflat.methods.autoencoders import unsup3d
    from unflat.training.settings import Training

    ours = unsup3d.small()
    ours = replace(ours, training=replace(ours.training, threads=1, validate_every=250, sample_every=0))
    training = Training(
        steps=50_000,
        rate=1e-4,
        threads=1,
        precision="bf16",
        log_every=5,
        validate_every=50,
        sample_every=0,
        save_every=50,
    )
    config = replace(unsup3d.faces().config, batch_size=ours.config.batch_size)
    return ours, replace(ours, config=config, training=training)


def level_records(side: float, mad: float, times: float, out: Path) -> list[Record]:
    """How long both networks need, or how far the paper's is after `times` as long."""
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")  # before torch is imported
    ours, paper = both()

    def there(point: Point) -> bool:
        return point.side <= side and point.mad <= mad

    mine = trained(ours, out / "small", lambda points: any(map(there, points)))
    first = next((p for p in mine if there(p)), None)
    if first is None:
        raise SystemExit(f"small() ended at SIDE {mine[-1].side:.2f} and MAD {mine[-1].mad:.2f}; ask for a lower level")
    limit = times * first.seconds
    theirs = trained(paper, out / "paper", lambda ps: any(map(there, ps)) or bool(ps and ps[-1].seconds >= limit))
    last = next((p for p in theirs if there(p)), theirs[-1])
    aim = f"SIDE {side:g} and MAD {mad:g} of average depth's"
    held = f"one thread, batches of {ours.config.batch_size}, validation faces; small() {first.step} steps in fp32"
    note = f"{held}, the paper's {last.step} in bf16: {'reached' if there(last) else 'not reached yet'}"
    tried = there(last) or last.seconds >= LEAST * first.seconds  # for less, the floor says nothing
    bound = {"bound": LEAST, "source": "floor"} if tried else {}
    return [
        figure(f"{aim}: minutes of small()", first.seconds / 60, note=held, seconds=first.seconds),
        figure(f"{aim}: the paper's network's minutes over small()'s, at least", last.seconds / first.seconds,
               better="higher", note=note, **bound, seconds=last.seconds),
        figure(f"{aim}: the paper's network's SIDE / average depth then", last.side, note=note, seconds=last.seconds),
        figure(f"{aim}: the paper's network's MAD / average depth then", last.mad, note=note, seconds=last.seconds),
    ]  # fmt: skip


def trained(experiment: Any, folder: Path, enough: Callable[[list[Point]], bool]) -> list[Point]:
    """Train in a process of its own until its curve is enough, or it has ended."""
    from unflat.training.checkpoint import differences
    from unflat.training.settings import to_plain

    points = points_of(folder)
    if points:
        stored = settings_of(folder)
        now = {**stored, "config": to_plain(experiment.config), "training": to_plain(experiment.training)}
        if changed := differences(stored, now):
            raise SystemExit(f"{folder} holds a run with other settings: {'; '.join(changed)}; give another --out")
    if enough(points):
        return points
    process = multiprocessing.get_context("spawn").Process(target=run, args=(experiment, folder), daemon=True)
    process.start()
    while process.is_alive():
        process.join(timeout=POLL)
        if (now := points_of(folder))[len(points) :]:
            points = now
            p = points[-1]
            print(f"{folder.name}: {p.seconds / 60:.1f} min, SIDE {p.side:.2f}, MAD {p.mad:.2f}", flush=True)
        if enough(points):
            process.terminate()
            process.join()
            return points
    if process.exitcode:
        raise SystemExit(f"training in {folder} ended with {process.exitcode}; what it said stands above")
    return points_of(folder)


def run(experiment: Any, folder: Path) -> None:
    """Train as a user would."""
    end_with_parent()
    from unflat.training.run import train

    train(
        experiment.method, experiment.data, out=folder, config=experiment.config, training=experiment.training,
        validation=experiment.validation, quiet=True,
    )  # fmt: skip


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results/speed.jsonl")
    parts = made.add_subparsers(dest="part", required=True)
    of_run = parts.add_parser("curve", help="accuracy over time of a run")
    of_run.add_argument("run", type=Path, help="a run's folder")
    level = parts.add_parser("level", help="the small network against the paper's")
    level.add_argument("--side", type=float, default=1.0, help="SIDE to be reached, as a share of the average depth's")
    level.add_argument("--mad", type=float, default=0.97, help="MAD to be reached, the same")
    level.add_argument("--times", type=float, default=LEAST, help="how many times as long the paper's network may take")
    level.add_argument("--out", type=Path, default=Path("runs/time"), help="folder of the two runs")
    for part in (of_run, level):
        part.add_argument("--record", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
