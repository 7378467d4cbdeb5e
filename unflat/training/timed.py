"""Training by the clock: what pictures that are not learned from look like after how many seconds.

The clock starts with the preparation. Importing, decoding and compiling are over by then (see `compiled`); while it is
looked at held-out pictures, and while a line or a checkpoint is written, it stands still.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch

from unflat import catalogue
from unflat.data.kinds import Capture
from unflat.method import Method
from unflat.training import checkpoint
from unflat.training.log import Log
from unflat.training.run import build
from unflat.training.settings import Training
from unflat.training.trainer import Trainer

UNTIL_FOREVER = float("inf")
NEVER = 10**9
"""steps"""

Clocks = Literal["cpu", "wall"]


@dataclass(frozen=True)
class Point:
    """One look at the held-out pictures."""

    step: int
    cpu: float
    """process seconds, of all threads"""
    wall: float
    psnr: float
    ssim: float


@dataclass
class Curve:
    """What a run reached when."""

    points: list[Point] = field(default_factory=list)
    method: Method | None = None

    def seconds_to(self, psnr: float, clock: Clocks = "cpu") -> float | None:
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


class Spent(NamedTuple):
    """Seconds."""

    cpu: float = 0.0
    """of the process, all threads"""
    wall: float = 0.0


class Clock:
    """Counts from when it is made, but not while it is stopped."""

    def __init__(self, spent: Spent | None = None) -> None:
        self._spent = spent or Spent()
        self._since: Spent | None = _now()

    def read(self) -> Spent:
        if self._since is None:
            return self._spent
        now = _now()
        return Spent(self._spent.cpu + now.cpu - self._since.cpu, self._spent.wall + now.wall - self._since.wall)

    def stop(self) -> None:
        """For good, unless a block of `stopped` ends in which this is said."""
        self._spent, self._since = self.read(), None

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens inside takes no time; one may stand within another."""
        ran = self._since is not None
        self.stop()
        try:
            yield
        finally:
            self._since = _now() if ran else None


def _now() -> Spent:
    return Spent(time.process_time(), time.perf_counter())


class Timed(Trainer):
    """A trainer with a clock, which ends when its time is up, and looks at `validation` when it is due.

    `due` is asked after each step, with its number and the seconds on the clock; the last step is always looked at, and
    every step told. What was spent is in the checkpoints: a run that goes on has the time that is left. Held-out
    pictures choose nothing: no best weights are kept. Unless `kept`, neither are any others.
    """

    def __init__(
        self, *given: Any, due: Callable[[int, float], bool], until: float = UNTIL_FOREVER, clock: Clocks = "wall",
        tell: Callable[["Timed", Log], None] | None = None, kept: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(*given, quiet=True)
        self.due, self.until, self.which, self.tell, self.kept = due, until, clock, tell, kept
        self.clock = Clock()
        self.ended = False

    @property
    def over(self) -> bool:
        return super().over or self.ended

    @property
    def seconds(self) -> float:
        """On the clock that counts."""
        return float(getattr(self.clock.read(), self.which))

    @property
    def points(self) -> list[Point]:
        """The looks so far."""
        return [
            Point(seen["step"], *seen["spent"], *(_number(seen["figures"], name) for name in ("PSNR", "SSIM")))
            for seen in self.history
            if "spent" in seen
        ]

    def _begin(self) -> None:
        self.clock = Clock()
        super()._begin()
        self.ended = self.seconds >= self.until and self.step > 0

    def _go_on(self, stored: checkpoint.Stored) -> None:
        super()._go_on(stored)
        self.clock = Clock(Spent(**stored.header.get("clock", {})))

    def _report(self, log: Log) -> None:
        with self.clock.stopped():
            self.ended = self.seconds >= self.until
            looked = self.due(self.step, self.seconds) or self.over
            if looked:
                self._validate(log)
                self.history[-1]["spent"] = list(self.clock.read())
            super()._report(log)  # after the look: a checkpoint of this step holds it
            if self.tell is not None:
                self.tell(self, log)

    def _keep_best(self) -> None:
        pass

    def _save(self) -> None:
        if self.kept:
            with self.clock.stopped():
                super()._save()

    def _finish(self) -> dict[str, float]:
        self.clock.stop()
        return super()._finish() if self.kept else {}

    def _header(self) -> dict[str, Any]:
        return {**super()._header(), "clock": self.clock.read()._asdict()}


def _number(figures: dict[str, float | None], name: str) -> float:
    value = figures.get(name)
    return float("nan") if value is None else value


def at_times(times: Sequence[float]) -> Callable[[int, float], bool]:
    """Looks as soon as each of the times has passed: `due` of `Timed`."""
    left = sorted(times)

    def due(_: int, seconds: float) -> bool:
        passed = sum(time <= seconds for time in left)
        del left[:passed]
        return passed > 0

    return due


def without_reports(training: Training) -> Training:
    """The training with nothing that is written or looked at on its way."""
    return replace(training, log_every=NEVER, save_every=NEVER, save_seconds=1e12, validate_every=0, sample_every=0)


def curve(
    cls: type[Method], config: Any, training: Training, train: Capture, held_out: Capture, *, every: int = 50,
    first: int = 0, until: float = UNTIL_FOREVER, clock: Clocks = "cpu",
    tell: Callable[[Point, Method], None] | None = None,
) -> Curve:  # fmt: skip
    """Train, keeping nothing, and look at all pictures of `held_out` every so many steps (every 10 up to step `first`),
    for at most `until` seconds of a clock."""
    method = build(cls, config, train.extent, training.seed)
    steps = {*range(every, training.steps + 1, every), *range(10, min(first, training.steps) + 1, 10)}

    def told(trainer: Timed, _: Log) -> None:
        if tell is not None and trainer.history and trainer.history[-1]["step"] == trainer.step:
            tell(trainer.points[-1], method)

    with tempfile.TemporaryDirectory() as folder:
        given = (method, train, without_reports(training), Path(folder), held_out)
        trainer = Timed(*given, due=lambda step, _: step in steps, until=until, clock=clock, tell=told, kept=False)
        trainer.fit()
    return Curve(trainer.points, method)


def compiled(cls: type[Method], config: Any, training: Training, train: Capture, held_out: Capture) -> None:
    """Make sure that everything is compiled: a few steps through all stages."""
    curve(cls, config, training, train, held_out, every=NEVER)
    torch.manual_seed(0)


def compiled_by_tiny(cls: type[Method], train: Capture, held_out: Capture, threads: int = 0) -> None:
    """The same by the method's experiment `tiny`, which goes through all stages in a few steps."""
    tiny = catalogue.experiment(catalogue.name_of(cls), "tiny")
    compiled(cls, tiny.config, replace(tiny.training, threads=threads), train, held_out)
