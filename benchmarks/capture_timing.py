"""PSNR of a radiance method against process CPU seconds: the trainer's own loop, with the clock stopped while it looks.

The clock starts at the first batch. Preparation (hulls, and how fine voxels are) is counted; importing, decoding,
compiling (cached) and looking at held-out views are not.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from unflat.data.captures import read_capture
from unflat.data.kinds import Capture
from unflat.evaluation.captures import scores_of
from unflat.method import Method, predict_in_pieces
from unflat.training.run import build
from unflat.training.settings import Training
from unflat.training.trainer import Trainer

UNTIL_FOREVER = float("inf")


@dataclass(frozen=True)
class Point:
    """One look at the held-out views."""

    step: int
    cpu: float
    """process seconds, of all threads"""
    wall: float
    psnr: float
    ssim: float


class Enough(Exception):
    """The time is up."""


class Timed(Trainer):
    """A trainer that writes nothing and looks at held-out views, while its clock stands still."""

    def __init__(
        self, *given: Any, look: Callable[[int, float, float], None], every: Sequence[int], until: float,
        clock: str = "cpu",
    ) -> None:  # fmt: skip
        super().__init__(*given, quiet=True)
        self.look, self.every, self.until, self.clock = look, every, until, clock
        self.idle = [0.0, 0.0]
        self.began = [0.0, 0.0]

    def _begin(self) -> None:
        self.began = [time.process_time(), time.perf_counter()]
        super()._begin()

    def _report(self, log: Any) -> None:
        before = [time.process_time(), time.perf_counter()]
        cpu, wall = (now - began - idle for now, began, idle in zip(before, self.began, self.idle, strict=True))
        over = (cpu if self.clock == "cpu" else wall) > self.until
        if self.step in self.every or self.step == self.training.steps or over:
            self.look(self.step, cpu, wall)
        log.counted().clear()
        for i, now in enumerate((time.process_time(), time.perf_counter())):
            self.idle[i] += now - before[i]
        if over:
            raise Enough

    def _save(self) -> None:
        pass

    def _finish(self) -> dict[str, float]:
        return {}


@dataclass
class Curve:
    """What a run reached when."""

    points: list[Point] = field(default_factory=list)
    method: Method | None = None

    def seconds_to(self, psnr: float, clock: str = "cpu") -> float | None:
        """When the level was first reached, linear between two looks; None if it was not."""
        last = Point(0, 0.0, 0.0, 0.0, 0.0)
        for point in self.points:
            if point.psnr >= psnr:
                share = (psnr - last.psnr) / (point.psnr - last.psnr) if last.step else 1.0
                before, after = getattr(last, clock), getattr(point, clock)
                return float(before + share * (after - before)) if last.step else float(after)
            last = point
        return None

    def at(self, cpu: float) -> Point | None:
        """The last look at or before so many seconds."""
        return next((p for p in reversed(self.points) if p.cpu <= cpu), None)


def curve(
    cls: type[Method], config: Any, training: Training, train: Capture, held_out: Capture, *, every: int = 50,
    first: int = 0, until: float = UNTIL_FOREVER, clock: str = "cpu",
    tell: Callable[[Point, Method], None] | None = None,
) -> Curve:  # fmt: skip
    """Train, and look at all pictures of `held_out` every so many steps (every 10 up to step `first`),
    for at most `until` seconds of a clock, cpu or wall."""
    found = Curve(method=build(cls, config, train.extent, training.seed))
    method = found.method
    assert method is not None

    def look(step: int, cpu: float, wall: float) -> None:
        scores = [scores_of(predict_in_pieces(method, held_out.cameras(i)), held_out, i) for i in range(len(held_out))]
        mean = {name: sum(s[name] for s in scores) / len(scores) for name in ("PSNR", "SSIM")}
        found.points.append(Point(step, cpu, wall, mean["PSNR"], mean["SSIM"]))
        if tell is not None:
            tell(found.points[-1], method)

    steps = {*range(every, training.steps + 1, every), *range(10, min(first, training.steps) + 1, 10)}
    plain = replace(
        training, log_every=10**9, save_every=10**9, save_seconds=1e12, validate_every=0, sample_every=0,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        trainer = Timed(method, train, plain, Path(folder), look=look, every=sorted(steps), until=until, clock=clock)
        with suppress(Enough):
            trainer.fit()
    return found


def compiled(cls: type[Method], config: Any, training: Training, train: Capture, held_out: Capture) -> None:
    """Make sure that everything is compiled: a few steps through all stages."""
    curve(cls, config, training, train, held_out, every=10**9)
    torch.manual_seed(0)


def read(
    folder: Path, split: Any, side: int, *, alpha: bool = True, limit: int | None = None, every: int = 1
) -> Capture:
    """Some pictures of a split of a capture at a size; without `alpha` laid on their background."""
    capture = read_capture(folder, split=split, side=side, progress=False)
    capture = capture[list(range(len(capture)))[:limit][::every]]
    return capture if alpha or not capture.has_alpha else opaque(capture)


def opaque(capture: Capture) -> Capture:
    """The capture without its opacity, as if its background were part of the pictures."""
    import numpy as np

    laid = [capture.rgb(i).reshape(-1, 3) for i in range(len(capture))]
    return replace(capture, pixels=(np.concatenate(laid) * 255 + 0.5).astype(np.uint8))
