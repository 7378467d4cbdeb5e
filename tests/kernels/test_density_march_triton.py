"""The Triton march through densities against its twin: on a GPU, or in Triton's interpreter with TRITON_INTERPRET=1."""

import os
from dataclasses import fields

import pytest
import torch
from torch import Tensor

from tests.kernels.test_density_march import KINDS, cells, rays, table
from unflat.geometry.spaces import Rays
from unflat.kernels import density_march as march
from unflat.kernels.clearance import clearance
from unflat.kernels.density_march import Weighed, density_march_torch, density_march_triton
from unflat.kernels.lookup import Lines, Pairs, Table, Voxels, tables_of
from unflat.kernels.walking import Cells, Walk

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"


def there(some: Rays, one: Table, within: Cells) -> tuple[Rays, Table, Cells]:
    """On the device, with tables that have gradients of their own."""
    moved = Rays(*(getattr(some, f.name).to(DEVICE) for f in fields(some)))
    tables = [part.detach().to(DEVICE).requires_grad_() for part in tables_of(one)]
    within = Cells(*(part.to(DEVICE) for part in within))
    if isinstance(one, Voxels):
        return moved, Voxels(tables[0], one.shape), within
    if isinstance(one, Pairs):
        return moved, Pairs(tuple(tables[:3]), tuple(tables[3:])), within  # type: ignore[arg-type]
    return moved, Lines(tuple(tables)), within  # type: ignore[arg-type]


def gradients(seen: Weighed, one: Table) -> list[Tensor]:
    """Of a sum of weights and of what passes, each weighed differently."""
    weight = torch.sin(torch.arange(len(seen.weight), device=DEVICE).float())
    passing = torch.cos(torch.arange(len(seen.through), device=DEVICE).float())
    loss = (seen.weight * weight).sum() + (seen.through * passing).sum()
    return list(torch.autograd.grad(loss, tables_of(one)))


def check_alike(some: Rays, one: Table, within: Cells, walk: Walk) -> Weighed:
    some, one, within = there(some, one, within)
    ours, theirs = (run(some, one, within, walk) for run in (density_march_triton, density_march_torch))
    torch.testing.assert_close(ours.through, theirs.through, rtol=1e-3, atol=1e-4)
    if len(ours.weight) != len(theirs.weight):  # a sample at the very limit was left out by one of them
        assert abs(len(ours.weight) - len(theirs.weight)) <= 1
        return ours
    assert torch.equal(ours.ray, theirs.ray)
    for a, b in zip((ours.weight, ours.t, ours.points), (theirs.weight, theirs.t, theirs.points), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    for a, b in zip(gradients(ours, one), gradients(theirs, one), strict=True):
        assert (a - b).abs().max() <= 1e-4 * b.abs().max()
    return ours


@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
@pytest.mark.parametrize("kind", KINDS)
def test_as_the_twin(kind: str, unbounded: bool, generator: torch.Generator) -> None:
    """With empty cells, and a number of rays that fills no whole program."""
    walk = Walk(0.3 if unbounded else 0.1, unbounded, thickness=0.6, shift=1.0, key=2**63 + 123)
    seen = check_alike(rays(21, generator), table(kind, generator), cells(unbounded), walk)
    assert len(seen.weight) > 40


def test_more_channels_than_are_looked_up_at_once(generator: torch.Generator) -> None:
    x, y, z = (torch.randn(n, 35, generator=generator) for n in (9, 11, 13))
    check_alike(rays(5, generator), Lines((x, y, z)), cells(), Walk(0.2, False, 0.5, 1.0))


def test_where_rays_end_early(generator: torch.Generator) -> None:
    some, one = rays(10, generator), table("voxels", generator)
    walks = [Walk(0.1, False, 3.0, 0.0, key=5, last=last) for last in (0.6, 1e-3)]
    soon, late = (check_alike(some, one, cells(), walk) for walk in walks)
    assert 0 < len(soon.weight) < len(late.weight)


def test_thin_samples_are_not_lost(generator: torch.Generator) -> None:
    """A field that begins nearly empty: opacities under what 1 - exp(-x) can say in single precision."""
    walk = Walk(0.2, False, thickness=1e-3, shift=10.0, thinnest=3e-8, least=3e-8)
    seen = check_alike(rays(8, generator), table("pairs", generator), cells(), walk)
    assert 0 < seen.weight.min() < 6e-8


def test_rays_are_walked_again_where_room_is_short(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    some, one, within = there(rays(7, generator), table("voxels", generator), cells())
    usual = density_march_triton(some, one, within, Walk(0.2, False, 0.2, 1.0))
    monkeypatch.setattr(march, "FOUND", 1)
    again = density_march_triton(some, one, within, Walk(0.2, False, 0.2, 1.0))
    assert all(torch.equal(a, b) for a, b in zip(usual, again, strict=True))
    assert torch.bincount(usual.ray).max() > 1


@pytest.mark.parametrize("kind", KINDS)
def test_no_rays_and_rays_that_meet_nothing(kind: str, generator: torch.Generator) -> None:
    one, walk = table(kind, generator), Walk(0.2, False, 0.6, 1.0)
    empty = cells()._replace(clear=clearance(torch.zeros(8, 8, 8, dtype=torch.bool)))
    for some, within in ((rays(9, generator)[:0], cells()), (rays(3, generator), empty)):
        seen = check_alike(some, one, within, walk)
        assert len(seen.weight) == len(seen.ray) == 0 and seen.points.shape == (0, 3)
        assert torch.equal(seen.through.detach().cpu(), torch.ones(len(some)))
