"""Methods that learn a capture, in two processes: they learn what one does that draws both batches as one."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from killed import start_two
from safetensors.torch import load_file
from torch import Tensor
from two_processes import GRADIENTS, TRAINING, average_together, learn, learn_together

from unflat import catalogue
from unflat.data.kinds import Capture
from unflat.data.rays import RayBatch
from unflat.method import Losses, Method
from unflat.training.settings import seed_of

NAMES = [entry.name for entry in catalogue.methods() if entry.takes == "Capture"]


def whole(ours: Any, theirs: Any) -> Any:
    """Two batches as one."""
    if isinstance(ours, Tensor):
        return torch.cat([ours, theirs])
    if not is_dataclass(ours):
        return ours
    kind: Any = type(ours)
    return kind(*(whole(getattr(ours, f.name), getattr(theirs, f.name)) for f in fields(ours)))


def half(batch: Any, part: slice) -> Any:
    if isinstance(batch, Tensor):
        return batch[part]
    if not is_dataclass(batch):
        return batch
    kind: Any = type(batch)
    return kind(*(half(getattr(batch, f.name), part) for f in fields(batch)))


def with_both_batches(cls: type[Method], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a method learn from the batches of both processes as one."""
    batches, losses = cls.batches, cls.losses

    def both(self: Method, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        for ours, theirs in zip(batches(self, data, step, seed), batches(self, data, step, seed_of(seed, 1)),
                                strict=False):  # fmt: skip
            yield whole(ours, theirs)

    def of_both(self: Method, batch: RayBatch, step: int) -> Losses:
        before = torch.get_rng_state()
        found = losses(self, batch, step)
        if torch.equal(before, torch.get_rng_state()):
            return found
        parts = []  # every process draws random numbers of its own, for its own rays; buffers are the first one's
        for rank, part in ((1, slice(len(batch) // 2, None)), (0, slice(len(batch) // 2))):
            torch.manual_seed(seed_of(TRAINING.seed, step, rank))
            parts.append(losses(self, half(batch, part), step).terms)
        return Losses({name: (parts[0][name] + parts[1][name]) / 2 for name in parts[0]})

    monkeypatch.setattr(cls, "batches", both)
    monkeypatch.setattr(cls, "losses", of_both)


ALWAYS = ("quick_grid", "tensorf", "instant_ngp")  # the others take half a minute: `make soak`


@pytest.mark.parametrize(
    "name", [name if name in ALWAYS else pytest.param(name, marks=pytest.mark.soak) for name in NAMES]
)
def test_two_processes_learn_as_one_with_both_batches(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_two(learn_together, tmp_path / "two", name)
    with_both_batches(catalogue.load(name), monkeypatch)
    learn(tmp_path / "one", name)
    ours, expected = (load_file(tmp_path / run / "weights.safetensors") for run in ("two", "one"))
    assert ours.keys() == expected.keys()
    for key, value in expected.items():
        if not value.is_floating_point():
            assert ours[key].equal(value), key
        else:  # Adam divides by a gradient's size: what rounding makes of one near zero may grow to a share of the rate
            assert ours[key].shape == value.shape, key
            assert float((ours[key] - value).norm()) <= 1e-3 * float(value.norm()), key


def test_gradients_are_averaged_however_each_process_keeps_them(tmp_path: Path) -> None:
    start_two(average_together, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for found in (first, second):
        assert float(found["loss"]) == 0.5
        for name, pair in GRADIENTS.items():
            known = [gradient.to_dense() for gradient in pair if gradient is not None]
            mean = found["gradients"][name]
            if not known:
                assert mean is None, "Adam would count a step"
                continue
            torch.testing.assert_close(mean.to_dense(), torch.stack(known).sum(0) / 2, msg=name)
            dense = any(gradient is not None and not gradient.is_sparse for gradient in pair)
            assert mean.is_sparse is not dense, name
    for shared in (first["shared"], second["shared"]):
        assert [buffer.tolist() for buffer in shared] == [[0.0, 0.0], [5.0, 5.0], [5.0, 5.0]]
