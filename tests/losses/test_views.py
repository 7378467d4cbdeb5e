"""Views of photos that we turned: who is believed, and who learns."""

import pytest
import torch
from torch import Tensor

from unflat.losses.views import other_view, turned_apart


def views(yaw: float, pitch: float = 0.0, roll: float = 0.0) -> Tensor:
    return torch.tensor([[pitch, yaw, roll, 0.0, 0.0, 0.0]]).requires_grad_()


def learned(view: Tensor) -> list[float]:
    """Which way each angle moves in a step against the gradient."""
    return [0.0] * 3 if view.grad is None else (-view.grad[0, :3]).sign().tolist()


def test_pitch_and_yaw_are_others_within_their_range() -> None:
    view = torch.randn(500, 6).clamp(-1, 1)
    other = other_view(view, (0.4, 0.4), largest=0.8)
    assert torch.equal(other[:, 2:], view[:, 2:])
    assert other[:, :2].abs().max() <= 0.8 + 1e-6
    free = other_view(torch.zeros(5000, 6, requires_grad=True), (0.1, 0.2), largest=3.0)
    assert not free.requires_grad
    assert free.std(0)[:2].tolist() == pytest.approx([0.1, 0.2], rel=0.1)


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


@pytest.mark.parametrize(("lean", "sign"), [(0.0, 1), (0.4, 1), (0.4, -1)])
def test_of_two_pitches_the_one_nearer_the_mean_is_believed(lean: float, sign: int) -> None:
    low, high = lean + sign * 0.2, lean + sign * 0.6
    others = torch.tensor([[2 * lean - low, 0, 0, 0, 0, 0], [2 * lean - high, 0, 0, 0, 0, 0]])  # the mean is `lean`
    for pitch, turned, teaches in ((low, high, True), (high, low, False)):
        photo, found = views(0.0, pitch), views(0.0, turned + sign * 0.1)
        rest = others[0 if pitch == low else 1][None]
        turned_apart(
            photo=torch.cat([photo, rest]),
            turned=torch.cat([views(0.0, turned), rest]).detach(),
            found=torch.cat([found, rest]),
        ).backward()
        assert learned(photo) == [0 if teaches else sign, 0, 0]
        assert learned(found) == [-sign if teaches else 0, 0, 0]


def test_roll_is_believed_as_the_photo_has_it() -> None:
    photo, found = views(0.6, roll=-0.3), views(0.2, roll=-0.5)
    turned_apart(photo=photo, turned=views(0.2, roll=-0.1).detach(), found=found).backward()
    assert learned(photo)[2] == 0
    assert learned(found)[2] == 1
