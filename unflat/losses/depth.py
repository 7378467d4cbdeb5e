"""Depth compared with depth that is known."""

from jaxtyping import Bool, Float
from torch import Tensor


def scale_free_l1(
    depth: Float[Tensor, "b h w"], truth: Float[Tensor, "b h w"], mask: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """Mean absolute difference of log depth, after each picture's own mean difference is taken off.

    Averaged over all pixels; those outside `mask`, or NaN in `truth`, count 0. A picture's scale does not count, so
    that depth may be in any unit.
    """
    known = mask & ~truth.isnan()
    ratio = (depth.where(known, 1.0) / truth.where(known, 1.0)).log()
    mean = ratio.sum((1, 2), keepdim=True) / known.sum((1, 2), keepdim=True).clamp_min(1)
    return (ratio - mean).abs().where(known, 0.0).mean()
