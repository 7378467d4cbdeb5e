"""Tri-planes: one scene as three feature planes and a small network that decodes what they hold at a point.

E. Chan et al. Efficient Geometry-aware 3D Generative Adversarial Networks. CVPR 2022 (EG3D), section 4: the field that
their generator paints, here learned from the pictures of one scene. Multiplied planes and sets of several sizes are
K-Planes' (S. Fridovich-Keil et al., CVPR 2023). What is empty is kept as in Instant-NGP (T. Mueller et al. 2022,
appendix C). docs/methods/triplanes.md has the figures and the reasons.

A point is projected on the planes xy, xz and yz; what they hold there is added up, and one hidden layer makes a density
and a colour of it. So the density is known only behind the network: rays are walked through the cells that are not
empty, the network is asked for densities there, and only what then weighs something is asked again, with gradients.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import max_pool3d, softplus

from unflat.data.hulls import carved
from unflat.data.kinds import Capture, Extent
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pixels_that_meet, pooled
from unflat.fields.occupancy import looked_again, occupied_lately
from unflat.fields.planes import finer_planes
from unflat.fields.triplanes import PlaneDecoder, begun, features_at, shown
from unflat.fields.voxels import grid_shape, kept_cells
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays
from unflat.kernels.accumulators import forget_accumulators
from unflat.kernels.clearance import clearance
from unflat.kernels.density_march import Weighed
from unflat.kernels.lookup import AXES, Aggregate, Box, Planes
from unflat.kernels.occupied_steps import occupied_steps
from unflat.kernels.smoothing import smoothed
from unflat.kernels.walking import Cells, Walk, composited, is_empty
from unflat.method import Group, Losses, Method, Prediction
from unflat.training.experiment import Experiment
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """EG3D's field, and what one scene needs besides."""

    channels: int = 32
    """features in each plane"""
    sides: tuple[int, ...] = (256,)
    """cells along the longest side of each set of planes, in the end; several sets stand side by side (K-Planes)"""
    growths: tuple[int, ...] = (500, 1500)
    """steps at which the planes' cells are halved"""
    aggregate: Aggregate = "sum"
    """of what the three planes hold: sum (EG3D), product (K-Planes), or concat, one after the other"""
    width: int = 64
    """of the decoder's hidden layer"""
    bands: int = 4
    """spherical harmonics of each colour: 1, 4, 9 or 16; with 1 all looks alike from everywhere, as in EG3D"""
    batch_size: int = 4096
    """rays in a step"""
    step: float = 0.75
    """between two samples of a ray, in cells of the largest planes"""
    density_scale: float = 25.0
    """softplus of the raw density, times this, is the density: absorption per unit of length"""
    density_shift: float = 1.0
    """taken off the raw density (EG3D)"""
    least: float = 1e-3
    """weight in the picture under which a sample is left out"""
    smoothness: float = 0.0
    """weight of the planes' roughness, divided by the batch size, where a step touches; few views need some"""
    cells: int = 64
    """along the longest side of the grid that says what is empty"""
    refresh: int = 50
    """steps between two looks at what is empty"""
    fading: float = 0.95
    """what is left, at each look, of the opacity that a cell once had (Instant-NGP)"""
    empty: float = 0.01
    """opacity of a step under which a cell is empty, unless the mean is lower (Instant-NGP)"""
    least_seen: float = 0.04
    """share of the pictures that have to see a place of a space without end"""
    rates: tuple[float, float] = (1.0, 0.1)
    """of planes and of the decoder, times the run's"""


SAMPLES_AT_ONCE = 2**19
"""of which the network is asked without gradient"""


class TriPlanes(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """Feature planes and a decoder that are fitted to the pictures of one scene."""

    low: Tensor
    high: Tensor
    shapes: Tensor
    allowed: Tensor
    opacity: Tensor
    clear: Tensor
    background: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        box = torch.tensor(self.scene.limits)
        self.register_buffer("background", torch.tensor(self.scene.backdrop))
        parts = 3 if config.aggregate == "concat" else 1
        self.decoder = PlaneDecoder(len(config.sides) * parts * config.channels, 3 * config.bands, config.width)
        self._begin(box[:3].clone(), box[3:].clone(), torch.ones(1, 1, 1, dtype=torch.bool))

    def _begin(self, low: Tensor, high: Tensor, allowed: Bool[Tensor, "i j k"]) -> None:
        """Planes of the first size over a box, of which something may be in the cells that are allowed."""
        config = self.config
        shapes = [grid_shape(low, high, max(4, side >> len(config.growths))) for side in config.sides]
        planes = (plane for shape in shapes for plane in begun(shape, config.channels, config.aggregate))
        self.planes = nn.ParameterList(planes)
        x, y, z = (n - 1 for n in grid_shape(low, high, config.cells))
        allowed = kept_cells(allowed, (x, y, z))
        state = {"low": low, "high": high, "shapes": torch.tensor(shapes), "allowed": allowed,
                 "opacity": allowed.float(), "clear": clearance(allowed)}  # fmt: skip
        for name, value in state.items():
            self.register_buffer(name, value)

    # -- before learning -----------------------------------------------------------------------------------------------

    def prepare(self, data: Capture) -> None:
        """Carve the box with the pictures' silhouettes, and draw it tight; leave out what few see of a space without
        end."""
        inside, low, high = carved(data, self.low, self.high, self.config.least_seen)
        self._begin(low, high, inside)

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        pool, within = RayPool(data), Cells(self.low, self.high, clearance(self.allowed))
        among = pixels_that_meet(pool, within, self.walk()) if self.scene.space == "box" else None
        return pooled(pool, self.config.batch_size, seed=seed, start=step, among=among)

    # -- the field -----------------------------------------------------------------------------------------------------

    @property
    def cells(self) -> Cells:
        return Cells(self.low, self.high, self.clear)

    def walk(self, key: int = 0) -> Walk:
        config, cells = self.config, int(self.shapes.max()) - 1
        step = config.step * float((self.high - self.low).max()) / cells
        contracted, thickness = self.scene.space == "contracted", step * config.density_scale
        return Walk(step, contracted, thickness, config.density_shift, key, least=config.least)

    def features(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n f"]:
        """What the planes hold at points of the walk's coordinates."""
        config, sets = self.config, []
        for i, (x, y, z) in enumerate(self.shapes.tolist()):
            xy, xz, yz = (
                smoothed(plane, plane.new_empty((x, y, z)[a], (x, y, z)[b], 1, dtype=torch.int32), self.smoothness)
                for plane, (a, b) in zip(self.planes[3 * i : 3 * i + 3], AXES, strict=True)
            )
            sets.append(Planes((xy, xz, yz), (x, y, z), config.aggregate))
        return features_at(points, sets, Box(self.low, self.high))

    @property
    def smoothness(self) -> float:
        return self.config.smoothness / self.config.batch_size

    @torch.no_grad()
    def raw_densities(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        pieces = torch.split(points, SAMPLES_AT_ONCE)
        return torch.cat([self.decoder.densities(self.features(piece)) for piece in pieces])

    def march(self, rays: Rays, key: int = 0) -> tuple[Weighed, Float[Tensor, "r 3"], int]:
        """The samples that weigh something, the picture, and how many samples there were to choose from."""
        walk = self.walk(key)
        steps = occupied_steps(rays, self.cells, walk)
        weight = composited(self.raw_densities(steps.points) - walk.shift, steps.ray, len(rays), walk).weight
        kept: Int[Tensor, "m"] = (weight > walk.least).nonzero()[:, 0]
        ray, points = steps.ray[kept], steps.points[kept]
        raw, numbers = self.decoder(self.features(points))
        found = composited(raw - walk.shift, ray, len(rays), walk)
        seen = Weighed(found.weight, ray, steps.t[kept], points, found.through)
        rgb = seen.gathered(shown(numbers, rays.sights[ray])) + seen.through[:, None] * self.background
        return seen, rgb, len(steps.t)

    # -- learning ------------------------------------------------------------------------------------------------------

    def losses(self, batch: RayBatch, step: int) -> Losses:
        seen, rgb, asked = self.march(batch.rays, key=seed_of(step, 1))
        error = (rgb - batch.rgb).square().mean()
        counts = {"samples asked": torch.tensor(asked / len(batch)), "samples": torch.tensor(len(seen.t) / len(batch))}
        return Losses({"photometric": error}, {"PSNR": -10 * error.detach().log10(), **counts})

    def parameter_groups(self) -> list[Group]:
        planes, decoder = self.config.rates
        tables = [Group([plane], "touched", planes, betas=(0.9, 0.99), eps=1e-12) for plane in self.planes]
        return [*tables, Group(list(self.decoder.parameters()), rate=decoder, betas=(0.9, 0.99))]

    def update(self, step: int) -> bool:
        if (step + 1) % self.config.refresh == 0:
            self.look(step)
        if step + 1 in self.config.growths:
            self.grow()
            return True
        return False

    @torch.no_grad()
    def look(self, step: int) -> None:
        """Ask each cell that is allowed for its opacity somewhere in it; what it had fades (Instant-NGP)."""
        config, walk, drawn = self.config, self.walk(), torch.Generator().manual_seed(seed_of(step, 2))

        def opacity_of(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
            return -torch.expm1(-walk.thickness * softplus(self.raw_densities(points) - walk.shift))

        cells = self.allowed.nonzero()
        self.opacity = looked_again(self.opacity, cells, self.low, self.high, opacity_of, config.fading, drawn)
        there = occupied_lately(self.opacity, self.allowed, config.empty)
        self.clear = clearance((max_pool3d(there[None].float(), 3, 1, 1)[0] > 0) & self.allowed)

    @torch.no_grad()
    def grow(self) -> None:
        """The same field on planes of half the cells."""
        finer, planes = (self.shapes - 1) * 2 + 1, []
        for i, (old, new) in enumerate(zip(self.shapes.tolist(), finer.tolist(), strict=True)):
            planes += finer_planes(list(self.planes)[3 * i : 3 * i + 3], tuple(old), tuple(new))
        self.planes = nn.ParameterList(planes)
        self.shapes = finer
        forget_accumulators()

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        rays = camera_rays(self.scene, query, self.device)
        seen, rgb, _ = self.march(rays)
        rgb, depth, opacity = pictures_along(self.scene, query, rays, rgb, seen.distance, seen.through)
        return Prediction(rgb, depth, opacity=opacity)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        within, config = self.scene.within(points), self.config
        raw, numbers = self.decoder(self.features(within))
        density = config.density_scale * softplus(raw - config.density_shift)
        density = density * self.scene.speed(points, directions)
        return density.masked_fill(is_empty(within, self.cells), 0), shown(numbers, directions).clamp(0, 1)


# The experiments: data and settings. There is no published figure of one scene.


def chair() -> Experiment:
    """Planes of EG3D's size on Synthetic-NeRF's chair at 800 px (bring the data)."""
    return Experiment(TriPlanes, Config(), Training(steps=10_000, rate=0.02, schedule="exponential", clip=0.0))


def small() -> Experiment:
    """A generated vase on two cores."""
    config = Config(channels=16, sides=(128,), growths=(200, 500), width=32, batch_size=1024, step=1.0)
    training = Training(steps=1500, rate=0.1, schedule="exponential", clip=0.0)
    return Experiment(TriPlanes, config, training, *object_splits("vase", 60, 100))


def tiny() -> Experiment:
    """A few steps on a few small pictures: shows that everything runs, learns little."""
    config = Config(channels=4, sides=(8, 16), growths=(2,), width=8, bands=1, batch_size=64, cells=8, refresh=2)
    training = Training(steps=3, rate=0.02, clip=0.0, log_every=1, validate_every=3, save_every=2)
    return Experiment(TriPlanes, config, training, *object_splits("vase", 6, 24))
