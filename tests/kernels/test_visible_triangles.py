"""Visible triangles: both CPU back ends against brute force, and what any rasteriser must keep."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.oracles.visible_triangles import depth_of_triangles
from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import unproject
from unflat.geometry.meshes import grid_triangles
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.kernels import visible_triangles as module
from unflat.kernels.visible_triangles import visible_triangles, visible_triangles_numba, visible_triangles_torch

BackEnd = Callable[[Tensor, Tensor, int, int], Tensor]
both = pytest.mark.parametrize("back_end", [visible_triangles_torch, visible_triangles_numba])


def relief_corners(generator: torch.Generator, size: tuple[int, int], degrees: float, batch: int = 1) -> Tensor:
    """Screen coordinates of random reliefs near depth 1, turned by up to `degrees` about each axis."""
    height, width = size
    focal = (width - 1) / 2 / math.tan(math.radians(5))
    camera = Pinhole(focal, focal, width / 2, height / 2, width, height)
    depth = 1 + 0.02 * torch.randn(batch, height, width, generator=generator)
    angles = (torch.rand(batch, 3, generator=generator) * 2 - 1) * math.radians(degrees)
    view = Rigid.about(torch.tensor([0.0, 0.0, 1.0]), rotation_from_euler(angles), torch.zeros(batch, 3))
    points = view.apply(unproject(depth, camera).flatten(1, 2))
    return torch.cat([camera.project(points), points[..., 2:]], -1).contiguous()


def soup(generator: torch.Generator, size: tuple[int, int], triangles: int = 40) -> tuple[Tensor, Tensor]:
    """Triangles of all sizes anywhere in and around the picture, some with a corner behind the camera."""
    height, width = size
    corners = torch.rand(1, 3 * triangles, 3, generator=generator) * torch.tensor([1.6 * width, 1.6 * height, 3.0])
    corners += torch.tensor([-0.3 * width, -0.3 * height, -0.1])
    return corners, torch.arange(3 * triangles, dtype=torch.int32).view(-1, 3)


def check_against_brute_force(seen: Tensor, corners: Tensor, triangles: Tensor) -> None:
    """The triangle seen is the nearest one; where it is another than the oracle's, their depths tie."""
    height, width = seen.shape
    depth = depth_of_triangles(corners.numpy(), triangles.numpy(), height, width)
    nearest = depth.min(0) if len(depth) else np.full((height, width), np.inf)
    ids = seen.numpy()
    assert np.array_equal(ids >= 0, np.isfinite(nearest))
    covered = ids >= 0
    own = depth[ids[covered], *covered.nonzero()]
    assert np.all(own - nearest[covered] <= 1e-6 * nearest[covered])


@both
@pytest.mark.parametrize("size", [(9, 9), (7, 12)])
@pytest.mark.parametrize("degrees", [0, 20, 60])
def test_reliefs_as_by_brute_force(back_end: BackEnd, size: tuple[int, int], degrees: float) -> None:
    generator = torch.Generator().manual_seed(int(degrees) + size[1])
    triangles = grid_triangles(*size)
    corners = relief_corners(generator, size, degrees, batch=3)
    seen = back_end(corners, triangles, *size)
    assert seen.shape == (3, *size) and seen.dtype == torch.int32
    for one, corner in zip(seen, corners, strict=True):
        check_against_brute_force(one, corner, triangles)


@both
@pytest.mark.parametrize("seed", range(4))
def test_any_triangles_as_by_brute_force(back_end: BackEnd, seed: int) -> None:
    corners, triangles = soup(torch.Generator().manual_seed(seed), (11, 8))
    check_against_brute_force(back_end(corners, triangles, 11, 8)[0], corners[0], triangles)


@given(seed=st.integers(0, 2**31), scale=st.floats(1e-4, 3.0))
@settings(max_examples=15)
def test_twins_agree(seed: int, scale: float) -> None:
    """Also on triangles of a ten-thousandth of a pixel and on slivers."""
    generator = torch.Generator().manual_seed(seed)
    corners, triangles = soup(generator, (16, 16), 60)
    centre = corners.view(1, -1, 3, 3).mean(2, keepdim=True)
    stretch = torch.tensor([scale, 1.0, 1.0])
    corners = (centre + (corners.view(1, -1, 3, 3) - centre) * stretch).view(1, -1, 3).contiguous()
    slow, fast = (f(corners, triangles, 16, 16) for f in (visible_triangles_torch, visible_triangles_numba))
    assert torch.equal(slow, fast)


@given(st.tuples(*[st.floats(-180, 180)] * 3), st.floats(0.3, 3), st.integers(0, 2**31))
@settings(max_examples=60)
def test_there_are_no_pinholes(degrees: tuple[float, float, float], magnification: float, seed: int) -> None:
    """A flat grid turned any way in the picture's plane and about the others covers every pixel within its outline."""
    size, triangles = 24, grid_triangles(12, 12)
    generator = torch.Generator().manual_seed(seed)
    x = (torch.arange(12) - 5.5) * magnification
    grid = torch.stack([*torch.meshgrid(x, x, indexing="xy"), torch.zeros(12, 12)], -1).view(1, -1, 3)
    offset = torch.rand(2, generator=generator)
    turned = grid @ rotation_from_euler(torch.tensor(degrees).deg2rad()).T
    corners = torch.cat([turned[..., :2] + size / 2 + offset, turned[..., 2:] + 100], -1).contiguous()
    seen = visible_triangles(corners, triangles, size, size)[0]
    a, b, c, d = (corners[0, k, :2].double() for k in (0, 11, 143, 132))  # the outline, in order
    v, u = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    inside = torch.ones(size, size, dtype=torch.bool)
    sign = torch.sign((b - a)[0] * (d - a)[1] - (b - a)[1] * (d - a)[0])
    for p, q in ((a, b), (b, c), (c, d), (d, a)):
        inside &= sign * ((q - p)[0] * (v - p[1]) - (q - p)[1] * (u - p[0])) > 0.01 * (q - p).norm()
    assert bool((seen[inside] >= 0).all())


@both
def test_pixel_centres_on_vertices_and_diagonals_are_covered(back_end: BackEnd) -> None:
    """At the identity every pixel centre is the corner of up to six triangles: all are covered, the last ones too."""
    size = 16
    camera = Pinhole.across_centres(size, math.radians(10))
    points = unproject(torch.ones(1, size, size), camera).flatten(1, 2)
    corners = torch.cat([camera.project(points), points[..., 2:]], -1).contiguous()
    seen = back_end(corners, grid_triangles(size, size), size, size)
    assert bool((seen >= 0).all())
    halves = corners - torch.tensor([0.5, 0.5, 0.0])  # centres in the middle of the diagonals
    assert bool((back_end(halves, grid_triangles(size, size), size, size)[:, :-1, :-1] >= 0).all())


@both
def test_the_order_of_corners_does_not_matter(back_end: BackEnd, generator: torch.Generator) -> None:
    """Both sides of a triangle are seen, whichever way round its corners are listed."""
    corners, triangles = soup(generator, (12, 12))
    seen = back_end(corners, triangles, 12, 12)
    assert len(seen.unique()) > 5
    for order in ([2, 1, 0], [1, 2, 0], [0, 2, 1]):
        assert torch.equal(seen, back_end(corners, triangles[:, order].contiguous(), 12, 12))


@both
def test_the_nearest_wins_and_the_first_on_a_tie(back_end: BackEnd) -> None:
    square = torch.tensor([[-9.0, -9, 0], [30, -9, 0], [-9, 30, 0]])
    corners = torch.cat([square + torch.tensor([0, 0, z]) for z in (2.0, 1.0, 1.0, 3.0)])[None]
    seen = back_end(corners, torch.arange(12, dtype=torch.int32).view(4, 3), 4, 4)
    assert bool((seen == 1).all())


@both
def test_depth_is_perspective_correct(back_end: BackEnd) -> None:
    """Half way across the screen, a plane from depth 1 to depth 3 is at 1 / mean(1, 1/3) = 1.5, not at 2."""
    slanted = torch.tensor([[0.0, -99, 1], [2.0, 0.5, 3], [0.0, 99, 1]])
    for depth, winner in ((1.49, 1), (1.51, 0)):
        wall = torch.tensor([[-99.0, -99, depth], [99, -99, depth], [0, 99, depth]])
        corners, triangles = torch.cat([slanted, wall])[None], torch.arange(6, dtype=torch.int32).view(2, 3)
        shifted = corners - torch.tensor([0.5, 0, 0])  # the pixel's centre half way between u = -0.5 and 1.5
        assert int(back_end(shifted, triangles, 1, 1)) == winner


@both
@pytest.mark.parametrize("z", [0.0, -1.0, math.nan])
def test_what_reaches_behind_the_camera_is_not_seen(back_end: BackEnd, z: float) -> None:
    corners = torch.tensor([[[-9.0, -9, 1], [30, -9, 1], [-9, 30, z], [-9, 30, 1]]])
    assert bool((back_end(corners, torch.tensor([[0, 1, 2]], dtype=torch.int32), 5, 5) == -1).all())
    both_ = torch.tensor([[0, 1, 2], [0, 1, 3]], dtype=torch.int32)
    assert bool((back_end(corners, both_, 5, 5) == 1).all())


@both
def test_triangles_without_area_are_not_seen(back_end: BackEnd) -> None:
    points = torch.tensor([[[0.0, 0.5, 1], [4, 0.5, 1], [2, 0.5, 1], [math.nan, 1, 1], [1, math.inf, 1]]])
    triangles = torch.tensor([[0, 1, 2], [0, 0, 1], [2, 2, 2], [0, 1, 3], [3, 3, 3], [0, 1, 4]], dtype=torch.int32)
    assert bool((back_end(points, triangles, 4, 4) == -1).all())


@both
def test_a_sliver_seen_edge_on_is_not_continued_to_a_pixel_beside_it(back_end: BackEnd) -> None:
    """From depth 2 to 4 within 2e-6 px: 1e-3 px away, its plane is anywhere, or behind the camera."""
    triangle = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    for side in (-1, 1):
        beside = torch.tensor(
            [[[0.5 + side * 9e-4, 0.0, 2], [0.5 + side * 9e-4, 1.0, 2], [0.5 + side * 9.02e-4, 0.5, 4]]]
        )
        assert int(back_end(beside, triangle, 1, 1)) == -1
        across = torch.tensor([[[0.5, 0.0, 2], [0.5, 1.0, 2], [0.5 + side * 2e-6, 0.5, 4]]])
        assert int(back_end(across, triangle, 1, 1)) == 0


@both
@pytest.mark.parametrize("far_away", [1e6, 1e15, 1e30])
def test_corners_far_outside_the_picture(back_end: BackEnd, far_away: float) -> None:
    corners = torch.tensor([[[-far_away, -far_away, 1], [far_away, -far_away, 1], [0, far_away, 1]]])
    triangle = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    assert bool((back_end(corners, triangle, 3, 3) == 0).all())
    assert bool((back_end(corners + torch.tensor([4 * far_away, 0, 0]), triangle, 3, 3) == -1).all())


@both
def test_nothing_to_see(back_end: BackEnd, generator: torch.Generator) -> None:
    corners, triangles = soup(generator, (6, 5))
    empty = back_end(corners, triangles[:0], 6, 5)
    assert empty.shape == (1, 6, 5) and bool((empty == -1).all())
    assert back_end(corners[:0], triangles, 6, 5).shape == (0, 6, 5)


@both
def test_items_of_a_batch_do_not_meddle(back_end: BackEnd) -> None:
    corners = relief_corners(torch.Generator().manual_seed(3), (8, 8), 40, batch=4)
    together = back_end(corners, grid_triangles(8, 8), 8, 8)
    alone = [back_end(one[None], grid_triangles(8, 8), 8, 8) for one in corners]
    assert torch.equal(together, torch.cat(alone))


def test_any_precision_and_memory_layout_is_taken(generator: torch.Generator) -> None:
    corners, triangles = soup(generator, (8, 8))
    wanted = visible_triangles(corners, triangles, 8, 8)
    strided = corners.double().transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    assert torch.equal(wanted, visible_triangles(strided, triangles.long(), 8, 8))


def test_the_twin_stands_in_where_numba_is_missing(monkeypatch: pytest.MonkeyPatch, generator: torch.Generator) -> None:
    corners, triangles = soup(generator, (8, 8))
    wanted = visible_triangles(corners, triangles, 8, 8)
    monkeypatch.setattr(module, "_numba_loop", lambda: None)
    monkeypatch.setattr(module, "_triton_kernel", lambda: None)
    assert torch.equal(wanted, visible_triangles(corners, triangles, 8, 8))
    with pytest.raises(ModuleNotFoundError, match=r"needs numba: pip install 'unflat\[fast\]'"):
        visible_triangles_numba(corners, triangles, 8, 8)
    with pytest.raises(ModuleNotFoundError, match="needs triton"):
        module.visible_triangles_triton(corners, triangles, 8, 8)
