"""The Triton march through voxels against its twin: on a GPU, or in Triton's interpreter with TRITON_INTERPRET=1."""

import os
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from tests.kernels.test_voxel_march import gradients, rays, straight, uniform, voxels
from unflat.geometry.spaces import Rays
from unflat.geometry.spherical_harmonics import BANDS
from unflat.kernels.clearance import clearance
from unflat.kernels.voxel_march import Marched, Voxels, voxel_march_torch, voxel_march_triton
from unflat.kernels.walking import Cells, Walk

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"


def there(some: Rays, grid: Voxels) -> tuple[Rays, Voxels]:
    """On the device, with voxels that have gradients of their own."""
    density, colour = (part.detach().to(DEVICE).requires_grad_() for part in (grid.density, grid.colour))
    cells = Cells(*(part.to(DEVICE) for part in grid.cells))
    moved = Rays(*(getattr(some, f.name).to(DEVICE) for f in fields(some)))
    return moved, Voxels(density, colour, grid.row_of.to(DEVICE), cells, grid.activation)


def both(some: Rays, grid: Voxels, walk: Walk) -> tuple[tuple[Marched, list[Tensor]], tuple[Marched, list[Tensor]]]:
    """What the kernels and the twin see, and their gradients for density, colour and background."""
    some, grid = there(some, grid)
    shade = torch.tensor([0.2, 0.5, 0.9], device=DEVICE, requires_grad=True)
    of, found = (grid.density, grid.colour, shade), []
    for run in (voxel_march_triton, voxel_march_torch):
        seen = run(some, grid, walk, shade)
        found.append((Marched(*(part.detach().cpu() for part in seen)), [g.cpu() for g in gradients(seen, of)]))
    return found[0], found[1]


def check_alike(some: Rays, grid: Voxels, walk: Walk) -> Marched:
    (ours, of_ours), (theirs, of_theirs) = both(some, grid, walk)
    alike = ours.samples == theirs.samples  # a sample at the very limit may be left out by one of them
    assert (~alike).sum() <= 1
    for a, b in zip(ours[:4], theirs[:4], strict=True):
        torch.testing.assert_close(a[alike], b[alike], rtol=1e-4, atol=1e-5)
    assert all(not gradient.is_sparse for gradient in of_ours)
    if alike.all():
        for a, b in zip(of_ours, of_theirs, strict=True):
            assert (a - b).abs().max() <= 1e-4 * b.abs().max()
            assert torch.equal(a[b.abs() > 1e-6] != 0, b[b.abs() > 1e-6] != 0)
        of_density, of_colour = of_ours[:2]
        assert not of_density[of_theirs[0] == 0].any() and not of_colour[of_theirs[1] == 0].any(), "not touched"
    return ours


@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
@pytest.mark.parametrize("bands", BANDS)
def test_as_the_twin(bands: int, unbounded: bool, generator: torch.Generator) -> None:
    """With rows of -1, with empty cells, for a number of rays that fills no whole program, with keys of 64 bits."""
    key = {1: 0, 4: 1234567890123, 9: 2**64 - 3, 16: 7}[bands]
    walk = Walk(0.3 if unbounded else 0.2, unbounded, thickness=0.4, shift=4.0, key=key)
    seen = check_alike(rays(11, generator), voxels(bands, generator, unbounded=unbounded), walk)
    assert seen.samples.sum() > 20


def test_rectified_as_the_twin(generator: torch.Generator) -> None:
    """Densities and colours; negative densities let everything pass."""
    grid = voxels(9, generator)._replace(activation="relu")
    walk = Walk(0.2, False, thickness=0.4, shift=1.0, key=3, thinnest=1e-12, least=0.0, last=1e-7, activation="relu")
    assert check_alike(rays(11, generator), grid, walk).samples.sum() > 20


def test_where_rays_end_early(generator: torch.Generator) -> None:
    some, grid = rays(8, generator), voxels(1, generator)
    ends = [check_alike(some, grid, Walk(0.15, False, 4.0, 4.0, key=5, last=last)).samples for last in (0.6, 1e-3)]
    assert (ends[0] <= ends[1]).all() and ends[0].sum() < ends[1].sum()


def test_thin_samples_keep_their_precision(generator: torch.Generator) -> None:
    """Opacities of millionths are near the smallest that 1 - exp(-x) has in single precision."""
    walk = Walk(0.3, False, thickness=0.01, shift=18.0, thinnest=1e-12, least=1e-12)
    (ours, _), (theirs, _) = both(rays(12, generator), voxels(1, generator), walk)
    torch.testing.assert_close(ours.distance, theirs.distance, rtol=2e-5, atol=0)
    assert 0 < theirs.distance.max() < 1e-3


@pytest.mark.parametrize("count", [0, 1])
def test_none_and_one(count: int, generator: torch.Generator) -> None:
    seen = check_alike(rays(count, generator), voxels(4, generator), Walk(0.3, False, 0.2, 4.0))
    assert seen.rgb.shape == (count, 3) and seen.samples.shape == (count,)


def test_beside_the_box_and_where_all_is_empty_only_the_background_is_seen() -> None:
    full, walk = uniform(3.0, 0.5), Walk(0.1, False, 1.0, 0.0)
    empty = full._replace(cells=full.cells._replace(clear=torch.full((2, 2, 2), 255, dtype=torch.uint8)))
    for some, grid in ((straight(offset=5.0), full), (straight(), empty)):
        (seen, of), _ = both(some, grid, walk)
        torch.testing.assert_close(seen.rgb[0], torch.tensor([0.2, 0.5, 0.9]), rtol=0, atol=0)
        assert seen.through.item() == 1 and seen.samples.item() == 0 and seen.distance.item() == 0
        assert not of[0].any() and not of[1].any()


def test_what_is_jumped_over_does_not_move_the_samples_behind_it() -> None:
    grid = uniform(0.0, 0.3)
    density = grid.density.view(5, 5, 5).clone()
    density[:3] = -50.0
    occupied = torch.ones(8, 8, 8, dtype=torch.bool)
    occupied[:4] = False
    known = grid._replace(density=density.flatten(), cells=grid.cells._replace(clear=clearance(occupied)))
    unknown = known._replace(cells=grid.cells._replace(clear=torch.zeros(1, 1, 1, dtype=torch.uint8)))
    walk = Walk(0.13, False, 0.2, 0.0, key=99)
    (a, _), (b, _) = (both(straight(), one, walk)[0] for one in (known, unknown))
    torch.testing.assert_close(a.rgb, b.rgb, rtol=0, atol=1e-5)
    assert a.samples.item() == b.samples.item() > 0


def test_rows_of_tensors_that_are_no_copies(generator: torch.Generator) -> None:
    """A part of more rays begins anywhere in memory, and gradients of a mean are one number seen many times."""
    some, grid = there(rays(9, generator), voxels(4, generator))
    part, walk, shade = some[3:], Walk(0.3, False, 0.2, 4.0), torch.ones(3, device=DEVICE)
    found = (
        torch.autograd.grad(run(part, grid, walk, shade).rgb.mean(), grid.density)[0]
        for run in (voxel_march_triton, voxel_march_torch)
    )
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)
