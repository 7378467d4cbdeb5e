"""Unsup3D: depth, albedo, light and viewpoint of a photo, learned from photos alone.

S. Wu, C. Rupprecht, A. Vedaldi. Unsupervised Learning of Probably Symmetric Deformable 3D Objects
from Images in the Wild. CVPR 2020. Equation numbers are the paper's.

A photo is explained as a relief with an albedo, lit by one light, seen from one viewpoint. The relief and the albedo
are asked to explain it mirrored as well (eq. 4); where a mirror cannot explain it, the predicted confidence says so
(eq. 3). Differences from the paper, each with its reason, are in docs/methods/unsup3d.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from unflat.data.batches import PhotoBatch, shuffled
from unflat.data.kinds import Extent, Photos
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.constants import constant
from unflat.geometry.depth import normals_of
from unflat.geometry.meshes import relief_mesh
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.losses.depth import scale_free_l1
from unflat.losses.perceptual import perceptual_nll
from unflat.losses.photometric import laplacian_nll
from unflat.losses.smoothness import total_variation
from unflat.losses.views import Drift, other_view, past_range, turned_apart, turned_weight
from unflat.method import Group, Losses, Method, Prediction, Symptom, parameters_of
from unflat.networks.factors import FactorNetworks
from unflat.networks.features import FeatureNetwork, feature_network
from unflat.networks.relief_head import ReliefHead
from unflat.rendering.relief import Seen, outside, sample_canonical, see_relief, turn_photo
from unflat.rendering.shading import Light, lambertian
from unflat.training.experiment import Experiment, Row
from unflat.training.fitting import fitted_to_photos
from unflat.training.settings import Training
from unflat.training.watch import RELIEF_SYMPTOMS
from unflat.worlds.faces import Faces
from unflat.worlds.patched import Patched

Without = Literal["albedo_flip", "depth_flip", "light", "confidence", "photos", "level", "centre", "range"]


@dataclass(frozen=True)
class Config:
    """The paper's settings for faces. `small()` at the end of the file is for two cores."""

    width: int = 64
    """channels of the first convolution; light and view networks take half"""
    code: int = 256
    """length of the codes of depth, albedo, light and view; confidence takes half"""
    shared: bool = False
    """one encoder for all five networks, smaller last convolutions (ours, cheaper) instead of one each (the paper)"""
    stride: int = 1
    """the networks see and make maps this many times coarser than the photo; maps are interpolated (ours)"""
    depth_stride: int = 1
    """the same for depth alone: a smoother relief, which is found sooner (ours)"""
    batch_size: int = 64
    """photos a step"""
    field_of_view: float = 10.0
    """of the camera, degrees, from the first pixel's centre to the last one's"""
    depth_range: tuple[float, float] = (0.9, 1.1)
    """d_min and d_max; the object stands at distance 1 and turns about (0, 0, 1)"""
    border_depth: float = 0.7
    """where the relief's left and right borders are held, from 0 (d_min) to 1 (d_max)"""
    turn_range: float = 60.0
    """largest pitch, yaw and roll, degrees"""
    shift_range: tuple[float, float, float] = (0.1, 0.1, 0.0)
    """largest shift along x, y, z, in units of depth"""
    ambient_range: tuple[float, float] = (0.0, 1.0)
    """k_s, the weight of ambient light"""
    diffuse_range: tuple[float, float] = (0.0, 1.0)
    """k_d, the weight of diffuse light"""
    flip_weight: float = 0.5
    """lambda_f, the weight of the mirrored reconstruction (eq. 5)"""
    warmup: int = 2000
    """steps in which the mirrored weight falls from 1 to lambda_f and sigma goes from constant to predicted"""
    features: str = ""
    """feature network of the perceptual loss: '' for none, 'self' to train one here, or weights, e.g. vgg16:FOLDER"""
    perceptual_weight: float = 1.0
    """lambda_p (eq. 8); counts only where there is a feature network"""
    smoothness_weight: float = 0.0
    """lambda_s, on the depth before its borders are held"""
    coverage_weight: float = 0.5
    """weight of the share of the photo that the turned relief no longer covers (ours)"""
    bump: float = 0.3
    """depth of the paraboloid added to the raw depth, so that learning starts convex (ours)"""
    turn_weight: float = 0.0
    """weight of seeing by how much a photo was turned that we turned ourselves, about its own relief; up to 1.6 times
    as much at first. Above 0 views are held as well: level on average, about a fixed centre, and, before tanh, from
    going past 1, 76 % of `turn_range` (ours)"""
    rates: tuple[float, float] = (1.0, 1.0)
    """learning rates of the view and of the depth network, times that of the others (ours)"""
    decay: float = 5e-4
    """weight decay, L2 in the gradient: in the released settings, not in the paper"""
    cues: frozenset[Literal["mask", "depth", "view"]] = field(default_factory=frozenset)
    """what is known beside the photos and helps (ours): masks (the background is not explained), depth, views"""
    without: frozenset[Without] = field(default_factory=frozenset)
    """parts left out, for the paper's ablations; without "photos", cues alone teach (the supervised baseline); without
    "level" photos may be taken from above or from below on average, without "centre" shifts may follow turns, without
    "range" turns may go to the end of theirs"""


SIGMA_RANGE = (0.01, 10.0)  # eq. 3 has no lower bound as sigma falls
TURNED_BY = (0.2, 0.35)  # standard deviations of the pitch and the yaw by which we turn photos, radians
DEPTH_CUE = 20.0  # weight of known depth: log depth differs by hundredths
FIRST_SIGMA = 0.3  # the constant sigma of the first steps
CHECK_EVERY, INVERT_EVERY = 50, 1000  # steps between two looks at whether reliefs bulge, and between two cures


class Factors(NamedTuple):
    """What photos are made of. Maps stand in the canonical frame, in which the object is frontal and symmetric."""

    depth: Float[Tensor, "b h w"]
    """along z, in [d_min, d_max], with its borders held"""
    free_depth: Float[Tensor, "b i j"]
    """in units of d_max - d_min, as predicted: before interpolation and before the borders are held"""
    albedo: Float[Tensor, "b 3 h w"]
    """in [0, 1]"""
    light: Light
    """in the canonical frame"""
    shading: Float[Tensor, "b h w"] | None
    """predicted instead of light, only `without={"light"}`"""
    view: Float[Tensor, "b 6"]
    """turns about x, y, z in radians, then the shift"""
    free_view: Float[Tensor, "b 6"]
    """as predicted: before tanh and the ranges"""
    sigma: Float[Tensor, "b 2 h w"]
    """standard deviation of the plain and of the mirrored reconstruction, in the photo's frame"""
    feature_sigma: Float[Tensor, "b 2 i j"]
    """the same for features"""

    @property
    def view_from_canonical(self) -> Rigid:
        return Rigid.about(constant(0, 0, 1, like=self.view), rotation_from_euler(self.view[:, :3]), self.view[:, 3:])


GIVES = (
    "rgb", "depth", "normals", "albedo", "shading", "opacity", "confidence", "light", "cameras", "mesh", "canonical",
)  # fmt: skip


class Unsup3D(Method, config=Config, takes=Photos, gives=GIVES):
    """Depth, albedo, light and view of photos of one kind of probably symmetric object."""

    features: FeatureNetwork

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        height, size = extent.size
        if height != size:
            raise ValueError(f"Unsup3D needs square photos, but these are {size} x {height} px; crop them")
        self.camera = Pinhole.across_centres(size, math.radians(config.field_of_view))
        self.networks = FactorNetworks(
            size, config.stride, config.depth_stride, config.width, config.code,
            shared=config.shared, shading="light" in config.without,
        )  # fmt: skip
        relief = config.depth_stride, config.depth_range, config.border_depth, config.bump
        self.relief = ReliefHead(size, *relief, upright="view" not in config.cues)
        self.drift, self.features = Drift(), feature_network(config.features)

    # -- what a photo is made of (section 3.1, figure 2) ---------------------------------------------------------------

    def factors(self, photo: Float[Tensor, "b 3 h w"]) -> Factors:
        """Explain photos: the five networks, and the ranges of what they say."""
        raw = self.networks(photo)
        sigma, feature_sigma = (softplus(scale).clamp(*SIGMA_RANGE) for scale in raw.confidence)
        free_depth, depth = self.relief(raw.depth[:, 0])
        return Factors(
            depth, free_depth,
            albedo=torch.tanh(raw.albedo) / 2 + 0.5,
            light=Light.tilted(torch.tanh(raw.light), self.config.ambient_range, self.config.diffuse_range),
            shading=None if raw.shading is None else softplus(raw.shading)[:, 0],
            view=self.view_from(raw.view), free_view=raw.view, sigma=sigma, feature_sigma=feature_sigma,
        )  # fmt: skip

    def view_from(self, raw: Float[Tensor, "b 6"]) -> Float[Tensor, "b 6"]:
        """Turns in radians and shifts, in their ranges."""
        turn = math.radians(self.config.turn_range)
        return torch.tanh(raw) * constant(turn, turn, turn, *self.config.shift_range, like=raw)

    # -- the photo again (sections 3.1 and 3.3) ------------------------------------------------------------------------

    def shade(self, factors: Factors) -> Float[Tensor, "b h w"]:
        """ambient + diffuse * max(0, n . l) on the canonical relief."""
        if factors.shading is not None:
            return factors.shading
        return lambertian(normals_of(factors.depth, self.camera), factors.light)

    def reconstruct(self, factors: Factors) -> tuple[Float[Tensor, "b 3 h w"], Seen]:
        """The photo from its factors (eq. 1, 2)."""
        seen = see_relief(factors.depth, factors.view_from_canonical, self.camera, self.relief.far)
        return sample_canonical(factors.albedo * self.shade(factors)[:, None], seen.canonical), seen

    def with_mirrored(self, factors: Factors) -> Factors:
        """The factors, and after them their mirror images under the same light and view (eq. 4)."""
        twice = torch.arange(2 * len(factors.view), device=factors.view.device) % len(factors.view)

        def pair(maps: Tensor, name: Without) -> Tensor:
            return torch.cat([maps, maps if name in self.config.without else maps.flip(-1)])

        return factors._replace(
            depth=pair(factors.depth, "depth_flip"), albedo=pair(factors.albedo, "albedo_flip"),
            light=factors.light[twice], shading=None if factors.shading is None else factors.shading[twice],
            view=factors.view[twice],
        )  # fmt: skip

    # -- what is minimised (sections 3.2 and 3.4) ----------------------------------------------------------------------

    def losses(self, batch: PhotoBatch, step: int) -> Losses:
        config, photo = self.config, batch.photo
        warm = min(step / max(config.warmup, 1), 1.0)
        factors = self.factors(photo)
        with torch.autocast(photo.device.type, enabled=False):  # geometry stays float32
            images, seen = self.reconstruct(self.with_mirrored(factors))
            plain, (mask, mask_mirrored) = images[: len(photo)], seen.mask.chunk(2)
            covered = mask & mask_mirrored
            explained = covered & batch.known("mask") if "mask" in config.cues else covered
            terms = {"coverage": config.coverage_weight * outside(factors.view_from_canonical, self.camera)}
            if "photos" not in config.without:
                terms |= self.likelihood(factors, photo, images, explained, warm)
            if "depth" in config.cues:
                terms["depth"] = DEPTH_CUE * scale_free_l1(seen.depth[: len(photo)], batch.known("depth"), mask)
            if "view" in config.cues:
                terms["view"] = (factors.view - batch.known("view")).abs().mean()
        if config.turn_weight and "view" not in config.cues:  # known, a view need not be found
            held = self.drift(factors.view, warm) | {"range": past_range(factors.free_view[:, :3])}
            terms |= {name: term for name, term in held.items() if name not in config.without}
            terms["turned"] = config.turn_weight * turned_weight(step, config.warmup) * self.turn_error(factors, photo)
        error = (plain - photo).detach().abs().mean(1).where(explained, 0.0).sum() / explained.sum()
        if step % CHECK_EVERY == 0:
            self.relief.watch(factors.free_depth)  # for `update`
        return Losses(terms, self.figures(factors, error, covered))

    def likelihood(self, factors: Factors, photo: Tensor, both: Tensor, mask: Tensor, warm: float) -> dict[str, Tensor]:
        """How badly the images, plain and then mirrored, explain the photo (eq. 3 to 8), and what holds the relief."""
        config, flip_weight = self.config, 1 + (self.config.flip_weight - 1) * warm
        (plain, mirrored), (sigma, sigma_mirrored) = both.chunk(2), self.warmed(factors.sigma, warm).unbind(1)
        terms = {  # the paper's colours are in [-1, 1]: twice ours
            "photometric": laplacian_nll(2 * plain, 2 * photo, sigma, mask),  # eq. 3
            "mirrored": flip_weight * laplacian_nll(2 * mirrored, 2 * photo, sigma_mirrored, mask),
            "smoothness": config.smoothness_weight * total_variation(factors.free_depth),
        }
        if config.features:
            scales = self.warmed(factors.feature_sigma, warm, flat=math.sqrt(1 / 2)).unbind(1)
            plain_nll, mirrored_nll = perceptual_nll(self.features, (plain, mirrored), photo, scales, mask)  # eq. 7
            terms["features"] = config.perceptual_weight * (plain_nll + flip_weight * mirrored_nll)
        return terms

    def turn_error(self, factors: Factors, photo: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
        """How far off the views of photos are found that we turn about their own reliefs: what turns should look like
        is known long before albedo is sharp enough to show it. The view nearer the mean teaches the other one."""
        other = factors._replace(view=other_view(factors.view, TURNED_BY, math.radians(self.config.turn_range)))
        views = factors.view_from_canonical, other.view_from_canonical
        turned = turn_photo(photo, factors.depth, *views, self.camera, self.relief.far)
        return turned_apart(photo=factors.view, turned=other.view, found=self.view_from(self.networks.view_of(turned)))

    def warmed(self, sigma: Float[Tensor, "b 2 h w"], warm: float, flat: float = math.sqrt(2)) -> Tensor:
        """Sigma as predicted; geometrically mixed with a constant during the warm-up. Without confidence it is `flat`:
        sqrt(2) makes eq. 3 the mean of |error|, sqrt(1/2) makes eq. 7 the mean of its square."""
        mixed = sigma**warm * FIRST_SIGMA ** (1 - warm)
        return torch.full_like(sigma, flat) if "confidence" in self.config.without else mixed

    @torch.no_grad()
    def figures(self, factors: Factors, error: Tensor, covered: Tensor) -> dict[str, Tensor]:
        """What the log shows beside the losses."""
        spread, convexity = factors.view[:, 1].rad2deg().std(correction=0), self.relief.convexity.clone()
        figures = {"error": error, "coverage": covered.float().mean(), "relief": factors.free_depth.std((1, 2)).mean()}
        return figures | {"yaw spread": spread, "convexity": convexity}

    # -- the inside-out twin, which shows nearly the same picture (docs/methods/unsup3d.md) ----------------------------

    def update(self, step: int) -> bool:
        """Leave the concave twin, if learning is there after the warm-up: weights and bump change their signs."""
        if inverted := step >= self.config.warmup and step % INVERT_EVERY == 0 and bool(self.relief.convexity < 0):
            self.networks.turn_inside_out()
            self.relief.turn_inside_out()
            self.drift.turn_inside_out()
        return inverted

    # -- training and prediction ---------------------------------------------------------------------------------------

    def prepare(self, data: Photos) -> None:
        self.features.prepare(data.rgb)

    def batches(self, data: Photos, step: int, seed: int) -> Iterator[PhotoBatch]:
        return shuffled(data, self.config.batch_size, seed=seed, start=step, flip=True)

    def parameter_groups(self) -> list[Group]:
        rates = dict(zip(("view", "depth"), self.config.rates, strict=True))
        parts = ((rates.get(name, 1.0), parameters_of([part])) for name, part in self.networks.named_children())
        return [Group(held, rate=rate, decay=self.config.decay) for rate, held in parts if held]

    def symptoms(self) -> tuple[Symptom, ...]:
        return () if "photos" in self.config.without else RELIEF_SYMPTOMS

    @classmethod
    def suited(cls, experiment: Experiment, data: Photos, started: bool = False) -> tuple[Experiment, dict[str, str]]:
        return fitted_to_photos(experiment, data, started)

    def predict(self, photos: Photos) -> Prediction:
        photo = torch.tensor(photos.rgb, device=self.device).permute(0, 3, 1, 2).float() / 255
        factors = self.factors(photo)
        image, seen = self.reconstruct(factors)
        shading, view = self.shade(factors), factors.view_from_canonical
        depth = seen.depth.where(seen.mask, torch.nan)
        in_view = sample_canonical(torch.cat([factors.albedo, shading[:, None]], 1), seen.canonical)
        shaded = _last(factors.albedo * shading[:, None]).clamp(0, 1)
        canonical = Prediction(
            rgb=shaded, depth=factors.depth, normals=normals_of(factors.depth, self.camera),
            albedo=_last(factors.albedo), shading=shading, light=factors.light,
        )  # fmt: skip
        return Prediction(
            rgb=_last(image.clamp(0, 1)), depth=depth, normals=normals_of(depth, self.camera),
            albedo=_last(in_view[:, :3]), shading=in_view[:, 3], opacity=seen.mask.float(),
            confidence=1 / (1 + factors.sigma[:, 1]), light=factors.light.turned(view),
            cameras=Cameras(self.camera, view), canonical=canonical,
            mesh=tuple(relief_mesh(one, self.camera, paint) for one, paint in zip(factors.depth, shaded, strict=True)),
        )  # fmt: skip


def _last(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w c"]:
    return maps.permute(0, 2, 3, 1)


# The experiments: data, settings and the published figure, as the paper's tables are its last section. The rows are
# asked for as EXPERIMENT/ROW, such as small/no_light.

SUPERVISED = {"cues": {"depth"}, "without": {"photos"}, "features": "", "turn_weight": 0.0, "rates": (1.0, 1.0)}
ROWS: dict[str, Row] = {
    "supervised": Row("supervised", SUPERVISED, published={"SIDE": 0.41, "MAD": 10.78}),
    "constant_depth": Row("constant depth", published={"SIDE": 2.723, "MAD": 43.34}, baseline="constant depth"),
    "average_depth": Row("average depth", published={"SIDE": 1.990, "MAD": 23.26}, baseline="average depth"),
    "full": Row("full", published={"SIDE": 0.793, "MAD": 16.51}),
    "no_albedo_flip": Row("no albedo flip", {"without": {"albedo_flip"}}, published={"SIDE": 2.916, "MAD": 39.04}),
    "no_depth_flip": Row("no depth flip", {"without": {"depth_flip"}}, published={"SIDE": 1.139, "MAD": 27.06}),
    "no_light": Row("no light", {"without": {"light"}}, published={"SIDE": 2.406, "MAD": 41.64}),
    "no_perceptual_loss": Row("no perceptual loss", {"features": ""}, published={"SIDE": 0.931, "MAD": 17.90}),
    "self_supervised": Row("self-supervised features", {"features": "self"}, published={"SIDE": 0.815, "MAD": 15.88}),
    "no_confidence": Row("no confidence", {"without": {"confidence"}}, published={"SIDE": 0.829, "MAD": 16.39}),
    "perturbed_no_confidence": Row("patches, no confidence", {"without": {"confidence"}}, data=Patched),
    "perturbed_confidence": Row("patches, confidence", data=Patched),
}


def faces() -> Experiment:
    """Table 2, the row without perceptual loss, on our generated faces: the full recipe, for a GPU.

    The ratios are the paper's; its faces come from a model that may not be redistributed.
    """
    published = {"SIDE / average depth": 0.47, "SIDE / constant depth": 0.34}
    published |= {"MAD / average depth": 0.77, "MAD / constant depth": 0.41}
    return replace(_faces(Config(), Training(steps=50_000, rate=1e-4), 160_000, 64), published=published)


def small() -> Experiment:
    """The same on two cores in a quarter of an hour: one narrow encoder for all, on half the grid, batches of 16.

    Shifts have the range of the generated faces'; photos of one's own get more (`fitted_to_photos`).
    """
    config = Config(
        width=16, code=128, shared=True, stride=2, depth_stride=2, batch_size=16, warmup=1500, rates=(10.0, 0.03),
        depth_range=(0.923, 1.063), border_depth=1.0, bump=1.7, shift_range=(0.002, 0.002, 0.0), features="self",
        smoothness_weight=0.005, coverage_weight=0.1, turn_weight=1.1, decay=0.0,
    )  # fmt: skip
    training = Training(steps=3_500, rate=5e-4, schedule="linear", hold=0.5, clip=1.0, ema=0.999)
    return _faces(config, training, 20_000, 64)


def tiny() -> Experiment:
    """A few steps on a few pictures: shows that everything runs, learns nothing."""
    training = Training(steps=3, rate=5e-4, log_every=1, sample_every=3, validate_every=3, save_every=2)
    return _faces(Config(width=8, code=16, shared=True, batch_size=4, warmup=2), training, 8, 32)


def _faces(config: Config, training: Training, count: int, size: int) -> Experiment:
    test = Faces(min(count // 2, 1000), size, split="test")
    validation = Faces(min(count // 2, 256), size, split="val")
    return Experiment(Unsup3D, config, training, Faces(count, size), validation, test)
