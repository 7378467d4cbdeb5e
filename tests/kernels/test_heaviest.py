"""What voxels weigh at most: the loop and the twin against brute force, and closed forms along a ray."""

import itertools
import math

import pytest
import torch

from tests.kernels.test_voxel_march import straight
from unflat.kernels.clearance import clearance
from unflat.kernels.heaviest import take_largest, take_largest_torch, weighed
from unflat.kernels.lookup import Box, Voxels
from unflat.kernels.walking import Cells, Walk

BOX = Box(torch.tensor([-1.0, -2.0, 0.0]), torch.tensor([1.0, 1.0, 3.0]))
SHAPE = (4, 5, 6)


@pytest.mark.parametrize("run", [take_largest, take_largest_torch], ids=["loop", "twin"])
def test_every_corner_of_a_cell_takes_the_largest(run: object, generator: torch.Generator) -> None:
    weight = torch.rand(60, generator=generator)
    points = BOX.low + torch.rand(60, 3, generator=generator) * (BOX.high - BOX.low)
    points[0], points[1] = BOX.low, BOX.high
    before = 0.5 * torch.rand(120, generator=generator)
    expected, found = before.clone().view(SHAPE), before.clone()
    for w, point in zip(weight, points, strict=True):
        place = ((point - BOX.low) / (BOX.high - BOX.low) * (torch.tensor(SHAPE) - 1)).tolist()
        cell = [min(int(p), n - 2) for p, n in zip(place, SHAPE, strict=True)]
        for a, b, c in itertools.product((0, 1), repeat=3):
            at = cell[0] + a, cell[1] + b, cell[2] + c
            expected[at] = max(expected[at], w)
    run(found, weight, points, BOX, SHAPE)  # type: ignore[operator]
    assert torch.equal(found.view(SHAPE), expected)
    assert (found > before).any() and (found == before).any()


def test_a_ray_weighs_what_it_meets_first_most() -> None:
    """Through one stuff weights fall as exp(-density * way); beside the ray's cells nothing weighs."""
    shape, sides = (5, 5, 5), (torch.full((3,), -1.0), torch.full((3,), 1.0))
    cells = Cells(*sides, clearance(torch.ones(2, 2, 2, dtype=torch.bool)))
    step, density, nothing = 0.05, 3.0, torch.zeros(125)
    walk = Walk(step, False, step, 0.0, thinnest=1e-11, least=0.0, last=1e-7, activation="relu")
    found = weighed(nothing, straight(), Voxels(torch.full((125, 1), density), shape), cells, walk)
    assert not nothing.any()
    grid, first = found.view(shape), 1 - math.exp(-density * step)
    assert grid[0, 2, 2].item() == grid[1, 3, 3].item() == pytest.approx(first, rel=1e-4)
    assert grid[2, 2, 2].item() == pytest.approx(first * math.exp(-density * 0.5), rel=1e-3)
    assert not grid[:, :2].any() and not grid[:, 4].any() and not grid[:, :, :2].any()
