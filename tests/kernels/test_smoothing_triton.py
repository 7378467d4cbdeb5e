"""The Triton kernel of smoothness against its twin: on a GPU, or in Triton's interpreter with TRITON_INTERPRET=1."""

import os

import pytest
import torch

from unflat.kernels import smoothing
from unflat.kernels.smoothing import roughness_gradient, with_roughness_triton

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"
SHAPE = (4, 5, 7)


@pytest.mark.parametrize("channels", [1, 3, 12])
@pytest.mark.parametrize("every", [True, False], ids=["every voxel", "some voxels"])
def test_as_the_twin(every: bool, channels: int, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoothing, "TILE", 128)  # several programs, the last of them not full
    row_of, there = torch.full(SHAPE, -1, dtype=torch.int32), torch.rand(SHAPE, generator=generator) < 0.7
    row_of[there] = torch.arange(int(there.sum()), dtype=torch.int32)
    rows = row_of.numel() if every else int(there.sum())
    values = (2 * torch.randn(rows, channels, generator=generator)).to(DEVICE)
    gradient = torch.randn(rows, channels, generator=generator)
    gradient[torch.rand(rows, generator=generator) < 0.5] = 0
    gradient[:, 1:2] = 0  # a row is touched when one of its numbers is
    gradient, row_of = gradient.to(DEVICE), row_of.to(DEVICE)
    before, touched = gradient.clone(), gradient.any(1).nonzero()[:, 0]
    ours = with_roughness_triton(gradient, values, row_of, 0.3)
    expected = gradient.index_add(0, touched, 0.3 * roughness_gradient(values, row_of, touched))
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(gradient, before) and not ours[~before.any(1)].any()
    assert not torch.allclose(ours, before)


def test_a_table_of_no_rows() -> None:
    row_of = torch.full(SHAPE, -1, dtype=torch.int32, device=DEVICE)
    assert with_roughness_triton(*torch.zeros(2, 0, 3, device=DEVICE), row_of, 0.3).shape == (0, 3)
