"""KiloNeRF: a scene as thousands of tiny networks, each of a cell of space, that one large network has taught.

C. Reiser, S. Peng, Y. Liao, A. Geiger. KiloNeRF: Speeding up Neural Radiance Fields with Thousands of Tiny MLPs. ICCV
2021. Section numbers are the paper's; what only the released code says is marked so.

Three stages: a teacher learns from the pictures, as it does alone; tiny networks learn what the teacher says at random
places of their cells (section 3.2); then they learn from the pictures themselves, which mends their seams. A picture
is drawn by walking rays through what is not empty, a few samples at a time, until nothing more is seen (section 3.3).
The teacher is any method with a field, and goes when it has taught. Differences from the paper, each with its reason,
are in docs/methods/kilonerf.md.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, relu

from unflat.data.hulls import box_of
from unflat.data.kinds import Capture, Extent
from unflat.data.places import PlaceBatch, places_drawn
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pixels_that_meet, pooled
from unflat.fields.cell_networks import CellNetworks, split
from unflat.fields.voxels import voxels_where
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays, out_of_space
from unflat.kernels.clearance import clearance
from unflat.kernels.tiny_networks import Shape
from unflat.kernels.walking import Cells, Walk, is_empty
from unflat.method import Group, Losses, Method, Prediction, Symptom, hosted
from unflat.rendering.passes import Passed, in_passes
from unflat.rendering.volume import packed_absorption, packed_composited
from unflat.training import checkpoint
from unflat.training.experiment import Experiment
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The paper's settings for synthetic scenes. Lengths are in sides of a cell: the paper's lego has cells of 0.15."""

    teacher: str = "nerf"
    """the method that teaches: any that has a field"""
    teacher_experiment: str = ""
    """whose settings it takes; its first one where none is named"""
    teacher_run: str = ""
    """a run that has learned the same capture and teaches instead: no teacher is trained"""
    teacher_steps: int = 600_000
    """in which the teacher learns"""
    distil_steps: int = 150_000
    """in which it teaches; what is left of the run's steps is for the pictures"""
    cells: int = 16
    """along the longest side of the box"""
    octaves: int = 10
    """waves of a place in its cell"""
    direction_octaves: int = 4
    """waves of the direction"""
    width: int = 32
    """of the networks' layers"""
    points: int = 128
    """of a network in a step of distillation"""
    among: Literal["cells", "occupied"] = "cells"
    """where these lie: anywhere in a cell, or where something is, which is all that a picture asks for"""
    typical_step: float = 0.14
    """length over which teacher and networks are compared in opacity: 0.0211 in lego (code)"""
    thickness: float = 0.0211
    """optical thickness of a typical step where a network says 1: its number is the density in lego's unit"""
    leak: float = 0.01
    """slope of the density under zero, in distillation alone (code)"""
    finer: int = 16
    """voxels of the occupancy along a side of a cell"""
    looks: int = 3
    """places along a side of a voxel at which the teacher is asked"""
    occupied: float = 0.19
    """opacity of a typical step over which a voxel is: density 10 in lego (code)"""
    step: float = 0.07
    """between two samples of a ray: 384 between the paper's near and far"""
    at_once: int = 8
    """samples of a ray in a pass (code)"""
    last: float = 0.01
    """of what passes, under which a ray ends"""
    batch_size: int = 8192
    """rays in a step of the last stage"""
    view_weight: float = 1e-6
    """of the norms of the layers that see the direction, in the last stage"""
    rates: tuple[float, float, float] = (0.5, 1.0, 1.0)
    """of the teacher, of distillation and of the last stage, times the run's"""
    decay_steps: int = 500_000
    """of the last stage, in which its rate falls to a tenth"""


ASKED_AT_ONCE = 2**16
"""places of a teacher"""
FOUND = 64
"""cells along the longest side of the box in which it is looked for what the teacher knows, to draw it tight"""


class KiloNeRF(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """A teacher of one scene, and then a network for each cell of it where something is."""

    stage: Tensor
    clear: Tensor
    background: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        self.host = None if config.teacher_run else hosted(config.teacher, extent, config.teacher_experiment)
        self.tiny = CellNetworks(Shape(config.octaves, config.direction_octaves, config.width), self.scene.limits)
        self.register_buffer("stage", torch.tensor(0))
        self.register_buffer("clear", torch.zeros(1, 1, 1, dtype=torch.uint8))
        self.register_buffer("background", torch.tensor(self.scene.backdrop))

    # -- the teacher ---------------------------------------------------------------------------------------------------

    @cached_property
    def teacher(self) -> Method:
        """The one that learns here, or another run's, read when it is needed and not kept with our weights."""
        if self.host is not None:
            return self.host
        found = checkpoint.load_method(self.config.teacher_run, device=str(self.device)).requires_grad_(False)
        lie = [(s.space, s.world_scale, s.world_rotation, s.world_shift) for s in (found.scene, self.scene)]
        if lie[0] != lie[1]:
            raise ValueError(
                f"{self.config.teacher_run} cannot teach here: it has learned another scene, or the same in another "
                "frame. Give a run on this capture, read with the same options"
            )
        return found

    @torch.no_grad()
    def taught(
        self, places: Float[Tensor, "m 3"], sights: Float[Tensor, "m 3"], step: float
    ) -> tuple[Float[Tensor, "m"], Float[Tensor, "m 3"]]:
        """Opacity of a step and colour, as the teacher says, at places of the walk's coordinates."""
        space, window, found = self.scene.space, self.scene.window, []
        for a in range(0, len(places), ASKED_AT_ONCE):
            points, sight = out_of_space(places[a : a + ASKED_AT_ONCE], space, window), sights[a : a + ASKED_AT_ONCE]
            density, rgb = self.teacher.field(points, sight)
            found.append((-torch.expm1(-density / self.scene.speed(points, sight) * step), rgb))
        opacity, rgb = (torch.cat(part) for part in zip(*found, strict=True))
        return opacity, rgb

    def occupied(self, shape: tuple[int, int, int], looks: int) -> Bool[Tensor, "x y z"]:
        """In which voxels of the box the teacher has something."""
        tiny, config = self.tiny, self.config
        step = config.typical_step * float((tiny.high - tiny.low).max()) / config.cells

        def found(places: Float[Tensor, "m 3"]) -> Bool[Tensor, "m"]:
            ahead = places.new_tensor([[0.0, 0.0, 1.0]]).expand_as(places)
            return self.taught(places, ahead, step)[0] > config.occupied

        return voxels_where(found, shape, tiny.low, tiny.high, looks)

    # -- the tiny networks (section 3.1) -------------------------------------------------------------------------------

    @property
    def typical_step(self) -> float:
        return self.config.typical_step * float(self.tiny.side.max())

    @property
    def cells(self) -> Cells:
        return Cells(self.tiny.low, self.tiny.high, self.clear)

    def walk(self, key: int = 0) -> Walk:
        step = self.config.step * float(self.tiny.side.max())
        return Walk(step, self.scene.space == "contracted", 1.0, 0.0, key, last=self.config.last)

    def ask(
        self, places: Float[Tensor, "m 3"], sights: Float[Tensor, "m 3"]
    ) -> tuple[Float[Tensor, "m"], Float[Tensor, "m 3"]]:
        """Density, per unit of the walk's coordinates, and colour, each by the network of its cell."""
        found = self.tiny(places, sights)
        return relu(found[:, 0]) * (self.config.thickness / self.typical_step), torch.sigmoid(found[:, 1:])

    # -- learning: from the pictures, from the teacher (section 3.2), from the pictures --------------------------------

    def prepare(self, data: Capture) -> None:
        if self.host is None:
            self.begin_distilling()
            self.__dict__.pop("teacher")  # is read again where the method will be
        else:
            self.host.prepare(data)

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch] | Iterator[PlaceBatch]:
        if self.stage == 0:
            return self.teacher.batches(data, step, seed)
        if self.stage == 1:
            return self.lessons(step, seed)
        pool = RayPool(data)
        among = pixels_that_meet(pool, self.cells, self.walk())
        return pooled(pool, self.config.batch_size, seed=seed, start=step, among=among)

    def lessons(self, step: int, seed: int) -> Iterator[PlaceBatch]:
        """Random places with random directions, so that what is seen from where does not depend on the place."""
        config, row_of = self.config, self.tiny.row_of.cpu()
        number, corner, side = torch.arange(int(row_of.max()) + 1), torch.full((int(row_of.max()) + 1, 3), -1.0), 2.0
        if config.among == "occupied":
            voxel, side = (self.clear.cpu() == 0).nonzero(), 2 / config.finer
            i, j, k = (voxel // config.finer).unbind(1)
            number, corner = row_of[i, j, k].long(), (voxel % config.finer) * side - 1
        return places_drawn(number, corner, side, config.points, seed=seed, start=step)

    def losses(self, batch: RayBatch | PlaceBatch, step: int) -> Losses:
        if self.stage == 0:
            return self.teacher.losses(batch, step)
        return self.distilled(batch) if isinstance(batch, PlaceBatch) else self.seen(batch, step)

    def distilled(self, places: PlaceBatch) -> Losses:
        """What the networks say, against the teacher."""
        there = self.tiny.places(places.number, places.local)
        opacity, rgb = self.taught(there, places.sights, self.typical_step)
        found = self.tiny.asked(places.number, places.local, places.sights)
        ours = -torch.expm1(-self.config.thickness * leaky_relu(found[:, 0], self.config.leak))
        colours, opacities = (torch.sigmoid(found[:, 1:]) - rgb).square().mean(), (ours - opacity).square().mean()
        figures = {"colour error": colours.detach(), "opacity error": opacities.detach()}
        return Losses({"distillation": (3 * colours + opacities) / 4}, figures)  # of all four numbers

    def seen(self, batch: RayBatch, step: int) -> Losses:
        """The pictures, and little that depends on the direction."""
        found = self.passed(batch.rays, key=seed_of(step, 1))
        density, colours = self.ask(found.points, batch.rays.sights[found.ray])  # again, with gradients
        rgb, _, _ = self.composited(found._replace(density=density, values=colours), len(batch))
        error, norms = (rgb - batch.rgb).square().mean(), []
        for layer in (self.tiny.shape.layers.mixed, self.tiny.shape.layers.colour):
            table = self.tiny.weights[:, layer.first : layer.last]
            norms += [part.norm() for part in table.tensor_split([layer.inputs * layer.outputs], 1)]  # and the biases
        terms = {"photometric": error, "view": self.config.view_weight * torch.stack(norms).sum()}
        samples = torch.tensor(len(found.t) / len(batch))
        return Losses(terms, {"PSNR": -10 * error.detach().log10(), "samples": samples})

    def parameter_groups(self) -> list[Group]:
        config, stage, began = self.config, int(self.stage), self.taught_until
        if stage == 0:
            host = [replace(group, rate=config.rates[0] * group.rate) for group in self.teacher.parameter_groups()]
            return [*host, Group([self.tiny.weights])]  # of which there are none yet
        return [Group([self.tiny.weights], rate=config.rates[stage],
                      schedule=lambda step: 0.1 ** (max(step - began, 0) / config.decay_steps))]  # fmt: skip

    @property
    def taught_until(self) -> int:
        """The step with which the last stage begins."""
        return self.config.distil_steps + (0 if self.host is None else self.config.teacher_steps)

    def symptoms(self) -> tuple[Symptom, ...]:
        return () if self.host is None else self.host.symptoms()

    def update(self, step: int) -> bool:
        config, done = self.config, step + 1
        if self.stage == 0:
            if done < config.teacher_steps:
                return self.teacher.update(step)
            self.begin_distilling()
            return True
        if self.stage == 1 and done == self.taught_until:
            self.begin_tuning()
            return True
        return False

    @torch.no_grad()
    def begin_distilling(self) -> None:
        """A network for each cell in which the teacher has something; what is empty is known from now on."""
        tiny, f = self.tiny, self.config.finer
        if self.scene.space == "box":
            shape = split(tiny.low, tiny.high, FOUND)
            tiny.low, tiny.high = box_of(self.occupied(shape, 1), tiny.low, tiny.high)
        i, j, k = split(tiny.low, tiny.high, self.config.cells)
        there = self.occupied((f * i, f * j, f * k), self.config.looks)
        if not there.any():
            raise ValueError(
                "the teacher has found nothing that stops light: give it more steps (--config.teacher-steps), or look "
                "at the cameras and the box (unflat data inspect)"
            )
        tiny.begin(there.view(i, f, j, f, k, f).any(5).any(3).any(1))
        self.clear = clearance(there)
        self.stage.fill_(1)

    @torch.no_grad()
    def begin_tuning(self) -> None:
        """The teacher goes: its tensors are empty from now on, and so is its share of a checkpoint."""
        self.stage.fill_(2)
        self.__dict__.pop("teacher", None)
        for part in () if self.host is None else self.host.modules():
            for name, weights in list(part.named_parameters(recurse=False)):
                part.register_parameter(name, nn.Parameter(weights.new_empty(0)))
            for name, state in list(part.named_buffers(recurse=False)):
                part.register_buffer(name, state.new_empty(0))
        self.tiny.weights = nn.Parameter(self.tiny.weights.detach().clone())  # Adam does not know it: it begins anew

    # -- pictures (section 3.3) ----------------------------------------------------------------------------------------

    def passed(self, rays: Rays, key: int = 0) -> Passed:
        return in_passes(rays, self.cells, self.walk(key), self.ask, self.config.at_once)

    def composited(
        self, found: Passed, rays: int
    ) -> tuple[Float[Tensor, "r 3"], Float[Tensor, "r"], Float[Tensor, "r"]]:
        """The picture, distances times weights, and what passes."""
        seen = packed_absorption(found.density * self.walk().step, found.ray, rays)
        values = torch.cat([found.values, found.t[:, None]], 1)
        total = packed_composited(seen.weights, values, found.ray, rays)
        return total[:, :3] + seen.through[:, None] * self.background, total[:, 3], seen.through

    def predict(self, query: Cameras) -> Prediction:
        if self.stage == 0:
            return self.teacher.predict(query)
        rays = camera_rays(self.scene, query, self.device)
        found = self.composited(self.passed(rays), len(rays))
        rgb, depth, opacity = pictures_along(self.scene, query, rays, *found)
        return Prediction(rgb, depth, opacity=opacity)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        if self.stage == 0:
            return self.teacher.field(points, directions)
        within = self.scene.within(points)
        density, rgb = self.ask(within, directions)
        density = density * self.scene.speed(points, directions)
        return density.masked_fill(is_empty(within, self.cells), 0), rgb


# The experiments: data, settings and the published figure.


def chair() -> Experiment:
    """Synthetic-NeRF's chair at 800 px (bring the data); the mean of its eight scenes is published: PSNR 31.00."""
    training = Training(steps=1_750_000, rate=1e-3, clip=0.0, validate_every=50_000, save_every=5000)
    return Experiment(KiloNeRF, Config(), training)


def small() -> Experiment:
    """A generated vase on two cores, taught by NeRF's settings for two cores."""
    config = Config(
        teacher_experiment="small", teacher_steps=1500, distil_steps=500, cells=8, finer=8, looks=2, points=16,
        among="occupied", octaves=6, direction_octaves=2, thickness=0.1, batch_size=1024, decay_steps=2000, step=0.1,
        rates=(1.0, 1.0, 0.4),
    )  # fmt: skip
    training = Training(steps=4000, rate=5e-3, clip=0.0)
    return Experiment(KiloNeRF, config, training, *object_splits("vase", 60, 100))


def tiny() -> Experiment:
    """A few steps, for tests: shows that everything runs, learns nothing."""
    config = Config(
        teacher_experiment="tiny", teacher_steps=1, distil_steps=1, cells=2, finer=4, looks=1, points=16, octaves=2,
        direction_octaves=1, width=8, thickness=3.0, occupied=0.0, step=0.2, batch_size=64,
    )  # fmt: skip
    training = Training(steps=3, rate=1e-3, clip=0.0, log_every=1, validate_every=3, save_every=2)
    return Experiment(KiloNeRF, config, training, *object_splits("vase", 6, 24))
