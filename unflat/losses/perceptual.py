"""Pictures compared by the features of a network instead of their pixels."""

import math

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def gaussian_nll(
    features: Float[Tensor, "b c i j"],
    target: Float[Tensor, "b c i j"],
    sigma: Float[Tensor, "b i j"] | float,
    mask: Float[Tensor, "b h w"],
) -> Float[Tensor, ""]:
    """(f - t)^2 / (2 sigma^2) + ln sigma (Wu et al. 2020 eq. 7), averaged over channels and all places.

    Each place counts by the share of the finer `mask` that lies in it.
    """
    weight = adaptive_avg_pool2d(mask, (features.shape[-2], features.shape[-1]))
    error = (features - target).square().mean(1)
    nll = error / (2 * sigma**2) + (sigma.log() if isinstance(sigma, Tensor) else math.log(sigma))
    return (weight * nll).mean()
