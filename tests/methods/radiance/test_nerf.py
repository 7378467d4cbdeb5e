"""NeRF, step by step, and learning on pictures of a ball that are known in closed form."""

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.data.kinds import Capture, Extent, Scene
from unflat.data.rays import RayBatch, camera_rays
from unflat.fields.mlp import RadianceNetwork
from unflat.geometry.cameras import Pinhole
from unflat.geometry.spaces import Rays
from unflat.method import predict_in_pieces
from unflat.methods.radiance.nerf import Config, NeRF, small, tiny
from unflat.metrics.images import psnr
from unflat.rendering.volume import middles
from unflat.training import checkpoint
from unflat.training.optimisers import Optimiser
from unflat.training.settings import Training, seed_of
from unflat.training.trainer import Trainer

RADIUS = 0.6
WHITE = (1.0, 1.0, 1.0)
ON_WHITE = Scene(near=1.5, far=4.5, background=WHITE)
NARROW = Config(width=32, depth=2, skip=-1, octaves=5, direction_octaves=1, coarse=16, fine=16, batch_size=256)


def paint(points: Tensor) -> Tensor:
    """The colour of the ball, anywhere."""
    return 0.5 + 0.4 * torch.sin(5 * points + torch.tensor([0.0, 1.0, 2.0]))


def towards_origin(centre: np.ndarray) -> np.ndarray:
    """scene_from_camera of a camera there that looks at the origin."""
    forward = -centre / np.linalg.norm(centre)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([right, np.cross(forward, right), forward], 1), centre
    return pose


def ball(views: int, size: int, scene: Scene = ON_WHITE, first: int = 0) -> Capture:
    """A painted ball at the origin from all around, 3 units away; where it is not, pictures are transparent."""
    turn = (np.arange(first, first + views) + 0.5) * 2.39996  # the golden angle
    height = np.cos((np.arange(first, first + views) * 0.6180339 % 1) * 2.4 + 0.4)
    aside = np.sqrt(1 - height**2)
    centres = 3 * np.stack([np.cos(turn) * aside, np.sin(turn) * aside, height], 1)
    pinhole = Pinhole(1.9 * size, 1.9 * size, size / 2, size / 2, size, size)
    poses = np.stack([towards_origin(centre) for centre in centres])
    count = views * size * size
    empty = Capture(np.zeros((count, 4), np.uint8), [pinhole] * views, poses, [str(i) for i in range(views)], scene)
    pixels = []
    for i in range(views):
        rays = camera_rays(scene, empty.cameras(i))
        distance = first_meeting(rays)
        colour = paint(rays.origins + distance.nan_to_num(0)[:, None] * rays.directions)
        pixels.append(torch.cat([colour, (~distance.isnan()).float()[:, None]], 1))
    return replace(empty, pixels=(torch.cat(pixels) * 255).round().to(torch.uint8).numpy())


def first_meeting(rays: Rays) -> Tensor:
    """How far along each ray the ball is; NaN where it is not."""
    nearest = -(rays.origins * rays.directions).sum(1)
    square = RADIUS**2 - (rays.origins + nearest[:, None] * rays.directions).square().sum(1)
    return nearest - torch.where(square >= 0, square, torch.nan).sqrt()


def nerf(config: Config = NARROW, scene: Scene = ON_WHITE) -> NeRF:
    torch.manual_seed(0)
    return NeRF(config, Extent(1, (4, 4), scene))


Ask = Callable[..., tuple[Tensor, Tensor]]


def known(density: Callable[[Tensor], Tensor], asked: list[Tensor] | None = None) -> Ask:
    """A field that is known, instead of a network's; `asked` collects where it was asked."""

    def ask(network: RadianceNetwork, places: Tensor, sights: Tensor, noise: float = 0.0) -> tuple[Tensor, Tensor]:
        if asked is not None:
            asked.append(places)
        return density(places), paint(places)

    return ask


def solid(places: Tensor) -> Tensor:
    return torch.where(places.norm(dim=-1) < RADIUS, 1e4, 0.0)


def fog(places: Tensor) -> Tensor:
    return 0.7 + 0.5 * torch.sin(3 * places).prod(-1)


# -- one picture, from a field that is known ---------------------------------------------------------------------------


def test_the_paper_has_two_networks_of_595844_parameters() -> None:
    method = nerf(Config())
    assert sum(p.numel() for p in method.parameters()) == 2 * 595_844


def test_a_ball_is_drawn_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rays, both looks, compositing, background and depth along z at once, against the meeting points."""
    capture = ball(2, 24)
    method = nerf(Config(width=8, depth=1, skip=-1))
    monkeypatch.setattr(method, "ask", known(solid))
    for i in range(2):
        prediction = predict_in_pieces(method, capture.cameras(i))
        rays = camera_rays(ON_WHITE, capture.cameras(i))
        distance = first_meeting(rays).view(24, 24)
        along_z = (rays.directions * torch.from_numpy(capture.scene_from_camera[i, :3, 2]).float()).sum(1).view(24, 24)
        assert prediction.rgb is not None and prediction.depth is not None and prediction.opacity is not None
        there = ~distance.isnan()
        inner = torch.nn.functional.max_pool2d((~there).float()[None], 3, 1, 1)[0] == 0  # a rim is cut by samples
        assert there.sum() > 100 and inner.sum() > 80
        outer = torch.nn.functional.max_pool2d(there.float()[None], 3, 1, 1)[0] == 0
        assert (prediction.opacity[0][inner] > 0.999).all() and (prediction.opacity[0][outer] == 0).all()
        assert torch.equal(prediction.rgb[0][outer], torch.ones(int(outer.sum()), 3))
        assert prediction.depth[0][outer].isnan().all()
        # the ball begins between the middles of two coarse intervals: half of one, 3.1 / 64, is what is not known
        torch.testing.assert_close(prediction.depth[0][inner], (distance * along_z)[inner], rtol=0, atol=0.025)
        expected = torch.from_numpy(capture.rgb(i))
        torch.testing.assert_close(prediction.rgb[0][inner], expected[inner], rtol=0, atol=0.05)


def test_64_coarse_and_192_fine_places_a_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """And three quarters of the new ones where the coarse network saw the ball's front."""
    capture, asked = ball(1, 5), []
    method = nerf(Config(width=8, depth=1, skip=-1))
    monkeypatch.setattr(method, "ask", known(solid, asked))
    middle = camera_rays(ON_WHITE, capture.cameras(0))[12:13]
    for learning in (False, True):
        method.see(middle, learning=learning)
    assert [tuple(places.shape) for places in asked] == [(1, 64, 3), (1, 192, 3)] * 2
    coarse, fine = ((places - middle.origins).norm(dim=-1)[0] for places in asked[:2])
    near_front = [(abs(part - (3 - RADIUS)) < 3 / 64).sum() for part in (coarse, fine)]
    assert near_front[0] <= 2 and near_front[1] >= 96
    assert (fine.diff() >= 0).all()


@pytest.mark.parametrize("reach", [1.0, 2.5])
def test_half_of_the_coarse_places_lie_in_what_matters(reach: float, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene("contracted", box=(-reach, -reach, -reach, reach, reach, reach), near=0.01, far=1e3)
    method, looked = nerf(scene=scene), []
    look = method.look
    monkeypatch.setattr(method, "look", lambda *given: looked.append(given[2]) or look(*given))
    ones = torch.ones(1)
    sight = torch.tensor([[0.0, 0.0, 1.0]])
    method.see(Rays(torch.zeros(1, 3), sight, sight, 0.01 * ones, 1e3 * ones, torch.tensor([0])))
    coarse = looked[0][0]
    assert (coarse < 1.05 * reach).float().mean().item() == pytest.approx(0.5, abs=0.06)


def test_looking_has_no_chance_in_it_and_learning_has() -> None:
    method = nerf(replace(NARROW, noise=1.0))
    rays = camera_rays(ON_WHITE, ball(1, 4).cameras(0))
    assert torch.equal(method.see(rays)[1].rgb, method.see(rays)[1].rgb)
    assert not torch.equal(method.see(rays, learning=True)[0].rgb, method.see(rays, learning=True)[0].rgb)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_noise_is_added_only_while_learning(noise: float, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    method = nerf(replace(NARROW, noise=noise))
    inner = method.ask
    monkeypatch.setattr(method, "ask", lambda *a: told.append(a[3]) or inner(*a))
    rays = camera_rays(ON_WHITE, ball(1, 2).cameras(0))
    method.see(rays, learning=True)
    method.see(rays)
    assert told == [noise, noise, 0.0, 0.0]


def test_a_scene_without_background_ends_in_something_opaque(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = ball(1, 4)
    for scene, opacity in ((ON_WHITE, 0.0), (replace(ON_WHITE, background=None), 1.0)):
        method = nerf(scene=scene)
        monkeypatch.setattr(method, "ask", known(lambda places: torch.zeros_like(places[..., 0])))
        prediction = predict_in_pieces(method, capture.cameras(0))
        assert prediction.opacity is not None and prediction.rgb is not None
        assert (prediction.opacity == opacity).all()
        assert bool((prediction.rgb == 1).all()) == (opacity == 0)


# -- spaces ------------------------------------------------------------------------------------------------------------

SPACES = {
    "box": ON_WHITE,
    "contracted": Scene(space="contracted", near=0.05, far=50.0),
    "ndc": Scene(space="ndc", near=1.0, far=1e3, window=(0.5, 0.4)),
}


@pytest.mark.parametrize("space", SPACES)
def test_the_field_in_the_scene_is_what_rays_see(space: str) -> None:
    """The density that `field` gives, summed up along a line of the scene's frame, is the opacity that rays see, which
    in normalised device coordinates are other lines with other lengths."""
    scene = SPACES[space]
    method = nerf(replace(NARROW, octaves=2, direction_octaves=1, coarse=8, fine=8000), scene)
    method.last_sample = "finite"
    pose = np.eye(4)
    pose[:3, 3] = [0.2, -0.1, -3.0 if space == "box" else 0.0]
    capture = Capture(np.zeros((4, 3), np.uint8), [Pinhole(3.0, 3.0, 1.0, 1.0, 2, 2)], pose[None], ("a",), scene)
    with torch.no_grad():
        seen = method.see(camera_rays(scene, capture.cameras(0))[:1])[1]
    direction = torch.tensor([-0.5 / 3, -0.5 / 3, 1.0], dtype=torch.float64)  # the first pixel's, per unit of depth
    depth = torch.logspace(math.log10(scene.near), math.log10(scene.far), 10_001, dtype=torch.float64)[None]
    points = torch.from_numpy(pose[:3, 3]) + middles(depth)[0, :, None] * direction
    sights = (direction / direction.norm()).expand_as(points).float()
    with torch.no_grad():
        density, rgb = method.field(points.float(), sights)
    thickness = density.double() * depth.diff(dim=1)[0] * direction.norm()
    assert 0.05 < float(seen.opacity[0]) <= 1
    assert float(seen.opacity[0]) == pytest.approx(float(-torch.expm1(-thickness.sum())), abs=2e-3)
    before = torch.exp(-(thickness.cumsum(0) - thickness))
    shown = (before * -torch.expm1(-thickness))[:, None] * rgb
    behind = (1 - seen.opacity[0]) * method.background
    torch.testing.assert_close(seen.rgb[0], shown.sum(0).float() + behind, rtol=0, atol=5e-3)


@pytest.mark.parametrize("space", SPACES)
def test_a_wall_is_where_it_is_in_every_space(space: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """At depth 4: as deep as the fine samples lie apart there, as wide as the picture, of the colour it has there."""
    scene = replace(SPACES[space], near=1.0, far=9.0 if space == "box" else 50.0)
    pose = np.eye(4)
    pose[:3, 3] = [0.2, -0.1, 0.0]
    capture = Capture(np.zeros((16, 3), np.uint8), [Pinhole(6.0, 6.0, 2.0, 2.0, 4, 4)], pose[None], ("a",), scene)
    begins = 1 - 2 / 4 if space == "ndc" else 4.0
    method = nerf(Config(width=8, depth=1, skip=-1, coarse=128, fine=128), scene)
    monkeypatch.setattr(method, "ask", known(lambda places: torch.where(places[..., 2] > begins, 1e4, 0.0)))
    prediction = predict_in_pieces(method, capture.cameras(0))
    assert prediction.depth is not None and prediction.opacity is not None
    assert (prediction.opacity > 0.999).all()
    torch.testing.assert_close(prediction.depth, torch.full((1, 4, 4), 4.0), rtol=0, atol=0.12)


def test_what_is_far_away_is_asked_within_a_cube(monkeypatch: pytest.MonkeyPatch) -> None:
    method, asked = nerf(scene=SPACES["contracted"]), []
    forward = RadianceNetwork.forward
    monkeypatch.setattr(RadianceNetwork, "forward", lambda self, a, b: asked.append(a[..., :3]) or forward(self, a, b))
    rays = camera_rays(SPACES["contracted"], ball(1, 6).cameras(0))
    method.see(rays)
    coarse = asked[0]
    assert coarse.abs().max() <= 2 and coarse.abs().amax((1, 2)).min() > 1.9
    metric = stepped(rays, 16)
    assert (metric < 1).sum() / metric.numel() > 0.4, "half of the samples are within one unit of the camera"


def stepped(rays: Rays, count: int) -> Tensor:
    """Distances of the piecewise spacing, written out."""
    share = (torch.arange(count) + 0.5) / count
    low, high = rays.near[:, None] / 2, 1 - 0.5 / rays.far[:, None]
    place = low + share * (high - low)
    return torch.where(place < 0.5, 2 * place, 0.5 / (1 - place))


# -- learning ----------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_mean_square_of_both() -> None:
    capture = ball(2, 8)
    method = nerf()
    batch = next(method.batches(capture, 0, 0))
    torch.manual_seed(3)
    with torch.no_grad():
        expected = [float(((seen.rgb - batch.rgb) ** 2).mean()) for seen in method.see(batch.rays, learning=True)]
    torch.manual_seed(3)
    losses = method.losses(batch, 0)
    assert {name: term.item() for name, term in losses.terms.items()} == pytest.approx(
        {"coarse": expected[0], "fine": expected[1]}
    )
    assert losses.total.item() == pytest.approx(sum(expected))
    assert float(losses.figures["PSNR"]) == pytest.approx(-10 * math.log10(expected[1]))
    assert set(losses.figures) == {"PSNR", "coarse opacity", "fine opacity"}


def test_the_fine_network_does_not_teach_the_coarse_one() -> None:
    method, capture = nerf(), ball(2, 8)
    method.losses(next(method.batches(capture, 0, 0)), 0).terms["fine"].backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None for p in method.coarse.parameters())
    assert all(p.grad is not None for p in method.fine.parameters())


def test_rays_of_one_picture_from_its_middle_first() -> None:
    capture = ball(5, 12)
    method = nerf(replace(NARROW, batch_size=20, crop_steps=3))

    def places(batch: RayBatch) -> Tensor:
        within = batch.rays.index % 144
        return torch.stack([within // 12, within % 12])

    batches = list(itertools.islice(method.batches(capture, 0, 0), 30))
    assert all(len(batch.picture.unique()) == 1 for batch in batches)
    assert len({int(batch.picture[0]) for batch in batches}) == 5
    for step, batch in enumerate(batches):
        inner = (places(batch) >= 3) & (places(batch) < 9)
        assert bool(inner.all()) == (step < 3)


def test_rays_of_all_pictures_where_that_is_asked_for() -> None:
    capture = ball(5, 12)
    method = nerf(replace(NARROW, batch_size=144, draw="pool"))
    epoch = list(itertools.islice(method.batches(capture, 0, 0), 5))
    assert torch.cat([batch.rays.index for batch in epoch]).sort().values.tolist() == list(range(720))
    assert all(len(batch.picture.unique()) == 5 for batch in epoch)


def test_what_does_not_belong_to_the_scene_is_not_learned() -> None:
    capture = ball(3, 12)
    masked = replace(capture, mask=np.arange(len(capture.pixels)) % 7 == 0)
    for draw in ("picture", "pool"):
        batches = nerf(replace(NARROW, draw=draw)).batches(masked, 0, 0)
        assert all((batch.rays.index % 7 == 0).all() for batch in itertools.islice(batches, 3))


def test_the_rate_falls_to_a_tenth() -> None:
    method = nerf(replace(NARROW, decay_steps=1000))
    (group,) = method.parameter_groups()
    assert (group.rule, group.betas, group.eps) == ("adam", (0.9, 0.999), 1e-7)
    assert group.schedule is not None
    assert [group.schedule(step) for step in (0, 500, 1000, 2000)] == pytest.approx([1, 0.1**0.5, 0.1, 0.01])
    optimiser = Optimiser([group], {p: n for n, p in method.named_parameters()}, 5e-4)
    method.losses(next(method.batches(ball(2, 8), 0, 0)), 0).total.backward()  # type: ignore[no-untyped-call]
    before = [p.detach().clone() for p in group.parameters]
    optimiser.step(1000, 1.0)
    moved = max((p - b).abs().max().item() for p, b in zip(group.parameters, before, strict=True))
    assert moved == pytest.approx(5e-5, rel=0.02), "the first step of Adam is as long as its rate"


def test_a_network_that_sees_nothing_is_told_of() -> None:
    """With relu, where every raw density is negative, opacity and gradient are zero; with softplus neither is."""
    capture = ball(2, 8)
    for activation in ("relu", "softplus"):
        method = nerf(replace(NARROW, activation=activation))
        for network in (method.coarse, method.fine):
            torch.nn.init.constant_(network.density.bias, -5.0)
            torch.nn.init.zeros_(network.density.weight)
        losses = method.losses(next(method.batches(capture, 0, 0)), 0)
        shown = [symptom.shows(float(losses.figures[symptom.figure])) for symptom in method.symptoms()]
        (gradient,) = torch.autograd.grad(losses.total, method.fine.density.bias)
        assert (shown, float(gradient.abs()) == 0) == ([activation == "relu"] * 2, activation == "relu")
    assert [symptom.figure for symptom in method.symptoms()] == ["coarse opacity", "fine opacity"]
    assert "softplus" in method.symptoms()[1].says and "fine network" in method.symptoms()[1].says


def test_settings_for_photos_with_a_background_are_the_papers_for_real_scenes() -> None:
    capture = ball(2, 8)
    assert NeRF.suited(small(), capture) == (small(), {})
    photos = replace(capture, pixels=capture.pixels[:, :3])
    experiment = replace(small(), config=Config())
    found, reasons = NeRF.suited(experiment, photos)
    assert found.config == Config(draw="pool", noise=1.0) and set(reasons) == {"config.draw", "config.noise"}


def test_a_scene_is_needed() -> None:
    with pytest.raises(ValueError, match="NeRF needs the extent of a capture, which has a scene"):
        NeRF(NARROW, Extent(1, (4, 4)))


def learned(capture: Capture, config: Config, steps: int, rate: float, folder: Path) -> NeRF:
    every = {"log_every": 50, "sample_every": 0, "validate_every": 0, "threads": 1, "device": "cpu"}
    training = Training(steps=steps, rate=rate, clip=0.0, **every)
    torch.manual_seed(0)
    trainer = Trainer(NeRF(config, capture.extent), capture, training, folder, quiet=True)
    trainer.fit()
    found = trainer.result
    assert isinstance(found, NeRF)
    return found.eval()


def test_it_learns_a_ball_and_draws_the_same_when_loaded(tmp_path: Path) -> None:
    """Pictures from places where no camera stood, against white ones; then the saved weights, bit for bit."""
    capture, unseen = ball(20, 16), ball(3, 16, first=20)
    method = learned(capture, replace(NARROW, draw="pool", decay_steps=150), 150, 5e-3, tmp_path)
    gains, off = [], []
    for i in range(3):
        prediction = predict_in_pieces(method, unseen.cameras(i))
        truth = torch.from_numpy(unseen.rgb(i))[None]
        assert prediction.rgb is not None and prediction.depth is not None
        gains.append(float(psnr(prediction.rgb, truth)) - float(psnr(torch.ones_like(truth), truth)))
        rays = camera_rays(ON_WHITE, unseen.cameras(i))
        forward = torch.from_numpy(unseen.scene_from_camera[i, :3, 2]).float()
        depth = (first_meeting(rays) * (rays.directions * forward).sum(1)).view(1, 16, 16)
        off.append((prediction.depth - depth).abs().nanmedian())
    assert min(gains) > 8, gains
    assert float(torch.stack(off).max()) < 0.2, "of a ball of radius 0.6"
    again = checkpoint.load_method(tmp_path)
    for i in range(3):
        one, other = (predict_in_pieces(m, unseen.cameras(i)) for m in (method, again))
        for name in NeRF.gives:
            torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=0, equal_nan=True)


# -- long checks -------------------------------------------------------------------------------------------------------

DEEP = Config(width=64, batch_size=512)
"""the paper's settings and depth, in networks of a quarter of its width"""


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_no_dead_starts(seed: int) -> None:
    """The training PSNR rises by 6 dB over the white picture within 1000 steps of 512 rays."""
    capture = ball(60, 100)
    torch.manual_seed(seed)
    method = NeRF(DEEP, capture.extent)
    optimiser = Optimiser(method.parameter_groups(), {p: n for n, p in method.named_parameters()}, 5e-4)
    gains: list[float] = []
    for step, batch in zip(range(1000), method.batches(capture, 0, seed), strict=False):
        torch.manual_seed(seed_of(seed, step, 0))
        losses = method.losses(batch, step)
        optimiser.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step(step, 1.0)
        white = float((1 - batch.rgb).square().mean())
        gains.append(10 * math.log10(white / losses.terms["fine"].item()))
        if step >= 20 and sum(gains[-20:]) / 20 > 6:
            return
    pytest.fail(f"only {sum(gains[-20:]) / 20:.1f} dB over white")


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_one_picture_is_learned_by_heart(tmp_path: Path) -> None:
    """To 35 dB: a field can hold what one camera sees."""
    capture = ball(1, 64)
    config = replace(small().config, octaves=10, decay_steps=2000)
    method = learned(capture, config, 2000, 3e-3, tmp_path)
    prediction = predict_in_pieces(method, capture.cameras(0))
    assert prediction.rgb is not None
    assert float(psnr(prediction.rgb, torch.from_numpy(capture.rgb(0))[None])) > 35


def test_tiny_is_tiny() -> None:
    assert tiny().training.steps <= 3 and tiny().config.width <= 16
