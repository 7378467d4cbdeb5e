"""Instant-NGP: small networks on hash grids of many finenesses, and a grid of what is empty.

T. Mueller, A. Evans, C. Schied, A. Keller. Instant Neural Graphics Primitives with a Multiresolution Hash Encoding.
ACM Transactions on Graphics (SIGGRAPH) 2022. Equation and section numbers are the paper's; what only the released
program says is marked so.

A place is looked up in grids from coarse to fine. What has more corners than a level may have rows shares rows, as a
hash of the corner says (eq. 4); which of those that share one matters is left to learning. One small network makes a
density and a feature of all levels, another a colour of the feature and the direction (section 5.4). A grid of cells
remembers where there was density lately, so that rays jump over what is empty (appendix E). Differences from the paper
are in docs/methods/instant_ngp.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import relu

from unflat.data.hulls import carved, near_object
from unflat.data.kinds import Capture, Extent
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pooled
from unflat.data.scenes import footprint
from unflat.fields.hashgrid import HashGrid
from unflat.fields.occupancy import looked_again, occupied_lately
from unflat.fields.voxels import kept_cells
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays
from unflat.geometry.spherical_harmonics import harmonics
from unflat.kernels.clearance import clearance
from unflat.kernels.density_march import Decoded, Weighed, decoded_march
from unflat.kernels.hash_lookup import hash_looked_up
from unflat.kernels.lookup import Box
from unflat.kernels.walking import Cells, Walk, is_empty, spread_of, weighed
from unflat.method import Group, Losses, Method, Prediction, Symptom
from unflat.training.experiment import Experiment
from unflat.training.fitting import fitted
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The paper's settings."""

    levels: int = 16
    """L"""
    features: int = 2
    """F, numbers in a row"""
    log2_rows: int = 19
    """log2 T: rows of a level, at most"""
    coarsest: int = 16
    """N_min, cells along a side of the box"""
    finest: int = 2048
    """N_max"""
    width: int = 64
    """of the networks' hidden layers"""
    feature: int = 16
    """numbers that the density's network gives: the first is the density's logarithm"""
    harmonics: int = 16
    """of the direction, that the colour's network sees"""
    steps: int = 1024
    """along the diagonal of the box"""
    cells: int = 128
    """along a side of the grid of what is empty"""
    refresh: int = 16
    """steps between two looks at it"""
    warm_up: int = 256
    """steps in which each look goes to all cells; then to a quarter of them and to a quarter of the occupied ones"""
    fades: float = 0.95
    """what is left, at each look, of what a cell remembers"""
    thinnest: float = 0.01
    """optical thickness of a step from which a cell counts as occupied, unless the mean is lower"""
    least: float = 1e-4
    """weight in the picture under which a sample is left out"""
    last: float = 1e-4
    """of what passes, under which a ray ends"""
    density_shift: float = 0.0
    """taken off the density's logarithm"""
    batch_size: int = 2**18
    """rays in a step, at most"""
    samples: int = 2**18
    """that a step should have: its rays become more or fewer"""
    carve: bool = False
    """let silhouettes say what is empty, and learn near the object only, where there is opacity (not the paper's)"""
    distortion: float = 0.0
    """weight of how far apart what a ray sees lies (mip-NeRF 360, eq. 15; not the paper's)"""
    decay: float = 1e-6
    """L2 of the networks' weights"""
    rates: tuple[float, float] = (1.0, 1.0)
    """of the grids and of the networks, times the run's"""
    thirds: tuple[int, int] | None = (20_000, 10_000)
    """steps until the rates fall to 0.33 of what they were, at first and again and again (code); none: as the run's"""


SAMPLES_AT_ONCE = 2**18
"""of which the networks are asked without gradient"""
BEGIN = 1024
"""rays of the first step"""
MISTY = 64.0
"""samples of a ray, in the mean, from which a scene is misty"""
LEAST_SEEN = 0.04
"""share of the pictures that have to see a place of a space without end"""


class InstantNGP(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """Hash grids and small networks that are fitted to the pictures of one scene."""

    low: Tensor
    high: Tensor
    lately: Tensor
    allowed: Tensor
    clear: Tensor
    rays: Tensor
    met: Tensor
    background: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        box, side, width = torch.tensor(self.scene.limits), config.cells, config.width
        everywhere = torch.ones(side, side, side, dtype=torch.bool)
        state = {
            "low": box[:3].clone(), "high": box[3:].clone(), "allowed": everywhere, "clear": clearance(everywhere),
            "lately": torch.zeros(everywhere.shape), "background": torch.tensor(self.scene.backdrop),
            "rays": torch.tensor(min(BEGIN, config.batch_size)), "met": torch.tensor(0),
        }  # fmt: skip
        for name, value in state.items():
            self.register_buffer(name, value)
        self.grid = HashGrid(config.levels, config.features, config.log2_rows, config.coarsest, config.finest)
        self.hidden = nn.Linear(config.levels * config.features, width)
        self.feature = nn.Linear(width, config.feature)
        inputs = config.feature + config.harmonics
        layers = [nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 3)]
        self.colour = nn.Sequential(*layers, nn.Sigmoid())

    # -- before learning -----------------------------------------------------------------------------------------------

    def prepare(self, data: Capture) -> None:
        """What hardly any picture sees is empty (code), and what silhouettes rule out, if they are asked."""
        if self.carves(data) or self.scene.space == "contracted":
            inside, self.low, self.high = carved(data, self.low, self.high, LEAST_SEEN)
            self.allowed = kept_cells(inside, (self.config.cells,) * 3)
            self.clear = clearance(self.allowed)

    def carves(self, data: Capture) -> bool:
        return self.config.carve and data.has_alpha and self.scene.space == "box"

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        among = near_object(data) if self.carves(data) else None
        return pooled(
            RayPool(data), self.config.batch_size, seed=seed, start=step, among=among, taken=lambda: int(self.rays)
        )

    # -- the field (sections 3 and 5.4) --------------------------------------------------------------------------------

    @property
    def cells(self) -> Cells:
        return Cells(self.low, self.high, self.clear)

    @property
    def box(self) -> Box:
        return Box(self.low, self.high)

    def walk(self, key: int = 0) -> Walk:
        config = self.config
        step = math.sqrt(3) * float((self.high - self.low).max()) / config.steps
        return Walk(
            step, self.scene.space == "contracted", step, config.density_shift, key, thinnest=config.least,
            least=config.least, last=config.last, activation="exp",
        )  # fmt: skip

    @property
    def logarithm(self) -> Decoded:
        """Of the density: all that a walk has to know of the networks."""
        first = self.feature.weight[0], self.feature.bias[0]
        return Decoded(self.grid.table, self.hidden.weight, self.hidden.bias, *first)

    def features(self, points: Float[Tensor, "m 3"]) -> Float[Tensor, "m f"]:
        """Of which the first is the density's logarithm."""
        return self.feature(relu(self.hidden(hash_looked_up(points, self.grid.table, self.box)))).float()

    def density(self, features: Float[Tensor, "m f"]) -> Float[Tensor, "m"]:
        walk = self.walk()
        return walk.activated(features[:, 0] - walk.shift)

    def colours(self, features: Float[Tensor, "m f"], sights: Float[Tensor, "m 3"]) -> Float[Tensor, "m 3"]:
        return self.colour(torch.cat([features, harmonics(sights, self.config.harmonics)], 1)).float()

    def march(
        self, rays: Rays, background: Float[Tensor, "*r 3"], key: int = 0, most: int | None = None
    ) -> tuple[Weighed, Float[Tensor, "r 3"]]:
        """The samples that count, and the picture; only of the first rays, where there are more samples than `most`."""
        walk = self.walk(key)
        ray, t, points = decoded_march(rays, self.logarithm, self.cells, walk)
        if most is not None and len(t) > most:
            rays = rays[: max(1, int(ray[most]))]
            kept = ray < len(rays)
            ray, t, points = ray[kept], t[kept], points[kept]
        features = self.features(points)
        weight, through = weighed(walk.thickness * self.density(features), ray, len(rays))
        seen = Weighed(weight, ray, t, points, through)
        rgb = seen.gathered(self.colours(features, rays.sights[ray]))
        return seen, rgb + through[:, None] * background[..., : len(rays), :]

    # -- learning (section 5.4) ----------------------------------------------------------------------------------------

    def losses(self, batch: RayBatch, step: int) -> Losses:
        wanted, background = batch.rgb, self.background.expand_as(batch.rgb)
        if batch.opacity is not None:  # before any colour: an empty place may not pass for a white one
            drawn = torch.rand_like(wanted)
            wanted = wanted + (1 - batch.opacity)[:, None] * (drawn - background)
            background = drawn
        seen, rgb = self.march(batch.rays, background, seed_of(step, 1), 2 * self.config.samples)
        self.met.fill_(len(seen.t))
        error = (rgb - wanted[: len(rgb)]).square().mean()
        terms = {"photometric": error}
        if self.config.distortion:
            spread = spread_of(seen.weight, seen.t, seen.ray, len(rgb)).mean()
            terms["distortion"] = self.config.distortion * spread
        return Losses(terms, {"PSNR": -10 * error.detach().log10(), "samples": torch.tensor(len(seen.t) / len(rgb))})

    def parameter_groups(self) -> list[Group]:
        grids, networks = self.config.rates
        schedule = None if self.config.thirds is None else self.rate_at
        betas, eps = (0.9, 0.99), 1e-15
        small = [p for part in (self.hidden, self.feature, self.colour) for p in part.parameters()]
        return [
            Group([self.grid.values], "touched", grids, betas, eps, schedule=schedule),
            Group(small, "adam", networks, betas, eps, self.config.decay, schedule),
        ]

    def rate_at(self, step: int) -> float:
        first, again = self.config.thirds or (0, 1)
        return 0.33 ** max(0, (step - first) // again + 1)

    def symptoms(self) -> tuple[Symptom, ...]:
        says = (
            "the scene stays misty, which makes it slow: look at the cameras and the box (unflat data inspect), or "
            "take --config.distortion 0.02"
        )
        return (Symptom("samples", says, after=1000, above=MISTY),)

    def update(self, step: int) -> bool:
        share = min(max(self.config.samples / max(1, int(self.met)), 0.9), 1.1)
        self.rays = torch.tensor(min(self.config.batch_size, max(64, int(share * int(self.rays)))))
        if (step + 1) % self.config.refresh == 0:
            self.look(step)
        return False

    @torch.no_grad()
    def look(self, step: int) -> None:
        """Ask cells for the density somewhere in them; what they remember fades (appendix E)."""
        config, chosen = self.config, self.allowed.nonzero()
        drawn = torch.Generator().manual_seed(seed_of(step, 2))
        if step >= config.warm_up:
            some, more = (torch.rand(len(chosen), generator=drawn, device="cpu") < 0.25 for _ in range(2))
            there: Bool[Tensor, "n"] = self.clear[chosen.unbind(1)] == 0
            chosen = chosen[some.to(there.device) | (more.to(there.device) & there)]

        def thickness_of(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
            pieces = torch.split(points, SAMPLES_AT_ONCE)
            return self.walk().thickness * torch.cat([self.density(self.features(piece)) for piece in pieces])

        self.lately = looked_again(self.lately, chosen, self.low, self.high, thickness_of, config.fades, drawn)
        occupied = occupied_lately(self.lately, self.allowed, config.thinnest)
        self.clear = clearance(occupied if occupied.any() else self.allowed)  # what begins empty has to be looked at

    @classmethod
    def suited(cls, experiment: Experiment, data: Capture, started: bool = False) -> tuple[Experiment, dict[str, str]]:
        if started or experiment.config.finest > FINE:  # the paper's grids are fine enough for anything
            return experiment, {}
        side = max(b - a for a, b in zip(data.scene.limits[:3], data.scene.limits[3:], strict=True))
        octave = max(0, min(2, round(math.log2(side / footprint(data) / 128))))
        chosen: dict[str, tuple[object, str]] = {
            "config.finest": (128 * 2**octave, "cells about as fine as the pixels"),
            "config.levels": (6 + octave, "cells about as fine as the pixels"),
            "config.log2_rows": (15 + octave, "cells about as fine as the pixels"),
            "config.steps": (256 + 128 * octave, "steps about as long as the cells are wide"),
        }
        if data.scene.space == "contracted":
            emptier = "a space without end: else haze before the cameras helps each picture"
            chosen |= {
                "config.distortion": (5e-3, emptier),
                "config.density_shift": (1.0, emptier),
                "config.least": (2e-3, emptier),
                "config.last": (1e-2, emptier),
                "config.samples": (32_000, "a space without end: rays have more samples there"),
            }
        return fitted(experiment, chosen)

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        rays = camera_rays(self.scene, query, self.device)
        seen, rgb = self.march(rays, self.background.expand(len(rays), 3))
        rgb, depth, opacity = pictures_along(self.scene, query, rays, rgb, seen.distance, seen.through)
        return Prediction(rgb, depth, opacity=opacity)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        within = self.scene.within(points)
        features = self.features(within)
        density = self.density(features) * self.scene.speed(points, directions)
        return density.masked_fill(is_empty(within, self.cells), 0), self.colours(features, directions)


# The experiments: data, settings and the published figure.

FINE = 512
"""cells along a side, of the settings for two cores at most"""


def chair() -> Experiment:
    """Table 2, Synthetic-NeRF's chair at 800 px (bring the data): PSNR 35.00 after five minutes of a GPU."""
    training = Training(steps=35_000, rate=1e-2, ema=0.95, clip=0.0)
    return Experiment(InstantNGP, Config(), training, published={"PSNR": 35.00})


def small() -> Experiment:
    """A generated vase on two cores: fewer, coarser levels, narrow networks, and silhouettes say what is empty."""
    config = Config(
        levels=6, log2_rows=15, coarsest=8, finest=128, width=32, steps=256, cells=64, warm_up=64, least=3e-3,
        last=3e-2, density_shift=-3.0, batch_size=8192, samples=16_000, carve=True, rates=(1.0, 0.1), thirds=None,
    )  # fmt: skip
    training = Training(steps=1000, rate=0.2, schedule="cosine", clip=0.0)
    return Experiment(InstantNGP, config, training, *object_splits("vase", 60, 100))


def tiny() -> Experiment:
    """A few steps on a few small pictures: shows that everything runs, learns little."""
    config = Config(
        levels=3, log2_rows=10, coarsest=4, finest=32, width=16, steps=32, cells=8, refresh=2, batch_size=64,
        density_shift=-3.0, samples=1000, carve=True, distortion=0.01,
    )  # fmt: skip
    training = Training(steps=3, rate=1e-2, clip=0.0, log_every=1, validate_every=3, save_every=2)
    return Experiment(InstantNGP, config, training, *object_splits("vase", 6, 24))
