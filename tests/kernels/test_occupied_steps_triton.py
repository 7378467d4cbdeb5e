"""The Triton walk through what may not be empty against its twin: on a GPU, or in Triton's interpreter with
TRITON_INTERPRET=1."""

import os
from dataclasses import fields, replace

import pytest
import torch

from tests.kernels.test_occupied_steps import cells, rays
from unflat.geometry.spaces import Rays
from unflat.kernels import occupied_steps as module
from unflat.kernels.clearance import clearance
from unflat.kernels.occupied_steps import Steps, occupied_steps_torch, occupied_steps_triton
from unflat.kernels.walking import Cells, Walk, is_empty

pytest.importorskip("triton", "3.3", reason="Triton is not installed, or too old")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"


def there(some: Rays, space: Cells) -> tuple[Rays, Cells]:
    moved = Rays(*(getattr(some, f.name).to(DEVICE) for f in fields(some)))
    return moved, Cells(*(part.to(DEVICE) for part in space))


def check_alike(some: Rays, space: Cells, walk: Walk, most: int = 2**20) -> Steps:
    some, space = there(some, space)
    ours, theirs = (run(some, space, walk, most) for run in (occupied_steps_triton, occupied_steps_torch))
    each, same = (torch.bincount(found.ray, minlength=len(some)) for found in (ours, theirs))
    alike = (each == same).nonzero()[:, 0]
    assert len(alike) >= len(some) - 2, "but for samples on the border of a cell"
    for a, b in zip(ours[1:4], theirs[1:4], strict=True):
        one, other = a[torch.isin(ours.ray, alike)], b[torch.isin(theirs.ray, alike)]
        assert ((one - other).abs() < 1e-3).float().mean() > 0.98
    assert ((ours.onwards - theirs.onwards)[alike].abs() < 1e-3).float().mean() > 0.9
    return ours


@pytest.mark.parametrize("most", [3, 2**20])
@pytest.mark.parametrize("key", [0, 2**63 + 123])
def test_as_the_twin_in_a_box(key: int, most: int, generator: torch.Generator) -> None:
    """A number of rays that fills no whole program."""
    found = check_alike(rays(41, generator), cells(1.0, generator), Walk(0.05, False, 1.0, 0.0, key=key), most)
    assert len(found.t) > 20


def test_samples_of_a_space_without_end_lie_where_something_may_be(generator: torch.Generator) -> None:
    """The twin steps through what is empty, too: where the samples lie differs by less than a step."""
    some, space = there(rays(40, generator), cells(2.0, generator))
    found = occupied_steps_triton(some, space, Walk(0.1, True, 1.0, 0.0, key=5))
    twin = occupied_steps_torch(some, space, Walk(0.1, True, 1.0, 0.0, key=5))
    assert len(found.t) == pytest.approx(len(twin.t), rel=0.1) and len(found.t) > 50
    assert is_empty(found.points, space).float().mean() < 1e-2
    same = found.ray[1:] == found.ray[:-1]
    assert (found.t.diff()[same] > 0.9 * found.length[:-1][same]).all()


def test_walked_in_parts_it_is_the_same_walk(generator: torch.Generator) -> None:
    some, space = there(rays(20, generator), cells(1.0, generator))
    walk = Walk(0.06, False, 1.0, 0.0, key=9)
    whole, parts, near = occupied_steps_triton(some, space, walk), [], some.near
    for _ in range(20):
        part = occupied_steps_triton(replace(some, near=near), space, walk, 2)
        near = part.onwards
        parts.append(part)
    assert (near >= some.far).all() and abs(sum(len(part.t) for part in parts) - len(whole.t)) <= 2


def test_rays_are_walked_again_where_room_is_short(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    some, space = there(rays(20, generator), cells(1.0, generator))
    usual = occupied_steps_triton(some, space, Walk(0.05, False, 1.0, 0.0))
    monkeypatch.setattr(module, "FOUND", 1)
    again = occupied_steps_triton(some, space, Walk(0.05, False, 1.0, 0.0))
    assert all(torch.equal(a, b) for a, b in zip(usual, again, strict=True))
    assert torch.bincount(usual.ray).max() > 1


def test_no_rays_and_rays_that_meet_nothing(generator: torch.Generator) -> None:
    nothing = Cells(torch.full((3,), -1.0), torch.full((3,), 1.0), clearance(torch.zeros(4, 4, 4, dtype=torch.bool)))
    for some, space in ((rays(9, generator)[:0], cells(1.0, generator)), (rays(3, generator), nothing)):
        some, space = there(some, space)
        found = occupied_steps_triton(some, space, Walk(0.1, False, 1.0, 0.0))
        assert len(found.t) == len(found.ray) == 0 and found.points.shape == (0, 3)
        assert torch.equal(found.onwards, some.far)
