"""How fast KiloNeRF draws a view that nobody has seen, against the NeRF that it comes from; and its kernel.

    OMP_NUM_THREADS=1 python benchmarks/kilonerf_speed.py [--size 200] [--rounds 5] [--record]

NeRF learns the generated vase as its `small()` does (`--teacher-steps`), and teaches a KiloNeRF of `small()`'s settings
(`teacher_run`), which then learns from the pictures. Both draw the same held-out views in turns: process CPU seconds of
one thread, the median. The paper's NeRF, 8 layers of 256 and 64 + 192 samples a ray, is timed beside them on a band of
rows, and counted for a view: its time does not depend on its weights, so it is not trained, and has no PSNR.

The kernel's operations per second, forwards and with the gradient, stand beside those of its twin and of one large
product of matrices, with `--networks` networks of 6212 weights and 64 samples each.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from timing import interleaved

from unflat import catalogue
from unflat.evaluation.compare import evaluate
from unflat.kernels.tiny_networks import Shape, tiny_networks, tiny_networks_torch
from unflat.method import Method, predict_in_pieces
from unflat.methods.radiance import kilonerf, nerf
from unflat.records import Record, append
from unflat.training.experiment import made
from unflat.training.run import build, train

ROWS = 2
"""of a view, that the paper's NeRF draws"""
MULTIPLIED = 1500
"""rows and columns of the large matrices"""


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    torch.set_num_threads(1)
    began, found = time.perf_counter(), []
    found += kernel(options) if options.part != "views" else []
    found += views(options) if options.part != "kernel" else []
    for line in found:
        print(f"{line.metric:70}{line.ours:12.5g}  {line.note}")
    if options.record:
        command = f"OMP_NUM_THREADS=1 python benchmarks/kilonerf_speed.py --size {options.size} --record"
        append([replace(line, seconds=time.perf_counter() - began, command=command) for line in found])


# -- views -------------------------------------------------------------------------------------------------------------


def views(options: argparse.Namespace) -> list[Record]:
    """Both trained, looked at, and timed."""
    experiment = kilonerf.small()
    test = made(replace(experiment.test, views=options.views, size=options.size))
    with tempfile.TemporaryDirectory() as folder:
        teacher, student = learned(options, Path(folder))
    title = f"kilonerf_speed, vase, {options.size} px"
    quality = {name: evaluate(method, test).figures["PSNR"] for name, method in (("NeRF", teacher), ("ours", student))}
    seconds = drawn(options, teacher, student, test)
    note = f"PSNR {quality['ours']:.2f}, its teacher's {quality['NeRF']:.2f}; {options.views} held-out views"
    return [
        Record("kilonerf", title, "PSNR", quality["ours"], "higher", note=note),
        Record("kilonerf", title, "PSNR of its teacher, NeRF", quality["NeRF"], "higher", note=note),
        Record("kilonerf", title, "CPU s of a view", seconds["ours"], "lower", note=note),
        Record("kilonerf", title, "CPU s of a view of its teacher, NeRF small", seconds["NeRF"], "lower", note=note),
        Record("kilonerf", title, "its teacher's time over its own", seconds["NeRF"] / seconds["ours"], "higher",
               note=note),
        Record("kilonerf", title, "time of a NeRF of the paper's size over its own", seconds["paper"] / seconds["ours"],
               "higher", note=f"untrained, counted from {ROWS} rows of a view"),
    ]  # fmt: skip


def learned(options: argparse.Namespace, folder: Path) -> tuple[Method, Method]:
    experiment, host = kilonerf.small(), nerf.small()
    capture = made(replace(experiment.data, size=options.trained_at))
    quiet = {"threads": 1, "sample_every": 0, "validate_every": 0, "save_every": 10**6}
    training = replace(host.training, steps=options.teacher_steps, **quiet)
    teacher = train("nerf", capture, out=folder / "nerf", config=host.config, training=training, quiet=True).method
    steps = max(options.steps, options.distil_steps + 1)
    config = replace(experiment.config, teacher_run=str(folder / "nerf"), distil_steps=options.distil_steps)
    training = replace(experiment.training, steps=steps, **quiet)
    student = train("kilonerf", capture, out=folder / "kilo", config=config, training=training, quiet=True).method
    return teacher.eval(), student.eval()


def drawn(options: argparse.Namespace, teacher: Method, student: Method, test: Any) -> dict[str, float]:
    """Seconds of a view of each, in turns."""
    large = build(nerf.NeRF, catalogue.experiment("nerf", "chair").config, test.extent, 0).eval()
    cameras = [test.cameras(i) for i in range(len(test))]
    share = options.size / ROWS

    def every(method: Method) -> Callable[[], Any]:
        return lambda: [predict_in_pieces(method, camera) for camera in cameras]

    def band() -> Any:
        with torch.inference_mode():
            return large.predict(cameras[0].rows(options.size // 2, options.size // 2 + ROWS))

    seconds = interleaved({"ours": every(student), "NeRF": every(teacher), "paper": band}, options.rounds)
    return {
        "ours": seconds["ours"] / len(cameras),
        "NeRF": seconds["NeRF"] / len(cameras),
        "paper": seconds["paper"] * share,
    }


# -- the kernel --------------------------------------------------------------------------------------------------------


def kernel(options: argparse.Namespace) -> list[Record]:
    torch.manual_seed(0)
    shape, count = Shape(), options.networks * 64
    weights = (0.2 * torch.randn(options.networks, shape.weights)).requires_grad_()
    points, sights = torch.rand(count, 3) * 2 - 1, torch.nn.functional.normalize(torch.randn(count, 3), dim=1)
    which, matrix = torch.randint(options.networks, (count,)), torch.randn(MULTIPLIED, MULTIPLIED)

    def forwards(run: Callable[..., Any]) -> Callable[[], Any]:
        def work() -> Any:
            with torch.no_grad():
                return run(points, sights, which, weights, shape)

        return work

    def with_gradient(run: Callable[..., Any]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(run(points, sights, which, weights, shape).square().mean(), weights)

    work = {
        "matrix": lambda: matrix @ matrix,
        "ours": forwards(tiny_networks), "twin": forwards(tiny_networks_torch),
        "ours with gradient": with_gradient(tiny_networks), "twin with gradient": with_gradient(tiny_networks_torch),
    }  # fmt: skip
    seconds = interleaved(work, options.rounds)
    each = 2 * sum(layer.inputs * layer.outputs for layer in shape.layers)
    title, note = "kilonerf_speed, kernel", f"{options.networks} networks, 64 samples each on average"
    rates = {name: each * count / seconds[name] for name in ("ours", "twin")}
    peak = 2 * MULTIPLIED**3 / seconds["matrix"]
    return [
        Record("kilonerf", title, "GFLOP/s forwards", rates["ours"] / 1e9, "higher", note=note),
        Record("kilonerf", title, "GFLOP/s forwards, twin by bmm", rates["twin"] / 1e9, "higher", note=note),
        Record("kilonerf", title, "GFLOP/s of one large product of matrices", peak / 1e9, "higher"),
        Record("kilonerf", title, "its twin's time over its own, forwards", seconds["twin"] / seconds["ours"],
               "higher", note=note),
        Record("kilonerf", title, "its twin's time over its own, with the gradient",
               seconds["twin with gradient"] / seconds["ours with gradient"], "higher", note=note),
    ]  # fmt: skip


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--part", choices=("kernel", "views", "both"), default="both")
    made.add_argument("--size", type=int, default=200, help="pixels a side of the views")
    made.add_argument("--trained-at", type=int, default=100, help="pixels a side of the pictures learned from")
    made.add_argument("--views", type=int, default=4)
    made.add_argument("--teacher-steps", type=int, default=6000)
    made.add_argument("--distil-steps", type=int, default=500)
    made.add_argument("--steps", type=int, default=2500, help="of KiloNeRF, those of distillation among them")
    made.add_argument("--networks", type=int, default=500)
    made.add_argument("--rounds", type=int, default=5, help="times each has its turn")
    made.add_argument("--record", action="store_true", help="append the figures to benchmarks/results")
    return made


if __name__ == "__main__":
    main()
