"""The Triton kernel of touched RMSProp against the twin: on a GPU, or with TRITON_INTERPRET=1."""

import os

import pytest
import torch

from unflat.kernels import touched_rmsprop
from unflat.kernels.touched_rmsprop import rmsprop_rows_torch, rmsprop_touched_triton

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"


@pytest.mark.parametrize("rows, columns", [(25, 1), (25, 3), (25, 27), (0, 3)])
def test_as_the_twin(rows: int, columns: int, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched_rmsprop, "TILE", 64)  # several programs
    first = torch.linspace(-1, 1, rows * columns, device=DEVICE).view(rows, columns)
    ours, theirs = ((first.clone(), torch.zeros_like(first)) for _ in range(2))
    numbers, untouched = {"rate": 0.1, "beta": 0.95, "eps": 1e-12}, torch.ones(rows, dtype=torch.bool)
    for _ in range(20):
        gradient = torch.randn(rows, columns, generator=generator)
        gradient[torch.rand(rows, generator=generator) < 0.6] = 0
        gradient[10:14] = 0  # in no step
        gradient[:, 1:2] *= torch.rand(rows, 1, generator=generator) < 0.5  # some numbers of a row
        touched = gradient.any(1)
        untouched &= ~touched
        gradient, some = gradient.to(DEVICE), touched.nonzero()[:, 0].to(DEVICE)
        rmsprop_touched_triton(ours[0], gradient, ours[1], **numbers)
        rmsprop_rows_torch(theirs[0], some, gradient[some], theirs[1], **numbers)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    assert torch.equal(ours[0][untouched], first[untouched])
