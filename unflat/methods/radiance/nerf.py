"""NeRF: one scene as a network of place and direction, drawn by volume rendering.

B. Mildenhall, P. Srinivasan, M. Tancik, J. Barron, R. Ramamoorthi, R. Ng. NeRF: Representing Scenes as Neural Radiance
Fields for View Synthesis. ECCV 2020. Equation and section numbers are the paper's.

A network says how dense each place is and which colour it shows in each direction (section 3). A pixel is what emission
and absorption leave of the colours along its ray (section 4). A coarse network, asked evenly along the ray, says where
a fine one is to be asked as well (section 5.2). Both learn to give the pixels again (eq. 6). Differences from the
paper, each with its reason, are in docs/methods/nerf.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from unflat.data.kinds import Capture, Extent
from unflat.data.rays import RayBatch, RayPool, camera_rays, of_one_picture, pictures_along, pooled
from unflat.fields.encodings import positional, positional_length
from unflat.fields.mlp import DensityActivation, RadianceNetwork, density_of
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays, contracted, windowed, windowed_speed
from unflat.method import Group, Losses, Method, Prediction, Symptom
from unflat.rendering.sampling import Jitter, Spacing, refined_edges, stratified_edges
from unflat.rendering.volume import LastSample, absorption, composited, expected_distance, middles, thickness_between
from unflat.training.experiment import Experiment
from unflat.training.fitting import fitted
from unflat.training.settings import Training
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The paper's settings for synthetic scenes. `small()` at the end of the file is for two cores."""

    width: int = 256
    """of the networks' layers; the one before the colour has half"""
    depth: int = 8
    """layers before the density"""
    skip: int = 4
    """the layer, from 0, after which the place is told once more; -1 for none"""
    octaves: int = 10
    """L of places (eq. 4)"""
    direction_octaves: int = 4
    """L of directions"""
    coarse: int = 64
    """N_c: even samples of a ray"""
    fine: int = 128
    """N_f: further samples, where the coarse network saw something"""
    batch_size: int = 1024
    """rays in a step"""
    draw: Literal["picture", "pool"] = "picture"
    """a step's rays are of one picture, or of all; of all as well where there are masks"""
    crop_steps: int = 500
    """first steps that look at the middle of their pictures only (in the released code, not in the paper)"""
    crop: float = 0.5
    """of width and height, that is then looked at"""
    activation: DensityActivation = "softplus"
    """from the network's number to density; relu is the paper's"""
    noise: float = 0.0
    """standard deviation of what is added to that number while learning; 1 for the paper's real scenes (appendix A)"""
    decay_steps: int = 500_000
    """steps in which the rate falls to a tenth"""


SAMPLES_AT_ONCE = 2**16  # of the fine network in a picture: 64 MB a layer
DEAD = (
    "the {} network sees nothing, and may have no gradient: take --config.activation softplus, or another "
    "--training.seed"
)


class Seen(NamedTuple):
    """What a network shows along rays."""

    rgb: Float[Tensor, "r 3"]
    """C(r), before the scene's background"""
    opacity: Float[Tensor, "r"]
    distance: Float[Tensor, "r"]
    """weights times distances, in sum: over the opacity, the mean distance of what is seen"""
    weights: Float[Tensor, "r s"]
    """w_i (eq. 5)"""


class NeRF(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """Two networks that are fitted to the pictures of one scene."""

    background: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        self.spacing: Spacing = "piecewise" if self.scene.space == "contracted" else "linear"
        # where there is no background, what is seen last hides all that is behind it
        self.last_sample: LastSample = "opaque" if self.scene.background is None else "finite"
        place, direction = (positional_length(3, n) for n in (config.octaves, config.direction_octaves))
        self.coarse = RadianceNetwork(place, direction, config.width, config.depth, config.skip)
        self.fine = RadianceNetwork(place, direction, config.width, config.depth, config.skip)
        self.register_buffer("background", torch.tensor(self.scene.background or (0.0, 0.0, 0.0)))

    # -- what is at a place (section 3) --------------------------------------------------------------------------------

    def ask(
        self, network: RadianceNetwork, places: Float[Tensor, "*n 3"], sights: Float[Tensor, "*n 3"], noise: float = 0.0
    ) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n 3"]]:
        """Density and colour (eq. 4, figure 7) at places in the coordinates of the scene's space, of order 1."""
        if self.scene.space == "contracted":
            places = contracted(places)
        raw, rgb = network(positional(places, self.config.octaves), positional(sights, self.config.direction_octaves))
        return density_of(raw, self.config.activation, noise), rgb

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        """Density per unit of length and colour of the fine network, in the scene's frame."""
        if self.scene.space != "ndc":
            return self.ask(self.fine, points, directions)
        density, rgb = self.ask(self.fine, windowed(points, self.scene.window), directions)
        return density * windowed_speed(points, directions, self.scene.window), rgb

    # -- what is seen along a ray (sections 4 and 5.2) -----------------------------------------------------------------

    def look(self, network: RadianceNetwork, rays: Rays, edges: Float[Tensor, "r e"], noise: float) -> Seen:
        """What a network shows (eq. 3), asked in the middles between the edges."""
        there = middles(edges)[..., None]
        places = rays.origins[:, None] + there * rays.directions[:, None]
        density, rgb = self.ask(network, places, rays.sights[:, None].expand_as(places), noise)
        found = absorption(thickness_between(density, edges), self.last_sample)
        picture = composited(found.weights, rgb) + found.through[:, None] * self.background
        return Seen(picture, found.opacity, expected_distance(found.weights, edges), found.weights)

    def see(self, rays: Rays, *, learning: bool = False) -> tuple[Seen, Seen]:
        """What the coarse network shows, and what the fine one does where the coarse one saw something."""
        config, noise = self.config, self.config.noise * learning
        jitter: Jitter | None = "edge" if learning else None
        reach = self.scene.reach  # half of the samples of a space without end lie in what matters
        edges = reach * stratified_edges(
            rays.near / reach, rays.far / reach, config.coarse, jitter=jitter, spacing=self.spacing
        )
        coarse = self.look(self.coarse, rays, edges, noise)
        edges = refined_edges(coarse.weights, edges, config.fine, stratified=learning)
        return coarse, self.look(self.fine, rays, edges, noise)

    # -- learning (section 5.3) ----------------------------------------------------------------------------------------

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        config, pool = self.config, RayPool(data)
        if config.draw == "pool" or data.mask is not None:  # the pool leaves out what does not belong to the scene
            return pooled(pool, config.batch_size, seed=seed, start=step)
        crop = {"centre_until": config.crop_steps, "centre": config.crop}
        return of_one_picture(pool, config.batch_size, seed=seed, start=step, **crop)

    def losses(self, batch: RayBatch, step: int) -> Losses:
        coarse, fine = self.see(batch.rays, learning=True)
        terms = {  # eq. 6
            "coarse": (coarse.rgb - batch.rgb).square().mean(),
            "fine": (fine.rgb - batch.rgb).square().mean(),
        }
        opacity = {"coarse opacity": coarse.opacity.detach().mean(), "fine opacity": fine.opacity.detach().mean()}
        return Losses(terms, {"PSNR": -10 * terms["fine"].detach().log10(), **opacity})

    def parameter_groups(self) -> list[Group]:
        return [Group(list(self.parameters()), eps=1e-7, schedule=lambda step: 0.1 ** (step / self.config.decay_steps))]

    def symptoms(self) -> tuple[Symptom, ...]:
        return tuple(
            Symptom(f"{name} opacity", DEAD.format(name), after=1000, below=1e-4) for name in ("coarse", "fine")
        )

    @classmethod
    def suited(cls, experiment: Experiment, data: Capture, started: bool = False) -> tuple[Experiment, dict[str, str]]:
        if data.has_alpha:
            return experiment, {}
        chosen = {
            "config.draw": ("pool", "photos with a background: rays of all of them, as the paper's real scenes"),
            "config.noise": (1.0, "photos with a background: keeps haze away, as the paper's real scenes"),
        }
        return fitted(experiment, chosen)

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        rays = camera_rays(self.scene, query, self.device)
        piece = max(1, SAMPLES_AT_ONCE // (self.config.coarse + self.config.fine))
        parts = [self.see(rays[first : first + piece])[1] for first in range(0, len(rays), piece)]
        rgb, opacity, distance = (torch.cat(part) for part in zip(*(part[:3] for part in parts), strict=True))
        rgb, depth, opacity = pictures_along(self.scene, query, rays, rgb, distance, 1 - opacity)
        return Prediction(rgb, depth, opacity=opacity)


# The experiments: settings and the published figures, as the paper's tables are its last section.


def chair() -> Experiment:
    """Synthetic-NeRF's chair at 800 px on white, 200 test views: PSNR 33.00, SSIM 0.967. Days on a GPU.

    LPIPS (VGG16) is 0.046, which needs weights of one's own.
    """
    training = Training(steps=500_000, rate=5e-4, clip=0.0, precision="fp32", validate_every=50_000, save_every=5000)
    return Experiment(NeRF, Config(), training, published={"PSNR": 33.00, "SSIM": 0.967})


def small() -> Experiment:
    """An object of 100 to 200 px on two cores in minutes: narrow networks, fewer samples, many small steps."""
    config = Config(
        width=64, depth=4, skip=-1, octaves=8, direction_octaves=2, coarse=24, fine=24, batch_size=256, draw="pool",
        decay_steps=6000,
    )  # fmt: skip
    training = Training(steps=6000, rate=5e-3, clip=0.0)
    return Experiment(NeRF, config, training, *object_splits("vase", 60, 100))


def tiny() -> Experiment:
    """A few steps, for tests: shows that everything runs, learns nothing."""
    config = Config(width=16, depth=2, skip=-1, octaves=4, direction_octaves=2, coarse=8, fine=8, batch_size=64)
    training = Training(steps=3, rate=5e-4, log_every=1, validate_every=3, save_every=2)
    return Experiment(NeRF, config, training, *object_splits("vase", 6, 24))
