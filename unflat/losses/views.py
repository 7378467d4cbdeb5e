"""What can be asked of the views that are found in photos without knowing the true ones."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

SMOOTHING = 0.02  # of the mean pitch
CENTRE = 4.0  # weight of the centre's place, a few hundredths, beside the mean pitch
LEAST_TURN = 0.1  # radians: of views that are all alike there is no centre to speak of
TURNED = slice(0, 2)  # pitch and yaw; what comes after them is not turned


def other_view(view: Float[Tensor, "b 6"], spread: tuple[float, float], largest: float) -> Float[Tensor, "b 6"]:
    """The views with other pitches and yaws, normally distributed about theirs with standard deviations `spread`, at
    most `largest`; radians, without gradient."""
    other = view.detach().clone()
    other[:, TURNED] += other.new_tensor(spread) * torch.randn_like(other[:, TURNED])
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
    photo_learns[:, TURNED.stop :] = False
    apart = torch.where(photo_learns, found.detach() - expected, found - expected.detach())
    return apart[:, :3].abs().mean()


def from_mean(view: Float[Tensor, "b 6"], of: Float[Tensor, "b 6"]) -> Float[Tensor, "b 6"]:
    """How far each is from the mean of others."""
    return (view - of.mean(0)).abs()


class Frame(nn.Module):
    """How far the frame, in which objects are found to stand, is from the one that they are taken to stand in (ours).

    Photos leave two things open, and learning drifts where nothing holds them:

    - The mean pitch of all photos. A relief that leans, looked at from above, under a light from above shows the same.
      As reliefs do not lean (`ReliefHead`), it should be zero.
    - The centre about which objects turn. Turning about one that lies c further is turning about the assumed one and a
      shift by c times the sines of yaw and pitch. Where a photo was cropped has nothing to do with how its object is
      turned, so c should be zero. Left alone, shifts hold outlines still, which a relief moves as it turns and a head
      does not, and views become too small.
    """

    before: ClassVar[dict[str, float]] = {"pitch": 0.0}
    """buffers that older weights may lack, and what they were"""
    pitch: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pitch", torch.zeros(()))

    def forward(self, view: Float[Tensor, "b 6"]) -> Float[Tensor, ""]:
        """|mean pitch| in radians + 4 |c| in units of depth, in x and in y. Only shifts learn from the second."""
        pitch = view[:, 0].mean()
        with torch.no_grad():
            # the mean over many batches: that of one is off zero by chance, and smaller pitches would lessen it
            self.pitch.lerp_(pitch, SMOOTHING)
        turn = torch.stack([view[:, 1].sin(), -view[:, 0].sin()], 1).detach()
        turn, shift = turn - turn.mean(0), view[:, 3:5] - view[:, 3:5].mean(0)
        centre = (turn * shift).sum(0) / turn.square().sum(0).clamp_min(len(view) * LEAST_TURN**2)
        return (self.pitch + pitch - pitch.detach()).abs() + CENTRE * centre.abs().sum()
