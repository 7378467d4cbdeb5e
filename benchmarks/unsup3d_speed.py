"""What a training step of Unsup3D costs: against a straightforward one, by width and size, and where the time goes.

    OMP_NUM_THREADS=1 python benchmarks/unsup3d_speed.py [step] [widths] [operations] [--batch 16] [--record]

step        the paper's own network (64 px, width 64, no perceptual loss): ours in bf16 and in fp32 against the same
            step written straightforwardly in fp32: contiguous layout, torch's operators one by one, the rasteriser's
            torch twin, Adam one parameter at a time. All start from the same weights.
widths      photos a second, what comes after the networks as a share of the step, and the largest resident size
operations  the three dearest kinds of operation, and how far each is from what this machine can do

All times are process CPU seconds of one thread, medians over rounds in which the candidates take turns.
"""

import argparse
import contextlib
import dataclasses
import json
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest.mock import patch

import torch
from timing import interleaved
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from unflat.data.batches import PhotoBatch
from unflat.data.kinds import Extent
from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import cross, unproject
from unflat.kernels.visible_triangles import visible_triangles_torch
from unflat.method import Group
from unflat.methods.autoencoders import unsup3d
from unflat.methods.autoencoders.unsup3d import Config, Unsup3D
from unflat.networks.convolution import Layers
from unflat.networks.self_supervised import SelfSupervised
from unflat.records import Record, append
from unflat.rendering import relief
from unflat.training.devices import channels_last, keep_freed_memory
from unflat.training.optimisers import Optimiser

STEP, CLIP, RATE = 100, 5.0, 1e-4
LEAST_RATIO = 1.8
"""straightforward over ours, the floor"""
NAIVE, FP32, BF16 = "straightforward, fp32", "ours, fp32", "ours, bf16"
PARTS = ("step", "widths", "operations")
ELSEWHERE = "our numba kernels (group norm, visible triangles, meeting points), autograd and Python"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="part", help=f"{', '.join(PARTS)}; all if none is named")
    parser.add_argument("--batch", type=int, default=16, help="photos a step")
    parser.add_argument("--rounds", type=int, default=5, help="times each candidate has its turn")
    parser.add_argument("--width", type=int, default=64, help="of the paper's network in `step` and `operations`")
    parser.add_argument("--one", nargs=2, help="measure one line of `widths` (NAME SIZE) and print it as JSON")
    parser.add_argument("--record", action="store_true", help="append the figures to benchmarks/results/speed.jsonl")
    arguments = parser.parse_args(words)
    if unknown := set(arguments.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    torch.set_num_threads(1)
    if arguments.one:
        print(json.dumps(one_width(arguments.one[0], int(arguments.one[1]), arguments.batch, arguments.rounds)))
        return
    started, lines = time.perf_counter(), []
    measured = {"step": step_records, "widths": width_records, "operations": operation_records}
    for part in arguments.parts or PARTS:
        for record in measured[part](arguments.batch, arguments.rounds, arguments.width):
            print(f"{record.metric:70}{record.ours:12.4g}  {record.note}", flush=True)
            lines.append(dataclasses.replace(record, command=command_of(part, arguments)))
    if arguments.record:
        seconds = time.perf_counter() - started
        append([dataclasses.replace(line, seconds=seconds) for line in lines])


def command_of(part: str, options: argparse.Namespace) -> str:
    """What measures this part again."""
    sizes = " ".join(f"--{name} {getattr(options, name)}" for name in ("batch", "rounds", "width"))
    return f"OMP_NUM_THREADS=1 python benchmarks/unsup3d_speed.py {part} {sizes} --record"


def figure(metric: str, ours: float, **more: Any) -> Record:
    return Record(method="speed", experiment="unsup3d_speed", metric=metric, ours=ours, **{"better": "lower", **more})


# -- the step, ours and straightforward -------------------------------------------------------------------------------


def photos(batch: int, size: int) -> PhotoBatch:
    """Smooth random pictures, channels last as the reader gives them."""
    coarse = torch.rand(batch, 3, 8, 8)
    photo = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear")
    index = torch.arange(batch)
    return PhotoBatch(photo.contiguous(memory_format=torch.channels_last), index, index < 0)


def built(config: Config, size: int, batch: int) -> Unsup3D:
    """The same first weights for the same settings."""
    torch.manual_seed(0)
    return untaught(Unsup3D(config, Extent(batch, (size, size))).train())


def untaught(method: Unsup3D) -> Unsup3D:
    """The method, whose features need not be learned: those that have learned nothing cost as much as others."""
    if isinstance(method.features, SelfSupervised):
        method.features.spread.fill_(1.0)
    return method


def our_step(config: Config, size: int, batch: PhotoBatch, *, bf16: bool) -> Callable[[], float]:
    """A step as the trainer runs it; gives its loss."""
    method = built(config, size, len(batch))
    channels_last(method)
    keep_freed_memory()
    optimiser = Optimiser(method.parameter_groups(), {p: name for name, p in method.named_parameters()}, RATE)

    def step() -> float:
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = method.losses(batch, STEP).total
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.get_total_norm([p.grad for p in optimiser.parameters if p.grad is not None])
        nn.utils.clip_grads_with_norm_(optimiser.parameters, CLIP, norm)
        optimiser.step(STEP, 1.0)
        return float(loss.detach())

    return step


def straightforward_step(config: Config, size: int, batch: PhotoBatch) -> Callable[[], float]:
    """The same step without what makes ours fast; gives its loss."""
    method = built(config, size, len(batch))
    one_by_one(method)
    batch = dataclasses.replace(batch, photo=batch.photo.contiguous())
    groups: list[Group] = method.parameter_groups()
    optimiser = torch.optim.Adam(
        [{"params": list(g.parameters), "lr": RATE * g.rate, "weight_decay": g.decay} for g in groups], foreach=False
    )

    def step() -> float:
        optimiser.zero_grad()
        with straightforward():
            loss = method.losses(batch, STEP).total
            loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(method.parameters(), CLIP, foreach=False)
        optimiser.step()
        return float(loss.detach())

    return step


def one_by_one(module: nn.Module) -> None:
    """Every list of layers as torch would run it."""
    for name, child in module.named_children():
        one_by_one(child)
        if isinstance(child, Layers):
            setattr(module, name, nn.Sequential(*child))


@contextlib.contextmanager
def straightforward() -> Iterator[None]:
    """The rasteriser's torch twin, and normals and shading as the formulas say."""
    with (
        patch.object(relief, "visible_triangles", visible_triangles_torch),
        patch.object(unsup3d, "normals_of", normals_by_points),
        patch.object(unsup3d, "lambertian", shading_by_sums),
    ):
        yield


def normals_by_points(depth: Tensor, camera: Pinhole) -> Tensor:
    """The vector product of differences of points, (0, 0, -1) at the border."""
    points = unproject(depth, camera)
    raw = cross(points[:, 2:, 1:-1] - points[:, :-2, 1:-1], points[:, 1:-1, 2:] - points[:, 1:-1, :-2])
    normals = pad(raw / raw.norm(dim=-1, keepdim=True).clamp_min(1e-12), (0, 0, 1, 1, 1, 1))
    border = pad(torch.zeros_like(raw[..., 0]), (1, 1, 1, 1), value=1.0)
    return normals - border[..., None] * normals.new_tensor([0.0, 0.0, 1.0])


def shading_by_sums(normals: Tensor, light: Any) -> Tensor:
    cosine = (normals * light.direction[:, None, None]).sum(-1).clamp_min(0)
    return light.ambient[:, None, None] + light.diffuse[:, None, None] * cosine


def step_records(batch: int, rounds: int, width: int) -> list[Record]:
    config, given = Config(width=width), photos(batch, 64)
    seconds = interleaved(
        {
            NAIVE: straightforward_step(config, 64, given),
            FP32: our_step(config, 64, given, bf16=False),
            BF16: our_step(config, 64, given, bf16=True),
        },
        rounds,
    )
    note = f"width {width}, one thread, batches of {batch}, no perceptual loss"
    lines = [figure(f"64-px step, {name}, CPU ms a photo", s / batch * 1e3, note=note) for name, s in seconds.items()]
    for name in (BF16, FP32):
        bound = {"bound": LEAST_RATIO, "source": "floor"} if name == BF16 and width == 64 else {}
        metric = f"64-px step, {NAIVE} / {name}"
        lines.append(figure(metric, seconds[NAIVE] / seconds[name], better="higher", note=note, **bound))
    return lines


# -- widths and sizes --------------------------------------------------------------------------------------------------


def config_of(name: str, size: int) -> Config:
    """`small`, or the paper's settings with a width; over 64 px depth is predicted on half the grid."""
    config = unsup3d.small().config if name == "small" else Config(width=int(name))
    return dataclasses.replace(config, depth_stride=2 if size > 64 or name == "small" else 1)


def one_width(name: str, size: int, batch: int, rounds: int) -> dict[str, float]:
    """Photos a second, the share of what comes after the networks, and memory, of a process of its own."""
    config, given = config_of(name, size), photos(batch, size)
    seconds = interleaved(
        {"step": our_step(config, size, given, bf16=False), "after": after_networks(config, size, given)}, rounds
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {"rate": batch / seconds["step"], "share": seconds["after"] / seconds["step"], "memory": float(memory)}


def after_networks(config: Config, size: int, batch: PhotoBatch) -> Callable[[], None]:
    """Shading, both reconstructions and the losses, with their gradient with respect to what the networks say.

    Turned photos and features go through networks again, and are left out.
    """
    method = built(dataclasses.replace(config, turn_weight=0.0, features=""), size, len(batch))
    with torch.no_grad():
        factors = method.factors(batch.photo)

    def run() -> None:
        light = type(factors.light)(*(leaf(getattr(factors.light, f.name)) for f in dataclasses.fields(factors.light)))
        maps = {name: leaf(getattr(factors, name)) for name in ("depth", "free_depth", "albedo", "view", "sigma")}
        with patch.object(method, "factors", lambda _: factors._replace(light=light, **maps)):
            method.losses(batch, STEP).total.backward()  # type: ignore[no-untyped-call]

    return run


def leaf(value: Tensor) -> Tensor:
    return value.detach().requires_grad_()


def width_records(batch: int, rounds: int, width: int) -> list[Record]:
    """Each line in a process of its own, so that memory is its own."""
    lines: list[Record] = []
    for name in ("small", "16", "32", "64"):
        rates = {}
        for size in (64, 128):
            command = [sys.executable, __file__, "--one", name, str(size)]
            command += ["--batch", str(batch), "--rounds", str(rounds)]
            figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rates[size] = figures["rate"]
            what = f"{size} px, " + ("small()" if name == "small" else f"the paper's networks, width {name}")
            coarse = ", depth on half the grid" if size > 64 or name == "small" else ""
            note = f"fp32, one thread, batches of {batch}{coarse}"
            lines.append(figure(f"{what}: photos a CPU second", figures["rate"], better="higher", note=note))
            lines.append(figure(f"{what}: share of what comes after the networks", figures["share"], note=note))
            lines.append(figure(f"{what}: largest resident size, MB", figures["memory"] / 2**20, note=note))
        what = "small()" if name == "small" else f"width {name}"
        lines.append(figure(f"128 px over 64 px, {what}: CPU time a photo", rates[64] / rates[128]))
    return lines


# -- the dearest operations --------------------------------------------------------------------------------------------


class Times(TorchDispatchMode):
    """CPU seconds, floating-point operations and bytes read and written of every kind of tensor operation."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: Counter[str] = Counter()
        self.work: Counter[str] = Counter()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), more: Any = None) -> Any:
        before = time.thread_time()
        result = function(*arguments, **(more or {}))
        name = function.overloadpacket.__name__
        self.seconds[name] += time.thread_time() - before
        values = tree_leaves((arguments, result))  # the optimiser's are lists
        self.bytes[name] += sum(t.numel() * t.element_size() for t in values if isinstance(t, Tensor))
        if function.overloadpacket in flop_registry:
            self.work[name] += flop_registry[function.overloadpacket](*arguments, **(more or {}), out_val=result)
        return result


def peaks() -> dict[str, float]:
    """What this machine reached on large work, one thread: operations a second by precision, bytes a second."""
    best: dict[str, float] = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        x, w = torch.randn(8, 256, 32, 32, dtype=dtype), torch.randn(256, 256, 3, 3, dtype=dtype)
        x, w = (t.contiguous(memory_format=torch.channels_last) for t in (x, w))
        a = torch.randn(1536, 1536, dtype=dtype)
        convolution = 2 * 8 * 32 * 32 * 256 * 256 * 9 / fastest(lambda x=x, w=w: torch.conv2d(x, w, padding=1))
        best[name] = max(convolution, 2 * 1536**3 / fastest(lambda a=a: a @ a))
    source = torch.zeros(64 * 2**20)
    target = torch.zeros_like(source)
    best["bytes"] = 2 * source.numel() * 4 / fastest(lambda: target.copy_(source))
    return best


def fastest(work: Callable[[], Any], times: int = 5) -> float:
    """The least CPU seconds of some turns."""
    seconds = []
    for _ in range(times):
        before = time.process_time()
        work()
        seconds.append(time.process_time() - before)
    return min(seconds)


def operation_records(batch: int, rounds: int, width: int) -> list[Record]:
    best = peaks()
    lines = [
        figure("peak, fp32 GFLOP/s", best["fp32"] / 1e9, better="higher"),
        figure("peak, bf16 GFLOP/s", best["bf16"] / 1e9, better="higher"),
        figure("peak, copying GB/s", best["bytes"] / 1e9, better="higher"),
    ]
    for name, precision in (("small", "fp32"), (str(width), "fp32"), (str(width), "bf16")):
        step = our_step(config_of(name, 64), 64, photos(batch, 64), bf16=precision == "bf16")
        step()
        before = time.process_time()
        with Times() as times:
            for _ in range(rounds):
                step()
        total = time.process_time() - before
        elsewhere = 1 - sum(times.seconds.values()) / total
        what = f"{'small()' if name == 'small' else f'width {name}'}, {precision}"
        for operation, seconds in times.seconds.most_common(3):
            metric = f"{what}: {operation}, share of the step"
            lines.append(figure(metric, seconds / total, note=reached(times, operation, seconds, best, precision)))
        lines.append(figure(f"{what}: in no tensor operation, share of the step", elsewhere, note=ELSEWHERE))
    return lines


def reached(times: Times, operation: str, seconds: float, best: dict[str, float], precision: str) -> str:
    """How near to the machine's peak an operation came."""
    if times.work[operation]:
        rate = times.work[operation] / seconds
        return f"{rate / 1e9:.0f} GFLOP/s, {rate / best[precision]:.0%} of the peak"
    rate = times.bytes[operation] / seconds
    return f"{rate / 1e9:.1f} GB/s, {rate / best['bytes']:.0%} of the peak"


if __name__ == "__main__":
    main()
