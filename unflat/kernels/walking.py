"""How rays are walked through what is not empty: what all marches have in common, and the readable twin of the walk.

A ray is sampled every `step`, in the coordinates of its space: those of a box, or contracted ones. Coarse cells say
how far the nearest cell is that is not empty, so that what is empty is jumped over. The raw density of a field at a
sample, less `shift`, becomes an optical thickness `thickness * softplus(raw)` of the step, or with a rectifier in the
place of the softplus. What is as thin as
`thinnest` is left out, and so is what would weigh as little as `least` in the picture; a ray ends when less than `last`
passes.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import relu, softplus

from unflat.geometry.spaces import Rays, contracted, contracted_speed

Activation = Literal["softplus", "relu", "exp"]
"""what a raw density becomes; exp only where a network makes it (`density_march.decoded_march`)"""


LARGEST = 15.0
"""logarithm of a density, from which it grows no more and has no gradient (Instant-NGP's code)"""


class Cells(NamedTuple):
    """Where there may be something: a box, and how empty its coarse cells are."""

    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]
    clear: UInt8[Tensor, "i j k"]
    """how many cells away the nearest one is that is not empty (see `kernels.clearance`)"""


class Walk(NamedTuple):
    """How rays are walked."""

    step: float
    """between two samples, in walking coordinates: contracted ones where space is contracted"""
    contracted: bool
    thickness: float
    """of a step where the activated density is 1"""
    shift: float
    key: int = 0
    """of what is drawn at random: where in its first step each ray begins; 0 begins in the middle of it"""
    thinnest: float = 1e-4
    """opacity of a sample under which it is left out"""
    least: float = 1e-4
    """weight in the picture under which a sample is left out"""
    last: float = 1e-3
    """of what passes, under which a ray ends"""
    activation: Activation = "softplus"
    """what a raw density less the shift becomes; relu has no gradient below 0, where nothing is"""

    def activated(self, raw: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
        """The density, in units of the thickness, of raw densities less the shift."""
        if self.activation == "exp":
            return raw.clamp_max(LARGEST).exp()
        return relu(raw) if self.activation == "relu" else softplus(raw)

    def onwards(self, rays: Rays, t: Float[Tensor, "r"]) -> Float[Tensor, "r"]:
        """How much t grows with a step of each ray."""
        if not self.contracted:
            return torch.full_like(t, self.step)
        points = rays.origins + t[:, None] * rays.directions
        return self.step / contracted_speed(points, rays.directions).clamp_min(1e-6)


def met(
    rays: Rays, cells: Cells, walk: Walk, raw_of: Callable[[Tensor], Tensor]
) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"]]:
    """The samples that count, by ray and then by distance: their rays and distances. All rays step together.

    `raw_of` gives the raw density at points [n, 3] of the walk's coordinates.
    """
    t0, t1 = within_limits(rays, cells, walk)
    t = t0 + jitter(walk.key, rays.index) * walk.onwards(rays, t0)
    side = (cells.high - cells.low) / cells.low.new_tensor(cells.clear.shape)
    left, found = torch.ones_like(t), [(t[:0].long(), t[:0])]
    while True:
        walking = (t < t1) & (left >= walk.last)
        if not walking.any():
            break
        points = points_at(rays, t, walk)
        cell = ((points - cells.low) / side).long().clamp_min(0)
        i, j, k = cell.minimum(cell.new_tensor(cells.clear.shape) - 1).unbind(1)
        empty = cells.clear[i, j, k]
        alpha = -torch.expm1(-walk.thickness * walk.activated(raw_of(points) - walk.shift))
        counts = walking & (empty == 0) & (alpha > walk.thinnest) & (left * alpha > walk.least)
        found.append((counts.nonzero()[:, 0], t[counts]))
        left = torch.where(counts, left * (1 - alpha), left)
        onwards = walk.onwards(rays, t)
        if walk.contracted:  # half of what is empty: a ray that comes nearer moves faster
            onwards = onwards * (0.5 * (empty.float() - 1) * side.min() / walk.step).clamp_min(1)
        t = t + onwards
    ray, at = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(ray, stable=True)
    return ray[order], at[order]


def is_empty(points: Float[Tensor, "n 3"], cells: Cells) -> Bool[Tensor, "n"]:
    """Whether points of the walk's coordinates lie in cells where nothing is, or beside the box."""
    side = (cells.high - cells.low) / cells.low.new_tensor(cells.clear.shape)
    cell = ((points - cells.low) / side).floor().long()
    count = cell.new_tensor(cells.clear.shape)
    beside = ((points < cells.low) | (points > cells.high)).any(1)
    i, j, k = cell.clamp_min(0).minimum(count - 1).unbind(1)
    return beside | (cells.clear[i, j, k] > 0)


def points_at(rays: Rays, t: Float[Tensor, "r"], walk: Walk) -> Float[Tensor, "r 3"]:
    """Where rays are, in the walk's coordinates."""
    points = rays.origins + t[:, None] * rays.directions
    return contracted(points) if walk.contracted else points


def within_limits(rays: Rays, cells: Cells, walk: Walk) -> tuple[Float[Tensor, "r"], Float[Tensor, "r"]]:
    """Between which t rays are walked: near and far, and where they are in the box."""
    if walk.contracted:
        return rays.near, rays.far
    inverse = 1 / torch.where(rays.directions.abs() > 1e-9, rays.directions, 1e-9)
    a, b = ((side - rays.origins) * inverse for side in (cells.low, cells.high))
    first = torch.maximum(rays.near, torch.minimum(a, b).amax(1))
    return first, torch.minimum(rays.far, torch.maximum(a, b).amin(1))


def packed(
    walked: Callable[[int], tuple[Tensor, ...]], room: int
) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"], list[Tensor]]:
    """Samples that a kernel has laid out ray by ray, one behind the other: their rays and distances, and what else it
    gives.

    `walked` is given the room for a ray's samples, and gives the distances of its first ones [r, room], how many there
    are [r], and more. Where the room is not enough, it is asked again with as much as the longest needs. A GPU is
    waited for once.
    """
    found, number, *others = walked(room)
    longest, total = torch.stack([number.amax(), number.sum()]).tolist() if len(number) else (0, 0)
    if longest > room:
        room = longest
        found, number, *others = walked(room)
    ray = torch.repeat_interleave(number, output_size=total)
    place = torch.arange(total, device=ray.device) - (number.cumsum(0) - number)[ray]
    return ray, found.view(-1)[ray * room + place], others


class Composited(NamedTuple):
    """Samples with what they weigh in the picture."""

    weight: Float[Tensor, "m"]
    through: Float[Tensor, "r"]
    """what passes all samples of a ray"""


def composited(raw: Float[Tensor, "m"], ray: Int[Tensor, "m"], rays: int, walk: Walk) -> Composited:
    """Weights of samples, sorted by ray and distance, whose raw densities less the shift these are."""
    return weighed(walk.thickness * walk.activated(raw), ray, rays)


def weighed(thickness: Float[Tensor, "m"], ray: Int[Tensor, "m"], rays: int) -> Composited:
    """Weights of samples of these optical thicknesses, sorted by ray and distance."""
    weight = torch.exp(-before(thickness, ray)) * -torch.expm1(-thickness)
    return Composited(weight, torch.exp(-thickness.new_zeros(rays).index_add(0, ray, thickness)))


def before(thickness: Float[Tensor, "m"], ray: Int[Tensor, "m"]) -> Float[Tensor, "m"]:
    """The optical thickness of what lies nearer on the same ray; samples are sorted by ray and distance."""
    total = torch.cat([thickness.new_zeros(1).double(), thickness.double().cumsum(0)])
    first = torch.searchsorted(ray, ray)  # of the same ray; to count them would wait for a GPU
    return (total[:-1] - total[first]).to(thickness.dtype)


def that_count(thickness: Float[Tensor, "m"], ray: Int[Tensor, "m"], walk: Walk) -> Bool[Tensor, "m"]:
    """Which samples of these optical thicknesses count: what a walk finds that steps from one to the next, found for
    all at once.

    What is left out does not dim what lies behind it, so whether a sample counts depends on those nearer that do. It is
    asked again with the answer before, until nothing changes: each time at least the next sample of each ray is right,
    and a few times are enough, since few are near a limit.
    """
    alpha = -torch.expm1(-thickness)
    thick = alpha > walk.thinnest
    counts = thick
    while True:
        left = torch.exp(-before(thickness * counts, ray))
        again = thick & (left * alpha > walk.least) & (left >= walk.last)
        if bool((again == counts).all()):
            return counts
        counts = again


def spread_of(
    weight: Float[Tensor, "m"], t: Float[Tensor, "m"], ray: Int[Tensor, "m"], rays: int
) -> Float[Tensor, "r"]:
    """How far apart what each ray sees lies: the sum, over pairs of its samples, of both weights times |s_i - s_j|.

    It is the first part of the distortion of mip-NeRF 360 (Barron et al. 2022, eq. 15; the second part, for the lengths
    of the samples themselves, is left out), with s = t / (1 + t): even in distance near by, and in disparity far off.
    Samples are sorted by ray and distance.
    """
    place, begins = t / (1 + t), torch.searchsorted(ray, torch.arange(rays, device=ray.device))
    sums = torch.stack([weight, weight * place], 1).double()
    total = torch.cat([sums.new_zeros(1, 2), sums.cumsum(0)])
    before = (total[:-1] - total[begins[ray]]).to(weight.dtype)  # what lies nearer on the same ray
    pairs = 2 * weight * (place * before[:, 0] - before[:, 1])
    return weight.new_zeros(rays).index_add(0, ray, pairs)


def raw_at(walk: Walk) -> float:
    """The raw density less the shift whose sample is as thin as the thinnest."""
    activated = -math.log1p(-walk.thinnest) / walk.thickness
    if walk.activation == "exp":
        return math.log(activated)
    return activated if walk.activation == "relu" else math.log(math.expm1(activated))


def jitter(key: int, index: Int[Tensor, "r"]) -> Float[Tensor, "r"]:
    """Where in its first step each ray begins, in [0, 1): a hash of the key and the ray's number; 1/2 for key 0."""
    if key == 0:
        return torch.full(index.shape, 0.5, device=index.device)
    state = index.to(torch.int64) * _signed(0x9E3779B97F4A7C15) + _signed(key)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        state = (state ^ _shifted(state, shift)) * _signed(factor)
    return _shifted(state ^ _shifted(state, 31), 40).float() / 2**24


def _signed(word: int) -> int:
    """The same 64 bits as torch's integers have them."""
    word &= 2**64 - 1
    return word - 2**64 if word >= 2**63 else word


def _shifted(state: Int[Tensor, "r"], by: int) -> Int[Tensor, "r"]:
    """To the right, zeros from the left."""
    return (state >> by) & (2 ** (64 - by) - 1)
