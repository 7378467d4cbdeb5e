"""Depth maps made into one surface: by hand for walls, and against the ball they were taken of."""

import math

import numpy as np
import pytest
import torch

from tests.oracles.ball import around, ball
from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid
from unflat.method import Method, Prediction
from unflat.outputs.fusion import DepthMap, behind, depth_maps, fused

CAMERA = Pinhole(4.0, 4.0, 2.0, 2.0, 4, 4)


def wall(depth: float, turned: bool = False) -> DepthMap:
    """A wall that fills the picture of a camera at the middle looking along z, or at z = 4 looking back."""
    rotation = torch.diag(torch.tensor([-1.0, 1.0, -1.0])) if turned else torch.eye(3)
    return DepthMap(
        torch.full((4, 4), depth), CAMERA, Rigid(rotation, torch.tensor([0.0, 0.0, 4.0 if turned else 0.0]))
    )


def along(*z: float) -> torch.Tensor:
    return torch.tensor([[0.0, 0.0, value] for value in z])


def test_one_map_says_how_far_behind_its_surface_a_point_is() -> None:
    value = fused([wall(2.0)], reach=1.0)
    torch.testing.assert_close(
        value(along(0.5, 1.5, 2.0, 2.5, 2.99)), torch.tensor([-1.0, -0.5, 0.0, 0.5, 0.99]), atol=1e-5, rtol=0
    )
    assert value(along(3.5)).item() == 1.0, "deeper than anybody sees is inside"
    assert value(along(-1.0)).item() == -1.0, "in no picture is outside"
    assert value(torch.tensor([[3.0, 0.0, 2.0]])).item() == -1.0, "beside every picture is outside"


def test_maps_that_see_a_point_are_averaged_and_one_that_is_far_behind_another_surface_is_silent() -> None:
    # from behind, the surface is at z = 4 - 1.6 = 2.4: the wall is between 2 and 2.4
    value = fused([wall(2.0), wall(1.6, turned=True)], reach=1.0)
    torch.testing.assert_close(value(along(2.0, 2.2, 2.4, 1.2)), torch.tensor([0.2, 0.2, 0.2, -0.8]), atol=1e-5, rtol=0)
    # at z = 0.9 the one sees it 1.1 before its wall (-1), the other 1.5 behind its own: it says nothing
    torch.testing.assert_close(value(along(0.9)), torch.tensor([-1.0]))


def test_which_pixel_shows_a_point_and_how_far_behind_it_lies() -> None:
    one = wall(2.0)._replace(depth=torch.arange(16.0).view(4, 4))
    points = torch.tensor([[0.0, 0, 3], [0.3, -0.3, 1], [9.0, 0, 1], [0, 0, -1]])
    within, deeper, (row, column) = behind(one, points)
    assert within.tolist() == [True, True, False, False]
    assert (row[:2].tolist(), column[:2].tolist()) == ([2, 0], [2, 3])
    torch.testing.assert_close(deeper[:2], torch.tensor([3.0 - 10, 1.0 - 3]))


def test_maps_have_the_colours_that_the_method_gives() -> None:
    one = depth_maps(ball(), around(2), side=40)[0]
    assert one.rgb is not None and one.rgb.shape == (40, 40, 3)
    assert (one.rgb[~one.depth.isfinite()] == 1).all() and one.rgb[20, 20].min() < 1


def test_where_nothing_is_seen_is_outside() -> None:
    assert fused([wall(math.inf)], reach=1.0)(along(2.0)).item() == -1.0


def test_the_surface_of_a_ball_is_where_all_its_maps_say() -> None:
    maps = depth_maps(ball(), around(40), side=160)
    value = fused(maps, reach=0.1)
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    # what is oblique to a camera is deeper behind its map than along the normal: the zero is a little inside or on it
    assert (value(0.57 * directions) > 0).all() and (value(0.62 * directions) < 0).all()
    assert (value(0.2 * directions) == 1).all() and (value(0.9 * directions) == -1).all()


def test_maps_are_taken_of_views_spread_over_those_there_are() -> None:
    views = around(9)
    maps = depth_maps(ball(), views, side=20, most=3)
    assert len(maps) == 3 and maps[0].depth.shape == (20, 20)
    centres = [one.camera_from_scene.inverse.translation.numpy() for one in maps]
    np.testing.assert_allclose(centres, views.centres[[0, 4, 8]], atol=1e-5)
    assert torch.isinf(maps[0].depth[0, 0]), "nothing is there"
    assert maps[0].depth[10, 10] == pytest.approx(3 - 0.6, abs=0.01)


def test_a_method_without_depth_is_told_what_to_do() -> None:
    class Blind(Method, takes=type(ball()).takes, asks=type(ball()).asks, gives=("rgb",)):
        def predict(self, query: object) -> Prediction:
            return Prediction(rgb=torch.zeros(1, 4, 4, 3))

    with pytest.raises(ValueError, match="Blind gives no depth: take the surface of its density"):
        depth_maps(Blind(None, ball().extent), around(1), side=4)
