"""What can be asked of the views that are found in photos without knowing the true ones."""

import math
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import smooth_l1_loss

from unflat.geometry.constants import constant
from unflat.geometry.rotations import rotation_from_euler

SMOOTHING = 0.02  # of what views have drifted by
CENTRE = 10.0  # weight of the centre's place, a few hundredths, beside the mean pitch
LEAST_TURN = 0.1  # radians: of views that are all alike there is no centre to speak of
RANGE = 1.0  # of what tanh takes: there 76 % of the largest turn is reached, and 42 % of the gradient is left
RANGE_WEIGHT = 3.0
TURNED = slice(0, 2)  # pitch and yaw; what comes after them is not turned


def other_view(view: Float[Tensor, "b 6"], spread: tuple[float, float], largest: float) -> Float[Tensor, "b 6"]:
    """The views with other pitches and yaws, normally distributed about theirs with standard deviations `spread`, at
    most `largest`; radians, without gradient."""
    other = view.detach().clone()
    other[:, TURNED] += constant(*spread, like=other) * torch.randn_like(other[:, TURNED])
    other[:, TURNED].clamp_(-largest, largest)
    return other


def turned_apart(
    *, photo: Float[Tensor, "b 6"], turned: Float[Tensor, "b 6"], found: Float[Tensor, "b 6"]
) -> Float[Tensor, ""]:
    """How far off the views `found` in photos are that were turned from the view `photo` to `turned`, radians (ours).

    Of the two views the one nearer the batch's mean is believed and the other one learns, in pitch and in yaw each by
    itself: turned far, an object is easily taken for a narrower one that is turned less. Of roll the photo's own is
    believed.
    """
    expected = photo + (turned - photo).detach()  # equals `turned`; its gradient goes to the photo's view
    # nearer zero instead would drive all views away from it as long as nothing is known of them
    photo_learns = from_mean(turned, photo) < from_mean(photo, photo)
    photo_learns[:, TURNED.stop :].fill_(False)
    apart = torch.where(photo_learns, found.detach() - expected, found - expected.detach())
    return apart[:, :3].abs().mean()


def from_mean(view: Float[Tensor, "b 6"], of: Float[Tensor, "b 6"]) -> Float[Tensor, "b 6"]:
    """How far each is from the mean of others."""
    return (view - of.mean(0)).abs()


def turned_weight(step: int, warmup: int) -> float:
    """How much photos that were turned count: up to 1.6 times at the end of the warm-up, then falling to once. They
    teach what turns look like as long as albedo is too blurred to show it."""
    warm = step / max(warmup, 1)
    return min(warm, 1.0) * (1 + math.e ** (-warm / 2))


def past_range(free_turn: Float[Tensor, "b 3"]) -> Float[Tensor, ""]:
    """How far turns, before tanh holds them in their range, are past what it passes on well; times a weight (ours).

    At the end of the range tanh lets no gradient through, and views that once all went there would stay. This is felt
    there.
    """
    return RANGE_WEIGHT * (free_turn.abs() - RANGE).clamp_min(0).mean()


class Drift(nn.Module):
    """How far views have drifted in two things that photos leave open (ours).

    - `level`: the mean pitch of all photos. A relief that leans, looked at from above, under a light from above shows
      the same. Reliefs do not lean (`ReliefHead`), and photos are taken to be level on average, too.
    - `centre`: where the centre lies about which objects turn. Turning about one that lies c further is turning about
      the assumed one and a shift by (I - R) (0, 0, c). Where a photo was cropped has nothing to do with how its object
      is turned, so c should be zero. Left alone, shifts follow the yaw, and what is turned is seen in a wrong place.

    Both are means over the last hundred or so batches: in one batch they are off zero by chance, which smaller pitches
    and shifts would lessen. The gradient goes to this batch's pitches and shifts.
    """

    before: ClassVar[dict[str, float]] = {"pitch": 0.0, "shift": 0.0, "turn": LEAST_TURN**2}
    """buffers that older weights may lack, and what they were"""
    pitch: Tensor
    shift: Tensor
    turn: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, value in self.before.items():
            self.register_buffer(name, torch.tensor(value))

    def forward(self, view: Float[Tensor, "b 6"], weight: float = 1.0) -> dict[str, Float[Tensor, ""]]:
        """`level` is |mean pitch| in radians, `centre` is 10 |c| in units of depth, rounded near zero, times `weight`.

        It should grow from zero: turns that are not found yet begin as shifts.
        """
        moved = -rotation_from_euler(view[:, :3].detach())[:, :2, 2]  # by a centre that lies 1 further
        moved, shift = moved - moved.mean(0), view[:, 3:5] - view[:, 3:5].mean(0)
        pitch = self._followed("pitch", view[:, 0].mean())
        along = self._followed("shift", (moved * shift).sum(1).mean())
        centre = along / self._followed("turn", moved.square().sum(1).mean()).clamp_min(LEAST_TURN**2)
        return {"level": weight * _rounded(pitch, 0.02), "centre": weight * CENTRE * _rounded(centre, 0.002)}

    def _followed(self, name: str, value: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """The running mean, with the gradient of this batch's value."""
        mean = self.get_buffer(name)
        with torch.no_grad():
            mean.lerp_(value.detach().nan_to_num(), SMOOTHING)
        return mean.clone() + value - value.detach()

    def turn_inside_out(self) -> None:
        """For views of the inside-out twin: pitch and yaw change their signs, shifts do not."""
        self.pitch.neg_()
        self.shift.neg_()


def _rounded(value: Float[Tensor, ""], by: float) -> Float[Tensor, ""]:
    """|value|, but for values less than `by`, where the pull fades."""
    return smooth_l1_loss(value, torch.zeros_like(value), beta=by)
