"""Views of photos that were turned, and how far off they are found."""

import torch
from jaxtyping import Float
from torch import Tensor

YAW = 1


def other_yaw(view: Float[Tensor, "b 6"], spread: float, largest: float) -> Float[Tensor, "b 6"]:
    """The views with other yaws, normally distributed about theirs, at most `largest`; radians, without gradient."""
    other = view.detach().clone()
    other[:, YAW] += spread * torch.randn_like(other[:, YAW])
    other[:, YAW].clamp_(-largest, largest)
    return other


def turned_apart(
    *, photo: Float[Tensor, "b 6"], turned: Float[Tensor, "b 6"], found: Float[Tensor, "b 6"]
) -> Float[Tensor, ""]:
    """How far off the views `found` in photos are that were turned from the view `photo` to `turned`, radians (ours).

    Of the two yaws the one nearer the front is believed and the other one learns: turned far, an object is easily taken
    for a narrower one that is turned less. Of pitch and roll the photo's own is believed.
    """
    expected = photo + (turned - photo).detach()  # equals `turned`; its gradient goes to the photo's view
    photo_learns = torch.zeros_like(photo, dtype=torch.bool)
    photo_learns[:, YAW] = (turned.abs() < photo.abs())[:, YAW]
    apart = torch.where(photo_learns, found.detach() - expected, found - expected.detach())
    return apart[:, :3].abs().mean()
