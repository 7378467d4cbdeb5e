"""From a raw map to a relief: ranges, borders, and which way it bulges."""

import pytest
import torch

from unflat.geometry.depth import paraboloid
from unflat.networks.relief_head import ReliefHead


def test_depth_is_tanh_about_the_mean_in_its_range() -> None:
    """By hand on one map, the formula of Wu et al. 2020."""
    raw = torch.randn(1, 16, 16)
    raw = raw + raw.flip(1)  # upright
    share, depth = ReliefHead(16, 1, (0.9, 1.1), 0.7, bump=0.0)(raw)
    r = torch.tanh(raw - raw.mean())
    expected = (1 + r) / 2 * 1.1 + (1 - r) / 2 * 0.9
    torch.testing.assert_close(depth[:, :, 2:-2], expected[:, :, 2:-2])
    torch.testing.assert_close(0.9 + 0.2 * share, expected)
    for column in (0, 1, -2, -1):
        torch.testing.assert_close(depth[:, :, column], torch.full((1, 16), 1.04))


@pytest.mark.parametrize("stride", [2, 4])
def test_a_coarse_map_makes_a_relief_of_full_size_in_its_range(stride: int) -> None:
    head = ReliefHead(32, stride, (0.9, 1.1), 1.0, bump=0.0)
    share, depth = head(20 * torch.randn(2, 32 // stride, 32 // stride))
    assert share.shape == (2, 32 // stride, 32 // stride) and depth.shape == (2, 32, 32)
    assert depth.min() >= 0.9 and depth.max() <= 1.1
    flat = head(torch.zeros(1, 32 // stride, 32 // stride))[1]
    torch.testing.assert_close(flat[:, :, 2:-2], torch.ones(1, 32, 28))


@pytest.mark.parametrize("stride", [1, 2])
def test_how_a_map_leans_back_does_not_count(stride: int) -> None:
    cells = 16 // stride
    head, raw = ReliefHead(16, stride, (0.9, 1.1), 1.0, bump=1.0), torch.randn(2, cells, cells)
    down = torch.linspace(-1, 1, cells)[:, None]
    torch.testing.assert_close(head(raw + 0.7 * down + 0.3), head(raw))
    assert (head(raw + 0.7 * down.T)[1] - head(raw)[1]).abs().max() > 0.01, "aside there is a mirror image to tell"


def test_what_leans_at_the_border_does_not_count_as_leaning() -> None:
    head = ReliefHead(16, 1, (0.9, 1.1), 1.0, bump=0.0)
    raw = torch.zeros(1, 16, 16)
    raw[:, 0], raw[:, -1] = 1.0, -1.0
    share = head(raw)[0]
    torch.testing.assert_close(share[:, 1:-1], torch.full_like(share[:, 1:-1], 0.5))


def test_where_views_are_known_a_relief_may_lean() -> None:
    head = ReliefHead(16, 1, (0.9, 1.1), 1.0, bump=0.0, upright=False)
    share = head(torch.linspace(-1, 1, 16)[:, None].expand(1, 16, 16))[0]
    assert share[0, -1, 8] - share[0, 0, 8] > 0.5


def test_what_is_half_the_range_behind_is_not_seen() -> None:
    assert ReliefHead(16, 1, (0.9, 1.1), 1.0, 0.0).far == pytest.approx(1.2)  # the paper's margin


def test_the_side_on_which_reliefs_bulge_is_watched() -> None:
    head = ReliefHead(16, 1, (0.9, 1.1), 1.0, bump=1.0)
    for _ in range(30):
        convexity = head.watch(head(torch.zeros(3, 16, 16))[0])
    # near in the middle, far at the rim: depth goes with the paraboloid
    expected = (head(torch.zeros(1, 16, 16))[0][0] * paraboloid(16)).mean()
    assert convexity > 0 and convexity.item() == pytest.approx(expected.item(), rel=1e-2)
    head.turn_inside_out()
    assert head.convexity < 0
    assert (head(torch.zeros(1, 16, 16))[0][0] * paraboloid(16)).mean() < 0


def test_nan_does_not_stay_in_what_is_watched() -> None:
    head = ReliefHead(16, 1, (0.9, 1.1), 1.0, bump=1.0)
    head.watch(torch.full((1, 16, 16), torch.nan))
    assert head.convexity == 0
