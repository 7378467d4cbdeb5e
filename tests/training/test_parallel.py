"""Two processes that average their gradients learn what one would from both their batches."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from killed import start_two, train_as, train_here
from safetensors.torch import load_file
from tilt import Config, Tilt

from unflat.data.batches import PhotoBatch, shuffled
from unflat.data.kinds import Photos
from unflat.training.parallel import Processes
from unflat.training.settings import Training, seed_of

TRAINING = Training(steps=12, rate=1e-2, save_every=6, validate_every=6, sample_every=0, threads=1)
CONFIG = Config(noise=False, grow_at=7)


def both(method: Tilt, data: Photos, step: int, seed: int) -> Iterator[PhotoBatch]:
    """The batches of rank 0 and rank 1 as one."""
    pairs = (shuffled(data, method.config.batch_size, seed=s, start=step) for s in (seed, seed_of(seed, 1)))
    for ours, theirs in zip(*pairs, strict=False):
        assert ours.depth is not None and theirs.depth is not None
        yield PhotoBatch(
            torch.cat([ours.photo, theirs.photo]), torch.cat([ours.index, theirs.index]),
            torch.cat([ours.flipped, theirs.flipped]), torch.cat([ours.depth, theirs.depth]),
        )  # fmt: skip


def test_two_processes_learn_as_one_with_both_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start_two(train_as, tmp_path / "two", TRAINING, CONFIG)
    monkeypatch.setattr(Tilt, "batches", both)
    train_here(tmp_path / "one", TRAINING, CONFIG)
    ours, expected = (load_file(tmp_path / name / "weights.safetensors") for name in ("two", "one"))
    for name, value in expected.items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-5, msg=name)


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    alone = Processes.join()
    loss = torch.tensor(2.0)
    assert alone.first and alone.count == 1
    assert alone.average([], loss) is loss
