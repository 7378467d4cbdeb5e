"""DVGO: a voxel grid of densities and features, found coarsely first and then finely, with a small network for colours.

C. Sun, M. Sun, H.-T. Chen. Direct Voxel Grid Optimization: Super-fast Convergence for Radiance Fields Reconstruction.
CVPR 2022. Equation numbers are the paper's; what only the released code says is marked so.

A coarse grid with colours that look alike from everywhere finds where anything is. A fine grid learns there alone: raw
densities and features are interpolated before the nonlinearity (eq. 9), which makes edges inside a voxel, and a network
of three layers makes colours of features and the direction of sight (eq. 12). Differences from the paper, each with
its reason, are in docs/methods/dvgo.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, softplus

from unflat.data.hulls import box_of, seen_by
from unflat.data.kinds import Capture, Extent
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pixels_that_meet, pooled
from unflat.fields.colour_head import ColourHead
from unflat.fields.voxels import coarse_shape, finer, kept_cells, occupied_cells, places_of, shape_of
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays, expanded
from unflat.kernels.accumulators import forget_accumulators
from unflat.kernels.clearance import clearance
from unflat.kernels.density_march import Weighed, density_march
from unflat.kernels.lookup import Box, Voxels, looked_up
from unflat.kernels.walking import Cells, Walk, is_empty
from unflat.method import Group, Losses, Method, Prediction
from unflat.training.experiment import Experiment
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The released settings for objects. Pairs are of the coarse and of the fine stage."""

    voxels: tuple[int, int] = (1_024_000, 160**3)
    """in the grid at the end of each stage"""
    coarse_steps: int = 5000
    """steps of the coarse stage; the rest is the fine stage's"""
    growths: tuple[int, ...] = (1000, 2000, 3000, 4000)
    """steps of the fine stage at which its grid doubles its voxels"""
    opacity: tuple[float, float] = (1e-6, 1e-2)
    """of a voxel before it has learned: a^(init) of eq. 8"""
    features: int = 12
    """numbers in a voxel of the fine grid, for the network"""
    width: int = 128
    """of the network's hidden layers"""
    octaves: int = 4
    """waves of the direction that the network sees"""
    step: float = 0.5
    """between two samples of a ray, in voxels"""
    batch_size: int = 8192
    """rays in a step"""
    entropy_weight: tuple[float, float] = (0.01, 0.001)
    """of the background's entropy: rays should pass or be stopped (eq. 14)"""
    point_weight: tuple[float, float] = (0.1, 0.01)
    """of the colours of points, each by itself (eq. 13)"""
    least_views: int = 2
    """what so many pictures or fewer see is left empty (code)"""
    thinnest: tuple[float, float] = (1e-7, 1e-4)
    """opacities and weights of samples that are left out"""
    empty: float = 1e-3
    """opacity under which coarse voxels are outside the fine grid, and fine ones empty"""
    rates: tuple[float, float] = (1.0, 0.01)
    """of grids and of the network, times the run's"""


class DVGO(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """Two voxel grids of one scene, one after the other."""

    low: Tensor
    high: Tensor
    shape: Tensor
    clear: Tensor
    allowed: Tensor
    scales: Tensor
    fine: Tensor
    shift: Tensor
    background: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        box = torch.tensor(self.scene.limits)
        self.register_buffer("background", torch.tensor(self.scene.backdrop))
        self.register_buffer("fine", torch.tensor(0))
        self.head = ColourHead(config.features, 0, config.octaves, config.width)
        self._begin(box[:3].clone(), box[3:].clone(), config.voxels[0], channels=3)

    def _begin(self, low: Tensor, high: Tensor, voxels: int, channels: int) -> None:
        """An empty grid over a box, with nothing ruled out."""
        shape = shape_of(low, high, voxels)
        self.density = nn.Parameter(torch.zeros(math.prod(shape), 1))
        self.feature = nn.Parameter(torch.zeros(math.prod(shape), channels))
        opacity = self.config.opacity[int(self.fine)]
        everywhere = torch.ones(coarse_shape(shape), dtype=torch.bool)
        state = {
            "low": low, "high": high, "shape": torch.tensor(shape), "scales": torch.ones(math.prod(shape)),
            "allowed": everywhere, "clear": clearance(everywhere),
            "shift": torch.tensor(-math.log(1 / (1 - opacity) - 1)),
        }  # fmt: skip
        for name, value in state.items():
            self.register_buffer(name, value)

    # -- before learning (section 4.1) ---------------------------------------------------------------------------------

    def prepare(self, data: Capture) -> None:
        """Voxels learn by how many pictures see them; what hardly any sees, or is at a camera, stays empty."""
        if self.scene.space == "ndc":
            return
        places = places_of(self.grid, self.low, self.high)
        seen = seen_by(data, expanded(places) if self.scene.space == "contracted" else places)
        self.scales = (seen.clamp_min(0) / max(int(seen.max()), 1)).float()
        with torch.no_grad():
            self.density[seen <= self.config.least_views] = -100.0
        self.allowed = occupied_cells((seen > self.config.least_views).view(self.grid), coarse_shape(self.grid))
        self.clear = clearance(self.allowed)

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        pool = RayPool(data)
        allowed = Cells(self.low, self.high, clearance(self.allowed))  # the same all through the stage
        among = pixels_that_meet(pool, allowed, self.walk()) if self.fine else None
        return pooled(pool, self.config.batch_size, seed=seed, start=step, among=among)

    # -- the field (section 3) -----------------------------------------------------------------------------------------

    @property
    def grid(self) -> tuple[int, int, int]:
        x, y, z = self.shape.tolist()
        return x, y, z

    @property
    def cells(self) -> Cells:
        return Cells(self.low, self.high, self.clear)

    def side(self, final: bool = False) -> float:
        """Of a voxel, now or at the end of the stage."""
        count = self.config.voxels[int(self.fine)] if final else math.prod(self.grid)
        return float((self.high - self.low).double().prod() / count) ** (1 / 3)

    def walk(self, key: int = 0) -> Walk:
        """alpha = 1 - (1 + exp(raw + b))^(-step / final voxel): eq. 8, where b is `-shift`."""
        thin, step = self.config.thinnest[int(self.fine)], self.config.step * self.side()
        return Walk(
            step, self.scene.space == "contracted", step / self.side(final=True), float(self.shift), key,
            thinnest=thin, least=thin,
        )  # fmt: skip

    def colours(self, points: Float[Tensor, "m 3"], sights: Float[Tensor, "m 3"]) -> Float[Tensor, "m 3"]:
        """Of the coarse grid as they are, of the fine one by the network (eq. 12)."""
        features = looked_up(points, Voxels(self.feature, self.grid), Box(self.low, self.high))
        return self.head(features, sights) if self.fine else torch.sigmoid(features)

    def march(self, rays: Rays, key: int = 0) -> tuple[Weighed, Float[Tensor, "m 3"], Float[Tensor, "r 3"]]:
        """The samples that count, their colours, and the picture (eq. 5)."""
        seen = density_march(rays, Voxels(self.density, self.grid), self.cells, self.walk(key))
        colours = self.colours(seen.points, rays.sights[seen.ray])
        return seen, colours, seen.gathered(colours) + seen.through[:, None] * self.background

    # -- learning (section 4) ------------------------------------------------------------------------------------------

    def losses(self, batch: RayBatch, step: int) -> Losses:
        config, stage = self.config, int(self.fine)
        seen, colours, rgb = self.march(batch.rays, key=seed_of(step, 1))
        error = (rgb - batch.rgb).square().mean()
        passing = seen.through.clamp(1e-6, 1 - 1e-6)
        entropy = -(passing * passing.log() + (1 - passing) * (1 - passing).log()).mean()
        points = (seen.weight.detach()[:, None] * (colours - batch.rgb[seen.ray]).square()).sum() / len(batch)
        terms = {
            "photometric": error,  # eq. 6
            "points": config.point_weight[stage] * points,  # eq. 13
            "entropy": config.entropy_weight[stage] * entropy,  # eq. 14
        }
        return Losses(terms, {"PSNR": -10 * error.detach().log10(), "samples": torch.tensor(len(seen.t) / len(batch))})

    def parameter_groups(self) -> list[Group]:
        grids, network = self.config.rates
        scales = None if self.fine else self.scales
        groups = [Group([p], "touched", grids, schedule=_tenth, scales=scales, betas=(0.9, 0.99))
                  for p in (self.density, self.feature)]  # fmt: skip
        return [*groups, Group(list(self.head.parameters()), rate=network, schedule=_tenth, betas=(0.9, 0.99))]

    def update(self, step: int) -> bool:
        if step + 1 == self.config.coarse_steps:
            self.begin_fine()
            return True
        done = step + 1 - self.config.coarse_steps
        if self.fine and done in self.config.growths:
            self.grow()
            return True
        if self.fine and done % 1000 == 500:
            self.clear = clearance(self.occupied())
        return False

    @torch.no_grad()
    def opacities(self) -> Float[Tensor, "x y z"]:
        """Of the voxels, as long as a voxel is."""
        thickness = self.side() / self.side(final=True) * softplus(self.density - self.shift)
        return -torch.expm1(-thickness).view(self.grid)

    def occupied(self) -> Bool[Tensor, "i j k"]:
        cells = coarse_shape(self.grid)
        near = occupied_cells(max_pool3d(self.opacities()[None], 3, 1, 1)[0] > self.config.empty, cells)
        return near & kept_cells(self.allowed, cells)

    @torch.no_grad()
    def begin_fine(self) -> None:
        """A fine grid over the part of the box where the coarse one has found something (section 4.2)."""
        there, low, high = self.opacities() > self.config.empty, self.low, self.high
        if not there.any():
            raise ValueError(
                "the coarse stage found nothing that stops light: take more coarse_steps, or look at the cameras and "
                "the box (unflat data inspect)"
            )
        tight = box_of(there, low, high) if self.scene.space == "box" else (low, high)
        grown = 0.05 * (tight[1] - tight[0]) * (self.scene.space == "box")
        self.fine.fill_(1)
        count = self.config.voxels[1] >> len(self.config.growths)
        self._begin(tight[0] - grown, tight[1] + grown, count, self.config.features)
        places = places_of(self.grid, self.low, self.high)
        near = max_pool3d(there[None].float(), 3, 1, 1).permute(1, 2, 3, 0).flatten(0, 2)
        known = looked_up(places, Voxels(near.contiguous(), tuple(there.shape)), Box(low, high))
        self.allowed = occupied_cells((known[:, 0] > 0).view(self.grid), coarse_shape(self.grid))
        self.clear = clearance(self.allowed)
        forget_accumulators()

    @torch.no_grad()
    def grow(self) -> None:
        """Twice the voxels over the same box (progressive scaling, section 4.2)."""
        old, new = self.grid, shape_of(self.low, self.high, 2 * math.prod(self.grid))
        tables = (torch.stack([finer(c, new) for c in p.detach().T.view(-1, *old)], -1).flatten(0, 2)
                  for p in (self.density, self.feature))  # fmt: skip
        self.density, self.feature = (nn.Parameter(table.contiguous()) for table in tables)
        self.shape = torch.tensor(new)
        self.scales = torch.ones(math.prod(new))
        self.shift += 1  # what was half opaque is less so over a smaller voxel (code)
        self.clear = clearance(self.occupied())
        forget_accumulators()

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        rays = camera_rays(self.scene, query, self.device)
        seen, _, rgb = self.march(rays)
        rgb, depth, opacity = pictures_along(self.scene, query, rays, rgb, seen.distance, seen.through)
        return Prediction(rgb, depth, opacity=opacity)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        within = self.scene.within(points)
        raw = looked_up(within, Voxels(self.density, self.grid), Box(self.low, self.high))[:, 0]
        density = softplus(raw - self.shift) / self.side(final=True)
        density = density * self.scene.speed(points, directions)
        return density.masked_fill(is_empty(within, self.cells), 0), self.colours(within, directions)


def _tenth(step: int) -> float:
    """The rate falls to a tenth every 20,000 steps."""
    return 0.1 ** (step / 20_000)


# The experiments: data, settings and the published figure.


def chair() -> Experiment:
    """Table 1, Synthetic-NeRF's chair at 800 px (bring the data); 25,000 steps in two stages."""
    return Experiment(DVGO, Config(), Training(steps=25_000, rate=0.1, clip=0.0))


def small() -> Experiment:
    """A generated vase on two cores."""
    config = Config(
        voxels=(40**3, 80**3), coarse_steps=300, growths=(100, 200, 300), opacity=(1e-3, 1e-2), features=6, width=48,
        batch_size=2048,
    )  # fmt: skip
    return Experiment(DVGO, config, Training(steps=1500, rate=0.1, clip=0.0), *object_splits("vase", 60, 100))


def tiny() -> Experiment:
    """A few steps on a few small pictures: shows that everything runs, learns little."""
    config = Config(
        voxels=(500, 1000), coarse_steps=1, growths=(), opacity=(0.3, 0.3), features=2, width=16, batch_size=64
    )
    training = Training(steps=3, rate=0.1, clip=0.0, log_every=1, validate_every=3, save_every=2)
    return Experiment(DVGO, config, training, *object_splits("vase", 6, 24))
