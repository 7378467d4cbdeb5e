"""Where rays meet a relief: the loops and their written-out gradient against the twin, which other tests check.

That the twin is right (closed forms, brute force, finite differences in double precision) is in
tests/rendering/test_relief.py.
"""

import math

import pytest
import torch
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.kernels import meeting_points as module
from unflat.rendering import relief
from unflat.rendering.relief import see_relief

WIDE = Pinhole(170.0, 165.0, 16.0, 9.5, 30, 20)
SQUARE = Pinhole.across_centres(16, math.radians(10))
NAMES = ("depth", "canonical", "of depth", "of turns", "of shift")


def given(camera: Pinhole, generator: torch.Generator) -> list[Tensor]:
    coarse = torch.randn(4, 1, 5, 5, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, (camera.height, camera.width), mode="bicubic", align_corners=True)
    turns = torch.tensor([[0.0, 0, 0], [5, 20, -3], [-20, -35, 10], [30, 60, 60]]).deg2rad()
    return [1 + 0.03 * fine[:, 0].clamp(-2.5, 2.5), turns, torch.tensor([0.01, -0.02, 0.03]).expand(4, 3)]


def seen(inputs: list[Tensor], camera: Pinhole, far: float) -> tuple[list[Tensor], Tensor]:
    """What is seen and the gradients under a loss that treats every value differently, and the mask."""
    leaves = [value.clone().requires_grad_() for value in inputs]
    depth, turns, shift = leaves
    view = Rigid.about(turns.new_tensor([0.0, 0.0, 1.0]), rotation_from_euler(turns), shift)
    result = see_relief(depth, view, camera, far)
    spread = torch.linspace(-1, 1, result.canonical.numel(), dtype=depth.dtype).view_as(result.canonical)
    ((result.canonical * spread).sum() + (30 * result.depth * spread[..., 0]).sum()).backward()
    return [result.depth.detach(), result.canonical.detach(), *(leaf.grad for leaf in leaves)], result.mask  # type: ignore[misc]


@pytest.mark.parametrize("far", [1.2, 1.01])
@pytest.mark.parametrize("camera", [SQUARE, WIDE])
def test_the_loops_and_the_twin_agree_on_values_and_gradients(
    camera: Pinhole, far: float, generator: torch.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = given(camera, generator)
    with monkeypatch.context() as patched:
        patched.setattr(module, "meeting_points_torch", None)  # the loops it has to be
        ours, mask = seen(inputs, camera, far)
    monkeypatch.setattr(module, "_loops", lambda: None)
    single, expected_mask = seen(inputs, camera, far)
    assert torch.equal(mask, expected_mask) and 0 < int(mask.sum()) < mask.numel()
    for name, mine, twins in zip(NAMES, ours, single, strict=True):
        scale = float(twins.abs().max())
        torch.testing.assert_close(mine, twins, rtol=2e-3, atol=2e-4 * scale, msg=lambda m, name=name: f"{name}: {m}")


def test_a_plane_seen_edge_on_has_a_finite_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter turn: along every ray nearness hardly changes."""
    depth, turns, shift = torch.ones(1, 16, 16), torch.tensor([[0.0, math.pi / 2, 0.0]]), torch.zeros(1, 3)
    ours, mask = seen([depth, turns, shift], SQUARE, 1.2)
    assert all(bool(value.isfinite().all()) for value in ours)
    monkeypatch.setattr(module, "_loops", lambda: None)
    assert torch.equal(mask, seen([depth, turns, shift], SQUARE, 1.2)[1])


def test_maps_that_are_not_in_order_in_memory_are_read_right(generator: torch.Generator) -> None:
    depth, turns, shift = given(SQUARE, generator)
    turned_over = depth.transpose(1, 2).contiguous().transpose(1, 2)
    ours, expected = seen([turned_over, turns, shift], SQUARE, 1.2)[0], seen([depth, turns, shift], SQUARE, 1.2)[0]
    for mine, theirs in zip(ours, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_the_grid_is_made_once_for_a_device(monkeypatch: pytest.MonkeyPatch, generator: torch.Generator) -> None:
    relief._grid.cache_clear()
    calls = []
    grid = relief.grid_triangles
    monkeypatch.setattr(relief, "grid_triangles", lambda *size: calls.append(size) or grid(*size))
    for _ in range(3):
        seen(given(WIDE, generator), WIDE, 1.2)
    assert calls == [(20, 30)]
