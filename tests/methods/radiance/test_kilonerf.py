"""KiloNeRF: what it is taught, what it draws, and its stages."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unflat.data.kinds import Capture
from unflat.kernels.clearance import clearance
from unflat.method import Method, predict_in_pieces
from unflat.methods.radiance import kilonerf, quick_grid
from unflat.methods.radiance.kilonerf import Config, KiloNeRF
from unflat.metrics.images import psnr
from unflat.training import checkpoint
from unflat.training.optimisers import Optimiser
from unflat.training.run import build, train
from unflat.training.settings import Training
from unflat.worlds.objects import Objects

FEW = replace(
    kilonerf.tiny().config, cells=4, finer=4, looks=2, octaves=2, width=16, thickness=0.3, occupied=0.01, step=0.1,
    typical_step=0.2, points=64,
)  # fmt: skip
TRAINING = Training(
    steps=1, rate=5e-3, clip=0.0, log_every=1, sample_every=0, validate_every=0, threads=1, device="cpu"
)


@pytest.fixture(scope="module")
def vase() -> Capture:
    return Objects("vase", 16, 32).capture(progress=False)


@pytest.fixture(scope="module")
def teacher(vase: Capture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another method, of few voxels."""
    folder = tmp_path_factory.mktemp("teacher")
    config = quick_grid.Config(most=24, stages=(0.5, 1.0), until=(30,), smaller=(1, 1), batch_size=512)
    train("quick_grid", vase, out=folder, config=config, training=replace(TRAINING, steps=90, rate=0.5), quiet=True)
    return folder


class Knower(torch.nn.Module):
    """A teacher that is a formula: a ball of radius 0.6 with a soft edge, coloured by place, a little by direction."""

    def colour(self, points: Tensor, directions: Tensor) -> Tensor:
        return 0.5 + 0.4 * (2 * points).sin() * (1 + 0.2 * directions[:, :1])

    def field(self, points: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
        return 60 * torch.sigmoid((0.6 - points.norm(dim=1)) * 15), self.colour(points, directions)


@pytest.fixture(scope="module")
def taught(vase: Capture) -> KiloNeRF:
    """By the formula, in 4^3 cells of a box that the ball leaves room in."""
    extent = replace(vase.extent, scene=replace(vase.scene, box=(-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)))
    method = build(KiloNeRF, FEW, extent, 0)
    assert isinstance(method, KiloNeRF)
    method.__dict__["teacher"] = Knower()
    method.begin_distilling()
    optimiser = Optimiser(method.parameter_groups(), dict(map(reversed, method.named_parameters())), 5e-3)  # type: ignore[arg-type]
    lessons = method.batches(vase, 0, 0)
    for step in range(300):
        losses = method.losses(next(lessons), step)
        optimiser.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        optimiser.step(step, 0.1 ** (step / 200))
    return method


def test_the_defaults_are_the_papers(vase: Capture) -> None:
    method = build(KiloNeRF, Config(), vase.extent, 0)
    assert method.tiny.weights.shape == (0, 6212)
    assert (Config().cells, Config().finer, Config().points, Config().batch_size) == (16, 16, 128, 8192)
    assert kilonerf.chair().training.steps == 600_000 + 150_000 + 1_000_000


def test_networks_say_what_a_formula_taught_them(taught: KiloNeRF, generator: torch.Generator) -> None:
    assert tuple(taught.tiny.row_of.shape) == (4, 4, 4) and len(taught.tiny.weights) > 50
    points = torch.rand(5000, 3, generator=generator) * 1.1 - 0.55
    sights = torch.nn.functional.normalize(torch.randn(5000, 3, generator=generator), dim=1)
    with torch.no_grad():
        density, colour = taught.field(points, sights)
    truth, colours = Knower().field(points, sights)
    assert float((colour - colours).square().mean()) < 1e-3
    step = taught.typical_step
    opacity, true = (1 - torch.exp(-step * value) for value in (density, truth))
    assert float((opacity - true).square().mean()) < 4e-3


def test_nothing_is_lost_by_jumping_over_what_is_empty(taught: KiloNeRF, vase: Capture) -> None:
    skipped, clear = predict_in_pieces(taught, vase.cameras(0)), taught.clear
    assert (clear > 0).float().mean() > 0.3
    try:
        taught.clear = torch.zeros_like(clear)
        every = predict_in_pieces(taught, vase.cameras(0))
    finally:
        taught.clear = clear
    assert skipped.rgb is not None and every.rgb is not None
    assert float((skipped.rgb - every.rgb).abs().mean()) < 1e-3


def test_a_picture_is_the_formulas(taught: KiloNeRF, vase: Capture) -> None:
    """Against all of the formula's samples, composited."""
    rays = kilonerf.camera_rays(taught.scene, vase.cameras(1))
    t = torch.arange(1.5, 5, 0.01)
    points = rays.origins[:, None] + t[:, None] * rays.directions[:, None]
    density, rgb = Knower().field(points.flatten(0, 1), rays.sights[:, None].expand_as(points).flatten(0, 1))
    seen = kilonerf.packed_absorption(density * 0.01, torch.arange(len(rays)).repeat_interleave(len(t)), len(rays))
    truth = (seen.weights[:, None] * rgb).view(len(rays), -1, 3).sum(1) + seen.through[:, None]
    found = predict_in_pieces(taught, vase.cameras(1)).rgb
    assert found is not None
    assert float(psnr(found, truth.view_as(found))) > 27


def test_three_stages_each_better_than_the_one_before(vase: Capture, teacher: Path, tmp_path: Path) -> None:
    """Taught by a run of a method that is no network; and killed at the border of two stages, it goes on as it was."""
    config = replace(FEW, teacher_run=str(teacher), distil_steps=60, batch_size=256, decay_steps=1000)
    unseen = Objects("vase", 2, 32, split="test").capture(progress=False)

    def run(folder: Path, steps: int) -> tuple[Method, float]:
        training = replace(TRAINING, steps=steps)
        method = train(KiloNeRF, vase, out=folder, config=config, training=training, quiet=True).method
        pictures = [predict_in_pieces(method, unseen.cameras(i)).rgb for i in range(2)]
        truth = [torch.from_numpy(unseen.rgb(i))[None] for i in range(2)]
        return method, sum(float(psnr(a, b)) for a, b in zip(pictures, truth, strict=True)) / 2  # type: ignore[arg-type]

    first, _ = run(tmp_path / "one", 1)
    _, distilled = run(tmp_path / "one", 60)
    whole, tuned = run(tmp_path / "whole", 130)
    resumed, _ = run(tmp_path / "one", 130)
    assert int(first.stage) == 1 and int(whole.stage) == 2 and tuned > distilled + 0.5
    for name, value in whole.state_dict().items():
        assert resumed.state_dict()[name].equal(value), name


def test_a_teacher_that_is_trained_here_goes_with_its_weights(vase: Capture, tmp_path: Path) -> None:
    config = kilonerf.tiny().config
    run = train(KiloNeRF, vase, out=tmp_path, config=config, training=replace(TRAINING, steps=3), quiet=True)
    held = {name: value for name, value in run.method.state_dict().items() if name.startswith("host.")}
    assert held and not any(value.numel() for value in held.values())
    assert checkpoint.load_method(tmp_path).tiny.weights.equal(run.method.tiny.weights)


def test_where_a_teacher_knows_nothing_it_is_said(vase: Capture) -> None:
    method = build(KiloNeRF, replace(FEW, occupied=0.9999), vase.extent, 0)
    with pytest.raises(ValueError, match=r"the teacher has found nothing .*--config.teacher-steps"):
        method.begin_distilling()  # type: ignore[operator]


def test_a_teacher_of_another_scene_is_refused(vase: Capture, teacher: Path) -> None:
    moved = replace(vase, scene=replace(vase.scene, world_scale=7.0))
    method = build(KiloNeRF, replace(FEW, teacher_run=str(teacher)), moved.extent, 0)
    with pytest.raises(ValueError, match="cannot teach here: it has learned another scene"):
        method.prepare(moved)


def test_places_of_lessons_are_where_something_is(taught: KiloNeRF) -> None:
    for among in ("cells", "occupied"):
        taught.config = replace(FEW, among=among)
        batch = next(taught.lessons(0, 0))
        places = taught.tiny.places(batch.number, batch.local)
        empty = float(kilonerf.is_empty(places, taught.cells).float().mean())
        assert empty < 1e-3 if among == "occupied" else empty > 0.2
        cell = ((places - taught.tiny.low) / taught.tiny.side).long().clamp(0, 3)
        own = taught.tiny.row_of[cell[:, 0], cell[:, 1], cell[:, 2]]
        assert (own == batch.number).float().mean() > 0.999
    taught.config = FEW


def test_clearance_is_that_of_the_occupancy(taught: KiloNeRF) -> None:
    assert torch.equal(taught.clear, clearance(taught.clear == 0))
