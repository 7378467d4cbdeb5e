"""DVGO: its formulas and its stages."""

import math
from dataclasses import replace

import pytest
import torch

from unflat.kernels.clearance import clearance
from unflat.methods.radiance import dvgo
from unflat.methods.radiance.dvgo import DVGO, Config
from unflat.training.run import build
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def vase():  # type: ignore[no-untyped-def]
    return Objects("vase", 12, 32).capture(progress=False)


def fresh(vase, **changes) -> DVGO:  # type: ignore[no-untyped-def]
    settings = {
        "voxels": (1000, 8000),
        "coarse_steps": 10,
        "growths": (5,),
        "features": 3,
        "width": 8,
        "batch_size": 128,
    }
    return build(DVGO, Config(**{**settings, **changes}), vase.extent, 0)  # type: ignore[return-value]


def test_the_defaults_are_the_released_ones() -> None:
    config = Config()
    assert config.voxels == (1_024_000, 4_096_000) and config.coarse_steps == 5000
    assert dvgo.chair().training.steps == 25_000 and dvgo.chair().training.rate == 0.1
    assert dvgo._tenth(20_000) == pytest.approx(0.1)


@pytest.mark.parametrize("opacity", [1e-6, 1e-2, 0.3])
def test_an_untouched_voxel_has_the_opacity_that_was_asked_for(vase, opacity: float) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase, opacity=(opacity, opacity))
    method.density.data.zero_()
    scale = method.side(final=True) / method.side()
    per_voxel = 1 - (1 - method.opacities().double()) ** scale
    assert per_voxel.mean().item() == pytest.approx(opacity, rel=2e-2)


def test_opacity_is_that_of_eq_8(vase) -> None:  # type: ignore[no-untyped-def]
    """alpha = 1 - (1 + exp(raw + b))^(-step / voxel)."""
    method = fresh(vase)
    walk = method.walk()
    b = math.log(1 / (1 - method.config.opacity[0]) - 1)
    raw = 3.0
    expected = 1 - (1 + math.exp(raw + b)) ** (-walk.step / method.side(final=True))
    soft = math.log1p(math.exp(raw - walk.shift))
    assert 1 - math.exp(-walk.thickness * soft) == pytest.approx(expected, rel=1e-4)
    assert walk.step == pytest.approx(0.5 * method.side())


def test_what_hardly_any_picture_sees_stays_empty(vase) -> None:  # type: ignore[no-untyped-def]
    method = fresh(replace(vase, scene=replace(vase.scene, box=(-30.0, -30.0, -30.0, 30.0, 30.0, 30.0))))
    method.prepare(vase)
    assert (method.density == -100).float().mean() > 0.3
    assert method.scales.max() == 1 and method.scales.min() == 0
    assert (method.clear > 0).any()


def test_the_fine_grid_lies_tight_around_what_was_found(vase) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase)
    grid = method.density.data.view(method.grid)
    grid.fill_(-100)
    grid[4:6, 4:6, 4:6] = 30.0
    side = (method.high - method.low) / torch.tensor(method.grid)
    inside = method.low + 4 * side, method.low + 6 * side
    method.begin_fine()
    assert (method.low <= inside[0]).all() and (method.high >= inside[1]).all()
    assert (method.high - method.low < 2.5 * side * 2).all()
    assert math.prod(method.grid) == pytest.approx(4000, rel=0.2), "half of 8000: it grows once"
    assert float(method.shift) == pytest.approx(-math.log(1 / (1 - 1e-2) - 1))
    assert (method.density == 0).all() and method.feature.shape[1] == 3


def test_nothing_found_is_said(vase) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase)
    method.density.data.fill_(-100)
    with pytest.raises(ValueError, match="the coarse stage found nothing"):
        method.begin_fine()


def test_growth_keeps_the_field_and_makes_it_thinner(vase) -> None:  # type: ignore[no-untyped-def]
    """Raw densities at the corners of the box stay, and b falls by one (code)."""
    method = fresh(vase)
    method.density.data.fill_(30.0)
    method.begin_fine()
    generator = torch.Generator().manual_seed(0)
    method.density.data.normal_(generator=generator)
    old, shift, count = method.density.detach().view(method.grid), float(method.shift), math.prod(method.grid)
    method.grow()
    new = method.density.detach().view(method.grid)
    assert math.prod(method.grid) == pytest.approx(2 * count, rel=0.15)
    for corner in ((0, 0, 0), (-1, -1, -1), (0, -1, 0)):
        assert new[corner].item() == pytest.approx(old[corner].item(), abs=1e-5)
    assert float(method.shift) == shift + 1


def test_the_losses_are_those_of_the_paper(vase) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase, opacity=(0.2, 0.2))
    batch = next(method.batches(vase, 0, 0))
    losses = method.losses(batch, 0)
    seen, colours, rgb = method.march(batch.rays, key=dvgo.seed_of(0, 1))
    rays = len(batch)
    points = sum(
        float(w * (c - batch.rgb[r]).square().sum())
        for w, c, r in zip(*map(torch.Tensor.detach, (seen.weight, colours)), seen.ray, strict=True)
    )
    p = seen.through.detach().double().clamp(1e-6, 1 - 1e-6)
    entropy = -(p * p.log() + (1 - p) * (1 - p).log()).mean()
    assert losses.terms["photometric"].item() == pytest.approx((rgb - batch.rgb).square().mean().item(), rel=1e-5)
    assert losses.terms["points"].item() == pytest.approx(0.1 * points / rays, rel=1e-4)
    assert losses.terms["entropy"].item() == pytest.approx(0.01 * entropy.item(), rel=1e-4)


def test_rays_of_the_fine_stage_do_not_depend_on_when_it_was_looked_at(vase) -> None:  # type: ignore[no-untyped-def]
    """What is empty is looked at between two saves; a resumed run has to draw what the unbroken one draws."""
    method = fresh(vase)
    method.density.data[: len(method.density) // 2] = 20.0
    method.begin_fine()
    before = next(method.batches(vase, 20, 0))
    method.density.data.fill_(-100.0)
    method.density.data[len(method.density) // 2] = 20.0
    method.clear = clearance(method.occupied())
    assert not method.clear.equal(clearance(method.allowed))
    after = next(method.batches(vase, 20, 0))
    assert after.rays.index.equal(before.rays.index)
