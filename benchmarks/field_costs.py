"""How time and memory of a radiance field's training step grow: with rays, samples, voxels and pictures. One plot.

    OMP_NUM_THREADS=1 python benchmarks/field_costs.py [--methods quick_grid tensorf] [--plot FILE] [--record]

A generated vase at 200 px. One of the four is changed at a time, in a process of its own; the others stay at 4096 rays,
a sample every 0.75 voxels, 128 voxels along a side and 60 pictures. Time is the median process CPU time of a step, one
thread, after so many others that what is empty is known. Memory is that of the pictures, and what the process has more
after a step, with its gradient still there, than before it knew the method. Samples are those that are composited.
"""

import argparse
import ctypes
import json
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unflat.records import Record, append


class Size(NamedTuple):
    """How large a step is."""

    rays: int = 4096
    step: float = 0.75
    """between samples, in voxels"""
    voxels: int = 128
    """along a side"""
    pictures: int = 60


CHANGED: dict[str, tuple[Any, ...]] = {
    "rays": (512, 2048, 4096, 16384),
    "step": (3.0, 1.5, 0.75, 0.25),
    "voxels": (32, 64, 128, 256),
    "pictures": (15, 60, 240),
}
TITLES = {"rays": "rays a step", "step": "samples a ray", "voxels": "voxels along a side", "pictures": "pictures"}
SIDE = 200
WARM, TIMED = 120, 20
"""steps before the clock starts (in which what is empty is found), and on it"""


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    if options.worker:
        print(json.dumps(measured(options.methods[0], Size(*json.loads(options.worker)))))
        return
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for method in options.methods:
        for what, values in CHANGED.items():
            for value in values:
                one = in_a_process(options, method, Size()._replace(**{what: value}))
                one["x"] = one["samples"] if what == "step" else float(value)
                found.setdefault(what, {}).setdefault(method, []).append(one)
                if options.record:  # each at once: what is stopped has not been in vain
                    append(records({what: {method: [one]}}))
                print(f"{method:11}{TITLES[what]:21}{one['x']:8.4g}  {1e3 * one['seconds']:7.1f} ms "
                      f"{one['memory'] / 1e6:7.0f} MB  {one['samples']:5.1f} samples a ray", flush=True)  # fmt: skip
    if options.plot:
        Image.fromarray(plotted(found)).save(options.plot)


def records(found: dict[str, dict[str, list[dict[str, float]]]]) -> list[Record]:
    command = "OMP_NUM_THREADS=1 python benchmarks/field_costs.py --plot FILE --record"
    return [
        Record(method, f"field_costs, vase, {SIDE} px", f"CPU ms of a step, {one['x']:.5g} {TITLES[what]}",
               1e3 * one["seconds"], "lower", memory=one["memory"], command=command)
        for what, methods in found.items()
        for method, points in methods.items()
        for one in points
    ]  # fmt: skip


def in_a_process(options: argparse.Namespace, method: str, size: Size) -> dict[str, float]:
    from processes import answer_of

    return answer_of(__file__, "--methods", method, "--worker", json.dumps(size))


def measured(method: str, size: Size, side: int = SIDE, warm: int = WARM) -> dict[str, float]:
    """Seconds and bytes of a step of a method, and how many samples a ray has in it."""
    from unflat.worlds.objects import Objects

    vase = Objects("vase", size.pictures, side).capture(progress=False)
    stepped(method, Size(rays=64, voxels=16, pictures=1), vase[:1], warm=2)  # all loops are loaded
    before = held()
    seconds, memory, samples = stepped(method, size, vase, warm)
    return {"seconds": seconds, "memory": float(memory - before + vase.pixels.nbytes), "samples": samples}


def stepped(method: str, size: Size, capture: Any, warm: int) -> tuple[float, int, float]:
    """Median seconds of a step, the most bytes held after one, and samples a ray."""
    from unflat import catalogue
    from unflat.kernels.threads import share_threads
    from unflat.training.optimisers import Optimiser
    from unflat.training.run import build

    share_threads(1)
    experiment = catalogue.experiment(method, "small")
    model = build(experiment.method, SIZED[method](experiment.config, size), capture.extent, 0)
    model.prepare(capture)
    batches, optimiser, seconds, most, samples = model.batches(capture, 0, 0), None, [], 0, 0.0
    for step in range(warm + TIMED):
        began = time.process_time()
        if optimiser is None:
            names = {parameter: name for name, parameter in model.named_parameters()}
            optimiser = Optimiser(model.parameter_groups(), names, experiment.training.rate)
        optimiser.zero_grad()
        losses = model.losses(next(batches), step)
        losses.total.backward()
        optimiser.step(step, 1.0)
        if model.update(step):
            optimiser, batches = None, model.batches(capture, step + 1, 0)
        if step >= warm:
            seconds.append(time.process_time() - began)
            most = max(most, held())
            samples += float(losses.figures["samples"]) / TIMED
    return statistics.median(seconds), most, samples


def quick_grid_sized(config: Any, size: Size) -> Any:
    """Its settings for a step of this size, and no growth."""
    fixed = replace(config, detail=1e-3, most=size.voxels, stages=(1.0,), until=(), smaller=(1,))
    return replace(fixed, batch_size=size.rays, step=size.step)


def tensorf_sized(config: Any, size: Size) -> Any:
    voxels = (size.voxels**3, size.voxels**3)
    return replace(config, voxels=voxels, growths=(), batch_size=size.rays, step=size.step)


SIZED = {"quick_grid": quick_grid_sized, "tensorf": tensorf_sized}


def held() -> int:
    """Bytes of memory that this process has now (Linux); what was freed is given back first."""
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# -- the plot ----------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 300, 230, 52, 34, 26
COLOURS = ((217, 115, 13), (35, 98, 188))


ROWS = (("seconds", 1e3, "ms of CPU time a step"), ("memory", 1e-6, "MB"))
"""figures, what they are multiplied by, and in which unit they are then"""


def plotted(found: dict[str, dict[str, list[dict[str, float]]]]) -> np.ndarray:
    """A row for each figure, a column for each of what is changed; both axes logarithmic. uint8 [h, w, 3]"""
    canvas = Image.new("RGB", (len(found) * WIDTH + 20, len(ROWS) * HEIGHT + 34), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for row, (key, factor, unit) in enumerate(ROWS):
        every = [factor * one[key] for methods in found.values() for points in methods.values() for one in points]
        for column, (what, methods) in enumerate(found.items()):
            panel(pen, font, column * WIDTH, row * HEIGHT, methods, (key, factor), (min(every), max(every)))
            pen.text((column * WIDTH + LEFT, row * HEIGHT + 6), unit, fill=(40, 40, 40), font=font)
            where = (column * WIDTH + (WIDTH + LEFT) / 2, (row + 1) * HEIGHT - 6)
            pen.text(where, TITLES[what], fill=(40, 40, 40), font=font, anchor="ms")
    for number, method in enumerate(next(iter(found.values()))):
        pen.text((LEFT + 140 * number, len(ROWS) * HEIGHT + 10), method, fill=COLOURS[number], font=font)
    return np.asarray(canvas)


def panel(
    pen: ImageDraw.ImageDraw, font: Any, x0: float, y0: float, methods: dict[str, list[dict[str, float]]],
    what: tuple[str, float], span: tuple[float, float],
) -> None:  # fmt: skip
    (key, factor), (low, high) = what, (span[0] / 1.3, span[1] * 1.3)
    across = [one["x"] for points in methods.values() for one in points]
    left, right, top, bottom = x0 + LEFT, x0 + WIDTH - 12, y0 + TOP, y0 + HEIGHT - BOTTOM - 6

    def at(x: float, y: float) -> tuple[float, float]:
        u, v = np.log(x / min(across)) / np.log(max(across) / min(across)), np.log(y / low) / np.log(high / low)
        return left + u * (right - left), bottom - v * (bottom - top)

    for tick in (n * 10.0**e for e in range(-1, 6) for n in (1, 3)):
        if low <= tick <= high:
            y = at(min(across), tick)[1]
            pen.line([(left, y), (right, y)], fill=(225, 225, 225))
            pen.text((left - 6, y), f"{tick:g}", fill=(110, 110, 110), font=font, anchor="rm")
    for which, points in enumerate(methods.values()):
        places = [at(one["x"], factor * one[key]) for one in points]
        pen.line(places, fill=COLOURS[which], width=2)
        for x, y in places:
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], outline=COLOURS[which])
        if which == 0:
            for one, (x, _) in zip(points, places, strict=True):
                number = f"{one['x']:.0f}" if one["x"] >= 10 else f"{one['x']:.2g}"
                pen.text((x, bottom + 4), number, fill=(110, 110, 110), font=font, anchor="mt")


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--methods", nargs="+", choices=("quick_grid", "tensorf"), default=["quick_grid", "tensorf"])
    made.add_argument("--plot", type=Path, help="a PNG")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    made.add_argument("--worker", default="", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
