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


MEANS = [0.0, 0.4, -0.3]


def told(angle: int, mean: float, off: float, *, own: float, turned: float) -> tuple[float, float]:
    """Which way the photo's and the found angle are moved, in a batch whose mean is `mean`; `off` is found too much."""
    photo, found = torch.zeros(2, 6), torch.zeros(2, 6)
    photo[:, angle] = torch.tensor([mean + own, mean - own])
    found[:, angle] = torch.tensor([mean + turned + off, mean - own])
    other = photo.clone()
    other[0, angle] = mean + turned
    turned_apart(photo=photo.requires_grad_(), turned=other, found=found.requires_grad_()).backward()
    gradients = (0.0 if view.grad is None else -view.grad[0, angle].sign().item() for view in (photo, found))
    return next(gradients), next(gradients)


@pytest.mark.parametrize("angle", [0, 1])
@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("off", [-0.1, 0.1])
@pytest.mark.parametrize("side", [-1, 1])
def test_of_two_pitches_or_yaws_the_one_nearer_the_mean_is_believed(
    angle: int, mean: float, off: float, side: int
) -> None:
    way = 1.0 if off > 0 else -1.0
    away = told(angle, mean, off, own=0.2 * side, turned=0.6 * side)
    assert away == (0, -way), "turned away from the mean: what was found goes back to where it was turned"
    towards = told(angle, mean, off, own=0.6 * side, turned=0.2 * side)
    assert towards == (way, 0), "turned towards it: the photo's goes as much further as was found too much"


def test_views_of_which_nothing_is_known_do_not_run_away() -> None:
    """A network that finds the same view in every photo, turned or not, is told nothing about it on average."""
    same = torch.full((20_000, 6), 0.3).requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        turned = other_view(same, (0.2, 0.35), largest=3.0)
    turned_apart(photo=same, turned=turned, found=same).backward()
    assert same.grad is not None
    assert same.grad.sum(0).abs()[:2].max() < 0.05 * same.grad.abs().sum(0)[:2].min()


def test_roll_is_believed_as_the_photo_has_it() -> None:
    photo, found = views(0.6, roll=-0.3), views(0.2, roll=-0.5)
    turned_apart(photo=photo, turned=views(0.2, roll=-0.1).detach(), found=found).backward()
    assert learned(photo)[2] == 0
    assert learned(found)[2] == 1
