"""Rays through a grid of densities and spherical harmonics: picture, opacity and distance, with gradients for the grid.

One function with two back ends: loops in numba that walk each ray, interpolate, composite and walk back (CPU), and the
readable PyTorch twin, which is their oracle and runs everywhere else. The gradient of the first is sparse: it holds the
voxels that some ray has touched.

What both do. A ray is sampled every `step` where the grid's coarse cells are not empty. The raw density between the
voxels, less `shift`, becomes an optical thickness `thickness * softplus(raw)` of a step; what is as thin as `thinnest`
is left out, and so is what would weigh as little as `least` in the picture. Colours are sigmoids of spherical harmonics
between the voxels. A ray ends when less than `last` would pass.
"""

import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from unflat.geometry.spaces import Rays, contracted, contracted_speed
from unflat.geometry.spherical_harmonics import harmonics
from unflat.kernels.accumulators import accumulator

ROOM = 16
"""samples a ray for which there is room at first; where it is not enough, twice as many"""


class Voxels(NamedTuple):
    """A grid whose outermost voxels lie on the faces of its box; colours only where there may be something."""

    density: Float[Tensor, "v"]
    """raw, of every voxel, x first"""
    colour: Float[Tensor, "rows k"]
    """spherical harmonics of red, then green, then blue"""
    row_of: Int[Tensor, "x y z"]
    """int32: the row of `colour` that a voxel has, -1 for none (its harmonics are zero)"""
    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]
    clear: UInt8[Tensor, "i j k"]
    """of coarse cells, how many cells away the nearest one is that is not empty (see `kernels.clearance`)"""


class Walk(NamedTuple):
    """How rays are walked."""

    step: float
    """between two samples, in walking coordinates: contracted ones where space is contracted"""
    contracted: bool
    thickness: float
    """of a step where softplus(raw) is 1"""
    shift: float
    key: int = 0
    """of what is drawn at random: where in its first step each ray begins; 0 begins in the middle of it"""
    thinnest: float = 1e-4
    """opacity of a sample under which it is left out"""
    least: float = 1e-4
    """weight in the picture under which a sample is left out"""
    last: float = 1e-3
    """of what passes, under which a ray ends"""


class Marched(NamedTuple):
    rgb: Float[Tensor, "r 3"]
    through: Float[Tensor, "r"]
    """what passes: 1 - opacity"""
    distance: Float[Tensor, "r"]
    """sum of weight times distance along the ray; over the opacity, the mean distance"""
    samples: Int[Tensor, "r"]
    """how many were composited"""


def voxel_march(rays: Rays, voxels: Voxels, walk: Walk, background: Float[Tensor, "3"]) -> Marched:
    """What rays see of a grid before a background. Gradients for density, colour and background."""
    if voxels.density.device.type == "cpu" and _loops() is not None:
        grid = voxels.density, voxels.colour
        return Marched(*_March.apply(rays, voxels, walk, *grid, background))  # type: ignore[no-untyped-call]
    return voxel_march_torch(rays, voxels, walk, background)


# -- the readable twin -------------------------------------------------------------------------------------------------


def voxel_march_torch(rays: Rays, voxels: Voxels, walk: Walk, background: Float[Tensor, "3"]) -> Marched:
    """All rays take their steps together; then what was met is composited with gradients."""
    with torch.no_grad():
        ray, t = _met(rays, voxels, walk)
    points = rays.origins[ray] + t[:, None] * rays.directions[ray]
    place, share = _corners(contracted(points) if walk.contracted else points, voxels)
    thickness = walk.thickness * torch.nn.functional.softplus((voxels.density[place] * share).sum(1) - walk.shift)
    known = torch.cat([voxels.colour, voxels.colour.new_zeros(1, voxels.colour.shape[1])])  # the last is for -1
    mixed = (known[voxels.row_of.flatten()[place].long()] * share[..., None]).sum(1)
    bands = voxels.colour.shape[1] // 3
    rgb = torch.sigmoid((mixed.view(-1, 3, bands) * harmonics(rays.sights, bands)[ray, None]).sum(-1))
    count = torch.bincount(ray, minlength=len(rays.near))
    before = _before(thickness, ray, count)
    weight = torch.exp(-before) * -torch.expm1(-thickness)
    none = rays.near.new_zeros(len(rays.near))
    through = torch.exp(-none.index_add(0, ray, thickness))
    picture = none[:, None].expand(-1, 3).index_add(0, ray, weight[:, None] * rgb) + through[:, None] * background
    return Marched(picture, through, none.index_add(0, ray, weight * t), count.to(torch.int32))


def _before(values: Float[Tensor, "m"], ray: Int[Tensor, "m"], count: Int[Tensor, "r"]) -> Float[Tensor, "m"]:
    """The sum of the values before each on its own ray."""
    total = torch.cat([values.new_zeros(1).double(), values.double().cumsum(0)])
    return (total[:-1] - total[(count.cumsum(0) - count)[ray]]).to(values.dtype)


def _met(rays: Rays, voxels: Voxels, walk: Walk) -> tuple[Int[Tensor, "m"], Float[Tensor, "m"]]:
    """The samples that count, by ray and then by distance: their rays and distances."""
    t0, t1 = rays.near, rays.far
    if not walk.contracted:
        inverse = 1 / torch.where(rays.directions.abs() > 1e-9, rays.directions, 1e-9)
        a, b = ((side - rays.origins) * inverse for side in (voxels.low, voxels.high))
        t0, t1 = torch.maximum(t0, torch.minimum(a, b).amax(1)), torch.minimum(t1, torch.maximum(a, b).amin(1))
    offset = jitter(walk.key, rays.index)
    t = t0 + offset * _onwards(rays, t0, walk)
    left, found = torch.ones_like(t), []
    while True:
        walking = (t < t1) & (left >= walk.last)
        if not walking.any():
            break
        points = rays.origins + t[:, None] * rays.directions
        points = contracted(points) if walk.contracted else points
        side = (voxels.high - voxels.low) / points.new_tensor(voxels.clear.shape)
        cell = ((points - voxels.low) / side).long().clamp_min(0)
        cell = cell.minimum(cell.new_tensor(voxels.clear.shape) - 1)
        empty = voxels.clear[cell[:, 0], cell[:, 1], cell[:, 2]]
        place, share = _corners(points, voxels)
        raw = (voxels.density[place] * share).sum(1) - walk.shift
        alpha = -torch.expm1(-walk.thickness * torch.nn.functional.softplus(raw))
        counts = walking & (empty == 0) & (alpha > walk.thinnest) & (left * alpha > walk.least)
        found.append((counts.nonzero()[:, 0], t[counts]))
        left = torch.where(counts, left * (1 - alpha), left)
        onwards = _onwards(rays, t, walk)
        if walk.contracted:  # half of what is empty: a ray that comes nearer moves faster
            onwards = onwards * (0.5 * (empty.float() - 1) * side.min() / walk.step).clamp_min(1)
        t = t + onwards
    ray, at = (torch.cat([part[i] for part in found] or [t[:0].long() if i == 0 else t[:0]]) for i in range(2))
    order = torch.argsort(ray, stable=True)
    return ray[order], at[order]


def _onwards(rays: Rays, t: Float[Tensor, "r"], walk: Walk) -> Float[Tensor, "r"]:
    """How much t grows with a step."""
    if not walk.contracted:
        return torch.full_like(t, walk.step)
    points = rays.origins + t[:, None] * rays.directions
    return walk.step / contracted_speed(points, rays.directions).clamp_min(1e-6)


def _corners(points: Float[Tensor, "n 3"], voxels: Voxels) -> tuple[Int[Tensor, "n 8"], Float[Tensor, "n 8"]]:
    """The voxels around each point, and their shares in what is interpolated there."""
    shape = voxels.row_of.new_tensor(voxels.row_of.shape, dtype=torch.long)
    inside = (points - voxels.low) / (voxels.high - voxels.low) * (shape - 1)
    cell = inside.long().clamp_min(0).minimum(shape - 2)
    within = inside - cell
    corner = torch.tensor([[c >> 2 & 1, c >> 1 & 1, c & 1] for c in range(8)], device=points.device)
    x, y, z = (cell[:, None] + corner).unbind(-1)
    share = torch.where(corner == 1, within[:, None], 1 - within[:, None]).prod(-1)
    return (x * shape[1] + y) * shape[2] + z, share


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


# -- the loops ---------------------------------------------------------------------------------------------------------


@torch.compiler.disable
@cache
def _loops() -> Any:
    """The module of compiled loops, or None without numba."""
    try:
        from unflat.kernels import voxel_march_cpu
    except ModuleNotFoundError:
        return None
    return voxel_march_cpu


class _March(torch.autograd.Function):
    """`voxel_march` by loops. Its gradients are sparse: of the touched voxels and rows."""

    @staticmethod
    def forward(
        ctx: Any, rays: Rays, voxels: Voxels, walk: Walk, density: Tensor, colour: Tensor, background: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        walked = (rays.origins, rays.directions, rays.sights, rays.near, rays.far)
        origins, directions, sights, near, far = (part.detach().float().contiguous().numpy() for part in walked)
        count, room = len(near), ROOM * max(len(near), 64)
        rgb, through = np.empty((count, 3), np.float32), np.empty(count, np.float32)
        distance, first = np.empty(count, np.float32), np.empty(count + 1, np.int64)
        grid = [
            part.detach().numpy() for part in (density, voxels.row_of, colour, voxels.clear, voxels.low, voxels.high)
        ]
        numbers = [np.float32(v) for v in (walk.thickness, walk.shift, _raw_at(walk), walk.least, walk.last)]
        shade = background.detach().float().numpy()
        used = -1
        while used < 0:
            samples = np.empty(room, np.int64), np.empty((room, 3), np.float32), np.empty((room, 7), np.float32)
            used = _loops().forward(
                origins, directions, sights, near, far, rays.index.numpy(), np.uint64(walk.key & 2**64 - 1), *grid,
                np.float32(walk.step), walk.contracted, *numbers, shade, rgb, through, distance, first, *samples,
            )  # fmt: skip
            room *= 2
        ctx.kept = sights, first, *samples, numbers[0], shade, through, voxels.row_of.numpy(), colour.shape[1] // 3
        ctx.shapes = density.shape, colour.shape
        number = torch.from_numpy(np.diff(first).astype(np.int32))
        ctx.mark_non_differentiable(number)
        return torch.from_numpy(rgb), torch.from_numpy(through), torch.from_numpy(distance), number

    @staticmethod
    def backward(ctx: Any, of_rgb: Tensor, of_through: Tensor, of_distance: Tensor, _: Tensor) -> Any:
        (voxel_count,), (row_count, channels) = ctx.shapes
        sights, first, cell, within, kept, thickness, shade, through, row_of, bands = ctx.kept
        given = [part.float().contiguous().numpy() for part in (of_rgb, of_through, of_distance)]
        of_density, of_colour = accumulator(voxel_count, 1), accumulator(row_count, channels)
        some, some_rows = _loops().backward(
            sights, first, cell, within, kept, thickness, shade, through, *given, row_of, bands,
            of_density.values[:, 0], of_density.seen, of_density.touched,
            of_colour.values, of_colour.seen, of_colour.touched,
        )  # fmt: skip
        of_background = (of_rgb * torch.from_numpy(through)[:, None]).sum(0)
        grid = of_density.taken(some)
        grid = torch.sparse_coo_tensor(
            grid.indices(), grid.values()[:, 0], (voxel_count,), check_invariants=False, is_coalesced=True
        )
        return None, None, None, grid, of_colour.taken(some_rows), of_background


def _raw_at(walk: Walk) -> float:
    """The raw density less the shift whose sample is as thin as the thinnest."""
    return math.log(math.expm1(-math.log1p(-walk.thinnest) / walk.thickness))
