"""The Triton kernel against its twin: on a GPU, or in Triton's interpreter with TRITON_INTERPRET=1."""

import math
import os

import pytest
import torch

from tests.kernels.test_visible_triangles import check_against_brute_force, relief_corners, soup
from unflat.geometry.meshes import grid_triangles
from unflat.kernels.visible_triangles import visible_triangles, visible_triangles_torch, visible_triangles_triton

pytest.importorskip("triton", reason="Triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("Triton needs a GPU, or TRITON_INTERPRET=1", allow_module_level=True)
DEVICE = "cpu" if INTERPRETED else "cuda"


@pytest.mark.parametrize("degrees", [0, 20, 60])
def test_reliefs_as_the_twin(degrees: float) -> None:
    size, triangles = (13, 9), grid_triangles(13, 9)
    corners = relief_corners(torch.Generator().manual_seed(int(degrees)), size, degrees, batch=2)
    seen = visible_triangles_triton(corners.to(DEVICE), triangles.to(DEVICE), *size).cpu()
    twin = visible_triangles_torch(corners, triangles, *size)
    assert float((seen != twin).float().mean()) <= 0.01  # a compiler may round a tie otherwise
    for one, corner in zip(seen, corners, strict=True):
        check_against_brute_force(one, corner, triangles)


@pytest.mark.parametrize("seed", range(3))
def test_any_triangles_as_by_brute_force(seed: int) -> None:
    corners, triangles = soup(torch.Generator().manual_seed(seed), (11, 8))
    seen = visible_triangles_triton(corners.to(DEVICE), triangles.to(DEVICE), 11, 8).cpu()
    check_against_brute_force(seen[0], corners[0], triangles)


def test_what_must_not_be_seen() -> None:
    """Without area, behind the camera, beside the picture, not a number, and nothing at all."""
    corners = torch.tensor(
        [
            [
                [0.0, 0.5, 1],
                [4, 0.5, 1],
                [2, 0.5, 1],
                [2, 9, -1],
                [math.nan, 1, 1],
                [1e15, 0, 1],
                [1e15, 9, 1],
                [math.nan, math.inf, 1],
            ]
        ]
    )
    triangles = torch.tensor([[0, 1, 2], [0, 1, 3], [0, 1, 4], [5, 6, 5], [5, 6, 6], [0, 1, 7]], dtype=torch.int32)
    for some in (triangles, triangles[:0]):
        assert bool((visible_triangles_triton(corners.to(DEVICE), some.to(DEVICE), 4, 4) == -1).all())
    assert visible_triangles_triton(corners[:0].to(DEVICE), triangles.to(DEVICE), 4, 4).shape == (0, 4, 4)


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
def test_a_gpu_uses_it() -> None:
    corners = relief_corners(torch.Generator().manual_seed(0), (64, 64), 30, batch=8)
    seen = visible_triangles(corners.cuda(), grid_triangles(64, 64), 64, 64)
    assert seen.is_cuda
    assert float((seen.cpu() != visible_triangles(corners, grid_triangles(64, 64), 64, 64)).float().mean()) < 1e-3
