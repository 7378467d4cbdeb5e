"""Sweeping planes: the loops against their twin, and a painted plane whose depth is known."""

import pytest
import torch
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid
from unflat.kernels import plane_sweep as module
from unflat.kernels.plane_sweep import Sweep, plane_sweep, plane_sweep_torch

CAMERA = Pinhole(50.0, 50.0, 16.0, 12.0, 32, 24)
ASIDE = [(0.0, 0.0), (0.3, 0.0), (0.0, 0.25), (-0.35, 0.1), (0.2, -0.2)]
"""where the cameras stand, looking along z"""
PLANES = torch.linspace(1.0, 3.0, 41)
ALL = torch.ones(24, 32, dtype=torch.bool)
EVERYWHERE = torch.tensor([0, 41]).expand(24, 32, 2)


def painted(depth: float, hidden: tuple[int, ...] = ()) -> Sweep:
    """A plane across the view in smooth colours; before some of the cameras hangs something grey."""
    pictures = []
    for number, (x, y) in enumerate(ASIDE):
        places = CAMERA.rays()[..., :2] * depth + torch.tensor([x, y])
        u, v = (9 * places).unbind(-1)
        rgb = torch.stack([u.sin() * v.cos(), (0.7 * u + v).sin(), (1.3 * v).cos()], -1) * 0.4 + 0.5
        rgb = torch.full_like(rgb, 0.5) if number in hidden else rgb
        pictures.append(torch.cat([rgb, torch.ones_like(rgb[..., :1])], -1))
    shift = torch.tensor([[-x, -y, 0.0] for x, y in ASIDE[1:]])
    return Sweep(pictures[0], torch.stack(pictures[1:]), Rigid(torch.eye(3).repeat(4, 1, 1), shift), CAMERA)


def sure(depth: Tensor) -> Tensor:
    """Away from the borders, where fewer pictures see what is there."""
    return depth[8:-8, 10:-10]


@pytest.mark.parametrize("hidden", [(), (1, 3)], ids=["all see it", "hidden from two"])
def test_a_painted_plane_is_found_between_planes(hidden: tuple[int, ...]) -> None:
    found = sure(plane_sweep(painted(1.93, hidden), PLANES, ALL, EVERYWHERE))
    assert (found - 1.93).abs().max() < 0.03, "planes are 0.05 apart"


def test_the_loops_are_what_is_tested() -> None:
    pytest.importorskip("numba")
    assert module._loops() is not None


def test_loops_and_twin_agree() -> None:
    """Also where pixels are left out, and asked at a few planes."""
    sweep, generator = painted(2.21, (2,)), torch.Generator().manual_seed(0)
    sweep.others[0, ..., 3] = torch.rand(24, 32, generator=generator)
    shown = torch.rand(24, 32, generator=generator) < 0.8
    first = torch.randint(0, 30, (24, 32), generator=generator)
    reach = torch.stack([first, first + torch.randint(0, 12, (24, 32), generator=generator)], -1)
    for asked in (EVERYWHERE, reach):
        ours, theirs = plane_sweep(sweep, PLANES, shown, asked), plane_sweep_torch(sweep, PLANES, shown, asked)
        assert (ours.isinf() == ~shown).all() and (ours.isnan() == theirs.isnan()).float().mean() > 0.99
        off = (ours - theirs)[shown].abs().nan_to_num(0.0)
        assert (off > 1e-3).float().mean() < 0.02, "of two planes that cost the same either may be taken"


def test_only_the_planes_of_its_reach_are_looked_at() -> None:
    found = sure(plane_sweep(painted(1.93), PLANES, ALL, torch.tensor([25, 31]).expand(24, 32, 2)))
    assert ((found >= PLANES[25] - 1e-5) & (found <= PLANES[30] + 1e-5)).all()
    assert plane_sweep(painted(1.93), PLANES, ALL, torch.tensor([7, 7]).expand(24, 32, 2)).isnan().all()


def test_nothing_shown_is_infinitely_far_and_what_nobody_else_sees_unknown() -> None:
    sweep = painted(2.0)
    assert plane_sweep(sweep, PLANES, torch.zeros_like(ALL), EVERYWHERE).isposinf().all()
    away = sweep._replace(others_from_here=Rigid(torch.eye(3).repeat(4, 1, 1), torch.tensor([[0.0, 0.0, -9.0]] * 4)))
    assert plane_sweep(away, PLANES, ALL, EVERYWHERE).isnan().all()
