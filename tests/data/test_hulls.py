"""Hulls of captures of known shapes."""

import math

import numpy as np
import pytest
import torch

from unflat.data import hulls
from unflat.data.hulls import box_of, near_object, silhouettes, visual_hull
from unflat.data.kinds import Capture, Scene
from unflat.geometry.cameras import Pinhole

RADIUS, SIZE = 0.5, 60


def balls(count: int = 20) -> Capture:
    """A ball about the origin from all sides, opaque on nothing."""
    pinhole = Pinhole(70.0, 70.0, SIZE / 2, SIZE / 2, SIZE, SIZE)
    rays = pinhole.rays().numpy().reshape(-1, 3)
    poses, pictures = [], []
    for i in range(count):
        z, turn = 1 - (2 * i + 1) / count, math.pi * (1 + 5**0.5) * i
        forward = -np.array([math.sqrt(1 - z * z) * math.cos(turn), math.sqrt(1 - z * z) * math.sin(turn), z])
        right = np.cross(forward, [0.1, 0.2, 0.9])
        right /= np.linalg.norm(right)
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = np.stack([right, np.cross(forward, right), forward], 1), -3 * forward
        centre = np.array([0.0, 0.0, 3.0])
        along = rays @ centre / (rays**2).sum(1)
        shown = np.linalg.norm(along[:, None] * rays - centre, axis=1) < RADIUS
        pictures.append(np.concatenate([np.full((SIZE**2, 3), 90), 255 * shown[:, None]], 1).astype(np.uint8))
        poses.append(pose)
    return Capture(np.concatenate(pictures), [pinhole] * count, np.stack(poses), tuple(map(str, range(count))), Scene())


SIDES = torch.tensor([-1.0, -1.0, -1.0]), torch.tensor([1.0, 1.0, 1.0])


@pytest.mark.parametrize("looked_at", [200, 30, 25])
def test_the_hull_holds_the_object_and_little_else(looked_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from silhouettes that are half as large, and from such as do not divide the picture."""
    monkeypatch.setattr(hulls, "LOOKED_AT", looked_at)
    inside = visual_hull(silhouettes(balls()), *SIDES, (40, 40, 40))
    axis = (torch.arange(40) + 0.5) / 20 - 1
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1)
    assert inside[distance < RADIUS].all()
    assert not inside[distance > RADIUS + 0.1 + 0.2 * 60 / looked_at].any()


def test_the_box_is_drawn_tight() -> None:
    inside = visual_hull(silhouettes(balls()), *SIDES, (40, 40, 40))
    low, high = box_of(inside, *SIDES)
    assert (low < -RADIUS).all() and (low > -0.72).all() and (high > RADIUS).all() and (high < 0.72).all()
    assert box_of(torch.zeros(4, 4, 4, dtype=torch.bool), *SIDES) == SIDES


def test_pixels_near_the_object() -> None:
    found = balls(2)
    near = near_object(found, 3)
    shown = np.flatnonzero(found.pixels[:, 3])
    assert set(shown) <= set(near)
    rows, columns = np.divmod(near % SIZE**2, SIZE)
    apart = np.hypot(rows + 0.5 - SIZE / 2, columns + 0.5 - SIZE / 2)
    radius = np.hypot(*(np.stack(np.divmod(shown % SIZE**2, SIZE)) + 0.5 - SIZE / 2)).max()
    assert radius + 2.9 < apart.max() < radius + 3 * math.sqrt(2) + 0.1


def test_captures_without_opacity_have_no_silhouettes() -> None:
    found = balls(2)
    plain = Capture(found.pixels[:, :3], found.pinholes, found.scene_from_camera, found.names, found.scene)
    with pytest.raises(ValueError, match="no opacity"):
        silhouettes(plain)
