"""How near predicted depth is to the truth, up to what one picture cannot tell.

The protocol is Unsup3D's (S. Wu, C. Rupprecht, A. Vedaldi, CVPR 2020): depth seen in the picture's own view is
compared where both the prediction and the truth have the object, each mask eroded by one pixel. Uncovered pixels are
counted (coverage), never scored, unless `filled` first. NaN means "no object" in the truth and "not covered" in a
prediction.

Everything is computed in float64 and given per picture: [b]. A picture without a common pixel scores NaN.
"""

from dataclasses import dataclass
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


def filled(depth: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """The prediction with constant depth 1, where the object stands, at the pixels that it does not cover.

    Scored so, a method gains nothing by covering less: every pixel of the eroded true mask is compared.
    """
    return depth.nan_to_num(nan=1.0)


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


def landmark_correlation(depth: Float[Tensor, "n h w"], landmarks: Float[Tensor, "n k 3"]) -> Float[Tensor, "k"]:
    """|Pearson correlation| over the photos of predicted depth at each landmark with the landmark's own depth.

    Landmarks are pixel u, pixel v (first centre at 0.5) and depth. The protocol is Unsup3D's on 3DFAW: the depth of all
    landmarks is annotated, hidden ones too, and all are compared. A photo whose landmark has no predicted depth (see
    `landmark_depth`) is left out of that landmark.
    """
    return absolute_correlation(landmark_depth(depth, landmarks), landmarks[..., 2])


def landmark_depth(depth: Float[Tensor, "n h w"], landmarks: Float[Tensor, "n k _"]) -> Float[Tensor, "n k"]:
    """Depth at each landmark's (u, v), bilinear between the pixels around it that have one.

    NaN where the pixel that holds the landmark has none, or the landmark is outside the picture.
    """
    height, width = depth.shape[1:]
    u, v = landmarks[..., 0].double(), landmarks[..., 1].double()
    photo = torch.arange(len(depth), device=depth.device)[:, None]

    def at(row: Tensor, column: Tensor) -> Tensor:
        return depth.double()[photo, row.long().clamp(0, height - 1), column.long().clamp(0, width - 1)]

    left, top = (u - 0.5).floor(), (v - 0.5).floor()
    right_share, lower_share = u - 0.5 - left, v - 0.5 - top
    corners = torch.stack([at(top + i, left + j) for i in (0, 1) for j in (0, 1)])
    weights = torch.stack([y * x for y in (1 - lower_share, lower_share) for x in (1 - right_share, right_share)])
    weights = weights.where(~corners.isnan(), 0.0)
    sampled = (weights * corners.nan_to_num()).sum(0) / weights.sum(0)
    inside = (u >= 0) & (u <= width) & (v >= 0) & (v <= height)
    return sampled.where(inside & ~at(v.floor(), u.floor()).isnan(), torch.nan)


def absolute_correlation(predicted: Float[Tensor, "n k"], true: Float[Tensor, "n k"]) -> Float[Tensor, "k"]:
    """|Pearson correlation| along the first dimension over the pairs that are known; NaN where one side is constant."""
    known = ~(predicted.isnan() | true.isnan())

    def centred(values: Tensor) -> Tensor:
        values = values.double().where(known, 0.0)
        deviation = (values - values.sum(0) / known.sum(0)).where(known, 0.0)
        constant = deviation.abs().amax(0) <= 1e-9 * values.abs().amax(0)  # but for rounding
        return deviation.where(~constant, torch.nan)

    a, b = centred(predicted), centred(true)
    return (a * b).sum(0).abs() / (a.square().sum(0) * b.square().sum(0)).sqrt()


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
