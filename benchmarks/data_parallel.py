"""Two processes under torchrun against one with the double batch: do they learn the same, and what does it save?

    OMP_NUM_THREADS=1 python benchmarks/data_parallel.py [--steps 40] [--batch 16] [--record]

Unsup3D's small network on random pictures, one thread a process. Needs two quiet cores: efficiency is wall time. It is
the photos a second of two processes over twice those of one process with the single batch.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from unsup3d_speed import untaught

from unflat.data.batches import PhotoBatch, shuffled
from unflat.data.kinds import Photos
from unflat.methods.autoencoders.unsup3d import Config, Unsup3D, small, tiny
from unflat.records import Record, append
from unflat.training.devices import channels_last, keep_freed_memory
from unflat.training.optimisers import Optimiser
from unflat.training.parallel import Processes
from unflat.training.settings import seed_of

RATE, CLIP, SEED, PROCESSES = 5e-4, 1.0, 0, 2


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=40, help="updates")
    parser.add_argument("--batch", type=int, default=16, help="photos a step and process")
    parser.add_argument("--tiny", action="store_true", help="a network that learns nothing, to see that it runs")
    parser.add_argument("--record", action="store_true", help="append the figures to benchmarks/results/speed.jsonl")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--together", type=int, default=1, help=argparse.SUPPRESS)
    arguments = parser.parse_args(words)
    if arguments.worker:
        work(arguments.worker, arguments.steps, arguments.batch, arguments.together, arguments.tiny)
        return
    started = time.perf_counter()
    given = ["--steps", str(arguments.steps), "--batch", str(arguments.batch), *(["--tiny"] if arguments.tiny else [])]
    lines = figures(given)
    for line in lines:
        print(f"{line.metric:60}{line.ours:12.4g}  {line.note}")
    if arguments.record:
        seconds = time.perf_counter() - started
        command = "OMP_NUM_THREADS=1 python benchmarks/data_parallel.py --record"
        append([Record(**{**vars(line), "seconds": seconds, "command": command}) for line in lines])


def figures(given: list[str]) -> list[Record]:
    """What two processes, one with both batches, and one with a single batch learned and needed."""
    with tempfile.TemporaryDirectory() as folder:
        two = run(Path(folder) / "two.json", given, processes=PROCESSES)
        double = run(Path(folder) / "double.json", given, together=PROCESSES)
        single = run(Path(folder) / "single.json", given)
    ours, expected = np.array(two["loss"]), np.array(double["loss"])
    apart = np.abs(ours - expected) / np.abs(expected).max()
    seconds = {name: statistics.median(r["seconds"][1:]) for name, r in (("two", two), ("single", single))}
    note = f"small network, no turned photos, {len(ours)} steps, one thread a process, gloo"
    measured = {
        # Adam makes a step of every sign, also of one that rounding decided: differences grow from step to step
        "two processes, difference of loss, 2 steps": apart[:2].max(),
        "two processes, largest difference of loss": apart.max(),
        "two processes, wall s a step": seconds["two"],
        "one process, wall s a step": seconds["single"],
    }
    found = [Record("speed", "data_parallel", name, float(v), "lower", note=note) for name, v in measured.items()]
    efficiency = seconds["single"] / seconds["two"]
    return [*found, Record("speed", "data_parallel", "efficiency", efficiency, "higher", note=note)]


def run(out: Path, given: list[str], *, processes: int = 1, together: int = 1) -> dict[str, list[float]]:
    """The losses and the seconds of every step, of processes of their own."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *launcher, __file__, "--worker", str(out), "--together", str(together), *given]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {finished.returncode}:\n{finished.stderr[-2000:]}")
    return json.loads(out.read_text())


def work(out: Path, steps: int, batch: int, together: int, is_tiny: bool) -> None:
    """What each process does: the trainer's step on its own batches, or on those of several processes as one."""
    torch.set_num_threads(1)
    keep_freed_memory()
    processes = Processes.join()
    config, size = (tiny() if is_tiny else small()).config, 32 if is_tiny else 64
    assert isinstance(config, Config)
    config = replace(config, turn_weight=0.0)  # turns are drawn by each process, and its own batch's mean is believed
    data = pictures(8 * batch, size)
    torch.manual_seed(SEED)
    method = untaught(Unsup3D(config, data.extent).train())
    channels_last(method)
    optimiser = Optimiser(method.parameter_groups(), {p: name for name, p in method.named_parameters()}, RATE)
    batches = drawn(data, batch, range(processes.rank, processes.rank + together))
    losses, seconds = [], []
    for step in range(steps):
        before = time.perf_counter()
        optimiser.zero_grad()
        total = method.losses(next(batches), step).total
        total.backward()  # type: ignore[no-untyped-call]
        loss = processes.average(optimiser.parameters, total.detach())
        norm = nn.utils.get_total_norm([p.grad for p in optimiser.parameters if p.grad is not None])
        nn.utils.clip_grads_with_norm_(optimiser.parameters, CLIP, norm)
        optimiser.step(step, 1.0)
        processes.share(method.buffers())
        losses.append(float(loss))
        seconds.append(time.perf_counter() - before)
    if processes.first:
        out.write_text(json.dumps({"loss": losses, "seconds": seconds}))
    processes.wait()


def pictures(count: int, size: int) -> Photos:
    """Smooth random pictures."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(SEED))
    smooth = nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    rgb = (smooth.permute(0, 2, 3, 1) * 255).to(torch.uint8).numpy()
    return Photos(rgb, [f"picture {i}" for i in range(count)])


def drawn(data: Photos, batch: int, ranks: range) -> Iterator[PhotoBatch]:
    """The batches that these processes draw, as one."""
    sources = [shuffled(data, batch, seed=seed_of(SEED, rank) if rank else SEED) for rank in ranks]
    while True:
        parts = [next(source) for source in sources]
        photo, index, flipped = (torch.cat([getattr(p, f) for p in parts]) for f in ("photo", "index", "flipped"))
        yield PhotoBatch(photo, index, flipped)


if __name__ == "__main__":
    main()
