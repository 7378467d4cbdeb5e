"""Unsup3D on a category that is not faces, and what its confidence finds where symmetry is only probable.

    python benchmarks/unsup3d_animals.py [--breed tigers] [--count 8000] [--steps N] [--record]

Heads of animals that do not exist, of one breed, each with a patch of a colour that stands out on one side: `small()`
learns them from the pictures alone. Recorded are the errors of depth beside the average depth's, how views follow the
true ones, and the average precision with which low confidence finds what is not symmetric, beside that of the
difference between a photo and its mirror image, and of chance (docs/conventions.md, `symmetry AP`).

The run lies in runs/BREED-marked and goes on where it was stopped.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from unsup3d_table import AVERAGED, METHOD, in_steps

from unflat.records import Record, append

RECORDED = ("SIDE", "MAD", "coverage", "bulging", "yaw slope", "yaw correlation", "symmetry")
"""how the names of the recorded figures begin"""


def measured(breed: str, count: int, steps: int | None, size: int, out: Path, command: str) -> list[Record]:
    """Train, or go on; evaluate on pictures of the test split. An empty `breed` is animals of all kinds."""
    from unflat.evaluation.photos import average_depth
    from unflat.evaluation.photos import evaluate_photos as evaluate
    from unflat.methods.autoencoders import unsup3d
    from unflat.training import checkpoint
    from unflat.training.run import train
    from unflat.worlds.animals import Animals

    small = in_steps(unsup3d.small(), steps)
    test = Animals(min(500, count), size, split="test", marked=True, breed=breed).photos()
    validation = Animals(min(128, count), size, split="val", marked=True, breed=breed)
    data = Animals(count, size, marked=True, breed=breed)
    run = train(small.method, data, out=out, config=small.config, training=small.training, validation=validation)
    seconds = checkpoint.read(out / "weights.safetensors").header["seconds"]
    name = f"unsup3d_animals{breed and ', '}{breed}"
    blank = Record(METHOD, name, "", float("nan"), "lower", seconds=seconds, command=command)
    found = evaluate(run.method, test, average=average_depth(data.photos()[:AVERAGED]))
    rival = max(found.figures["symmetry AP, mirrored photo"], found.figures["symmetry AP, chance"])
    lines = found.records(blank, {}, floors={})
    lines = [line for line in lines if line.metric.startswith(RECORDED)]
    return [replace(ln, bound=rival, source="floor") if ln.metric == "symmetry AP" else ln for ln in lines]


def main(words: Sequence[str] | None = None) -> None:
    options = parser().parse_args(words)
    asked = {"breed": options.breed, "count": options.count, "steps": options.steps, "size": options.size}
    changes = {name: value or "''" for name, value in asked.items() if value != parser().get_default(name)}
    changed = "".join(f" --{name} {value}" for name, value in changes.items())
    command = f"python benchmarks/unsup3d_animals.py{changed} --record"
    out = options.out or Path(f"runs/{options.breed or 'animals'}-marked")
    lines = measured(options.breed, options.count, options.steps, options.size, out, command)
    for line in lines:
        print(f"{line.metric:40}{line.ours:10.4g}")
    if options.record:
        append(lines)


def parser() -> argparse.ArgumentParser:
    from unflat.worlds.animals import BREEDS

    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--breed", default="tigers", choices=(*BREEDS, ""), help="of the animals; '' for all kinds")
    made.add_argument("--count", type=int, default=8000, help="pictures to learn from")
    made.add_argument("--steps", type=int, help="left out: those of small()")
    made.add_argument("--size", type=int, default=64, help="pixels a side")
    made.add_argument("--out", type=Path, help="the run's folder; left out: runs/BREED-marked, or animals-marked")
    made.add_argument("--record", action="store_true", help=f"append the figures to benchmarks/results/{METHOD}.jsonl")
    return made


if __name__ == "__main__":
    main()
