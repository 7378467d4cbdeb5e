"""How fast Unsup3D trains on a GPU, how long 3.2 million photos take, and what limits it.

    python benchmarks/unsup3d_gpu.py [--how eager compile graph] [--steps 200] [--batch 64] [--record]

The paper's own network at 64 px without a perceptual loss. Photos lie on the device and are drawn there; bf16 autocast
on a GPU. `eager` runs the losses as the trainer does (which draws its batches on the host and waits for the gradient's
norm besides), `compile` compiles them, `graph` replays the whole step as one CUDA graph. Without a GPU:
`--device cpu --steps 2 --batch 4 --size 16 --width 8 --how eager` shows that it runs.
"""

import argparse
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from unflat.data.batches import PhotoBatch
from unflat.data.kinds import Extent
from unflat.methods.autoencoders.unsup3d import Config, Unsup3D
from unflat.records import Record, append
from unflat.training.devices import channels_last

PAPER = 50_000 * 64
"""photos that the paper's training sees"""
HELD = 20_000
"""photos on the device"""
STEP, CLIP, WARM = 101, 5.0, 10
HOW = ("eager", "compile", "graph")
Step = Callable[[], Tensor]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--how", nargs="+", choices=HOW, default=list(HOW), help="ways to run the step")
    parser.add_argument("--device", default="cuda", help="cuda or cpu")
    parser.add_argument("--steps", type=int, default=200, help="steps that are timed")
    parser.add_argument("--batch", type=int, default=64, help="photos a step")
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--width", type=int, default=64, help="of the networks")
    parser.add_argument("--record", action="store_true", help="append the figures to benchmarks/results/speed.jsonl")
    arguments = parser.parse_args(words)
    device = torch.device(arguments.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("this torch sees no GPU; --device cpu --steps 2 --batch 4 --size 16 --width 8 shows that it runs")
    if device.type == "cpu" and "graph" in arguments.how:
        parser.error("a CUDA graph needs a GPU; use --how eager or compile with --device cpu")
    lines: list[Record] = []
    for how in arguments.how:
        lines += measured(how, device, arguments)
    for line in lines:
        print(f"{line.metric:50}{line.ours:14.4g}  {line.note}")
    if arguments.record:
        append(lines)


def measured(how: str, device: torch.device, arguments: argparse.Namespace) -> list[Record]:
    """Photos a second, the time of the paper's training, memory, and what the device did all the time."""
    started = time.perf_counter()
    step = stepping(how, device, arguments)
    for _ in range(min(WARM, arguments.steps)):
        step()
    ready = time.perf_counter() - started
    seconds = timed(step, arguments.steps, device)
    rate = arguments.batch * arguments.steps / seconds
    busy, dearest = profiled(step, device)
    note = (
        f"{how}, {arguments.size} px, width {arguments.width}, batches of {arguments.batch}, ready after {ready:.0f} s"
    )
    figures = {
        "photos a second": rate,
        "minutes for 3.2 million photos": PAPER / rate / 60,
        "share of the time the device works": min(busy * arguments.steps / seconds, 1.0),
        "peak memory, MB": torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0,
    }
    command = f"python benchmarks/unsup3d_gpu.py --how {how} --record"
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    lower = ("minutes for 3.2 million photos", "peak memory, MB")
    return [
        Record(
            "speed", "unsup3d_gpu", f"{how}: {metric}", value, "lower" if metric in lower else "higher",
            seconds=time.perf_counter() - started, command=command, hardware=hardware,
            note=f"{note}; dearest: {dearest}" if metric.startswith("share") else note,
        )
        for metric, value in figures.items()
    ]  # fmt: skip


def stepping(how: str, device: torch.device, arguments: argparse.Namespace) -> Step:
    """The step, run in one of the ways, on photos that lie on the device. Nothing in it waits for the device."""
    torch.manual_seed(0)
    method = Unsup3D(Config(width=arguments.width), Extent(HELD, (arguments.size, arguments.size))).to(device).train()
    channels_last(method)
    groups = [{"params": list(g.parameters), "weight_decay": g.decay} for g in method.parameter_groups()]
    optimiser = torch.optim.Adam(groups, lr=1e-4, fused=True, capturable=device.type == "cuda")
    parameters = [p for group in groups for p in group["params"]]
    held = torch.randint(256, (HELD if device.type == "cuda" else 64, 3, arguments.size, arguments.size))
    held = held.to(device, torch.uint8).contiguous(memory_format=torch.channels_last)
    losses = torch.compile(method.losses) if how == "compile" else method.losses

    def step() -> Tensor:
        index = torch.randint(len(held), (arguments.batch,), device=device)
        flipped = torch.rand(arguments.batch, device=device) < 0.5
        photo = held[index].float() / 255
        photo = torch.where(flipped[:, None, None, None], photo.flip(-1), photo)
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            total = losses(PhotoBatch(photo, index, flipped), STEP).total
        total.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        nn.utils.clip_grads_with_norm_(parameters, CLIP, norm)
        optimiser.step()
        return total.detach()

    return captured(step) if how == "graph" else step


def captured(step: Step) -> Step:
    """The same step as one graph: the CPU launches it once instead of about 1500 kernels."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):  # what is made on first use is made before
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()

    def replay() -> Tensor:
        graph.replay()
        return loss

    return replay


def timed(step: Step, steps: int, device: torch.device) -> float:
    """Wall seconds of so many steps."""
    finish(device)
    before = time.perf_counter()
    for _ in range(steps):
        loss = step()
    finish(device)
    seconds = time.perf_counter() - before
    if not bool(loss.isfinite()):
        raise RuntimeError(f"the loss after {steps} steps is {float(loss)}: these times mean nothing")
    return seconds


def finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def profiled(step: Step, device: torch.device, steps: int = 3) -> tuple[float, str]:
    """Seconds a step in which the device works, and the three kernels (operations on a CPU) that take most of them."""
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as record:
        for _ in range(steps):
            step()
        finish(device)
    events = record.key_averages()
    times = {e.key: (e.self_device_time_total if on_gpu else e.self_cpu_time_total) / 1e6 for e in events}
    total = sum(times.values())
    most = sorted(times, key=lambda key: -times[key])[:3]
    return total / steps, ", ".join(f"{key[:40]} {times[key] / total:.0%}" for key in most)


if __name__ == "__main__":
    main()
