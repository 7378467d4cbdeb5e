"""What it costs to see reliefs from elsewhere, and which share of a training step that is.

    OMP_NUM_THREADS=1 python benchmarks/relief_speed.py [--size 64] [--rounds 5] [--record]

Everything is milliseconds of process CPU time of one core a photo, median over rounds in which the candidates take
turns. The warp is what a photo needs: its relief and the mirrored one, forward and backward. The step is Unsup3D's,
width 24, without a feature network.
"""

import argparse
import math
import time
from collections.abc import Callable

import torch
from timing import interleaved
from torch import Tensor

from unflat.data.batches import PhotoBatch
from unflat.data.kinds import Extent
from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import unproject
from unflat.geometry.meshes import grid_triangles
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.kernels.visible_triangles import visible_triangles_numba, visible_triangles_torch
from unflat.methods.autoencoders.unsup3d import Config, Unsup3D
from unflat.records import Record, append
from unflat.rendering.relief import sample_canonical, see_relief
from unflat.training.devices import channels_last

BATCH = 16
IDS, TWIN, WARP, STEP = "triangle ids", "triangle ids, torch twin", "warp of both reliefs", "training step"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--rounds", type=int, default=5, help="times each candidate has its turn")
    parser.add_argument(
        "--record", action="store_true", help="append the figures to benchmarks/results/rendering.jsonl"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    started = time.perf_counter()
    seconds = interleaved(candidates(arguments.size), arguments.rounds)
    times = {name: value / BATCH * 1000 for name, value in seconds.items()}  # milliseconds a photo
    figures = {**times, "twin / ids": times[TWIN] / times[IDS], "warp / step": times[WARP] / times[STEP]}
    for name, value in figures.items():
        print(f"{name:28}{value:10.3f}{' ms' if name in times else ''}")
    if arguments.record:
        append(records(figures, arguments.size, time.perf_counter() - started))


def candidates(size: int) -> dict[str, Callable[[], None]]:
    """What is timed, each on a batch of photos."""
    torch.manual_seed(0)
    camera = Pinhole.across_centres(size, math.radians(10))
    coarse = torch.randn(BATCH, 1, 6, 6)
    relief = 1 + 0.03 * torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic")[:, 0].clamp(-3, 3)
    turns = (torch.rand(BATCH, 3) * 2 - 1) * math.radians(30)
    image = torch.rand(BATCH, 3, size, size)
    points = view(turns).apply(unproject(relief, camera).flatten(1, 2))
    corners = torch.cat([camera.project(points), points[..., 2:]], -1).contiguous()
    triangles = grid_triangles(size, size)
    method = Unsup3D(Config(width=24, code=128), Extent(BATCH, (size, size))).train()
    channels_last(method)
    optimiser = torch.optim.Adam(method.parameters(), fused=True)
    index = torch.arange(BATCH)
    batch = PhotoBatch(image.contiguous(memory_format=torch.channels_last), index, index < 0)

    def step() -> None:
        optimiser.zero_grad()
        method.losses(batch, 1).total.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    return {
        IDS: lambda: discard(visible_triangles_numba(corners, triangles, size, size)),
        TWIN: lambda: discard(visible_triangles_torch(corners, triangles, size, size)),
        WARP: lambda: warp(relief, turns, image, camera),
        STEP: step,
    }


def warp(relief: Tensor, turns: Tensor, image: Tensor, camera: Pinhole) -> None:
    """Both pictures of every photo and the gradients of everything."""
    leaves = [leaf.detach().requires_grad_() for leaf in (relief, turns, image)]
    depth, angles, canonical = leaves
    total = torch.zeros(())
    for shape, colours in ((depth, canonical), (depth.flip(-1), canonical.flip(-1))):
        seen = see_relief(shape, view(angles), camera)
        total = total + sample_canonical(colours, seen.canonical).where(seen.mask[:, None], 0.0).square().mean()
    total.backward()  # type: ignore[no-untyped-call]


def view(turns: Tensor) -> Rigid:
    return Rigid.about(torch.tensor([0.0, 0.0, 1.0]), rotation_from_euler(turns), torch.zeros_like(turns))


def discard(result: Tensor) -> None:
    """Takes what a timed function gives."""


def records(figures: dict[str, float], size: int, seconds: float) -> list[Record]:
    """The figures as lines of records, with the bounds that they are to keep at 64 pixels."""
    bounds = {IDS: 0.25, WARP: 2.0, "warp / step": 0.15}
    return [
        Record(
            method="rendering",
            experiment="relief_speed",
            metric=f"{size}-px {name}" + (", CPU ms a photo" if name in (IDS, TWIN, WARP, STEP) else ""),
            ours=value,
            better="higher" if name == "twin / ids" else "lower",
            bound=bounds.get(name) if size == 64 else None,
            source="floor" if size == 64 and name in bounds else "",
            seconds=seconds,
            command=f"OMP_NUM_THREADS=1 python benchmarks/relief_speed.py --size {size} --record",
        )
        for name, value in figures.items()
    ]


if __name__ == "__main__":
    main()
