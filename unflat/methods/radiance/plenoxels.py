"""Plenoxels: a sparse voxel grid of densities and spherical harmonics, optimised directly. No network.

S. Fridovich-Keil, A. Yu, M. Tancik, Q. Chen, B. Recht, A. Kanazawa. Plenoxels: Radiance Fields without Neural Networks.
CVPR 2022. Equation numbers are the paper's; what only the released code says is marked so.

Densities and harmonics of degree 2 are interpolated between voxels and rectified. The grid becomes finer once; before
it does, voxels that weigh little in all pictures are pruned. Total variation of a few voxels a step keeps it smooth.
Differences from the paper, each with its reason, are in docs/methods/plenoxels.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unflat.data.captures import smaller
from unflat.data.hulls import carved, near_object
from unflat.data.kinds import Capture, Extent
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pooled
from unflat.data.scenes import footprint
from unflat.fields import voxels as grids
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays
from unflat.kernels import heaviest, lookup
from unflat.kernels.accumulators import forget_accumulators
from unflat.kernels.clearance import clearance
from unflat.kernels.variation import Asked, varied
from unflat.kernels.voxel_march import Marched, Voxels, voxel_colour, voxel_march, voxel_raw
from unflat.kernels.walking import Cells, Walk, is_empty
from unflat.method import Group, Losses, Method, Prediction
from unflat.training.experiment import Experiment
from unflat.training.fitting import fitted
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The released settings for objects. Pairs are of density and of harmonics."""

    resolutions: tuple[int, ...] = (256, 512)
    """voxels along the longest side, one after the other"""
    until: tuple[int, ...] = (38_400,)
    """the step with which each resolution but the last ends"""
    smaller: tuple[int, ...] = (1, 1)
    """how many times smaller the pictures are that each resolution learns from"""
    detail: float = 0.0
    """pixels that a voxel of the last resolution is wide at least, at the middle of the scene"""
    carve: bool = False
    """whether silhouettes, where pictures have them, say what is empty before the first step"""
    least_seen: float = 0.04
    """share of the pictures that have to see a place of a space without end"""
    batch_size: int = 5000
    """rays in a step"""
    step: float = 0.5
    """between two samples of a ray, in voxels"""
    least: float = 0.0
    """weight in the picture under which a sample is left out"""
    last: float = 1e-7
    """of what passes, under which a ray ends (code)"""
    density: float = 0.1
    """before learning: absorption per unit of length"""
    rates: tuple[float, float] = (30.0, 0.01)
    """learning rates at first, times the run's"""
    final_rates: tuple[float, float] = (0.05, 5e-6)
    """the same after `span` steps"""
    span: int = 250_000
    """steps in which rates fall from the first to the final ones, evenly on a logarithmic scale"""
    epsilon: float = 1e-8
    """of RMSProp's root: gradients that are smaller count for less"""
    delay: tuple[int, float] = (15_000, 0.01)
    """steps until density learns at its full rate, and the share of it that it begins with"""
    variation: tuple[float, float] = (1e-5, 1e-3)
    """weights of total variation (eq. 3)"""
    varied: float = 0.01
    """share of the voxels whose total variation a step looks at"""
    varied_until: int = 38_400
    """the step with which total variation ends"""
    sparsity: float = 0.0
    """weight of the densities' sparsity (section 3.4), of the voxels that total variation looks at"""
    beta: float = 0.0
    """weight of rays' being either opaque or transparent (section 3.4)"""
    pruned: float = 1.28
    """weight in the pictures, times the voxels along a side, that a voxel has to reach somewhere to be kept (code)"""
    weighed: int = 12_800
    """steps before the grid becomes finer whose rays say what voxels weigh"""
    refresh: int = 100
    """steps between two looks at what is empty"""
    empty: float = 0.0
    """opacity of a voxel in one step, up to which it counts as empty"""


BANDS = 9
"""spherical harmonics of each colour: those of degree 2"""
DECAY = 0.95
"""of RMSProp's running mean"""
THIN = 1e-10
"""density under which a sample is left out (code)"""
USUAL = 256
"""voxels along a side to which weights of total variation refer: what is finer differs less from voxel to voxel"""
CUBE = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
"""the box about the sphere that all cameras see"""


class Plenoxels(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """A sparse voxel grid of one scene."""

    low: Tensor
    high: Tensor
    row_of: Tensor
    clear: Tensor
    allowed: Tensor
    heaviest: Tensor
    background: Tensor
    stage: Tensor
    share: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        box = torch.tensor(self.scene.limits)
        state = {
            "low": box[:3].clone(), "high": box[3:].clone(), "stage": torch.tensor(0), "share": torch.tensor(1.0),
            "background": torch.tensor(self.scene.backdrop),
        }  # fmt: skip
        for name, value in state.items():
            self.register_buffer(name, value)
        self.start(torch.ones(1, 1, 1, dtype=torch.bool))

    def start(self, inside: Bool[Tensor, "i j k"]) -> None:
        """A thin grid of the first resolution where something may be, with no harmonics: grey (section 3.1)."""
        shape = grids.grid_shape(self.low, self.high, self.cells_along(0))
        allowed = grids.kept_cells(inside, grids.coarse_shape(shape))
        rows = grids.rows_within(allowed, shape)
        state = {
            "allowed": allowed, "clear": clearance(allowed), "row_of": rows, "heaviest": torch.zeros(rows.numel()),
        }  # fmt: skip
        for name, value in state.items():
            self.register_buffer(name, value)
        self.density = nn.Parameter(self.config.density * (rows >= 0).float().flatten())
        self.colour = nn.Parameter(torch.zeros(int(rows.max()) + 1, 3 * BANDS))

    def cells_along(self, stage: int) -> int:
        """Between the voxels of the longest side."""
        return max(4, round(float(self.share) * self.config.resolutions[stage]) - 1)

    @classmethod
    def suited(cls, experiment: Experiment, data: Capture, started: bool = False) -> tuple[Experiment, dict[str, str]]:
        if started or data.scene.space != "contracted":
            return experiment, {}
        emptier = "a space without end begins emptier: else it fills with haze before the cameras"
        slower = "what begins emptier learns more slowly: else holes are made that never close"
        released = "a space without end: as the released settings have it"
        chosen: dict[str, tuple[object, str]] = {
            "config.variation": ((5e-5, 5e-3), released), "config.sparsity": (1e-11, released),
            "config.beta": (1e-5, released), "config.varied_until": (experiment.training.steps, released),
        }  # fmt: skip
        if experiment.config.carve:  # settings for few steps
            sooner = "the released weights against haze, made stronger and asked of more voxels a step: there are few"
            chosen = {
                "config.density": (0.1, emptier), "config.rates": ((1.0, 0.02), slower),
                "config.final_rates": ((0.2, 0.002), slower), "config.variation": ((1.5e-3, 0.15), sooner),
                "config.varied": (0.3, sooner), "config.beta": (1e-4, sooner),
                "config.varied_until": (experiment.training.steps, sooner),
                "config.resolutions": ((48, 96, 144, 192), "finer voxels cost more time than they gain there"),
            }  # fmt: skip
        return fitted(experiment, chosen)

    # -- before learning -----------------------------------------------------------------------------------------------

    def prepare(self, data: Capture) -> None:
        """Objects lie in their visual hull, or in the sphere that all cameras see, unless a box is drawn tighter."""
        if self.config.carve or self.scene.space != "box":
            inside, self.low, self.high = carved(data, self.low, self.high, self.config.least_seen)
        else:
            shape = grids.coarse_shape(grids.grid_shape(self.low, self.high, self.cells_along(0)))
            distance = grids.middles_of(shape, self.low, self.high).norm(dim=1)
            inside = ((distance <= 1) | (self.scene.limits != CUBE)).view(shape)
        if self.config.detail:
            pixels = float((self.high - self.low).max()) / footprint(data)
            self.share.fill_(min(1.0, pixels / self.config.detail / self.config.resolutions[-1]))
        self.start(inside)

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        data = smaller(data, self.config.smaller[int(self.stage)])
        carved = self.config.carve and data.has_alpha and self.scene.space == "box"
        among = near_object(data) if carved else None
        return pooled(RayPool(data), self.config.batch_size, seed=seed, start=step, among=among)

    # -- the field (sections 3.1 and 3.2) ------------------------------------------------------------------------------

    @property
    def grid(self) -> tuple[int, int, int]:
        x, y, z = self.row_of.shape
        return x, y, z

    @property
    def cells(self) -> Cells:
        return Cells(self.low, self.high, self.clear)

    @property
    def voxels(self) -> Voxels:
        """Densities, and harmonics whose sum and 1/2 is a colour; both rectified."""
        return Voxels(self.density, self.colour, self.row_of, self.cells, "relu")

    def walk(self, key: int = 0) -> Walk:
        """Densities are absorption per unit of length: eq. 1."""
        step = self.config.step * float((self.high - self.low).max()) / self.cells_along(int(self.stage))
        return Walk(
            step, self.scene.space == "contracted", step, 0.0, key, thinnest=-math.expm1(-THIN * step),
            least=self.config.least, last=self.config.last, activation="relu",
        )  # fmt: skip

    def march(self, rays: Rays, voxels: Voxels, key: int = 0) -> Marched:
        return voxel_march(rays, voxels, self.walk(key), self.background)

    # -- learning (sections 3.3 and 3.4) -------------------------------------------------------------------------------

    def losses(self, batch: RayBatch, step: int) -> Losses:
        config, key = self.config, seed_of(step, 1)
        if self._grows_within(config.weighed, step):
            grid = lookup.Voxels(self.density.detach()[:, None], self.grid)
            self.heaviest = heaviest.weighed(self.heaviest, batch.rays, grid, self.cells, self.walk(key))
        seen = self.march(batch.rays, self.smooth(step), key)
        error = (seen.rgb - batch.rgb).square().mean()
        terms = {"photometric": error}  # eq. 2
        if config.beta:
            through = seen.through.clamp(1e-6, 1 - 1e-6)
            terms["beta"] = config.beta * (through.log() + (1 - through).log()).mean()
        return Losses(terms, {"PSNR": -10 * error.detach().log10(), "samples": seen.samples.float().mean()})

    def smooth(self, step: int) -> Voxels:
        """The voxels, whose gradients gain those of total variation and sparsity (eq. 3)."""
        count = round(self.config.varied * self.row_of.numel()) * (step < self.config.varied_until)
        first, scale = seed_of(step, 2) % self.row_of.numel(), self.cells_along(int(self.stage)) / USUAL
        tables = []
        for table, weight, sparsity in zip(
            (self.density, self.colour), self.config.variation, (self.config.sparsity, 0.0), strict=True
        ):
            tables.append(varied(table, self.row_of, Asked(first, count, scale * weight, sparsity)))
        return self.voxels._replace(density=tables[0], colour=tables[1])

    def parameter_groups(self) -> list[Group]:
        rates = zip((self.density, self.colour), self.config.rates, self.config.final_rates, strict=True)
        return [
            Group([table], "touched_rmsprop", first, betas=(0.0, DECAY), eps=self.config.epsilon,
                  schedule=partial(self.rate_at, final / first, table is self.density))
            for table, first, final in rates
        ]  # fmt: skip

    def rate_at(self, final: float, delayed: bool, step: int) -> float:
        """Share of the first rate, which falls to `final` (code)."""
        steps, begun = self.config.delay
        share = math.sin(math.pi / 2 * min(step / steps, 1)) if delayed and steps else 1
        return (begun + (1 - begun) * share) * final ** min(step / self.config.span, 1)

    # -- coarse to fine (section 3.3) ----------------------------------------------------------------------------------

    def _grows_within(self, steps: int, step: int) -> bool:
        stage = int(self.stage)
        return stage < len(self.config.until) and step + steps >= self.config.until[stage]

    def update(self, step: int) -> bool:
        if self._grows_within(1, step):
            self.grow()
            return True
        if (step + 1) % self.config.refresh == 0:
            self.clear = clearance(self.occupied())
        return False

    @torch.no_grad()
    def occupied(self) -> Bool[Tensor, "i j k"]:
        """The cells in which there is density: rays jump over the others, which would add nothing and learn nothing."""
        least = -math.log1p(-self.config.empty) / self.walk().thickness
        there = grids.occupied_cells((self.density > least).view(self.grid), grids.coarse_shape(self.grid))
        return there & self.allowed

    @torch.no_grad()
    def kept(self, along: int) -> Bool[Tensor, "i j k"]:
        """The cells within a voxel of one that weighs enough in some picture. ValueError if none is."""
        heavy = (self.heaviest >= self.config.pruned / along).view(self.grid)
        cells = grids.occupied_cells(heavy, grids.coarse_shape(self.grid)) & self.allowed
        if not cells.any():
            raise ValueError("no voxel is seen in any picture: look at the cameras and the box (unflat data inspect)")
        return cells

    @torch.no_grad()
    def grow(self) -> None:
        """A finer grid of the same field, without what weighs too little."""
        old, along = self.row_of, self.cells_along(int(self.stage) + 1)
        cells, shape = self.kept(along), grids.grid_shape(self.low, self.high, along)
        self.stage += 1
        self.allowed = grids.kept_cells(cells, grids.coarse_shape(shape))
        self.row_of = grids.rows_within(self.allowed, shape)
        known = grids.finer(self.density.detach().view(old.shape), shape)
        self.density = nn.Parameter((known * (self.row_of >= 0)).flatten())
        self.colour = nn.Parameter(grids.finer_rows(self.colour.detach(), old, self.row_of))
        grows = int(self.stage) < len(self.config.until)  # else nobody asks any more what voxels weigh
        self.heaviest = torch.zeros(self.density.numel() if grows else 0)
        self.clear = clearance(self.occupied())
        forget_accumulators()

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        rays = camera_rays(self.scene, query, self.device)
        seen = self.march(rays, self.voxels)
        rgb, depth, opacity = pictures_along(self.scene, query, rays, seen.rgb, seen.distance, seen.through)
        return Prediction(rgb, depth, opacity=opacity)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        within = self.scene.within(points)
        speed = self.scene.speed(points, directions)
        density = torch.relu(voxel_raw(within, self.voxels)) * speed
        return density.masked_fill(is_empty(within, self.cells), 0), voxel_colour(
            within, directions, self.voxels
        ).clamp(0, 1)


# The experiments: data, settings and the published figure.


def chair() -> Experiment:
    """Table 2, Synthetic-NeRF's chair at 800 px (bring the data); the mean of its eight scenes is 31.71."""
    return Experiment(Plenoxels, Config(), Training(steps=128_000, rate=1.0, clip=0.0))


def small() -> Experiment:
    """A generated vase on two cores."""
    config = Config(
        resolutions=(64, 128, 192, 256), until=(60, 200, 500), smaller=(2, 1, 1, 1), detail=1.0, carve=True,
        batch_size=4096, step=0.75, least=3e-3, last=1e-2, density=15.0, rates=(8.0, 0.04), final_rates=(0.4, 0.002),
        span=1000, epsilon=1e-12, delay=(0, 1.0), varied_until=0, weighed=8, empty=0.01,
    )  # fmt: skip
    return Experiment(Plenoxels, config, Training(steps=1000, rate=1.0, clip=0.0), *object_splits("vase", 60, 100))


def tiny() -> Experiment:
    """A few steps on a few small pictures: shows that everything runs, learns little."""
    config = Config(
        resolutions=(12, 16), until=(2,), batch_size=64, density=3.0, rates=(3.0, 0.05), delay=(0, 1.0), weighed=2,
        pruned=0.01, refresh=2, varied_until=2,
    )  # fmt: skip
    training = Training(steps=3, rate=1.0, clip=0.0, log_every=1, validate_every=3, save_every=2)
    return Experiment(Plenoxels, config, training, *object_splits("vase", 6, 24))
