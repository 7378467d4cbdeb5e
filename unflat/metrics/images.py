"""How near predicted pictures are to true ones: PSNR, SSIM, and the mean that tables with few views print.

Pictures are [b, h, w, 3] in [0, 1]; what lies outside is clamped, as a display would do, and nothing is rounded to 8
bits first. Everything is computed in float64 and given per picture: [b]. A table averages these figures over the views
of a scene and then over scenes, never the errors behind them.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unflat.metrics.depth import masked_mean

WINDOW = 11
"""pixels along each side of the window of SSIM, and so the smallest picture"""


def psnr(
    image: Float[Tensor, "b h w 3"],
    truth: Float[Tensor, "b_true h_true w_true 3"],
    mask: Bool[Tensor, "b_mask h_mask w_mask"] | None = None,
) -> Float[Tensor, "b"]:
    """-10 log10 of the mean squared error over all pixels and channels, in dB; infinite for equal pictures.

    With a mask only its pixels count; NaN where it has none.
    """
    image, truth = paired(image, truth)
    error = (image - truth).square().mean(-1)
    if mask is None:
        mask = torch.ones_like(error, dtype=torch.bool)
    if mask.shape != error.shape:
        raise ValueError(f"the mask is {tuple(mask.shape)}, the pictures {tuple(error.shape)}: give one of their size")
    return -10 * masked_mean(error, mask).log10()


def ssim(image: Float[Tensor, "b h w 3"], truth: Float[Tensor, "b_true h_true w_true 3"]) -> Float[Tensor, "b"]:
    """Structural similarity (Wang et al. 2004) as mip-NeRF's tables have it: the mean of `ssim_map`. At most 1."""
    return ssim_map(image, truth).mean((1, 2, 3))


def ssim_map(
    image: Float[Tensor, "b h w 3"], truth: Float[Tensor, "b_true h_true w_true 3"]
) -> Float[Tensor, "b h-10 w-10 3"]:
    """Structural similarity of every whole window of 11 x 11 pixels, per channel; at [i, j] that around (i + 5, j + 5).

    The window is a Gaussian of sigma 1.5 px, k1 = 0.01, k2 = 0.03 and the range of values is 1. ValueError for
    pictures smaller than a window.
    """
    image, truth = paired(image, truth)
    if min(image.shape[1:3]) < WINDOW:
        raise ValueError(
            f"the pictures are {image.shape[1]} x {image.shape[2]} pixels (h x w), SSIM needs {WINDOW} x {WINDOW} "
            "at least: compare larger pictures"
        )
    mean, mean_true = _windowed(image), _windowed(truth)
    variance = (_windowed(image.square()) - mean.square()).clamp(min=0)  # rounding makes some negative
    variance_true = (_windowed(truth.square()) - mean_true.square()).clamp(min=0)
    bound = (variance * variance_true).sqrt()
    covariance = (_windowed(image * truth) - mean * mean_true).clamp(-bound, bound)
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean * mean_true + c1) / (mean.square() + mean_true.square() + c1)
    return luminance * (2 * covariance + c2) / (variance + variance_true + c2)


def average_error(
    psnr: Float[Tensor, "*k"], ssim: Float[Tensor, "*k"], lpips: Float[Tensor, "*k"]
) -> Float[Tensor, "*k"]:
    """Geometric mean of the MSE behind `psnr`, sqrt(1 - ssim) and `lpips`; 0 is best.

    Tables of reconstructions from few views have it.
    """
    mse = 10 ** (-psnr.double() / 10)
    dissimilarity = (1 - ssim.double()).clamp(min=0).sqrt()  # rounding takes some SSIM above 1
    return (mse * dissimilarity * lpips.double()) ** (1 / 3)


def paired(
    image: Float[Tensor, "b h w 3"], truth: Float[Tensor, "b_true h_true w_true 3"]
) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w 3"]]:
    """Both as they are compared: float64, clamped to [0, 1]. ValueError unless they are equally many and large."""
    if image.shape != truth.shape:
        raise ValueError(
            f"predicted pictures are {tuple(image.shape)}, true ones {tuple(truth.shape)}: "
            "predict at the size of the truth"
        )
    return image.double().clamp(0, 1), truth.double().clamp(0, 1)


def _windowed(maps: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h-10 w-10 c"]:
    """The Gaussian mean in every whole window, along columns and then along rows."""
    weights = [math.exp(-(place**2) / (2 * 1.5**2)) for place in range(-(WINDOW // 2), WINDOW // 2 + 1)]
    for dim in (1, 2):
        size = maps.shape[dim] - WINDOW + 1
        mean = torch.zeros_like(maps.narrow(dim, 0, size))
        # shifted and added up: torch's own convolution of float64 takes seven times as long
        for place, weight in enumerate(weights):
            mean.add_(maps.narrow(dim, place, size), alpha=weight / sum(weights))
        maps = mean
    return maps
