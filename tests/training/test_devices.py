"""Batches go where they are computed, and slow settings are warned about."""

import platform

import pytest
import torch
from tilt import Config, Tilt, pictures

from unflat.training.devices import device_of, keep_freed_memory, length, moved, uses_bf16
from unflat.training.parallel import Processes
from unflat.training.run import build
from unflat.training.settings import Training

CPU = torch.device("cpu")


def test_batches_are_moved_whatever_they_are_made_of() -> None:
    device = torch.device("meta")
    batch = next(build(Tilt, Config(), pictures().extent, 0).batches(pictures(), 0, 0))
    there = moved({"batch": batch, "pair": (torch.ones(1), [torch.ones(2)]), "name": "x"}, device)
    assert there["batch"].photo.device == there["batch"].depth.device == device
    assert there["pair"][0].device == there["pair"][1][0].device == device
    assert there["batch"].mask is None and there["name"] == "x"
    assert length(batch) == length({"batch": batch}) == length((batch.photo,)) == 3


def test_the_device_asked_for_is_taken() -> None:
    assert device_of(Training(device="cpu"), Processes()) == CPU
    assert device_of(Training(), Processes()).type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    ("precision", "device", "expected"),
    [("auto", "cpu", False), ("auto", "cuda", True), ("fp32", "cuda", False), ("bf16", "cpu", True)],
)
def test_bf16_is_for_gpus_unless_asked_for(precision: str, device: str, expected: bool) -> None:
    assert uses_bf16(Training(precision=precision), torch.device(device)) == expected  # type: ignore[arg-type]


def test_bf16_with_several_threads_is_warned_about(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    with pytest.warns(UserWarning, match="use precision fp32 or threads 1"):
        uses_bf16(Training(precision="bf16"), CPU)


def test_memory_that_was_freed_is_kept_where_the_c_library_can(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it can, a large tensor made again and again takes no pages from the system."""
    resource = pytest.importorskip("resource")
    if not keep_freed_memory():
        pytest.skip("not glibc")
    for _ in range(10):
        torch.zeros(2**21)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.zeros(2**21)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 5 * 2048  # 10 * 2048 without
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory()
