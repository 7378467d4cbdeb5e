"""Instant-NGP: its field, what it remembers of what is empty, and how many rays and samples a step has."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.data.kinds import Capture
from unflat.data.rays import RayBatch, camera_rays
from unflat.geometry.spaces import Rays
from unflat.geometry.spherical_harmonics import harmonics
from unflat.kernels.clearance import clearance
from unflat.kernels.occupied_steps import occupied_steps_torch
from unflat.methods.radiance import instant_ngp
from unflat.methods.radiance.instant_ngp import MISTY, Config, InstantNGP
from unflat.training.run import build, train
from unflat.training.settings import Training
from unflat.training.watch import Watch
from unflat.worlds.objects import Objects

FEW = Config(
    levels=3, log2_rows=10, coarsest=4, finest=32, width=16, steps=64, cells=16, refresh=2, warm_up=4, batch_size=512,
    density_shift=-3.0, samples=1000,
)  # fmt: skip


@pytest.fixture(scope="module")
def vase() -> Capture:
    return Objects("vase", 8, 32).capture(progress=False)


def fresh(data: Capture, **changes: object) -> InstantNGP:
    method = build(InstantNGP, replace(FEW, **changes), data.extent, 0)  # type: ignore[arg-type]
    assert isinstance(method, InstantNGP)
    return method


def filled(method: InstantNGP, density: float, colour: float = 0.5) -> InstantNGP:
    """With the same density and grey everywhere."""
    for part in method.parameters():
        part.data.zero_()
    method.feature.bias.data[0] = math.log(density) + method.config.density_shift
    last = method.colour[-2]
    assert isinstance(last, torch.nn.Linear)
    last.bias.data.fill_(math.log(colour / (1 - colour)))
    return method


def varied(data: Capture, **changes: object) -> InstantNGP:
    """With densities and colours that differ from place to place."""
    method = fresh(data, **changes)
    method.grid.values.data.normal_(0, 1, generator=torch.Generator().manual_seed(1))
    return method


def see_through(data: Capture) -> Capture:
    """The same pictures, of nothing."""
    pixels = data.pixels.copy()
    pixels[:, 3] = 0
    return replace(data, pixels=pixels)


def some_rays(data: Capture, method: InstantNGP, count: int) -> Rays:
    """Of the middle of the first picture."""
    rays = camera_rays(method.scene, data.cameras(0))
    begin = len(rays) // 2 - count // 2
    return rays[begin : begin + count]


# -- settings ----------------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_published_ones(vase: Capture) -> None:
    config = Config()
    assert (config.levels, config.features, 2**config.log2_rows) == (16, 2, 524288)
    assert (config.coarsest, config.finest, config.cells, config.samples) == (16, 2048, 128, 2**18)
    method = InstantNGP(config, vase.extent)
    shapes = [tuple(p.shape) for p in (*method.hidden.parameters(), *method.feature.parameters())]
    assert shapes == [(64, 32), (64,), (16, 64), (16,)]
    assert [tuple(p.shape) for p in method.colour.parameters() if p.dim() == 2] == [(64, 32), (64, 64), (3, 64)]
    grids, networks = method.parameter_groups()
    assert grids.rule == "touched" and grids.decay == 0, "decay would take away what is rarely met"
    assert networks.decay == 1e-6 and {g.eps for g in (grids, networks)} == {1e-15}
    assert {tuple(g.betas) for g in (grids, networks)} == {(0.9, 0.99)}
    side = float((method.high - method.low).max())
    assert method.walk().step == pytest.approx(math.sqrt(3) / 1024 * side)
    assert instant_ngp.chair().training.rate == 1e-2 and instant_ngp.chair().published == {"PSNR": 35.00}


# -- the field ---------------------------------------------------------------------------------------------------------


def test_a_density_is_the_exponential_of_the_first_feature(vase: Capture, generator: torch.Generator) -> None:
    method = varied(vase, density_shift=1.5)
    points = torch.rand(50, 3, generator=generator) * 0.2 - 0.1
    sights = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=1)
    density, colour = method.field(points, sights)
    features = method.features(points)
    torch.testing.assert_close(density, (features[:, 0] - 1.5).exp())
    expected = method.colour(torch.cat([features, harmonics(sights, 16)], 1))
    torch.testing.assert_close(colour, expected)
    raw = method.logarithm.raw(points, method.box)
    torch.testing.assert_close(raw, features[:, 0], rtol=1e-4, atol=1e-4)


def test_nothing_is_where_cells_are_empty_and_beside_the_box(vase: Capture) -> None:
    method = filled(fresh(vase), 7.0)
    occupied = torch.ones(16, 16, 16, dtype=torch.bool)
    occupied[:8] = False
    method.clear = clearance(occupied)
    middle, side = (method.low + method.high) / 2, method.high - method.low
    points = torch.stack([middle - 0.2 * side, middle + 0.2 * side, method.high + 0.1, method.low - 5])
    density, _ = method.field(points, torch.nn.functional.normalize(torch.ones(4, 3), dim=1))
    assert density.tolist() == pytest.approx([0, 7.0, 0, 0], rel=1e-5)


def test_a_picture_is_the_field_composited(vase: Capture) -> None:
    """Of all samples that the walk has, of which the march leaves out what hardly counts."""
    method = varied(vase, least=1e-5, last=1e-5)
    rays = some_rays(vase, method, 40)
    found = occupied_steps_torch(rays, method.cells, method.walk())
    density, colours = method.field(found.points, rays.sights[found.ray])
    passing, expected = torch.ones(40), torch.zeros(40, 3)
    alpha = 1 - torch.exp(-method.walk().step * density)
    for n, r in enumerate(found.ray.tolist()):
        expected[r] += (passing[r] * alpha[n] * colours[n]).detach()
        passing[r] *= 1 - float(alpha[n].detach())
    seen, rgb = method.march(rays, torch.ones(40, 3) * torch.tensor([0.1, 0.5, 0.9]))
    expected += passing[:, None] * torch.tensor([0.1, 0.5, 0.9])
    assert len(seen.t) < len(found.t)
    torch.testing.assert_close(rgb.detach(), expected, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(seen.through.detach(), passing, rtol=1e-3, atol=2e-3)


# -- what is empty -----------------------------------------------------------------------------------------------------


def asked(method: InstantNGP, step: int, monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """How often each cell is asked at a look."""
    counted, features = torch.zeros(16, 16, 16, dtype=torch.int64), method.features

    def recorded(points: Tensor) -> Tensor:
        cell = ((points - method.low) / (method.high - method.low) * 16).long()
        counted.index_put_(tuple(cell.unbind(1)), torch.ones(len(cell), dtype=torch.int64), accumulate=True)
        return features(points)

    with monkeypatch.context() as patched:
        patched.setattr(method, "features", recorded)
        method.look(step)
    return counted


def test_at_first_each_look_goes_to_all_cells(vase: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    method = filled(fresh(vase), 1.0)
    method.allowed[:3] = False
    counted = asked(method, 3, monkeypatch)
    assert torch.equal(counted, method.allowed.long()), "but to those where nothing may be"
    assert (method.clear[:3] > 0).all() and (method.lately[:3] == 0).all()


def test_later_it_goes_to_a_quarter_and_to_a_quarter_of_the_occupied(
    vase: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = filled(fresh(vase), 1.0)
    occupied = torch.zeros(16, 16, 16, dtype=torch.bool)
    occupied[:, 8:] = True
    method.clear = clearance(occupied)
    counted = asked(method, 4, monkeypatch).float()
    assert counted[~occupied].mean() == pytest.approx(0.25, abs=0.04)
    assert counted[occupied].mean() == pytest.approx(1 - 0.75**2, abs=0.04)


def test_what_cells_remember_fades_and_is_the_most_that_was_found(vase: Capture) -> None:
    method = filled(fresh(vase), 0.5)
    thickness = 0.5 * method.walk().step
    method.lately[:8], method.lately[8:] = 2 * thickness, 0.5 * thickness
    method.look(0)
    torch.testing.assert_close(method.lately[:8], torch.full((8, 16, 16), 0.95 * 2 * thickness))
    torch.testing.assert_close(method.lately[8:], torch.full((8, 16, 16), thickness))


def test_what_is_not_asked_fades_too(vase: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    method = filled(fresh(vase), 1e-6)
    method.lately.fill_(1.0)
    for step in (4, 6, 8):
        asked(method, step, monkeypatch)
    torch.testing.assert_close(method.lately, torch.full((16, 16, 16), 0.95**3))


@pytest.mark.parametrize("thick, occupied", [(1.0, 0.01), (0.05, 0.025)], ids=["threshold", "mean"])
def test_occupied_is_what_is_thicker_than_a_hundredth_or_the_mean(vase: Capture, thick: float, occupied: float) -> None:
    """Half of the cells are full: the mean is half of `thick`, and the lower of both decides."""
    method = filled(fresh(vase), 1e-9)
    thick /= 10
    method.lately[:8] = thick / 0.95
    method.lately[8, 0, 0], method.lately[9, 0, 0] = 1.1 * min(occupied, thick / 2) / 0.95, 0.9 * 1e-3 / 0.95
    method.look(0)
    full = method.clear == 0
    assert full[:8].all() and full[8, 0, 0] and not full[9, 0, 0] and int(full.sum()) == 8 * 256 + 1
    lower = filled(fresh(vase), 1e-9)
    lower.lately[:8], lower.lately[8, 0, 0] = thick / 0.95, 0.9 * min(0.01, thick / 2) / 0.95
    lower.look(0)
    assert int((lower.clear == 0).sum()) == 8 * 256


def test_what_is_empty_altogether_is_looked_at_again(vase: Capture) -> None:
    method = filled(fresh(vase), 1e-30)
    method.allowed[0] = False
    method.look(0)
    assert torch.equal(method.clear == 0, method.allowed)


def test_a_look_comes_every_few_steps(vase: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    method, looked = fresh(vase, refresh=3), []
    monkeypatch.setattr(method, "look", looked.append)
    assert not any(method.update(step) for step in range(9))
    assert looked == [2, 5, 8]


# -- learning ----------------------------------------------------------------------------------------------------------


def first_batch(data: Capture, method: InstantNGP) -> RayBatch:
    return next(method.batches(data, 0, 0))


def test_white_haze_before_a_white_background_is_punished(vase: Capture) -> None:
    """Nothing is in the pictures, which are laid on white: a white haze would look right, and does not here, since each
    step lays them on colours drawn at random, with E (1 - c)^2 = 1/3."""
    nothing = see_through(vase)
    assert first_batch(nothing, fresh(nothing)).rgb.min() == 1
    haze, air = filled(fresh(nothing), 1e4, 1 - 1e-6), filled(fresh(nothing), 1e-9)
    losses = [m.losses(first_batch(nothing, m), 0).terms["photometric"].item() for m in (haze, air)]
    assert losses[1] == pytest.approx(0, abs=1e-6)
    inside = 1 - haze.march(first_batch(nothing, haze).rays, torch.zeros(3).expand(512, 3))[0].through
    assert losses[0] == pytest.approx(float(inside.mean().detach()) / 3, rel=0.15)
    bare = replace(first_batch(nothing, haze), opacity=None)
    assert haze.losses(bare, 0).terms["photometric"].item() == pytest.approx(0, abs=1e-6), "without opacity it passes"


def test_what_is_half_transparent_is_laid_on_the_drawn_colour_as_on_white(vase: Capture) -> None:
    """The colour of a pixel less what the background gives is c * opacity, whichever colour was drawn."""
    pixels = vase.pixels.copy()
    pixels[:] = (200, 100, 50, 128)
    half = replace(vase, pixels=pixels)
    method = filled(fresh(half), 1e-9)
    batch = first_batch(half, method)
    torch.manual_seed(5)
    found = method.losses(batch, 0).terms["photometric"].item()
    torch.manual_seed(5)
    drawn = torch.rand_like(batch.rgb)
    opacity = 128 / 255
    wanted = opacity * torch.tensor([200, 100, 50]) / 255 + (1 - opacity) * drawn
    assert found == pytest.approx(float((drawn - wanted).square().mean()), rel=1e-3)


def test_rays_become_more_or_fewer_by_a_tenth_at_most(vase: Capture) -> None:
    method = fresh(vase)
    for met, rays, expected in ((1000, 200, 200), (2000, 200, 180), (10, 200, 220), (950, 200, 210), (0, 500, 512),
                                (9999, 65, 64)):  # fmt: skip
        method.met, method.rays = torch.tensor(met), torch.tensor(rays)
        method.update(0)
        assert int(method.rays) == expected


def test_a_step_has_about_the_samples_that_it_should_and_goes_on_bit_for_bit(vase: Capture, tmp_path: Path) -> None:
    """Through the steps in which rays adapt, and the looks at what is empty."""
    config = replace(FEW, fades=0.8)  # soon enough for 60 steps
    training = Training(rate=3e-2, clip=0.0, log_every=10, validate_every=0, sample_every=0)

    def run(folder: Path, steps: int) -> InstantNGP:
        once = replace(training, steps=steps)
        method = train(InstantNGP, vase, out=tmp_path / folder, config=config, training=once, quiet=True).method
        assert isinstance(method, InstantNGP)
        return method

    stopped, whole, resumed = run(Path("one"), 13), run(Path("whole"), 60), run(Path("one"), 60)
    assert int(stopped.rays) != int(whole.rays) and (whole.clear > 0).any()
    for name, value in whole.state_dict().items():
        assert resumed.state_dict()[name].equal(value), name
    assert 64 < int(whole.rays) < 512
    assert int(whole.met) == pytest.approx(FEW.samples, rel=0.25)


def test_of_a_dense_scene_no_more_than_twice_the_samples_are_learned_from(vase: Capture) -> None:
    method = filled(fresh(vase, samples=50, least=1e-9, last=1e-9), 0.3)
    batch = first_batch(vase, method)
    losses = method.losses(batch, 0)
    assert 70 < int(method.met) <= 100
    assert losses.figures["samples"] == pytest.approx(8, abs=4), "of each ray"
    whole = method.march(batch.rays, torch.rand(len(batch), 3), 3)
    less, rgb = method.march(batch.rays, torch.zeros(len(batch), 3), 3, 100)
    count = len(less.through)
    assert 1 <= count < len(batch) and len(rgb) == count
    assert torch.equal(less.through, whole[0].through[:count]) and torch.equal(less.t, whole[0].t[: len(less.t)])
    one, _ = method.march(batch.rays, torch.zeros(len(batch), 3), 3, 1)
    assert len(one.through) == 1, "never none"


def test_mist_is_told(vase: Capture) -> None:
    told = Watch(fresh(vase).symptoms(), [])
    assert not list(told.look(500, {"samples": MISTY + 10.0}))
    assert not list(told.look(1500, {"samples": MISTY - 10.0}))
    warnings = list(told.look(1600, {"samples": MISTY + 10.0}))
    assert len(warnings) == 1 and "--config.distortion 0.02" in str(warnings[0])


def test_distortion_is_a_term_where_it_is_asked_for(vase: Capture) -> None:
    method = filled(fresh(vase), 0.5)
    assert set(method.losses(first_batch(vase, method), 0).terms) == {"photometric"}
    far = filled(fresh(vase, distortion=0.1), 0.5)
    assert far.losses(first_batch(vase, far), 0).terms["distortion"].item() > 0


# -- before learning ---------------------------------------------------------------------------------------------------


def test_silhouettes_carve_where_they_are_asked_and_there_are_any(vase: Capture) -> None:
    carved, plain, bare = fresh(vase, carve=True), fresh(vase), fresh(vase, carve=True)
    pixels = np.ascontiguousarray(vase.pixels[:, :3])
    for method, data in ((carved, vase), (plain, vase), (bare, replace(vase, pixels=pixels))):
        method.prepare(data)
    for method in (plain, bare):
        assert method.allowed.all() and torch.equal(method.low, torch.tensor(vase.scene.limits[:3]))
    wide = replace(vase, scene=replace(vase.scene, box=(-0.8, -0.8, -0.85, 0.8, 0.8, 0.85)))
    tight = fresh(wide, carve=True)
    tight.prepare(wide)
    assert (tight.high - tight.low)[:2].max() < 1.5, "and the box is drawn tight"
    assert 0.05 < carved.allowed.float().mean() < 0.9
    assert torch.equal(carved.clear == 0, carved.allowed)
    shown = torch.cat([b.opacity for b, _ in zip(carved.batches(vase, 0, 0), range(4), strict=False)])  # type: ignore[misc]
    every = torch.cat([b.opacity for b, _ in zip(plain.batches(vase, 0, 0), range(4), strict=False)])  # type: ignore[misc]
    assert shown.mean() > 1.3 * every.mean(), "near the object only"


def test_what_hardly_any_picture_sees_of_a_space_without_end_is_empty(vase: Capture) -> None:
    endless = replace(vase, scene=replace(vase.scene, space="contracted", far=1e3))
    method = fresh(endless, carve=True)
    method.prepare(endless)
    assert not method.allowed.all() and method.allowed.any()
    assert method.low.tolist() == [-2, -2, -2], "silhouettes of what has no end carve nothing"


# -- other data --------------------------------------------------------------------------------------------------------


def test_settings_follow_the_pixels(vase: Capture) -> None:
    small, sharp = instant_ngp.small(), Objects("vase", 3, 400).capture(progress=False)
    same, _ = InstantNGP.suited(small, vase)
    assert same.config.finest == 128 and same.config.levels == 6
    fine, why = InstantNGP.suited(small, sharp)
    octave = int(math.log2(fine.config.finest / 128))
    side = max(b - a for a, b in zip(sharp.scene.limits[:3], sharp.scene.limits[3:], strict=True))
    assert octave >= 1 and side / fine.config.finest < 2 * instant_ngp.footprint(sharp)
    found = fine.config.levels, fine.config.log2_rows, fine.config.steps
    assert found == (6 + octave, 15 + octave, 256 + 128 * octave)
    assert "fine as the pixels" in why["config.finest"]
    assert InstantNGP.suited(small, sharp, started=True) == (small, {})
    assert InstantNGP.suited(instant_ngp.chair(), sharp) == (instant_ngp.chair(), {}), "fine enough for anything"
    endless = replace(vase, scene=replace(vase.scene, space="contracted", far=1e3))
    hazy, why = InstantNGP.suited(small, endless)
    assert hazy.config.distortion == 5e-3 and "haze" in why["config.distortion"]
    assert hazy.config.density_shift > small.config.density_shift, "emptier"
