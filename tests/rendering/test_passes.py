"""Rays in passes against all of their samples at once, and against what should stop them."""

import torch
from torch import Tensor

from unflat.geometry.spaces import Rays
from unflat.kernels.clearance import clearance
from unflat.kernels.occupied_steps import occupied_steps
from unflat.kernels.walking import Cells, Walk
from unflat.rendering.passes import in_passes
from unflat.rendering.volume import packed_absorption

WALK = Walk(0.05, False, 1.0, 0.0, last=1e-2)


def rays(count: int, generator: torch.Generator) -> Rays:
    places = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 3
    towards = torch.nn.functional.normalize(-places + torch.randn(count, 3, generator=generator) * 0.5, dim=1)
    return Rays(places, towards, towards, torch.zeros(count), torch.full((count,), 9.0), torch.arange(count))


def cells(generator: torch.Generator) -> Cells:
    occupied = torch.rand(8, 8, 8, generator=generator) < 0.4
    return Cells(torch.full((3,), -1.0), torch.full((3,), 1.0), clearance(occupied))


def field(points: Tensor, sights: Tensor) -> tuple[Tensor, Tensor]:
    """Denser towards the middle; its value is the place and the direction."""
    return 20 * (1 - points.norm(dim=1)).clamp_min(0), torch.cat([points, sights], 1)


def test_what_is_seen_is_what_all_samples_show(generator: torch.Generator) -> None:
    some, space = rays(100, generator), cells(generator)
    every = occupied_steps(some, space, WALK)
    density, values = field(every.points, some.sights[every.ray])
    whole = packed_absorption(density * WALK.step, every.ray, 100)
    picture = torch.zeros(100, 6).index_add(0, every.ray, whole.weights[:, None] * values)
    for at_once in (1, 8, 1000):
        found = in_passes(some, space, WALK, field, at_once)
        assert (found.ray.diff() >= 0).all()
        assert (found.t.diff()[found.ray.diff() == 0] > 0).all()
        torch.testing.assert_close(found.values[:, :3], found.points)
        torch.testing.assert_close(found.values[:, 3:], some.sights[found.ray])
        seen = packed_absorption(found.density * WALK.step, found.ray, 100)
        shown = torch.zeros(100, 6).index_add(0, found.ray, seen.weights[:, None] * found.values)
        torch.testing.assert_close(shown, picture, rtol=0, atol=2 * WALK.last)
        assert len(found.t) < len(every.t) or at_once == 1000


def test_a_ray_ends_with_the_pass_in_which_it_is_stopped(generator: torch.Generator) -> None:
    """A wall of thickness 10 a sample: the first pass is the last."""
    some, full = rays(20, generator), Cells(torch.full((3,), -1.0), torch.full((3,), 1.0), torch.zeros(1, 1, 1).byte())
    asked: list[int] = []

    def wall(points: Tensor, sights: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(len(points))
        return torch.full_like(points[:, 0], 200.0), points

    found = in_passes(some, full, WALK, wall, 4)
    assert len(asked) == 1 and len(found.t) == asked[0] <= 80


def test_rays_that_meet_nothing_or_are_none(generator: torch.Generator) -> None:
    empty = Cells(torch.full((3,), -1.0), torch.full((3,), 1.0), clearance(torch.zeros(2, 2, 2).bool()))
    for count in (0, 5):
        found = in_passes(rays(count, generator), empty, WALK, field, 4)
        assert [part.shape for part in found] == [(0,), (0,), (0, 3), (0,), (0, 6)]
