"""What the kernels of fields gain over their readable PyTorch twins, forwards and backwards.

    OMP_NUM_THREADS=1 python benchmarks/field_kernels.py [--side 128] [--rays 2048] [--rounds 5] [--record]
    python benchmarks/field_kernels.py --device cuda [--record]

Milliseconds of process CPU time of one thread (on a GPU of wall time, waited for), the median over rounds in which both
take turns. The scene is a ball of radius 0.6 in a box of side 2; planes and lines hold what TensoRF's `small()` does.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from timing import interleaved
from torch import Tensor

from unflat.fields.voxels import coarse_shape, occupied_cells, rows_within
from unflat.geometry.spaces import Rays
from unflat.kernels import lookup, smoothing
from unflat.kernels.clearance import clearance
from unflat.kernels.density_march import density_march, density_march_torch
from unflat.kernels.lookup import AXES, Box, Pairs, looked_up, looked_up_torch
from unflat.kernels.smoothing import smoothed
from unflat.kernels.touched_adam import update_rows, update_rows_torch
from unflat.kernels.voxel_march import Voxels, voxel_march, voxel_march_torch
from unflat.kernels.walking import Cells, Walk
from unflat.records import Record, append

Pair = tuple[Callable[[], Any], Callable[[], Any]]
SHARP = 0.5
"""how fast the raw density rises, a voxel"""
SEEN_BY = 4
"""samples a ray at which look-ups are timed"""


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    torch.set_num_threads(1)
    began, found = time.perf_counter(), []
    clock, where = (time.process_time, "CPU") if options.device == "cpu" else (waited_for, "GPU")
    with torch.device(options.device):
        work = candidates(options)
    for name, (ours, twin) in work.items():
        seconds = interleaved({"ours": ours, "twin": twin}, options.rounds, clock)
        gain, note = seconds["twin"] / seconds["ours"], f"{options.rays} rays, {options.side} voxels a side"
        print(f"{name:40}{1e3 * seconds['ours']:10.2f} ms{1e3 * seconds['twin']:12.2f} ms{gain:10.1f}x", flush=True)
        title = f"field_kernels, {where}"
        found += [
            Record("rendering", title, f"{name}, ms", 1e3 * seconds["ours"], "lower", note=note),
            Record("rendering", title, f"{name}, its twin's time over it", gain, "higher", note=note),
        ]
    if options.record:
        command = f"OMP_NUM_THREADS=1 python benchmarks/field_kernels.py --device {options.device} --record"
        append([replace(line, seconds=time.perf_counter() - began, command=command) for line in found])


def waited_for() -> float:
    """Wall seconds, when the GPU has done what it was given."""
    torch.cuda.synchronize()
    return time.perf_counter()


def candidates(options: argparse.Namespace) -> dict[str, Pair]:
    """Each kernel and its twin, on the same scene."""
    torch.manual_seed(0)
    side, device = options.side, torch.device(options.device)
    grid, rays = ball(side, device), looking(options.rays, device)
    step = 0.75 * 2 / (side - 1)
    walk = Walk(step, False, thickness=75 * step, shift=4.0, key=1, least=3e-3, last=1e-2)
    shade = torch.ones(3, device=device)
    box, shape = Box(grid.cells.low, grid.cells.high), grid.row_of.shape
    density = lookup.Voxels(grid.density.detach()[:, None].requires_grad_(), tuple(shape))
    features = lookup.Voxels(torch.randn(side**3, 12, device=device).requires_grad_(), tuple(shape))
    pairs = planes_and_lines(side, 16, device)
    planes = lookup.Planes(pairs.planes, (side, side, side))
    places = (torch.rand(SEEN_BY * options.rays, 3, device=device) - 0.5) * 1.2

    def marched(march: Callable[..., Any]) -> Callable[[], Any]:
        def run() -> Any:
            seen = march(rays, grid, walk, shade)
            return torch.autograd.grad(seen.rgb.square().mean() + seen.spread.mean(), (grid.density, grid.colour))

        return run

    def weighed(march: Callable[..., Any]) -> Callable[[], Any]:
        def run() -> Any:
            seen = march(rays, density, grid.cells, walk)
            return torch.autograd.grad(seen.weight.square().sum() + seen.through.sum(), density.values)

        return run

    def found(look: Callable[..., Any], table: Any) -> Callable[[], Any]:
        tables = lookup.tables_of(table)
        return lambda: torch.autograd.grad(look(places, table, box).square().sum(), tables)

    return {
        "march through voxels and harmonics": (marched(voxel_march), marched(voxel_march_torch)),
        "march through densities": (weighed(density_march), weighed(density_march_torch)),
        "look-up of 12 features in voxels": (found(looked_up, features), found(looked_up_torch, features)),
        "look-up in planes and lines, 3 x 16": (found(looked_up, pairs), found(looked_up_torch, pairs)),
        "look-up in three planes, 16 summed": (found(looked_up, planes), found(looked_up_torch, planes)),
        "smoothness of what is touched": rougher(grid),
        "touched Adam": updated(grid.colour.detach().clone()),
    }


def ball(side: int, device: torch.device) -> Voxels:
    """Its densities and four harmonics of each colour, where it is not empty."""
    axis = torch.linspace(-1, 1, side, device=device)
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), -1).norm(dim=-1)
    raw = 4 + (0.6 - distance) * SHARP * (side - 1) / 2
    cells = occupied_cells(raw > 0, coarse_shape((side, side, side)))
    row_of = rows_within(cells, (side, side, side))
    colour = torch.randn(int(row_of.max()) + 1, 12, device=device)
    low, high = torch.full((3,), -1.0, device=device), torch.ones(3, device=device)
    return Voxels(
        raw.flatten().requires_grad_(), colour.requires_grad_(), row_of, Cells(low, high, clearance(cells))
    )  # fmt: skip


def looking(count: int, device: torch.device) -> Rays:
    """From 3 units away to somewhere in the ball or beside it."""
    places = torch.nn.functional.normalize(torch.randn(count, 3), dim=1) * 3
    sights = torch.nn.functional.normalize((torch.rand(count, 3) - 0.5) * 1.4 - places, dim=1)
    near, far = torch.full((count,), 0.05), torch.full((count,), 10.0)
    parts = (places, sights, sights, near, far, torch.arange(count))
    return Rays(*(part.to(device) for part in parts))


def planes_and_lines(side: int, channels: int, device: torch.device) -> Pairs:
    planes = [torch.randn(side * side, channels, device=device).requires_grad_() for _ in AXES]
    lines = [torch.randn(side, channels, device=device).requires_grad_() for _ in AXES]
    return Pairs((planes[0], planes[1], planes[2]), (lines[0], lines[1], lines[2]))


def rougher(grid: Voxels) -> Pair:
    """The gradient of the roughness of every tenth row of the colours."""
    rows = torch.arange(0, len(grid.colour), 10, device=grid.colour.device)
    given = torch.sparse_coo_tensor(
        rows[None], torch.ones(len(rows), 12, device=rows.device), grid.colour.shape, is_coalesced=True,
        check_invariants=False,
    )  # fmt: skip
    given = given if rows.device.type == "cpu" else given.to_dense()

    def ours() -> Tensor:
        return torch.autograd.grad(smoothed(grid.colour, grid.row_of, 1e-3), grid.colour, given)[0]

    def twin() -> Tensor:
        with (
            mock.patch.object(smoothing, "_loops", lambda: None),
            mock.patch.object(smoothing, "_kernels", lambda: None),
        ):
            return ours()

    return ours, twin


def updated(table: Tensor) -> Pair:
    """A tenth of the rows of a table."""
    rows = torch.arange(0, len(table), 10, device=table.device)
    given = torch.randn(len(rows), table.shape[1], device=table.device)
    mean, square = torch.zeros_like(table), torch.zeros_like(table)
    count = torch.zeros(len(table), dtype=torch.int32, device=table.device)
    numbers: dict[str, Any] = {"rate": 1e-3, "betas": (0.9, 0.99), "eps": 1e-12}
    parts = (table, rows, given, mean, square, count)
    return lambda: update_rows(*parts, **numbers), lambda: update_rows_torch(*parts, **numbers)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--side", type=int, default=128, help="voxels along a side")
    made.add_argument("--rays", type=int, default=2048)
    made.add_argument("--rounds", type=int, default=5, help="times each has its turn")
    made.add_argument("--device", default="cpu")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    return made


if __name__ == "__main__":
    main()
