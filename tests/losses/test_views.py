"""Views of photos that we turned: who is believed, and who learns; and what views drift by."""

import pytest
import torch
from torch import Tensor

from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.losses.views import Drift, other_view, past_range, turned_apart, turned_weight


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


def some_views(count: int = 16, seed: int = 0) -> Tensor:
    """Of mean pitch zero, not moved."""
    view = 0.3 * torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    view[:, 0] -= view[:, 0].mean()
    view[:, 3:] = 0
    return view


def moved_by(view: Tensor, further: float) -> Tensor:
    """The views as shifts that make them turn about a centre that lies further."""
    rotation, still = rotation_from_euler(view[:, :3]), torch.zeros(len(view), 3)
    centres = (torch.tensor([0.0, 0.0, z]) for z in (1 + further, 1.0))
    about, assumed = (Rigid.about(centre, rotation, still).translation for centre in centres)
    return torch.cat([view[:, :3], about - assumed], 1)


@pytest.mark.parametrize("further", [-0.02, 0.02])
def test_views_about_another_centre(further: float) -> None:
    drift = Drift()
    for seed in range(300):
        view = moved_by(some_views(16, seed), further).requires_grad_()
        off = drift(view)["centre"]
    assert off.item() == pytest.approx(10 * (0.02 - 0.001), rel=0.05)
    off.backward()
    assert view.grad is not None and not view.grad[:, :3].any(), "of the centre only shifts learn"
    learned = (view - 1e-3 * view.grad).detach()[:, 3:5]
    assert learned.norm() < 0.95 * view.detach()[:, 3:5].norm()


def test_views_may_be_cropped_at_random() -> None:
    """Of batches of four, too, as few photos are learned from."""
    drift, shifts = Drift(), torch.Generator().manual_seed(1)
    for seed in range(400):
        view = some_views(4, seed)
        view[:, 3:5] = 0.02 + 0.01 * torch.randn(4, 2, generator=shifts)
        off = drift(view)["centre"].item()
    assert off < 0.01, "one batch alone would say 0.06"


def test_the_mean_pitch_of_many_batches_is_drawn_to_zero() -> None:
    drift, level = Drift(), some_views()
    for _ in range(300):
        drift(level + torch.tensor([0.2, 0, 0, 0, 0, 0]))
    assert drift.pitch.item() == pytest.approx(0.2, abs=0.01)
    low = (level - torch.tensor([0.05, 0, 0, 0, 0, 0])).requires_grad_()  # a batch on the other side
    drift(low)["level"].backward()
    assert low.grad is not None and bool((low.grad[:, 0] > 0).all()), "all pitches are to fall"
    assert not low.grad[:, 1:].any()


def test_near_zero_the_pull_fades() -> None:
    level = some_views().requires_grad_()
    Drift()(level)["level"].backward()
    assert level.grad is not None and float(level.grad.abs().max()) < 1e-3


def test_of_views_that_are_all_alike_there_is_no_centre() -> None:
    view = torch.zeros(4, 6)
    view[:, 1], view[:, 3] = torch.tensor([1e-5, -1e-5, 1e-5, -1e-5]), torch.tensor([0.05, -0.05, 0.05, -0.05])
    assert Drift()(view)["centre"].item() < 1e-3


def test_the_drift_of_the_twin() -> None:
    """Inside out, pitch and yaw change their signs and shifts do not: the same means are found again."""
    view, drift, twin = moved_by(some_views(), 0.02) + torch.tensor([0.1, 0, 0, 0, 0, 0]), Drift(), Drift()
    turned = view * torch.tensor([-1.0, -1, 1, 1, 1, 1])
    for _ in range(5):
        drift(view)
        twin(turned)
    drift.turn_inside_out()
    for name, value in twin.named_buffers():
        assert drift.get_buffer(name).item() == pytest.approx(value.item(), abs=1e-6), name


def test_a_batch_that_is_not_finite_leaves_no_trace() -> None:
    drift = Drift()
    assert drift(torch.full((4, 6), torch.nan))["level"].isnan()
    assert all(bool(value.isfinite()) for _, value in drift.named_buffers())


def test_turns_at_the_end_of_their_range_are_led_back() -> None:
    """Where tanh is 1 to the last bit, and everything that is asked of views is lost on it."""
    free = torch.tensor([[40.0, -40.0, 0.5]]).requires_grad_()
    learning = torch.optim.Adam([free], lr=0.1)
    for _ in range(1000):
        learning.zero_grad()
        (past_range(free) + torch.tanh(free[:, :2]).abs().mean()).backward()
        learning.step()
    assert free[0].abs().max() < 1.0
    assert free[0, 2] == 0.5, "within the range there is no pull"


def test_turned_photos_count_most_at_the_end_of_the_warm_up() -> None:
    weights = [turned_weight(step, 100) for step in range(3000)]
    assert weights[0] == 0 and max(range(3000), key=weights.__getitem__) == 100
    assert weights[100] == pytest.approx(1.61, abs=0.01) and weights[-1] == pytest.approx(1, abs=1e-3)
    assert turned_weight(0, 0) == 0 and turned_weight(50, 0) == pytest.approx(1)
