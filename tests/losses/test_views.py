"""Views of photos that we turned: who is believed, and who learns; and the frame that views hold."""

import pytest
import torch
from torch import Tensor

from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.losses.views import Frame, other_view, turned_apart


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


def some_views(count: int = 16) -> Tensor:
    """Of mean pitch zero, not moved."""
    view = 0.3 * torch.randn(count, 6, generator=torch.Generator().manual_seed(0))
    view[:, 0] -= view[:, 0].mean()
    view[:, 2:] = 0
    return view


def test_the_frame_of_views_about_another_centre() -> None:
    """Turned about a centre 0.02 further back, which is turning about the assumed one and a shift."""
    view, centre, further = some_views(), torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 1.02])
    rotation, still = rotation_from_euler(view[:, :3]), torch.zeros(len(view), 3)
    view[:, 3:] = (
        Rigid.about(further, rotation, still).translation - Rigid.about(centre, rotation, still).translation
    )  # both about the same origin
    view.requires_grad_()
    off = Frame()(view)
    assert off.item() == pytest.approx(4 * 2 * 0.02, rel=0.1)
    off.backward()
    moved = view.detach() - 0.001 * view.grad if view.grad is not None else view
    assert Frame()(moved).item() < off.item()
    assert view.grad is not None and not view.grad[:, 1:3].any(), "of the centre only shifts learn"


def test_the_frame_does_not_mind_crops() -> None:
    """The same shift for all, and shifts that have nothing to do with turns."""
    frame, view = Frame(), some_views()
    assert frame(view).item() == pytest.approx(0, abs=1e-6)
    view[:, 3:5] = 0.05
    assert frame(view).item() == pytest.approx(0, abs=1e-6)
    view[:, 3] += 0.03 * view[:, 1].cos()  # even in yaw
    assert frame(view).item() < 0.1 * 4 * 0.03


def test_the_frame_holds_the_mean_pitch_of_many_batches() -> None:
    frame, level = Frame(), some_views()
    for _ in range(300):
        frame(level + torch.tensor([0.2, 0, 0, 0, 0, 0]))
    assert frame.pitch.item() == pytest.approx(0.2, abs=0.01)
    low = (level - torch.tensor([0.05, 0, 0, 0, 0, 0])).requires_grad_()  # a batch on the other side
    frame(low).backward()
    assert low.grad is not None and bool((low.grad[:, 0] > 0).all()), "all pitches are to fall"


def test_of_views_that_are_all_alike_there_is_no_centre() -> None:
    view = torch.zeros(4, 6)
    view[:, 1], view[:, 3] = torch.tensor([1e-5, -1e-5, 1e-5, -1e-5]), torch.tensor([0.05, -0.05, 0.05, -0.05])
    assert Frame()(view).item() < 1e-3
