"""The Triton kernel of touched Adam against the twin: on a GPU, or in Triton's interpreter with TRITON_INTERPRET=1."""

import os

import pytest
import torch
from torch import Tensor

from unflat.kernels import touched_adam
from unflat.kernels.touched_adam import update_rows_torch, update_touched_triton

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"


def tables(rows: int, columns: int) -> list[Tensor]:
    """A table, its running means, and its counts."""
    table = torch.linspace(-1, 1, rows * columns, device=DEVICE).view(rows, columns)
    return [
        table,
        torch.zeros_like(table),
        torch.zeros_like(table),
        torch.zeros(rows, dtype=torch.int32, device=DEVICE),
    ]


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("columns", [1, 3, 16])
def test_as_the_twin(columns: int, scaled: bool, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched_adam, "TILE", 64)  # several programs
    rows = 25
    ours, theirs, untouched = tables(rows, columns), tables(rows, columns), torch.ones(rows, dtype=torch.bool)
    scales = torch.rand(rows, generator=generator).to(DEVICE) if scaled else None
    numbers = {"rate": 0.1, "betas": (0.9, 0.999), "eps": 1e-12, "scales": scales}
    for _ in range(20):
        gradient = torch.randn(rows, columns, generator=generator)
        gradient[torch.rand(rows, generator=generator) < 0.6] = 0
        gradient[10:14] = 0  # in no step
        gradient[:, 1:2] *= torch.rand(rows, 1, generator=generator) < 0.5  # some numbers of a row
        touched = gradient.any(1)
        untouched &= ~touched
        gradient = gradient.to(DEVICE)
        update_touched_triton(ours[0], gradient, *ours[1:], **numbers)  # type: ignore[arg-type]
        some = touched.nonzero()[:, 0].to(DEVICE)
        update_rows_torch(theirs[0], some, gradient[some], *theirs[1:], **numbers)  # type: ignore[arg-type]
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert untouched.sum() >= 4
    before = tables(rows, columns)
    assert all(torch.equal(a[untouched], b[untouched]) for a, b in zip(ours, before, strict=True))


def test_rows_that_are_old_and_tables_that_are_empty() -> None:
    """Beyond what is counted, corrections stay as they are."""
    for ours, theirs in ((tables(0, 3), tables(0, 3)), (tables(2, 3), tables(2, 3))):
        gradient = torch.ones_like(ours[0])
        for state in (ours, theirs):
            state[3] += 2 * touched_adam.COUNTED
        some = torch.arange(len(gradient), device=DEVICE)
        update_touched_triton(ours[0], gradient, *ours[1:], rate=0.1, betas=(0.9, 0.999), eps=1e-8)
        update_rows_torch(theirs[0], some, gradient, *theirs[1:], rate=0.1, betas=(0.9, 0.999), eps=1e-8)
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
