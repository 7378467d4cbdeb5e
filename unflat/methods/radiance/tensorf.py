"""TensoRF: a scene as a tensor that is factored into planes and lines, with a small network for colours.

A. Chen, Z. Xu, A. Geiger, J. Yu, H. Su. TensoRF: Tensorial Radiance Fields. ECCV 2022. Equation numbers are the
paper's; what only the released code says is marked so.

The field is a sum of products of vectors along the axes (CP, eq. 2), or of a matrix over two axes and a vector along
the third (VM, eq. 3). Densities are the products' sum; for colours the products stand beside each other, a matrix B
makes features of them (eq. 5), and a network colours of these. The factors grow while they learn, free space is found
on the way, and the box shrinks to what is left. Differences from the paper are in docs/methods/tensorf.md.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from unflat.data.kinds import Capture, Extent
from unflat.data.rays import RayBatch, RayPool, camera_rays, pictures_along, pixels_that_meet, pooled
from unflat.fields.colour_head import ColourHead
from unflat.fields.planes import (
    cut_lines,
    cut_planes,
    finer_lines,
    finer_planes,
    line_lengths,
    plane_lengths,
    variation,
)
from unflat.fields.voxels import coarse_shape, occupied_cells, places_of, shape_of
from unflat.geometry.cameras import Cameras
from unflat.geometry.spaces import Rays
from unflat.kernels.accumulators import forget_accumulators
from unflat.kernels.clearance import clearance
from unflat.kernels.density_march import Weighed, density_march
from unflat.kernels.lookup import ALONG, Box, Lines, Pairs, looked_up
from unflat.kernels.walking import Cells, Walk, is_empty
from unflat.method import Group, Losses, Method, Prediction
from unflat.training.experiment import Experiment
from unflat.training.settings import Training, seed_of
from unflat.worlds.objects import object_splits


@dataclass(frozen=True)
class Config:
    """The released settings for objects: VM-192."""

    decomposition: Literal["VM", "CP"] = "VM"
    """vector-matrix or vectors alone"""
    components: tuple[int, int] = (16, 48)
    """of density and of appearance: R_sigma and R_c, for each of the three pairs (VM) or in all (CP)"""
    features: int = 27
    """P, numbers that the network sees"""
    voxels: tuple[int, int] = (128**3, 300**3)
    """that the factors stand for, at first and in the end"""
    growths: tuple[int, ...] = (2000, 3000, 4000, 5500, 7000)
    """steps at which the factors become finer"""
    masks: tuple[int, ...] = (2000, 4000)
    """steps at which free space is looked for; at the first the box shrinks, from the second on rays that meet nothing
    are left out"""
    batch_size: int = 4096
    """rays in a step"""
    step: float = 0.5
    """between two samples of a ray, in voxels"""
    density_scale: float = 37.5
    """softplus(raw - shift) times this is the density: 25 where an object's box is 3 units wide (code), ours 2"""
    density_shift: float = 10.0
    """taken off the raw density: all begins nearly empty"""
    shown: float = 1e-4
    """weight in the picture under which a sample is black, and no network asked (code)"""
    empty: float = 1e-4
    """opacity of a step, under which a voxel counts as empty"""
    l1_weight: tuple[float, float] = (8e-5, 4e-5)
    """of the density's factors, before and after the first mask (eq. 12); 0 updates only what rays have touched"""
    variation_weight: tuple[float, float] = (0.0, 0.0)
    """of the total variation of the planes of density and of appearance (eq. 13)"""
    width: int = 128
    """of the network's hidden layers"""
    octaves: int = 2
    """waves of features and of the direction that the network sees"""
    rates: tuple[float, float] = (1.0, 0.05)
    """of factors and of B and the network, times the run's"""
    tenth: int = 30_000
    """steps in which rates fall to a tenth; they begin anew when the factors grow (code)"""


THINNEST = 3e-2
"""of `shown`: the opacity and weight under which a sample is left out altogether, unless all begins thinner"""
BEGUN = 0.1
"""of the opacity that a step begins with: a sample that is as thin is left out"""


class TensoRF(Method, config=Config, takes=Capture, asks=Cameras, gives=("rgb", "depth", "opacity")):
    """A factored tensor of one scene."""

    low: Tensor
    high: Tensor
    shape: Tensor
    clear: Tensor
    masked: Tensor
    grown: Tensor
    background: Tensor

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        box = torch.tensor(self.scene.limits)
        shape = shape_of(box[:3], box[3:], config.voxels[0])
        state = {
            "low": box[:3].clone(), "high": box[3:].clone(), "shape": torch.tensor(shape), "masked": torch.tensor(0),
            "grown": torch.tensor(0), "clear": torch.zeros(1, 1, 1, dtype=torch.uint8),
            "background": torch.tensor(self.scene.backdrop),
        }  # fmt: skip
        for name, value in state.items():
            self.register_buffer(name, value)
        self.density, self.appearance = (self._factors(count, shape) for count in config.components)
        self.basis = nn.Linear(
            config.components[1] * (3 if config.decomposition == "VM" else 1), config.features, False
        )
        self.head = ColourHead(config.features, config.octaves, config.octaves, config.width)

    def _factors(self, components: int, shape: tuple[int, int, int]) -> nn.ParameterList:
        """Planes, if there are any, and lines, normally distributed."""
        vm = self.config.decomposition == "VM"
        lengths = [*plane_lengths(shape), *line_lengths(shape)] if vm else list(shape)
        return nn.ParameterList(torch.randn(n, components) * (0.1 if vm else 0.2) for n in lengths)

    # -- the field (sections 3 and 4) ----------------------------------------------------------------------------------

    @property
    def grid(self) -> tuple[int, int, int]:
        x, y, z = self.shape.tolist()
        return x, y, z

    @property
    def cells(self) -> Cells:
        return Cells(self.low, self.high, self.clear)

    def table(self, factors: nn.ParameterList) -> Pairs | Lines:
        """What a kernel looks up in (eq. 2 or 3)."""
        if self.config.decomposition == "CP":
            x, y, z = factors
            return Lines((x, y, z))
        xy, xz, yz, z, y, x = factors
        return Pairs((xy, xz, yz), (z, y, x))

    def walk(self, key: int = 0) -> Walk:
        step = self.config.step * float((self.high - self.low).double().prod() / math.prod(self.grid)) ** (1 / 3)
        thickness = step * self.config.density_scale
        shift = self.config.density_shift
        # what is too thin for a colour yet has to become denser, and so has what all begins with
        thin = min(THINNEST * self.config.shown, BEGUN * thickness * math.log1p(math.exp(-shift)))
        return Walk(
            step, self.scene.space == "contracted", thickness, shift, key, thinnest=thin, least=thin
        )  # fmt: skip

    def colours(self, points: Float[Tensor, "m 3"], sights: Float[Tensor, "m 3"]) -> Float[Tensor, "m 3"]:
        """The products side by side, through B (eq. 5), through the network (eq. 6)."""
        products = looked_up(points, self.table(self.appearance), Box(self.low, self.high))
        return self.head(self.basis(products), sights)

    def march(self, rays: Rays, key: int = 0) -> tuple[Weighed, Float[Tensor, "r 3"]]:
        """The samples that count, and the picture (eq. 10)."""
        seen = density_march(rays, self.table(self.density), self.cells, self.walk(key))
        shown = (seen.weight.detach() > self.config.shown).nonzero()[:, 0]
        colours = seen.points.new_zeros(len(seen.t), 3)
        if len(shown):
            colours = colours.index_copy(0, shown, self.colours(seen.points[shown], rays.sights[seen.ray[shown]]))
        return seen, seen.gathered(colours) + seen.through[:, None] * self.background

    # -- learning (section 4.3) ----------------------------------------------------------------------------------------

    def batches(self, data: Capture, step: int, seed: int) -> Iterator[RayBatch]:
        pool = RayPool(data)
        left = self.masked >= min(2, len(self.config.masks)) > 0
        among = pixels_that_meet(pool, self.cells, self.walk()) if left else None
        return pooled(pool, self.config.batch_size, seed=seed, start=step, among=among)

    def losses(self, batch: RayBatch, step: int) -> Losses:
        config = self.config
        seen, rgb = self.march(batch.rays, key=seed_of(step, 1))
        error = (rgb.clamp(0, 1) - batch.rgb).square().mean()
        terms = {"photometric": error}  # eq. 11
        if l1 := config.l1_weight[min(int(self.masked), 1)]:
            terms["l1"] = l1 * torch.stack([factor.abs().mean() for factor in self.density]).sum()  # eq. 12
        if config.decomposition == "VM":
            for factors, weight in zip((self.density, self.appearance), config.variation_weight, strict=True):
                if weight:
                    terms["variation"] = terms.get("variation", 0) + weight * variation(list(factors)[:3], self.grid)
        return Losses(terms, {"PSNR": -10 * error.detach().log10(), "samples": torch.tensor(len(seen.t) / len(batch))})

    def parameter_groups(self) -> list[Group]:
        config, (factors, network) = self.config, self.config.rates
        everything = any((*config.l1_weight, *config.variation_weight))
        groups = []
        for part in (self.density, self.appearance):
            for i, factor in enumerate(part):
                long = config.decomposition == "VM" and i < 3
                rule = "touched" if long and not everything else "adam"
                groups.append(Group([factor], rule, factors, betas=(0.9, 0.99), schedule=self.rate_at))
        small = [*self.basis.parameters(), *self.head.parameters()]
        return [*groups, Group(small, rate=network, betas=(0.9, 0.99), schedule=self.rate_at)]

    def rate_at(self, step: int) -> float:
        began = max((growth for growth in self.config.growths if growth <= step), default=0)
        return 0.1 ** ((step - began) / self.config.tenth)

    def update(self, step: int) -> bool:
        done, changed = step + 1, False
        if done in self.config.masks:
            self.look()
            changed = True
        if done in self.config.growths:
            self.grow()
            changed = True
        return changed

    @torch.no_grad()
    def look(self) -> None:
        """Find free space; the first time, shrink the box to what is not (section 4.3, code)."""
        there = self.opaque()
        if not there.any():
            raise ValueError("all of the box is empty: look at the cameras and the box (unflat data inspect)")
        if int(self.masked) == 0 and self.scene.space == "box":
            self._shrink(there)
            there = self.opaque()
        x, y, z = there.shape
        self.clear = clearance(occupied_cells(there, coarse_shape((x, y, z))))
        self.masked += 1

    def opaque(self) -> Bool[Tensor, "x y z"]:
        """Where a step would stop some light, at the entries of the tensor, or at 256 along an axis."""
        walk = self.walk()
        x, y, z = (min(n, 256) for n in self.grid)
        places, box = places_of((x, y, z), self.low, self.high), Box(self.low, self.high)
        raw = torch.cat([looked_up(part, self.table(self.density), box).sum(1) for part in torch.split(places, 2**20)])
        return (-torch.expm1(-walk.thickness * softplus(raw - walk.shift)) > self.config.empty).view(x, y, z)

    def _shrink(self, there: Bool[Tensor, "x y z"]) -> None:
        """Cut box and factors, from entry to entry, so that an entry stays around what is there."""
        index, old = there.nonzero(), self.shape - 1
        scale = old / (torch.tensor(there.shape) - 1)
        first = ((index.amin(0) - 1) * scale).floor().long().clamp_min(0)
        last = ((index.amax(0) + 1) * scale).ceil().long().minimum(old)
        a, b = tuple(first.tolist()), tuple((last + 1).tolist())
        vm = self.config.decomposition == "VM"
        for part in (self.density, self.appearance):
            planes = cut_planes(list(part)[:3], self.grid, a, b) if vm else []
            order = ALONG if vm else (0, 1, 2)
            lines = cut_lines(list(part)[-3:], [a[i] for i in order], [b[i] for i in order])
            self._replace(part, [*planes, *lines])
        side = (self.high - self.low) / old
        self.low, self.high, self.shape = self.low + first * side, self.low + last * side, last - first + 1

    def _replace(self, part: nn.ParameterList, tables: list[Tensor]) -> None:
        for i, table in enumerate(tables):
            part[i] = nn.Parameter(table)
        forget_accumulators()

    @torch.no_grad()
    def grow(self) -> None:
        """Finer factors of the same field (section 4.3): voxel counts grow evenly on a logarithmic scale."""
        self.grown += 1
        first, last = (math.log(count) for count in self.config.voxels)
        count = math.exp(first + (last - first) * int(self.grown) / len(self.config.growths))
        old, new = self.grid, shape_of(self.low, self.high, round(count))
        for part in (self.density, self.appearance):
            vm = self.config.decomposition == "VM"
            planes = finer_planes(list(part)[:3], old, new) if vm else []
            self._replace(part, [*planes, *finer_lines(list(part)[-3:], line_lengths(new) if vm else new)])
        self.shape = torch.tensor(new)

    # -- pictures ------------------------------------------------------------------------------------------------------

    def predict(self, query: Cameras) -> Prediction:
        rays = camera_rays(self.scene, query, self.device)
        seen, rgb = self.march(rays)
        rgb, depth, opacity = pictures_along(self.scene, query, rays, rgb, seen.distance, seen.through)
        return Prediction(rgb, depth, opacity=opacity)

    def field(
        self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n 3"]]:
        within = self.scene.within(points)
        raw = looked_up(within, self.table(self.density), Box(self.low, self.high)).sum(1)
        density = self.config.density_scale * softplus(raw - self.config.density_shift)
        density = density * self.scene.speed(points, directions)
        return density.masked_fill(is_empty(within, self.cells), 0), self.colours(within, directions)


# The experiments: data, settings and the published figure.


def chair() -> Experiment:
    """Table 1, VM-192 on Synthetic-NeRF's chair at 800 px (bring the data): PSNR 35.76."""
    return Experiment(TensoRF, Config(), Training(steps=30_000, rate=0.02, clip=0.0), published={"PSNR": 35.76})


def chair_cp() -> Experiment:
    """Table 1, CP-384 on Synthetic-NeRF's chair at 800 px (bring the data)."""
    config = Config(decomposition="CP", components=(96, 288), voxels=(128**3, 500**3), l1_weight=(1e-5, 1e-5))
    return Experiment(TensoRF, config, Training(steps=30_000, rate=0.02, clip=0.0))


def small() -> Experiment:
    """A generated vase on two cores: only what rays have touched is updated."""
    config = Config(
        components=(8, 16), voxels=(32**3, 96**3), growths=(200, 400, 600), masks=(50, 150), batch_size=1024,
        step=0.75, density_shift=4.0, shown=1e-3, l1_weight=(0.0, 0.0), width=64, tenth=1500,
    )  # fmt: skip
    return Experiment(TensoRF, config, Training(steps=1500, rate=0.04, clip=0.0), *object_splits("vase", 60, 100))


def tiny() -> Experiment:
    """A few steps on a few small pictures: shows that everything runs, learns little."""
    config = Config(
        components=(1, 2), features=3, voxels=(500, 1000), growths=(2,), masks=(1, 2), batch_size=64,
        density_shift=1.0, width=16,
    )  # fmt: skip
    training = Training(steps=3, rate=0.02, clip=0.0, log_every=1, validate_every=3, save_every=2)
    return Experiment(TensoRF, config, training, *object_splits("vase", 6, 24))
