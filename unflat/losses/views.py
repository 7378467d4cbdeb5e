"""Views of photos that were turned, and how far off they are found."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

PITCH, YAW = 0, 1


def other_view(view: Float[Tensor, "b 6"], spread: tuple[float, float], largest: float) -> Float[Tensor, "b 6"]:
    """The views with other pitches and yaws, normally distributed about theirs with standard deviations `spread`, at
    most `largest`; radians, without gradient."""
    other = view.detach().clone()
    other[:, :2] += other.new_tensor(spread) * torch.randn_like(other[:, :2])
    other[:, :2].clamp_(-largest, largest)
    return other


def turned_apart(
    *, photo: Float[Tensor, "b 6"], turned: Float[Tensor, "b 6"], found: Float[Tensor, "b 6"]
) -> Float[Tensor, ""]:
    """How far off the views `found` in photos are that were turned from the view `photo` to `turned`, radians (ours).

    Of the two views the one nearer the front is believed and the other one learns: turned far, an object is easily
    taken for a narrower one that is turned less. A mirror image says what the front is in yaw; in pitch it is the mean
    of the batch, since a relief may lean. Of roll the photo's own is believed.
    """
    expected = photo + (turned - photo).detach()  # equals `turned`; its gradient goes to the photo's view
    photo_learns = turned_is_nearer_front(photo.detach(), turned)
    apart = torch.where(photo_learns, found.detach() - expected, found - expected.detach())
    return apart[:, :3].abs().mean()


def turned_is_nearer_front(photo: Float[Tensor, "b 6"], turned: Float[Tensor, "b 6"]) -> Bool[Tensor, "b 6"]:
    """In pitch and in yaw, each by itself."""
    front = torch.zeros_like(photo)
    front[:, PITCH] = photo[:, PITCH].mean()
    nearer = (turned - front).abs() < (photo - front).abs()
    nearer[:, YAW + 1 :] = False
    return nearer
