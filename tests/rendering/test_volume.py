"""Emission and absorption: closed forms, axioms, finite differences."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from unflat.rendering.volume import (
    LONG,
    SATURATED,
    Absorption,
    LastSample,
    absorption,
    composited,
    expected_distance,
    median_distance,
    packed_absorption,
    packed_composited,
    packed_expected_distance,
    packed_median_distance,
    thickness_between,
    thickness_of,
)

BOTH: list[LastSample] = ["finite", "opaque"]
both = pytest.mark.parametrize("last", BOTH)


def random_edges(rays: int, count: int, generator: torch.Generator, **kind: Any) -> Tensor:
    """Edges of unequal intervals from 2 to 5."""
    inner = torch.rand(rays, count - 1, generator=generator, **kind).sort(1).values
    ends = torch.zeros(rays, 1, **kind), torch.ones(rays, 1, **kind)
    return 2 + 3 * torch.cat([ends[0], inner, ends[1]], 1)


# -- closed forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 7, 64, 700])
@pytest.mark.parametrize("density", [0.0, 1e-5, 0.3, 4.0, 1e4])
def test_constant_density_is_as_opaque_as_beer_and_lambert_say(
    count: int, density: float, generator: torch.Generator
) -> None:
    edges = random_edges(5, count, generator)
    found = absorption(thickness_between(torch.full((5, count), density), edges))
    expected = torch.full((5,), -math.expm1(-3 * density))
    torch.testing.assert_close(found.opacity, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.weights.sum(1), expected, rtol=0, atol=1e-6)
    colour = composited(found.weights, torch.tensor([0.2, 0.5, 1.0]).expand(5, count, 3))
    torch.testing.assert_close(colour, expected[:, None] * torch.tensor([0.2, 0.5, 1.0]), rtol=0, atol=1e-6)


def test_transmittance_is_what_passes_up_to_each_interval() -> None:
    """Density grows with the distance: T = exp(-t^2 / 2), which constant pieces with the density of their middles have
    exactly at their edges."""
    edges = torch.linspace(0, 3, 31, dtype=torch.float64)[None]
    density = (edges[:, 1:] + edges[:, :-1]) / 2
    found = absorption(thickness_between(density, edges))
    torch.testing.assert_close(found.before, torch.exp(-(edges[:, :-1] ** 2) / 2))
    torch.testing.assert_close(found.through, torch.exp(-(edges[:, -1] ** 2) / 2))


def test_the_mean_distance_through_fog_is_one_over_its_density() -> None:
    edges = torch.linspace(0, 40, 20_001, dtype=torch.float64)[None]
    found = absorption(thickness_between(torch.full((1, 20_000), 0.8, dtype=torch.float64), edges))
    assert float(expected_distance(found.weights, edges)) == pytest.approx(1 / 0.8, abs=1e-5)
    assert float(median_distance(found.weights, edges)) == pytest.approx(math.log(2) / 0.8, abs=2e-3)


def test_a_wall_is_seen_where_it_begins() -> None:
    edges = torch.linspace(1, 3, 65).repeat(2, 1)
    density = torch.where(edges[:, :-1] >= torch.tensor([[1.5], [2.75]]), 1e6, 0.0)
    found = absorption(thickness_between(density, edges))
    for distance in (expected_distance(found.weights, edges) / found.opacity, median_distance(found.weights, edges)):
        torch.testing.assert_close(distance, torch.tensor([1.5, 2.75]), rtol=0, atol=2 / 64)
    assert found.through.tolist() == [0.0, 0.0]


def test_less_than_half_has_no_median() -> None:
    edges = torch.linspace(0, 1, 5).repeat(2, 1)
    thickness = torch.tensor([[0.0, 0.3, 0.3, 0.0], [0.0, 0.3, 0.4, 0.0]])
    found = median_distance(absorption(thickness).weights, edges)
    assert found[0].isnan() and float(found[1]) == 0.625


def test_thin_intervals_keep_their_precision() -> None:
    found = absorption(torch.full((1, 3), 1e-9))
    torch.testing.assert_close(found.weights, torch.full((1, 3), 1e-9), rtol=1e-6, atol=0)


def test_what_stands_before_something_thick_keeps_its_precision() -> None:
    """A sum from which the last thickness is taken off again would have lost the first."""
    found = absorption(torch.tensor([[1e-3, 1e30]]))
    torch.testing.assert_close(found.before[0, 1], torch.tensor(math.exp(-1e-3)), rtol=1e-7, atol=0)


def test_long_rays_do_not_drift() -> None:
    count = 200_000
    found = absorption(torch.full((1, count), 1e-5))
    assert count > LONG
    assert float(found.before[0, -1]) == pytest.approx(math.exp(-1e-5 * (count - 1)), rel=2e-6)


# -- axioms ------------------------------------------------------------------------------------------------------------


@both
def test_an_interval_may_be_cut_in_two(last: LastSample, generator: torch.Generator) -> None:
    kind = {"dtype": torch.float64}
    edges = random_edges(4, 6, generator, **kind)
    density, colour = (
        2 * torch.rand(4, 6, generator=generator, **kind),
        torch.rand(4, 6, 3, generator=generator, **kind),
    )
    whole = absorption(thickness_between(density, edges), last)
    for i in range(6):
        place = edges[:, i : i + 1] + 0.3 * (edges[:, i + 1 : i + 2] - edges[:, i : i + 1])
        twice = torch.tensor([j for j in range(6) for _ in range(1 + (j == i))])
        cut_edges = torch.cat([edges[:, : i + 1], place, edges[:, i + 1 :]], 1)
        cut = absorption(thickness_between(density[:, twice], cut_edges), last)
        torch.testing.assert_close(cut.through, whole.through)
        torch.testing.assert_close(cut.weights[:, i] + cut.weights[:, i + 1], whole.weights[:, i])
        torch.testing.assert_close(composited(cut.weights, colour[:, twice]), composited(whole.weights, colour))


@given(st.lists(st.floats(0, 1e8, width=32), min_size=1, max_size=40), st.sampled_from(BOTH))
def test_weights_are_shares(thickness: list[float], last: LastSample) -> None:
    found = absorption(torch.tensor([thickness]), last)
    assert all(part.isfinite().all() and part.min() >= 0 for part in found)
    assert float(found.weights.sum()) <= 1 + 1e-6
    assert float(found.weights.sum() + found.through) == pytest.approx(1, abs=1e-6)
    assert (found.before.diff(dim=1) <= 0).all()


def test_an_opaque_last_interval_takes_what_is_left() -> None:
    thickness = torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.25]], requires_grad=True)
    found = absorption(thickness, "opaque")
    assert found.opacity.tolist() == [1.0, 1.0]
    torch.testing.assert_close(found.weights[:, 2], torch.tensor([1.0, math.exp(-0.5)]))
    found.weights[:, 2].sum().backward()  # type: ignore[no-untyped-call]
    assert thickness.grad is not None
    assert thickness.grad[:, 2].tolist() == [0.0, 0.0], "how thick the last one is does not matter"


def test_opacities_alone_give_the_same(generator: torch.Generator) -> None:
    alpha = torch.rand(3, 9, generator=generator, dtype=torch.float64)
    weights = absorption(thickness_of(alpha)).weights
    passed = torch.cat([torch.ones(3, 1), torch.cumprod(1 - alpha, 1)[:, :-1]], 1)
    torch.testing.assert_close(weights, alpha * passed)
    opaque = thickness_of(torch.ones(2, requires_grad=True))
    assert opaque.isfinite().all()


# -- gradients ---------------------------------------------------------------------------------------------------------


def everything(found: Absorption, colour: Tensor, edges: Tensor) -> tuple[Tensor, ...]:
    return *found, composited(found.weights, colour), expected_distance(found.weights, edges)


@both
def test_gradients(last: LastSample, generator: torch.Generator) -> None:
    kind = {"dtype": torch.float64}
    edges = random_edges(3, 5, generator, **kind)
    density = 2 * torch.rand(3, 5, generator=generator, **kind)
    density[1, 2], density[2] = 0.0, 30.0  # at zero and where hardly anything passes
    colour = torch.rand(3, 5, 2, generator=generator, **kind)

    def f(density: Tensor, colour: Tensor, edges: Tensor) -> tuple[Tensor, ...]:
        return everything(absorption(thickness_between(density, edges), last), colour, edges)

    assert torch.autograd.gradcheck(f, tuple(part.requires_grad_() for part in (density, colour, edges)))


def test_a_sample_brightens_by_its_colour_less_what_it_hides(generator: torch.Generator) -> None:
    """dC/d(density_i) = length_i (T_{i+1} c_i - C_{>i}), where C_{>i} is what is seen of all that is behind i."""
    kind = {"dtype": torch.float64}
    edges, background = random_edges(1, 6, generator, **kind), 0.4
    density = torch.rand(1, 6, generator=generator, **kind).requires_grad_()
    colour = torch.rand(1, 6, 1, generator=generator, **kind)
    found = absorption(thickness_between(density, edges))
    (composited(found.weights, colour)[:, 0] + found.through * background).sum().backward()  # type: ignore[no-untyped-call]
    after = torch.cat([found.before[:, 1:], found.through[:, None]], 1)
    shown = found.weights * colour[..., 0]
    behind = shown.sum() - shown.cumsum(1) + found.through * background
    torch.testing.assert_close(density.grad, (edges.diff(dim=1) * (after * colour[..., 0] - behind)).detach())


def test_infinite_densities_have_no_nan_in_the_gradient() -> None:
    thickness = torch.tensor([[0.1, math.inf, 1.0]], requires_grad=True)
    composited(absorption(thickness).weights, torch.rand(1, 3, 2)).sum().backward()  # type: ignore[no-untyped-call]
    assert thickness.grad is not None and thickness.grad.isfinite().all()


# -- packed ------------------------------------------------------------------------------------------------------------

COUNTS = torch.tensor([0, 3, 1, 0, 6, 2, 0])
"""samples of each ray: none on the first, on the last, and between"""


def packed_case(generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Thickness, colour and edges of dense rays, of whose intervals the first COUNTS are; and which those are."""
    kind = {"dtype": torch.float64}
    rays, count = len(COUNTS), int(COUNTS.max())
    there = torch.arange(count) < COUNTS[:, None]
    edges = random_edges(rays, count, generator, **kind)
    thickness = 1.5 * torch.rand(rays, count, generator=generator, **kind)
    return thickness, torch.rand(rays, count, 3, generator=generator, **kind), edges, there


@both
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_packed_samples_give_what_dense_ones_give(
    last: LastSample, kind: torch.dtype, generator: torch.Generator
) -> None:
    thickness, colour, edges, there = (
        part.to(kind) if part.is_floating_point() else part for part in packed_case(generator)
    )
    ray, rays = there.nonzero()[:, 0], len(COUNTS)
    found = packed_absorption(thickness[there], ray, rays, last)
    starts, ends = edges[:, :-1][there], edges[:, 1:][there]
    seen = packed_composited(found.weights, colour[there], ray, rays)
    mean = packed_expected_distance(found.weights, starts, ends, ray, rays)
    median = packed_median_distance(found.weights, starts, ends, ray, rays)
    for r, count in enumerate(COUNTS.tolist()):
        if count == 0:
            assert (float(found.through[r]), seen[r].tolist(), float(mean[r])) == (1.0, [0.0] * 3, 0.0)
            assert median[r].isnan()
            continue
        alone = absorption(thickness[r : r + 1, :count], last)
        its_edges = edges[r : r + 1, : count + 1]
        expected = [
            (found.weights[ray == r], alone.weights[0]),
            (found.before[ray == r], alone.before[0]),
            (found.through[r], alone.through[0]),
            (seen[r], composited(alone.weights, colour[r : r + 1, :count])[0]),
            (mean[r], expected_distance(alone.weights, its_edges)[0]),
            (median[r], median_distance(alone.weights, its_edges)[0]),
        ]
        for ours, theirs in expected:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6, equal_nan=True)


@both
def test_gradients_of_packed_samples(last: LastSample, generator: torch.Generator) -> None:
    thickness, colour, edges, there = packed_case(generator)
    ray, rays = there.nonzero()[:, 0], len(COUNTS)

    def f(density: Tensor, colour: Tensor, starts: Tensor, ends: Tensor) -> tuple[Tensor, ...]:
        found = packed_absorption(density * (ends - starts), ray, rays, last)
        distance = packed_expected_distance(found.weights, starts, ends, ray, rays)
        return *found, packed_composited(found.weights, colour, ray, rays), distance

    parts = thickness[there], colour[there], edges[:, :-1][there], edges[:, 1:][there]
    assert torch.autograd.gradcheck(f, tuple(part.clone().requires_grad_() for part in parts))


def test_a_ray_without_samples_is_the_background(generator: torch.Generator) -> None:
    """Exactly, with no NaN; also where no ray has any."""
    thickness = torch.rand(2, generator=generator).requires_grad_()
    for part, ray in ((thickness, torch.tensor([1, 1])), (thickness[:0], torch.zeros(0, dtype=torch.long))):
        found = packed_absorption(part, ray, 3)
        picture = packed_composited(found.weights, torch.ones(len(ray), 3), ray, 3)
        picture = picture + found.through[:, None] * torch.tensor([0.1, 0.2, 0.3])
        assert torch.equal(picture[::2], torch.tensor([[0.1, 0.2, 0.3]] * 2))
        (gradient,) = torch.autograd.grad(picture[::2].sum(), thickness, allow_unused=True, retain_graph=True)
        assert gradient is None or gradient.tolist() == [0.0, 0.0]
    (gradient,) = torch.autograd.grad(packed_absorption(thickness, torch.tensor([1, 1]), 3).weights.sum(), thickness)
    assert gradient.isfinite().all()


def test_many_opaque_rays_do_not_blur_the_last_one() -> None:
    """What has been summed before a ray's first sample does not show in what it absorbs."""
    before = torch.full((300_000,), 1e9)
    thin = torch.full((50,), 1e-3)
    ray = torch.cat([torch.arange(100_000).repeat_interleave(3), torch.full((50,), 100_000)])
    found = packed_absorption(torch.cat([before, thin]), ray, 100_001)
    expected = absorption(thin[None])
    torch.testing.assert_close(found.before[-50:], expected.before[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(found.through[-1], expected.through[0], rtol=0, atol=1e-6)
    assert SATURATED * 300_000 * torch.finfo(torch.float64).eps < 1e-6
