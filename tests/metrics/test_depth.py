"""Depth metrics against closed forms: scale, tilt, offset, coverage and the inside-out twin."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.metrics.depth import (
    absolute_correlation,
    coverage,
    depth_scores,
    erode,
    filled,
    landmark_correlation,
    landmark_depth,
    mad,
    pearson,
    side,
    yaw_slope,
)

CAMERA = Pinhole.across_centres(24, math.radians(10))
EVERYWHERE = torch.ones(1, 24, 24, dtype=torch.bool)


def plane(tilt: float, about: str = "y", size: int = 24) -> Tensor:
    """Depth of the plane through (0, 0, 1), turned by `tilt` degrees about x or y: rays met with n . X = n . c."""
    a = math.radians(tilt)
    normal = torch.tensor([math.sin(a), 0, -math.cos(a)] if about == "y" else [0, math.sin(a), -math.cos(a)])
    rays = Pinhole.across_centres(size, math.radians(10)).rays().double()
    return (normal[2] / (rays @ normal.double())).expand(1, size, size)


def relief(seed: int = 0) -> Tensor:
    """A smooth bump near depth 1, nearest in the middle, with something random on it."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[-1:1:24j, -1:1:24j]
    a, b, c = rng.uniform(-0.02, 0.02, 3)
    return torch.from_numpy(0.96 + 0.05 * (u**2 + v**2) + a * u + b * v + c * np.sin(3 * u * v))[None]


def test_a_perfect_prediction_scores_zero() -> None:
    scores = depth_scores(relief(), relief(), CAMERA)
    assert float(scores.side) == 0 and float(scores.mad) == 0 and float(scores.mae) == 0
    assert float(scores.coverage) == 1


@pytest.mark.parametrize("scale", [0.5, 0.97, 3.0])
def test_side_and_mad_leave_a_global_scale_out(scale: float) -> None:
    depth, truth = relief(1), relief(2)
    plain, scaled = side(depth, truth, EVERYWHERE), side(depth * scale, truth, EVERYWHERE)
    assert torch.allclose(plain, scaled, rtol=1e-12)
    turned = [mad(d, truth, erode(EVERYWHERE), CAMERA) for d in (depth, depth * scale)]
    assert torch.allclose(*turned, rtol=1e-12)


def test_side_is_the_natural_logarithm_about_its_mean() -> None:
    """Half of the pixels e^0.01 too far, half e^0.01 too near: the spread is 0.01 whatever the mean."""
    truth = relief()
    sign = torch.ones(1, 24, 24)
    sign[:, :, ::2] = -1
    assert float(side(truth * torch.exp(0.01 * sign + 0.3), truth, EVERYWHERE)) == pytest.approx(0.01, abs=1e-7)


@pytest.mark.parametrize("tilt", [-50.0, -3.0, 0.0, 0.01, 20.0, 60.0])
@pytest.mark.parametrize("about", ["x", "y"])
def test_mad_of_a_tilted_plane_is_its_tilt(tilt: float, about: str) -> None:
    scores = depth_scores(plane(tilt, about), plane(0), CAMERA)
    assert float(scores.mad) == pytest.approx(abs(tilt), abs=1e-4)


def test_a_plane_turned_inside_out_tilts_the_other_way() -> None:
    """2 - depth turns a tilt of +t into about -t, so against a plane of tilt t the twin is about 2t off."""
    scores = depth_scores(plane(10), plane(10), CAMERA)
    assert float(scores.mad_twin) == pytest.approx(20, abs=0.5)
    assert not bool(scores.mad_twin < scores.mad)
    dented = depth_scores(2 - relief(), relief(), CAMERA)
    assert bool(dented.mad_twin < dented.mad)
    assert float(dented.mad_twin) < 1e-3 and float(dented.side_twin) < 1e-6


def test_mae_is_in_units_of_depth() -> None:
    assert float(depth_scores(relief() + 0.03, relief(), CAMERA).mae) == pytest.approx(0.03, abs=1e-12)


@pytest.mark.parametrize("times", [0, 1, 2, 3])
def test_erosion_is_the_brute_force_one(times: int) -> None:
    mask = torch.from_numpy(np.random.default_rng(5).random((2, 12, 9)) > 0.04)
    padded = np.pad(mask.numpy(), ((0, 0), (times, times), (times, times)))
    brute = np.lib.stride_tricks.sliding_window_view(padded, (2 * times + 1, 2 * times + 1), (1, 2)).all((-2, -1))
    assert np.array_equal(erode(mask, times).numpy(), brute)


def test_uncovered_pixels_are_counted_and_not_scored() -> None:
    truth = relief()
    truth[:, :, :4] = math.nan  # no object on the left
    depth = truth.clone()
    depth[:, :, 14:] = math.nan  # right half not covered
    scores = depth_scores(depth, truth, CAMERA)
    # the truth is known in columns 4..23, eroded 5..22; the common part is 5..12
    assert float(scores.coverage) == pytest.approx(8 / 18)
    assert float(coverage(depth, truth)) == float(scores.coverage)
    assert float(scores.side) == 0 and float(scores.mad) == 0
    filled = depth.nan_to_num(nan=1.2)  # as if a background plane were a prediction
    assert float(depth_scores(filled, truth, CAMERA).side) > 0.01


def test_filled_every_pixel_of_the_eroded_true_mask_is_scored() -> None:
    """By brute force: pixel by pixel, uncovered ones at depth 1, normals from differences two pixels wide."""
    truth, depth = relief(1), relief(2)
    truth[:, :, :3] = math.nan
    depth[:, 10:, 15:] = math.nan
    ours, true = np.where(depth[0].isnan(), 1.0, depth[0]), truth[0].numpy()
    rays = CAMERA.rays().double().numpy()
    logs, angles = [], []
    for v in range(1, 23):
        for u in range(4, 23):
            logs.append(math.log(ours[v, u]) - math.log(true[v, u]))
            turned = []
            for d in (ours, true):
                across = d[v, u + 1] * rays[v, u + 1] - d[v, u - 1] * rays[v, u - 1]
                down = d[v + 1, u] * rays[v + 1, u] - d[v - 1, u] * rays[v - 1, u]
                normal = np.cross(across, down)
                turned.append(normal / np.linalg.norm(normal))
            angles.append(math.degrees(math.acos(min(1.0, float(turned[0] @ turned[1])))))
    scores = depth_scores(filled(depth), truth, CAMERA)
    assert float(scores.coverage) == 1
    assert float(scores.side) == pytest.approx(np.std(logs), rel=1e-9)
    assert float(scores.mad) == pytest.approx(np.mean(angles), rel=1e-6)


def test_filled_a_whole_prediction_is_left_as_it_is() -> None:
    assert torch.equal(filled(relief()), relief())


def test_depth_at_a_landmark_is_bilinear_between_pixel_centres() -> None:
    """A plane is met exactly; the first centre is at (0.5, 0.5) and the outermost half pixel takes the border's."""
    v, u = np.mgrid[0.5:7.5:8j, 0.5:11.5:12j]
    plane = torch.from_numpy(0.9 + 0.01 * u + 0.003 * v)[None]
    at = torch.tensor([[[0.5, 0.5], [3.2, 6.7], [11.5, 7.5], [0.1, 3.5], [12.0, 8.0]]])
    expected = [0.9 + 0.01 * u + 0.003 * v for u, v in ((0.5, 0.5), (3.2, 6.7), (11.5, 7.5), (0.5, 3.5), (11.5, 7.5))]
    assert landmark_depth(plane, at)[0].tolist() == pytest.approx(expected)


def test_a_landmark_without_predicted_depth_is_left_out() -> None:
    depth = torch.ones(1, 4, 4)
    depth[0, :, 2:] = math.nan
    at = torch.tensor([[[1.9, 1.0], [2.1, 1.0], [-0.1, 1.0], [1.0, 4.1], [1.0, 4.0]]])
    assert landmark_depth(depth, at)[0].isnan().tolist() == [False, True, True, True, False]
    assert float(landmark_depth(depth, at)[0, 0]) == 1, "neighbours without a depth do not count"


def test_landmark_correlation_is_numpys_over_the_photos_that_are_left() -> None:
    rng = np.random.default_rng(3)
    depth = torch.from_numpy(rng.uniform(0.9, 1.1, (12, 5, 5)))
    landmarks = torch.from_numpy(np.concatenate([rng.integers(0, 5, (12, 3, 2)) + 0.5, rng.random((12, 3, 1))], -1))
    depth[4, 2, 3], landmarks[4, 1, :2] = math.nan, torch.tensor([3.5, 2.5])
    column, row = landmarks[..., 0].long(), landmarks[..., 1].long()
    sampled = depth[torch.arange(12)[:, None], row, column].numpy()
    for k, ours in enumerate(landmark_correlation(depth, landmarks)):
        kept = ~np.isnan(sampled[:, k])
        assert float(ours) == pytest.approx(abs(np.corrcoef(sampled[kept, k], landmarks[kept, k, 2])[0, 1]))
    assert np.isnan(sampled).sum() >= 1


def test_correlation_is_one_for_any_line_and_absolute_and_nothing_for_a_constant() -> None:
    true = torch.from_numpy(np.random.default_rng(0).normal(size=(30, 3)))
    predicted = torch.stack([3 - 2 * true[:, 0], 5 * true[:, 1], torch.full((30,), 1 / 3)], 1)
    correlation = absolute_correlation(predicted, true)
    assert correlation[:2].tolist() == pytest.approx([1, 1]) and correlation[2].isnan()
    assert absolute_correlation(predicted * math.nan, true).isnan().all()


def test_chance_is_above_zero() -> None:
    """Of n independent pairs |r| has the mean sqrt(2 / (pi n)), about."""
    a, b = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 200, 2000)))
    assert float(absolute_correlation(a, b).mean()) == pytest.approx(math.sqrt(2 / (math.pi * 200)), rel=0.05)


def test_both_masks_are_eroded_before_they_meet() -> None:
    """A wild value in the outermost covered pixels is in no score, though normals look one pixel far."""
    truth, depth = relief(), relief()
    depth[:, 10:14, 10:14] = math.nan
    wild = torch.nn.functional.max_pool2d(depth.isnan().double(), 3, 1, 1).bool() & ~depth.isnan()
    depth[wild] = 0.5
    scores = depth_scores(depth, truth, CAMERA)
    assert float(scores.side) == 0
    assert float(scores.mad) > 0  # the ring's neighbours do see it: they are covered and so they count


def test_pictures_are_scored_one_by_one() -> None:
    nothing = torch.full_like(relief(), math.nan)
    depth = torch.cat([relief(1), relief(2), nothing])
    truth = torch.cat([relief(3), relief(4), relief(5)])
    scores = depth_scores(depth, truth, CAMERA)
    assert len(scores) == 3
    assert float(scores.coverage[2]) == 0 and scores.side[2].isnan() and scores.mad[2].isnan()
    alone = depth_scores(relief(2), relief(4), CAMERA)
    assert torch.equal(scores.side[1:2], alone.side) and torch.equal(scores.mad[1:2], alone.mad)


def test_no_object_means_no_coverage_figure() -> None:
    nothing = torch.full((1, 24, 24), math.nan)
    assert depth_scores(relief(), nothing, CAMERA).coverage.isnan().all()


def test_sizes_have_to_agree() -> None:
    with pytest.raises(ValueError, match=r"predicted depth is \(1, 12, 12\).*predict at the size of the truth"):
        depth_scores(torch.ones(1, 12, 12), relief(), CAMERA)


def test_single_precision_is_enough() -> None:
    scores = depth_scores(plane(5).float(), plane(0).float(), CAMERA)
    assert float(scores.mad) == pytest.approx(5, abs=2e-3)


def test_pearson_is_numpys() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 30, 3))
    ours = pearson(torch.from_numpy(a), torch.from_numpy(b))
    theirs = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(3)]
    assert np.allclose(ours.numpy(), theirs)
    assert pearson(torch.ones(4), torch.arange(4.0)).isnan()


def test_yaw_slope_leaves_the_constant_frame_out() -> None:
    true = torch.linspace(-0.8, 0.8, 40)
    assert yaw_slope(0.6 * true + 0.25, true) == pytest.approx((0.6, 1.0))
    assert yaw_slope(-true, true) == pytest.approx((-1.0, -1.0))
    noisy = yaw_slope(true + 0.3 * torch.sin(40 * true), true)
    assert noisy.correlation < 0.95
    assert noisy.slope == pytest.approx(
        np.polyfit(true.numpy(), (true + 0.3 * torch.sin(40 * true)).numpy(), 1)[0], abs=1e-5
    )
    with pytest.raises(ValueError, match="equally long lists"):
        yaw_slope(true[:3], true)
