"""Quick surface: what it begins with, growth, what is closed, and that it learns a surface."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from tests.oracles.ball import ball
from tests.oracles.still_life import still_life
from unflat.data.hulls import near_object
from unflat.data.kinds import Capture
from unflat.data.rays import RayPool, pooled
from unflat.evaluation.captures import scores_of
from unflat.fields.voxels import places_of
from unflat.geometry.solids import solidity
from unflat.geometry.spaces import expanded
from unflat.kernels.clearance import clearance
from unflat.kernels.distance_march import Distances, slope_at
from unflat.kernels.walking import Cells
from unflat.method import Prediction, predict_in_pieces
from unflat.methods.radiance import quick_grid
from unflat.methods.surfaces import quick_surface
from unflat.methods.surfaces.quick_surface import Config, QuickSurface
from unflat.metrics.surfaces import apart, chamfer
from unflat.outputs import foreground
from unflat.outputs.baking import points_of
from unflat.outputs.fusion import DepthMap, depth_maps
from unflat.outputs.scene_mesh import scene_mesh
from unflat.outputs.stereo import SmallViews
from unflat.training.optimisers import Optimiser
from unflat.training.run import build, train
from unflat.training.settings import Training
from unflat.worlds.objects import DIAGONAL, Objects

RADIUS = DIAGONAL / math.sqrt(12)
"""of the generated sphere, in the scene's frame"""
BRIEF = Config(detail=1.2, until=(20,), batch_size=1024, over=60, refresh=15)
STEPS = 60


@pytest.fixture(scope="module")
def capture() -> Capture:
    """A painted ball."""
    return Objects("sphere", 24, 48).capture(progress=False)


@pytest.fixture(scope="module")
def learned(capture: Capture, tmp_path_factory: pytest.TempPathFactory) -> QuickSurface:
    """A short run on it."""
    return trained(capture, BRIEF, STEPS, tmp_path_factory.mktemp("run"))


def trained(capture: Capture, config: Config, steps: int, folder: Path) -> QuickSurface:
    training = Training(
        steps=steps, rate=0.5, schedule="constant", clip=0.0, threads=1, validate_every=0, save_every=steps
    )
    method = train(QuickSurface, capture, out=folder, config=config, training=training, quiet=True).method
    assert isinstance(method, QuickSurface)
    return method


def prepared(capture: Capture, config: Config = BRIEF) -> QuickSurface:
    method = build(QuickSurface, config, capture.extent, 0)
    assert isinstance(method, QuickSurface)
    method.prepare(capture)
    return method


def begun(capture: Capture, config: Config = BRIEF, radius: float = 0.55, cube: bool = False) -> QuickSurface:
    """What comes after the exact depth of a ball; in a cube, of 16 voxels along a side in the end, if asked."""

    def exact(photos: SmallViews, *_: object) -> list[DepthMap]:
        return depth_maps(ball(capture.scene, radius=radius), photos.views, max(photos.pictures.shape[1:3]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SmallViews, "maps", exact)
        if cube:
            patch.setattr(quick_surface, "object_box", lambda *_: (torch.full((3,), -0.8), torch.full((3,), 0.8)))
            patch.setattr(quick_surface, "footprint", lambda _: 1.6 / 16 / config.detail)
        return prepared(capture, config)


def distances(method: QuickSurface, points: Tensor) -> Tensor:
    with torch.no_grad():
        return method.field(points, normalize(torch.ones_like(points), dim=1))[0]


def directions(count: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(count, 3, generator=torch.Generator().manual_seed(seed)), dim=1)


# What it begins with


def test_it_begins_where_depth_says(capture: Capture) -> None:
    """As distances: negative inside, as large as the way to the surface."""
    method, towards = begun(capture, replace(BRIEF, detail=0.6)), directions(500)
    for share in (0.8, 0.9, 1.0, 1.1, 1.2):
        found = distances(method, 0.55 * share * towards) / method.voxel
        assert found.mean() == pytest.approx(0.55 * (share - 1) / method.voxel, abs=0.7), share
        assert (found - found.mean()).abs().max() < 0.7
    assert (distances(method, 0.3 * towards) < 0).all()


def test_silhouettes_need_no_host_and_pictures_are_let_go(capture: Capture) -> None:
    """Stereo finds a painted ball, and the photos its colours, before any step."""
    method, towards = prepared(capture), directions(2000)
    assert method.host is None and method.stage == 0 and len(method.photos.pictures) == 0
    found = distances(method, RADIUS * towards) / method.voxel
    assert found.abs().mean() < 0.6 and found.abs().max() < 2
    assert scores_of(pictured(method, capture, 0), capture, 0)["PSNR"] > 17
    exact = depth_maps(ball(capture.scene, radius=RADIUS), capture.viewpoints, 48)
    for index in (0, 11):
        photo = torch.from_numpy(capture.picture(index))
        shown = exact[index].depth.isfinite() & (photo[..., 3] == 255)
        colour = method.field(exact[index].places[shown], -towards[: int(shown.sum())])[1].detach()
        assert (colour - photo[shown][:, :3] / 255).abs().mean() < 0.06, "0.1 if all were their mean"


def test_voxels_are_as_fine_as_pixels(capture: Capture) -> None:
    method = begun(capture, replace(BRIEF, most=500))
    side, pixel = float((method.high - method.low).max()), Objects("sphere").distance / capture.pinholes[0].fx
    assert int(method.finest) == pytest.approx(side / (BRIEF.detail * pixel), abs=1)
    assert int(begun(capture, replace(BRIEF, most=10)).finest) == 10


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open above"])
def test_what_is_closed_all_around_is_filled(capture: Capture, monkeypatch: pytest.MonkeyPatch, closed: bool) -> None:
    """A host's walls are, where all is dark inside; a cup stays hollow."""

    def shell(points: Tensor) -> Tensor:
        wall = 0.12 - (points.norm(dim=1) - 0.45).abs()
        opening = (points[:, :2].norm(dim=1) < 0.25) & (points[:, 2] > 0)
        return wall if closed else wall.masked_fill(opening, -1.0)

    monkeypatch.setattr(foreground, "fused", lambda maps, reach: shell)
    method = begun(capture, replace(BRIEF, detail=0.6))
    inside = distances(method, torch.zeros(1, 3)).item()
    assert inside < -0.4 if closed else inside > 0.1


def test_without_anything_opaque_there_is_nothing_to_begin_with(capture: Capture) -> None:
    bare = replace(capture, pixels=capture.pixels[:, :3].copy(), scene=replace(capture.scene, background=None))
    method = prepared(bare, replace(BRIEF, host_experiment="tiny"))
    nn.init.constant_(method.host.get_parameter("density"), -100.0)
    with pytest.raises(ValueError, match=r"nothing opaque.*more steps \(--config\.host-steps\)"):
        method.begin()


def test_cameras_that_all_look_the_same_way_are_refused(capture: Capture) -> None:
    window = replace(capture, scene=replace(capture.scene, space="ndc"))
    with pytest.raises(ValueError, match=r"needs cameras that look at an object from several sides.*Walk around"):
        prepared(window)


def test_without_silhouettes_the_hosts_steps_come_first(capture: Capture) -> None:
    usual = quick_surface.small()
    assert QuickSurface.suited(usual, capture) == (usual, {})
    endless = replace(capture, scene=replace(capture.scene, space="contracted", background=None))
    suited, reasons = QuickSurface.suited(usual, endless)
    assert suited.training.steps == usual.training.steps + usual.config.host_steps
    assert set(reasons) == {"training.steps"}


def test_of_what_hangs_together_only_the_object_is_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the host keeps the rest of it."""
    capture = Objects("sphere", 4, 32, around="dome").capture(progress=False)
    scene = replace(capture.scene, box=(-1.2, -1.2, -1.2, 1.2, 1.2, 1.2))
    method = prepared(replace(capture, scene=scene), replace(BRIEF, host_experiment="tiny"))
    monkeypatch.setattr(quick_surface, "depth_maps", lambda *_: still_life())
    monkeypatch.setattr(SmallViews, "maps", lambda photos, of, known: known)
    monkeypatch.setattr(SmallViews, "colours", lambda photos, maps, rows, *_: torch.full((int(rows.max()) + 1, 3), 0.5))
    method.begin()
    places = places_of(method.row_of.shape, method.low, method.high)  # type: ignore[arg-type]
    inside = method.distance < 0
    assert inside.sum() > 80
    assert (places[inside].norm(dim=1) < 0.65).all(), "of the floor and the wall nothing is there"
    emptied = method.host.density.view(method.host.row_of.shape) == quick_grid.NOTHING
    where = expanded(places_of(emptied.shape, method.host.low, method.host.high))[emptied.flatten()]  # type: ignore[arg-type]
    assert (where.norm(dim=1) < 0.3).any() and (where.abs() < 1.2).all()
    assert not ((where[:, 2] < -0.55) & (where[:, :2].norm(dim=1) > 0.5)).any(), "the floor is the host's"


# Growth


def test_a_finer_grid_keeps_distances_and_colours(capture: Capture) -> None:
    """Where voxels meet; what is new of the colours does not show yet."""
    config, draw = replace(BRIEF, bands=(1, 4), stages=(0.5, 1.0)), torch.Generator().manual_seed(0)
    method = begun(capture, config, cube=True)
    coarse, before = method.row_of.shape, method.row_of >= 0
    method.colour.data.normal_(generator=draw)
    step = 1.6 / (coarse[0] - 1)
    places, towards = before.nonzero() * step - 0.8, directions(int(before.sum()))
    known = [part.detach() for part in method.field(places, towards)]
    assert not method.update(BRIEF.until[0] - 2), "not before its time"
    assert method.update(BRIEF.until[0] - 1)
    assert method.row_of.shape == (17, 17, 17) == tuple(2 * n - 1 for n in coarse)
    assert method.colour.shape == (int(method.row_of.max()) + 1, 12)
    found = [part.detach() for part in method.field(places, towards)]
    torch.testing.assert_close(found[0], known[0], atol=1e-5, rtol=0)
    there = (method.row_of[::2, ::2, ::2] >= 0)[before]
    assert there.sum() > 100
    torch.testing.assert_close(found[1][there], known[1][there], atol=1e-4, rtol=0)


# What it learns


def test_it_learns_a_surface(learned: QuickSurface, capture: Capture) -> None:
    """Within a fraction of a voxel; and held-out pictures of it."""
    assert learned.stage == 1 and learned.voxel < 0.08
    mesh = scene_mesh(learned, capture.viewpoints, cells=48)
    ours, truth = points_of(mesh, 3000), points_of(Objects("sphere").mesh(), 3000)
    assert chamfer(apart(ours, truth), apart(truth, ours)) < 0.5 * learned.voxel, "0.3 if it were exact"
    off = (mesh.vertices.norm(dim=1) - RADIUS) / learned.voxel
    assert off.abs().mean() < 0.2 and off.abs().max() < 1.5
    assert (distances(learned, 0.8 * RADIUS * directions(200)) < 0).all()
    unseen = Objects("sphere", 2, 48, split="test").capture(progress=False)
    assert min(scores_of(pictured(learned, unseen, i), unseen, i)["PSNR"] for i in range(2)) > 22


def pictured(method: QuickSurface, capture: Capture, index: int) -> Prediction:
    return predict_in_pieces(method, capture.cameras(index))


def test_its_mesh_is_solid_and_faces_outwards(learned: QuickSurface, capture: Capture) -> None:
    mesh = scene_mesh(learned, capture.viewpoints, cells=32)
    found = solidity(mesh)
    assert found.solid, str(found)
    assert found.volume == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.1)
    assert mesh.normals is not None and ((mesh.normals * mesh.vertices).sum(1) > 0).all()


def test_it_has_no_density_and_a_grid_no_distance(learned: QuickSurface, capture: Capture) -> None:
    with pytest.raises(ValueError, match=r"QuickSurface learns distances, .* and has no density: leave out --surface"):
        scene_mesh(learned, capture.viewpoints, surface="density")
    grid = build(quick_grid.QuickGrid, quick_grid.Config(), capture.extent, 0)
    with pytest.raises(ValueError, match="QuickGrid learns a density and no distances: take its surface of depth or"):
        scene_mesh(grid, capture.viewpoints, surface="distance")


def test_what_reaches_the_boxs_faces_ends_there(capture: Capture) -> None:
    """Beyond them distances are not made longer by what is on the face."""
    method = begun(capture, cube=True)
    method.distance.data.fill_(-0.1)
    points = torch.tensor([[0.0, 0, 0.75], [0, 0, 0.79], [0, 0, 0.8], [0, 0, 1.0], [-1.3, 0, 0]])
    torch.testing.assert_close(distances(method, points), torch.tensor([-0.05, -0.01, 0, 0.2, 0.5]), atol=1e-5, rtol=0)


def test_normals_are_the_balls_and_face_the_camera(learned: QuickSurface, capture: Capture) -> None:
    found, camera = pictured(learned, capture, 0), capture.cameras(0)
    assert found.normals is not None and found.depth is not None
    there = found.depth[0].isfinite()
    assert 0.2 < there.float().mean() < 0.8 and (found.normals[0].isfinite().all(2) == there).all()
    sights = camera.pinhole.rays()
    normals, middle = found.normals[0][there], camera.camera_from_world.translation[0]
    assert ((normals * sights[there]).sum(1) < 0).all()
    true = normalize(found.depth[0][there][:, None] * sights[there] - middle, dim=1)
    degrees = torch.rad2deg((normals * true).sum(1).clamp(-1, 1).acos())
    assert degrees.median() < 4 and degrees.quantile(0.95) < 20


@pytest.mark.parametrize("alpha", [True, False], ids=["with opacity", "without"])
def test_white_on_white_is_opaque_where_the_pictures_say_so(alpha: bool) -> None:
    """A white surface that begins too small: its colours are explained by the background as well."""
    capture = Objects("sphere", 12, 40).capture(progress=False)
    white = capture.pixels.copy()
    white[:, :3] = 255
    shown = replace(capture, pixels=white if alpha else np.ascontiguousarray(white[:, :3]))
    soft = replace(BRIEF, stages=(0.5, 1.0), until=(30,), bands=(1, 1), sharpness=(1.4, 6.0), rates=(0.2, 0.3))
    method = begun(capture, soft, radius=0.5)
    nn.init.constant_(method.colour, 20.0)
    optimiser = Optimiser(method.parameter_groups(), {p: n for n, p in method.named_parameters()}, 0.5)
    batches = pooled(RayPool(shown), 256, seed=0, among=near_object(capture))
    for step in range(15):
        optimiser.zero_grad()
        method.losses(next(batches), step).total.backward()  # type: ignore[no-untyped-call]
        optimiser.step(step, 1.0)
    wrong = []
    for i in range(0, len(capture), 6):
        opacity = pictured(method, capture, i).opacity
        assert opacity is not None
        wrong.append(((opacity[0] > 0.5) != (torch.from_numpy(capture.picture(i)[..., 3]) > 127)).float().mean())
    assert float(np.mean(wrong)) < 0.03 if alpha else float(np.mean(wrong)) > 0.1, wrong


def test_the_slope_of_a_plane_is_its_normal() -> None:
    normal = torch.tensor([0.36, 0.48, 0.8])
    axis = torch.linspace(-1, 1, 9)
    places = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).view(-1, 3)
    cells = Cells(-torch.ones(3), torch.ones(3), clearance(torch.ones(4, 4, 4, dtype=torch.bool)))
    grid = Distances(places @ normal - 0.2, torch.zeros(0, 3), torch.full((9, 9, 9), -1, dtype=torch.int32), cells)
    some = 0.7 * (2 * torch.rand(50, 3, generator=torch.Generator().manual_seed(1)) - 1)
    torch.testing.assert_close(slope_at(some, grid, 0.25), normal.expand(50, 3), atol=1e-5, rtol=0)


@pytest.mark.soak
def test_corners_of_a_box_are_kept(tmp_path: Path) -> None:
    """Its settings `small`, on small pictures: half of a pixel's width off at most, on average."""
    world, usual = Objects("box", 30, 64), quick_surface.small()
    capture = world.capture(progress=False)
    method = trained(capture, usual.config, usual.training.steps, tmp_path)
    mesh = scene_mesh(method, capture.viewpoints, cells=96)
    ours, truth = points_of(mesh, 20000), points_of(world.mesh(), 20000)
    assert chamfer(apart(ours, truth), apart(truth, ours)) < 0.5 * world.distance / capture.pinholes[0].fx
    assert solidity(mesh).solid
