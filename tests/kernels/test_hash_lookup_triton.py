"""The Triton look-ups of hashed grids against their twin: on a GPU, or in Triton's interpreter with
TRITON_INTERPRET=1."""

import os

import pytest
import torch
from torch import Tensor

from tests.kernels.test_hash_lookup import BOX, points, row_in_32_bits, table
from unflat.kernels import hash_lookup
from unflat.kernels.hash_lookup import Hashed, hash_looked_up_torch, hash_looked_up_triton
from unflat.kernels.lookup import Box

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"
THERE = Box(*(side.to(DEVICE) for side in BOX))


def there(one: Hashed) -> Hashed:
    """On the device, with a gradient of its own."""
    return one._replace(values=one.values.detach().to(DEVICE).requires_grad_())


def check_alike(at: Tensor, one: Hashed, generator: torch.Generator) -> None:
    at, one = at.to(DEVICE), there(one)
    ours, theirs = (run(at, one, THERE) for run in (hash_looked_up_triton, hash_looked_up_torch))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=2e-5)
    weight = torch.randn(theirs.shape, generator=generator).to(DEVICE)
    weight[::5] = 0  # of points that a loss leaves out
    a, b = (torch.autograd.grad((values * weight).sum(), one.values)[0] for values in (ours, theirs))
    assert a.is_contiguous() and not a.is_sparse
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
    assert not a[b == 0].any(), "what is not touched has a gradient of exactly zero"


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_as_the_twin(channels: int, generator: torch.Generator) -> None:
    """Dense and shared levels, in the box, on its faces, and beside it."""
    check_alike(points(70, generator), table(channels, generator), generator)


def test_levels_as_fine_and_as_many_as_published(generator: torch.Generator) -> None:
    """Where products do not fit into 32 bits, and cubes of sides neither."""
    check_alike(points(40, generator), table(2, generator, (16, 400, 2048), 2**14), generator)


def test_a_corner_has_the_row_that_32_bits_give(generator: torch.Generator) -> None:
    """Asked at a corner, it holds what its row does; looked up in a table of the rows' numbers."""
    most, cells = 2**12, 64
    one = Hashed(torch.arange(most, device=DEVICE).float()[:, None], (cells,), most)
    corners = torch.randint(0, cells, (30, 3), generator=generator)
    box = Box(torch.zeros(3, device=DEVICE), torch.ones(3, device=DEVICE))
    found = hash_looked_up_triton(corners.to(DEVICE) / cells, one, box)[:, 0].tolist()
    assert found == [row_in_32_bits(*corner, most) for corner in corners.tolist()]


def test_more_points_than_a_program_has(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hash_lookup, "TILE", 64)
    check_alike(points(21, generator), table(5, generator, (3, 12), 2**9), generator)


def test_no_points_at_all(generator: torch.Generator) -> None:
    check_alike(points(20, generator)[:0], table(3, generator), generator)


def test_gradients_that_are_one_number_seen_many_times(generator: torch.Generator) -> None:
    one = there(table(2, generator))
    at = points(30, generator).to(DEVICE).T.contiguous().T  # by columns
    a, b = (
        torch.autograd.grad(run(at, one, THERE).mean(), one.values)[0]
        for run in (hash_looked_up_triton, hash_looked_up_torch)
    )
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-6)


def test_who_draws_first_does_not_keep_others_from_learning(generator: torch.Generator) -> None:
    hash_lookup._levels_on.cache_clear()
    with torch.inference_mode():
        hash_looked_up_triton(points(5, generator).to(DEVICE), there(table(2, generator)), THERE)
    check_alike(points(5, generator), table(2, generator), generator)
