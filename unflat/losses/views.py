"""Views of photos that were turned, and how far off they are found."""

import torch
from jaxtyping import Float
from torch import Tensor

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
