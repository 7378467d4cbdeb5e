"""Contraction and normalised device coordinates, against what defines them."""

import pytest
import torch

from unflat.geometry.spaces import (
    contracted,
    contracted_speed,
    expanded,
    out_of_space,
    speed_within,
    window_depth,
    window_rays,
    windowed,
    windowed_speed,
    within_space,
)


def some(count: int = 200, size: float = 3.0) -> torch.Tensor:
    return torch.randn(count, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * size


def test_the_cube_in_the_middle_stays_and_all_else_comes_within_twice_its_size() -> None:
    points = some()
    found = contracted(points)
    inside = points.abs().amax(1) <= 1
    assert inside.any() and torch.equal(found[inside], points[inside])
    assert (found.abs().amax(1) < 2).all()
    assert contracted(torch.tensor([[0.0, -1e9, 5.0]]))[0, 1].item() == pytest.approx(-2)


def test_contraction_keeps_directions_and_has_an_inverse() -> None:
    points = some()
    found = contracted(points)
    torch.testing.assert_close(found / found.norm(dim=1, keepdim=True), points / points.norm(dim=1, keepdim=True))
    torch.testing.assert_close(expanded(found), points)
    torch.testing.assert_close(contracted(expanded(found)), found)


def test_contraction_has_no_step_at_the_cube() -> None:
    edge = torch.tensor([[1.0, 0.3, -0.2]], dtype=torch.float64)
    inner, outer = contracted(edge * (1 - 1e-7)), contracted(edge * (1 + 1e-7))
    torch.testing.assert_close((outer - inner) / 2e-7, edge, rtol=1e-5, atol=1e-5)


def test_the_speed_is_the_length_of_the_derivative() -> None:
    points, towards = some(), torch.nn.functional.normalize(some(200, 1.0).flip(0), dim=1)
    moved = (contracted(points + 1e-6 * towards) - contracted(points - 1e-6 * towards)) / 2e-6
    torch.testing.assert_close(contracted_speed(points, towards), moved.norm(dim=1), rtol=1e-6, atol=1e-8)


def test_rays_through_a_window_stay_straight_and_end_at_the_horizon() -> None:
    """Points of a ray, projected as the window has it, lie on the warped ray."""
    generator = torch.Generator().manual_seed(1)
    origins = torch.rand(30, 3, generator=generator, dtype=torch.float64) - torch.tensor([0.5, 0.5, 1.0])
    directions = torch.cat([torch.randn(30, 2, generator=generator, dtype=torch.float64) * 0.3, torch.ones(30, 1)], 1)
    window = (0.6, 0.4)
    start, along = window_rays(origins, directions, window)
    for depth in (1.0, 1.7, 5.0, 100.0):
        points = origins + (depth - origins[:, 2:]) * directions
        warped = torch.stack(
            [points[:, 0] / points[:, 2] / window[0], points[:, 1] / points[:, 2] / window[1], 1 - 2 / points[:, 2]], 1
        )
        t = (warped[:, 2:] - start[:, 2:]) / along[:, 2:]
        torch.testing.assert_close(start + t * along, warped)
        torch.testing.assert_close(window_depth(warped[:, 2]), points[:, 2])
    assert torch.equal(start[:, 2], torch.full((30,), -1.0).double())
    torch.testing.assert_close((start + along)[:, 2], torch.ones(30).double())


def test_points_of_a_window_lie_on_its_rays() -> None:
    """And a point that moves along its ray moves as fast as the speed says."""
    window = (0.6, 0.4)
    directions = torch.nn.functional.normalize(some(50, 0.3) + torch.tensor([0.0, 0.0, 1.5]), dim=1)
    points = some(50, 0.2) + 3 * directions
    start, along = window_rays(points - 3 * directions, directions, window)
    found = windowed(points, window)
    t = (found[:, 2:] - start[:, 2:]) / along[:, 2:]
    torch.testing.assert_close(start + t * along, found)
    torch.testing.assert_close(window_depth(found[:, 2]), points[:, 2])
    moved = (windowed(points + 1e-6 * directions, window) - windowed(points - 1e-6 * directions, window)) / 2e-6
    torch.testing.assert_close(windowed_speed(points, directions, window), moved.norm(dim=1), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("space", ["box", "contracted", "ndc"])
def test_what_is_brought_into_a_space_comes_out_again_and_moves_as_fast_as_it_does(space: str) -> None:
    points, towards = some(), torch.nn.functional.normalize(some(200, 1.0).flip(0), dim=1)
    points[:, 2] = points[:, 2].abs() + 1.5  # before the window's camera
    window = (0.6, 0.4)
    torch.testing.assert_close(out_of_space(within_space(points, space, window), space, window), points)
    ahead, behind = (within_space(points + step * towards, space, window) for step in (1e-6, -1e-6))
    moved = ((ahead - behind) / 2e-6).norm(dim=1)
    torch.testing.assert_close(speed_within(points, towards, space, window), moved, rtol=1e-6, atol=1e-7)
