"""How much sooner NeRF learns within a visual hull: NeRF's and VaxNeRF's `small()` to the same levels, taking turns.

    OMP_NUM_THREADS=1 python benchmarks/vaxnerf_speed.py CAPTURE [--side 100] [--views 60] [--look-at 6] [--every 250]
        [--steps 6000] [--seconds 600] [--levels 25 27.5 30] [--rounds 1] [--record]

Both have the same layers, rate and rays a step; VaxNeRF has one network of them, NeRF two. Seconds are process CPU time
of one thread from the first batch on, the hull included; importing, decoding and looking at held-out views are not
counted. VaxNeRF learns from rays that meet the hull; with rays of all pixels, as NeRF has them, it is a third
candidate. Each round is one training of each, one after the other, from a seed of its own, until `--steps` or
`--seconds`; figures are the medians over the rounds. The paper says that NeRF's quality comes 2 to 8 times sooner, and
that the last one is slightly higher.
"""

import argparse
import json
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from unflat.records import Record, append

METHODS = {"nerf": ("nerf", {}), "vaxnerf": ("vaxnerf", {}), "vaxnerf, all pixels": ("vaxnerf", {"draw": "all"})}
"""what is trained, and changes of its settings; NeRF draws its rays from all pixels"""


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    if options.worker:
        print(json.dumps(worked(options)))
        return
    rounds = [{name: in_a_process(options, name, seed) for name in options.only} for seed in range(options.rounds)]
    lines = records(options, rounds)
    for line in lines:
        print(f"{line.metric:44}{line.ours:10.4g}  {line.note}", flush=True)
    if options.record:
        words_told = shlex.join(told(options))
        command = f"OMP_NUM_THREADS=1 python benchmarks/vaxnerf_speed.py CAPTURE {words_told} --record"
        append([replace(line, command=command) for line in lines])


def records(options: argparse.Namespace, rounds: Sequence[dict[str, Any]]) -> list[Record]:
    """Seconds of each to the levels that it reaches in every round, how many times sooner than NeRF that is, and what
    each has in the end."""
    name = f"vaxnerf_speed, {options.data.name}, {options.side} px"
    note = f"{options.views or 'all'} views, {options.look_at} held out, one thread, {len(rounds)} round(s)"
    lines = []
    for level in map(str, options.levels):
        reached = {method: [turn[method]["levels"].get(level) for turn in rounds] for method in options.only}
        reached = {method: seconds for method, seconds in reached.items() if None not in seconds}
        for method, seconds in reached.items():
            title = f"{method}, CPU s to {level} dB"
            lines.append(Record("vaxnerf", name, title, statistics.median(seconds), "lower", note=note))
            if method != "nerf" and "nerf" in reached:
                sooner = statistics.median(a / b for a, b in zip(reached["nerf"], seconds, strict=True))
                lines.append(Record("vaxnerf", name, f"{method}, sooner at {level} dB", sooner, "higher", note=note))
    for method in options.only:
        last = [turn[method]["last"] for turn in rounds]
        psnr, seconds = (statistics.median(point[key] for point in last) for key in ("psnr", "cpu"))
        ended = f"{note}; step {last[0]['step']}, {seconds:.0f} CPU s"
        lines.append(Record("vaxnerf", name, f"{method}, PSNR in the end", psnr, "higher", seconds, note=ended))
    return lines


def in_a_process(options: argparse.Namespace, method: str, seed: int) -> dict[str, Any]:
    from processes import answer_of

    return answer_of(__file__, str(options.data), *told(options), "--worker", method, str(seed))


def told(options: argparse.Namespace) -> list[str]:
    """The options that a figure depends on, as they are given."""
    names = ("side", "views", "look_at", "every", "steps", "seconds", "rounds")
    words = [word for name in names for word in (f"--{name.replace('_', '-')}", f"{getattr(options, name):g}")]
    return [*words, "--levels", *(f"{level:g}" for level in options.levels), "--only", *options.only]


def worked(options: argparse.Namespace) -> dict[str, Any]:
    """When one training reached the levels, and where it ended."""
    from capture_timing import read

    from unflat import catalogue
    from unflat.training.timed import compiled_by_tiny, curve

    called, seed = options.worker
    name, changes = METHODS[called]
    experiment = catalogue.experiment(name, "small")
    train = read(options.data, "train", options.side, limit=options.views or None)
    held_out = read(options.data, "test", options.side).spread(options.look_at)
    compiled_by_tiny(experiment.method, train, held_out[:1], threads=1)
    training = replace(experiment.training, threads=1, seed=int(seed), steps=options.steps)
    found = curve(
        experiment.method,
        replace(experiment.config, **changes),
        training,
        train,
        held_out,
        every=options.every,
        until=options.seconds,
    )
    levels = {str(level): found.seconds_to(level) for level in options.levels}
    return {"levels": levels, "last": vars(found.points[-1])}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, metavar="CAPTURE")
    made.add_argument("--side", type=int, default=100, help="pixels of the longer side")
    made.add_argument("--views", type=int, default=60, help="learn from so many of the first views; 0: from all")
    made.add_argument("--look-at", type=int, default=6, help="held-out views")
    made.add_argument("--every", type=int, default=250, help="steps between looks")
    made.add_argument("--steps", type=int, default=6000)
    made.add_argument("--seconds", type=float, default=600.0, help="of process CPU time, at most")
    made.add_argument("--levels", nargs="+", type=float, default=[25.0, 27.5, 30.0], help="PSNR on held-out views")
    made.add_argument("--rounds", type=int, default=1)
    made.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), help="of these candidates")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    made.add_argument("--worker", nargs=2, metavar=("METHOD", "SEED"), help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
