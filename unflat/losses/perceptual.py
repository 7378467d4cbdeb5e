"""Pictures compared by the features of a network instead of their pixels."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d


def gaussian_nll(
    features: Float[Tensor, "b c i j"],
    target: Float[Tensor, "b c i j"],
    sigma: Float[Tensor, "b i j"],
    mask: Float[Tensor, "b h w"],
) -> Float[Tensor, ""]:
    """(f - t)^2 / (2 sigma^2) + ln sigma (Wu et al. 2020 eq. 7), averaged over channels and all places.

    Each place counts by the share of the finer `mask` that lies in it.
    """
    weight = adaptive_avg_pool2d(mask, (features.shape[-2], features.shape[-1]))
    error = (features - target).square().mean(1)
    return (weight * (error / (2 * sigma**2) + sigma.log())).mean()


def perceptual_nll(
    network: Callable[[Tensor], Tensor],
    images: Sequence[Float[Tensor, "b 3 h w"]],
    photo: Float[Tensor, "b 3 h w"],
    sigmas: Sequence[Float[Tensor, "b i j"]],
    mask: Bool[Tensor, "b h w"],
) -> list[Float[Tensor, ""]]:
    """`gaussian_nll` of the photo's features under those of each image (Wu et al. 2020 eq. 7), each with its sigma.

    Outside `mask` every image shows the photo: a feature sees far beyond its place, and a border of black would be
    all it sees. The photo's features are computed once, without gradient.
    """
    with torch.no_grad():
        target = network(photo)
    shown = (network(torch.where(mask[:, None], image, photo)) for image in images)
    return [gaussian_nll(f, target, sigma, mask.float()) for f, sigma in zip(shown, sigmas, strict=True)]
