"""Unsup3D: depth, albedo, light and viewpoint of a photo, learned from photos alone.

S. Wu, C. Rupprecht, A. Vedaldi. Unsupervised Learning of Probably Symmetric Deformable 3D Objects
from Images in the Wild. CVPR 2020. Equation numbers are the paper's.

A photo is explained as a relief with an albedo, lit by one light, seen from one viewpoint. The relief and the albedo
are asked to explain it mirrored as well (eq. 4); where a mirror cannot explain it, the predicted confidence says so
(eq. 3). Differences from the paper, each with its reason, are in docs/methods/unsup3d.md.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, softplus

from unflat.data.batches import PhotoBatch, shuffled
from unflat.data.kinds import Extent, Photos
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.depth import normals_of, paraboloid
from unflat.geometry.meshes import relief_mesh
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.losses.perceptual import gaussian_nll
from unflat.losses.photometric import laplacian_nll
from unflat.losses.smoothness import total_variation
from unflat.method import Group, Losses, Method, Prediction, parameters_of
from unflat.networks.convolution import Decoder, Encoder, Regressor, TwoScaleDecoder
from unflat.networks.features import FeatureNetwork, feature_network
from unflat.rendering.relief import Seen, outside, sample_canonical, see_relief
from unflat.rendering.shading import Light, lambertian
from unflat.training.experiment import Experiment
from unflat.training.settings import Training
from unflat.worlds.faces import Faces

Pair = tuple[Tensor, ...]  # of the plain and of the mirrored reconstruction
Without = Literal["albedo_flip", "depth_flip", "light", "confidence"]


@dataclass(frozen=True)
class Config:
    """The paper's settings for faces. `small()` at the end of the file is for two cores."""

    width: int = 64
    """channels of the first convolution; light and view networks take half"""
    code: int = 256
    """length of the codes of depth, albedo, light and view; confidence takes half"""
    shared: bool = False
    """one encoder for all five networks (cheaper) instead of one each (the paper)"""
    kernel: int = 5
    """side of the last two convolutions of each decoder, pixels"""
    depth_stride: int = 1
    """depth is predicted on a grid this many times coarser than the photo, and interpolated"""
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
    """height of the paraboloid added to the raw depth, so that learning starts convex (ours)"""
    view_rate: float = 1.0
    """learning rate of the view network, times that of the others (ours)"""
    decay: float = 5e-4
    """weight decay, L2 in the gradient: in the released settings, not in the paper"""
    signal: Literal["photometric", "depth"] = "photometric"
    """what is learned from: photos alone, or their true depth (the supervised baseline)"""
    without: frozenset[Without] = field(default_factory=frozenset)
    """parts left out, for the paper's ablations"""


SIGMA_RANGE = (0.01, 10.0)  # eq. 3 has no lower bound as sigma falls
FIRST_SIGMA = 0.3  # the constant sigma of the first steps
FIRST_RELIEF = 0.05  # factor on the first weights of the layer that makes depth
HELD_COLUMNS = 2  # columns of the relief held at the border depth, on either side
CHECK_EVERY, TURN_EVERY = 50, 1000  # steps between two looks at whether reliefs bulge, and between two cures
TWIN = (-1.0, -1.0, 1.0, 1.0, 1.0, -1.0)  # what turns a view into its inside-out twin's


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
    sigma: Float[Tensor, "b 2 h w"]
    """standard deviation of the plain and of the mirrored reconstruction, in the photo's frame"""
    feature_sigma: Float[Tensor, "b 2 i j"]
    """the same for features"""

    @property
    def view_from_canonical(self) -> Rigid:
        centre = self.view.new_tensor([0.0, 0.0, 1.0])
        return Rigid.about(centre, rotation_from_euler(self.view[:, :3]), self.view[:, 3:])


GIVES = (
    "rgb", "depth", "normals", "albedo", "shading", "opacity", "confidence", "light", "cameras", "mesh", "canonical",
)  # fmt: skip


class Unsup3D(Method, config=Config, takes=Photos, gives=GIVES):
    """Depth, albedo, light and view of photos of one kind of probably symmetric object."""

    features: FeatureNetwork
    bump: Tensor
    convexity: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        height, size = extent.size
        if height != size:
            raise ValueError(f"Unsup3D needs square photos, but these are {size} x {height} px; crop them")
        self.camera = Pinhole.across_centres(size, math.radians(config.field_of_view))
        width, code, grid = config.width, config.code, size // config.depth_stride
        half_width, half_code = (width, code) if config.shared else (width // 2, code // 2)

        def encoder(width: int, code: int, norm: bool = True) -> nn.Module:
            return nn.Identity() if config.shared else Encoder(size, width, code, norm=norm)

        def decoder(size: int, out: int) -> nn.Module:
            return nn.Sequential(encoder(width, code), Decoder(size, width, code, out, kernel=config.kernel))

        self.encoder = Encoder(size, width, code) if config.shared else nn.Identity()
        self.depth, self.albedo = decoder(grid, 1), decoder(size, 3)
        self.get_parameter("depth.1.last.weight").data *= FIRST_RELIEF  # the first relief is the bump
        self.light = nn.Sequential(encoder(half_width, code, norm=False), Regressor(code, 4, hidden=config.shared))
        self.view = nn.Sequential(encoder(half_width, code, norm=False), Regressor(code, 6, hidden=config.shared))
        two_maps = TwoScaleDecoder(size, width, half_code, 2, kernel=config.kernel)
        self.confidence = nn.Sequential(encoder(width, half_code), two_maps)
        self.shading = decoder(size, 1) if "light" in config.without else None
        self.features = feature_network(config.features)
        self.register_buffer("bump", config.bump * paraboloid(grid))
        self.register_buffer("convexity", torch.zeros(()))

    # -- what a photo is made of (section 3.1, figure 2) ---------------------------------------------------------------

    def factors(self, photo: Float[Tensor, "b 3 h w"]) -> Factors:
        """Explain photos: the five networks, and the ranges of what they say."""
        config = self.config
        code = self.encoder(photo * 2 - 1)
        view = torch.tanh(self.view(code).float())
        sigma, feature_sigma = (softplus(raw.float()).clamp(*SIGMA_RANGE) for raw in self.confidence(code))
        free_depth, depth = self.depth_from(self.depth(code)[:, 0].float())
        return Factors(
            depth, free_depth,
            albedo=torch.tanh(self.albedo(code).float()) / 2 + 0.5,
            light=Light.tilted(torch.tanh(self.light(code).float()), config.ambient_range, config.diffuse_range),
            shading=None if self.shading is None else softplus(self.shading(code)[:, 0].float()),
            view=view * view.new_tensor([math.radians(config.turn_range)] * 3 + [*config.shift_range]),
            sigma=sigma, feature_sigma=feature_sigma,
        )  # fmt: skip

    def depth_from(self, raw: Float[Tensor, "b i j"]) -> tuple[Float[Tensor, "b i j"], Float[Tensor, "b h w"]]:
        """Depth as share of its range, and the relief at the photo's size with its borders held."""
        near, far = self.config.depth_range
        raw = raw + self.bump  # convex, not its inside-out twin
        share = torch.tanh(raw - raw.mean((1, 2), keepdim=True)) / 2 + 0.5  # a global offset is the view's business
        depth = near + (far - near) * share
        if self.config.depth_stride > 1:  # bicubic overshoots
            depth = interpolate(depth[:, None], self.extent.size, mode="bicubic")[:, 0].clamp(near, far)
        held = near + (far - near) * self.config.border_depth
        return share, pad(depth[:, :, HELD_COLUMNS:-HELD_COLUMNS], (HELD_COLUMNS, HELD_COLUMNS), value=held)

    # -- the photo again (sections 3.1 and 3.3) ------------------------------------------------------------------------

    def shade(self, factors: Factors) -> Float[Tensor, "b h w"]:
        """ambient + diffuse * max(0, n . l) on the canonical relief."""
        if factors.shading is not None:
            return factors.shading
        return lambertian(normals_of(factors.depth, self.camera), factors.light)

    def reconstruct(self, factors: Factors, *, mirrored: bool) -> tuple[Float[Tensor, "b 3 h w"], Seen]:
        """The photo from its factors (eq. 1, 2), or from their mirror image under the same light and view (eq. 4)."""
        if mirrored and "depth_flip" not in self.config.without:
            factors = factors._replace(depth=factors.depth.flip(-1))
        if mirrored and "albedo_flip" not in self.config.without:
            factors = factors._replace(albedo=factors.albedo.flip(-1))
        seen = self.see(factors)
        return sample_canonical(factors.albedo * self.shade(factors)[:, None], seen.canonical), seen

    def see(self, factors: Factors) -> Seen:
        """The relief from its viewpoint; what lies half the range of depth behind it is not seen."""
        near, far = self.config.depth_range
        return see_relief(factors.depth, factors.view_from_canonical, self.camera, far=far + (far - near) / 2)

    # -- what is minimised (sections 3.2 and 3.4) ----------------------------------------------------------------------

    def losses(self, batch: PhotoBatch, step: int) -> Losses:
        factors = self.factors(batch.photo)
        with torch.autocast(batch.photo.device.type, enabled=False):  # geometry stays float32
            if self.config.signal == "depth":
                return self.supervised(factors, batch.depth)
            return self.unsupervised(factors, batch.photo, step)

    def unsupervised(self, factors: Factors, photo: Float[Tensor, "b 3 h w"], step: int) -> Losses:
        config = self.config
        warm = min(step / max(config.warmup, 1), 1.0)
        flip_weight = 1 + (config.flip_weight - 1) * warm
        plain, seen = self.reconstruct(factors, mirrored=False)
        mirrored, seen_mirrored = self.reconstruct(factors, mirrored=True)
        mask = seen.mask & seen_mirrored.mask
        sigma, sigma_mirrored = self.warmed(factors.sigma, warm).unbind(1)
        terms = {  # the paper's colours are in [-1, 1]: twice ours
            "photometric": laplacian_nll(2 * plain, 2 * photo, sigma, mask),  # eq. 3
            "mirrored": flip_weight * laplacian_nll(2 * mirrored, 2 * photo, sigma_mirrored, mask),
            "smoothness": config.smoothness_weight * total_variation(factors.free_depth),
            "coverage": config.coverage_weight * outside(factors.view_from_canonical, self.camera),
        }
        if config.features:
            scales = self.warmed(factors.feature_sigma, warm).unbind(1)
            plain_nll, mirrored_nll = self.perceptual((plain, mirrored), photo, scales, mask)
            terms["features"] = config.perceptual_weight * (plain_nll + flip_weight * mirrored_nll)
        return Losses(terms, self.figures(factors, photo, plain, mask, step))

    def perceptual(self, images: Pair, photo: Tensor, scales: Pair, mask: Tensor) -> list[Tensor]:
        """Features instead of pixels (eq. 7). Outside the mask both pictures show the photo."""
        with torch.no_grad():
            target = self.features(photo)
        shown = (self.features(torch.where(mask[:, None], image, photo)) for image in images)
        return [gaussian_nll(f, target, sigma, mask.float()) for f, sigma in zip(shown, scales, strict=True)]

    def warmed(self, sigma: Float[Tensor, "b 2 h w"], warm: float) -> Float[Tensor, "b 2 h w"]:
        """Sigma as predicted; geometrically mixed with a constant during the warm-up."""
        plain_mean = torch.full_like(sigma, math.sqrt(2))  # with which eq. 3 is the mean of |error|
        return plain_mean if "confidence" in self.config.without else sigma**warm * FIRST_SIGMA ** (1 - warm)

    def supervised(self, factors: Factors, truth: Float[Tensor, "b h w"] | None) -> Losses:
        """The paper's supervised baseline: the same networks, taught the true depth."""
        if truth is None:
            raise ValueError('signal="depth" needs photos with true depth beside them')
        seen = self.see(factors)
        error = (seen.depth - truth.nan_to_num(1.0)).abs().where(seen.mask & ~truth.isnan(), 0.0).mean()
        return Losses({"depth": error}, {"coverage": seen.mask.float().mean()})

    @torch.no_grad()
    def figures(self, factors: Factors, photo: Tensor, plain: Tensor, mask: Tensor, step: int) -> dict[str, Tensor]:
        """What the log shows beside the losses."""
        figures = {"error": (plain - photo).abs().mean(1)[mask].mean(), "coverage": mask.float().mean()}
        figures["yaw spread"] = factors.view[:, 1].rad2deg().std(correction=0)
        if step % CHECK_EVERY == 0:
            bowl = paraboloid(factors.free_depth.shape[-1]).to(photo)
            self.convexity.lerp_((factors.free_depth * bowl).mean().nan_to_num(), 0.2)
            figures["convexity"] = self.convexity.clone()
        return figures

    # -- the inside-out twin, which shows nearly the same picture (docs/methods/unsup3d.md) ----------------------------

    def update(self, step: int) -> bool:
        """Leave the concave twin, if learning is there after the warm-up."""
        if inverted := step >= self.config.warmup and step % TURN_EVERY == 0 and bool(self.convexity < 0):
            warnings.warn(f"the reliefs were inside out at step {step}: turned the right way", stacklevel=2)
            self.turn_inside_out()
        return inverted

    @torch.no_grad()
    def turn_inside_out(self) -> None:
        """Exchange the solution for its exact twin, by the signs of the last layers' weights and of the bump."""
        self.get_parameter("depth.1.last.weight").neg_()
        self.bump.neg_()
        for layer, signs in (("view", TWIN), ("light", (1.0, 1.0, -1.0, -1.0))):
            for name in ("weight", "bias"):
                parameter = self.get_parameter(f"{layer}.1.last.{name}")
                parameter.mul_(parameter.new_tensor(signs).view(-1, *[1] * (parameter.ndim - 1)))
        self.convexity.neg_()

    # -- training and prediction ---------------------------------------------------------------------------------------

    def prepare(self, data: Photos) -> None:
        self.features.prepare(data.rgb)

    def batches(self, data: Photos, step: int, seed: int) -> Iterator[PhotoBatch]:
        return shuffled(data, self.config.batch_size, seed=seed, start=step, flip=True)

    def parameter_groups(self) -> list[Group]:
        every = [module for name, module in self.named_children() if name not in ("view", "features")]
        view = Group(parameters_of([self.view]), rate=self.config.view_rate, decay=self.config.decay)
        return [Group(parameters_of(every), decay=self.config.decay), view]

    def predict(self, photos: Photos) -> Prediction:
        photo = torch.tensor(photos.rgb, device=self.device).permute(0, 3, 1, 2).float() / 255
        factors = self.factors(photo)
        image, seen = self.reconstruct(factors, mirrored=False)
        shading, view = self.shade(factors), factors.view_from_canonical
        depth = seen.depth.where(seen.mask, torch.nan)
        in_view = sample_canonical(torch.cat([factors.albedo, shading[:, None]], 1), seen.canonical)
        shaded = _last(factors.albedo * shading[:, None]).clamp(0, 1)
        canonical = Prediction(
            rgb=shaded, depth=factors.depth, normals=normals_of(factors.depth, self.camera),
            albedo=_last(factors.albedo), shading=shading, light=factors.light,
        )  # fmt: skip
        meshes = zip(factors.depth, shaded, strict=True)
        return Prediction(
            rgb=_last(image.clamp(0, 1)), depth=depth, normals=normals_of(depth, self.camera),
            albedo=_last(in_view[:, :3]), shading=in_view[:, 3], opacity=seen.mask.float(),
            confidence=1 / (1 + factors.sigma[:, 1]), light=factors.light.turned(view),
            cameras=Cameras(self.camera, view), canonical=canonical,
            mesh=tuple(relief_mesh(depth, self.camera, texture) for depth, texture in meshes),
        )  # fmt: skip


def _last(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w c"]:
    return maps.permute(0, 2, 3, 1)


# The experiments: data, settings and the published figure, as the paper's tables are its last section.


def faces() -> Experiment:
    """Table 2, the row without perceptual loss, on our generated faces: the full recipe, for a GPU.

    The ratios are the paper's; its faces come from a model that may not be redistributed.
    """
    published = {"SIDE / average depth": 0.47, "SIDE / constant depth": 0.34}
    published |= {"MAD / average depth": 0.77, "MAD / constant depth": 0.41}
    experiment = _faces(Config(), Training(steps=50_000, rate=1e-4), 160_000, 64)
    return replace(experiment, published=published)


def small() -> Experiment:
    """The same on two cores in an hour: one narrow encoder for all, depth on half the grid, batches of 16."""
    narrow = Config(width=16, code=128, shared=True, kernel=3, depth_stride=2, batch_size=16)
    prior = replace(narrow, depth_range=(0.94, 1.05), bump=1.0, smoothness_weight=0.01, coverage_weight=0.1)
    config = replace(prior, warmup=6000, view_rate=3.0, decay=0.0)
    training = Training(steps=18_000, rate=5e-4, schedule="linear", hold=0.7, clip=1.0, ema=0.999)
    return _faces(config, training, 20_000, 64)


def tiny() -> Experiment:
    """A few steps on a few pictures: shows that everything runs, learns nothing."""
    training = Training(steps=3, rate=5e-4, log_every=1, sample_every=3, validate_every=3, save_every=2)
    return _faces(Config(width=8, code=16, shared=True, kernel=3, batch_size=4, warmup=2), training, 8, 32)


def _faces(config: Config, training: Training, count: int, size: int) -> Experiment:
    test = Faces(min(count // 2, 1000), size, split="test")
    validation = Faces(min(count // 2, 256), size, split="val")
    return Experiment(Unsup3D, config, training, Faces(count, size), validation, test)
