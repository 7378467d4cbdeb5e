"""How far apart views are."""

import torch
from jaxtyping import Float
from torch import Tensor

YAW = 1


def turned_apart(
    view: Float[Tensor, "b 6"], other: Float[Tensor, "b 6"], found: Float[Tensor, "b 6"]
) -> Float[Tensor, ""]:
    """How far `found`, the views seen in photos that were turned from `view` to `other`, is off, radians (ours).

    Of two yaws the one nearer the front is believed and the other one learns: turned far, an object is easily taken
    for a narrower one that is turned less. Of pitch and roll the photo's own is believed.
    """
    expected = view + (other - view).detach()  # `other`, whose gradient goes to the view of the photo
    view_learns = torch.zeros_like(view, dtype=torch.bool)
    view_learns[:, YAW] = (other.abs() < view.abs())[:, YAW]
    apart = torch.where(view_learns, found.detach() - expected, found - expected.detach())
    return apart[:, :3].abs().mean()
