"""What a method gives against the truth that data hold, whatever their kind."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from unflat.data.kinds import Capture
from unflat.evaluation.captures import evaluate_capture
from unflat.evaluation.figures import Evaluation
from unflat.evaluation.photos import average_depth, evaluate_photos
from unflat.method import Method
from unflat.metrics.lpips import LPIPS


def evaluate(
    method: Method,
    data: Any,
    *,
    average: Float[Tensor, "h w"] | None = None,
    network: LPIPS | None = None,
    piece: int = 64,
) -> Evaluation:
    """The figures of `method` on `data`, as far as their truth goes.

    Of photos, `average` is the mean depth of the training set (see `average_depth`; without it, that of the photos) and
    `piece` how many are looked at at once. Of a capture, `network` adds LPIPS.
    """
    if isinstance(data, Capture):
        return evaluate_capture(method, data, network)
    return evaluate_photos(method, data, average=average, piece=piece)


def baseline_of(data: Any) -> Float[Tensor, "h w"] | None:
    """What methods are compared with that were trained on `data`: of photos, their mean depth."""
    return None if isinstance(data, Capture) else average_depth(data)
