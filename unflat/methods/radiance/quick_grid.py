"""Quick grid: a radiance field of one scene in seconds on a CPU. Voxels and spherical harmonics, no network. Ours.

What is published and what is not: a voxel grid of densities and spherical harmonics that is optimised directly is
Plenoxels (Fridovich-Keil et al. 2022), interpolating before the nonlinearity, growth and free space are DVGO's (Sun et
al. 2022), spaces without end are contracted as in mip-NeRF 360 (Barron et al. 2022). What makes it quick: the walk
along each ray, the interpolation, the compositing and all of their gradients are one loop (`kernels/voxel_march.py`),
only voxels that a ray has touched are updated, and silhouettes, where the pictures have them, say from the first step
on what is empty. docs/methods/quick_grid.md has the figures and the reasons.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unflat.data.captures import smaller
from unflat.data.hulls import carved, near_object
from unflat.data.kinds import Capture, Extent
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pooled
from unflat.data.scenes import footprint
from unflat.fields.voxels import (
    coarse_shape,
    finer,
    finer_rows,
    grid_shape,
    kept_cells,
    occupied_cells,
    places_of,
    rows_within,
)
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays, out_of_space
from unflat.kernels.accumulators import forget_accumulators
from unflat.kernels.clearance import clearance
from unflat.kernels.smoothing import smoothed
from unflat.kernels.voxel_march import Marched, Voxels, voxel_colour, voxel_march, voxel_raw
from unflat.kernels.walking import Cells, Walk, is_empty
from unflat.method import Group, Losses, Method, Prediction
from unflat.training.experiment import Experiment
from unflat.training.fitting import fitted
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The settings."""

    detail: float = 1.0
    """pixels that a voxel of the last stage is wide, at the middle of the scene"""
    most: int = 256
    """voxels along the longest side, however small the pixels"""
    stages: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)
    """voxels along a side in each stage, as a share of the last one's"""
    until: tuple[int, ...] = (60, 200, 500)
    """the step with which each stage but the last ends"""
    smaller: tuple[int, ...] = (2, 1, 1, 1)
    """how many times smaller the pictures are that each stage learns from"""
    batch_size: int = 4096
    """rays in a step"""
    bands: int = 4
    """spherical harmonics of each colour: 1, 4, 9 or 16"""
    step: float = 0.75
    """between two samples of a ray, in voxels"""
    least: float = 3e-3
    """weight in the picture under which a sample is left out"""
    last: float = 1e-2
    """of what passes, under which a ray ends"""
    density_scale: float = 75.0
    """softplus of the raw density, times this, is the density: absorption per unit of length"""
    density_shift: float = 4.0
    """taken off the raw density: all begins nearly empty"""
    rates: tuple[float, float] = (1.5, 0.4)
    """learning rates of density and of colour, times the run's"""
    refresh: int = 100
    """steps between two looks at what is empty"""
    empty: float = 0.01
    """opacity of a voxel in one step, under which it counts as empty"""
    least_seen: float = 0.04
    """share of the pictures that have to see a place of a space without end"""
    smoothness: tuple[float, float] = (0.0, 0.0)
    """weights of the roughness of raw density and of colour, divided by the batch size, where a step touches"""
    distortion: float = 0.0
    """weight of how far apart what a ray sees lies (mip-NeRF 360, eq. 15)"""
    opacity_weight: float = 0.0
    """weight of opacity: the pictures', where they have one, and that of a space without end, where all is opaque"""


NOTHING = -100.0
"""raw density where nothing is"""
FEW, SMOOTH = 30, (1e-5, 5e-5)
"""pictures under which a capture has few, and how smooth it then is learned: `Config.smoothness`"""


class QuickGrid(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """A voxel grid that is fitted to the pictures of one scene."""

    low: Tensor
    high: Tensor
    row_of: Tensor
    clear: Tensor
    allowed: Tensor
    background: Tensor
    stage: Tensor
    finest: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        box = torch.tensor(self.scene.limits)
        self.register_buffer("low", box[:3].clone())
        self.register_buffer("high", box[3:].clone())
        self.register_buffer("stage", torch.tensor(0))
        self.register_buffer("finest", torch.tensor(config.most))
        self.register_buffer("background", torch.tensor(self.scene.backdrop))
        self._begin(torch.ones(1, 1, 1, dtype=torch.bool))

    def _begin(self, allowed: Bool[Tensor, "i j k"]) -> None:
        """An empty grid in the first stage's cells, which may hold something where it is allowed."""
        shape = grid_shape(self.low, self.high, self.cells)
        self.register_buffer("allowed", allowed)
        self.density = nn.Parameter(torch.zeros(shape).flatten())
        self.register_buffer("row_of", torch.empty(shape, dtype=torch.int32))
        self.register_buffer("clear", torch.empty(0, dtype=torch.uint8))
        self._keep(kept_cells(allowed, coarse_shape(shape)))
        self.colour = nn.Parameter(torch.zeros(int(self.row_of.max()) + 1, 3 * self.config.bands))

    @property
    def cells(self) -> int:
        """Between the voxels of the longest side in this stage."""
        return max(4, round(int(self.finest) * self.config.stages[int(self.stage)]))

    def _keep(self, cells: Bool[Tensor, "i j k"]) -> None:
        """What is empty from now on: all but these cells. ValueError if that is everything."""
        if not cells.any():
            raise ValueError("all of the box is empty: look at the cameras and the box (unflat data inspect)")
        self.clear = clearance(cells)
        self.row_of = rows_within(cells, tuple(self.row_of.shape))  # type: ignore[arg-type]

    @classmethod
    def suited(cls, experiment: Experiment, data: Capture, started: bool = False) -> tuple[Experiment, dict[str, str]]:
        if started:
            return experiment, {}
        chosen: dict[str, tuple[object, str]] = {}
        by_heart = "what few pictures see is learned by heart unless it is kept smooth"
        if data.scene.space == "contracted":
            emptier = "a space without end begins emptier: else it fills with haze before the cameras"
            chosen = {
                "config.most": (192, "a space without end: settled on a hand-held capture (docs/LOG.md)"),
                "config.step": (1.0, "a space without end: as good as shorter ones there, and quicker"),
                "config.density_shift": (6.0, emptier),
                "config.least": (1e-3, emptier),
                "config.distortion": (2e-2, "a space without end: else haze before the cameras helps each picture"),
                "config.opacity_weight": (5e-3, "a space without end: else what is grey is left out"),
                "config.smoothness": ((4e-5, 2e-5), by_heart),
            }
        if data.scene.space == "box" and len(data) < FEW:
            chosen["config.smoothness"] = SMOOTH, by_heart
        return fitted(experiment, chosen)

    # -- what is empty before learning ---------------------------------------------------------------------------------

    def prepare(self, data: Capture) -> None:
        """Carve the box with the pictures' silhouettes and draw it tight; make voxels as fine as the pixels are."""
        inside, self.low, self.high = carved(data, self.low, self.high, self.config.least_seen)
        side = float((self.high - self.low).max()) / (self.config.detail * footprint(data))
        self.finest = torch.tensor(min(self.config.most, round(side)))
        self._begin(inside)

    # -- learning ------------------------------------------------------------------------------------------------------

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        data = smaller(data, self.config.smaller[int(self.stage)])
        among = near_object(data) if data.has_alpha and self.scene.space == "box" else None
        return pooled(RayPool(data), self.config.batch_size, seed=seed, start=step, among=among)

    def losses(self, batch: RayBatch, step: int) -> Losses:
        seen = self.march(batch.rays, key=seed_of(step, 1))
        error = (seen.rgb - batch.rgb).square().mean()
        terms = {"photometric": error}
        if self.config.distortion:
            terms["distortion"] = self.config.distortion * seen.spread.mean()
        opacity = batch.opacity
        if opacity is None and self.scene.space != "box":
            opacity = torch.ones_like(seen.through)
        if self.config.opacity_weight and opacity is not None:
            terms["opacity"] = self.config.opacity_weight * (1 - seen.through - opacity).square().mean()
        return Losses(terms, {"PSNR": -10 * error.detach().log10(), "samples": seen.samples.float().mean()})

    def march(self, rays: Rays, key: int = 0) -> Marched:
        return voxel_march(rays, self.voxels, self.walk(key), self.background)

    @property
    def voxels(self) -> Voxels:
        density, colour = (weight / self.config.batch_size for weight in self.config.smoothness)
        return Voxels(
            smoothed(self.density, self.row_of, density), smoothed(self.colour, self.row_of, colour), self.row_of,
            Cells(self.low, self.high, self.clear),
        )  # fmt: skip

    def walk(self, key: int = 0) -> Walk:
        step = self.config.step * float((self.high - self.low).max()) / self.cells
        return Walk(
            step, self.scene.space == "contracted", thickness=step * self.config.density_scale,
            shift=self.config.density_shift, key=key, least=self.config.least, last=self.config.last,
        )  # fmt: skip

    def parameter_groups(self) -> list[Group]:
        density, colour = self.config.rates
        rates = ((self.density, density), (self.colour, colour))
        return [Group([p], "touched", rate, betas=(0.9, 0.99), eps=1e-12) for p, rate in rates]

    def update(self, step: int) -> bool:
        config, stage = self.config, int(self.stage)
        if stage < len(config.until) and step + 1 == config.until[stage]:
            self.grow()
            return True
        if (step + 1) % config.refresh == 0:
            self.clear = clearance(self.occupied())
        return False

    @torch.no_grad()
    def occupied(self) -> Bool[Tensor, "i j k"]:
        walk = self.walk()
        thickness = walk.thickness * nn.functional.softplus(self.density.view(self.row_of.shape) - walk.shift)
        shape = coarse_shape(self.row_of.shape)  # type: ignore[arg-type]
        there = occupied_cells(-torch.expm1(-thickness) > self.config.empty, shape)
        return there & kept_cells(self.allowed, shape)

    @torch.no_grad()
    def grow(self) -> None:
        """The next stage's voxels, with what the last stage's have learned."""
        before = self.row_of
        self.stage += 1
        shape = grid_shape(self.low, self.high, self.cells)
        density = finer(self.density.detach().view(before.shape), shape)
        self.density = nn.Parameter(density.flatten())
        self.row_of = torch.empty(shape, dtype=torch.int32)
        self._keep(self.occupied())
        self.colour = nn.Parameter(finer_rows(self.colour.detach(), before, self.row_of))
        forget_accumulators()

    @torch.no_grad()
    def remove(self, there: Callable[[Float[Tensor, "n 3"]], Bool[Tensor, "n"]]) -> None:
        """Empty the voxels at places of the scene's frame for which `there` holds."""
        with torch.device("cpu"):
            places = places_of(tuple(self.row_of.shape), self.low.cpu(), self.high.cpu())  # type: ignore[arg-type]
            gone = there(out_of_space(places, self.scene.space, self.scene.window))
        self.density.masked_fill_(gone.to(self.density.device), NOTHING)
        self.clear = clearance(self.occupied())

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        rays = camera_rays(self.scene, query, self.device)
        seen = self.march(rays)
        rgb, depth, opacity = pictures_along(self.scene, query, rays, seen.rgb, seen.distance, seen.through)
        return Prediction(rgb, depth, opacity=opacity)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        within = self.scene.within(points)
        raw, config = voxel_raw(within, self.voxels), self.config
        density = config.density_scale * nn.functional.softplus(raw - config.density_shift)
        density = density * self.scene.speed(points, directions)
        empty = is_empty(within, self.voxels.cells)
        return density.masked_fill(empty, 0), voxel_colour(within, directions, self.voxels)


def small() -> Experiment:
    """A generated vase on two cores."""
    training = Training(steps=1000, rate=0.5, schedule="exponential", clip=0.0)
    return Experiment(QuickGrid, Config(), training, *object_splits("vase", 60, 100))


def surroundings() -> Experiment:
    """What is around an object, and the object for a start (`quick_surface`): no finer than that needs."""
    config = Config(
        most=96, step=1.0, density_shift=6.0, least=1e-3, distortion=2e-2, opacity_weight=5e-3, smoothness=(4e-5, 2e-5),
        until=(60, 150, 300), smaller=(2, 2, 1, 1),
    )  # fmt: skip
    training = Training(steps=500, rate=0.5, schedule="exponential", clip=0.0)
    return Experiment(QuickGrid, config, training, *object_splits("vase", 60, 100, around="dome"))


def tiny() -> Experiment:
    """A few steps on a few small pictures: shows that everything runs, learns little."""
    config = Config(
        detail=2.0, stages=(0.7, 1.0), until=(2,), smaller=(2, 1), batch_size=64, refresh=2, smoothness=SMOOTH
    )
    training = Training(steps=3, rate=0.5, clip=0.0, log_every=1, validate_every=3, save_every=2)
    return Experiment(QuickGrid, config, training, *object_splits("vase", 6, 24))
