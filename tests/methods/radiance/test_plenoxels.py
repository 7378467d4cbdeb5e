"""Plenoxels: its formulas, its schedule, and what pruning leaves."""

import math
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from unflat.data.kinds import Capture, Scene
from unflat.evaluation.captures import scores_of
from unflat.fields.voxels import places_of
from unflat.geometry.spherical_harmonics import harmonics
from unflat.kernels.variation import Asked, penalty
from unflat.kernels.walking import is_empty
from unflat.method import predict_in_pieces
from unflat.methods.radiance import plenoxels
from unflat.methods.radiance.plenoxels import Config, Plenoxels
from unflat.training.run import build, train
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import Objects

NARROW = replace(plenoxels.small().config, resolutions=(24, 40), until=(40,), smaller=(1, 1), batch_size=512)


@pytest.fixture(scope="module")
def vase() -> Capture:
    return Objects("vase", 20, 32).capture(progress=False)


def prepared(capture: Capture, config: Config = NARROW) -> Plenoxels:
    method = build(Plenoxels, config, capture.extent, 0)
    assert isinstance(method, Plenoxels)
    method.prepare(capture)
    return method


def test_the_defaults_are_the_released_ones() -> None:
    config, training = Config(), plenoxels.chair().training
    assert config.resolutions == (256, 512) and config.until == (38_400,) and training.steps == 128_000
    assert config.batch_size == 5000 and config.rates == (30.0, 0.01) and training.rate == 1.0


def test_without_harmonics_all_is_grey_and_thin(vase: Capture) -> None:
    method = prepared(vase, replace(NARROW, density=0.1, carve=False))
    points = 0.4 * torch.rand(50, 3, generator=torch.Generator().manual_seed(0)) - 0.2
    density, colour = method.field(points, torch.nn.functional.normalize(points, dim=1))
    torch.testing.assert_close(density, torch.full((50,), 0.1))
    torch.testing.assert_close(colour, torch.full((50, 3), 0.5))


def test_colours_are_harmonics_and_a_half_rectified(vase: Capture) -> None:
    method = prepared(vase)
    coefficients = torch.randn(27, generator=torch.Generator().manual_seed(0))
    method.colour.data[:] = coefficients
    ways = torch.nn.functional.normalize(torch.randn(40, 3, generator=torch.Generator().manual_seed(1)), dim=1)
    middle = ((method.low + method.high) / 2).expand(40, 3)
    total = harmonics(ways, 9) @ coefficients.view(3, 9).T
    expected = (total + 0.5).clamp(0, 1)
    torch.testing.assert_close(method.field(middle, ways)[1], expected, rtol=1e-4, atol=1e-5)
    assert (expected == 0).any() and (expected == 1).any() and ((expected > 0) & (expected < 1)).any()


def test_only_the_sphere_inside_the_box_holds_anything_at_first(vase: Capture) -> None:
    config = replace(NARROW, carve=False, detail=0.0, resolutions=(48, 64))
    method = prepared(replace(vase, scene=replace(vase.scene, box=plenoxels.CUBE)), config)
    places = places_of(tuple(method.row_of.shape), method.low, method.high)  # type: ignore[arg-type]
    within = 2 * (places - method.low) / (method.high - method.low) - 1
    density, distance = method.density.detach(), within.norm(dim=1)
    assert (density[distance < 0.95] == NARROW.density).all() and not density[distance > 1.15].any()
    assert set(density.unique().tolist()) == {0.0, NARROW.density}
    tight = prepared(vase, config)
    assert (tight.density == NARROW.density).all(), "a tighter box may hold something in its corners"


def test_silhouettes_keep_the_surface(vase: Capture) -> None:
    method = prepared(vase, replace(NARROW, detail=0.0, resolutions=(48, 64)))
    surface = Objects("vase").mesh().vertices
    assert not bool(is_empty(surface, method.cells).any())
    assert 0.05 < float(method.allowed.float().mean()) < 0.8, "a vase does not fill its box"


def test_voxels_are_no_finer_than_was_asked(vase: Capture) -> None:
    wide, fine, finest = (
        prepared(vase, replace(NARROW, resolutions=(30, 60), detail=detail)).cells_along(1)
        for detail in (2.0, 1.0, 0.0)
    )
    assert fine == pytest.approx(2 * wide, abs=2) and finest == 59


def test_rates_fall_evenly_on_a_logarithmic_scale_and_density_begins_late() -> None:
    """30 -> 0.05 over 250,000 steps, from a hundredth over the first 15,000; harmonics 0.01 -> 5e-6 at once."""
    capture = Objects("vase", 2, 8).capture(progress=False)
    method = build(Plenoxels, replace(Config(), resolutions=(8, 12)), capture.extent, 0)
    density, colour = method.parameter_groups()
    assert density.rule == colour.rule == "touched_rmsprop" and density.betas[1] == 0.95

    def rate(group, step: int) -> float:  # type: ignore[no-untyped-def]
        return group.rate * group.schedule(step)

    assert rate(colour, 0) == 0.01 and rate(density, 0) == pytest.approx(0.3)
    assert rate(colour, 125_000) == pytest.approx(math.sqrt(0.01 * 5e-6))
    assert rate(density, 250_000) == pytest.approx(0.05) and rate(colour, 250_000) == pytest.approx(5e-6)
    assert rate(density, 15_000) == pytest.approx(30 * (0.05 / 30) ** (15 / 250))
    half = 0.01 + 0.99 * math.sin(math.pi / 4)
    assert rate(density, 7500) == pytest.approx(30 * half * (0.05 / 30) ** (7.5 / 250))


def test_total_variation_is_that_of_a_hundredth_of_the_voxels(vase: Capture) -> None:
    """The gradient of a step holds it: with and without differ by the twin's."""
    weights, found = (0.02, 0.3), []
    for variation in ((0.0, 0.0), weights):
        method = prepared(vase, replace(NARROW, variation=variation, varied_until=5))
        generator = torch.Generator().manual_seed(0)
        method.density.data += 10 * torch.rand(method.density.shape, generator=generator)
        method.colour.data += 0.1 * torch.randn(method.colour.shape, generator=generator)
        method.losses(next(method.batches(vase, 3, 0)), 3).total.backward()
        found.append([p.grad.to_dense() for p in (method.density, method.colour) if p.grad is not None])
    number = method.row_of.numel()
    for which, (table, weight) in enumerate(zip((method.density, method.colour), weights, strict=True)):
        values = table.detach().view(len(table), -1).requires_grad_()
        scaled = weight * method.cells_along(0) / 256
        asked = Asked(seed_of(3, 2) % number, round(0.01 * number), scaled)
        wanted = torch.autograd.grad(penalty(values, method.row_of, asked), values)[0].view(table.shape)
        torch.testing.assert_close(found[1][which] - found[0][which], wanted, rtol=1e-3, atol=1e-5)
    assert method.smooth(5).density is method.density, "it has ended"


def test_rays_are_asked_to_be_opaque_or_not(vase: Capture) -> None:
    method = prepared(vase, replace(NARROW, beta=0.1))
    batch = next(method.batches(vase, 0, 0))
    terms = method.losses(batch, 0).terms
    walk = method.walk(seed_of(0, 1))
    through = plenoxels.voxel_march(batch.rays, method.voxels, walk, method.background).through.detach().double()
    through = through.clamp(1e-6, 1 - 1e-6)
    expected = sum(math.log(t) + math.log(1 - t) for t in through.tolist()) / len(batch)
    assert terms["beta"].item() == pytest.approx(0.1 * expected, rel=2e-3)


def test_pruning_keeps_what_weighs_enough_and_its_neighbours(vase: Capture) -> None:
    method = prepared(vase, replace(NARROW, pruned=1.0))
    along, generator = method.cells_along(1), torch.Generator().manual_seed(0)
    there = (method.row_of >= 0).flatten()
    method.density.data.normal_(generator=generator).mul_(there)
    method.heaviest = torch.where(there, torch.rand(len(there), generator=generator) ** 400, 0.0)
    heavy = (method.heaviest >= 1 / along).view(method.row_of.shape)
    assert 0.0 < float(heavy.float().mean()) < 0.1
    kept = heavy[None].float()
    places = places_of(tuple(heavy.shape), method.low, method.high)[heavy.flatten()]  # type: ignore[arg-type]
    before = plenoxels.voxel_raw(places, method.voxels)
    rows = int(method.row_of.max())
    method.grow()
    assert not bool(is_empty(places, method.cells._replace(clear=(~method.allowed).byte())).any())
    torch.testing.assert_close(before, before)
    assert kept.sum() and float(method.allowed.float().mean()) < 0.9
    side = (method.high - method.low) / (torch.tensor(heavy.shape) - 1)
    beside = (places + 0.9 * side).minimum(method.high - 1e-5)
    was = ~is_empty(beside, method.cells._replace(clear=(~method.allowed).byte()))
    assert float(was.float().mean()) > 0.9, "but for what the hull leaves out"
    assert int(method.row_of.max()) < (along / method.cells_along(0)) ** 3 * rows * 1.2


def test_what_weighs_nothing_anywhere_is_an_error(vase: Capture) -> None:
    with pytest.raises(ValueError, match="no voxel is seen in any picture: look at the cameras"):
        prepared(vase).grow()


def test_a_finer_grid_is_the_same_field(vase: Capture) -> None:
    method = prepared(vase, replace(NARROW, pruned=0.0))
    x = torch.linspace(1, 2, method.row_of.shape[0])[:, None, None].expand(method.row_of.shape)
    method.density.data.copy_(x.flatten())  # linear: interpolation keeps it
    method.colour.data[:] = 0.3
    within = method.low + (method.high - method.low) * (
        0.3 + 0.4 * torch.rand(200, 3, generator=torch.Generator().manual_seed(0))
    )
    up = torch.tensor([0.0, 0.0, 1.0]).expand(200, 3)
    before = method.field(within, up)
    method.grow()
    after = method.field(within, up)
    both = (before[0] > 0) & (after[0] > 0)
    assert both.float().mean() > 0.2
    torch.testing.assert_close(after[0][both], before[0][both], rtol=1e-3, atol=0)
    torch.testing.assert_close(after[1][both], before[1][both], rtol=1e-3, atol=1e-4)


def test_what_is_jumped_over_adds_nothing(vase: Capture) -> None:
    """Where no density is above 0, rays see nothing, and it learns nothing."""
    method = prepared(vase, replace(NARROW, empty=0.0, least=0.0))
    method.density.data.normal_(generator=torch.Generator().manual_seed(0)).sub_(2.5).mul_(9)
    batch = next(method.batches(vase, 0, 0))
    march = partial(plenoxels.voxel_march, batch.rays, walk=method.walk(5), background=method.background)
    found = []
    for looked in (False, True):
        if looked:
            before = float((method.clear == 0).float().mean())
            method.clear = plenoxels.clearance(method.occupied())
            assert 0 < float((method.clear == 0).float().mean()) < before
        seen = march(voxels=method.voxels)
        (gradient,) = torch.autograd.grad(seen.rgb.square().sum(), method.density)
        found.append((seen.rgb.detach(), gradient.to_dense()))
    torch.testing.assert_close(found[0][0], found[1][0], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[0][1], found[1][1], rtol=1e-3, atol=1e-5)
    assert found[0][1].any()


def test_a_space_without_end_gets_settings_of_its_own(vase: Capture) -> None:
    endless = replace(vase, scene=Scene(space="contracted", near=0.05, far=50.0))
    usual = plenoxels.small()
    assert Plenoxels.suited(usual, vase) == (usual, {})
    suited, reasons = Plenoxels.suited(usual, endless)
    fitted = ("density", "rates", "final_rates", "variation", "varied", "varied_until", "beta", "resolutions")
    assert suited.config.density == 0.1 and set(reasons) == {f"config.{name}" for name in fitted}
    assert suited.config.varied_until == usual.training.steps  # to the end
    released, reasons = Plenoxels.suited(plenoxels.chair(), endless)
    assert released.config.variation == (5e-5, 5e-3) and released.config.varied_until == 128_000
    assert released.config.beta == 1e-5 and "config.sparsity" in reasons
    assert Plenoxels.suited(usual, endless, started=True) == (usual, {})


def test_it_learns_an_object(vase: Capture, tmp_path: Path) -> None:
    """Held-out pictures of 32 px after 150 steps, and where the object is in them."""
    training = Training(steps=150, rate=1.0, clip=0.0, threads=1, validate_every=0, save_every=200)
    config = replace(NARROW, span=150)
    run = train(Plenoxels, vase, out=tmp_path, config=config, training=training, quiet=True)
    unseen = Objects("vase", 4, 32, split="test").capture(progress=False)
    scores = []
    for i in range(4):
        prediction = predict_in_pieces(run.method, unseen.cameras(i))
        scores.append(scores_of(prediction, unseen, i)["PSNR"])
        assert prediction.opacity is not None
        there = torch.from_numpy(unseen.picture(i)[..., 3]) > 127
        assert float(((prediction.opacity[0] > 0.5) == there).float().mean()) > 0.97
    assert np.mean(scores) > 25
