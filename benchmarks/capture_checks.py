"""What the checks of a capture's pictures say of it as it is, and of the same with mistakes made on purpose.

    python benchmarks/capture_checks.py CAPTURE [--side 400] [--record]

The mistakes are those that readers and users make: poses that belong to other pictures, axes of the other convention
(y and z negated), a mirrored world, a focal length that is half as long again. A check that tells a mistake gives a
share under its threshold (unflat/data/picture_checks.py).
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unflat.data.captures import read_capture
from unflat.data.kinds import Capture
from unflat.data.picture_checks import check_pictures
from unflat.records import Record, append


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, metavar="CAPTURE")
    parser.add_argument("--side", type=int, default=400, help="pixels of the longer side")
    parser.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    options = parser.parse_args(words)
    capture = read_capture(options.data, side=options.side, progress=False)
    name = f"capture_checks, {options.data.resolve().name}"
    command = f"python benchmarks/capture_checks.py CAPTURE --side {options.side} --record"
    lines = []
    for mistake, made in MISTAKES.items():
        for what, share in check_pictures(made(capture)).figures.items():
            print(f"{what}, {mistake}: {share:.2f}")
            better = "higher" if mistake == "as it is" else "lower"
            lines.append(Record("captures", name, f"{what}, {mistake}", share, better, command=command))
    if options.record:
        append(lines)


def posed(capture: Capture, poses: np.ndarray) -> Capture:
    return replace(capture, scene_from_camera=poses)


def shuffled(capture: Capture) -> Capture:
    return posed(capture, capture.scene_from_camera[np.random.default_rng(0).permutation(len(capture))])


def mirrored(capture: Capture) -> Capture:
    """x of the world negated, and of the cameras, which then are cameras again."""
    flip = np.diag([-1.0, 1.0, 1.0, 1.0])
    points = capture.points
    if points is not None:
        points = replace(points, places=points.places * flip.diagonal()[:3])
    return replace(posed(capture, flip @ capture.scene_from_camera @ flip), points=points)


def longer(capture: Capture) -> Capture:
    return replace(capture, pinholes=[replace(p, fx=1.5 * p.fx, fy=1.5 * p.fy) for p in capture.pinholes])


MISTAKES: dict[str, Callable[[Capture], Capture]] = {
    "as it is": lambda capture: capture,
    "shuffled": shuffled,
    "y and z negated": lambda capture: posed(capture, capture.scene_from_camera @ np.diag([1.0, -1.0, -1.0, 1.0])),
    "mirrored": mirrored,
    "focal length x 1.5": longer,
}

if __name__ == "__main__":
    main()
