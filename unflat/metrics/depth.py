"""How near predicted depth is to the truth, up to what one picture cannot tell.

The protocol is Unsup3D's (S. Wu, C. Rupprecht, A. Vedaldi, CVPR 2020): depth seen in the picture's own view is
compared where both the prediction and the truth have the object, each mask eroded by one pixel. Uncovered pixels are
counted (coverage), never scored. NaN means "no object" in the truth and "not covered" in a prediction.

Everything is computed in float64 and given per picture: [b]. A picture without a common pixel scores NaN.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import avg_pool2d

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import cross, normals_of


@dataclass(frozen=True)
class DepthScores:
    """The figures of each picture. Tables usually print side times 100."""

    side: Float[Tensor, "b"]
    """scale-invariant depth error: the spread of the difference of natural logarithms"""
    mad: Float[Tensor, "b"]
    """mean angle between normals, in degrees"""
    coverage: Float[Tensor, "b"]
    """share of the (eroded) true object that was compared"""
    mae: Float[Tensor, "b"]
    """mean absolute difference, in units of depth"""
    side_twin: Float[Tensor, "b"]
    """`side` of the prediction turned inside out, 2 - depth"""
    mad_twin: Float[Tensor, "b"]
    """`mad` of the prediction turned inside out"""

    def __len__(self) -> int:
        return len(self.side)

    @property
    def inverted(self) -> Bool[Tensor, "b"]:
        """True where the inside-out twin has the better normals: the relief is dented where it should bulge."""
        return self.mad_twin < self.mad

    def mean_and_spread(self) -> dict[str, tuple[float, float]]:
        """Mean and standard deviation over the pictures that could be scored (the +- of published tables), by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: _mean_and_spread(value[~value.isnan()]) for name, value in values.items()}


def _mean_and_spread(values: Float[Tensor, "n"]) -> tuple[float, float]:
    if len(values) == 0:
        return math.nan, math.nan
    return float(values.mean()), float(values.std(correction=0))


def depth_scores(
    depth: Float[Tensor, "b h w"], truth: Float[Tensor, "b_true h_true w_true"], camera: Pinhole, erosions: int = 1
) -> DepthScores:
    """Compare predicted depth with true depth in the same view, both along z and seen by `camera`.

    The picture size is the truth's; a prediction of another size is an error rather than resampled.
    """
    if depth.shape != truth.shape:
        raise ValueError(
            f"predicted depth is {tuple(depth.shape)}, true depth {tuple(truth.shape)}: "
            "predict at the size of the truth"
        )
    depth, truth = depth.double(), truth.double()
    mask = common_mask(depth, truth, erosions)
    twin = 2 - depth
    return DepthScores(
        side=side(depth, truth, mask),
        mad=mad(depth, truth, mask, camera),
        coverage=coverage(depth, truth, erosions),
        mae=masked_mean((depth - truth).abs(), mask),
        side_twin=side(twin, truth, mask),
        mad_twin=mad(twin, truth, mask, camera),
    )


def erode(mask: Bool[Tensor, "b h w"], times: int = 1) -> Bool[Tensor, "b h w"]:
    """Keep the pixels whose 3x3 neighbourhood is all in the mask; outside the picture nothing is."""
    for _ in range(times):
        mask = avg_pool2d(mask.double()[:, None], 3, stride=1, padding=1)[:, 0] > 0.99
    return mask


def common_mask(
    depth: Float[Tensor, "b h w"], truth: Float[Tensor, "b h w"], erosions: int = 1
) -> Bool[Tensor, "b h w"]:
    """Where both are known, each eroded on its own, so that normals there look at known depth only."""
    return erode(~depth.isnan(), erosions) & erode(~truth.isnan(), erosions)


def coverage(depth: Float[Tensor, "b h w"], truth: Float[Tensor, "b h w"], erosions: int = 1) -> Float[Tensor, "b"]:
    """The share of the eroded true mask that is in the common mask; NaN without an object."""
    wanted = erode(~truth.isnan(), erosions).sum((1, 2))
    return common_mask(depth, truth, erosions).sum((1, 2)).double() / wanted


def side(
    depth: Float[Tensor, "b h w"], truth: Float[Tensor, "b h w"], mask: Bool[Tensor, "b h w"]
) -> Float[Tensor, "b"]:
    """Root mean square of ln depth - ln truth about its mean, so that a global scale does not count."""
    difference = depth.double().log() - truth.double().log()
    centred = difference - masked_mean(difference, mask)[:, None, None]
    return masked_mean(centred.square(), mask).sqrt()


def mad(
    depth: Float[Tensor, "b h w"], truth: Float[Tensor, "b h w"], mask: Bool[Tensor, "b h w"], camera: Pinhole
) -> Float[Tensor, "b"]:
    """Mean angle in degrees between the normals of the two depth maps (differences two pixels wide)."""
    ours, true = normals_of(depth.double(), camera), normals_of(truth.double(), camera)
    # atan2 is exact near zero, where the arc cosine of a rounded dot product is not
    angle = torch.atan2(cross(ours, true).norm(dim=-1), (ours * true).sum(-1))
    return masked_mean(angle.rad2deg(), mask)


def masked_mean(values: Float[Tensor, "b h w"], mask: Bool[Tensor, "b h w"]) -> Float[Tensor, "b"]:
    """The mean over the masked pixels of each picture; NaN where there are none. Values elsewhere may be NaN."""
    total = torch.where(mask, values.double(), 0.0).sum((1, 2))
    return total / mask.sum((1, 2))


def pearson(a: Float[Tensor, "n *k"], b: Float[Tensor, "n *k"]) -> Float[Tensor, "*k"]:
    """Correlation along the first dimension; NaN where either side is constant."""
    a, b = a.double() - a.double().mean(0), b.double() - b.double().mean(0)
    return (a * b).sum(0) / (a.square().sum(0) * b.square().sum(0)).sqrt()


class YawAgreement(NamedTuple):
    """How predicted turns follow the true ones: 1 and 1 when every turn is right up to a constant."""

    slope: float
    """predicted degrees for every true degree (least squares); under 1 the views are too timid"""
    correlation: float


def yaw_slope(predicted: Float[Tensor, "n"], true: Float[Tensor, "n_true"]) -> YawAgreement:
    """Least-squares slope of predicted yaw on true yaw, and their correlation.

    A method chooses its own canonical frame, so predicted and true views differ by a constant turn that nobody can
    know; slope and correlation leave it out. Angles are compared as they are, not modulo a full turn.
    """
    if predicted.shape != true.shape or len(true) < 2:
        raise ValueError(f"two equally long lists of at least 2 yaws are needed, got {len(predicted)} and {len(true)}")
    x, y = true.double() - true.double().mean(), predicted.double() - predicted.double().mean()
    return YawAgreement(slope=float((x * y).sum() / x.square().sum()), correlation=float(pearson(predicted, true)))
