"""How near the loops of fields come to what the machine can do: `representations.py kernels`.

A loop has to do three things at least: move its arguments and results through memory in order, visit places of its
table at random, and compute. Each has a limit that is measured beside it, in turns: the bandwidth of a large copy;
random visits to as many neighbouring numbers of a table of the same size, which is the true limit of a hash table;
and the operations a second of a large product of matrices. The longest of the three times over that of the loop is its
share of the limit. Caches can make it more than all of it: samples along rays lie side by side, random visits do not.

What is counted: numbers of 4 bytes, and for a place all neighbours that lie side by side in it (both ends of an
interpolation along the last axis, of all channels). With the gradient there are two visits more: a place of the
gradient's table is read and written.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from field_kernels import ball, looking, planes_and_lines
from timing import interleaved
from torch import Tensor

from unflat.fields.hashgrid import HashGrid
from unflat.kernels import lookup
from unflat.kernels.density_march import density_march
from unflat.kernels.hash_lookup import hash_looked_up, levels_of
from unflat.kernels.lookup import AXES, Box, looked_up
from unflat.kernels.occupied_steps import occupied_steps
from unflat.kernels.tiny_networks import Shape, tiny_networks
from unflat.kernels.voxel_march import voxel_march
from unflat.kernels.walking import Walk
from unflat.kernels.walking_cpu import compiled
from unflat.records import Record
from unflat.rendering.volume import packed_absorption, packed_composited

EACH = 16
"""samples for each ray, where a loop takes samples"""
SIDE = 128
"""voxels along the side of a scene"""
NETWORKS = 500
COPIED, MULTIPLIED, VISITS = 2**25, 1536, 2**18
"""numbers that are copied, rows and columns of the matrices, and random visits, to measure the limits with"""
LINE = 16
"""numbers of a cache line"""
BACKWARDS = 2
"""further visits of the gradient"""


class Table(NamedTuple):
    """What is visited at random."""

    size: int
    """bytes"""
    width: int
    """numbers that lie side by side in a place"""


class Work(NamedTuple):
    """A loop, and what a sample needs at least."""

    run: Callable[[], Any]
    samples: int
    moved: float
    """bytes that are read or written in order"""
    places: Mapping[Table, float]
    """how many are visited at random"""
    operations: float

    @property
    def bytes(self) -> float:
        return self.moved + sum(4 * table.width * count for table, count in self.places.items())


def records(rays: int, rounds: int) -> list[Record]:
    """Nanoseconds a sample of each loop, and its share of its limit; and the limits."""
    torch.set_num_threads(1)
    return beside_limits(candidates(rays), rounds, "rendering", "representations, kernels")


def beside_limits(work: Mapping[str, Work], rounds: int, method: str, title: str) -> list[Record]:
    """The same of any loops, as records of a method or benchmark under this title."""
    tables = list(dict.fromkeys(table for one in work.values() for table in one.places))
    limits: dict[Any, Callable[[], Any]] = {"copy": copying(), "operations": multiplying()}
    limits |= {table: visiting(table) for table in tables}
    seconds: dict[Any, float] = interleaved({**limits, **{name: one.run for name, one in work.items()}}, rounds)
    best = {name: seconds[name] for name in limits}
    best |= {table: seconds[table] / VISITS for table in tables}
    best |= {"copy": seconds["copy"] / (8 * COPIED), "operations": seconds["operations"] / (2 * MULTIPLIED**3)}
    lines = [
        Record(method, title, "limit: GB/s of a copy", 1e-9 / best["copy"], "higher", note="one thread"),
        Record(method, title, "limit: GFLOP/s of a product of matrices", 1e-9 / best["operations"], "higher",
               note="one thread"),
    ]  # fmt: skip
    for name, one in work.items():
        each = seconds[name] / one.samples
        limit, share = limited(one, best, each)
        note = f"{share:.0%} of the limit, {limit}; {1e-9 * one.bytes / each:.2f} GB/s, "
        note += f"{1e-9 * one.operations / each:.2f} GFLOP/s, one thread, {one.samples} samples"
        lines.append(Record(method, title, f"{name}, ns a sample", 1e9 * each, "lower", note=note))
        lines.append(Record(method, title, f"{name}, share of its limit", share, "higher", note=limit))
    return lines


def limited(work: Work, best: dict[Any, float], each: float) -> tuple[str, float]:
    """What a loop is limited by, and its share of it: seconds that a sample needs at least over those it takes."""
    least = {
        "copying": work.moved * best["copy"],
        "random visits": sum(count * best[table] for table, count in work.places.items()),
        "operations": work.operations * best["operations"],
    }
    name = max(least, key=lambda limit: least[limit])
    visits = sum(work.places.values())
    told = f"{name}, {visits:.3g} of {1e9 * least[name] / visits:.2f} ns" if name == "random visits" else name
    return told, least[name] / each


# -- the limits --------------------------------------------------------------------------------------------------------


def copying() -> Callable[[], Any]:
    source = torch.zeros(COPIED)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def multiplying() -> Callable[[], Any]:
    matrix = torch.randn(MULTIPLIED, MULTIPLIED)
    return lambda: matrix @ matrix


def visiting(table: Table) -> Callable[[], Any]:
    """Random visits to a table."""
    values = np.ones(table.size // 4, np.float32)
    places = max(1, len(values) // table.width)
    at = np.random.default_rng(0).integers(0, places, VISITS).astype(np.int32) * np.int32(table.width)
    return lambda: visited(values, at, table.width)


@compiled
def visited(values: Any, at: Any, width: int) -> Any:
    """A sum of a number of each cache line that is visited: a multiple of four places, so that none waits for another's
    sum."""
    a, b, c, d = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for n in range(0, len(at), 4):
        for beside in range(0, width, LINE):
            a += values[at[n] + beside]
            b += values[at[n + 1] + beside]
            c += values[at[n + 2] + beside]
            d += values[at[n + 3] + beside]
    return a + b + c + d


# -- the loops ---------------------------------------------------------------------------------------------------------


def candidates(rays: int) -> dict[str, Work]:
    torch.manual_seed(0)
    box = Box(torch.full((3,), -1.0), torch.ones(3))
    points = torch.rand(EACH * rays, 3) * 2 - 1
    return {
        **hashed(points, box), **looked_at(points, box), **marched(rays), **asked(points), **composited(rays),
    }  # fmt: skip


def both(
    name: str, run: Callable[[], Tensor], inputs: Sequence[Tensor], one: Work, *, backwards: float
) -> dict[str, Work]:
    """Forwards, and with the gradient, which computes `backwards` times as much besides."""

    def forwards() -> Any:
        with torch.no_grad():
            return run()

    def gradient() -> Any:
        return torch.autograd.grad(run().square().sum(), inputs)

    places = {table: (1 + BACKWARDS) * count for table, count in one.places.items()}
    with_gradient = Work(gradient, one.samples, 2 * one.moved, places, (1 + backwards) * one.operations)
    return {name: one._replace(run=forwards), f"{name} with gradient": with_gradient}


def hashed(points: Tensor, box: Box) -> dict[str, Work]:
    """Instant-NGP's `small()`, and as large as published. Corners along x lie side by side, mostly."""
    found: dict[str, Work] = {}
    for name, sizes in (("small", (6, 2, 15, 8, 128)), ("published", (16, 2, 19, 16, 2048))):
        grid = HashGrid(*sizes)
        levels, channels = len(grid.cells), sizes[1]
        places: Counter[Table] = Counter()
        for _, rows in levels_of(grid.cells, grid.most):
            places[Table(4 * channels * 2 ** math.ceil(math.log2(rows)), 2 * channels)] += 4
        one = Work(
            lambda: None, len(points), 4 * (3 + levels * channels), dict(places),
            levels * (15 + 8 * (2 + 2 * channels)),
        )  # fmt: skip
        found |= both(
            f"hash look-up, {name}", lambda grid=grid: hash_looked_up(points, grid.table, box), [grid.values], one,  # type: ignore[misc]
            backwards=1.0,
        )  # fmt: skip
    return found


def looked_at(points: Tensor, box: Box) -> dict[str, Work]:
    """Tri-planes', TensoRF's and DVGO's tables, about as large as in `small()`."""
    count, channels = len(points), 16
    flat = [torch.randn(SIDE * SIDE, channels).requires_grad_() for _ in AXES]
    planes = lookup.Planes((flat[0], flat[1], flat[2]), (SIDE, SIDE, SIDE))
    pairs = planes_and_lines(96, 24, torch.device("cpu"))
    voxels = lookup.Voxels(torch.randn(80**3, 6).requires_grad_(), (80, 80, 80))
    plane, of_pair = Table(4 * channels * SIDE**2, 2 * channels), Table(4 * 24 * 96**2, 2 * 24)
    grid = Table(4 * 6 * 80**3, 2 * 6)
    work: dict[str, tuple[Any, Work]] = {
        f"plane look-up, 3 x {channels} of {SIDE} a side": (
            planes, Work(lambda: None, count, 4 * (3 + channels), {plane: 6.0}, 3 * (10 + channels * 9)),
        ),
        "plane and line look-up, 3 x 24 of 96 a side": (
            pairs, Work(lambda: None, count, 4 * (3 + 3 * 24), {of_pair: 6.0}, 3 * (12 + 24 * 12)),
        ),
        "voxel look-up, 6 of 80 a side": (
            voxels, Work(lambda: None, count, 4 * (3 + 6), {grid: 4.0}, 15 + 8 * (2 + 2 * 6))
        ),
    }  # fmt: skip
    found: dict[str, Work] = {}
    for name, (table, one) in work.items():
        inputs = lookup.tables_of(table)
        found |= both(name, lambda table=table: looked_up(points, table, box), inputs, one, backwards=1.0)  # type: ignore[misc]
    return found


def marched(count: int) -> dict[str, Work]:
    """A ball of voxels: the steps alone, through densities, and the whole march of the quick grid."""
    device, step = torch.device("cpu"), 0.75 * 2 / (SIDE - 1)
    grid, rays = ball(SIDE, device), looking(count, device)
    walk = Walk(step, False, thickness=75 * step, shift=4.0, key=1, least=3e-3, last=1e-2)
    density = lookup.Voxels(grid.density.detach()[:, None].requires_grad_(), (SIDE, SIDE, SIDE))
    steps, weighed = (
        len(occupied_steps(rays, grid.cells, walk).t),
        len(density_march(rays, density, grid.cells, walk).t),
    )
    seen = int(voxel_march(rays, grid, walk, torch.ones(3)).samples.sum())
    bands, channels = grid.colour.shape[1] // 3, grid.colour.shape[1]
    dense, colours = Table(4 * SIDE**3, 2), Table(4 * grid.colour.numel(), 2 * channels)
    # a sample's ray, place along it, point and weight; or its cell, place in it, and what is kept for the way back
    walked, kept, back = 8 + 4 * 5, 8 + 4 * (3 + 7), 4 * 4
    return {
        "occupancy marching": Work(
            lambda: occupied_steps(rays, grid.cells, walk), steps, walked, {Table(grid.cells.clear.numel(), 1): 1.0},
            6 + 3 * 3,
        ),
        **both(
            "marching through densities, composited",
            lambda: density_march(rays, density, grid.cells, walk).weight, [density.values],
            Work(lambda: None, weighed, walked, {dense: 4.0}, 15 + 8 * 4 + 12), backwards=1.0,
        ),
        **both(
            "marching through voxels and harmonics, composited",
            lambda: voxel_march(rays, grid, walk, torch.ones(3)).rgb, [grid.density, grid.colour],
            Work(lambda: None, seen, kept + back, {dense: 4.0, colours: 4.0}, 8 * (6 * bands + 4)), backwards=1.0,
        ),
    }  # fmt: skip


def asked(points: Tensor) -> dict[str, Work]:
    """KiloNeRF's networks, of the published size and of `small()`'s."""
    sights, which = torch.nn.functional.normalize(points, dim=1), torch.randint(NETWORKS, (len(points),))
    found: dict[str, Work] = {}
    for name, shape in (("published", Shape()), ("small", Shape(6, 2, 32))):
        weights = (0.2 * torch.randn(NETWORKS, shape.weights)).requires_grad_()
        each = 2 * sum(layer.inputs * layer.outputs for layer in shape.layers)
        one = Work(lambda: None, len(points), 4 * 10 + 8, {}, each)
        found |= both(
            f"tiny networks, {name}",
            lambda weights=weights, shape=shape: tiny_networks(points, sights, which, weights, shape), [weights], one,  # type: ignore[misc]
            backwards=2.0,
        )  # fmt: skip
    return found


def composited(rays: int) -> dict[str, Work]:
    """Samples that are given, as methods with networks composite them: PyTorch operations."""
    ray = torch.repeat_interleave(torch.arange(rays), EACH)
    thickness = (0.2 * torch.rand(len(ray))).requires_grad_()
    colour = torch.rand(len(ray), 3).requires_grad_()

    def run() -> Tensor:
        return packed_composited(packed_absorption(thickness, ray, rays).weights, colour, ray, rays)

    one = Work(run, len(ray), 4 * (1 + 3 + 1) + 8, {}, 12)
    return both(f"compositing, {EACH} samples a ray", run, [thickness, colour], one, backwards=1.0)
