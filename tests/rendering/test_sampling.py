"""Where rays are sampled: closed forms of the spacings, and statistics of what is drawn."""

import math

import pytest
import torch
from torch import Tensor

from unflat.rendering.sampling import Jitter, Spacing, refined_edges, resampled, spaced, stratified_edges
from unflat.rendering.volume import absorption, middles, thickness_between

SPACINGS: list[Spacing] = ["linear", "disparity", "log", "piecewise"]


def rays(count: int, near: float, far: float) -> tuple[Tensor, Tensor]:
    return torch.full((count,), near), torch.full((count,), far)


# -- even samples ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spacing", "expected"),
    [
        ("linear", [0.5, 8.375, 16.25, 24.125, 32.0]),
        ("disparity", [0.5, 1 / 1.5078125, 1 / 1.015625, 1 / 0.5234375, 32.0]),
        ("log", [0.5, math.sqrt(2), 4.0, math.sqrt(128), 32.0]),
        # half of distance / 2 up to 1, 1 - 1 / (2 distance) beyond: from 0.25 to 1 - 1/64
        ("piecewise", [0.5, 2 * 0.43359375, 0.5 / 0.3828125, 0.5 / 0.19921875, 32.0]),
    ],
)
def test_spacings(spacing: Spacing, expected: list[float]) -> None:
    edges = stratified_edges(*rays(2, 0.5, 32.0), 4, spacing=spacing)
    torch.testing.assert_close(edges, torch.tensor([expected] * 2), rtol=1e-5, atol=0)


def test_half_of_the_piecewise_samples_are_within_one() -> None:
    edges = stratified_edges(*rays(1, 0.0, 1e9), 64, spacing="piecewise")[0]
    assert float(edges[32]) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(edges[:33].diff(), torch.full((32,), 1 / 32))  # even up to 1
    torch.testing.assert_close((1 / edges[32:-1]).diff(), torch.full((31,), -1 / 32), rtol=1e-3, atol=0)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("jitter", ["edge", "ray", None])
def test_edges_cover_the_ray_in_order(spacing: Spacing, jitter: Jitter | None) -> None:
    torch.manual_seed(0)
    near, far = torch.linspace(0.1, 2, 50), torch.linspace(2.5, 90, 50)
    edges = stratified_edges(near, far, 33, jitter=jitter, spacing=spacing)
    torch.testing.assert_close(edges[:, [0, -1]], torch.stack([near, far], 1), rtol=1e-4, atol=0)
    assert (edges.diff(dim=1) >= 0).all()


def test_without_jitter_nothing_is_drawn() -> None:
    before = torch.get_rng_state()
    stratified_edges(*rays(3, 1.0, 2.0), 8)
    assert torch.equal(before, torch.get_rng_state())


def test_each_edge_is_evenly_spread_about_its_place() -> None:
    """Between the middles of its two intervals: mean, standard deviation and limits of a uniform distribution."""
    torch.manual_seed(0)
    moved = stratified_edges(*rays(20_000, 0.0, 8.0), 8, jitter="edge")[:, 1:-1] - torch.arange(1, 8)
    assert moved.abs().max() <= 0.5 and moved.abs().max() > 0.499
    torch.testing.assert_close(moved.mean(0), torch.zeros(7), rtol=0, atol=0.01)
    torch.testing.assert_close(moved.std(0), torch.full((7,), math.sqrt(1 / 12)), rtol=0.02, atol=0)
    assert torch.corrcoef(moved.T).fill_diagonal_(0).abs().max() < 0.05


def test_all_edges_of_a_ray_may_be_moved_alike() -> None:
    torch.manual_seed(0)
    moved = stratified_edges(*rays(2000, 0.0, 8.0), 8, jitter="ray")[:, 1:-1] - torch.arange(1, 8)
    torch.testing.assert_close(moved, moved[:, :1].expand(-1, 7), rtol=0, atol=1e-5)
    assert float(moved[:, 0].std()) == pytest.approx(math.sqrt(1 / 12), rel=0.1)


@pytest.mark.parametrize("jitter", ["edge", "ray"])
def test_one_interval_is_the_whole_ray(jitter: Jitter) -> None:
    assert stratified_edges(*rays(2, 1.0, 3.0), 1, jitter=jitter).tolist() == [[1.0, 3.0]] * 2


def test_shares_are_taken_ray_by_ray() -> None:
    near, far = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 8.0])
    found = spaced(torch.tensor([[0.0, 0.5], [0.5, 1.0]]), near, far, "log")
    torch.testing.assert_close(found, torch.tensor([[1.0, 2.0], [4.0, 8.0]]))


# -- drawn by weights --------------------------------------------------------------------------------------------------


def test_drawn_in_the_middles_of_equal_parts() -> None:
    """Bins of length 1, 2, 1 with weights 1, 2, 1: by hand."""
    edges, weights = torch.tensor([[0.0, 1.0, 3.0, 4.0]]), torch.tensor([[1.0, 2.0, 1.0]])
    found = resampled(weights, edges, 4, padding=0.0)
    torch.testing.assert_close(found, torch.tensor([[0.5, 1.5, 2.5, 3.5]]))
    edges, weights = torch.tensor([[0.0, 1.0, 3.0, 7.0]]), torch.tensor([[1.0, 2.0, 1.0]])
    found = resampled(weights, edges, 8, padding=0.0)
    torch.testing.assert_close(found, torch.tensor([[0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 4.0, 6.0]]))


def test_what_is_drawn_has_the_density_that_was_given() -> None:
    """Of a piecewise constant density each bin gets its share, evenly over its length; an empty bin gets nothing."""
    torch.manual_seed(0)
    edges = torch.tensor([[0.0, 0.5, 2.0, 2.25, 4.0]])
    weights = torch.tensor([[3.0, 1.0, 0.0, 4.0]])
    found = resampled(weights, edges, 200_000, stratified=True, padding=0.0)[0]
    counts = torch.stack([((found >= a) & (found < b)).sum() for a, b in zip(edges[0], edges[0, 1:], strict=False)])
    torch.testing.assert_close(counts / 200_000, weights[0] / 8, rtol=0, atol=1e-4)
    in_last = found[found >= 2.25]
    assert float(in_last.mean()) == pytest.approx(3.125, abs=2e-3)
    assert float(in_last.std()) == pytest.approx(1.75 / math.sqrt(12), rel=2e-3)


def test_drawing_follows_a_smooth_density() -> None:
    """The weights of fog of density 1 from 0 to 6 give distances spread as exp(-t): compared at its deciles."""
    edges = torch.linspace(0, 6, 301)[None]
    weights = absorption(thickness_between(torch.ones(1, 300), edges)).weights
    found = resampled(weights, edges, 10_000, padding=0.0)[0]
    shares = torch.arange(1, 10) / 10
    expected = -torch.log1p(-shares * -math.expm1(-6))
    torch.testing.assert_close(found.quantile(shares), expected, rtol=0, atol=1e-2)


def test_each_part_of_equal_probability_gets_one() -> None:
    torch.manual_seed(0)
    edges, weights = torch.linspace(0, 1, 11).repeat(500, 1), torch.ones(500, 10)
    found = resampled(weights, edges, 16, stratified=True)
    assert (found.diff(dim=1) >= 0).all()
    within = found * 16 - torch.arange(16)
    assert within.min() > -1e-4 and within.max() < 1 + 1e-4
    torch.testing.assert_close(within.mean(), torch.tensor(0.5), rtol=0, atol=0.02)
    assert float(within.std()) == pytest.approx(math.sqrt(1 / 12), rel=0.03)


@pytest.mark.parametrize("padding", [0.0, 1e-5])
def test_nothing_seen_gives_distances_all_the_same(padding: float) -> None:
    edges = torch.tensor([[1.0, 2.0, 5.0]])
    found = resampled(torch.zeros(1, 2), edges, 6, padding=padding)
    assert found.isfinite().all() and found.min() >= 1 and found.max() <= 5
    if padding:  # each bin gets as many
        assert int((found < 2).sum()) == 3


def test_bins_of_no_length_and_a_single_weight() -> None:
    edges = torch.tensor([[0.0, 1.0, 1.0, 2.0]])
    assert torch.equal(resampled(torch.tensor([[0.0, 1.0, 0.0]]), edges, 5, padding=0.0), torch.ones(1, 5))
    found = resampled(torch.tensor([[0.0, 0.0, 1.0]]), edges, 5, padding=0.0)
    torch.testing.assert_close(found, torch.tensor([[1.1, 1.3, 1.5, 1.7, 1.9]]))


def test_what_is_drawn_has_no_gradient() -> None:
    weights = torch.rand(2, 5, requires_grad=True)
    edges = torch.linspace(0, 1, 6).repeat(2, 1).requires_grad_()
    assert not resampled(weights, edges, 4).requires_grad
    assert not refined_edges(weights, edges, 4).requires_grad


# -- NeRF's second look ------------------------------------------------------------------------------------------------


def test_the_second_look_keeps_the_first_and_adds_where_something_is() -> None:
    """64 + 128: the union has 192 intervals, and the new edges are in the interval that has the weight."""
    edges = torch.linspace(2, 6, 65).repeat(3, 1)
    weights = torch.zeros(3, 64)
    weights[torch.arange(3), torch.tensor([10, 30, 50])] = 0.9
    found = refined_edges(weights, edges, 128)
    assert found.shape == (3, 193) and middles(found).shape == (3, 192)
    assert (found.diff(dim=1) >= 0).all()
    for r, i in enumerate((10, 30, 50)):
        assert torch.isin(edges[r], found[r]).all()
        inside = (found[r] >= edges[r, i]) & (found[r] <= edges[r, i + 1])
        assert int(inside.sum()) == 2 + 128


def test_first_and_last_interval_attract_none() -> None:
    edges = torch.linspace(0, 5, 6)[None]
    found = refined_edges(torch.tensor([[9.0, 0.0, 1.0, 0.0, 9.0]]), edges, 100)
    assert int(((found >= 2) & (found <= 3)).sum()) == 2 + 100


def test_a_second_look_at_nothing_is_even() -> None:
    edges = torch.linspace(0, 10, 11)[None]
    found = refined_edges(torch.zeros(1, 10), edges, 80)
    counts = torch.stack([((found > i) & (found < i + 1)).sum() for i in range(10)])
    assert counts.tolist() == [0, *[10] * 8, 0]


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_what_cannot_be_sampled_is_said() -> None:
    edges = torch.linspace(0, 1, 3)[None]
    with pytest.raises(ValueError, match=r"cut into 0 intervals; it needs at least 1"):
        stratified_edges(*rays(1, 0.0, 1.0), 0)
    with pytest.raises(ValueError, match=r"0 distances cannot be drawn; at least 1"):
        resampled(torch.ones(1, 2), edges, 0)
    with pytest.raises(ValueError, match=r"2 intervals cannot be refined.*3 or more"):
        refined_edges(torch.ones(1, 2), edges, 8)
