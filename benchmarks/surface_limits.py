"""The loops that most of the quick surface's learning goes into, and their limits: `surfaces.py limits`.

A run is made twice, the second time under a profiler: what each kernel's loops take there, over what all of the first
took, both in process CPU time. Then the march through distances, with the grid as the first run left it, some batches
of its rays and their gradients, and the sweep that learning begins with, of one picture, have their turns beside what
the machine can do. What a limit is stands in `kernel_limits.py`.

A sample is a place along a ray at which the march looks up its grid, or the sweep a neighbour's picture. What else is
done at the few that weigh in a pixel, and on the way back from them, is counted by their share of the samples.
"""

import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from kernel_limits import BACKWARDS, Table, Work, beside_limits
from torch import Tensor

from unflat.data.kinds import Capture
from unflat.geometry.spaces import Rays
from unflat.kernels.distance_march import _sections, distance_march
from unflat.kernels.occupied_steps import occupied_steps
from unflat.kernels.plane_sweep import Sweep, plane_sweep
from unflat.kernels.threads import share_threads
from unflat.kernels.walking import Cells, Walk
from unflat.outputs.sights import OPAQUE
from unflat.outputs.stereo import OTHERS, SmallViews
from unflat.records import Record
from unflat.training.timed import NEVER, Curve, curve

METHOD, TITLE = "quick_surface", "surfaces, limits"
NAMES = {"distance_march": "march through distances", "plane_sweep": "sweep of planes"}
"""what is measured beside its limit, by the kernel's file"""
SHARE = "share of learning"
TOLD = 4
"""kernels whose share of learning is told, the dearest first"""
BATCHES = 8
"""of rays, in each turn"""
PLANES, OPERATIONS = 100, 12 + 4 + 4 * 7 + 3 * 3
"""of a sweep; and what a sample needs: its place, four weights, four channels, and three differences"""
KEY = 1
"""of where in its first step each ray begins"""


def limit_records(run: Curve, chosen: Any, capture: Capture, held_out: Capture, rounds: int) -> list[Record]:
    """Shares of the time of learning, nanoseconds a sample, and shares of limits. `run` is one of `chosen`, an
    experiment, on these pictures."""
    share_threads(1)
    given = chosen.method, chosen.config, replace(chosen.training, threads=1), capture, held_out
    found = shares(profiled(lambda: curve(*given, every=NEVER)), run.points[-1].cpu)
    return found + beside_limits(candidates(run.method, capture), rounds, METHOD, TITLE)


# -- where the time goes -----------------------------------------------------------------------------------------------


def profiled(work: Callable[[], Any]) -> Counter[str]:
    """Process CPU seconds of each kernel's own loops, by the kernel's file."""
    watched = cProfile.Profile(time.process_time)
    watched.runcall(work)
    spent: Counter[str] = Counter()
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(watched).stats.items():  # type: ignore[attr-defined]
        if Path(file).parent.name == "kernels" and Path(file).stem.endswith("_cpu"):
            spent[Path(file).stem.removesuffix("_cpu")] += own
    return spent


def shares(spent: Counter[str], seconds: float) -> list[Record]:
    """The dearest kernels' shares of a run of so many CPU seconds."""
    return [
        Record(METHOD, TITLE, f"{NAMES.get(name, name)}, {SHARE}", own / seconds, "lower",
               note=f"{own:.2f} of {seconds:.1f} CPU s, one thread")
        for name, own in spent.most_common(TOLD)
    ]  # fmt: skip


# -- the loops ---------------------------------------------------------------------------------------------------------


def candidates(method: Any, capture: Capture) -> dict[str, Work]:
    """Both loops: the march as a method that has learned has it at the end."""
    measured = {"distance_march": through_distances(method, capture), "plane_sweep": sweeping(method, capture)}
    return {NAMES[name]: work for name, work in measured.items()}


def through_distances(method: Any, capture: Capture) -> Work:
    done = method.begins + method.config.over
    grid, approach, shade = method.grid(method.distance), method.approach(done, KEY), method.background
    every = rays_of(method, capture, done)

    def run() -> None:
        for rays in every:
            rgb = distance_march(rays, grid, approach, shade).rgb
            torch.autograd.grad(rgb.square().mean(), (method.distance, method.colour))

    walk, seen = Walk(approach.step, False, 1.0, 0.0, KEY, last=approach.last), []
    with torch.no_grad():
        for rays in every:
            ray, _, ends = _sections(rays, grid, approach)
            through = distance_march(rays, grid, approach, shade).through
            seen.append(Seen.of(rays, grid.cells, walk, ray, ends, through))
    return work_of(run, seen, grid.row_of, method.colour, ends=2, kept=92, back=20)


def sweeping(method: Any, capture: Capture) -> Work:
    """All planes of the object's box before the first picture, in those that look at it from a little aside."""
    photos = SmallViews()
    photos.keep(capture)
    layers, views = photos.pictures.float() / 255, photos.views
    poses = views.camera_from_scene
    apart = torch.from_numpy(np.linalg.norm(views.centres - views.centres[0], axis=1))
    others = apart.argsort()[1 : OTHERS + 1]
    sweep = Sweep(layers[0, ..., :4], layers[others][..., :4], poses[others] @ poses[0].inverse, views.pinholes[0])
    away = float(np.linalg.norm(views.centres[0]))
    half = float((method.high - method.low).norm()) / 2
    planes, shown = torch.linspace(away - half, away + half, PLANES), layers[0, ..., 3] > OPAQUE
    reach = torch.tensor([0, PLANES]).expand(*shown.shape, 2)
    picture = Table(4 * sweep.picture.numel(), 8)  # two pixels that lie side by side, of each of two rows
    samples = int(shown.sum()) * PLANES * OTHERS
    return Work(lambda: plane_sweep(sweep, planes, shown, reach), samples, 8 / OTHERS, {picture: 2.0}, OPERATIONS)


def rays_of(method: Any, capture: Capture, step: int = 0) -> list[Rays]:
    """Of a few steps: in one alone, what is in no cache yet would count for more than it does."""
    return [batch.rays for batch in islice(method.batches(capture, step, 0), BATCHES)]


class Seen(NamedTuple):
    """How much there is to do for a batch of rays."""

    samples: int
    weighing: int
    """of them, those that weigh in a pixel"""

    @staticmethod
    def of(
        rays: Rays, cells: Cells, walk: Walk, ray: Int[Tensor, "m"], t: Float[Tensor, "m"], through: Float[Tensor, "r"]
    ) -> "Seen":
        """Of a walk on which samples of these rays at these distances weigh: a ray through which nothing passes any
        more ends at the last of them."""
        last = torch.zeros(len(rays)).scatter_reduce(0, ray, t, "amax").where(through < walk.last, torch.inf)
        steps = occupied_steps(rays, cells, walk)
        return Seen(int((steps.t < last[steps.ray] + walk.step / 2).sum()), len(t))


def work_of(
    run: Callable[[], Any], seen: Sequence[Seen], row_of: Int[Tensor, "x y z"], colour: Float[Tensor, "rows k"], *,
    ends: int, kept: int, back: int,
) -> Work:  # fmt: skip
    """What a march needs a sample. One that weighs looks up the rows of its corners and their colours, there and back,
    gives gradients to `ends` places of the grid, and keeps so many bytes, and more on the way back."""
    samples, bands = sum(one.samples for one in seen), colour.shape[1] // 3
    share = sum(one.weighing for one in seen) / samples
    grid, colours = Table(4 * row_of.numel(), 2), Table(4 * colour.numel(), 2 * colour.shape[1])
    places = {grid: 4 + share * (8 + 4 * BACKWARDS * ends), colours: share * 4 * (1 + BACKWARDS)}
    operations = 15 + 8 * 4 + 12 + share * (2 * 8 * (6 * bands + 4) + 8 * 4 * ends)
    return Work(run, samples, share * 2 * (kept + back), places, operations)
