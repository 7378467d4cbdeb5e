"""VaxNeRF: its hull, that nothing is asked outside it, and that any host learns in it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.data.kinds import Capture
from unflat.data.rays import camera_rays
from unflat.kernels.walking import is_empty
from unflat.method import predict_in_pieces
from unflat.methods.radiance import vaxnerf
from unflat.methods.radiance.vaxnerf import Config, VaxNeRF
from unflat.training.run import build, train
from unflat.training.settings import Training
from unflat.worlds.objects import Objects

NARROW = Config(experiment="tiny", cells=24, samples=48, batch_size=128)


@pytest.fixture(scope="module")
def vase() -> Capture:
    return Objects("vase", 12, 32).capture(progress=False)


def fresh(data: Capture, **changes: object) -> VaxNeRF:
    method = build(VaxNeRF, replace(NARROW, **changes), data.extent, 0)  # type: ignore[arg-type]
    assert isinstance(method, VaxNeRF)
    return method


def prepared(data: Capture, **changes: object) -> VaxNeRF:
    method = fresh(data, **changes)
    method.check(data)
    method.prepare(data)
    return method


def test_the_published_settings_are_the_defaults() -> None:
    config = Config()
    assert (config.cells, config.samples, config.agreement) == (400, 800, 1.0)
    assert config.dilation * 800 == pytest.approx(7)


# -- the hull ----------------------------------------------------------------------------------------------------------


def test_a_max_pool_and_a_ball(vase: Capture) -> None:
    plain, grown, ball = (prepared(vase, **more) for more in ({}, {"grown": 1}, {"round": True}))
    assert (grown.high >= plain.high).all() and (grown.low <= plain.low).all()
    volumes = [float((m.high - m.low).prod() * (m.clear == 0).float().mean()) for m in (plain, grown)]
    assert volumes[1] > 1.1 * volumes[0]
    cell = (ball.clear == 0).nonzero()
    side = (ball.high - ball.low) / torch.tensor(ball.clear.shape)
    assert ((ball.low + (cell + 0.5) * side).norm(dim=1) <= 1).all()


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_the_host_is_asked_in_the_hull_alone(vase: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    method, asked = prepared(vase), []
    inner = method.host.field

    def spied(points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(points)
        return inner(points, directions)

    monkeypatch.setattr(method.host, "field", spied)
    rays = camera_rays(method.scene, vase.cameras(0))
    seen, through, count = method.see(rays)
    points = torch.cat(asked)
    assert len(points) == count < 0.5 * len(rays) * NARROW.samples
    assert not bool(is_empty(points, method.cells).any())
    missed = through == 1
    assert bool(missed.any()) and not seen[missed].any(), "a ray that meets nothing shows the background"
    away = torch.tensor([[0.99, 0.99, 0.99]])
    assert method.field(away, away / away.norm())[0].item() == 0


def test_steps_are_even_between_near_and_far(vase: Capture) -> None:
    method = prepared(vase)
    assert method.walk().step * NARROW.samples == pytest.approx(vase.scene.far - vase.scene.near)


def test_a_constant_host_shows_what_is_in_closed_form(vase: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Density 3 and one colour in all of the hull: a ray's opacity is that of the length it has there."""
    method, colour = prepared(vase), torch.tensor([0.2, 0.4, 0.6])
    monkeypatch.setattr(method.host, "field", lambda p, _: (torch.full_like(p[:, 0], 3.0), colour.expand(len(p), 3)))
    rays = camera_rays(method.scene, vase.cameras(0))
    steps = vaxnerf.occupied_steps(rays, method.cells, method.walk())
    length = torch.bincount(steps.ray, minlength=len(rays)) * method.walk().step
    seen, through, _ = method.see(rays)
    torch.testing.assert_close(through, torch.exp(-3 * length), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(seen[:, :3], (1 - through)[:, None] * colour, rtol=1e-4, atol=1e-5)


def test_only_what_the_field_is_made_of_is_learned(vase: Capture) -> None:
    method = prepared(vase)
    learned = {id(p) for group in method.parameter_groups() for p in group.parameters}
    names = {name for name, p in method.host.named_parameters() if id(p) in learned}
    assert names and all(name.startswith("fine.") for name in names), "not the coarse network"


@pytest.mark.parametrize("host", ["nerf", "quick_grid", "tensorf"])
def test_hosts_learn_and_grow_in_the_hull(vase: Capture, host: str, tmp_path: object) -> None:
    """Their tiny settings go through their stages: grids that are replaced are learned on."""
    rate = {"nerf": 5e-3, "quick_grid": 0.5, "tensorf": 0.02}[host]
    config, steps = replace(NARROW, host=host), 150 if host == "nerf" else 60
    run = train(VaxNeRF, vase, out=tmp_path, config=config, training=Training(steps=steps, rate=rate), quiet=True)  # type: ignore[arg-type]
    seen = predict_in_pieces(run.method, vase.cameras(0)).rgb
    assert seen is not None
    error = (seen[0] - torch.from_numpy(vase.rgb(0))).square().mean()
    assert error < 0.3 * (1 - torch.from_numpy(vase.rgb(0))).square().mean()


# -- what cannot be ----------------------------------------------------------------------------------------------------


def test_pictures_without_opacity_are_refused_with_what_to_do(vase: Capture) -> None:
    laid = replace(vase, pixels=np.ascontiguousarray(vase.pixels[:, :3]))
    with pytest.raises(ValueError, match=r"have no opacity: cut the object out .* or train the host itself"):
        VaxNeRF.check(laid)


def test_a_space_without_end_is_refused(vase: Capture) -> None:
    endless = replace(vase, scene=replace(vase.scene, space="contracted"))
    with pytest.raises(ValueError, match=r"the space of this scene is contracted: leave --space out"):
        VaxNeRF.check(endless)


def test_an_empty_hull_is_an_error(vase: Capture) -> None:
    blank = vase.pixels.copy()
    blank[: vase.first[1], 3] = 0
    with pytest.raises(ValueError, match=r"the visual hull is empty.*take a lower --config.agreement"):
        fresh(vase).prepare(replace(vase, pixels=blank))
