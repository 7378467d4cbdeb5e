"""Views of photos that we turned: who is believed, and who learns."""

import pytest
import torch
from torch import Tensor

from unflat.losses.views import turned_apart


def views(*yaws: float, pitch: float = 0.0) -> Tensor:
    made = torch.zeros(len(yaws), 6)
    made[:, 1] = torch.tensor(yaws)
    made[:, 0] = pitch
    return made.requires_grad_()


def test_the_error_is_the_mean_over_the_three_angles() -> None:
    found = views(0.5, pitch=0.1)
    error = turned_apart(views(0.1), views(0.3), found)
    assert error.item() == pytest.approx((0.2 + 0.1) / 3)


def test_shifts_do_not_count() -> None:
    found = views(0.3).detach()
    found[:, 3:] = 1.0
    assert turned_apart(views(0.1), views(0.3), found).item() == 0


@pytest.mark.parametrize(("yaw", "other"), [(0.2, 0.6), (-0.2, -0.6), (0.2, -0.6)])
def test_a_photo_turned_away_from_the_front_teaches_what_was_found(yaw: float, other: float) -> None:
    view, found = views(yaw), views(0.0)
    turned_apart(view, views(other).detach(), found).backward()
    assert view.grad is None or not view.grad[:, 1].any()
    assert found.grad is not None and found.grad[0, 1].sign() == -torch.tensor(other).sign()


@pytest.mark.parametrize(("yaw", "other"), [(0.6, 0.2), (-0.6, 0.2)])
def test_a_photo_turned_towards_the_front_learns_from_what_was_found(yaw: float, other: float) -> None:
    view, found = views(yaw), views(other + 0.1)  # the object was turned 0.1 further than the photo's view says
    turned_apart(view, views(other).detach(), found).backward()
    assert found.grad is None or not found.grad[:, 1].any()
    assert view.grad is not None and view.grad[0, 1] < 0  # a step against the gradient turns it further


def test_pitch_is_believed_as_the_photo_has_it() -> None:
    view, found = views(0.6, pitch=0.3), views(0.2, pitch=0.5)
    turned_apart(view, views(0.2, pitch=0.1).detach(), found).backward()
    assert view.grad is None or not view.grad[:, 0].any()
    assert found.grad is not None and found.grad[0, 0] > 0
