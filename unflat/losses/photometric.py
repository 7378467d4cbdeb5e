"""How badly one picture explains another."""

import math

from jaxtyping import Bool, Float
from torch import Tensor


def laplacian_nll(
    image: Float[Tensor, "b c h w"],
    target: Float[Tensor, "b c h w"],
    sigma: Float[Tensor, "b h w"],
    mask: Bool[Tensor, "b h w"],
) -> Float[Tensor, ""]:
    """Negative log-likelihood of `target` under Laplacians of mean `image` and standard deviation `sigma`.

    sqrt(2) |image - target| / sigma + ln sigma, averaged over channels and over *all* pixels, those outside `mask`
    counting 0: dividing by the number of covered pixels would make it free to cover fewer (Wu et al. 2020 eq. 3 do).
    """
    error = (image - target).abs().mean(1)
    nll = math.sqrt(2) * error / sigma + sigma.log()
    return nll.where(mask, nll.new_zeros(())).mean()
