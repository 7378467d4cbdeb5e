"""Compares what a method makes of photos with the truth that they hold, beside what knows nothing of the picture.

Figures have the names that tables print: `SIDE` in units of 1e-2, `MAD` (between normals) and yaws in degrees, shares
in [0, 1]. The two trivial baselines are scored on the same pixels as the method: constant depth, and the per-pixel mean
of the training depths. `SIDE` and `MAD` leave out what the method does not cover, as the paper does; `SIDE, filled`
and `MAD, filled` count it as constant depth. What the figures of landmarks and symmetry are is in docs/conventions.md.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unflat.data.kinds import Photos
from unflat.evaluation.figures import Evaluation, mean_of
from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import euler_from_rotation
from unflat.method import Method, Prediction, predictions
from unflat.metrics.depth import absolute_correlation, depth_scores, filled, landmark_depth, yaw_slope
from unflat.metrics.ranking import average_precision

OBSERVABLE = 1.7
"""degrees of yaw spread, under which photos do not show shape (measured: docs/LOG.md)"""
FIELD_OF_VIEW = math.radians(10)
FACE_LANDMARKS = 68
NOSE_TIP, AROUND_THE_NOSE = 30, (36, 45, 48, 54)
"""of the landmarks of a face; around it, the outer corners of the eyes and of the mouth"""


@dataclass
class _Seen:
    """What is gathered piece by piece."""

    per_image: dict[str, list[Tensor]] = field(default_factory=dict)
    yaw: list[Tensor] = field(default_factory=list)
    landmarks: list[Tensor] = field(default_factory=list)
    """[4 b k]: depth at each landmark as predicted, true, and average, and the landmark's own"""

    def add(self, scores: Mapping[str, Tensor]) -> None:
        for name, values in scores.items():
            self.per_image.setdefault(name, []).append(values.detach().double().cpu())


def evaluate_photos(
    method: Method, photos: Photos, *, average: Float[Tensor, "h w"] | None = None, piece: int = 64
) -> Evaluation:
    """The figures of `method` on `photos`, as far as their truth goes.

    `average` is the mean depth of the training set (see `average_depth`); without it, that of `photos`.
    """
    if len(photos) == 0:
        raise ValueError("there are no pictures to evaluate")
    method.check(photos)
    if average is None:
        average = average_depth(photos)
    seen = _Seen()
    for part, prediction in predictions(method, photos, piece):
        seen.add(_appearance(prediction, part))
        if prediction.depth is not None and part.depth is not None and average is not None:
            seen.add(_shape(prediction.depth.cpu(), part, average))
            if part.landmarks is not None:
                seen.landmarks.append(_at_landmarks(prediction.depth.cpu(), part, average))
        if prediction.confidence is not None and part.asymmetric is not None:
            seen.add(_symmetry(prediction.confidence.cpu(), part, part.asymmetric))
        if prediction.cameras is not None:
            seen.yaw.append(euler_from_rotation(prediction.cameras.camera_from_world.rotation.cpu())[:, 1])
    per_image = {name: torch.cat(values).numpy() for name, values in seen.per_image.items()}
    figures = {name: mean_of(values) for name, values in per_image.items()}
    if "SIDE" in figures:
        figures |= _shares(per_image, figures)
    if seen.landmarks:
        figures |= _landmarks(torch.cat(seen.landmarks, 1))
    if seen.yaw:
        figures |= _view(torch.cat(seen.yaw), photos)
    return Evaluation(figures, per_image, tuple(photos.names), _warnings(figures))


def average_depth(photos: Photos, piece: int = 512) -> Float[Tensor, "h w"] | None:
    """The mean depth at every pixel over the pictures that have the object there; None if the depth is not known.

    Pixels that never show the object take the mean of the others.
    """
    if photos.depth is None:
        return None
    total, count = np.zeros(photos.depth.shape[1:]), np.zeros(photos.depth.shape[1:])
    for start in range(0, len(photos), piece):
        depth = np.asarray(photos.depth[start : start + piece], dtype=np.float64)
        total += np.nansum(depth, 0)
        count += (~np.isnan(depth)).sum(0)
    mean = total / np.maximum(count, 1)
    mean[count == 0] = mean[count > 0].mean() if (count > 0).any() else 1.0
    return torch.from_numpy(mean)


def _appearance(prediction: Prediction, photos: Photos) -> dict[str, Tensor]:
    """How the picture is explained: mean absolute difference of colours where the object is, and how much that is."""
    known = torch.ones(photos.rgb.shape[:3], dtype=torch.bool)
    if prediction.opacity is not None:
        known = prediction.opacity.cpu() >= 0.5
    scores = {"seen": known.double().mean((1, 2))}
    if prediction.rgb is not None:
        error = (prediction.rgb.cpu().double() - torch.tensor(np.asarray(photos.rgb)) / 255).abs().mean(-1)
        scores["reconstruction"] = error.where(known, 0.0).sum((1, 2)) / known.sum((1, 2))
    return scores


def _shape(depth: Float[Tensor, "b h w"], photos: Photos, average: Float[Tensor, "h w"]) -> dict[str, Tensor]:
    """Depth against its truth, and the baselines on the same pixels."""
    truth = torch.tensor(np.asarray(photos.depth), dtype=torch.float64)
    camera = Pinhole.across_centres(truth.shape[-1], photos.field_of_view or FIELD_OF_VIEW)
    ours = depth_scores(depth, truth, camera)
    where = depth.isnan()
    constant = depth_scores(torch.ones_like(truth).masked_fill(where, torch.nan), truth, camera)
    mean = depth_scores(average.expand_as(truth).masked_fill(where, torch.nan), truth, camera)
    scores = {"SIDE": 100 * ours.side, "MAD": ours.mad, "coverage": ours.coverage, "MAE": ours.mae}
    scores |= {"SIDE, average depth": 100 * mean.side, "MAD, average depth": mean.mad}
    scores |= {"SIDE, constant depth": 100 * constant.side, "MAD, constant depth": constant.mad}
    everywhere = (filled(depth), average.expand_as(truth), torch.ones_like(truth))
    for suffix, whole in zip(("", ", average depth", ", constant depth"), everywhere, strict=True):
        over_all = depth_scores(whole, truth, camera)
        scores |= {f"SIDE, filled{suffix}": 100 * over_all.side, f"MAD, filled{suffix}": over_all.mad}
    return scores | {"SIDE of the twin": 100 * ours.side_twin, "MAD of the twin": ours.mad_twin}


def _at_landmarks(
    depth: Float[Tensor, "b h w"], photos: Photos, average: Float[Tensor, "h w"]
) -> Float[Tensor, "4 b k"]:
    """Depth at the landmarks: predicted, of the true depth map, of the average, and the landmarks' own."""
    landmarks = torch.tensor(np.asarray(photos.landmarks), dtype=torch.float64)
    maps = (depth, torch.tensor(np.asarray(photos.depth)), average.expand_as(depth))
    return torch.stack([*(landmark_depth(one.double(), landmarks) for one in maps), landmarks[..., 2]])


def _landmarks(depths: Float[Tensor, "4 n k"]) -> dict[str, float]:
    """Keypoint-depth correlation (the 3DFAW table of Unsup3D): the sum over landmarks as published, and their mean.

    What cannot be correlated, such as a constant, counts as 0.
    """
    predicted, of_truth, of_average, true = depths
    random = torch.rand(true.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def mean(sampled: Float[Tensor, "n k"]) -> float:
        return float(absolute_correlation(sampled, true).nan_to_num(0.0).mean())

    name, compared = "landmark correlation", float((~predicted.isnan()).double().mean())
    figures = {name: mean(predicted), f"{name}, sum": mean(predicted) * true.shape[1], "landmarks compared": compared}
    if true.shape[1] == FACE_LANDMARKS:
        agreement = _nose_height(predicted) * _nose_height(true)
        figures["noses outwards"] = mean_of((agreement > 0).double().where(~agreement.isnan(), torch.nan).numpy())
    baselines = {"ground truth": of_truth, "average depth": of_average, "random": random}
    return figures | {f"{name}, {baseline}": mean(sampled) for baseline, sampled in baselines.items()}


def _nose_height(depth: Float[Tensor, "n 68"]) -> Float[Tensor, "n"]:
    """How much nearer the tip of the nose is than what is around it; NaN where any of it is not seen."""
    return depth[:, AROUND_THE_NOSE].mean(1) - depth[:, NOSE_TIP]


def _symmetry(
    confidence: Float[Tensor, "b h w"], photos: Photos, asymmetric: Bool[np.ndarray, "b h w"]
) -> dict[str, Tensor]:
    """Average precision with which low confidence finds what is not symmetric, over the object's pixels.

    Beside it, that of the difference between the photo and its mirror image, and of chance.
    """
    rgb = np.asarray(photos.rgb).astype(np.float64)
    difference = np.abs(rgb - rgb[:, :, ::-1]).mean(-1)
    seen = np.ones(asymmetric.shape, bool)
    if photos.mask is not None or photos.depth is not None:
        seen = np.asarray(photos.mask) if photos.mask is not None else ~np.isnan(np.asarray(photos.depth))
    scores: dict[str, list[float]] = {}
    for i, where in enumerate(seen):
        wanted = np.asarray(asymmetric[i])[where]
        ranked = {"": 1 - confidence[i].double().numpy(), ", mirrored photo": difference[i]}
        for name, score in ranked.items():
            scores.setdefault(f"symmetry AP{name}", []).append(average_precision(score[where], wanted))
        share = float(wanted.mean()) if wanted.any() else math.nan
        scores.setdefault("symmetry AP, chance", []).append(share)
    return {name: torch.tensor(values, dtype=torch.float64) for name, values in scores.items()}


def _shares(per_image: Mapping[str, np.ndarray], figures: Mapping[str, float]) -> dict[str, float]:
    """How often the relief is the right way out, and errors as shares of the baselines'."""
    scored = ~np.isnan(per_image["SIDE"])
    better = (per_image["SIDE"] < per_image["SIDE of the twin"])[scored]
    bulging = (per_image["MAD"] < per_image["MAD of the twin"])[scored]
    shares = {"scored": float(scored.mean()), "better than the twin": mean_of(better), "bulging": mean_of(bulging)}
    for metric in ("SIDE", "MAD", "SIDE, filled", "MAD, filled"):
        for baseline in ("average depth", "constant depth"):
            shares[f"{metric} / {baseline}"] = figures[metric] / max(figures[f"{metric}, {baseline}"], 1e-12)
    return shares


def _view(yaw: Float[Tensor, "n"], photos: Photos) -> dict[str, float]:
    """How far the views are apart, and how they follow the true ones."""
    figures = {"yaw spread": float(yaw.double().rad2deg().std(correction=0))}
    if photos.view is None or len(yaw) < 2:
        return figures
    true = torch.tensor(np.asarray(photos.view))[:, 1]
    agreement = yaw_slope(yaw, true)
    figures["true yaw spread"] = float(true.double().rad2deg().std(correction=0))
    return {**figures, "yaw correlation": agreement.correlation, "yaw slope": agreement.slope}


def _warnings(figures: Mapping[str, float]) -> tuple[str, ...]:
    found = []
    if figures.get("yaw spread", math.inf) < OBSERVABLE:
        found.append(
            f"the viewpoints found are within {figures['yaw spread']:.1f} degrees of yaw (standard deviation): shape "
            "cannot be seen from photos that all look from one side, or it has not been learned yet"
        )
    if figures.get("better than the twin", 1.0) < 0.5:
        found.append(
            f"turned inside out, the relief is nearer to the truth on {1 - figures['better than the twin']:.0%} of the "
            "pictures: the solution is inverted; train again with another seed"
        )
    if figures.get("scored", 1.0) < 1:
        found.append(f"{1 - figures['scored']:.1%} of the pictures have no pixel that could be compared")
    return tuple(found)
