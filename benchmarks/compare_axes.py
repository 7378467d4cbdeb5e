"""How methods hold out where data are few or noisy: PSNR against the number of views, noise of pixels and of poses.

    OMP_NUM_THREADS=1 python benchmarks/compare_axes.py CAPTURE [--side 100] [--methods nerf tensorf quick_grid]
        [--axes views pixels poses] [--minutes 2] [--look-at 8] [--alpha] [--plot docs/images/compare-axes.svg]
        [--record] [--recorded]

It is said that an MLP can still win over grids and tensors where data are less or noisier. Each method learns with the
settings of its `small()`, fitted to the pictures as `unflat train` does, one thread, for so many minutes of process CPU
time, or until its schedule is over. Looked at are N views, spread over the test split, which stay as they are.

- views: only so many of the pictures, spread over all of them
- pixels: normal noise is added to each colour of each pixel, of this standard deviation (of a range of 1), and clipped
- poses: each camera is turned by so many degrees about a random axis, and moved by as many per cent of its distance to
  the middle of the scene, both normal, as standard deviations of each component

The pictures are laid on their background first, so that all methods learn from colours alone: with `--alpha` they keep
their opacity, which tells the quick grid, and not the others, what is empty. `--recorded` trains nothing, and draws
the newest records.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unflat.records import Record, append, latest, read

METHODS = ("nerf", "tensorf", "quick_grid")
AXES: dict[str, tuple[float, ...]] = {
    "views": (5.0, 10.0, 20.0, 50.0, 100.0),
    "pixels": (0.0, 0.05, 0.1, 0.2),
    "poses": (0.0, 0.25, 0.5, 1.0, 2.0),
}
TITLES = {
    "views": "views",
    "pixels": "standard deviation of pixel noise",
    "poses": "pose noise, degrees and % of the distance",
}
Points = list[dict[str, float]]


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    if options.worker:
        print(json.dumps(worked(options, options.methods[0], options.axes[0], float(options.worker))))
        return
    found: dict[str, dict[str, Points]] = recorded(options) if options.recorded else {}
    for axis in () if options.recorded else options.axes:
        for method in options.methods:
            for value in AXES[axis]:
                point = in_a_process(options, method, axis, value)
                found.setdefault(axis, {}).setdefault(method, []).append(point)
                line = record(options, method, axis, point)
                print(f"{method:12}{line.metric:60}{line.ours:8.2f}  {line.note}", flush=True)
                if options.record:  # each at once: what is stopped has not been in vain
                    append([line])
    if options.plot:
        from unflat.outputs.files import write_text

        write_text(options.plot, plotted(found))


def record(options: argparse.Namespace, method: str, axis: str, point: dict[str, float]) -> Record:
    told = " ".join(words_of(options))
    metric = f"PSNR after {options.minutes:g} CPU min, {point['x']:g} {TITLES[axis]}"
    note = f"{point['learned']:.0f} views, {point['looked']:.0f} held out; step {point['step']:.0f}"
    return Record(
        method, experiment_of(options), metric, point["psnr"], "higher",
        seconds=point["cpu"], note=note,
        command=f"OMP_NUM_THREADS=1 python benchmarks/compare_axes.py CAPTURE {told} --methods {method} --record",
    )  # fmt: skip


def experiment_of(options: argparse.Namespace) -> str:
    return f"compare_axes, {options.data.resolve().name}, {options.side} px"


def recorded(options: argparse.Namespace) -> dict[str, dict[str, Points]]:
    """The newest records of the axes and methods, as they were found."""
    found: dict[str, dict[str, Points]] = {}
    for axis in options.axes:
        told = re.compile(rf"PSNR after {options.minutes:g} CPU min, ([\d.]+) {re.escape(TITLES[axis])}")
        for method in options.methods:
            lines = [line for line in latest(read(method)) if line.experiment == experiment_of(options)]
            points = [
                {"x": float(match[1]), "psnr": line.ours} for line in lines if (match := told.fullmatch(line.metric))
            ]
            if points:
                found.setdefault(axis, {})[method] = sorted(points, key=lambda point: point["x"])
    return found


def words_of(options: argparse.Namespace) -> list[str]:
    """The options that a figure depends on, as they are given."""
    sizes = {"--side": options.side, "--minutes": options.minutes, "--look-at": options.look_at}
    words = [word for name, value in sizes.items() for word in (name, f"{value:g}")]
    words += [] if options.experiment == "small" else ["--experiment", options.experiment]
    return [*words, "--alpha"] if options.alpha else words


def in_a_process(options: argparse.Namespace, method: str, axis: str, value: float) -> dict[str, float]:
    from processes import answer_of

    words = [*words_of(options), "--axes", axis, "--methods", method, "--worker", str(value)]
    return answer_of(__file__, str(options.data), *words)


def worked(options: argparse.Namespace, method: str, axis: str, value: float) -> dict[str, float]:
    """What a method reaches with data that have been made less or noisier."""
    from capture_timing import read

    from unflat import catalogue
    from unflat.training.timed import NEVER, compiled_by_tiny, curve

    experiment = catalogue.experiment(method, options.experiment)
    whole = read(options.data, "train", options.side, alpha=options.alpha)
    train = CHANGES[axis](whole, value)
    held_out = read(options.data, "test", options.side, alpha=options.alpha).spread(options.look_at)
    experiment, _ = experiment.method.suited(experiment, train)
    training = replace(experiment.training, threads=1)
    compiled_by_tiny(experiment.method, train, held_out[:1], threads=1)
    found = curve(
        experiment.method, experiment.config, training, train, held_out, every=NEVER, until=60 * options.minutes
    )
    last = found.points[-1]
    return {
        "x": value, "psnr": last.psnr, "ssim": last.ssim, "cpu": last.cpu, "step": float(last.step),
        "learned": float(len(train)), "looked": float(len(held_out)),
    }  # fmt: skip


# -- what is done to the data ------------------------------------------------------------------------------------------


def fewer(capture: Any, count: float) -> Any:
    return capture.spread(round(count))


def noisy_pixels(capture: Any, deviation: float, seed: int = 0) -> Any:
    """Normal noise on each colour of each pixel; opacity stays as it is."""
    if not deviation:
        return capture
    pixels = capture.pixels.astype(np.float32)
    noise = np.random.default_rng(seed).normal(0, 255 * deviation, (len(pixels), 3))
    pixels[:, :3] = np.clip(pixels[:, :3] + noise, 0, 255)
    return replace(capture, pixels=(pixels + 0.5).astype(np.uint8))


def noisy_poses(capture: Any, degrees: float, seed: int = 0) -> Any:
    """Each camera turned about its own centre, and moved: both by normal vectors, whose components have this standard
    deviation, in degrees, and in per cent of the camera's distance to the scene's middle."""
    from scipy.spatial.transform import Rotation

    random, poses = np.random.default_rng(seed), capture.scene_from_camera.copy()
    turns = Rotation.from_rotvec(np.radians(random.normal(0, degrees, (len(poses), 3)))).as_matrix()
    distance = np.linalg.norm(poses[:, :3, 3], axis=1, keepdims=True)
    poses[:, :3, :3] = turns @ poses[:, :3, :3]
    poses[:, :3, 3] += random.normal(0, degrees / 100, (len(poses), 3)) * distance
    return replace(capture, scene_from_camera=poses)


CHANGES = {"views": fewer, "pixels": noisy_pixels, "poses": noisy_poses}


# -- the plot ----------------------------------------------------------------------------------------------------------

WIDTH, HEIGHT = 460, 320


def plotted(found: dict[str, dict[str, Points]]) -> str:
    """A panel for each axis, side by side; the number of views on a logarithmic axis. SVG"""
    from unflat.outputs.plots import Axis, Series, drawing, plot_svg

    panels = []
    for axis, methods in found.items():
        marks = (AXES["views"],) if axis == "views" else ()
        across, up = Axis(TITLES[axis], marks), Axis("PSNR, dB")
        series = [
            Series(method, [(point["x"], point["psnr"]) for point in points], number)
            for number, (method, points) in enumerate(methods.items())
        ]
        panels.append(plot_svg(series, across, up, width=WIDTH, height=HEIGHT))
    return drawing(panels, WIDTH, HEIGHT, columns=len(panels))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, metavar="CAPTURE")
    made.add_argument("--side", type=int, default=100, help="pixels of the longer side")
    made.add_argument("--methods", nargs="+", default=list(METHODS), help="names from unflat list")
    made.add_argument("--axes", nargs="+", choices=tuple(AXES), default=list(AXES))
    made.add_argument("--minutes", type=float, default=2.0, help="of process CPU time for each point")
    made.add_argument("--look-at", type=int, default=8, help="held-out views")
    made.add_argument("--experiment", default="small", help="whose settings are taken: see unflat show METHOD")
    made.add_argument("--alpha", action="store_true", help="the pictures keep their opacity")
    made.add_argument("--plot", type=Path, help="an SVG")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    made.add_argument("--recorded", action="store_true", help="draw the newest records")
    made.add_argument("--worker", default="", help=argparse.SUPPRESS)
    return made


if __name__ == "__main__":
    main()
