"""Quick surface: the shape of an object as a grid of signed distances, in seconds on a CPU, without a network. Ours.

What is published and what is not: the opacity of a distance is NeuS's (Wang et al. 2021), that it is learned on a grid
of voxels, without a network, Voxurf's (Wu et al. 2022) and others'; the eikonal term is Gropp et al.'s (2020). What
makes it quick: it begins with the depth of the pictures themselves (`outputs/stereo.py`), as the surface on which that
of all views agrees (Curless and Levoy 1996); the walk along each ray, the compositing and all gradients are one loop
(`kernels/distance_march.py`); and only a band of a few voxels around the surface is ever looked at.
docs/methods/quick_surface.md has the figures and the reasons.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import log
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unflat.data.hulls import near_object, object_box, pixels_of_box
from unflat.data.kinds import Capture, Extent, Scene
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pooled
from unflat.data.scenes import footprint
from unflat.fields.voxels import (
    coarse_shape,
    finer,
    finer_rows,
    grid_shape,
    occupied_cells,
    plain_harmonics,
    rows_within,
)
from unflat.geometry.cameras import Cameras
from unflat.geometry.depth import normals_of
from unflat.geometry.spaces import Rays
from unflat.kernels.accumulators import forget_accumulators
from unflat.kernels.clearance import clearance
from unflat.kernels.distance_march import Approach, Distances, Met, colour_at, distance_at, distance_march, facing
from unflat.kernels.distance_terms import Band, with_terms
from unflat.kernels.walking import Cells
from unflat.method import Group, Losses, Method, Prediction, hosted
from unflat.outputs.foreground import Foreground, distances_between, object_between
from unflat.outputs.fusion import depth_maps
from unflat.outputs.stereo import SmallViews
from unflat.training.experiment import Experiment
from unflat.training.fitting import fitted
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The settings."""

    host_steps: int = 500
    """steps in which the quick grid learns what is around the object, where pictures have no opacity"""
    host_experiment: str = "surroundings"
    """its settings: of one of the quick grid's experiments"""
    detail: float = 1.3
    """pixels that a voxel of the last stage is wide, at the middle of the scene"""
    most: int = 256
    """voxels along the longest side, however small the pixels"""
    stages: tuple[float, ...] = (1.0, 1.0)
    """voxels along a side in each stage, as a share of the last one's"""
    until: tuple[int, ...] = (80,)
    """steps of distances with which each stage but the last ends"""
    batch_size: int = 2048
    """rays in a step"""
    bands: tuple[int, ...] = (1, 4)
    """spherical harmonics of each colour in each stage: 1, 4, 9 or 16. Where colours depend on the view from the first
    stage on, what is hollow is filled"""
    step: float = 0.7
    """between two samples of a ray, in voxels"""
    least: float = 1e-3
    """weight in the picture under which a section of a ray is left out"""
    over: int = 300
    """steps of distances in which sharpness and rates go from first to last"""
    sharpness: tuple[float, float] = (5.0, 6.0)
    """s of NeuS at first and at last, in 1 / voxel of the last stage"""
    rates: tuple[float, float] = (0.1, 0.3)
    """learning rates of distance, in voxels, and of colour, times the run's"""
    decay: float = 0.1
    """what is left of the rates at last"""
    eikonal: float = 5e-5
    """weight of slopes other than 1, a voxel (`kernels/distance_terms.py`)"""
    curvature: float = 1e-4
    """weight of what is not smooth, a voxel"""
    blur: float = 0.7
    """deviation, in voxels, with which the first distances are smoothed"""
    band: float = 4.0
    """voxels from the surface up to which there are colours, and both terms act"""
    margin: float = 2.0
    """voxels from the surface up to which rays are sampled, at least"""
    far: float = 4.0
    """and what 1 / sharpness is multiplied with, if that is more: what is further takes away nothing"""
    refresh: int = 150
    """steps between two looks at where the surface is"""


HOST_SIDE = 100
"""pixels of the quick grid's depth"""
FINALLY = 10**9
"""the step with which everything is drawn: after the last"""


def has_silhouettes(scene: Scene) -> bool:
    """Whether the pictures themselves say where the object is: then no host is needed."""
    return scene.background is not None and scene.space == "box"


class QuickSurface(
    Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "normals", "opacity"),
    field_gives="distance",
):  # fmt: skip
    """Signed distances and colours in voxels, fitted to the pictures of one object."""

    low: Tensor
    high: Tensor
    pixel: Tensor
    row_of: Tensor
    clear: Tensor
    banded: Tensor
    background: Tensor
    stage: Tensor
    finest: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        box = torch.tensor(self.scene.limits)
        silhouettes = has_silhouettes(self.scene)
        self.host: Any = None if silhouettes else hosted("quick_grid", extent, config.host_experiment)
        self.photos, self.begins = SmallViews(), 0 if silhouettes else config.host_steps
        self.register_buffer("low", box[:3].clone())
        self.register_buffer("high", box[3:].clone())
        self.register_buffer("stage", torch.tensor(0 if silhouettes else -1))  # -1: the host's
        self.register_buffer("finest", torch.tensor(config.most))
        self.register_buffer("pixel", torch.tensor(0.0))
        self.register_buffer("background", torch.tensor(self.scene.backdrop))
        self.register_buffer("row_of", torch.full((2, 2, 2), -1, dtype=torch.int32))
        self.register_buffer("clear", torch.ones(1, 1, 1, dtype=torch.uint8))
        self.register_buffer("banded", torch.zeros(1, 1, 1, dtype=torch.bool))
        self.distance = nn.Parameter(torch.ones(8))
        self.colour = nn.Parameter(torch.zeros(0, 3 * config.bands[0]))

    @property
    def voxel(self) -> float:
        """Its side in this stage."""
        share = self.config.stages[max(0, int(self.stage))]
        return float((self.high - self.low).max()) / max(4, round(int(self.finest) * share))

    @classmethod
    def suited(cls, experiment: Experiment, data: Capture, started: bool = False) -> tuple[Experiment, dict[str, str]]:
        if started or has_silhouettes(data.scene):
            return experiment, {}
        steps = experiment.training.steps + experiment.config.host_steps
        around = "no silhouettes: what is around the object is learned, too"
        return fitted(experiment, {"training.steps": (steps, around)})

    # -- what the surface begins with ----------------------------------------------------------------------------------

    def prepare(self, data: Capture) -> None:
        """Draw the box tight around the object, if silhouettes show it, and keep where it was seen from."""
        if self.scene.space == "ndc":
            raise ValueError(
                "quick_surface needs cameras that look at an object from several sides; these all look the same way "
                "(ndc). Walk around the object, or take another method"
            )
        self.low, self.high = object_box(data, self.low, self.high)
        self.pixel = torch.tensor(footprint(data))
        self.photos.keep(data)
        self.begin() if self.host is None else self.host.prepare(data)

    @torch.no_grad()
    def begin(self) -> None:
        """The distance to where depth maps agree that the object is, and its colours there."""
        with torch.device("cpu"):  # where cameras, pictures and depth maps are, whatever device learns
            known = depth_maps(self.host, self.photos.views, HOST_SIDE) if self.host is not None else []
            found = object_between(known, self.scene.box) if self.endless else Foreground.whole(self.low, self.high)
            maps = self.photos.maps(found, known)
            self.low, self.high = found.low.to(self.low), found.high.to(self.high)
            side = float((self.high - self.low).max())
            finest = min(self.config.most, round(side / (self.config.detail * float(self.pixel))))
            self.finest.fill_(max(8, finest))
            self.stage.fill_(0)
            shape = grid_shape(found.low, found.high, round(side / self.voxel))
            apart = distances_between(maps, found, shape, self.config.blur)
        self.distance = nn.Parameter(apart.flatten().to(self.low))
        self.settle(shape)
        with torch.device("cpu"):
            rgb = self.photos.colours(maps, self.row_of, found, self.config.band * self.voxel)
        self.colour = nn.Parameter(plain_harmonics(rgb, self.config.bands[0]).to(self.low))
        self.photos.forget()
        if self.endless:
            self.host.remove(found.holds)
        forget_accumulators()

    # -- learning ------------------------------------------------------------------------------------------------------

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        if self.stage < 0:
            return self.host.batches(data, step, seed)
        among = near_object(data) if data.has_alpha and not self.endless else None
        if self.endless:
            among = pixels_of_box(data, self.low.cpu(), self.high.cpu())
        return pooled(RayPool(data), self.config.batch_size, seed=seed, start=step, among=among)

    def losses(self, batch: RayBatch, step: int) -> Losses:
        if self.stage < 0:
            return self.host.losses(batch, step)
        key, background, rgb = seed_of(step, 1), self.background, batch.rgb
        if batch.opacity is not None:  # before any colour: else what has the background's is left out, or made up
            shade = torch.rand(3, generator=torch.Generator().manual_seed(key % 2**63)).to(background)
            rgb, background = rgb + (1 - batch.opacity)[:, None] * (shade - background), shade
        weight = 1 / len(batch)
        distance = with_terms(self.distance, self.band, self.config.eikonal * weight, self.config.curvature * weight)
        seen = self.march(batch.rays, self.grid(distance), self.approach(step, key), background)
        error = (seen.rgb - rgb).square().mean()
        figures = {"PSNR": -10 * error.detach().log10(), "sections": seen.sections.float().mean()}
        return Losses({"photometric": error}, figures)

    def march(self, rays: Rays, grid: Distances, approach: Approach, background: Float[Tensor, "3"]) -> Met:
        """What rays see; of a space without end, before what the host has learned of what is around the object."""
        met = distance_march(rays, grid, approach, background)
        if not self.endless:
            return met
        near = torch.where(met.through > self.config.least, rays.near, rays.far)
        with torch.no_grad():
            beyond = self.host.march(replace(rays, near=near))
        rgb = met.rgb + met.through[:, None] * (beyond.rgb - background)
        return Met(rgb, met.through * beyond.through, met.distance + met.through * beyond.distance, met.sections)

    @property
    def endless(self) -> bool:
        """Whether the object stands before something that the pictures show, too."""
        return self.scene.space == "contracted"

    def grid(self, distance: Float[Tensor, "v"]) -> Distances:
        return Distances(distance, self.colour, self.row_of, Cells(self.low, self.high, self.clear))

    @property
    def band(self) -> Band:
        return Band.of(self.row_of, self.voxel)

    def approach(self, step: int, key: int = 0) -> Approach:
        first, last = self.config.sharpness
        sharpness = first * (last / first) ** self.done(step) * int(self.finest) / float((self.high - self.low).max())
        return Approach(self.config.step * self.voxel, sharpness, key, least=self.config.least)

    def done(self, step: int) -> float:
        """The share of the schedules that is over."""
        return min(1.0, max(0.0, (step - self.begins) / self.config.over))

    def parameter_groups(self) -> list[Group]:
        if self.stage < 0:
            return [*self.host.parameter_groups(), Group([self.distance, self.colour])]
        of_distance, of_colour = self.config.rates
        rates = ((self.distance, of_distance * self.voxel), (self.colour, of_colour))

        def schedule(step: int) -> float:
            return float(self.config.decay ** self.done(step))

        return [Group([p], "touched", 2 * rate, betas=(0.9, 0.99), eps=1e-12, schedule=schedule) for p, rate in rates]

    def update(self, step: int) -> bool:
        config, done = self.config, step + 1 - self.begins
        if self.stage < 0:
            if done < 0:
                return self.host.update(step)
            self.begin()
            return True
        if int(self.stage) < len(config.until) and done == config.until[int(self.stage)]:
            self.grow()
            return True
        if done % config.refresh == 0:
            reach = max(config.margin * self.voxel, config.far / self.approach(step).sharpness)
            self.clear = clearance(self.near_surface(reach) & self.banded)
        return False

    def near_surface(self, reach: float) -> Bool[Tensor, "i j k"]:
        """The coarse cells in which distances are under `reach`."""
        there = self.distance.detach().view(self.row_of.shape).abs() < reach
        return occupied_cells(there, coarse_shape(self.row_of.shape))  # type: ignore[arg-type]

    def settle(self, shape: tuple[int, int, int]) -> None:
        """A new grid's band, all of which is sampled until the next look."""
        self.row_of = torch.empty(shape, dtype=torch.int32, device=self.low.device)
        self.banded = self.near_surface(self.config.band * self.voxel)
        self.row_of = rows_within(self.banded, shape).to(self.low.device)
        self.clear = clearance(self.banded)

    @torch.no_grad()
    def grow(self) -> None:
        """The next stage's voxels, with what the last stage's have learned."""
        before, distance = self.row_of, self.distance.detach()
        self.stage += 1
        shape = grid_shape(self.low, self.high, round(float((self.high - self.low).max()) / self.voxel))
        self.distance = nn.Parameter(finer(distance.view(before.shape), shape).flatten())
        self.settle(shape)
        colour = finer_rows(self.colour.detach(), before, self.row_of)
        colour = colour.view(len(colour), 3, -1)
        more = self.config.bands[int(self.stage)] - colour.shape[2]
        self.colour = nn.Parameter(nn.functional.pad(colour, (0, more)).flatten(1))
        forget_accumulators()

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        if self.stage < 0:
            return self.host.predict(query)
        rays, grid = camera_rays(self.scene, query, self.device), self.grid(self.distance)
        met = self.march(rays, grid, self.approach(FINALLY), self.background)
        rgb, depth, opacity = pictures_along(self.scene, query, rays, met.rgb, met.distance, met.through)
        if self.endless:  # what is around has no distances
            return Prediction(rgb, depth, normals_of(depth, query.pinhole), opacity=opacity)
        mean = met.distance / (1 - met.through).clamp_min(1e-6)
        outwards = facing(rays.origins + mean[:, None] * rays.directions, rays.sights, grid, self.voxel).cpu()
        normals = query.camera_from_world.turn(outwards.view(len(query), -1, 3)).view(rgb.shape).to(rgb)
        return Prediction(rgb, depth, normals.where(depth.isfinite()[..., None], torch.nan), opacity=opacity)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        if self.stage < 0:  # of the host, 0 where a voxel takes half of the light
            density, rgb = self.host.field(points, directions)
            return self.voxel * (1 - density * self.voxel / log(2)), rgb
        grid = self.grid(self.distance)
        # what reaches the box's faces ends there
        outside = torch.maximum(self.low - points, points - self.high).amax(1)
        return distance_at(points, grid).maximum(outside), colour_at(points, directions, grid)


def small() -> Experiment:
    """A generated vase on two cores."""
    training = Training(steps=300, rate=0.5, schedule="constant", clip=0.0)
    return Experiment(QuickSurface, Config(), training, *object_splits("vase", 60, 200))


def tiny() -> Experiment:
    """A few steps on a few small pictures: shows that everything runs, learns little."""
    few = {"host_experiment": "tiny", "host_steps": 2, "detail": 1.0, "stages": (0.8, 1.0), "until": (1,)}
    config = Config(batch_size=64, over=2, refresh=1, **few)  # type: ignore[arg-type]
    training = Training(steps=5, rate=0.5, clip=0.0, log_every=1, validate_every=4, save_every=3)
    return Experiment(QuickSurface, config, training, *object_splits("vase", 6, 24))
