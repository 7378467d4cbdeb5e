"""Priors on maps."""

from jaxtyping import Float
from torch import Tensor


def total_variation(maps: Float[Tensor, "b h w"]) -> Float[Tensor, ""]:
    """Mean absolute difference of neighbours, along rows plus along columns."""
    return maps.diff(dim=1).abs().mean() + maps.diff(dim=2).abs().mean()
