"""Normals of many meshes, and their triangles' sides: closed forms, and the loop against its twin."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unflat.geometry.meshes import grid_triangles, vertex_normals
from unflat.kernels import facing as module
from unflat.kernels.facing import facing, facing_numba, facing_torch

both = pytest.mark.parametrize("back_end", [facing_torch, facing_numba])
CUBE = torch.tensor([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (4.0, 6.0)])
LEFT, RIGHT, TOP = [(0, 1, 3), (0, 3, 2)], [(4, 6, 7), (4, 7, 5)], [(0, 4, 5), (0, 5, 1)]
BOTTOM, FRONT, BACK = [(2, 3, 7), (2, 7, 6)], [(0, 2, 6), (0, 6, 4)], [(1, 5, 7), (1, 7, 3)]
SIDES = torch.tensor(LEFT + RIGHT + TOP + BOTTOM + FRONT + BACK, dtype=torch.int32)
"""counter-clockwise seen from outside"""


@both
def test_a_cube_straight_ahead_shows_its_front(back_end: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
    normals, front = back_end(CUBE[None], SIDES)
    assert front[0].nonzero().flatten().tolist() == [8, 9]
    outwards = CUBE - torch.tensor([0.0, 0.0, 5.0])
    assert ((normals[0] * outwards).sum(-1) > 1.5).all()  # within 30 degrees of the corners' diagonals, sqrt(3) long
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(1, 8))


@both
def test_a_cube_seen_from_inside_shows_no_outer_side(
    back_end: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
) -> None:
    assert not back_end(CUBE[None] - torch.tensor([0.0, 0.0, 5.0]), SIDES)[1].any()


def test_the_loop_its_twin_and_the_geometry_agree(generator: torch.Generator) -> None:
    triangles = grid_triangles(7, 9)
    vertices = torch.rand(3, 63, 3, generator=generator) + torch.tensor([-0.5, -0.5, 1.0])
    (fast, fast_front), (slow, slow_front) = facing_numba(vertices, triangles), facing_torch(vertices, triangles)
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=0)
    torch.testing.assert_close(fast, vertex_normals(vertices, triangles), atol=1e-5, rtol=0)
    assert torch.equal(fast_front, slow_front)
    assert fast_front.any() and not fast_front.all()


def test_without_numba_the_twin_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_numba_loop", lambda: None)
    assert torch.equal(facing(CUBE[None], SIDES)[1], facing_torch(CUBE[None], SIDES)[1])
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'unflat\[fast\]'"):
        facing_numba(CUBE[None], SIDES)
