"""Carving by silhouettes: the loop against its twin, and what may never be carved away."""

import math

import pytest
import torch

from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.kernels.carving import carve, carve_torch
from unflat.kernels.clearance import clearance

PINHOLE = Pinhole(60.0, 62.0, 31.0, 24.5, 64, 48)
SIDES = torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([1.0, 1.0, 1.0])


def around(count: int) -> list[Rigid]:
    """Cameras that look at the origin from a distance of 3."""
    generator = torch.Generator().manual_seed(0)
    turns = rotation_from_euler((torch.rand(count, 3, generator=generator) - 0.5) * 2 * math.pi)
    return [Rigid(turn, torch.tensor([0.0, 0.0, 3.0])) for turn in turns]


def ball(camera_from_scene: Rigid, radius: float) -> torch.Tensor:
    """Distances to the picture of a ball about the origin: a ray meets it if it passes within the radius."""
    rays = PINHOLE.rays()
    centre = camera_from_scene.translation
    along = (rays @ centre) / rays.square().sum(-1)
    apart = (along[..., None] * rays - centre).norm(dim=-1)
    return clearance((apart < radius)[None])[0]


@pytest.mark.parametrize("cells", [(8, 8, 8), (20, 13, 17)])
def test_loop_and_twin_agree(cells: tuple[int, int, int]) -> None:
    ours, theirs = torch.ones(cells, dtype=torch.bool), torch.ones(cells, dtype=torch.bool)
    for view in around(6):
        carve(ours, *SIDES, ball(view, 0.5), view, PINHOLE)
        carve_torch(theirs, *SIDES, ball(view, 0.5), view, PINHOLE)
    assert (ours != theirs).float().mean() < 2e-3, "centres on the border of two pixels may differ"
    assert 0 < ours.sum() < ours.numel()


def test_a_ball_stays_and_little_more() -> None:
    cells = (40, 40, 40)
    inside = torch.ones(cells, dtype=torch.bool)
    for view in around(20):
        carve(inside, *SIDES, ball(view, 0.6), view, PINHOLE)
    axis = (torch.arange(40) + 0.5) / 20 - 1
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1)
    assert inside[distance < 0.6].all()
    # a cell, and a pixel at distance 3 beyond it, are all that silhouettes leave open
    assert not inside[distance > 0.6 + 0.05 * math.sqrt(3) + 2 * 3.9 / 60 + 0.1].any()
    assert inside.sum() < 1.9 * (distance < 0.6).sum()


def test_what_no_picture_shows_stays() -> None:
    inside = torch.ones(4, 4, 4, dtype=torch.bool)
    behind = Rigid(torch.eye(3), torch.tensor([0.0, 0.0, -5.0]))
    aside = Rigid(torch.eye(3), torch.tensor([50.0, 0.0, 3.0]))
    nothing = torch.full((48, 64), 255, dtype=torch.uint8)
    for view in (behind, aside):
        carve(inside, *SIDES, nothing, view, PINHOLE)
    assert inside.all()
    carve(inside, *SIDES, nothing, Rigid(torch.eye(3), torch.tensor([0.0, 0.0, 3.0])), PINHOLE)
    assert not inside.all()
