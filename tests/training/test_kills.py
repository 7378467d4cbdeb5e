"""A run that is killed at any moment and started again ends with the weights it would have had, bit for bit."""

import random
from pathlib import Path

import pytest
from killed import run_until, train_here
from safetensors.torch import load_file
from tilt import Config

from unflat.training import checkpoint
from unflat.training.log import read_log
from unflat.training.settings import Training

TRAINING = Training(
    steps=120, rate=1e-2, ema=0.9, schedule="cosine", hold=0.5, save_every=7, validate_every=20, log_every=10,
    sample_every=0, threads=1,
)  # fmt: skip
CONFIG = Config(grow_at=50)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train_here(folder, TRAINING, CONFIG)
    return folder


def check_same(folder: Path, unbroken: Path) -> None:
    for name in ("weights.safetensors", "checkpoints/best.safetensors", "checkpoints/step_00000120.safetensors"):
        ours, theirs = load_file(folder / name), load_file(unbroken / name)
        assert ours.keys() == theirs.keys()
        assert all(ours[key].equal(theirs[key]) for key in ours), name
    header, expected = (
        checkpoint.read(f / "checkpoints" / "step_00000120.safetensors").header for f in (folder, unbroken)
    )
    assert header["history"] == expected["history"]
    assert [line["step"] for line in read_log(folder / "log.jsonl") if line["kind"] == "training"] == [
        *range(10, 121, 10)
    ]
    assert not list((folder / "checkpoints").glob(".part-*")), "a draft was left behind"


# A checkpoint syncs its draft, then its folder: at step 0 (0, 1), 7 (2, 3), 14 (4, 5); the best weights at 20 (6, 7).
@pytest.mark.parametrize("sync", [0, 1, 2, 3, 6, 7])
def test_killed_while_writing(tmp_path: Path, unbroken: Path, sync: int) -> None:
    assert run_until(tmp_path, TRAINING, CONFIG, sync=sync)
    assert not run_until(tmp_path, TRAINING, CONFIG)
    check_same(tmp_path, unbroken)


def kill_often(root: Path, unbroken: Path, kills: int, seed: int) -> None:
    """Kill runs at random moments until that was done `kills` times, and look at the end of each."""
    draw, killed, runs = random.Random(seed), 0, 0
    while killed < kills:
        folder, lives = root / str(runs), 1
        while run_until(folder, TRAINING, CONFIG, seconds=draw.uniform(0.02, 0.4) * (1 + lives / 10)):
            killed, lives = killed + 1, lives + 1  # lives grow longer, so that a slow machine gets to the end, too
        check_same(folder, unbroken)
        runs += 1


def test_killed_at_some_moments(tmp_path: Path, unbroken: Path) -> None:
    kill_often(tmp_path, unbroken, 3, seed=0)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
def test_killed_at_twenty_moments(tmp_path: Path, unbroken: Path, seed: int) -> None:
    kill_often(tmp_path, unbroken, 20, seed)
