"""The samples of rays where something may be, whatever is there: what a field without a loop of its own is asked at.

Rays are walked as all marches walk them (`kernels.walking`), and what is empty is jumped over; nothing is known of
densities, so nothing is left out or ends early. Whoever composites asks for a few samples of each ray at a time and
walks on with those that still let light through. One function with three back ends: a loop in numba (CPU), a kernel in
Triton (GPU), and the readable PyTorch twin.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.geometry.spaces import Rays
from unflat.kernels.loops import NO_TRITON, compiled_loops, launched
from unflat.kernels.threads import pieces, side_by_side
from unflat.kernels.walking import Cells, Walk, is_empty, jitter, packed, points_at, within_limits

_loops = partial(compiled_loops, "occupied_steps_cpu")
_kernels = partial(compiled_loops, "occupied_steps_gpu")

ROOM = 16
"""samples a ray for which there is room at once; the rays behind are walked when it is full"""
FOUND = 64
"""the same on a GPU, where rays are walked again with enough of it"""
LANES = 32
"""rays of a program there"""


class Steps(NamedTuple):
    """Samples of all rays, ray by ray and from near to far."""

    ray: Int[Tensor, "m"]
    t: Float[Tensor, "m"]
    """along the ray"""
    length: Float[Tensor, "m"]
    """of the step around it, along the ray: the walk's, but longer far off in a contracted space"""
    points: Float[Tensor, "m 3"]
    """in the walk's coordinates"""
    onwards: Float[Tensor, "r"]
    """the `near` with which a ray is walked on, from the sample behind its last; not under its far end where there is
    none. In a box these are the samples of the unbroken walk; in a contracted space they move by less than a step"""


@torch.no_grad()
def occupied_steps(rays: Rays, cells: Cells, walk: Walk, most: int = 2**20) -> Steps:
    """The first samples of each ray, at most so many, in cells that are not empty. Of `walk`, its step, space and key
    count. Without gradient. ValueError for less than one sample."""
    loops, device = _loops(), rays.near.device.type
    if most >= 1 and device == "cuda" and rays.near.dtype == torch.float32 and _kernels() is not None:
        return occupied_steps_triton(rays, cells, walk, most)
    if most < 1 or loops is None or device != "cpu" or rays.near.dtype != torch.float32:
        return occupied_steps_torch(rays, cells, walk, most)
    walked = (rays.origins, rays.directions, rays.near, rays.far)
    given = [part.float().contiguous().numpy() for part in walked]
    index, key, count = rays.index.numpy(), np.uint64(walk.key & 2**64 - 1), len(rays)
    space = [part.contiguous().numpy() for part in (cells.clear, cells.low, cells.high)]
    onwards = np.empty(count, np.float32)

    def steps(piece: tuple[int, int]) -> tuple[np.ndarray, ...]:
        (a, b), parts = piece, [np.empty((0, 5), np.float32)]
        each, room = np.empty(b - a, np.int64), min(ROOM, most) * max(b - a, 64)
        while a < b:
            kept, first = np.empty((room, 5), np.float32), a - piece[0]
            done, used = loops.walk(
                *(part[a:b] for part in given), index[a:b], key, *space, np.float32(walk.step), walk.contracted, most,
                each[first:], onwards[a:b], kept,
            )  # fmt: skip
            a, room = a + done, room if done else 2 * room
            parts.append(kept[:used])
        return each, np.concatenate(parts)

    each, kept = (np.concatenate(part) for part in zip(*side_by_side(steps, pieces(count)), strict=True))
    ray = torch.repeat_interleave(torch.arange(count), torch.from_numpy(each))
    found = torch.from_numpy(kept)
    return Steps(ray, found[:, 0], found[:, 1], found[:, 2:], torch.from_numpy(onwards))


@torch.no_grad()
def occupied_steps_torch(rays: Rays, cells: Cells, walk: Walk, most: int = 2**20) -> Steps:
    """The readable twin: all rays step together through all of the box."""
    if most < 1:
        raise ValueError(f"at most {most} samples of a ray leave nothing to see: give 1 or more")
    t, far = within_limits(rays, cells, walk)
    offset = jitter(walk.key, rays.index)
    number, onwards, t = torch.zeros_like(rays.index), rays.far.clone(), t + offset * walk.onwards(rays, t)
    found = [(number[:0], t[:0], t[:0])]
    while (walking := t < far).any():
        length = walk.onwards(rays, t)
        there = walking & ~is_empty(points_at(rays, t, walk), cells)
        full = there & (number == most)  # its next sample is another walk's
        onwards[full] = (t - offset * length)[full]
        there &= ~full
        found.append((there.nonzero()[:, 0], t[there], length[there]))
        number, far = number + there, far.where(~full, -torch.inf)
        t = t + length
    ray, t, length = (torch.cat(parts) for parts in zip(*found, strict=True))
    order = torch.argsort(ray, stable=True)
    ray, t, length = ray[order], t[order], length[order]
    return Steps(ray, t, length, points_at(rays[ray], t, walk), onwards)


@torch.compiler.disable
@torch.no_grad()
def occupied_steps_triton(rays: Rays, cells: Cells, walk: Walk, most: int = 2**20) -> Steps:
    """The walk on a GPU, which is waited for once: nobody knows before how many samples there are."""
    if _kernels() is None:
        raise ModuleNotFoundError(NO_TRITON)
    ray, t, (onwards,) = packed(lambda room: _walked(rays, cells, walk, most, room), min(FOUND, most))
    these = rays[ray]
    return Steps(ray, t, walk.onwards(these, t), points_at(these, t, walk), onwards)


def _walked(rays: Rays, cells: Cells, walk: Walk, most: int, room: int) -> tuple[Tensor, Tensor, Tensor]:
    """The t of each ray's first samples [r, room], how many it has [r], and where it is walked on [r]."""
    walked = (rays.origins, rays.directions, rays.near, rays.far, rays.index)
    given, sides = [part.detach().contiguous() for part in walked], [side.float().contiguous() for side in cells[:2]]
    count, clear = len(rays), cells.clear.contiguous()
    found, onwards = given[0].new_empty(count, room), given[0].new_empty(count)
    number = torch.empty(count, dtype=torch.int32, device=clear.device)
    if count:
        launched(
            _kernels().walk, (-(-count // LANES),), *given, walk.key & 2**64 - 1, clear, *sides, found, number, onwards,
            count, *clear.shape, room, most, float(walk.step), walk.contracted, LANES, warps=1,
        )  # fmt: skip
    return found, number.long(), onwards
