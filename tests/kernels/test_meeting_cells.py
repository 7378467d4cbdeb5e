"""Which rays meet something: the loop against its twin, and against brute force."""

import pytest
import torch

from unflat.geometry.spaces import Rays, contracted
from unflat.kernels.clearance import clearance
from unflat.kernels.meeting_cells import meet, meet_torch
from unflat.kernels.walking import Cells, Walk


def rays(count: int, generator: torch.Generator) -> Rays:
    places = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 3
    towards = torch.nn.functional.normalize(-places + torch.randn(count, 3, generator=generator) * 0.8, dim=1)
    near, far = torch.full((count,), 0.05), torch.full((count,), 30.0)
    return Rays(places, towards, towards, near, far, torch.arange(count))


@pytest.mark.parametrize("unbounded", [False, True], ids=["box", "contracted"])
def test_loop_and_twin_and_brute_force_agree(unbounded: bool, generator: torch.Generator) -> None:
    side = 2.0 if unbounded else 1.0
    occupied = torch.rand(8, 8, 8, generator=generator) < 0.02
    cells = Cells(torch.full((3,), -side), torch.full((3,), side), clearance(occupied))
    some, walk = rays(400, generator), Walk(0.01, unbounded, 1.0, 0.0)
    ours, theirs = meet(some, cells, walk), meet_torch(some, cells, walk)
    t = torch.linspace(0.05, 30, 20_000)
    points = some.origins[:, None] + t[:, None] * some.directions[:, None]
    points = contracted(points) if unbounded else points
    cell = ((points + side) / (2 * side / 8)).floor().long()
    inside = ((cell >= 0) & (cell < 8)).all(-1)
    cell = cell.clamp(0, 7)
    brute = (occupied[cell[..., 0], cell[..., 1], cell[..., 2]] & inside).any(1)
    assert 0.1 < brute.float().mean() < 0.9
    # a corner that is cut by less than a step may be missed
    assert (ours == brute).float().mean() > 0.98 and (theirs == brute).float().mean() > 0.98
    assert not (ours & ~brute).any()


def test_where_all_is_empty_nothing_is_met(generator: torch.Generator) -> None:
    cells = Cells(torch.full((3,), -1.0), torch.full((3,), 1.0), clearance(torch.zeros(4, 4, 4, dtype=torch.bool)))
    for run in (meet, meet_torch):
        assert not run(rays(20, generator), cells, Walk(0.1, False, 1.0, 0.0)).any()
