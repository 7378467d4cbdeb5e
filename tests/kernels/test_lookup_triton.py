"""The Triton look-ups against their twins: on a GPU, or in Triton's interpreter with TRITON_INTERPRET=1."""

import os

import pytest
import torch
from torch import Tensor

from tests.kernels.test_lookup import BOX, KINDS, points, rebuilt, table
from unflat.kernels import lookup
from unflat.kernels.lookup import Box, Planes, Table, looked_up_torch, looked_up_triton, tables_of

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"


def there(one: Table | Planes) -> Table | Planes:
    """On the device, with gradients of its own."""
    return rebuilt(one, [part.detach().to(DEVICE).requires_grad_() for part in tables_of(one)])


def check_alike(at: Tensor, one: Table | Planes, generator: torch.Generator) -> None:
    one, at, box = there(one), at.to(DEVICE), Box(*(side.to(DEVICE) for side in BOX))
    ours, theirs = (run(at, one, box) for run in (looked_up_triton, looked_up_torch))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    weight = torch.randn(theirs.shape, generator=generator).to(DEVICE)
    weight[::5] = 0  # of points that a loss leaves out
    found = (torch.autograd.grad((values * weight).sum(), tables_of(one)) for values in (ours, theirs))
    for a, b in zip(*found, strict=True):
        assert a.is_contiguous() and not a.is_sparse
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
        assert not a[b == 0].any(), "what is not touched has a gradient of exactly zero"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 4, 5, 16])
def test_as_the_twin(kind: str, channels: int, generator: torch.Generator) -> None:
    """In the box, on its faces, and beside it."""
    check_alike(points(70, generator), table(kind, channels, generator), generator)


@pytest.mark.parametrize("kind", KINDS)
def test_more_points_and_channels_than_a_program_has(
    kind: str, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "TILE", 64)
    monkeypatch.setattr(lookup, "CHANNELS", 4)
    check_alike(points(37, generator), table(kind, 11, generator), generator)


@pytest.mark.parametrize("kind", KINDS)
def test_no_points_at_all(kind: str, generator: torch.Generator) -> None:
    check_alike(points(20, generator)[:0], table(kind, 3, generator), generator)


def test_gradients_that_are_one_number_seen_many_times(generator: torch.Generator) -> None:
    one, box = there(table("voxels", 3, generator)), Box(*(side.to(DEVICE) for side in BOX))
    at = points(30, generator).to(DEVICE).T.contiguous().T  # by columns
    found = (
        torch.autograd.grad(run(at, one, box).mean(), tables_of(one)) for run in (looked_up_triton, looked_up_torch)
    )
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
