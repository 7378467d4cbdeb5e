"""VaxNeRF: its hull, that nothing is asked outside it, and that any host learns in it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.data.test_hulls import RADIUS, SIDES, balls
from unflat.data.hulls import agreed_hull, seen_by, silhouettes, visual_hull
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


def distances(cells: int) -> Tensor:
    axis = (torch.arange(cells) + 0.5) * 2 / cells - 1
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1)


def test_the_hull_of_a_ball_holds_it_and_is_little_larger() -> None:
    """20 views: the ball, and under 1.3 times its volume but for the voxels and pixels at its surface."""
    hull = agreed_hull(balls(20), *SIDES, (80, 80, 80))
    assert hull[distances(80) < RADIUS].all()
    pixel, voxel = 3 / 70, math.sqrt(3) / 80  # both are kept whole
    ball = 4 / 3 * math.pi * (RADIUS + pixel + 2 * voxel) ** 3
    assert float(hull.float().mean() * 8) < 1.3 * ball


def test_silhouettes_are_widened_by_a_share_of_the_picture() -> None:
    narrow, wide = (agreed_hull(balls(20), *SIDES, (40, 40, 40), dilation=d) for d in (0.0, 6 / 60))
    assert bool((wide | ~narrow).all())
    widths = [float((hull.float().mean() * 8 * 3 / 4 / math.pi) ** (1 / 3)) for hull in (narrow, wide)]
    assert widths[1] - widths[0] == pytest.approx(6 * 3 / 70, rel=0.3), "six pixels, at the ball's distance"


def test_one_wrong_silhouette_of_twenty_is_outvoted() -> None:
    """With less agreement asked, what one picture rules out stays, and what several do does not."""
    capture = balls(20)
    pixels = capture.pixels.copy()
    pixels[: capture.first[1], 3] = 0  # the first picture shows nothing
    wrong = replace(capture, pixels=pixels)
    assert not agreed_hull(wrong, *SIDES, (24, 24, 24)).any()
    lenient = agreed_hull(wrong, *SIDES, (24, 24, 24), agreement=0.9)
    assert lenient[distances(24) < RADIUS].all()
    assert not lenient[distances(24) > 0.85].any()


def test_brute_force_finds_the_same_agreement() -> None:
    """Of every cell and picture by itself: seen, and further from the silhouette than the cell reaches."""
    capture, count = balls(6), 7
    hull = agreed_hull(capture, *SIDES, (count, count, count), agreement=0.7)
    side, expected = 2 / count, torch.zeros(count, count, count, dtype=torch.bool)
    for i in range(count):
        for j in range(count):
            for k in range(count):
                place = (np.array([i, j, k]) + 0.5) * side - 1
                seen = shown = 0
                for p in range(len(capture)):
                    x, y, z = np.linalg.inv(capture.scene_from_camera[p])[:3] @ [*place, 1]
                    u, v = (int(np.floor(70 * a / z + 30)) for a in (x, y))
                    if z > 0 and 0 <= u < 60 and 0 <= v < 60:
                        seen += 1
                        rows, columns = np.nonzero(capture.picture(p)[..., 3])
                        away = np.maximum(abs(rows - v), abs(columns - u)).min()
                        shown += away <= 0.5 * side * math.sqrt(3) * 70 / z + 1
                expected[i, j, k] = bool(seen > 0 and shown >= 0.7 * seen)
    assert float((hull == expected).float().mean()) > 0.99 and 0 < hull.float().mean() < 1


def test_what_no_picture_sees_is_out() -> None:
    capture = balls(4)
    far = torch.tensor([-9.0, -9.0, -9.0]), torch.tensor([9.0, 9.0, 9.0])
    hull = agreed_hull(capture, *far, (18, 18, 18))
    axis = torch.arange(18) - 8.5
    places = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    unseen = (seen_by(capture, places) < 1).view(hull.shape)
    assert unseen.any() and hull.any() and not hull[unseen].any()
    assert visual_hull(silhouettes(capture), *far, (18, 18, 18))[unseen].any(), "they are not ruled out"


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
