"""Every representation of a scene on one core: time to a quality, pictures a second, quality at a size, and kernels.

    OMP_NUM_THREADS=1 python benchmarks/representations.py levels CHAIR [--methods ...] [--minutes 10] [--record]
    OMP_NUM_THREADS=1 python benchmarks/representations.py rate CHAIR [--methods ...] [--sides 200 400] [--record]
    OMP_NUM_THREADS=1 python benchmarks/representations.py bytes CHAIR [--methods ...] [--sides 200] [--record]
    OMP_NUM_THREADS=1 python benchmarks/representations.py kernels [--record]

CHAIR is the folder of Synthetic-NeRF's chair at 400 px (transforms_{train,val,test}.json). Methods are all radiance
fields of `unflat list`, each with the settings of its `small()` (or of `--experiment`), fitted to the capture as
`unflat train` does, and in a process of its own.

levels   process CPU seconds of one thread to 25, 30, 33 and 35 dB on the first 60 views at 100 px, looked at on the
         test views 0, 4, 8, 12 and 16; what the end is like, and how large it is. Looks are evenly spread on a
         logarithmic axis of time, and not counted. The peer, TensoRF's authors' code, took 24.5, 61 and 109 s to the
         first three with one thread of this kind of machine
rate     pictures a second of wall time of held-out views, with two threads and with one, when a method has learned for
         so many minutes of CPU time from pictures of that side, or to its end; of the quick grid and Instant-NGP also
         while they are trained with two threads, a picture after each stretch of steps that took as long as the last
         picture did: half of the time each. KiloNeRF has ten minutes: it begins as its teacher
bytes    the highest PSNR of models of at most 1, 5 and 20 MB on disk (weights.safetensors), among a few settings of
         each method, each trained to its end or for at most four minutes of CPU time (KiloNeRF: ten); and with weights
         kept as float16
kernels  nanoseconds a sample of the loops that fields spend their time in, and how near they come to what the machine
         was measured to do beside them: `kernel_limits.py`

The clock starts at the first batch: preparation counts (a teacher's run, too); importing, decoding and compiling do
not. Figures are appended method by method.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from representation_table import AT_END, BYTES, DRAWN, LEVELS, PEER, PEER_NAME, PEER_SAW, TRAINED, drawn

from unflat import catalogue
from unflat.records import Record, append

VIEWS = 60
LOOKED_AT = slice(0, 20, 4)
"""of the test views"""
FIRST_LOOK = 0.05
"""CPU seconds"""
ALL = "representations"
"""whose file of records holds what is said of all methods together"""
FLOORS = {("instant_ngp", 33): 10.0}
"""the peer's time over ours, that is asked for"""
SLOWER, SLOWER_BY = ("plenoxels", "quick_grid"), 2.0
"""a method that may take so many times another's time"""
LEAST_MINUTES = {"kilonerf": 10.0}
"""of CPU time, where it is drawn or weighed: until its teacher has learned and taught, it is its teacher"""
LIVE = ("quick_grid", "instant_ngp")
"""methods that are looked at while they are trained"""
LIVE_FLOORS = {200: 10.0, 400: 3.0}
"""pictures a second, by side, that the best of them has to show"""
SIZES = (1, 5, 20)
"""MB, of 1,000,000 bytes"""
DEFAULTS = {"levels": ([100], 10.0), "rate": ([200, 400], 1.0), "bytes": ([200], 4.0), "kernels": ([], 0.0)}
"""of each part: sides, and minutes"""

SETTINGS: dict[str, dict[str, dict[str, Any]]] = {
    "quick_grid": {
        "28 voxels": {"most": 28}, "38 voxels": {"most": 38}, "48 voxels, 1 band": {"most": 48, "bands": 1},
        "60 voxels, 9 bands": {"most": 60, "bands": 9}, "72 voxels": {"most": 72},
        "92 voxels, 1 band": {"most": 92, "bands": 1}, "104 voxels, 9 bands": {"most": 104, "bands": 9},
        "112 voxels": {"most": 112}, "128 voxels": {"most": 128},
    },
    "plenoxels": {
        "24 voxels": {"resolutions": (8, 12, 18, 24)}, "48 voxels": {"resolutions": (16, 24, 36, 48)},
        "80 voxels": {"resolutions": (20, 40, 60, 80)}, "92 voxels": {"resolutions": (23, 46, 69, 92)},
    },
    "dvgo": {
        "28^3": {"voxels": (20**3, 28**3)}, "48^3": {"voxels": (28**3, 48**3)}, "52^3": {"voxels": (32**3, 52**3)},
        "64^3, 12 features": {"voxels": (40**3, 64**3), "features": 12}, "84^3": {"voxels": (40**3, 84**3)},
    },
    "tensorf": {
        "48^3, 8 + 16": {"voxels": (32**3, 48**3)}, "72^3, 4 + 8": {"voxels": (32**3, 72**3), "components": (4, 8)},
        "96^3, 12 + 24": {"components": (12, 24)}, "120^3, 8 + 16": {"voxels": (32**3, 120**3)},
        "160^3, 8 + 32": {"voxels": (32**3, 160**3), "components": (8, 32)},
    },
    "instant_ngp": {
        "2^13 rows, 8 levels": {"log2_rows": 13, "levels": 8, "cells": 32, "finest": 256},
        "2^14 rows, 6 levels": {"log2_rows": 14, "levels": 6, "cells": 32},
        "2^15 rows, 10 levels": {"log2_rows": 15, "levels": 10, "cells": 48, "finest": 256},
        "2^16 rows, 9 levels": {"log2_rows": 16, "levels": 9, "cells": 48, "finest": 256},
        "2^18 rows, 8 levels": {"log2_rows": 18, "levels": 8, "finest": 256},
        "2^18 rows, 10 levels": {"log2_rows": 18, "levels": 10, "finest": 384},
    },
    "triplanes": {
        "16 x 72": {"sides": (72,), "cells": 32}, "8 x 100": {"sides": (100,), "channels": 8, "cells": 32},
        "16 x 156": {"sides": (156,)}, "32 x 108": {"sides": (108,), "channels": 32},
        "16 x 320": {"sides": (320,)}, "32 x 240": {"sides": (240,), "channels": 32},
    },
    "nerf": {"4 x 64": {}, "4 x 128": {"width": 128}, "6 x 128": {"width": 128, "depth": 6, "skip": 3}},
    "kilonerf": {"5 cells": {"cells": 5}, "8 cells": {}, "8 cells, 16 wide": {"width": 16}, "12 cells": {"cells": 12}},
}  # fmt: skip
"""changes of `small()`, once it is fitted, by name; of a method that is not here it stays as it is"""
AS_IT_IS: dict[str, dict[str, Any]] = {"as it is": {}}


def main(words: Sequence[str] | None = None) -> None:
    options = parsed(words)
    if options.worker:
        worker = {"levels": taught, "rate": shown, "live": shown_while_taught, "bytes": sized}[options.worker]
        print(json.dumps(worker(options, options.methods[0])))
        return
    part = {"levels": levels, "rate": rates, "bytes": bytes_of, "kernels": kernels}[options.part]
    for lines in part(options):
        for line in lines:
            print(f"{line.method:16}{line.metric:54}{line.ours:12.5g}  {line.note}", flush=True)
        if options.record and lines:
            append([replace(line, command=line.command or command_of(options, line.method)) for line in lines])


def command_of(options: argparse.Namespace, *methods: str) -> str:
    """What to type to measure these methods again; or all, where none of them is a method."""
    words = [options.part, *([] if options.part == "kernels" else ["CHAIR", *told(options)])]
    words += ["--methods", *methods] if set(methods) <= set(options.methods) else []
    return f"OMP_NUM_THREADS=1 python benchmarks/representations.py {' '.join(words)} --record"


def told(options: argparse.Namespace) -> list[str]:
    """The options that a figure depends on, as they are given."""
    words = ["--minutes", f"{options.minutes:g}", "--sides", *(str(side) for side in options.sides)]
    if options.part == "levels":
        words += ["--views", str(options.views), "--looks", str(options.looks), "--rounds", str(options.rounds)]
    else:
        words += ["--look-at", str(options.look_at)]
    return words if options.experiment == "small" else [*words, "--experiment", options.experiment]


def answer(
    options: argparse.Namespace, worker: str, method: str, *, threads: int = 1, **given: Any
) -> dict[str, Any] | None:
    """What a worker found, in a process of its own; None, which is said, where it failed: the others go on."""
    from processes import answer_of

    words = [*told(options), "--worker", worker, "--methods", method]
    words += [word for name, value in given.items() for word in (f"--{name}", str(value))]
    try:
        return answer_of(__file__, options.part, str(options.data), *words, threads=threads)
    except RuntimeError as error:
        print(f"{method}: {error}", file=sys.stderr, flush=True)
        return None


# -- a run -------------------------------------------------------------------------------------------------------------


def fitted(options: argparse.Namespace, method: str, side: int, views: int = 0, threads: int = 1) -> tuple[Any, ...]:
    """A method's experiment, its settings fitted to the pictures to learn from; these; and the test views."""
    from capture_timing import read

    from unflat.training.timed import compiled_by_tiny

    train = read(options.data, "train", side, limit=views or None)
    test = read(options.data, "test", side)
    experiment = catalogue.experiment(method, options.experiment)
    experiment, _ = experiment.method.suited(experiment, train)
    compiled_by_tiny(experiment.method, train, test[:1], threads=threads)
    training = replace(experiment.training, threads=threads)
    return replace(experiment, training=training, data=None, validation=None, test=None), train, test


def minutes_of(options: argparse.Namespace, method: str) -> float:
    return max(options.minutes, LEAST_MINUTES.get(method, 0.0))


def learned(
    experiment: Any, train: Any, held_out: Any, folder: str, minutes: float, looks: Sequence[float] = (), **more: Any
) -> Any:
    """The trainer of a run in a folder, over after so many minutes of the process, with looks at some seconds of it
    and at its end; `more` is what else a `Timed` trainer takes."""
    from unflat.training.run import build
    from unflat.training.timed import Timed, at_times, without_reports

    method = build(experiment.method, experiment.config, train.extent, experiment.training.seed)
    given = (method, train, without_reports(experiment.training), Path(folder), held_out)
    trainer = Timed(*given, **{"due": at_times(looks), "until": 60 * minutes, "clock": "cpu", **more})
    trainer.fit()
    return trainer


# -- time to a quality -------------------------------------------------------------------------------------------------


def levels(options: argparse.Namespace) -> Iterator[list[Record]]:
    """Seconds to the levels, the end, and the peer's seconds over ours."""
    name = f"{TRAINED}{options.data.resolve().name}, {options.sides[0]} px, {options.views} views"
    every: dict[str, dict[str, Any]] = {}
    for method in options.methods:
        runs = [answer(options, "levels", method) for _ in range(options.rounds)]
        done = [run for run in runs if run is not None]
        if not done:
            continue
        found = done[-1] | {"levels": medians([run["levels"] for run in done])}
        every[method] = found
        yield level_records(name, method, found, len(done))
    slow, quick = (every.get(method, {"levels": {}})["levels"].get("33") for method in SLOWER)
    if slow is not None and quick is not None:
        metric, settings = f"CPU s to 33 dB over those of {SLOWER[1]}", every[SLOWER[0]]["settings"]
        command = command_of(options, *SLOWER)
        yield [
            Record(SLOWER[0], name, metric, slow / quick, "lower", SLOWER_BY, "floor", note="one thread",
                   command=command, settings=settings)
        ]  # fmt: skip


def medians(found: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of what all runs have."""
    return {
        level: statistics.median(run[level] for run in found) for level in found[0] if all(level in r for r in found)
    }


def level_records(name: str, method: str, found: dict[str, Any], runs: int = 1) -> list[Record]:
    note = f"{found['learned']} views to learn from, {found['looked']} held out, one thread"
    note += f", median of {runs} runs" if runs > 1 else ""
    end = f"{note}; step {found['step']} of {found['steps']}, {found['cpu']:.1f} CPU s"

    def figure(metric: str, ours: float, **more: Any) -> Record:
        return Record(
            method, name, metric, ours, **{"better": "lower", "note": note, "settings": found["settings"], **more}
        )

    lines, beside = [], name.endswith(PEER_SAW)
    for level in LEVELS:
        seconds = found["levels"].get(str(level))
        if seconds is None:
            continue
        peer = {"bound": PEER[level], "source": "peer"} if beside and level in PEER else {}
        lines.append(figure(f"CPU s to {level} dB", seconds, **peer))
        if beside and level in (30, 33):
            asked = FLOORS.get((method, level))
            bound = {"bound": asked or 1.0, "source": "floor" if asked else "peer"}
            said = f"{note}; the peer's {PEER[level]:g} s ({PEER_NAME}, one thread) are taken as given, not run beside"
            lines.append(figure(f"peer's CPU s over ours, {level} dB", PEER[level] / seconds, better="higher",
                                **bound, **{"note": said}))  # fmt: skip
    return [
        *lines,
        figure(AT_END, found["psnr"], better="higher", seconds=found["wall"], memory=found["memory"], note=end),
        figure("SSIM at the end", found["ssim"], better="higher", note=end),
        figure("CPU s to the end", found["cpu"], note=end),
        figure("parameters", found["parameters"], note=end),
        figure(BYTES, found["bytes"], note=end),
    ]


def taught(options: argparse.Namespace, method: str) -> dict[str, Any]:
    """One method's curve, in short."""
    import resource

    import numpy as np

    from unflat.training.timed import Curve

    experiment, train, test = fitted(options, method, options.sides[0], options.views)
    held_out = test[list(range(len(test)))[LOOKED_AT]]
    looks = np.geomspace(FIRST_LOOK, max(60 * options.minutes, 2 * FIRST_LOOK), options.looks).tolist()
    with tempfile.TemporaryDirectory() as folder:
        trainer = learned(experiment, train, held_out, folder, options.minutes, looks)
        size = (Path(folder) / "weights.safetensors").stat().st_size
    curve, last = Curve(trainer.points), trainer.points[-1]
    reached = {str(level): curve.seconds_to(float(level)) for level in LEVELS}
    return {
        "levels": {level: seconds for level, seconds in reached.items() if seconds is not None},
        "psnr": last.psnr, "ssim": last.ssim, "cpu": last.cpu, "wall": last.wall, "step": last.step,
        "steps": experiment.training.steps, "learned": len(train), "looked": len(held_out), "bytes": float(size),
        "parameters": float(sum(parameter.numel() for parameter in trainer.result.parameters())),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0, "settings": experiment.digest,
    }  # fmt: skip


# -- pictures a second -------------------------------------------------------------------------------------------------


def rates(options: argparse.Namespace) -> Iterator[list[Record]]:
    """Of each method when it has learned, and of some while they are trained."""
    name, best = f"{DRAWN}{options.data.resolve().name}", dict.fromkeys(options.sides, (0.0, ""))
    for method in options.methods:
        lines = []
        for side in options.sides:
            found = answer(options, "rate", method, threads=2, sides=side)
            if found is not None:
                note = f"PSNR {found['psnr']:.2f} after {found['cpu']:.0f} CPU s, the median of {found['views']} views"
                lines += [
                    Record(method, name, drawn(side, n), 1 / found["seconds"][str(n)], "higher", note=note)
                    for n in (2, 1)
                ]
            live = answer(options, "live", method, threads=2, sides=side) if method in LIVE else None
            if live is not None:
                note = (
                    f"{live['steps']:.1f} steps/s beside; {live['frames']} frames, the slowest {live['slowest']:.3f} s"
                )
                metric = f"frames/s while being trained, {side} px, 2 threads"
                lines.append(Record(method, name, metric, live["rate"], "higher", note=note))
                best[side] = max(best[side], (live["rate"], method))
        yield lines
    yield [
        Record(ALL, name, f"most frames/s while being trained, {side} px, 2 threads", rate, "higher",
               LIVE_FLOORS.get(side), "floor" if side in LIVE_FLOORS else "", note=f"by {method}")
        for side, (rate, method) in best.items() if method
    ]  # fmt: skip


def shown(options: argparse.Namespace, method: str) -> dict[str, Any]:
    """Wall seconds of a held-out view by the number of threads, taking turns; the first is not counted."""
    from unflat.kernels.threads import share_threads
    from unflat.method import predict_in_pieces

    experiment, train, test = fitted(options, method, options.sides[0])
    held_out = test.spread(options.look_at)
    seconds: dict[int, list[float]] = {2: [], 1: []}
    with tempfile.TemporaryDirectory() as folder:
        trainer = learned(experiment, train, held_out, folder, minutes_of(options, method))
    for turn in range(len(held_out) + 1):
        for threads, times in seconds.items():
            share_threads(threads)
            before = time.perf_counter()
            predict_in_pieces(trainer.result, held_out.cameras(max(turn - 1, 0)))
            times.extend([time.perf_counter() - before] if turn else [])
    last = trainer.points[-1]
    return {
        "seconds": {threads: statistics.median(times) for threads, times in seconds.items()}, "psnr": last.psnr,
        "cpu": last.cpu, "views": len(held_out),
    }  # fmt: skip


def shown_while_taught(options: argparse.Namespace, method: str) -> dict[str, Any]:
    """Pictures and steps a second of wall time where each has half of it."""
    from unflat.method import predict_in_pieces

    experiment, train, test = fitted(options, method, options.sides[0], threads=2)
    held_out = test.spread(options.look_at)
    frames: list[float] = []
    began = since = steps = 0.0

    def between(trainer: Any, _: Any) -> None:
        """A picture, when the steps since the last one have taken as long as that."""
        nonlocal began, since, steps
        now = time.perf_counter()
        if not began:  # what is prepared is not seen
            began = since = now
            return
        steps += 1
        if frames and now - since < frames[-1]:
            return
        predict_in_pieces(trainer.result, held_out.cameras(len(frames) % len(held_out)))
        since = time.perf_counter()
        frames.append(since - now)

    with tempfile.TemporaryDirectory() as folder:
        learned(experiment, train, held_out[:1], folder, options.minutes, clock="wall", tell=between, kept=False)
    spent = since - began
    return {"rate": len(frames) / spent, "steps": steps / spent, "frames": len(frames), "slowest": max(frames)}


# -- quality at a size -------------------------------------------------------------------------------------------------


def bytes_of(options: argparse.Namespace) -> Iterator[list[Record]]:
    """The best of each method's settings within each size, and the best of all."""
    name = f"representations, bytes, {options.data.resolve().name}, {options.sides[0]} px"
    best: dict[str, Record] = {}
    for method in options.methods:
        found = {}
        for setting in SETTINGS.get(method, AS_IT_IS):
            one = answer(options, "bytes", method, setting=setting)
            if one is not None:
                found[setting] = one
                print(f"{method}, {setting}: {one}", file=sys.stderr, flush=True)
        lines = size_records(name, method, found)
        best |= {line.metric: line for line in lines if line.metric not in best or line.ours > best[line.metric].ours}
        yield lines
    yield [replace(line, method=ALL, note=f"{line.method}: {line.note}") for line in best.values()]


def size_records(name: str, method: str, found: dict[str, dict[str, float]]) -> list[Record]:
    """The best within each size, with weights as they are and rounded to float16."""
    lines = []
    for halved, called in (("", ""), ("_half", ", float16")):
        for size in SIZES:
            fits = {s: one for s, one in found.items() if one.get(f"bytes{halved}", float("inf")) <= 1e6 * size}
            if fits:
                setting, one = max(fits.items(), key=lambda item: item[1][f"psnr{halved}"])
                note = f"{setting}: {one[f'bytes{halved}'] / 1e6:.2f} MB, {one['cpu']:.0f} CPU s"
                metric = f"best PSNR within {size} MB{called}"
                lines.append(Record(method, name, metric, one[f"psnr{halved}"], "higher", note=note))
    return lines


def sized(options: argparse.Namespace, method: str) -> dict[str, float]:
    """PSNR and bytes of one setting, with its weights as they are and rounded to float16 where they can be."""
    import torch

    from unflat.evaluation.captures import evaluate_capture
    from unflat.training import checkpoint

    experiment, train, test = fitted(options, method, options.sides[0])
    held_out = test.spread(options.look_at)
    changes = {**SETTINGS.get(method, {}), **AS_IT_IS}[options.setting]
    experiment = replace(experiment, config=replace(experiment.config, **changes))
    with tempfile.TemporaryDirectory() as folder:
        trainer = learned(experiment, train, held_out, folder, minutes_of(options, method))
        result, whole, halved = trainer.result, Path(folder) / "weights.safetensors", Path(folder) / "half.safetensors"
        last = trainer.points[-1]
        found = {"psnr": last.psnr, "bytes": whole.stat().st_size, "cpu": last.cpu}
        try:
            checkpoint.save_weights(halved, result, trainer.header, dtype=torch.float16)
        except checkpoint.CheckpointError:  # a weight is too large
            return found
        loaded = checkpoint.load_method(halved)
        found["bytes_half"] = halved.stat().st_size
    found["psnr_half"] = float(evaluate_capture(loaded.eval(), held_out).figures["PSNR"])
    return found


def kernels(options: argparse.Namespace) -> Iterator[list[Record]]:
    from kernel_limits import records

    yield records(options.rays, options.rounds)


# -- what can be said --------------------------------------------------------------------------------------------------


def usual_methods() -> list[str]:
    """All radiance fields of the catalogue that learn from a capture."""
    return [entry.name for entry in catalogue.methods() if entry.family == "radiance" and entry.takes == "Capture"]


def parsed(words: Sequence[str] | None = None) -> argparse.Namespace:
    options = parser().parse_args(words)
    sides, minutes = DEFAULTS[options.part]
    options.sides = options.sides or sides
    options.minutes = minutes if options.minutes is None else options.minutes
    options.rounds = options.rounds or (5 if options.part == "kernels" else 1)
    if options.data is None and options.part != "kernels":
        raise SystemExit(f"{options.part} needs the chair's folder: representations.py {options.part} CHAIR")
    return options


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("part", choices=tuple(DEFAULTS))
    made.add_argument("data", type=Path, nargs="?", metavar="CHAIR")
    made.add_argument("--methods", nargs="+", choices=usual_methods(), default=usual_methods(), metavar="METHOD")
    made.add_argument("--sides", nargs="+", type=int, help="pixels of the longer side; of rate several")
    made.add_argument("--minutes", type=float, help="of process CPU time for each run, at most")
    made.add_argument("--views", type=int, default=VIEWS, help="levels: learn from so many of the first views")
    made.add_argument("--looks", type=int, default=120, help="levels: at most")
    made.add_argument("--look-at", type=int, default=8, help="rate and bytes: held-out views")
    made.add_argument("--rounds", type=int, help="levels: runs of each method, whose median counts; kernels: turns")
    made.add_argument("--rays", type=int, default=4096, help="kernels: and 16 times as many samples")
    made.add_argument("--experiment", default="small", help="whose settings are taken: see unflat show METHOD")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    for name, kind in (("worker", str), ("setting", str)):
        made.add_argument(f"--{name}", type=kind, default="", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
