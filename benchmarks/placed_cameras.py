"""Cameras that `unflat data capture` works out of bare pictures, against those that a capture came with.

    python benchmarks/placed_cameras.py CAPTURE [--photos 48] [--learn] [--record]

So many of the capture's pictures, spread over it, are given without their cameras. What comes out is aligned by a
similarity of the camera centres. Told are how many were placed, the pixels by which points miss, and the median
distance of centres (in per cent of their spread: the median distance from their middle) and of directions in degrees.

The cameras that came with a capture are somebody's estimate, too. With `--learn` the quick grid learns from either, the
same pictures of 248 px held out: the better cameras give the better pictures.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unflat.data.captures import read_capture
from unflat.data.kinds import Capture
from unflat.data.viewpoints import Viewpoints, spread_over
from unflat.records import Record, append

LEARNED, STEPS = 248, 400
"""pixels of the longer side, and steps of the quick grid"""
HELD = 8
"""every so many pictures one is held out"""


class Apart(NamedTuple):
    """How far cameras are from others of the same pictures."""

    centres: float
    """per cent of the cameras' spread"""
    degrees: float


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    given = read_capture(options.data, split=None, side=LEARNED, progress=False)
    given = given[spread_over(len(given), options.photos)]
    with tempfile.TemporaryDirectory() as folder:
        lines = placed(options, given, Path(folder))
    command = f"python benchmarks/placed_cameras.py CAPTURE --photos {options.photos}"
    command += f"{' --learn' if options.learn else ''} --record"
    records = [
        Record("captures", f"placed_cameras, {options.data.resolve().name}", metric, value, better, command=command)
        for metric, value, better in lines
    ]
    for line in records:
        print(f"{line.metric:60}{line.ours:10.4g}")
    if options.record:
        append(records)


def placed(options: argparse.Namespace, given: Capture, folder: Path) -> list[tuple[str, float, str]]:
    from unflat.data.structure_from_motion import place_cameras

    (folder / "photos").mkdir()
    for name in given.names:
        shutil.copy(options.data / name, folder / "photos" / Path(name).name)
    began = time.perf_counter()
    found = place_cameras(folder / "photos", folder / "placed", count=len(given))
    minutes = (time.perf_counter() - began) / 60
    ours = read_capture(folder / "placed", split=None, side=LEARNED, progress=False)
    order = {Path(name).name: i for i, name in enumerate(given.names)}
    theirs = given[[order[Path(name).name] for name in ours.names]]
    apart = distance(ours.viewpoints, theirs.viewpoints)
    lines = [
        ("pictures placed, share", found.placed / len(given), "higher"),
        ("pixels by which points miss", found.error, "lower"),
        ("centres apart, % of their spread", apart.centres, "lower"),
        ("degrees apart", apart.degrees, "lower"),
        ("minutes", minutes, "lower"),
    ]
    if options.learn:
        lines += [(f"PSNR held out, {whose} cameras", learned(capture), "higher")
                  for whose, capture in (("these", ours), ("the capture's", theirs))]  # fmt: skip
    return lines


def distance(ours: Viewpoints, theirs: Viewpoints) -> Apart:
    """Medians over the cameras, after the similarity that brings the centres together."""
    from unflat.geometry.similarities import aligned

    moved = aligned(ours.centres, theirs.centres).place(ours.scene_from_camera)
    away = np.linalg.norm(moved[:, :3, 3] - theirs.centres, axis=1)
    spread = np.median(np.linalg.norm(theirs.centres - theirs.centres.mean(0), axis=1))
    turned = moved[:, :3, :3] @ theirs.scene_from_camera[:, :3, :3].transpose(0, 2, 1)
    cosine = (np.trace(turned, axis1=1, axis2=2) - 1) / 2
    return Apart(100 * float(np.median(away) / spread), float(np.degrees(np.median(np.arccos(cosine.clip(-1, 1))))))


def learned(capture: Capture) -> float:
    """PSNR of the quick grid on held-out pictures."""
    from dataclasses import replace

    from unflat.methods.radiance.quick_grid import QuickGrid, small
    from unflat.training.timed import curve

    unseen = list(range(HELD // 2, len(capture), HELD))
    seen = capture[[i for i in range(len(capture)) if i not in unseen]]
    experiment, _ = QuickGrid.suited(small(), seen)
    training = replace(experiment.training, steps=STEPS)
    found = curve(QuickGrid, experiment.config, training, seen, capture[unseen], every=STEPS)
    return found.points[-1].psnr


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, metavar="CAPTURE")
    made.add_argument("--photos", type=int, default=48, help="pictures that are taken")
    made.add_argument("--learn", action="store_true", help="also learn the scene with either cameras")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    return made


if __name__ == "__main__":
    main()
