"""Depth from pictures alone: of a painted ball that is known, and what is made of the capture's own pictures."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from unflat.data.kinds import Capture
from unflat.data.viewpoints import Viewpoints
from unflat.outputs.foreground import Foreground
from unflat.outputs.fusion import DepthMap
from unflat.outputs.paths import kept_views, views_of
from unflat.outputs.stereo import colours_seen, small_pictures, stereo_maps
from unflat.worlds.objects import DIAGONAL, Objects

RADIUS = DIAGONAL / 12**0.5
BOX = Foreground.whole(torch.full((3,), -0.75), torch.full((3,), 0.75))
EVERY = list(range(24))


@pytest.fixture(scope="module")
def capture() -> Capture:
    return Objects("sphere", 24, 64).capture(progress=False)


@pytest.fixture(scope="module")
def views(capture: Capture) -> Viewpoints:
    return views_of(*kept_views(capture.viewpoints, 24, 64))


def off_the_ball(maps: list[DepthMap]) -> torch.Tensor:
    """How far what pixels show lies outside of it."""
    points = [one.places[one.depth.isfinite()] for one in maps]
    return torch.cat(points).norm(dim=1) - RADIUS


def test_a_painted_ball_is_seen_where_it_is(capture: Capture, views: Viewpoints) -> None:
    pictures = small_pictures(capture, EVERY, views.pinholes[0])
    maps = stereo_maps(pictures, views, BOX)
    off = off_the_ball(maps).abs()
    pixel = 3.2 / views.pinholes[0].fx
    assert off.median() < 0.5 * pixel and off.quantile(0.95) < 3 * pixel
    depth = torch.stack([one.depth for one in maps])
    opaque = pictures[..., 3] > 127
    assert (depth.isposinf() == ~opaque).all(), "what is transparent is known to be empty"
    assert depth[opaque].isfinite().float().mean() > 0.9


def test_what_masks_hide_is_not_known(capture: Capture, views: Viewpoints) -> None:
    hidden = np.ones(len(capture.pixels), bool)
    hidden[capture.first[3] : capture.first[4]] = False
    masked = replace(capture, mask=hidden)
    pictures = small_pictures(masked, EVERY, views.pinholes[0])
    assert (pictures[3, ..., 3:] == 0).all() and (pictures[2, ..., 4] == 255).all()
    maps = stereo_maps(pictures, views, BOX)
    assert maps[3].depth.isneginf().all() and off_the_ball(maps).abs().median() < 0.02


def test_depth_that_is_known_stays_where_it_is_of_something_else(capture: Capture, views: Viewpoints) -> None:
    """Beyond the box; and where stereo finds none."""
    pictures = small_pictures(capture, EVERY, views.pinholes[0])
    pictures[..., 3] = pictures[..., 4]
    known = [
        DepthMap(torch.full((32, 32), 3.2 if i else 9.0), views.pinholes[0], one)
        for i, one in enumerate(views.camera_from_scene[i] for i in range(len(views)))
    ]
    maps = stereo_maps(pictures, views, BOX, known)
    assert (maps[0].depth == 9).all()
    assert all(one.depth.isfinite().all() for one in maps)
    pixels = capture.picture(1)[..., 3] > 127
    seen = maps[1]._replace(depth=maps[1].depth.where(torch.from_numpy(pixels), torch.inf))
    assert off_the_ball([seen]).abs().median() < 0.05


def test_small_pictures_are_what_one_plain_camera_sees(capture: Capture, views: Viewpoints) -> None:
    """Of pictures with a principal point of their own, and twice as large; beside them nothing is known."""
    same = small_pictures(capture, [0], views.pinholes[0])[0]
    own = torch.from_numpy(capture.picture(0)).float()
    torch.testing.assert_close(same[..., 3].float(), own[..., 3], atol=1.0, rtol=0)
    torch.testing.assert_close(same[..., :3].float(), own[..., :3] * own[..., 3:] / 255, atol=1.5, rtol=0)
    moved = small_pictures(capture, [0], views.pinholes[0].shifted(5.0, 0.0))[0]
    torch.testing.assert_close(moved[:, 5:], same[:, :-5], atol=1, rtol=0)
    assert (moved[:, :4] == 0).all()


def test_colours_are_those_of_the_pictures_that_see_a_point(capture: Capture, views: Viewpoints) -> None:
    pictures = small_pictures(capture, EVERY, views.pinholes[0])
    maps = stereo_maps(pictures, views, BOX)
    for one, picture in zip(maps[:3], pictures[:3], strict=True):
        middle = one.depth[32, 32]
        point = one.camera_from_scene.inverse.apply(one.pinhole.rays()[32, 32][None] * middle)
        colour = colours_seen(pictures, maps, torch.cat([point, torch.zeros(1, 3)]), 0.05)
        assert (colour[0] - picture[32, 32, :3] / 255).abs().max() < 0.1
        torch.testing.assert_close(colour[1], colour[0], msg="the mean of what is known, where nobody sees in")


def test_two_pictures_are_too_few(capture: Capture, views: Viewpoints) -> None:
    with pytest.raises(ValueError, match="needs 3 pictures or more, and these are 2"):
        stereo_maps(small_pictures(capture, [0, 1], views.pinholes[0]), views[:2], BOX)
