"""Reliefs seen from elsewhere: exact at the identity, closed forms, brute force, finite differences, symmetry."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import jvp

from tests.oracles.visible_triangles import depth_of_triangles
from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import unproject
from unflat.geometry.meshes import grid_triangles
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.kernels.meeting_points import nearness_planes
from unflat.kernels.visible_triangles import visible_triangles_torch
from unflat.rendering import relief
from unflat.rendering.relief import Seen, outside, sample_canonical, see_relief, turn_photo, where_plane_is_seen

SIZE = 24
CAMERA = Pinhole.across_centres(SIZE, math.radians(10))
WIDE = Pinhole(170.0, 165.0, 16.0, 9.5, 30, 20)
MIDDLE = torch.tensor([0.0, 0.0, 1.0])


def view_of(turns: list[float] | Tensor, shift: list[float] | Tensor = (0.0, 0.0, 0.0)) -> Rigid:  # type: ignore[assignment]
    """A view, or a batch of views, by turns about x, y and z in degrees and a shift."""
    turns = torch.atleast_2d(torch.as_tensor(turns, dtype=torch.float64))
    shift = torch.as_tensor(shift, dtype=torch.float64).expand(len(turns), 3)
    return Rigid.about(MIDDLE.double(), rotation_from_euler(turns.deg2rad()), shift)


def smooth(seed: int = 0, height: int = SIZE, width: int = SIZE, amplitude: float = 0.04, batch: int = 1) -> Tensor:
    """Random smooth reliefs about depth 1, float64."""
    coarse = torch.randn(batch, 1, 5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    fine = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic", align_corners=True)
    return 1 + amplitude * fine[:, 0].clamp(-2.5, 2.5)


def pixel_centres(camera: Pinhole) -> Tensor:
    v, u = torch.meshgrid(torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij")
    return torch.stack([u, v], -1).double()


def nearness_at(depth: Tensor, place: Tensor) -> Tensor:
    """1/depth of a relief [h, w] at canonical pixel coordinates [n, 2]: affine on either half of a cell."""
    height, width = depth.shape
    near = 1 / depth
    column = (place[:, 0] - 0.5).floor().long().clamp(0, width - 2)
    row = (place[:, 1] - 0.5).floor().long().clamp(0, height - 2)
    x, y = place[:, 0] - 0.5 - column, place[:, 1] - 0.5 - row
    top, bottom = near[row, column], near[row + 1, column + 1]
    right, left = near[row, column + 1], near[row + 1, column]
    upper = top + x * (right - top) + y * (left - top)
    lower = bottom + (1 - x) * (left - bottom) + (1 - y) * (right - bottom)
    return torch.where(x + y <= 1, upper, lower)


@pytest.mark.parametrize("camera", [CAMERA, WIDE])
def test_at_the_identity_the_relief_is_seen_as_it_is(camera: Pinhole) -> None:
    """No pinholes on shared edges, no half-pixel shift, no lost last row (pitfalls 4 and 5), in single precision."""
    depth = smooth(0, camera.height, camera.width, batch=3).float()
    still = Rigid(torch.eye(3).expand(3, 3, 3), torch.zeros(3, 3))
    seen = see_relief(depth, still, camera)
    assert bool(seen.mask.all())
    assert torch.allclose(seen.depth, depth, rtol=0, atol=1e-5)
    assert torch.allclose(seen.canonical.double(), pixel_centres(camera), rtol=0, atol=1e-3)
    image = torch.rand(3, 2, camera.height, camera.width)
    assert torch.allclose(sample_canonical(image, seen.canonical), image, rtol=0, atol=1e-3)


def test_at_the_identity_double_precision_is_exact() -> None:
    depth = smooth(1)
    seen = see_relief(depth, view_of([0, 0, 0]), CAMERA)
    assert torch.allclose(seen.depth, depth, rtol=0, atol=1e-13)
    assert torch.allclose(seen.canonical, pixel_centres(CAMERA), rtol=0, atol=1e-9)


def test_a_shift_by_whole_pixels_moves_the_picture_by_whole_pixels() -> None:
    """A flat relief at depth 1 moved right by 3 px and down by 2 px."""
    pixel = 1 / CAMERA.fx
    seen = see_relief(torch.ones(1, SIZE, SIZE).double(), view_of([0, 0, 0], [3 * pixel, 2 * pixel, 0]), CAMERA)
    wanted = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    wanted[2:, 3:] = True
    assert torch.equal(seen.mask[0], wanted)
    assert torch.allclose(
        seen.canonical[0][wanted], pixel_centres(CAMERA)[: SIZE - 2, : SIZE - 3].flatten(0, 1), atol=1e-6
    )


@pytest.mark.parametrize("turns", [[11.0, 29, 6], [-20, 40, -15], [60, -60, 60]])
@pytest.mark.parametrize("camera", [CAMERA, WIDE])
def test_there_and_back(turns: list[float], camera: Pinhole) -> None:
    """The canonical point a pixel sees, put on the relief and moved into the view, lands on the pixel."""
    depth = smooth(2, camera.height, camera.width)
    view = view_of(turns, [0.005, -0.003, 0.01])
    seen = see_relief(depth, view, camera)
    assert seen.mask.float().mean() > 0.2
    place = seen.canonical[seen.mask]
    near = nearness_at(depth[0], place)
    x, y = (place[:, 0] - camera.cx) / camera.fx, (place[:, 1] - camera.cy) / camera.fy
    points = view.apply((torch.stack([x, y, torch.ones_like(x)], -1) / near[:, None])[None])[0]
    away = (camera.project(points) - pixel_centres(camera)[None][seen.mask]).norm(dim=-1)
    assert float(away.max()) < 0.01
    assert float((points[:, 2] - seen.depth[seen.mask]).abs().max()) < 1e-4
    assert float((points[:, 2] - seen.depth[seen.mask]).abs().median()) < 1e-7


@pytest.mark.parametrize("turns", [[0.0, 20, 0], [30, -30, 10], [0, 60, 0]])
def test_depth_and_mask_as_by_brute_force(turns: list[float]) -> None:
    """The nearest of all triangles, each asked by itself: also where the relief hides parts of itself."""
    size = 11
    camera = Pinhole.across_centres(size, math.radians(10))
    depth = smooth(3, size, size, amplitude=0.06)
    view = view_of(turns)
    points = view.apply(unproject(depth, camera).flatten(1, 2))[0]
    corners = torch.cat([camera.project(points), points[:, 2:]], -1).float()
    brute = depth_of_triangles(corners.numpy(), grid_triangles(size, size).numpy(), size, size)
    seen = see_relief(depth, view, camera, far=9.0)
    assert np.array_equal(seen.mask[0].numpy(), np.isfinite(brute.min(0)))
    covering = np.isfinite(brute).sum(0)
    assert (covering[seen.mask[0].numpy()] > 1).any()  # something is hidden, so that nearest means something
    assert np.abs(seen.depth[0].numpy() - brute.min(0))[seen.mask[0].numpy()].max() < 1e-4
    assert np.median(np.abs(seen.depth[0].numpy() - brute.min(0))[seen.mask[0].numpy()]) < 1e-6


@pytest.mark.parametrize("turns", [[0.0, 35, 0], [25, 0, 0], [20, 30, -40]])
@pytest.mark.parametrize("camera", [CAMERA, WIDE])
def test_a_turned_plane_has_the_depth_of_the_closed_form(turns: list[float], camera: Pinhole) -> None:
    view = view_of(turns, [0.004, 0.002, -0.03])
    seen = see_relief(torch.ones(1, camera.height, camera.width).double(), view, camera)
    normal = view.rotation[0] @ MIDDLE.double()
    centre = MIDDLE.double() + torch.tensor([0.004, 0.002, -0.03], dtype=torch.float64)
    depth = (normal @ centre) / (camera.rays(dtype=torch.float64) @ normal)
    assert 0.3 < seen.mask.float().mean() < 1
    assert torch.allclose(seen.depth[seen.mask], depth[None][seen.mask], rtol=0, atol=1e-10)
    # where the plane is seen has a closed form, too, and the mask is where that lies on the grid
    place = where_plane_is_seen(view, camera)
    assert torch.allclose(seen.canonical[seen.mask], place[seen.mask], rtol=0, atol=1e-7)
    u, v = place.unbind(-1)
    inside = (u >= 0.5) & (u <= camera.width - 0.5) & (v >= 0.5) & (v <= camera.height - 0.5)
    assert torch.equal(seen.mask, inside)


@pytest.mark.parametrize("what", ["depth", "turns", "shift"])
@pytest.mark.parametrize("seed", [0, 1])
def test_derivatives_are_those_of_finite_differences(what: str, seed: int) -> None:
    """Along a random direction, pixel by pixel, wherever the same triangle is seen on either side of the step."""
    generator = torch.Generator().manual_seed(seed)
    at = {"depth": smooth(seed), "turns": torch.tensor([[11.0, 29, 6]]).double(), "shift": torch.zeros(1, 3).double()}
    step = (
        torch.randn(at[what].shape, generator=generator, dtype=torch.float64)
        * {"depth": 1e-2, "turns": 10, "shift": 1e-2}[what]
    )

    def see(value: Tensor) -> Seen:
        given = at | {what: value}
        view = Rigid.about(MIDDLE.double(), rotation_from_euler(given["turns"].deg2rad()), given["shift"])
        return see_relief(given["depth"], view, CAMERA)

    def triangle(value: Tensor) -> Tensor:
        given = at | {what: value}
        return relief._visible(given["depth"], view_of(given["turns"], given["shift"]), CAMERA)

    eps = 1e-5
    before, after = at[what] - eps * step, at[what] + eps * step
    same = (triangle(before) == triangle(after)) & (triangle(at[what]) >= 0)
    assert same.float().mean() > 0.5
    for output in ("depth", "canonical"):
        _, analytic = jvp(lambda value, name=output: getattr(see(value), name), at[what], step)
        numeric = (getattr(see(after), output) - getattr(see(before), output)) / (2 * eps)
        assert numeric[same].abs().max() > 1e-3
        error = (analytic - numeric)[same].abs() / (numeric[same].abs() + 1e-2 * numeric[same].abs().mean())
        assert float(error.max()) < 1e-3


def test_gradients_reach_the_picture_depth_and_view() -> None:
    depth, image = smooth(4).requires_grad_(), torch.rand(1, 3, SIZE, SIZE).double().requires_grad_()
    turns = torch.tensor([[5.0, 20, 3]]).double().requires_grad_()
    shift = torch.zeros(1, 3).double().requires_grad_()
    seen = see_relief(depth, Rigid.about(MIDDLE.double(), rotation_from_euler(turns.deg2rad()), shift), CAMERA)
    sample_canonical(image, seen.canonical).square().sum().backward()
    for leaf in (depth, image, turns, shift):
        assert leaf.grad is not None and bool(leaf.grad.isfinite().all()) and float(leaf.grad.abs().sum()) > 0


@pytest.mark.parametrize("turns", [[0.0, 25, 0], [15, -30, 10]])
def test_the_mirrored_relief_in_the_mirrored_view_is_the_mirrored_picture(turns: list[float]) -> None:
    """Exactly so where every cell of the relief is plane, so that it does not matter which way its diagonal goes."""
    across, down = smooth(5)[0, 3] - 1, smooth(6)[0, :, 7] - 1
    depth = 1 / (1 + across[None, :] + down[:, None])[None]
    plain = see_relief(depth, view_of(turns, [0.01, 0.002, 0.01]), CAMERA)
    x, y, z = turns
    mirrored = see_relief(depth.flip(-1), view_of([x, -y, -z], [-0.01, 0.002, 0.01]), CAMERA)
    assert torch.equal(mirrored.mask, plain.mask.flip(-1))
    assert torch.allclose(mirrored.depth, plain.depth.flip(-1), rtol=0, atol=1e-9)
    mask = mirrored.mask
    there = plain.canonical.flip(2)
    assert torch.allclose(mirrored.canonical[mask][:, 0], SIZE - there[mask][:, 0], rtol=0, atol=1e-6)
    assert torch.allclose(mirrored.canonical[mask][:, 1], there[mask][:, 1], rtol=0, atol=1e-6)
    image = torch.rand(1, 3, SIZE, SIZE).double()
    pictures = [sample_canonical(image, plain.canonical), sample_canonical(image.flip(-1), mirrored.canonical).flip(-1)]
    assert torch.allclose(*pictures, atol=1e-6)


def test_the_nearer_of_two_layers_is_seen() -> None:
    """A step from depth 0.95 (right) to 1.05 (left), turned so that its near half slides over the far one."""
    depth = torch.full((1, SIZE, SIZE), 1.05).double()
    depth[..., SIZE // 2 :] = 0.95
    seen = see_relief(depth, view_of([0, 25, 0]), CAMERA, far=9.0)
    u = seen.canonical[0, SIZE // 2, :, 0]
    u = u[seen.mask[0, SIZE // 2]]
    jump = (u.diff() > 2).nonzero()
    assert len(jump) == 1  # some columns of the far half are hidden: no pixel sees them
    assert float(u[jump + 1]) == pytest.approx(SIZE / 2 + 0.5, abs=1.5)


def test_the_back_is_seen_from_behind() -> None:
    seen = see_relief(smooth(7), view_of([0, 180, 0]), CAMERA)
    assert seen.mask.float().mean() > 0.9
    assert torch.allclose(seen.canonical[seen.mask].mean(0), torch.tensor([SIZE / 2, SIZE / 2]).double(), atol=0.6)


def test_what_is_too_far_is_not_seen() -> None:
    depth = torch.ones(1, SIZE, SIZE)
    depth[:, :, SIZE // 2 :] = 1.3
    depth.requires_grad_()
    seen = see_relief(depth, Rigid(torch.eye(3)[None], torch.zeros(1, 3)), CAMERA, far=1.2)
    wanted = torch.zeros(SIZE, SIZE, dtype=torch.bool)
    wanted[:, : SIZE // 2] = True
    assert torch.equal(seen.mask[0], wanted)
    assert bool((seen.depth[~seen.mask] == 1.2).all())
    assert bool((seen.canonical[~seen.mask] == -1).all())
    sampled = sample_canonical(torch.ones(1, 1, SIZE, SIZE), seen.canonical)
    assert bool((sampled[:, 0][~seen.mask] == 0).all())
    (seen.depth.sum() + seen.canonical.sum()).backward()
    assert depth.grad is not None and bool((depth.grad[0, :, SIZE // 2 + 1 :] == 0).all())
    everything = see_relief(depth.detach(), Rigid(torch.eye(3)[None], torch.zeros(1, 3)), CAMERA, far=1.4)
    assert bool(everything.mask.all())


def test_a_relief_behind_the_camera_or_beside_it_is_not_seen() -> None:
    for shift in ([0.0, 0, -3], [1.0, 0, 0]):
        seen = see_relief(smooth(8), view_of([0, 0, 0], shift), CAMERA)
        assert not seen.mask.any()
        assert bool(seen.depth.isfinite().all()) and bool(seen.canonical.isfinite().all())


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_steep_views_have_finite_values_and_gradients(noise: float) -> None:
    """60 degrees about each axis, rough reliefs, planes exactly edge-on: no NaN, nothing infinite (pitfall 11)."""
    turns = torch.tensor([[x, y, z] for x in (-60.0, 0, 60) for y in (-60.0, 0, 60, 90) for z in (0.0, 60)])
    generator = torch.Generator().manual_seed(0)
    depth = smooth(9, batch=len(turns)).float()
    depth = (depth + noise * torch.randn(depth.shape, generator=generator)).requires_grad_()
    turns.requires_grad_()
    view = Rigid.about(MIDDLE, rotation_from_euler(turns.deg2rad()), torch.zeros(len(turns), 3))
    seen = see_relief(depth, view, CAMERA)
    assert bool(seen.depth.isfinite().all()) and bool(seen.canonical.isfinite().all())
    on_grid = seen.canonical.detach()[seen.mask]
    assert float(on_grid.min()) > 0 and float(on_grid.max()) < SIZE
    (seen.depth.sum() + seen.canonical.square().sum()).backward()
    assert depth.grad is not None and bool(depth.grad.isfinite().all())
    assert turns.grad is not None and bool(turns.grad.isfinite().all())


def test_a_plane_seen_exactly_edge_on_has_finite_gradients() -> None:
    depth = torch.ones(1, SIZE, SIZE, requires_grad=True)
    seen = see_relief(
        depth, Rigid.about(MIDDLE, rotation_from_euler(torch.tensor([[0, math.pi / 2, 0]])), torch.zeros(1, 3)), CAMERA
    )
    seen.canonical.sum().backward()
    assert depth.grad is not None and bool(depth.grad.isfinite().all())


def test_autocast_does_not_make_geometry_coarse() -> None:
    """bf16 matrix products would move points by pixels (pitfall 9)."""
    depth = smooth(10, batch=2).float()
    turns = torch.tensor([[10.0, 20, 5], [0, -30, 0]]).deg2rad()

    def see() -> tuple[Seen, Tensor]:
        view = Rigid.about(MIDDLE, rotation_from_euler(turns), torch.full((2, 3), 0.01))
        both_ways = (view @ view.inverse @ view) if torch.is_autocast_enabled("cpu") else view
        return see_relief(depth, both_ways, CAMERA), where_plane_is_seen(view, CAMERA)

    plain, place = see()
    with torch.autocast("cpu", torch.bfloat16):
        cast, cast_place = see()
    assert cast.depth.dtype == torch.float32
    assert float((cast.mask != plain.mask).float().mean()) < 0.01
    mask = cast.mask & plain.mask
    assert torch.allclose(cast.depth[mask], plain.depth[mask], rtol=0, atol=1e-4)
    assert torch.allclose(cast_place, place, rtol=0, atol=1e-3)


def test_the_twin_gives_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    depth, view = smooth(11, batch=2), view_of([[10.0, 20, 5], [0, -50, 0]])
    fast = see_relief(depth, view, CAMERA)
    monkeypatch.setattr(relief, "visible_triangles", visible_triangles_torch)
    monkeypatch.setattr(relief, "grid_triangles", lambda *size: grid_triangles(*size))
    slow = see_relief(depth, view, CAMERA)
    for a, b in zip(fast, slow, strict=True):
        assert torch.allclose(a.double(), b.double(), rtol=0, atol=1e-5)


def test_planes_hold_the_corners_of_their_triangles() -> None:
    depth = smooth(12, WIDE.height, WIDE.width, batch=2)
    planes = nearness_planes(depth).flatten(2)  # [b, 3, t]
    triangles = grid_triangles(WIDE.height, WIDE.width).long()
    assert planes.shape == (2, 3, len(triangles))
    place = pixel_centres(WIDE).view(-1, 2)[triangles]  # [t, 3, 2]
    a, b, c = (planes[:, k, :, None] for k in range(3))
    near = a * place[..., 0] + b * place[..., 1] + c
    assert torch.allclose(near, (1 / depth).flatten(1)[:, triangles], rtol=0, atol=1e-12)


def test_sampling_is_bilinear_between_pixel_centres() -> None:
    """Pixel centres at +0.5: what "align corners" was in the paper's integer convention (pitfall 8)."""
    image = torch.rand(1, 1, 6, 8)
    u, v = torch.tensor([0.5, 3.25, 7.5, 4.0]), torch.tensor([0.5, 2.75, 5.5, 1.5])
    sampled = sample_canonical(image, torch.stack([u, v], -1)[None, None])[0, 0, 0]
    wanted = []
    for x, y in zip((u - 0.5).tolist(), (v - 0.5).tolist(), strict=True):
        x0, y0 = min(int(x), 6), min(int(y), 4)
        fx, fy = x - x0, y - y0
        block = image[0, 0, y0 : y0 + 2, x0 : x0 + 2]
        wanted.append(float(torch.tensor([1 - fy, fy]) @ block @ torch.tensor([1 - fx, fx])))
    assert sampled.tolist() == pytest.approx(wanted, abs=1e-6)
    outside = torch.tensor([[-1.0, 3.0], [9.0, 3.0], [3.0, -1.0], [3.0, 7.0]])[None, None]
    assert bool((sample_canonical(image, outside) == 0).all())


def test_a_photo_turned_is_the_relief_drawn_from_there() -> None:
    u, v = pixel_centres(CAMERA).unbind(-1)
    albedo = torch.stack([(u / 4).sin(), (v / 3).cos(), ((u + v) / 5).sin()])[None].expand(2, -1, -1, -1)
    depth = smooth(3, batch=2, amplitude=0.015)
    here, there = view_of([[-4, 12, 3], [3, -8, 0]]), view_of([[2, -7, 3], [-3, 10, 0]])
    photo, drawn = (sample_canonical(albedo, see_relief(depth, view, CAMERA).canonical) for view in (here, there))
    turned, again = (turn_photo(photo, depth, here, view, CAMERA) for view in (there, here))
    inside = (..., slice(4, -4), slice(6, -6))
    assert (turned - drawn)[inside].abs().max() < 0.05 < 0.25 < (photo - drawn)[inside].abs().max()
    assert torch.allclose(again[inside], photo[inside], atol=1e-6)


def test_a_turned_photo_has_no_colour_that_the_photo_has_not() -> None:
    """Not even where points come into sight that lay beside it."""
    white = torch.ones(1, 3, SIZE, SIZE).double()
    for turns in ([0, 50, 0], [30, 0, 0], [-20, -60, 10]):
        turned = turn_photo(white, smooth(3), view_of([0, 0, 0], [0.04, 0, 0]), view_of(turns), CAMERA)
        assert torch.allclose(turned, white)


def test_where_a_plane_is_seen_stays_within_an_image_of_the_picture() -> None:
    at_rest = where_plane_is_seen(Rigid(torch.eye(3)[None], torch.zeros(1, 3)), CAMERA)
    assert torch.allclose(at_rest[0].double(), pixel_centres(CAMERA), atol=1e-4)
    turns = torch.tensor([[0.0, 89.9, 0], [0, 180, 0], [90, 0, 0]])
    place = where_plane_is_seen(Rigid.about(MIDDLE, rotation_from_euler(turns.deg2rad()), torch.zeros(3, 3)), CAMERA)
    assert float(place.min()) >= -SIZE and float(place.max()) <= 2 * SIZE


def test_outside_is_the_soft_share_of_what_a_turned_plane_leaves_uncovered() -> None:
    """Shifted right by a quarter of the picture, a plane leaves the left quarter uncovered; its gradient leads back."""
    at_rest = outside(Rigid(torch.eye(3)[None], torch.zeros(1, 3)), CAMERA)
    centre = pixel_centres(CAMERA)
    inside = torch.minimum(centre, SIZE - centre).amin(-1)  # pixels to the nearest edge
    assert float(at_rest) == pytest.approx(float(torch.sigmoid(-inside).mean()), abs=1e-5)
    shift = torch.tensor([[SIZE / 4 / CAMERA.fx, 0, 0]], requires_grad=True)
    moved = outside(Rigid(torch.eye(3)[None], shift), CAMERA)
    assert float(moved.detach() - at_rest) == pytest.approx(0.25, abs=0.08)  # less what was softly outside before
    moved.backward()
    assert shift.grad is not None and float(shift.grad[0, 0]) > 0
    for turns in ([0.0, 45, 0], [0, 0, 45], [60, 60, 60]):
        assert float(outside(view_of(turns), CAMERA)) > float(at_rest)
