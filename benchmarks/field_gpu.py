"""Radiance fields on a GPU: wall seconds to levels of PSNR, rays a second, what a step's time goes into, peak memory.

    python benchmarks/field_gpu.py CHAIR [--side 400] [--methods quick_grid tensorf dvgo nerf] [--minutes 4] [--record]

Each method trains with its published settings (the quick grid with its only ones) until the time is up. The clock
starts at the first batch; looking at held-out views is left out. Levels are of 8 test views, by interpolation. Stages
are measured behind it, on the field as it then is, with the device waited for after each. Without a GPU:
`--device cpu --experiment tiny --side 24 --steps 2` shows that it runs.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unflat.records import Record, append

METHODS = ("quick_grid", "instant_ngp", "plenoxels", "triplanes", "tensorf", "dvgo", "kilonerf", "vaxnerf", "nerf")
LEVELS = (30.0, 33.0, 35.0)
LOOKS = 40
"""over all steps"""


def main(words: Sequence[str] | None = None) -> None:
    made = parser()
    options = made.parse_args(words)
    if options.device == "cuda" and not torch.cuda.is_available():
        made.error("this torch sees no GPU; --device cpu --experiment tiny --side 24 --steps 2 shows that it runs")
    for method in options.methods:
        lines = measured(method, options)
        for line in lines:
            print(f"{method:12}{line.metric:34}{line.ours:12.4g}  {line.note}", flush=True)
        if options.record:
            append(lines)


def measured(method: str, options: argparse.Namespace) -> list[Record]:
    from capture_timing import read

    from unflat import catalogue
    from unflat.training.timed import curve

    published = next(name for name in catalogue.find(method).experiments)
    experiment = catalogue.experiment(method, options.experiment or published)
    train = read(options.data, "train", options.side)
    held_out = read(options.data, "test", options.side).spread(options.look_at)
    training = replace(experiment.training, device=options.device)
    every = max(1, training.steps // LOOKS)
    on_gpu = options.device == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    found = curve(experiment.method, experiment.config, training, train, held_out, every=every,
                  until=60 * options.minutes, clock="wall")  # fmt: skip
    memory = float(torch.cuda.max_memory_allocated()) if on_gpu else None
    shares, rays = stages(found.method, train, training, options.steps)
    name = f"field_gpu, {options.data.resolve().name}, {options.side} px, {options.experiment or published}"
    told = " ".join(f"--{n} {getattr(options, n)}" for n in ("side", "minutes", "device", "steps"))
    command = f"python benchmarks/field_gpu.py CAPTURE {told} --methods {method} --record"
    last, step = found.points[-1], sum(shares.values())
    note = f"step {last.step}, {last.wall:.0f} s"
    told_shares = ", ".join(f"{part} {value / step:.0%}" for part, value in shares.items())
    figures = [
        (f"s to {level:g} dB", found.seconds_to(level, "wall"), "lower", f"{len(held_out)} test views")
        for level in LEVELS
    ]
    figures += [("PSNR", last.psnr, "higher", note), ("SSIM", last.ssim, "higher", note),
                ("rays a second", rays / step, "higher", told_shares)]  # fmt: skip
    return [
        Record(method, name, metric, value, better, seconds=last.wall, memory=memory, command=command, note=said)
        for metric, value, better, said in figures
        if value is not None
    ]


def stages(method: Any, train: Any, training: Any, steps: int) -> tuple[dict[str, float], int]:
    """Seconds of each part of a step, the mean of so many, and its rays."""
    from unflat.training.devices import moved
    from unflat.training.optimisers import Optimiser

    device, seconds = method.device, Counter[str]()
    names = {parameter: name for name, parameter in method.named_parameters()}
    optimiser = Optimiser(method.parameter_groups(), names, training.rate)
    batches, rays = method.batches(train, training.steps, training.seed), 0

    def timed(part: str, began: float) -> float:
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        seconds[part] += (now - began) / steps
        return now

    for _ in range(steps):
        began = time.perf_counter()
        batch = next(batches)
        began = timed("drawing", began)
        batch = moved(batch, device)
        began = timed("moving", began)
        losses = method.losses(batch, training.steps)
        began = timed("forward", began)
        optimiser.zero_grad()
        losses.total.backward()
        began = timed("backward", began)
        optimiser.step(training.steps, 0.0)  # the field stays as it is
        timed("update", began)
        rays = len(batch)
    return dict(seconds), rays


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, metavar="CAPTURE")
    made.add_argument("--side", type=int, default=400, help="pixels of the longer side")
    made.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    made.add_argument("--experiment", default="", help="whose settings. Left out: each method's published ones")
    made.add_argument("--minutes", type=float, default=4, help="of wall time for each method")
    made.add_argument("--look-at", type=int, default=8, help="held-out views")
    made.add_argument("--steps", type=int, default=50, help="that are taken apart")
    made.add_argument("--device", default="cuda", help="cuda or cpu")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    return made


if __name__ == "__main__":
    main()
