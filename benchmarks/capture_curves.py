"""PSNR and SSIM of radiance methods against process CPU time, on held-out views of a real capture.

    OMP_NUM_THREADS=1 python benchmarks/capture_curves.py CAPTURE [--side 200] [--methods quick_grid tensorf dvgo nerf]
        [--minutes 0.5 2 5] [--views N] [--look-at N] [--looks 40] [--experiment small]
        [--record]

Each method trains with the settings of its `small()`, or of another experiment such as the published one, fitted to the
capture as `unflat train` does, one thread, until the last of the minutes or its own last step. The clock starts at the
first batch: preparation counts; importing, decoding, compiling and looking do not. Looked at are N views, spread over
the test split (val where there is none).
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unflat import catalogue
from unflat.records import Record, append

METHODS = ("quick_grid", "tensorf", "dvgo", "nerf")
"""unless others are named"""


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    if options.worker:
        print(json.dumps(worked(options)))
        return
    command = f"OMP_NUM_THREADS=1 python benchmarks/capture_curves.py CAPTURE {' '.join(told(options))} --record"
    for method in options.methods:
        found = in_a_process(options, method)
        lines = records(options, method, found)
        for line in lines:
            print(f"{method:12}{line.metric:34}{line.ours:10.4g}  {line.note}", flush=True)
        if options.record:
            append([replace(line, command=f"{command} --methods {method}") for line in lines])


def records(options: argparse.Namespace, method: str, found: dict[str, Any]) -> list[Record]:
    """The last look before each of the times, and when levels were first reached."""
    name = f"capture_curves, {options.data.name}, {options.side} px"
    name += "" if options.experiment == "small" else f", {options.experiment}"
    note = f"{found['learned']} views to learn from, {found['looked']} held out, one thread"
    lines = []
    for minutes in options.minutes:
        before = [point for point in found["points"] if point["cpu"] <= 60 * minutes]
        if before:
            at = before[-1]
            looked = f"{note}; step {at['step']}, {at['cpu']:.0f} CPU s"
            for metric in ("psnr", "ssim"):
                title = f"{metric.upper()} after {minutes:g} CPU min"
                lines.append(Record(method, name, title, at[metric], "higher", seconds=at["cpu"], note=looked))
    for level, seconds in found["levels"].items():
        lines.append(Record(method, name, f"CPU s to {level} dB", seconds, "lower", note=note))
    return lines


def in_a_process(options: argparse.Namespace, method: str) -> dict[str, Any]:
    from processes import answer_of

    return answer_of(__file__, str(options.data), *told(options), "--worker", "--methods", method)


def told(options: argparse.Namespace) -> list[str]:
    """The options that a figure depends on, as they are given."""
    sizes = {"--side": options.side, "--views": options.views, "--look-at": options.look_at, "--looks": options.looks}
    minutes = ["--minutes", *(f"{minutes:g}" for minutes in options.minutes)]
    other = [] if options.experiment == "small" else ["--experiment", options.experiment]
    return [word for name, value in sizes.items() for word in (name, str(value))] + minutes + other


def worked(options: argparse.Namespace) -> dict[str, Any]:
    """One method's curve."""
    from capture_timing import read

    from unflat.data.readers.captures import read_recording, split_names
    from unflat.training.timed import compiled_by_tiny, curve

    experiment = catalogue.experiment(options.methods[0], options.experiment)
    there = set(split_names(read_recording(options.data, "")).values())
    held = "test" if "test" in there else "val"
    train = read(options.data, "train", options.side, limit=options.views or None)
    held_out = read(options.data, held, options.side).spread(options.look_at)
    experiment, _ = experiment.method.suited(experiment, train)
    training = replace(experiment.training, threads=1)
    compiled_by_tiny(experiment.method, train, held_out[:1], threads=1)
    last = 60 * max(options.minutes)
    every = max(50, training.steps // options.looks)  # looking is not counted, but takes its time
    found = curve(experiment.method, experiment.config, training, train, held_out, every=every, until=last)
    levels = {f"{level:g}": found.seconds_to(level) for level in (25.0, 30.0, 33.0, 35.0)}
    return {
        "points": [vars(point) for point in found.points], "learned": len(train), "looked": len(held_out),
        "levels": {level: seconds for level, seconds in levels.items() if seconds is not None},
    }  # fmt: skip


def known() -> list[str]:
    """The methods that learn from a capture."""
    return [entry.name for entry in catalogue.methods() if entry.takes == "Capture"]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, metavar="CAPTURE")
    made.add_argument("--side", type=int, default=200, help="pixels of the longer side")
    made.add_argument("--methods", nargs="+", choices=known(), default=list(METHODS))
    made.add_argument("--minutes", nargs="+", type=float, default=[0.5, 2, 5], help="of process CPU time")
    made.add_argument("--views", type=int, default=0, help="learn from so many of the first views; 0: from all")
    made.add_argument("--look-at", type=int, default=8, help="held-out views")
    made.add_argument("--looks", type=int, default=40, help="at most, of a whole run: of NeRF they take their time")
    made.add_argument("--experiment", default="small", help="whose settings are taken: see unflat show METHOD")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    made.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
