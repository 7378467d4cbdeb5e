"""The Triton kernels of many tiny networks against the twin: on a GPU, or in Triton's interpreter with
TRITON_INTERPRET=1."""

import os

import pytest
import torch

from tests.kernels.test_tiny_networks import FEW, ODD, samples, weights
from unflat.kernels.tiny_networks import Shape, tiny_networks_torch, tiny_networks_triton

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"


@pytest.mark.parametrize("shape", [FEW, ODD, Shape()], ids=["few", "odd", "published"])
@pytest.mark.parametrize("count", [0, 1, 50, 400])
def test_as_the_twin(shape: Shape, count: int, generator: torch.Generator) -> None:
    """Groups that are longer than a block, shorter ones, and a network that nobody asks."""
    table, some = weights(5, shape, generator), [part.to(DEVICE) for part in samples(count, 5, generator)]
    table, which = table.detach().to(DEVICE).requires_grad_(), torch.where(some[2] == 3, 0, some[2])
    ours, theirs = (run(*some[:2], which, table, shape) for run in (tiny_networks_triton, tiny_networks_torch))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    weight = torch.randn(theirs.shape, generator=generator).to(DEVICE)
    one, other = (torch.autograd.grad((found * weight).sum(), table)[0] for found in (ours, theirs))
    off = (one - other).abs() / other.abs().max().clamp_min(1e-6)
    assert (off < 1e-4).float().mean() > 0.98 and off.max() < 0.1  # a rectified number near zero is on either side
    assert not one[3].any()
