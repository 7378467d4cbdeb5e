"""Training by the clock: the clock counts what it should, and a run that is stopped has the time that is left."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from unflat.data.kinds import Capture
from unflat.methods.radiance.quick_grid import QuickGrid, tiny
from unflat.training import checkpoint
from unflat.training.run import build
from unflat.training.timed import Clock, Curve, Point, Spent, Timed, at_times, curve
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def capture() -> Capture:
    return Objects("box", 6, 24).capture(progress=False)


class Minutes:
    """A clock of which each look at it takes a second, in place of the machine's."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> Spent:
        self.now += 1
        return Spent(self.now / 2, self.now)


@pytest.fixture
def minutes(monkeypatch: pytest.MonkeyPatch) -> Minutes:
    made = Minutes()
    monkeypatch.setattr("unflat.training.timed._now", made)
    return made


def test_a_stopped_clock_stands(minutes: Minutes) -> None:
    clock = Clock(Spent(1.0, 10.0))  # at second 1
    with clock.stopped():  # stopped at second 2
        with clock.stopped():
            minutes.now = 100
        assert clock.read() == Spent(1.5, 11.0), "the inner block has not started it"
        minutes.now = 200
    minutes.now = 210  # runs on from 201
    assert clock.read() == Spent(1.5 + 5.0, 11.0 + 10.0)
    clock.stop()
    before = clock.read()
    minutes.now = 999
    assert clock.read() == before


def test_process_seconds_are_those_of_the_process() -> None:
    clock = Clock()
    time.sleep(0.05)
    spent = clock.read()
    assert spent.wall >= 0.05 > spent.cpu


def test_looks_are_due_once_for_all_times_that_have_passed() -> None:
    due = at_times([3.0, 1.0, 2.0, 10.0])
    assert [due(0, seconds) for seconds in (0.5, 1.0, 1.5, 3.5, 4.0, 10.0, 11.0)] == [
        False, True, False, True, False, True, False,
    ]  # fmt: skip


def test_levels_lie_on_straight_lines_between_looks() -> None:
    found = Curve([Point(1, 1.0, 2.0, 20.0, 0.5), Point(2, 3.0, 6.0, 30.0, 0.6)])
    assert found.seconds_to(25.0) == 2.0 and found.seconds_to(25.0, "wall") == 4.0
    assert found.seconds_to(15.0) == 1.0, "before the first look nothing is known"
    assert found.seconds_to(31.0) is None
    assert found.at(2.9) == found.points[0] and found.at(0.5) is None


def run(capture: Capture, folder: Path, until: float, steps: int = 10**6, **more: Any) -> Timed:
    chosen = tiny()
    training = replace_steps(chosen.training, steps)
    method = build(QuickGrid, chosen.config, capture.extent, 0)
    given = (method, capture, training, folder, capture[:2])
    trainer = Timed(*given, **{"due": lambda step, _: step % 4 == 0, "until": until, **more})
    trainer.fit()
    return trainer


def replace_steps(training: Any, steps: int) -> Any:
    from dataclasses import replace

    return replace(training, steps=steps, validate_every=0, sample_every=0, save_every=5, keep=1, seed=0)


def test_a_run_ends_with_its_time_and_is_a_run_like_any_other(
    capture: Capture, tmp_path: Path, minutes: Minutes
) -> None:
    trainer = run(capture, tmp_path, 30.0)
    assert 0 < trainer.step < 30 and trainer.seconds >= 30
    assert trainer.points[-1].step == trainer.step and trainer.points[-1].wall >= 30, "the last step is looked at"
    assert [p.step for p in trainer.points[:-1]] == list(range(4, trainer.step, 4))
    assert all(p.psnr > 5 and 0 < p.ssim < 1 for p in trainer.points)
    method = checkpoint.load_method(tmp_path)
    ours, theirs = trainer.method.state_dict(), method.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not (tmp_path / "checkpoints" / "best.safetensors").exists(), "held-out pictures choose nothing"


def test_a_run_goes_on_with_the_time_that_is_left(capture: Capture, tmp_path: Path, minutes: Minutes) -> None:
    whole = run(capture, tmp_path / "whole", 40.0)

    def stop(trainer: Timed, _: Any) -> None:
        if trainer.step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(capture, tmp_path / "cut", 40.0, tell=stop)
    stored = checkpoint.last(tmp_path / "cut")
    assert stored is not None and stored.header["step"] == 5
    spent = stored.header["clock"]["wall"]
    minutes.now += 1000  # time in which nothing runs
    cut = run(capture, tmp_path / "cut", 40.0)
    assert abs(cut.step - whole.step) <= 2 and cut.seconds < 45 and 0 < spent < cut.seconds
    assert [p.step for p in cut.points[:1]] == [4], "what was looked at before the stop is known"
    more = run(capture, tmp_path / "cut", 60.0)
    assert more.step > cut.step, "more time goes on from there"
    again = run(capture, tmp_path / "cut", 60.0)
    assert again.step == more.step and again.points == more.points, "no time is left"


def test_a_schedule_that_is_over_ends_the_run(capture: Capture, tmp_path: Path) -> None:
    trainer = run(capture, tmp_path, 1e9, steps=3)
    assert trainer.step == 3 and [p.step for p in trainer.points] == [3]


def test_a_curve_keeps_nothing(capture: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def saved(*_: Any) -> None:
        raise AssertionError("nothing is to be written")

    monkeypatch.setattr(checkpoint, "save", saved)
    chosen, told = tiny(), []
    training = replace_steps(chosen.training, 7)
    found = curve(QuickGrid, chosen.config, training, capture, capture[:2], every=3, tell=lambda p, m: told.append(p))
    assert [p.step for p in found.points] == [3, 6, 7] and told == found.points
    cut = curve(QuickGrid, chosen.config, training, capture, capture[:2], every=100, until=0.0)
    assert [p.step for p in cut.points] == [1], "time is up after the first step"
