"""Tri-planes of one scene: their sizes, growth, what is empty, and that pictures are what the field makes of rays."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import softplus

from unflat.data.kinds import Capture, Scene
from unflat.data.rays import camera_rays
from unflat.kernels.lookup import AGGREGATES
from unflat.kernels.walking import is_empty
from unflat.method import predict_in_pieces
from unflat.methods.radiance import triplanes
from unflat.methods.radiance.triplanes import Config, TriPlanes
from unflat.training.run import build, train
from unflat.training.settings import Training
from unflat.worlds.objects import Objects

NARROW = Config(channels=4, sides=(32,), growths=(30, 60), width=16, batch_size=256, cells=24, refresh=20)


@pytest.fixture(scope="module")
def vase() -> Capture:
    return Objects("vase", 12, 32).capture(progress=False)


def fresh(vase: Capture, config: Config = NARROW, **changes: object) -> TriPlanes:
    method = build(TriPlanes, replace(config, **changes), vase.extent, 0)  # type: ignore[arg-type]
    assert isinstance(method, TriPlanes)
    return method


def test_the_defaults_have_the_published_size() -> None:
    """EG3D: planes of 256 x 256 with 32 channels, a layer of 64."""
    config = Config()
    assert (config.channels, config.sides, config.width, config.aggregate) == (32, (256,), 64, "sum")
    assert triplanes.chair().published == {}


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_growth_leaves_the_field_as_it_is(vase: Capture, aggregate: str, generator: torch.Generator) -> None:
    """Everywhere: entries of finer planes lie on the coarser ones'."""
    method = fresh(vase, sides=(8, 32), aggregate=aggregate)
    points = (method.low + torch.rand(200, 3, generator=generator) * (method.high - method.low)).clamp(-1, 1)
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator), dim=1)
    before, counts = method.field(points, directions), [len(plane) for plane in method.planes]
    assert method.update(29) and not method.update(30)
    after = method.field(points, directions)
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-5)
    assert all(len(plane) > 3 * count for plane, count in zip(method.planes, counts, strict=True))
    method.update(59)
    assert int(method.shapes.max()) == 33, "32 cells in the end"


def test_silhouettes_say_what_is_empty_and_keep_the_surface(vase: Capture) -> None:
    method = fresh(vase)
    method.prepare(vase)
    surface = Objects("vase").mesh().vertices
    assert not bool(is_empty(surface, method.cells).any())
    assert 0.05 < float(method.allowed.float().mean()) < 0.9
    batch = next(method.batches(vase, 0, 0))
    steps = triplanes.occupied_steps(batch.rays, method.cells, method.walk())
    assert len(steps.ray.unique()) > 0.95 * len(batch), "rays that meet nothing are left out"


def test_silhouettes_that_leave_nothing_are_an_error(vase: Capture) -> None:
    blank = vase.pixels.copy()
    blank[:, 3] = 0
    with pytest.raises(ValueError, match=r"the pictures leave nothing: look at the cameras"):
        fresh(vase).prepare(replace(vase, pixels=blank))


def test_a_picture_is_what_the_field_makes_of_rays(vase: Capture) -> None:
    """Brute force: every step through the box, in a loop over rays, with the field asked at each."""
    method = fresh(vase, least=0.0)
    method.prepare(vase)
    rays = camera_rays(method.scene, vase.cameras(0))[:: 32 * 3 + 5]
    seen, rgb, _ = method.march(rays)
    walk, box = method.walk(), (method.low, method.high)
    for r in range(len(rays)):
        a, b = ((side - rays.origins[r]) / rays.directions[r] for side in box)
        t, end = float(torch.minimum(a, b).max().maximum(rays.near[r])), float(torch.maximum(a, b).min())
        places = torch.arange(t + walk.step / 2, max(end, t + walk.step), walk.step)
        points = rays.origins[r] + places[:, None] * rays.directions[r]
        density, shown = (part.detach() for part in method.field(points, rays.sights[r].expand_as(points)))
        colour, left = torch.zeros(3), 1.0
        for alpha, one in zip((1 - torch.exp(-density * walk.step)).tolist(), shown, strict=True):
            colour, left = colour + left * alpha * one, left * (1 - alpha)
        torch.testing.assert_close(rgb[r].detach(), colour + left * method.background, rtol=0, atol=5e-3)
    total = torch.zeros(len(rays)).index_add(0, seen.ray, seen.weight) + seen.through
    torch.testing.assert_close(total, torch.ones(len(rays)), rtol=0, atol=1e-5)


def test_what_weighs_nothing_is_left_out_and_changes_little(vase: Capture) -> None:
    method = fresh(vase, density_scale=200.0)
    method.prepare(vase)
    rays = camera_rays(method.scene, vase.cameras(0))
    few, rgb, asked = method.march(rays)
    assert len(few.t) < asked / 2 and (few.ray.diff() >= 0).all()
    every, expected, _ = fresh(vase, density_scale=200.0, least=0.0).march(rays[:0])
    assert len(every.t) == 0 and expected.shape == (0, 3)
    whole = fresh(vase, density_scale=200.0, least=0.0)
    whole.load_state_dict(method.state_dict())
    assert (whole.march(rays)[1] - rgb).abs().max() < 2e-2


def test_cells_where_nothing_is_become_empty_and_others_stay(vase: Capture) -> None:
    """Opacity fades by 5 % a look, so that a cell is not given up at once."""
    method = fresh(vase)
    with torch.no_grad():
        for parameter in method.decoder.parameters():
            parameter.zero_()
        for plane in method.planes:
            plane.zero_()
        method.decoder.hidden.weight[0, 0] = 1.0
        method.decoder.last.weight[0, 0], method.decoder.last.bias[0] = 50.0, -60.0
        x, y, _ = method.shapes[0].tolist()
        method.planes[0].view(x, y, -1)[: x // 2, :, 0] = 5.0
    for step in range(200):
        method.look(step)
    side = float(method.high[0] - method.low[0])
    dense, thin = (torch.tensor([[float(method.low[0]) + part * side, 0.0, 0.0]]) for part in (0.2, 0.9))
    assert not bool(is_empty(dense, method.cells)) and bool(is_empty(thin, method.cells))
    walk = method.walk()
    full = 1 - torch.exp(-walk.thickness * softplus(method.raw_densities(dense) - walk.shift))
    assert float(method.opacity.max()) == pytest.approx(float(full), rel=1e-3)
    assert float(method.opacity.min()) == pytest.approx(0.95**200, rel=1e-2)


def test_few_views_may_ask_for_smooth_planes(vase: Capture) -> None:
    """The gradient of an entry gains what makes it more like its neighbours; no other entry is touched."""
    rough, smooth = fresh(vase), fresh(vase, smoothness=1000.0)
    smooth.load_state_dict(rough.state_dict())
    batch = next(rough.batches(vase, 0, 0))
    gradients = []
    for method in (rough, smooth):
        method.losses(batch, 0).total.backward()
        gradient = method.planes[0].grad
        assert gradient is not None
        gradients.append(gradient.to_dense() if gradient.is_sparse else gradient)
    difference, plane = (gradients[1] - gradients[0]).detach(), rough.planes[0].detach()
    x, y, _ = rough.shapes[0].tolist()
    square, touched = plane.view(x, y, -1), gradients[0].any(1).view(x, y)
    i, j = touched[1:-1, 1:-1].nonzero()[0].tolist()
    i, j = i + 1, j + 1
    beside = [square[i + a, j + b] for a, b in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    expected = sum((square[i, j] - other).clamp(-1, 1) for other in beside) * 1000 / 256
    torch.testing.assert_close(difference.view(x, y, -1)[i, j], expected, rtol=1e-3, atol=1e-4)
    assert not difference[~touched.flatten()].any()


@pytest.mark.parametrize("space", ["box", "contracted"])
def test_it_learns(vase: Capture, space: str, tmp_path: object) -> None:
    """Eighty steps, through both growths; also without silhouettes and an end."""
    data = vase if space == "box" else replace(vase, scene=Scene(space="contracted", near=0.05, far=50.0))
    run = train(TriPlanes, data, out=tmp_path, config=NARROW, training=Training(steps=80, rate=0.04), quiet=True)  # type: ignore[arg-type]
    seen = predict_in_pieces(run.method, data.cameras(0)).rgb
    assert seen is not None
    error = (seen[0] - torch.from_numpy(data.rgb(0))).square().mean()
    blank = (1 - torch.from_numpy(data.rgb(0))).square().mean()
    assert error < (0.15 if space == "box" else 0.6) * blank
