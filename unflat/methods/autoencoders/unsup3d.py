"""Unsup3D: depth, albedo, light and viewpoint of a photo, learned from photos alone.

S. Wu, C. Rupprecht, A. Vedaldi. Unsupervised Learning of Probably Symmetric Deformable 3D Objects
from Images in the Wild. CVPR 2020. Equation numbers are the paper's.

A photo is explained as a relief with an albedo, lit by one light, seen from one viewpoint. The relief and the albedo
are asked to explain it mirrored as well (eq. 4); where a mirror cannot explain it, the predicted confidence says so
(eq. 3). Differences from the paper, each with its reason, are in docs/methods/unsup3d.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, softplus

from unflat.data.batches import PhotoBatch, shuffled
from unflat.data.kinds import Extent, Photos
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.depth import normals_of, unproject
from unflat.geometry.meshes import Mesh, grid_triangles, vertex_normals
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.losses.perceptual import gaussian_nll
from unflat.losses.photometric import laplacian_nll
from unflat.losses.smoothness import total_variation
from unflat.method import Group, Light, Losses, Method, Prediction, parameters_of
from unflat.networks.convolution import Decoder, Encoder, TwoScaleDecoder
from unflat.networks.features import feature_network
from unflat.rendering.relief import Seen, sample_canonical, see_relief, where_plane_is_seen
from unflat.rendering.shading import lambertian
from unflat.training.experiment import Experiment
from unflat.training.settings import Training
from unflat.worlds.faces import Faces

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
    relief_from: int = 0
    """step from which each photo gets a relief of its own, fully at twice that; before, all share the bump (ours)"""
    view_rate: float = 1.0
    """learning rate of the view network, times that of the others (ours)"""
    signal: Literal["photometric", "depth"] = "photometric"
    """what is learned from: photos alone, or their true depth (the supervised baseline)"""
    without: frozenset[Without] = field(default_factory=frozenset)
    """parts left out, for the paper's ablations"""


SIGMA_RANGE = (0.01, 10.0)  # eq. 3 is unbounded below as sigma falls: the paper's pitfall, ours is clamped
FIRST_SIGMA = 0.3  # the constant sigma of the first steps
HELD_COLUMNS = 2  # columns of the relief held at the border depth, on either side
CHECK_EVERY = 50  # steps between two looks at the inside-out twin


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

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        size = extent.size[0]
        if extent.size[0] != extent.size[1]:
            raise ValueError(
                f"Unsup3D needs square photos, but these are {extent.size[1]} x {extent.size[0]} px; crop them"
            )
        width, code, kernel = config.width, config.code, config.kernel
        self.camera = Pinhole.across_centres(size, math.radians(config.field_of_view))
        self.depth_camera = self.camera.resized(size // config.depth_stride, size // config.depth_stride)

        def encoder(width: int, code: int, norm: bool = True) -> nn.Module:
            return nn.Identity() if config.shared else Encoder(size, width, code, norm=norm)

        def decoder(side: int, out: int) -> nn.Module:
            return Decoder(side, width, code, out, kernel=kernel)

        half = code if config.shared else code // 2
        self.encoder = Encoder(size, width, code) if config.shared else nn.Identity()
        self.depth = nn.Sequential(
            encoder(width, code), Decoder(size // config.depth_stride, width, code, 1, kernel=kernel)
        )
        self.albedo = nn.Sequential(encoder(width, code), decoder(size, 3))
        self.light = nn.Sequential(encoder(width // 2, code, norm=False), _regressor(code, 4, config.shared))
        self.view = nn.Sequential(encoder(width // 2, code, norm=False), _regressor(code, 6, config.shared))
        self.confidence = nn.Sequential(encoder(width, half), TwoScaleDecoder(size, width, half, 2, kernel=kernel))
        if "light" in config.without:
            self.shading = nn.Sequential(encoder(width, code), decoder(size, 1))
        self.features = feature_network(config.features)
        self.register_buffer("bump", _paraboloid(size // config.depth_stride) * config.bump)
        self.register_buffer("convexity", torch.zeros(()))
        self.register_buffer("freedom", torch.tensor(0.0 if config.relief_from else 1.0))

    # -- what a photo is made of (section 3.1, figure 2) ---------------------------------------------------------

    def factors(self, photo: Float[Tensor, "b 3 h w"]) -> Factors:
        """Explain photos: the five networks, and the ranges of what they say."""
        config = self.config
        code = self.encoder(photo * 2 - 1)
        raw, albedo, light = self.depth(code)[:, 0].float(), self.albedo(code).float(), self.light(code).float()
        view, (sigma, feature_sigma) = self.view(code).float(), self.confidence(code)
        free, depth = self._depth_from(raw)
        return Factors(
            depth=depth,
            free_depth=free,
            albedo=torch.tanh(albedo) / 2 + 0.5,
            light=_light_from(torch.tanh(light), config),
            shading=softplus(self.shading(code)[:, 0].float()) if "light" in config.without else None,
            view=torch.tanh(view) * view.new_tensor([math.radians(config.turn_range)] * 3 + [*config.shift_range]),
            sigma=softplus(sigma.float()).clamp(*SIGMA_RANGE),
            feature_sigma=softplus(feature_sigma.float()).clamp(*SIGMA_RANGE),
        )

    def _depth_from(self, raw: Float[Tensor, "b i j"]) -> tuple[Float[Tensor, "b i j"], Float[Tensor, "b h w"]]:
        near, far = self.config.depth_range
        raw = self.freedom * raw + self.bump  # convex, not its inside-out twin
        free = torch.tanh(raw - raw.mean((1, 2), keepdim=True)) / 2 + 0.5  # a global offset is the view's business
        depth = near + (far - near) * free
        if self.config.depth_stride > 1:
            depth = interpolate(depth[:, None], self.extent.size, mode="bicubic", align_corners=False)[:, 0]
        held = near + (far - near) * self.config.border_depth
        inside = depth[:, :, HELD_COLUMNS:-HELD_COLUMNS]
        return free, pad(inside, (HELD_COLUMNS, HELD_COLUMNS), value=held)

    # -- the photo again (sections 3.1 and 3.3) ------------------------------------------------------------------

    def canonical_image(self, factors: Factors) -> Float[Tensor, "b 3 h w"]:
        """Albedo under the light (eq. 1)."""
        return factors.albedo * self.shade(factors)[:, None]

    def shade(self, factors: Factors) -> Float[Tensor, "b h w"]:
        """ambient + diffuse * max(0, n . l) on the canonical relief."""
        if factors.shading is not None:
            return factors.shading
        light = factors.light
        return lambertian(normals_of(factors.depth, self.camera), light.ambient, light.diffuse, light.direction)

    def reconstruct(self, factors: Factors, *, mirrored: bool) -> tuple[Float[Tensor, "b 3 h w"], Seen]:
        """The photo from its factors (eq. 2), or from their mirror image under the same light and view (eq. 4)."""
        if mirrored:
            factors = factors._replace(
                depth=factors.depth if "depth_flip" in self.config.without else factors.depth.flip(-1),
                albedo=factors.albedo if "albedo_flip" in self.config.without else factors.albedo.flip(-1),
            )
        seen = see_relief(factors.depth, factors.view_from_canonical, self.camera, far=self._far)
        return sample_canonical(self.canonical_image(factors), seen.canonical), seen

    @property
    def _far(self) -> float:
        near, far = self.config.depth_range
        return far + (far - near) / 2

    # -- what is minimised (sections 3.2 and 3.4) ----------------------------------------------------------------

    def losses(self, batch: PhotoBatch, step: int) -> Losses:
        factors = self.factors(batch.photo)
        with torch.autocast(batch.photo.device.type, enabled=False):
            if self.config.signal == "depth":
                return self._supervised(factors, batch)
            return self._photometric(factors, batch.photo, step)

    def _photometric(self, factors: Factors, photo: Float[Tensor, "b 3 h w"], step: int) -> Losses:
        config = self.config
        progress = min(step / max(config.warmup, 1), 1.0)
        flip_weight = 1 + (config.flip_weight - 1) * progress
        plain, seen = self.reconstruct(factors, mirrored=False)
        mirrored, seen_mirrored = self.reconstruct(factors, mirrored=True)
        mask = seen.mask & seen_mirrored.mask
        sigma, sigma_mirrored = self._warmed(factors.sigma, progress).unbind(1)
        terms = {
            "photometric": laplacian_nll(
                2 * plain, 2 * photo, sigma, mask
            ),  # eq. 3; the paper's colours are in [-1, 1]
            "mirrored": flip_weight * laplacian_nll(2 * mirrored, 2 * photo, sigma_mirrored, mask),
            "smoothness": config.smoothness_weight * total_variation(factors.free_depth),
            "coverage": config.coverage_weight * self._uncovered(factors.view_from_canonical),
        }
        if config.features:
            terms |= self._perceptual(
                plain, mirrored, photo, mask, self._warmed(factors.feature_sigma, progress), flip_weight
            )
        return Losses(terms, self._figures(factors, photo, plain, mask, step))

    def _perceptual(
        self, plain: Tensor, mirrored: Tensor, photo: Tensor, mask: Tensor, sigma: Tensor, flip_weight: float
    ) -> dict[str, Tensor]:
        """Features instead of pixels (eq. 7). Outside the mask both pictures show the photo."""
        shown = mask[:, None]
        with torch.no_grad():
            target = self.features(photo)
        terms = {}
        for name, weight, image, scale in (
            ("features", 1.0, plain, sigma[:, 0]),
            ("mirrored features", flip_weight, mirrored, sigma[:, 1]),
        ):
            explained = self.features(torch.where(shown, image, photo))
            terms[name] = self.config.perceptual_weight * weight * gaussian_nll(explained, target, scale, mask.float())
        return terms

    def _warmed(self, sigma: Float[Tensor, "b 2 h w"], progress: float) -> Float[Tensor, "b 2 h w"]:
        """Sigma as predicted; geometrically mixed with a constant during the warm-up."""
        if "confidence" in self.config.without:
            return torch.ones_like(sigma)
        return sigma**progress * FIRST_SIGMA ** (1 - progress)

    def _uncovered(self, view_from_canonical: Rigid) -> Float[Tensor, ""]:
        """Soft share of the photo in which the turned plane z = 1 shows nothing: has a gradient, unlike the mask."""
        place = where_plane_is_seen(view_from_canonical, self.camera)
        edge = torch.cat([place, place.new_tensor(self.extent.size[::-1]) - place], -1).amin(-1)  # pixels inside
        return torch.sigmoid(-edge).mean()

    def _supervised(self, factors: Factors, batch: PhotoBatch) -> Losses:
        """The paper's supervised baseline: the same networks, taught the true depth."""
        if batch.depth is None:
            raise ValueError('signal="depth" needs photos with true depth beside them')
        seen = see_relief(factors.depth, factors.view_from_canonical, self.camera, far=self._far)
        mask = seen.mask & ~batch.depth.isnan()
        error = (seen.depth - batch.depth.nan_to_num(1.0)).abs()
        return Losses({"depth": error.where(mask, 0.0).mean() / 0.1}, {"coverage": seen.mask.float().mean()})

    def _figures(self, factors: Factors, photo: Tensor, plain: Tensor, mask: Tensor, step: int) -> dict[str, Tensor]:
        with torch.no_grad():
            error = (plain - photo).abs().mean(1)
            figures = {
                "error": error[mask].mean(),
                "coverage": mask.float().mean(),
                "yaw spread": factors.view[:, 1].rad2deg().std(correction=0),
                "sigma": factors.sigma.mean(),
            }
            if step % CHECK_EVERY == 0:
                bulge = (factors.free_depth * _paraboloid(factors.free_depth.shape[-1]).to(photo)).mean((1, 2))
                self.convexity.lerp_(bulge.mean(), 0.2)
                figures["convexity"] = self.convexity.clone()
                figures["twin error"] = self._twin_error(factors, photo)
        return figures

    # -- the inside-out twin (docs/methods/unsup3d.md) -----------------------------------------------------------

    def _twin_error(self, factors: Factors, photo: Float[Tensor, "b 3 h w"]) -> Float[Tensor, ""]:
        """Reconstruction error of the twin that shows nearly the same picture: if it is the smaller, learning went wrong."""
        turned = factors.view.new_tensor([-1.0, -1.0, 1.0, 1.0, 1.0, -1.0])
        light = Light(factors.light.ambient, factors.light.diffuse, factors.light.direction * turned[[0, 1, 2]])
        twin = factors._replace(
            depth=sum(self.config.depth_range) - factors.depth, view=factors.view * turned, light=light
        )
        image, seen = self.reconstruct(twin, mirrored=False)
        return (image - photo).abs().mean(1)[seen.mask].mean()

    def update(self, step: int) -> bool:
        """Once, as the warm-up ends: leave the concave twin if that is where learning has gone."""
        first, last = self.config.relief_from, 2 * self.config.relief_from
        if step <= last and first:
            self.freedom.fill_(min(max(step - first, 0) / first, 1.0))
        if step == self.config.warmup and self.convexity < 0:
            self.turn_inside_out()
        return False

    @torch.no_grad()
    def turn_inside_out(self) -> None:
        """Exchange the solution for its twin: depth about its middle, pitch, yaw and the light's slant change sign."""
        decoder, view, light = self.depth[1], self.view[1][-1], self.light[1][-1]
        decoder.last.weight.neg_()
        for layer, rows in ((view, [0, 1, 5]), (light, [2, 3])):
            layer.weight[rows] *= -1
            layer.bias[rows] *= -1
        self.convexity.neg_()

    # -- training and prediction ---------------------------------------------------------------------------------

    def prepare(self, data: Photos) -> None:
        self.features.prepare(data.rgb)

    def batches(self, data: Photos, step: int, seed: int) -> Iterator[PhotoBatch]:
        return shuffled(data, self.config.batch_size, seed=seed, start=step, flip=True)

    def parameter_groups(self) -> list[Group]:
        others = [self.encoder, self.depth, self.albedo, self.light, self.confidence]
        others += [self.shading] if "light" in self.config.without else []
        decay = 5e-4  # L2 in the gradient, as released; the paper does not mention it
        return [
            Group(parameters_of(others), decay=decay),
            Group(parameters_of([self.view]), rate=self.config.view_rate, decay=decay),
        ]

    def predict(self, photos: Photos) -> Prediction:
        photo = torch.tensor(photos.rgb, device=self.device).permute(0, 3, 1, 2).float() / 255
        factors = self.factors(photo)
        image, seen = self.reconstruct(factors, mirrored=False)
        shading = self.shade(factors)
        albedo, shaded = factors.albedo.clamp(0, 1), self.canonical_image(factors).clamp(0, 1)
        visible = seen.mask
        depth = seen.depth.where(visible, torch.nan)
        in_view = sample_canonical(torch.cat([albedo, shading[:, None]], 1), seen.canonical)
        view = factors.view_from_canonical
        light = factors.light
        canonical_normals = normals_of(factors.depth, self.camera)
        return Prediction(
            rgb=_last(image.clamp(0, 1)),
            depth=depth,
            normals=normals_of(depth, self.camera),
            albedo=_last(in_view[:, :3]),
            shading=in_view[:, 3],
            opacity=visible.float(),
            confidence=1 / (1 + factors.sigma[:, 1]),
            light=Light(light.ambient, light.diffuse, view.turn(light.direction[:, None])[:, 0]),
            cameras=Cameras(self.camera, view),
            mesh=tuple(_mesh(d, texture, self.camera) for d, texture in zip(factors.depth, _last(shaded), strict=True)),
            canonical=Prediction(
                rgb=_last(shaded), depth=factors.depth, normals=canonical_normals,
                albedo=_last(albedo), shading=shading, light=light,
            ),
        )  # fmt: skip


def _regressor(code: int, out: int, shared: bool) -> nn.Module:
    """Code to numbers; a shared code goes through a hidden layer of its own first."""
    hidden: list[nn.Module] = [nn.Linear(code, code), nn.ReLU()] if shared else []
    return nn.Sequential(*hidden, nn.Linear(code, out))


def _paraboloid(size: int) -> Float[Tensor, "s s"]:
    """x^2 + y^2 over the picture, from -1 to 1, less its mean: far at the border, near in the middle."""
    across = torch.linspace(-1, 1, size).square()
    bowl = across[:, None] + across[None, :]
    return bowl - bowl.mean()


def _light_from(q: Float[Tensor, "b 4"], config: Config) -> Light:
    """Four numbers in (-1, 1) as a light that tilts at most 45 degrees a side (paper, section 3.1)."""
    (a0, a1), (d0, d1) = config.ambient_range, config.diffuse_range
    # towards the light is towards the camera: z is negative
    direction = -torch.cat([q[:, 2:], torch.ones_like(q[:, :1])], 1)
    return Light(
        ambient=a0 + (a1 - a0) * (q[:, 0] / 2 + 0.5),
        diffuse=d0 + (d1 - d0) * (q[:, 1] / 2 + 0.5),
        direction=direction / direction.norm(dim=1, keepdim=True),
    )


def _last(maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w c"]:
    return maps.permute(0, 2, 3, 1)


def _mesh(depth: Float[Tensor, "h w"], texture: Float[Tensor, "h w 3"], camera: Pinhole) -> Mesh:
    """The canonical relief as a textured mesh."""
    height, width = depth.shape
    vertices = unproject(depth[None], camera).flatten(0, 2)
    triangles = grid_triangles(height, width).to(depth.device)
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    uv = torch.stack([u / width, v / height], -1).flatten(0, 1).to(depth.device)
    return Mesh(vertices, triangles, normals=vertex_normals(vertices, triangles), uv=uv, texture=texture)


# The experiments: data, settings and the published figure, as the paper's tables are its last section.


def faces() -> Experiment:
    """Table 2, the row without perceptual loss, on our generated faces: the full recipe, for a GPU."""
    return Experiment(
        Unsup3D,
        Config(),
        Training(steps=50_000, rate=1e-4),
        data=Faces(160_000),
        validation=Faces(1_000, split="val"),
        test=Faces(1_000, split="test"),
        published={
            "SIDE / average depth": 0.47, "SIDE / constant depth": 0.34,
            "MAD / average depth": 0.77, "MAD / constant depth": 0.41,
        },
        note="The paper's ratios: its faces come from a model that may not be redistributed, ours from another one.",
    )  # fmt: skip


def small() -> Experiment:
    """The same on two cores in an hour: one narrow encoder for all, depth on half the grid."""
    return Experiment(
        Unsup3D,
        Config(
            width=16, code=128, shared=True, kernel=3, depth_stride=2, batch_size=16, smoothness_weight=0.01,
            coverage_weight=0.1, bump=1.0, relief_from=1000, warmup=6000, view_rate=3.0,
        ),
        Training(steps=16_000, rate=5e-4, schedule="linear", hold=0.7, clip=1.0, ema=0.999),
        data=Faces(20_000),
        validation=Faces(200, split="val"),
        test=Faces(1_000, split="test"),
    )  # fmt: skip


def tiny() -> Experiment:
    """A few steps on a few pictures: shows that everything runs, learns nothing."""
    return Experiment(
        Unsup3D,
        Config(width=8, code=16, shared=True, kernel=3, batch_size=4, warmup=2),
        Training(steps=4, rate=5e-4, log_every=1, sample_every=4, validate_every=4, save_every=2),
        data=Faces(8, size=32),
        validation=Faces(4, size=32, split="val"),
        test=Faces(4, size=32, split="test"),
    )
