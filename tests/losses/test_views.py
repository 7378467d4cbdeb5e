"""Views of photos that we turned: who is believed, and who learns."""

import pytest
import torch
from torch import Tensor

from unflat.losses.views import other_yaw, turned_apart


def views(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Tensor:
    return torch.tensor([[pitch, yaw, roll, 0.0, 0.0, 0.0]]).requires_grad_()


def learned(view: Tensor) -> list[float]:
    """Which way each angle moves in a step against the gradient."""
    return [0.0] * 3 if view.grad is None else (-view.grad[0, :3]).sign().tolist()


def test_only_the_yaw_is_another_within_its_range() -> None:
    view = torch.randn(500, 6).clamp(-1, 1)
    other = other_yaw(view, 0.4, largest=0.8)
    assert torch.equal(other[:, [0, 2, 3, 4, 5]], view[:, [0, 2, 3, 4, 5]])
    assert other[:, 1].abs().max() <= 0.8 + 1e-6
    free = other_yaw(torch.zeros(5000, 6, requires_grad=True), 0.2, largest=3.0)
    assert not free.requires_grad and free[:, 1].std().item() == pytest.approx(0.2, rel=0.1)


def test_the_error_is_the_mean_over_the_three_angles() -> None:
    found = views(0.5, pitch=0.1, roll=-0.3)
    assert turned_apart(photo=views(0.1), turned=views(0.3), found=found).item() == pytest.approx((0.2 + 0.1 + 0.3) / 3)


def test_shifts_do_not_count() -> None:
    found = views(0.3).detach()
    found[:, 3:] = 1.0
    assert turned_apart(photo=views(0.1), turned=views(0.3), found=found).item() == 0


@pytest.mark.parametrize("off", [-0.1, 0.1])
@pytest.mark.parametrize(("yaw", "turned"), [(0.2, 0.6), (-0.2, -0.6), (0.2, -0.6)])
def test_a_photo_turned_away_from_the_front_teaches_what_was_found(yaw: float, turned: float, off: float) -> None:
    photo, found = views(yaw), views(turned + off)
    turned_apart(photo=photo, turned=views(turned).detach(), found=found).backward()
    assert learned(photo) == [0, 0, 0]
    assert learned(found) == [0, -1 if off > 0 else 1, 0]  # back to where it was turned


@pytest.mark.parametrize("off", [-0.1, 0.1])
@pytest.mark.parametrize(("yaw", "turned"), [(0.6, 0.2), (-0.6, 0.2), (-0.6, -0.2)])
def test_a_photo_turned_towards_the_front_learns_from_what_was_found(yaw: float, turned: float, off: float) -> None:
    photo, found = views(yaw), views(turned + off)
    turned_apart(photo=photo, turned=views(turned).detach(), found=found).backward()
    assert learned(found) == [0, 0, 0]
    assert learned(photo) == [0, 1 if off > 0 else -1, 0]  # as much further as was found too much


def test_pitch_and_roll_are_believed_as_the_photo_has_them() -> None:
    photo, found = views(0.6, pitch=0.3, roll=-0.3), views(0.2, pitch=0.5, roll=-0.5)
    turned_apart(photo=photo, turned=views(0.2, pitch=0.1, roll=-0.1).detach(), found=found).backward()
    assert learned(photo)[::2] == [0, 0]
    assert learned(found)[::2] == [-1, 1]
