"""Samples where something may be: the loop against its twin, against closed forms, and walked in parts."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from unflat.geometry.spaces import Rays
from unflat.kernels import occupied_steps as module
from unflat.kernels.clearance import clearance
from unflat.kernels.occupied_steps import Steps, occupied_steps, occupied_steps_torch
from unflat.kernels.walking import Cells, Walk, is_empty

BACKENDS = [occupied_steps, occupied_steps_torch]
Run = Callable[..., Steps]


def rays(count: int, generator: torch.Generator) -> Rays:
    places = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 3
    towards = torch.nn.functional.normalize(-places + torch.randn(count, 3, generator=generator) * 0.8, dim=1)
    near, far = torch.full((count,), 0.05), torch.full((count,), 9.0)
    return Rays(places, towards, towards, near, far, torch.arange(count) * 7)


def cells(side: float, generator: torch.Generator) -> Cells:
    occupied = torch.rand(8, 8, 8, generator=generator) < 0.1
    return Cells(torch.full((3,), -side), torch.full((3,), side), clearance(occupied))


@pytest.mark.parametrize("key", [0, 123])
def test_loop_and_twin_agree_in_a_box(key: int, generator: torch.Generator) -> None:
    space, some, walk = cells(1.0, generator), rays(300, generator), Walk(0.02, False, 1.0, 0.0, key=key)
    ours, theirs = (run(some, space, walk, 30) for run in BACKENDS)
    assert abs(len(ours.t) - len(theirs.t)) < 10  # a sample on the border of a cell
    each, same = torch.bincount(ours.ray, minlength=300), torch.bincount(theirs.ray, minlength=300)
    assert each.max() == 30 and (each == same).float().mean() > 0.97
    alike = (each == same).nonzero()[:, 0]
    one, other = (steps.t[torch.isin(steps.ray, alike)] for steps in (ours, theirs))
    assert ((one - other).abs() < 1e-4).float().mean() > 0.99
    assert ((ours.onwards - theirs.onwards)[alike].abs() < 1e-4).float().mean() > 0.98
    torch.testing.assert_close(ours.length, torch.full_like(ours.t, 0.02))


@pytest.mark.parametrize("run", BACKENDS)
@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
def test_samples_lie_where_something_may_be(run: Run, unbounded: bool, generator: torch.Generator) -> None:
    space, some = cells(2.0 if unbounded else 1.0, generator), rays(200, generator)
    found = run(some, space, Walk(0.02, unbounded, 1.0, 0.0, key=5))
    assert len(found.t) > 500 and (found.ray.diff() >= 0).all()
    assert is_empty(found.points, space).float().mean() < 1e-2  # rounding at borders
    same = found.ray[1:] == found.ray[:-1]
    assert (found.t.diff()[same] > 0.9 * found.length[:-1][same]).all()
    torch.testing.assert_close(found.onwards, some.far)


@pytest.mark.parametrize("run", BACKENDS)
def test_a_ray_through_a_full_box(run: Run) -> None:
    """Of side 2, walked in steps of 0.1: 20 samples, the first half a step behind the face."""
    along = torch.tensor([[1.0, 0.0, 0.0]])
    ray = Rays(torch.tensor([[-3.0, 0.0, 0.1]]), along, along, torch.zeros(1), torch.tensor([99.0]), torch.tensor([0]))
    full = Cells(torch.full((3,), -1.0), torch.full((3,), 1.0), torch.zeros(2, 2, 2, dtype=torch.uint8))
    found = run(ray, full, Walk(0.1, False, 1.0, 0.0))
    torch.testing.assert_close(found.t, 2.05 + 0.1 * torch.arange(20))
    torch.testing.assert_close(found.points, ray.origins + found.t[:, None] * along)
    assert found.onwards.item() == 99.0


@pytest.mark.parametrize("run", BACKENDS)
@pytest.mark.parametrize("key", [0, 9])
def test_walked_in_parts_it_is_the_same_walk(run: Run, key: int, generator: torch.Generator) -> None:
    space, some, walk = cells(1.0, generator), rays(100, generator), Walk(0.03, False, 1.0, 0.0, key=key)
    whole, parts, near = run(some, space, walk), [], some.near
    for _ in range(30):
        part = run(replace(some, near=near), space, walk, 4)
        near = part.onwards
        parts.append(part)
    assert (near >= some.far).all() and len(parts[-1].t) == 0
    ray, t = torch.cat([part.ray for part in parts]), torch.cat([part.t for part in parts])
    order = torch.argsort(ray.double() * 100 + t.double())
    assert abs(len(t) - len(whole.t)) <= 3  # on borders
    if len(t) == len(whole.t):
        torch.testing.assert_close(t[order], whole.t, rtol=0, atol=1e-4)


@pytest.mark.parametrize("run", BACKENDS)
def test_where_all_is_empty_there_are_none(run: Run, generator: torch.Generator) -> None:
    nothing = Cells(torch.full((3,), -1.0), torch.full((3,), 1.0), clearance(torch.zeros(4, 4, 4, dtype=torch.bool)))
    some = rays(20, generator)
    found = run(some, nothing, Walk(0.1, False, 1.0, 0.0))
    assert [len(part) for part in found] == [0, 0, 0, 0, 20] and torch.equal(found.onwards, some.far)
    with pytest.raises(ValueError, match="give 1 or more"):
        run(some, nothing, Walk(0.1, False, 1.0, 0.0), 0)


def test_room_and_threads_change_nothing(generator: torch.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    space, some, walk = cells(1.0, generator), rays(2000, generator), Walk(0.02, False, 1.0, 0.0, key=3)
    usual, before = occupied_steps(some, space, walk), torch.get_num_threads()
    monkeypatch.setattr(module, "ROOM", 1)
    try:
        torch.set_num_threads(3)
        again = occupied_steps(some, space, walk)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(usual, again, strict=True))
