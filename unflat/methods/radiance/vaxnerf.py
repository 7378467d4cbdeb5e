"""VaxNeRF: any radiance field, asked only within the visual hull of its object. Less to learn, sooner.

N. Kondo, Y. Ikeda, A. Tagliasacchi, Y. Matsuo, Y. Ochiai, S. S. Gu. VaxNeRF: Revisiting the Classic for
Voxel-Accelerated Neural Radiance Field. 2021. Section numbers are the paper's; what only the released code says is
marked so.

Silhouettes say before any learning where nothing can be: the visual hull (section 3). Rays are sampled evenly, and what
lies outside the hull is not asked for and lets all light through. So one network is enough where NeRF has a coarse one
to find out where to ask a fine one. The field is another method's, by name (`host`); differences from the paper are in
docs/methods/vaxnerf.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool3d, normalize

from unflat.data.hulls import CARVED, agreed_hull, box_of
from unflat.data.kinds import Capture, Extent
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pixels_that_meet, pooled
from unflat.fields.voxels import grid_shape, middles_of
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays
from unflat.kernels.clearance import clearance
from unflat.kernels.occupied_steps import occupied_steps
from unflat.kernels.walking import Cells, Walk, is_empty
from unflat.method import Group, Losses, Method, Prediction, Symptom, hosted
from unflat.rendering.volume import packed_absorption, packed_composited
from unflat.training.experiment import Experiment
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The paper's settings for synthetic scenes."""

    host: str = "nerf"
    """the method whose field is learned; any that can be asked at points"""
    experiment: str = ""
    """of the host, whose settings it has; its first where none is named"""
    cells: int = 400
    """of the hull, along its longest side"""
    dilation: float = 7 / 800
    """how far silhouettes are widened, as a share of a picture's longer side"""
    agreement: float = 1.0
    """share of the pictures that see a cell, in which it has to lie on the silhouette"""
    grown: int = 0
    """cells by which the hull grows in every direction; a max-pool"""
    round: bool = False
    """whether only what lies within the ball that fits the box is kept, less a margin"""
    samples: int = 800
    """N: even steps of a ray between the scene's near and far planes"""
    batch_size: int = 4096
    """rays in a step"""
    draw: Literal["hull", "all"] = "hull"
    """from which pixels: those whose rays meet the hull, or all"""


BALL_MARGIN = 5 / 400
"""of the box's longest side, between the box and the ball that fits it (code)"""
SAMPLES_AT_ONCE = 2**16
"""of the host's field in a picture"""
NO_ALPHA = (
    "VaxNeRF needs pictures that say where nothing is, but these have no opacity: cut the object out (RGBA pictures, "
    "transparent around it), or train the host itself, as in unflat train nerf"
)
NO_BOX = (
    "VaxNeRF needs an object in a box, but the space of this scene is {}: leave --space out, which is then box for "
    "pictures with opacity"
)


class VaxNeRF(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """Another method's field within a visual hull."""

    low: Tensor
    high: Tensor
    clear: Tensor
    background: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        box = torch.tensor(self.scene.limits)
        self.host = hosted(config.host, extent, config.experiment)
        state = {"low": box[:3].clone(), "high": box[3:].clone(), "clear": torch.zeros(1, 1, 1, dtype=torch.uint8),
                 "background": torch.tensor(self.scene.backdrop)}  # fmt: skip
        for name, value in state.items():
            self.register_buffer(name, value)

    # -- the visual hull (section 3) -----------------------------------------------------------------------------------

    @classmethod
    def check(cls, data: Any) -> None:
        super().check(data)
        if not data.has_alpha:
            raise ValueError(NO_ALPHA)
        if data.scene.space != "box":
            raise ValueError(NO_BOX.format(data.scene.space))

    def prepare(self, data: Capture) -> None:
        """The host's own preparation, and the hull, in a box that is drawn tight around it."""
        self.host.prepare(data)
        self.low, self.high = box_of(self.hull(data, CARVED[0]), self.low, self.high)
        hull = self.hull(data, self.config.cells)
        if not hull.any():
            raise ValueError(
                "the visual hull is empty: no place lies on the silhouettes of all pictures that see it. Look at the "
                "cameras (unflat data inspect), or take a lower --config.agreement"
            )
        self.clear = clearance(hull)

    def hull(self, data: Capture, cells: int) -> Bool[Tensor, "i j k"]:
        config = self.config
        x, y, z = (n - 1 for n in grid_shape(self.low, self.high, cells))
        hull = agreed_hull(data, self.low, self.high, (x, y, z), config.agreement, config.dilation)
        if config.grown:
            hull = max_pool3d(hull[None].float(), 2 * config.grown + 1, 1, config.grown)[0] > 0
        return hull & self.ball((x, y, z)) if config.round else hull

    def ball(self, shape: tuple[int, int, int]) -> Bool[Tensor, "i j k"]:
        """The cells whose middles lie in the ball that fits the scene's box, less the margin (code)."""
        box = torch.tensor(self.scene.box)
        sides = box[3:] - box[:3]
        reach = sides.min() / 2 - BALL_MARGIN * sides.max()
        return ((middles_of(shape, self.low, self.high) - (box[:3] + box[3:]) / 2).norm(dim=1) <= reach).view(shape)

    # -- what is seen (section 3) --------------------------------------------------------------------------------------

    @property
    def cells(self) -> Cells:
        return Cells(self.low, self.high, self.clear)

    def walk(self, key: int = 0) -> Walk:
        """Even steps; what is dense is the host's to say."""
        return Walk((self.scene.far - self.scene.near) / self.config.samples, False, thickness=1.0, shift=0.0, key=key)

    def see(self, rays: Rays, key: int = 0) -> tuple[Float[Tensor, "r 4"], Float[Tensor, "r"], int]:
        """Colours and distances times weight, what passes, and how many samples there were. One field, asked in the
        hull alone."""
        steps = occupied_steps(rays, self.cells, self.walk(key))
        density, rgb = self.host.field(steps.points, rays.sights[steps.ray])
        found = packed_absorption(density * steps.length, steps.ray, len(rays))
        values = torch.cat([rgb, steps.t[:, None]], 1)
        return packed_composited(found.weights, values, steps.ray, len(rays)), found.through, len(steps.t)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        density, rgb = self.host.field(points, directions)
        return density.masked_fill(is_empty(points, self.cells), 0), rgb

    # -- learning ------------------------------------------------------------------------------------------------------

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        """Rays that miss the hull show the background, whatever is learned."""
        pool = RayPool(data)
        side = float(((self.high - self.low) / self.low.new_tensor(self.clear.shape)).min())
        finely = self.walk()._replace(step=min(self.walk().step, side / 2))  # no cell is stepped over
        among = pixels_that_meet(pool, self.cells, finely) if self.config.draw == "hull" else None
        return pooled(pool, self.config.batch_size, seed=seed, start=step, among=among)

    def losses(self, batch: RayBatch, step: int) -> Losses:
        seen, through, samples = self.see(batch.rays, key=seed_of(step, 1))
        rgb = seen[:, :3] + through[:, None] * self.background
        error = (rgb - batch.rgb).square().mean()
        figures = {"PSNR": -10 * error.detach().log10(), "opacity": (1 - through.detach()).mean(),
                   "samples": torch.tensor(samples / len(batch))}  # fmt: skip
        return Losses({"photometric": error}, figures)

    def parameter_groups(self) -> list[Group]:
        """The host's, of what its field is made of: not NeRF's coarse network, for one, which is not asked."""
        everything = list(self.host.parameters())
        for parameter in everything:
            parameter.requires_grad_(True)
        place = (self.low + self.high)[None] / 2
        with torch.enable_grad():
            density, rgb = self.host.field(place, normalize(torch.ones_like(place)))
            asked = torch.autograd.grad(density.sum() + rgb.sum(), everything, allow_unused=True)
        for parameter, gradient in zip(everything, asked, strict=True):
            parameter.requires_grad_(gradient is not None)
        groups = self.host.parameter_groups()
        learned = [replace(g, parameters=[p for p in g.parameters if p.requires_grad]) for g in groups]
        return [group for group in learned if group.parameters]

    def update(self, step: int) -> bool:
        return self.host.update(step)

    def symptoms(self) -> tuple[Symptom, ...]:
        return (
            Symptom("opacity", "the host sees nothing in the hull: take another --training.seed or rate", 1000, 1e-4),
        )

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        rays = camera_rays(self.scene, query, self.device)
        piece = max(1, SAMPLES_AT_ONCE // self.config.samples)
        parts = [self.see(rays[first : first + piece])[:2] for first in range(0, len(rays), piece)]
        seen, through = (torch.cat(part) for part in zip(*parts, strict=True))
        rgb = seen[:, :3] + through[:, None] * self.background
        rgb, depth, opacity = pictures_along(self.scene, query, rays, rgb, seen[:, 3], through)
        return Prediction(rgb, depth, opacity=opacity)


# The experiments: data and settings.


def chair() -> Experiment:
    """The paper's NeRF with 800 samples on Synthetic-NeRF's chair at 800 px (bring the data). Days on a GPU."""
    training = Training(steps=500_000, rate=5e-4, clip=0.0, precision="fp32", validate_every=50_000, save_every=5000)
    return Experiment(VaxNeRF, Config(), training)


def small() -> Experiment:
    """The NeRF for two cores within the hull of a generated vase."""
    config = Config(experiment="small", cells=64, samples=128, batch_size=256)
    return Experiment(VaxNeRF, config, Training(steps=6000, rate=5e-3, clip=0.0), *object_splits("vase", 60, 100))


def tiny() -> Experiment:
    """A few steps with a host that begins dense, for tests: shows that everything runs, learns little."""
    config = Config(host="tensorf", experiment="tiny", cells=16, samples=32, batch_size=64)
    training = Training(steps=3, rate=0.02, clip=0.0, log_every=1, validate_every=3, save_every=2)
    return Experiment(VaxNeRF, config, training, *object_splits("vase", 6, 24))
