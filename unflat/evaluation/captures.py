"""Compares the pictures that a method makes of a scene, and its depth, with those of a capture."""

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unflat.data.kinds import Capture
from unflat.evaluation.figures import Evaluation, mean_of
from unflat.method import Method, Prediction, predict_in_pieces
from unflat.metrics.images import WINDOW, psnr, ssim
from unflat.metrics.lpips import LPIPS, lpips

GAP = 8.0
"""dB by which pictures that were not learned from may be worse than those that were, before it is said"""


def evaluate_capture(
    method: Method,
    capture: Capture,
    network: LPIPS | None = None,
    look: Callable[[int, Prediction], None] | None = None,
) -> Evaluation:
    """The figures of `method` on the pictures of `capture`, each alone and their mean.

    PSNR (over the pixels that belong to the scene) and SSIM; LPIPS with a `network`; where the capture knows depth, the
    mean error of depth in units of the files' world, over pixels that both have; where it has opacity, its mean error.
    `look` is shown each picture's number and prediction, for who wants to keep them.
    """
    if len(capture) == 0:
        raise ValueError("there are no pictures to evaluate")
    per_image: dict[str, list[float]] = {}
    for i in range(len(capture)):
        prediction = predict_in_pieces(method, capture.cameras(i))
        for name, value in scores_of(prediction, capture, i, network).items():
            per_image.setdefault(name, []).append(value)
        if look is not None:
            look(i, prediction)
    arrays = {name: np.array(values) for name, values in per_image.items()}
    return Evaluation({name: mean_of(values) for name, values in arrays.items()}, arrays, tuple(capture.names))


def scores_of(prediction: Prediction, capture: Capture, index: int, network: LPIPS | None = None) -> dict[str, float]:
    """The figures of one picture."""
    found: dict[str, float] = {}
    if prediction.rgb is not None:
        ours, theirs = prediction.rgb.cpu(), torch.from_numpy(capture.rgb(index))[None]
        mask = None if capture.mask is None else torch.from_numpy(capture.picture(index, "mask").copy())[None]
        found["PSNR"] = float(psnr(ours, theirs, mask))
        if min(ours.shape[1:3]) >= WINDOW:
            found["SSIM"] = float(ssim(ours, theirs))
        if network is not None:
            found["LPIPS"] = float(lpips(ours, theirs, network))
    if prediction.depth is not None and capture.depth is not None:
        apart = (prediction.depth[0].cpu() - torch.from_numpy(capture.picture(index, "depth").copy())).abs()
        found["depth error"] = _known_mean(apart) * capture.scene.world_scale
    if prediction.opacity is not None and capture.has_alpha:
        opacity = torch.from_numpy(capture.picture(index)[..., 3].astype(np.float32) / 255)
        found["opacity error"] = float((prediction.opacity[0].cpu() - opacity).abs().mean())
    return found


def _known_mean(values: Float[Tensor, "h w"]) -> float:
    known = values[values.isfinite()]
    return float(known.mean()) if len(known) else math.nan
