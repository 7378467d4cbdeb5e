"""How fast the quick grid is: against the prototype that it comes from, and what its time goes into.

    OMP_NUM_THREADS=1 python benchmarks/quick_grid_speed.py levels CHAIR --yardstick FILE [--pairs 5] [--record]
    OMP_NUM_THREADS=1 python benchmarks/quick_grid_speed.py sizes CHAIR [--record]
    OMP_NUM_THREADS=1 python benchmarks/quick_grid_speed.py parts CHAIR [--record]
    OMP_NUM_THREADS=1 python benchmarks/quick_grid_speed.py more CHAIR [--record]

CHAIR is the folder of Synthetic-NeRF's chair at 400 px (transforms_{train,val,test}.json).

levels  process CPU seconds to 25, 30, 33 and 34 dB at 100 px with the first 60 views, in processes of their own that
        take turns with the prototype's; the ratio's median. The peer's figures (TensoRF's authors' code, one thread of
        this kind of machine: 24.5, 61, 109, 136 s) are converted by the prototype's beside them (2.3, 4.3, 7.3, 8.1 s),
        which hold a second or two of compiling: they are compared with a run of it that compiles as well
sizes   seconds to levels at 100, 200 and 400 px with one setting, on all test views, and with two threads
parts   the dearest functions of a step, and how far they are from what the machine can do
more    what more time gives at 200 px: spherical harmonics of higher degree, twice the steps, both, and
        smoothness and distortion

The clock starts at the first batch: preparation counts; importing, decoding, compiling and looking do not.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unflat.records import Record, append

LEVELS = (25.0, 30.0, 33.0, 34.0)
PEER = {25.0: 24.5, 30.0: 61.0, 33.0: 109.0, 34.0: 136.0}
"""process CPU seconds of the reference implementation of TensoRF"""
PROTOTYPE = {25.0: 2.3, 30.0: 4.3, 33.0: 7.3, 34.0: 8.1}
"""of the prototype on the same machine"""
SCHEDULE = "[(32,400),(64,500),(96,900),(128,1500)]"
LINE = re.compile(r"^\d+ n\d+ cpu ([\d.]+) s, train [\d.-]+ test ([\d.]+)")
SIDE, VIEWS = 100, 60
LOOKED_AT = slice(0, 20, 4)
"""of the test views, as the prototype does"""
TAKEN_APART = 100
"""steps that are taken apart"""


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    if options.worker:
        print(json.dumps(taken_apart(options) if options.part == "parts" else worked(options)))
        return
    began = time.perf_counter()
    lines = {"levels": levels, "sizes": sizes, "parts": parts, "more": more}[options.part](options)
    for line in lines:
        print(f"{line.metric:78}{line.ours:10.4g}  {line.note}")
    if options.record:
        seconds = time.perf_counter() - began
        yardstick = " --yardstick FILE" if options.part == "levels" else ""
        command = f"OMP_NUM_THREADS=1 python benchmarks/quick_grid_speed.py {options.part} CHAIR{yardstick} --record"
        append([replace(line, seconds=line.seconds or seconds, command=command) for line in lines])


def figure(experiment: str, metric: str, ours: float, **more: Any) -> Record:
    return Record("quick_grid", experiment, metric, ours, **{"better": "lower", **more})


# -- against the prototype ---------------------------------------------------------------------------------------------


def levels(options: argparse.Namespace) -> list[Record]:
    """The ratios' medians over pairs of runs that take turns."""
    ours: list[dict[float, float]] = []
    theirs: list[dict[float, float]] = []
    for pair in range(options.pairs):
        theirs.append(prototype(options.yardstick, options.data))
        ours.append({float(k): v for k, v in in_a_process(options, side=SIDE, views=VIEWS)["levels"].items()})
        print(f"pair {pair + 1}: prototype {theirs[-1]}, ours {ours[-1]}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as empty:
        cold = prototype(options.yardstick, options.data, NUMBA_CACHE_DIR=empty)
    print(f"the prototype, compiling: {cold}", file=sys.stderr, flush=True)
    found, name = [], "quick_grid_speed, levels"
    for level in LEVELS:
        pairs = [(a[level], b[level]) for a, b in zip(ours, theirs, strict=True) if level in a and level in b]
        if not pairs:
            continue
        median, ratio = statistics.median(a for a, _ in pairs), statistics.median(b / a for a, b in pairs)
        note = f"{SIDE} px, {VIEWS} views, one thread, {len(pairs)} of {options.pairs} interleaved pairs reached it"
        found += [
            figure(name, f"CPU s to {level:g} dB", median, note=note),
            figure(name, f"prototype's CPU s over ours, {level:g} dB", ratio, better="higher", bound=1.0,
                   source="floor", note=note),
        ]  # fmt: skip
        if level in cold:
            peer = PEER[level] * cold[level] / PROTOTYPE[level] / median
            bound = {"bound": 15.0, "source": "floor"} if level <= 30 else {}
            metric = f"peer's CPU s over ours, {level:g} dB"
            found.append(figure(name, metric, peer, better="higher", note=f"{note}; converted", **bound))
    return found


def prototype(script: Path, data: Path, **more: str) -> dict[float, float]:
    """Its seconds to the levels, linear between its lines."""
    environment = {
        **os.environ,
        **more,
        "DOWN": "4",
        "VIEWS": str(VIEWS),
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    command = [sys.executable, str(Path(script).resolve()), str(Path(data).resolve()), SCHEDULE]
    folder = Path(script).parent if os.access(Path(script).parent, os.W_OK) else Path.cwd()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=folder)
    points = [(float(m[1]), float(m[2])) for m in map(LINE.match, done.stdout.splitlines()) if m]
    return reached(points)


def reached(points: Sequence[tuple[float, float]], levels: Sequence[float] = LEVELS) -> dict[float, float]:
    """Seconds at which levels are first reached, of (seconds, dB); what is below the first look counts as there."""
    found = {}
    for level in levels:
        at = next((i for i, (_, psnr) in enumerate(points) if psnr >= level), None)
        if at is None:
            continue
        (a, low), (b, high) = points[max(at - 1, 0)], points[at]
        found[level] = b if at == 0 else a + (level - low) / (high - low) * (b - a)
    return found


# -- ours, in a process of its own -------------------------------------------------------------------------------------


def in_a_process(options: argparse.Namespace, **given: Any) -> dict[str, Any]:
    from processes import answer_of

    words = [f"--{name}={value}" for name, value in given.items()]
    return answer_of(__file__, options.part, str(options.data), "--worker", *words, threads=given.get("threads", 1))


def worked(options: argparse.Namespace) -> dict[str, Any]:
    """Train at a size, and say what was reached when."""
    import resource

    from capture_timing import read

    from unflat.methods.radiance.quick_grid import QuickGrid, small
    from unflat.training.timed import compiled, curve

    experiment, side = changed(small(), options.change), options.side
    train = read(options.data, "train", side, limit=options.views or None)
    held_out = read(options.data, "test", side)
    if options.part == "levels":
        held_out = held_out[list(range(len(held_out)))[LOOKED_AT]]
    training = replace(experiment.training, threads=options.threads)
    short = replace(experiment.config, until=tuple(range(1, len(experiment.config.until) + 1)), refresh=2)
    compiled(QuickGrid, short, replace(training, steps=len(short.until) + 2), train, held_out[:1])
    # looking at all views is dear and not counted: often only where the levels are
    every, first = (50, 200) if options.part == "levels" else (250, 0)
    found = curve(QuickGrid, experiment.config, training, train, held_out, every=every, first=first)
    points = {clock: [(getattr(p, clock), p.psnr) for p in found.points] for clock in ("cpu", "wall")}
    every_level = (*LEVELS, 35.0, 36.0)
    last = found.points[-1]
    return {
        "levels": reached(points["cpu"], every_level), "wall": reached(points["wall"], every_level),
        "curve": [vars(p) for p in found.points], "psnr": last.psnr, "ssim": last.ssim, "cpu": last.cpu,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
    }  # fmt: skip


# -- one setting, several sizes ----------------------------------------------------------------------------------------


def sizes(options: argparse.Namespace) -> list[Record]:
    """100, 200 and 400 px with all 100 views; at 200 and 400 px with two threads as well."""
    found = []
    for side, threads in ((100, 1), (200, 1), (200, 2), (400, 1), (400, 2)):
        views = VIEWS if side == 100 else 0
        run = in_a_process(options, side=side, views=views, threads=threads)
        name, clock = f"quick_grid_speed, {side} px", "levels" if threads == 1 else "wall"
        note = f"all test views, {views or 'all'} views to learn from, {threads} thread{'s' * (threads > 1)}"
        unit = "CPU s" if threads == 1 else f"wall s with {threads} threads"
        first_look = run["curve"][0]["cpu" if threads == 1 else "wall"]
        for level, seconds in run[clock].items():
            if seconds == first_look:
                continue  # reached some time before
            bound = {("200", "35.0"): 30.0, ("400", "33.0"): 60.0}.get((str(side), level)) if threads == 1 else None
            more = {} if bound is None else {"bound": bound, "source": "floor"}
            found.append(figure(name, f"{unit} to {float(level):g} dB", seconds, note=note, **more))
        if threads == 1:
            found += [
                figure(name, "PSNR at the end", run["psnr"], better="higher", note=f"{note}; {run['cpu']:.1f} CPU s"),
                figure(name, "SSIM at the end", run["ssim"], better="higher", note=note, memory=run["memory"]),
            ]
        print(f"{side} px, {threads} threads: {run['levels']}, end {run['psnr']:.2f}", file=sys.stderr, flush=True)
    return found


# -- what more time gives ----------------------------------------------------------------------------------------------

CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "9 harmonics": {"bands": 9},
    "16 harmonics": {"bands": 16},
    "2000 steps": {"steps": 2000},
    "9 harmonics, 2000 steps": {"bands": 9, "steps": 2000},
    "smooth": {"smoothness": (1e-6, 5e-6)},
    "distortion": {"distortion": 1e-4},
}


def changed(experiment: Any, change: str) -> Any:
    """With another number of steps or other settings."""
    given = dict(CHANGES[change])
    training = replace(experiment.training, steps=given.pop("steps", experiment.training.steps))
    return replace(experiment, training=training, config=replace(experiment.config, **given))


def more(options: argparse.Namespace) -> list[Record]:
    """PSNR and CPU seconds of the whole run, on all test views at 200 px, with one setting changed."""
    found, name = [], "quick_grid_speed, more"
    for change in CHANGES:
        run = in_a_process(options, side=200, views=0, change=change)
        note = f"200 px, all test views, {run['cpu']:.1f} CPU s, SSIM {run['ssim']:.4f}"
        found.append(figure(name, f"PSNR, {change}", run["psnr"], better="higher", seconds=run["cpu"], note=note))
        print(f"{change}: {run['psnr']:.2f} dB in {run['cpu']:.1f} CPU s", file=sys.stderr, flush=True)
    return found


# -- where the time goes -----------------------------------------------------------------------------------------------


def parts(options: argparse.Namespace) -> list[Record]:
    """The shares of the last stage's step, and what the dearest functions reach of the machine's peaks.

    Operations and bytes are those that the formulas need at least: of a sample that is composited 8 (6 bands + 4)
    operations and its 24 bands numbers, which are read and written on the way back, and of an update 12 operations and
    7 numbers an entry.
    """
    run = in_a_process(options, side=200, views=0)
    best, name = run["peaks"], "quick_grid_speed, parts"
    found = [
        figure(name, "rays a CPU second in the last stage", run["rays"] / run["step"], better="higher"),
        figure(name, "CPU ms a step of the last stage", 1e3 * run["step"], note=f"{run['rays']} rays"),
        figure(name, "samples composited a ray", run["samples"] / run["rays"], better="lower"),
    ]
    for part, seconds in sorted(run["seconds"].items(), key=lambda item: -item[1]):
        work = run["work"].get(part)
        note = "" if work is None else (
            f"{work['operations'] / seconds / best['fp32']:.1%} of the fp32 peak, "
            f"{work['bytes'] / seconds / best['bytes']:.0%} of the copying bandwidth"
        )  # fmt: skip
        found.append(figure(name, f"{part}, share of a step", seconds / run["step"], note=note))
    return found


def taken_apart(options: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of each part of a step in the last stage, the mean of many."""
    from collections import Counter

    from capture_timing import read
    from unsup3d_speed import peaks

    from unflat.data.rays import RayPool
    from unflat.kernels import accumulators_cpu, touched_adam_cpu, voxel_march_cpu
    from unflat.methods.radiance.quick_grid import QuickGrid, small
    from unflat.training.optimisers import Optimiser
    from unflat.training.run import build

    train, experiment = read(options.data, "train", options.side), small()
    method = build(QuickGrid, experiment.config, train.extent, 0)
    assert isinstance(method, QuickGrid)
    method.prepare(train)
    seconds: Counter[str] = Counter()
    made: Counter[str] = Counter()

    def timed(place: Any, function: str, part: str) -> None:
        inner = getattr(place, function)

        def outer(*given: Any) -> Any:
            before = time.process_time()
            result = inner(*given)
            seconds[part] += time.process_time() - before
            if part == "march forward":
                made["samples"] += int(result)
            if part == "update":
                made["entries"] += given[1].size
            return result

        setattr(place, function, outer)

    parameters = {p: n for n, p in method.named_parameters()}
    optimiser = Optimiser(method.parameter_groups(), parameters, experiment.training.rate)
    batches, counted, began = method.batches(train, 0, 0), 0, 0.0
    for step in range(max(experiment.config.until) + 40 + TAKEN_APART):
        if step == max(experiment.config.until) + 40:
            for place, function, part in (
                (voxel_march_cpu, "forward", "march forward"), (voxel_march_cpu, "backward", "march backward"),
                (voxel_march_cpu, "scatter", "gradients added up"),
                (accumulators_cpu, "gathered", "gradients gathered"),
                (touched_adam_cpu, "update", "update"), (touched_adam_cpu, "differ", "rows compared"),
                (RayPool, "batch", "batch"),
            ):  # fmt: skip
                timed(place, function, part)
            began = time.process_time()
        optimiser.zero_grad()
        losses = method.losses(next(batches), step)
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step(step, 1.0)
        counted += began > 0
        if method.update(step):
            parameters = {p: n for n, p in method.named_parameters()}
            optimiser, batches = (
                optimiser.regrouped(method.parameter_groups(), parameters),
                method.batches(train, step + 1, 0),
            )
    step_seconds = (time.process_time() - began) / counted
    bands, samples, entries = experiment.config.bands, made["samples"] / counted, made["entries"] / counted
    composited = 8 * (6 * bands + 4) * samples
    return {
        "step": step_seconds, "rays": experiment.config.batch_size, "samples": samples, "peaks": peaks(),
        "seconds": {part: value / counted for part, value in seconds.items()},
        "work": {
            "march forward": {"operations": composited, "bytes": 4 * 24 * bands * samples},
            "gradients added up": {"operations": composited, "bytes": 2 * 4 * 24 * bands * samples},
            "update": {"operations": 12 * entries, "bytes": 7 * 4 * entries},
        },
    }  # fmt: skip


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("part", choices=("levels", "sizes", "parts", "more"))
    made.add_argument("data", type=Path, help="the chair's folder")
    made.add_argument("--yardstick", type=Path, help="the prototype's script")
    made.add_argument("--pairs", type=int, default=5, help="runs of each that take turns")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    made.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("--side", type=int, default=SIDE, help=argparse.SUPPRESS)
    made.add_argument("--views", type=int, default=VIEWS, help=argparse.SUPPRESS)
    made.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    made.add_argument("--change", default="as it is", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
