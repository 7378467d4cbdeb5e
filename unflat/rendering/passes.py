"""Rays in passes: a field is asked for a few samples of each ray at a time, and rays that let nothing through end.

For fields that are dear to ask, such as networks, behind surfaces that nobody can see through: without knowing where a
ray ends before it is asked, half of what is asked for at once would be for nothing.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.geometry.spaces import Rays
from unflat.kernels.occupied_steps import occupied_steps
from unflat.kernels.walking import Cells, Walk

Field = Callable[[Float[Tensor, "m 3"], Float[Tensor, "m 3"]], tuple[Float[Tensor, "m"], Float[Tensor, "m c"]]]
"""density, per unit of the walk's coordinates, and any values, at points in these seen along sights"""


class Passed(NamedTuple):
    """What was asked for, by ray and from near to far."""

    ray: Int[Tensor, "m"]
    t: Float[Tensor, "m"]
    points: Float[Tensor, "m 3"]
    """in the walk's coordinates"""
    density: Float[Tensor, "m"]
    values: Float[Tensor, "m c"]


@torch.no_grad()
def in_passes(rays: Rays, cells: Cells, walk: Walk, field: Field, at_once: int) -> Passed:
    """Samples where something may be, `at_once` of a ray in a pass, until less than `walk.last` passes it. Of `walk`,
    its step, space, key and `last` count. Without gradient."""
    left, number = torch.ones_like(rays.near), torch.arange(len(rays), device=rays.near.device)
    found: list[tuple[Tensor, ...]] = []
    while len(rays) or not found:
        steps = occupied_steps(rays, cells, walk, at_once)
        density, values = field(steps.points, rays.sights[steps.ray])
        found.append((number[steps.ray], steps.t, steps.points, density, values))
        left = left * torch.exp(-torch.zeros_like(left).index_add(0, steps.ray, density * walk.step))
        on = ((left >= walk.last) & (steps.onwards < rays.far)).nonzero()[:, 0]
        rays, left, number = replace(rays, near=steps.onwards)[on], left[on], number[on]
    ray, *others = (torch.cat(part) for part in zip(*found, strict=True))
    order = torch.argsort(ray, stable=True)
    t, points, density, values = (part[order] for part in others)
    return Passed(ray[order], t, points, density, values)
