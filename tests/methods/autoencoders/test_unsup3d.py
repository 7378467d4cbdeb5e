"""Unsup3D on things whose answer is known: mirror images, twins, ranges, and the paper's pitfalls."""

import dataclasses
import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unflat.data.batches import PhotoBatch
from unflat.data.kinds import Extent, Photos
from unflat.geometry.depth import normals_of, paraboloid
from unflat.kernels import meeting_points
from unflat.method import Losses, predict_in_pieces
from unflat.methods.autoencoders.unsup3d import SIGMA_RANGE, Factors, Unsup3D, faces, small, tiny
from unflat.rendering.relief import Seen
from unflat.rendering.shading import Light
from unflat.training import checkpoint

SIZE = 32
EXTENT = Extent(count=8, size=(SIZE, SIZE))
NARROW = dataclasses.replace(tiny().config, batch_size=4)


def built(**changes: object) -> Unsup3D:
    torch.manual_seed(0)
    return Unsup3D(dataclasses.replace(NARROW, **changes), EXTENT)


def some_photos(count: int = 4, *, symmetric: bool = False) -> torch.Tensor:
    torch.manual_seed(1)
    photo = torch.nn.functional.interpolate(torch.rand(count, 3, 6, 6), size=(SIZE, SIZE), mode="bilinear")
    return (photo + photo.flip(-1)) / 2 if symmetric else photo


def batch_of(photo: torch.Tensor, depth: torch.Tensor | None = None) -> PhotoBatch:
    count = len(photo)
    return PhotoBatch(photo, torch.arange(count), torch.zeros(count, dtype=torch.bool), depth)


def symmetric_factors(method: Unsup3D, count: int = 2, yaw: float = 0.0) -> Factors:
    """A bowl that bulges towards the camera, with a symmetric albedo, lit from the front."""
    share = torch.sigmoid(2 * method.relief.bump).expand(count, -1, -1)
    depth = 0.9 + 0.2 * share
    view = torch.zeros(count, 6)
    view[:, 1] = yaw
    light = Light.tilted(torch.zeros(count, 4))
    ones = torch.ones(count, 2, SIZE, SIZE)
    albedo = some_photos(count, symmetric=True)
    return Factors(depth, share, albedo, light, None, view, view, ones, ones[:, :, ::4, ::4])


def test_the_papers_network_has_the_papers_number_of_weights() -> None:
    """37.1 M, and 12.98 M, 1.74 M and 7.68 M of its parts (supplement, tables 5 to 7); regressors have biases here."""
    method = Unsup3D(faces().config, Extent(1, (64, 64)))
    millions = {
        name: sum(p.numel() for p in part.parameters()) / 1e6 for name, part in method.networks.named_children()
    }
    assert millions["depth"] == pytest.approx(12.98, abs=0.01)
    assert millions["albedo"] == pytest.approx(12.98, abs=0.01)
    assert millions["view"] == pytest.approx(1.74, abs=0.01)
    assert millions["light"] == pytest.approx(1.74, abs=0.01)
    assert millions["confidence"] == pytest.approx(7.68, abs=0.01)
    assert sum(millions.values()) == pytest.approx(37.1, abs=0.05)


def test_small_fits_the_shipped_size() -> None:
    method = Unsup3D(small().config, Extent(1, (64, 64)))
    assert 2 * sum(p.numel() for p in method.parameters()) < 8e6  # in float16


def test_factors_are_in_their_ranges() -> None:
    method = built(shift_range=(0.1, 0.2, 0.05), ambient_range=(0.2, 0.6), diffuse_range=(0.5, 1.0))
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.5)  # saturate everything
    factors = method.factors(some_photos())
    assert factors.depth.min() >= 0.9 and factors.depth.max() <= 1.1
    assert factors.albedo.min() >= 0 and factors.albedo.max() <= 1
    assert factors.sigma.min() >= SIGMA_RANGE[0] and factors.sigma.max() <= SIGMA_RANGE[1]
    limits = torch.tensor([math.pi / 3] * 3 + [0.1, 0.2, 0.05])
    assert (factors.view.abs() <= limits + 1e-6).all()
    assert ((factors.light.ambient >= 0.2) & (factors.light.ambient <= 0.6)).all()
    assert ((factors.light.diffuse >= 0.5) & (factors.light.diffuse <= 1.0)).all()
    torch.testing.assert_close(factors.light.direction.norm(dim=1), torch.ones(4))
    tilt = (factors.light.direction[:, :2] / factors.light.direction[:, 2:]).abs()
    assert (tilt <= 1 + 1e-5).all() and (factors.light.direction[:, 2] < 0).all()


def test_borders_are_held_at_their_depth_on_the_sides_only() -> None:
    depth = built().factors(some_photos()).depth
    for column in (0, 1, -2, -1):
        torch.testing.assert_close(depth[:, :, column], torch.full((4, SIZE), 1.04))
    assert (depth[:, 0, 2:-2] != 1.04).all()


def test_a_global_offset_of_the_raw_depth_changes_nothing() -> None:
    method = built()
    raw = torch.randn(2, SIZE, SIZE)
    torch.testing.assert_close(method.relief(raw + 3)[1], method.relief(raw)[1], atol=1e-5, rtol=0)


def test_learning_starts_convex() -> None:
    factors = built(bump=1.0).factors(some_photos())
    middle = factors.depth[:, SIZE // 2 - 2 : SIZE // 2 + 2, SIZE // 2 - 2 : SIZE // 2 + 2].mean()
    assert middle < factors.depth[:, :, 4].mean() - 0.03


def test_a_coarser_depth_is_interpolated_to_the_photo() -> None:
    factors = built(depth_stride=2).factors(some_photos())
    assert factors.free_depth.shape == (4, SIZE // 2, SIZE // 2)
    assert factors.depth.shape == (4, SIZE, SIZE)


@pytest.mark.parametrize("stride", [1, 2])
def test_networks_on_a_coarser_grid_make_maps_of_the_photos_size(stride: int) -> None:
    factors = built(stride=stride, without=frozenset(["light"])).factors(some_photos())
    assert factors.albedo.shape == (4, 3, SIZE, SIZE) and factors.sigma.shape == (4, 2, SIZE, SIZE)
    assert factors.shading is not None and factors.shading.shape == factors.depth.shape == (4, SIZE, SIZE)
    assert factors.feature_sigma.shape == (4, 2, SIZE // 4, SIZE // 4)  # that of features four pixels wide


def test_a_frontal_object_is_drawn_as_it_is() -> None:
    method = built()
    factors = symmetric_factors(method)
    image, seen = method.reconstruct(factors)
    assert seen.mask.all()
    torch.testing.assert_close(image, factors.albedo * method.shade(factors)[:, None], atol=1e-4, rtol=0)


def mirror_image(method: Unsup3D, factors: Factors) -> tuple[torch.Tensor, Seen]:
    image, seen = method.reconstruct(method.with_mirrored(factors))
    count = len(factors.view)
    torch.testing.assert_close(image[:count], method.reconstruct(factors)[0])
    return image[count:], Seen(*(part[count:] for part in seen))


def test_the_mirror_image_of_a_symmetric_object_is_the_object() -> None:
    """Wherever it is seen from: depth and albedo are mirrored, view and light are not."""
    method = built()
    factors = symmetric_factors(method, yaw=0.4)
    plain, mirrored = method.reconstruct(factors), mirror_image(method, factors)
    torch.testing.assert_close(plain[0], mirrored[0], atol=1e-4, rtol=0)
    assert torch.equal(plain[1].mask, mirrored[1].mask)


def test_the_mirror_turns_what_is_not_symmetric() -> None:
    method = built()
    factors = symmetric_factors(method)._replace(albedo=some_photos(2))
    plain, _ = method.reconstruct(factors)
    mirrored, _ = mirror_image(method, factors)
    torch.testing.assert_close(mirrored, plain.flip(-1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("part", ["albedo_flip", "depth_flip"])
def test_a_flip_that_is_left_out_is_not_made(part: str) -> None:
    method = built(without=frozenset([part]))
    factors = symmetric_factors(method)
    lopsided = factors._replace(albedo=some_photos(2), depth=factors.depth + 0.01 * torch.linspace(-1, 1, SIZE))
    both = built()
    assert not torch.allclose(mirror_image(method, lopsided)[0], mirror_image(both, lopsided)[0], atol=1e-3)
    torch.testing.assert_close(method.reconstruct(lopsided)[0], both.reconstruct(lopsided)[0])


def test_the_mirrored_term_weighs_one_at_first_and_as_published_after_the_warm_up() -> None:
    """Nothing else differs between the steps when sigma is constant."""
    method = built(warmup=100, without=frozenset(["confidence"]), bump=0.0)
    batch = batch_of(some_photos())
    terms = {step: method.losses(batch, step).terms["mirrored"].item() for step in (0, 50, 100, 10_000)}
    assert terms[50] == pytest.approx(0.75 * terms[0], rel=1e-5)
    assert terms[100] == terms[10_000] == pytest.approx(0.5 * terms[0], rel=1e-5)


def test_sigma_is_constant_at_first_and_as_predicted_after_the_warm_up() -> None:
    method = built(warmup=100)
    sigma = torch.rand(2, 2, 4, 4) + 0.5
    torch.testing.assert_close(method.warmed(sigma, 0.0), torch.full_like(sigma, 0.3))
    torch.testing.assert_close(method.warmed(sigma, 1.0), sigma)


def test_without_confidence_colours_count_by_their_absolute_and_features_by_their_squared_error() -> None:
    """But for ln sigma, which nothing learns from."""
    method, photo = built(without=frozenset(["confidence"]), features="self"), some_photos()
    method.features = torch.nn.AvgPool2d(4)
    everywhere = torch.ones(4, SIZE, SIZE, dtype=torch.bool)
    pair = some_photos().flip(0), some_photos().flip(-1)
    terms = method.likelihood(method.factors(photo), photo, torch.cat(pair), everywhere, warm=1.0)
    off = [(image - photo).abs().mean().item() for image in pair]
    squared = [(method.features(image) - method.features(photo)).square().mean().item() for image in pair]
    assert terms["photometric"].item() == pytest.approx(2 * off[0] + math.log(2) / 2, rel=1e-5)
    assert terms["mirrored"].item() == pytest.approx(0.5 * (2 * off[1] + math.log(2) / 2), rel=1e-5)
    assert terms["features"].item() == pytest.approx(squared[0] + 0.5 * squared[1] - 1.5 * math.log(2) / 2, rel=1e-5)


class Asked(TorchDispatchMode):
    """Notes every operation that torch is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masked = name.startswith("index") and any(i is not None and i.dtype == torch.bool for i in args[1])
        self.names.add("nonzero" if masked else name)
        return func(*args, **(kwargs or {}))


WAITS = {"nonzero", "masked_select", "_local_scalar_dense", "lift_fresh", "unique", "_unique2", "repeat_interleave"}
"""operations for which the host and a GPU wait for each other, or copy to it: no CUDA graph may hold them"""


def test_a_step_does_not_wait_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    method = built(turn_weight=1.0, features="self", warmup=0)
    method.features.get_buffer("spread").fill_(1.0)  # as if it had learned
    batch = batch_of(some_photos())
    monkeypatch.setattr(meeting_points, "_loops", lambda: None)  # what a GPU runs; the triangles have a kernel there
    method.losses(batch, 51)  # constants are made once
    with Asked() as asked:
        method.losses(batch, 51).total.backward()
    assert "convolution" in asked.names
    assert WAITS & asked.names == set()
    with Asked() as asked:
        torch.rand(3)[torch.rand(3) > 2].new_tensor([1.0]).item()
    assert asked.names >= {"nonzero", "lift_fresh", "_local_scalar_dense"}, "what waits is noticed"


COMPILED = """
import dataclasses, torch
from unflat.data.batches import PhotoBatch
from unflat.data.kinds import Extent
from unflat.methods.autoencoders.unsup3d import Unsup3D, tiny

def loss(compiled):
    torch.manual_seed(0)
    method = Unsup3D(dataclasses.replace(tiny().config, turn_weight=1.0), Extent(8, (32, 32)))
    losses = torch.compile(method.losses, backend="eager") if compiled else method.losses
    batch = PhotoBatch(torch.rand(4, 3, 32, 32), torch.arange(4), torch.zeros(4, dtype=torch.bool))
    torch.manual_seed(1)
    total = losses(batch, 7).total
    total.backward()
    return total.item(), sum(p.grad.abs().sum().item() for p in method.parameters() if p.grad is not None)

print(*loss(True), *loss(False))  # compiled first: nothing is warm, no kernel is loaded
"""


@pytest.mark.soak
def test_a_compiled_loss_is_the_same_loss() -> None:
    """Traced, not compiled to machine code: what the compiler cannot see through has to be left alone by it."""
    done = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    loss, slope, plain_loss, plain_slope = map(float, done.stdout.split())
    assert loss == pytest.approx(plain_loss, rel=1e-5) and slope == pytest.approx(plain_slope, rel=1e-3)


def losses_of(method: Unsup3D, factors: Factors, photo: torch.Tensor, step: int = 1, **known: torch.Tensor) -> Losses:
    """The losses if the networks had said `factors`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Unsup3D, "factors", lambda self, photo: factors)
        return method.losses(dataclasses.replace(batch_of(photo), **known), step)


def test_turning_away_costs_coverage_with_a_gradient_back() -> None:
    """The mask has none: without this term, leaving the frame would be free."""
    method = built(coverage_weight=1.0)
    view = torch.zeros(1, 6, requires_grad=True)
    shifted = torch.zeros(1, 6)
    shifted[:, 3] = 0.05
    factors = symmetric_factors(method, 1)._replace(view=view + shifted)
    photo = some_photos(1)
    loss = losses_of(method, factors, photo).terms["coverage"]
    (gradient,) = torch.autograd.grad(loss, view)
    assert gradient[0, 3] > 0
    centred = losses_of(method, symmetric_factors(method, 1), photo).terms["coverage"]
    assert loss > centred + 0.05


def test_leaving_the_frame_is_no_gain() -> None:
    """With the paper's mean over covered pixels the loss of a perfect half is that of a perfect whole."""
    method = built(warmup=0, flip_weight=1.0)
    photo = some_photos(1)
    factors = symmetric_factors(method, 1)
    away = torch.zeros(1, 6)
    away[:, 3] = 0.09
    here, there = losses_of(method, factors, photo), losses_of(method, factors._replace(view=away), photo)
    assert there.figures["coverage"] < 0.6 * here.figures["coverage"]
    assert there.total > here.total


def test_every_network_gets_a_finite_gradient() -> None:
    method = built(without=frozenset())
    method.losses(batch_of(some_photos()), 1).total.backward()
    for name in ("encoder", "depth", "albedo", "light", "view", "confidence"):
        gradients = [p.grad for p in getattr(method.networks, name).parameters() if p.grad is not None]
        assert gradients and all(g.isfinite().all() for g in gradients)
        assert any(g.abs().max() > 0 for g in gradients), name


def test_edge_on_views_stay_finite() -> None:
    method = built()
    view = torch.zeros(2, 6)
    view[0, 1], view[1, 0] = math.pi / 3, -math.pi / 3
    spiky = 1 + 0.09 * torch.sign(torch.randn(2, SIZE, SIZE))
    depth = spiky.requires_grad_()
    factors = symmetric_factors(method)._replace(depth=depth, view=view.requires_grad_())
    loss = losses_of(method, factors, some_photos(2)).total
    gradients = torch.autograd.grad(loss, [depth, view])
    assert loss.isfinite() and all(g.isfinite().all() for g in gradients)


def test_shading_without_light_is_predicted() -> None:
    method = built(without=frozenset(["light"]))
    factors = method.factors(some_photos())
    assert factors.shading is not None and factors.shading.min() >= 0
    assert method.shade(factors) is factors.shading


def seen_depth(method: Unsup3D, photo: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return method.reconstruct(method.factors(photo))[1].depth


def test_the_supervised_baseline_learns_from_depth_alone() -> None:
    method = built(cues=frozenset(["depth"]), without=frozenset(["photos"]))
    photo = some_photos()
    true = seen_depth(method, photo)
    found = method.losses(batch_of(photo, true), 0)
    assert found.terms.keys() == {"depth", "coverage"}, "coverage: what is not covered is not compared"
    assert found.terms["depth"].item() == pytest.approx(0, abs=2e-5)
    assert method.losses(batch_of(photo, 3 * true), 0).terms["depth"].item() == pytest.approx(0, abs=2e-5)  # other unit
    other = true + 0.02 * (
        torch.arange(SIZE) > SIZE // 2
    )  # half of the picture 0.02 farther: half of that off the mean
    assert method.losses(batch_of(photo, other), 0).terms["depth"].item() == pytest.approx(20 * 0.01, rel=0.2)
    with pytest.raises(ValueError, match="want photos with depth beside them, but these have none"):
        method.losses(batch_of(photo), 0)


def test_with_masks_the_background_is_not_explained() -> None:
    method = built(cues=frozenset(["mask"]), warmup=0)
    photo = some_photos()
    mask = torch.zeros(4, SIZE, SIZE, dtype=torch.bool)
    mask[:, 8:24, 8:24] = True
    elsewhere = torch.where(mask[:, None], photo, 1 - photo)
    factors = method.factors(photo)
    here, there = (losses_of(method, factors, p, mask=mask) for p in (photo, elsewhere))
    assert torch.equal(here.total, there.total)
    blind = built(warmup=0)
    assert here.figures["coverage"] == losses_of(blind, factors, photo).figures["coverage"] > 0.8, "not that of masks"
    inside = torch.where(mask[:, None], 1 - photo, photo)
    changed = losses_of(method, factors, inside, mask=mask)
    assert here.figures["error"] == there.figures["error"] != changed.figures["error"]
    assert losses_of(blind, factors, photo, mask=mask).total != losses_of(blind, factors, elsewhere, mask=mask).total
    with pytest.raises(ValueError, match="want photos with mask beside them"):
        method.losses(batch_of(photo), 0)


def test_known_depth_and_view_pull_towards_themselves() -> None:
    method = built(cues=frozenset(["depth", "view"]))
    photo = some_photos()
    factors = method.factors(photo)
    batch = dataclasses.replace(batch_of(photo, seen_depth(method, photo)), view=factors.view.detach())
    right = method.losses(batch, 0).terms
    assert right["depth"].item() == pytest.approx(0, abs=1e-5) and right["view"].item() == pytest.approx(0, abs=1e-6)
    turned = dataclasses.replace(batch, view=batch.known("view") + torch.tensor([0, 0.3, 0, 0, 0, 0]))
    assert method.losses(turned, 0).terms["view"].item() == pytest.approx(0.05)  # the mean over six
    assert {"depth", "view"} & built().losses(batch, 0).terms.keys() == set()
    turning = built(cues=frozenset(["view"]), turn_weight=1.0, warmup=0)
    assert "turned" not in turning.losses(batch, 1).terms, "nothing is found out about views that are known"


def test_unknown_depth_teaches_nothing() -> None:
    method = built(cues=frozenset(["depth"]), without=frozenset(["photos"]))
    nothing = torch.full((4, SIZE, SIZE), torch.nan)
    assert method.losses(batch_of(some_photos(), nothing), 0).terms["depth"].item() == 0


@pytest.mark.parametrize(
    ("settings", "held"),
    [
        ({"turn_weight": 1.0}, {"level", "centre"}),
        ({"turn_weight": 1.0, "without": frozenset(["level"])}, {"centre"}),
        ({"turn_weight": 1.0, "without": frozenset(["centre"])}, {"level"}),
        ({"turn_weight": 1.0, "cues": frozenset(["view"])}, set()),
        ({"turn_weight": 0.0}, set()),
    ],
)
def test_what_is_asked_of_views_that_are_not_known(settings: dict[str, Any], held: set[str]) -> None:
    method = built(warmup=10, **settings)
    batch = dataclasses.replace(batch_of(some_photos()), view=torch.zeros(4, 6))
    first, later = (method.losses(batch, step).terms for step in (0, 10))
    asked = {"level", "centre", "turned"}
    assert asked & first.keys() == asked & later.keys() == (held | {"turned"} if held else set())
    assert all(first[name].item() == 0 for name in asked & first.keys()), "they grow with the warm-up"
    assert not held or later["turned"].item() > 0
    assert ("range" in first) == ("range" in later) == bool(held)


def test_views_at_the_end_of_their_range_are_led_back() -> None:
    """All of them there, as they go when they are left alone: tanh lets nothing else through, and this is felt."""
    method = built(turn_weight=1.0, warmup=0)
    bias = method.networks.get_submodule("view.1.last").bias
    assert isinstance(bias, torch.nn.Parameter)
    with torch.no_grad():
        bias[:3] = torch.tensor([30.0, -30.0, 0.0])
    terms = method.losses(batch_of(some_photos()), 1).terms
    for name in terms.keys() - {"range"}:
        (gradient,) = torch.autograd.grad(terms[name], bias, retain_graph=True, materialize_grads=True)
        assert not gradient[:2].any(), name
    (gradient,) = torch.autograd.grad(terms["range"], bias)
    assert gradient[0] > 0 > gradient[1], "back, by a step against the gradient"
    assert gradient[2] == 0


def test_photos_that_are_turned_teach_the_view_alone() -> None:
    method, photo = built(shared=False, turn_weight=1.0, warmup=0), some_photos()
    factors = method.factors(photo)
    method.turn_error(factors, photo).backward()
    taught = {
        name for name, part in method.networks.named_children() if any(p.grad is not None for p in part.parameters())
    }
    assert taught == {"view"}
    assert all(p.grad.isfinite().all() for p in method.networks.view.parameters() if p.grad is not None)
    assert "turned" in losses_of(method, factors, photo).terms


def test_known_views_let_a_relief_lean(tmp_path: Path) -> None:
    leaning = torch.linspace(-1, 1, SIZE)[:, None].expand(1, SIZE, SIZE)
    upright, known = built(bump=0.0), built(bump=0.0, cues=frozenset({"view"}))
    assert upright.relief(leaning)[0].std() < 1e-3 < known.relief(leaning)[0].std()
    checkpoint.save_weights(tmp_path / "upright.safetensors", upright, checkpoint.describe(upright))
    checkpoint.load_start(known, checkpoint.read(tmp_path / "upright.safetensors"), "upright")
    assert known.relief(leaning)[0].std() > 1e-3, "also where learning begins from weights of another run"


def turn_inside_out(method: Unsup3D) -> None:
    method.networks.turn_inside_out()
    method.relief.turn_inside_out()


@pytest.mark.parametrize("bump", [0.0, 1.0])
def test_inside_out_is_the_twin(bump: float) -> None:
    """Depth about the middle of its range; pitch, yaw and the light's slant change sign; twice is nothing."""
    method = built(bump=bump)
    photo = some_photos()
    before = method.factors(photo)
    turn_inside_out(method)
    after = method.factors(photo)
    torch.testing.assert_close(after.depth[:, :, 2:-2], 2 - before.depth[:, :, 2:-2])
    torch.testing.assert_close(after.view[:, :2], -before.view[:, :2])
    torch.testing.assert_close(after.view[:, 2:5], before.view[:, 2:5])
    torch.testing.assert_close(after.light.direction[:, :2], -before.light.direction[:, :2])
    torch.testing.assert_close(after.light.ambient, before.light.ambient)
    turn_inside_out(method)
    torch.testing.assert_close(method.factors(photo).depth, before.depth)


def bulge(method: Unsup3D) -> float:
    """How far the middle of the reliefs stands before their borders, in units of the range of depth."""
    share = method.factors(some_photos()).free_depth
    return (share * paraboloid(SIZE)).mean().item()


def test_an_inverted_solution_is_noticed_and_turned() -> None:
    method = built(bump=-1.0, warmup=3)
    batch = batch_of(some_photos())
    for _ in range(20):
        figures = method.losses(batch, 0).figures
    assert figures["convexity"] < 0 and bulge(method) < 0
    assert method.update(0) is False  # not before the end of the warm-up
    assert method.update(1000) is True
    assert method.relief.convexity > 0 and bulge(method) > 0
    assert method.update(2000) is False


def test_a_bulging_solution_is_left_alone() -> None:
    method = built(bump=1.0, warmup=3)
    for _ in range(20):
        assert method.losses(batch_of(some_photos()), 0).figures["convexity"] > 0
    before = [p.clone() for p in method.parameters()]
    assert method.update(1000) is False
    assert all(torch.equal(a, b) for a, b in zip(before, method.parameters(), strict=True))


def test_prediction_is_in_the_photos_view_and_in_the_canonical_one() -> None:
    method = built()
    rgb = (some_photos().permute(0, 2, 3, 1) * 255).byte().numpy()
    with torch.inference_mode():
        prediction = method.predict(Photos(rgb=rgb, names=tuple("abcd")))
    assert prediction.depth is not None and prediction.opacity is not None and prediction.canonical is not None
    assert torch.equal(prediction.depth.isnan(), prediction.opacity < 0.5)
    assert prediction.light is not None and prediction.canonical.light is not None and prediction.cameras is not None
    turned = prediction.cameras.camera_from_world.turn(prediction.canonical.light.direction[:, None])[:, 0]
    torch.testing.assert_close(prediction.light.direction, turned)
    assert prediction.canonical.depth is not None
    normals = normals_of(prediction.canonical.depth, prediction.cameras.pinhole)
    torch.testing.assert_close(prediction.canonical.normals, normals)
    assert prediction.mesh is not None and len(prediction.mesh) == 4
    assert prediction.mesh[0].vertices[:, 2].min() == prediction.canonical.depth[0].min()


def test_batches_are_a_function_of_seed_and_step() -> None:
    method = built()
    photos = Photos(
        rgb=np.random.default_rng(0).integers(0, 255, (8, SIZE, SIZE, 3), np.uint8), names=tuple("abcdefgh")
    )
    unbroken = list(itertools.islice(method.batches(photos, 0, seed=3), 5))
    resumed = next(method.batches(photos, 4, seed=3))
    assert torch.equal(unbroken[4].photo, resumed.photo)


def test_view_and_depth_learn_at_their_own_rates() -> None:
    method = built(rates=(3.0, 0.5))
    rate = {id(p): group.rate for group in method.parameter_groups() for p in group.parameters}
    for name, expected in (("view", 3.0), ("depth", 0.5), ("albedo", 1.0), ("encoder", 1.0)):
        assert {rate[id(p)] for p in getattr(method.networks, name).parameters()} == {expected}
    grouped = [id(p) for group in method.parameter_groups() for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in method.parameters())


def test_photos_of_another_size_are_refused() -> None:
    photos = Photos(rgb=np.zeros((1, 16, 16, 3), np.uint8), names=("a",))
    with pytest.raises(ValueError, match="photos are 16 x 16 px, but the model was trained at 32 x 32: read them with"):
        predict_in_pieces(built(), photos)
    with pytest.raises(ValueError, match="is asked with Photos, but was given list"):
        predict_in_pieces(built(), [photos])


def test_coarse_depth_stays_in_its_range() -> None:
    method = built(depth_stride=2)
    depth = method.relief(20 * torch.randn(2, SIZE // 2, SIZE // 2))[1]
    assert depth.min() >= 0.9 and depth.max() <= 1.1


def test_photos_that_are_not_square_are_refused() -> None:
    with pytest.raises(ValueError, match="needs square photos, but these are 48 x 32 px; crop them"):
        Unsup3D(NARROW, Extent(1, (32, 48)))
