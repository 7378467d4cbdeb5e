"""Hulls of captures of known shapes."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.data import hulls
from unflat.data.hulls import agreed_hull, box_of, carved, near_object, seen_by, silhouettes, visual_hull
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


def test_what_is_carved_depends_on_the_space() -> None:
    """The ball's hull in its own box; what enough pictures see of a space without end; else everything."""
    found = balls()
    hull = carved(found, *SIDES, 0.0)
    assert (hull.low < -RADIUS).all() and (hull.low > -0.72).all() and 0.2 < hull.inside.float().mean() < 0.9
    endless = replace(found, scene=Scene(space="contracted"))
    corners = torch.full((3,), -2.0), torch.full((3,), 2.0)
    seen = [carved(endless, *corners, least).inside.float().mean() for least in (0.0, 0.3, 0.9)]
    assert 1 >= seen[0] > seen[1] > seen[2] > 0
    plain = replace(found, pixels=found.pixels[:, :3])
    everything = carved(plain, *SIDES, 0.0)
    assert everything.inside.all() and (everything.low, everything.high) == SIDES


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


def distances(cells: int) -> Tensor:
    axis = (torch.arange(cells) + 0.5) * 2 / cells - 1
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1)


def test_the_hull_of_a_ball_holds_it_and_is_little_larger() -> None:
    """20 views: the ball, and under 1.3 times its volume but for the voxels and pixels at its surface."""
    hull = agreed_hull(balls(20), *SIDES, (80, 80, 80))
    assert hull[distances(80) < RADIUS].all()
    pixel, voxel = 3 / 70, math.sqrt(3) / 80  # both are kept whole
    ball = 4 / 3 * math.pi * (RADIUS + pixel + 2 * voxel) ** 3
    assert float(hull.float().mean() * 8) < 1.3 * ball


def test_silhouettes_are_widened_by_a_share_of_the_picture() -> None:
    narrow, wide = (agreed_hull(balls(20), *SIDES, (40, 40, 40), dilation=d) for d in (0.0, 6 / 60))
    assert bool((wide | ~narrow).all())
    widths = [float((hull.float().mean() * 8 * 3 / 4 / math.pi) ** (1 / 3)) for hull in (narrow, wide)]
    assert widths[1] - widths[0] == pytest.approx(6 * 3 / 70, rel=0.3), "six pixels, at the ball's distance"


def test_one_wrong_silhouette_of_twenty_is_outvoted() -> None:
    """With less agreement asked, what one picture rules out stays, and what several do does not."""
    capture = balls(20)
    pixels = capture.pixels.copy()
    pixels[: capture.first[1], 3] = 0  # the first picture shows nothing
    wrong = replace(capture, pixels=pixels)
    assert not agreed_hull(wrong, *SIDES, (24, 24, 24)).any()
    lenient = agreed_hull(wrong, *SIDES, (24, 24, 24), agreement=0.9)
    assert lenient[distances(24) < RADIUS].all()
    assert not lenient[distances(24) > 0.85].any()


def test_brute_force_finds_the_same_agreement() -> None:
    """Of every cell and picture by itself: seen, and further from the silhouette than the cell reaches."""
    capture, count = balls(6), 7
    hull = agreed_hull(capture, *SIDES, (count, count, count), agreement=0.7)
    side, expected = 2 / count, torch.zeros(count, count, count, dtype=torch.bool)
    for i in range(count):
        for j in range(count):
            for k in range(count):
                place = (np.array([i, j, k]) + 0.5) * side - 1
                seen = shown = 0
                for p in range(len(capture)):
                    x, y, z = np.linalg.inv(capture.scene_from_camera[p])[:3] @ [*place, 1]
                    u, v = (int(np.floor(70 * a / z + 30)) for a in (x, y))
                    if z > 0 and 0 <= u < 60 and 0 <= v < 60:
                        seen += 1
                        rows, columns = np.nonzero(capture.picture(p)[..., 3])
                        away = np.maximum(abs(rows - v), abs(columns - u)).min()
                        shown += away <= 0.5 * side * math.sqrt(3) * 70 / z + 1
                expected[i, j, k] = bool(seen > 0 and shown >= 0.7 * seen)
    assert float((hull == expected).float().mean()) > 0.99 and 0 < hull.float().mean() < 1


def test_what_no_picture_sees_is_out() -> None:
    capture = balls(4)
    far = torch.tensor([-9.0, -9.0, -9.0]), torch.tensor([9.0, 9.0, 9.0])
    hull = agreed_hull(capture, *far, (18, 18, 18))
    axis = torch.arange(18) - 8.5
    places = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    unseen = (seen_by(capture, places) < 1).view(hull.shape)
    assert unseen.any() and hull.any() and not hull[unseen].any()
    assert visual_hull(silhouettes(capture), *far, (18, 18, 18))[unseen].any(), "they are not ruled out"
