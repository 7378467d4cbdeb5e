"""Quick grid: what is empty before learning, growth, and that it learns."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from unflat.data.kinds import Capture, Scene
from unflat.data.rays import RayBatch, camera_rays
from unflat.evaluation.captures import scores_of
from unflat.geometry.spaces import expanded
from unflat.kernels.voxel_march import voxel_march
from unflat.kernels.walking import is_empty
from unflat.method import predict_in_pieces
from unflat.methods.radiance import quick_grid
from unflat.methods.radiance.quick_grid import Config, QuickGrid
from unflat.training.run import build, train
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import Objects

NARROW = Config(stages=(0.5, 1.0), until=(40,), smaller=(1, 1), batch_size=512, refresh=20)


@pytest.fixture(scope="module")
def vase() -> Capture:
    return Objects("vase", 20, 32).capture(progress=False)


@pytest.fixture(scope="module")
def endless(vase: Capture) -> Capture:
    """The same cameras in a space without end."""
    return replace(vase, scene=Scene(space="contracted", near=0.05, far=50.0))


def prepared(capture: Capture, config: Config = NARROW) -> QuickGrid:
    method = build(QuickGrid, config, capture.extent, 0)
    assert isinstance(method, QuickGrid)
    method.prepare(capture)
    return method


def test_silhouettes_say_what_is_empty_and_keep_the_surface(vase: Capture) -> None:
    method = prepared(vase)
    surface = Objects("vase").mesh().vertices
    assert not bool(is_empty(surface, method.voxels.cells).any())
    assert 0.05 < float(method.allowed.float().mean()) < 0.8, "a vase does not fill its box"
    low, high = surface.amin(0), surface.amax(0)
    assert bool((method.low <= low).all() and (method.high >= high).all())
    wide = replace(vase, scene=replace(vase.scene, box=(-0.95, -0.95, -0.95, 0.95, 0.95, 0.95)))
    drawn = prepared(wide)
    assert bool((drawn.high - drawn.low < 1.35 * (high - low)).all()), "the box is drawn tight around the object"


def test_voxels_are_as_fine_as_pixels(vase: Capture) -> None:
    """Twice the detail, twice the voxels, up to the most."""
    cells = [int(prepared(vase, replace(NARROW, detail=detail)).finest) for detail in (2.0, 1.0, 0.5)]
    assert cells[1] == pytest.approx(2 * cells[0], abs=1) and cells[2] == pytest.approx(2 * cells[1], abs=1)
    assert int(prepared(vase, replace(NARROW, most=10)).finest) == 10


def test_a_finer_grid_is_the_same_field(vase: Capture) -> None:
    method = prepared(vase, replace(NARROW, empty=-1.0))
    draw = torch.Generator().manual_seed(0)
    x = torch.linspace(-1, 1, method.row_of.shape[0])[:, None, None].expand(method.row_of.shape)
    method.density.data.copy_((6 + 2 * x).flatten())  # linear: interpolation keeps it
    within = method.low + (method.high - method.low) * (0.2 + 0.6 * torch.rand(200, 3, generator=draw))
    up = torch.tensor([0.0, 0.0, 1.0]).expand(200, 3)
    before = method.field(within, up)[0]
    method.grow()
    after = method.field(within, up)[0]
    both = (before > 0) & (after > 0)
    assert both.float().mean() > 0.2
    torch.testing.assert_close(after[both], before[both], rtol=2e-3, atol=0)


def test_density_is_per_unit_of_length_whatever_the_voxels(vase: Capture) -> None:
    """A ray through a constant density passes exp(-density * length), coarse and fine."""
    rays = camera_rays(vase.scene, vase.cameras(0), torch.device("cpu"))
    passed = []
    for detail in (2.0, 0.5):
        method = prepared(vase, replace(NARROW, detail=detail, least=0.0, last=0.0))
        method.density.data.fill_(-1.0)
        density = NARROW.density_scale * float(softplus(torch.tensor(-1.0 - NARROW.density_shift)))
        seen = voxel_march(rays, method.voxels, method.walk(), method.background)
        passed.append(seen.through.detach())
        longest = float((method.high - method.low).norm())
        assert float(passed[-1].min()) >= torch.tensor(-density * longest).exp() - 1e-3
        assert float(passed[-1].min()) < 0.9
    assert float((passed[0] - passed[1]).abs().mean()) < 0.05, "but for cells at the edge"


def test_an_empty_box_is_said(vase: Capture) -> None:
    method = prepared(vase)
    method.density.data.fill_(-100.0)
    with pytest.raises(ValueError, match="all of the box is empty: look at the cameras"):
        method.grow()


def test_what_few_pictures_see_of_a_space_without_end_stays_empty(endless: Capture) -> None:
    method = prepared(endless, replace(NARROW, least_seen=0.3))
    middle, far = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, -1.9]])
    assert not bool(is_empty(middle, method.voxels.cells)), "all cameras look at the middle"
    assert bool(is_empty(far, method.voxels.cells)), f"{expanded(far).tolist()} is below all that the cameras see"
    everything = prepared(endless, replace(NARROW, least_seen=0.0))
    assert not bool(is_empty(far, everything.voxels.cells))


def test_a_space_without_end_and_few_pictures_get_settings_of_their_own(vase: Capture, endless: Capture) -> None:
    usual = quick_grid.small()
    many = vase[[i % len(vase) for i in range(quick_grid.FEW)]]
    assert QuickGrid.suited(usual, many) == (usual, {})
    suited, reasons = QuickGrid.suited(usual, vase)
    assert suited.config.smoothness == quick_grid.SMOOTH and set(reasons) == {"config.smoothness"}
    suited, reasons = QuickGrid.suited(usual, endless)
    assert suited.config.most == 192 and suited.config.density_shift == 6.0
    settings = ("most", "step", "density_shift", "least", "smoothness", "distortion", "opacity_weight")
    assert set(reasons) == {f"config.{name}" for name in settings}
    assert QuickGrid.suited(usual, endless, started=True) == (usual, {})


def learned(capture: Capture, config: Config, folder: Path) -> tuple[QuickGrid, RayBatch]:
    """After 60 steps, and a batch to look at it with."""
    training = Training(steps=60, rate=0.5, schedule="exponential", clip=0.0, threads=1, validate_every=0)
    method = train(QuickGrid, capture, out=folder, config=config, training=training, quiet=True).method
    assert isinstance(method, QuickGrid)
    return method, next(method.batches(capture, 0, 0))


def test_what_a_ray_sees_is_asked_to_lie_in_one_place(endless: Capture, tmp_path: Path) -> None:
    spreads = []
    for distortion in (0.0, 0.1):
        method, batch = learned(endless, replace(NARROW, distortion=distortion), tmp_path / str(distortion))
        spread = method.march(batch.rays, key=0).spread.detach().mean()
        terms = method.losses(batch, 0).terms
        assert set(terms) == {"photometric"} | ({"distortion"} if distortion else set())
        spreads.append(float(spread))
    assert 0 < spreads[1] < 0.7 * spreads[0], spreads


def test_a_space_without_end_is_opaque_everywhere(endless: Capture, tmp_path: Path) -> None:
    laid = np.concatenate([endless.rgb(i).reshape(-1, 3) for i in range(len(endless))])
    endless, passing = replace(endless, pixels=(255 * laid + 0.5).astype(np.uint8)), []
    for weight in (0.0, 0.1):
        method, batch = learned(endless, replace(NARROW, opacity_weight=weight), tmp_path / str(weight))
        through = method.march(batch.rays, key=seed_of(0, 1)).through.detach()
        terms = method.losses(batch, 0).terms
        if weight:
            assert terms["opacity"].item() == pytest.approx(weight * through.square().mean().item(), rel=1e-4)
        passing.append(float(through.mean()))
    assert passing[1] < 0.7 * passing[0], passing


def test_few_pictures_are_explained_better_by_what_is_smooth(vase: Capture, tmp_path) -> None:  # type: ignore[no-untyped-def]
    training = Training(
        steps=150, rate=0.5, schedule="exponential", clip=0.0, threads=1, validate_every=0, save_every=200
    )
    unseen, found = Objects("vase", 4, 32, split="test").capture(progress=False), []
    for smoothness in ((0.0, 0.0), quick_grid.SMOOTH):
        config = replace(NARROW, smoothness=smoothness)
        run = train(QuickGrid, vase[:6], out=tmp_path / str(smoothness), config=config, training=training, quiet=True)
        answers = (predict_in_pieces(run.method, unseen.cameras(i)) for i in range(4))
        found.append(sum(scores_of(answer, unseen, i)["PSNR"] for i, answer in enumerate(answers)) / 4)
    assert found[1] > found[0] + 0.3, found


def test_it_learns_an_object(vase: Capture, tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Held-out pictures of 32 px after 200 steps, and where the object is in them."""
    training = Training(
        steps=200, rate=0.5, schedule="exponential", clip=0.0, threads=1, validate_every=0, save_every=200
    )
    run = train(QuickGrid, vase, out=tmp_path, config=NARROW, training=training, quiet=True)
    unseen = Objects("vase", 4, 32, split="test").capture(progress=False)
    for i in range(4):
        prediction = predict_in_pieces(run.method, unseen.cameras(i))
        assert scores_of(prediction, unseen, i)["PSNR"] > 25
        assert prediction.opacity is not None
        there = torch.from_numpy(unseen.picture(i)[..., 3]) > 127
        assert float(((prediction.opacity[0] > 0.5) == there).float().mean()) > 0.97


def test_what_is_removed_is_empty_and_the_rest_stays(endless: Capture) -> None:
    """Within half of the space, far out as well, where it is contracted."""
    method = prepared(endless)
    method.density.data.fill_(8.0)
    points = torch.tensor([[0.5, 0, 0], [3.0, 1, 0], [-0.5, 0, 0], [-3.0, 1, 0]])
    up = torch.tensor([0.0, 0.0, 1.0]).expand(4, 3)
    before = method.field(points, up)[0].detach()
    assert (before > 0).all()
    method.remove(lambda places: places[:, 0] > 0)
    after = method.field(points, up)[0].detach()
    assert (after[:2] == 0).all()
    torch.testing.assert_close(after[2:], before[2:])
