"""A run that is killed at any moment and started again ends with the weights it would have had, bit for bit."""

import random
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from killed import run_until, train_here
from safetensors.torch import load_file
from tilt import Config

from unflat.methods.autoencoders import unsup3d
from unflat.training import checkpoint
from unflat.training.log import read_log
from unflat.training.settings import Training

TRAINING = Training(
    steps=120, rate=1e-2, ema=0.9, schedule="cosine", hold=0.5, save_every=7, validate_every=20, log_every=10,
    sample_every=0, threads=1,
)  # fmt: skip
CONFIG = Config(grow_at=50)
REAL_TRAINING = replace(TRAINING, steps=40, rate=1e-3, save_every=3, validate_every=10, log_every=5)


class Plan(NamedTuple):
    """What is trained and killed."""

    training: Training
    config: Any
    longest: float
    """seconds of the first life, at most"""


TILT = Plan(TRAINING, CONFIG, 0.4)
SMALL = unsup3d.Config(width=2, code=4, shared=True, batch_size=2, warmup=9, turn_weight=1.0)
UNSUP3D = {features: Plan(REAL_TRAINING, replace(SMALL, features=features), 2.0) for features in ("", "self")}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train_here(folder, TRAINING, CONFIG)
    return folder


def check_same(folder: Path, unbroken: Path) -> None:
    last = checkpoint.checkpoints(unbroken)[-1].name
    for name in ("weights.safetensors", "checkpoints/best.safetensors", f"checkpoints/{last}"):
        ours, theirs = load_file(folder / name), load_file(unbroken / name)
        assert ours.keys() == theirs.keys()
        assert all(ours[key].equal(theirs[key]) for key in ours), name
    header, expected = (checkpoint.read(f / "checkpoints" / last).header for f in (folder, unbroken))
    assert header["history"] == expected["history"]
    lines, whole = (
        [line | {"images_per_second": 0} for line in read_log(f / "log.jsonl") if line["kind"] == "training"]
        for f in (folder, unbroken)
    )
    assert lines == whole != []
    assert [line["step"] for line in read_log(folder / "log.jsonl") if line["kind"] == "prepared"] == [0]
    assert not list(folder.rglob(".*")), "a draft or a lock was left behind"


# A checkpoint syncs its draft, then its folder: at step 0 (0, 1), 7 (2, 3), 14 (4, 5); the best weights at 20 (6, 7).
@pytest.mark.parametrize(
    ("moment", "times"),
    [*(("sync", times) for times in (0, 1, 2, 3, 6, 7)), ("write", 0), ("write", 2), ("prepare of Tilt", 0)],
)
def test_killed_at_a_bad_moment(tmp_path: Path, unbroken: Path, moment: str, times: int) -> None:
    assert run_until(tmp_path, TRAINING, CONFIG, moment=moment, times=times)
    assert not run_until(tmp_path, TRAINING, CONFIG)
    check_same(tmp_path, unbroken)


def test_killed_while_the_weights_are_written(tmp_path: Path, unbroken: Path) -> None:
    assert not run_until(tmp_path, TRAINING, CONFIG)
    (tmp_path / "weights.safetensors").rename(tmp_path / ".part-ab12cd.safetensors")  # all steps are made
    assert not run_until(tmp_path, TRAINING, CONFIG)
    check_same(tmp_path, unbroken)


def kill_often(root: Path, unbroken: Path, kills: int, seed: int, plan: Plan = TILT) -> None:
    """Kill runs at random moments until that was done `kills` times, and look at the end of each."""
    draw, killed, runs = random.Random(seed), 0, 0
    while killed < kills:
        folder, lives = root / str(runs), 1
        while run_until(folder, *plan[:2], seconds=draw.uniform(0.02, plan.longest) * (1 + lives / 10)):
            killed, lives = killed + 1, lives + 1  # lives grow longer, so that a slow machine gets to the end, too
        check_same(folder, unbroken)
        runs += 1


def test_killed_at_some_moments(tmp_path: Path, unbroken: Path) -> None:
    kill_often(tmp_path, unbroken, 3, seed=0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_twenty_moments(tmp_path: Path, unbroken: Path, seed: int) -> None:
    kill_often(tmp_path, unbroken, 20, seed)


# -- the real method ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["", "self"], ids=["plain", "self-supervised features"])
def real(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Plan, Path]:
    plan = UNSUP3D[request.param]
    folder = tmp_path_factory.mktemp("real")
    assert not run_until(folder / "warm", replace(plan.training, steps=1), plan.config)  # kernels are compiled once
    began = time.monotonic()
    assert not run_until(folder / "run", plan.training, plan.config)
    return plan._replace(longest=(time.monotonic() - began) / 2), folder / "run"


def test_the_real_method_killed_twice(tmp_path: Path, real: tuple[Plan, Path]) -> None:
    """While it learns features or, without, writes its first checkpoint; and while it writes a later one."""
    plan, unbroken = real
    first = "prepare of Unsup3D" if plan.config.features else "sync"
    for moment, times in ((first, 1), ("write", 3)):
        assert run_until(tmp_path, plan.training, plan.config, moment=moment, times=times)
    assert not run_until(tmp_path, plan.training, plan.config)
    check_same(tmp_path, unbroken)


@pytest.mark.soak
@pytest.mark.timeout(3600)  # on a busy machine
def test_the_real_method_killed_at_twenty_moments(tmp_path: Path, real: tuple[Plan, Path]) -> None:
    plan, unbroken = real
    kill_often(tmp_path, unbroken, 20, seed=7, plan=plan)
