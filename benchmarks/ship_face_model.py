"""Makes the face model that the package ships, from a run, and refuses one that misses its floors.

    unflat train unsup3d --experiment small --out runs/small
    python benchmarks/ship_face_model.py runs/small

The weights are rounded to float16 first and then measured on the experiment's test faces.
"""

import argparse
import math
import sys
from pathlib import Path

import torch

from unflat import catalogue
from unflat.evaluation.photos import average_depth
from unflat.evaluation.photos import evaluate_photos as evaluate
from unflat.records import Record, Side, append
from unflat.training import checkpoint
from unflat.training.experiment import made

LARGEST = 8e6
"""bytes that the shipped file may have"""
ASKED: dict[str, tuple[float, Side]] = {
    "SIDE / average depth": (0.85, "lower"),
    "MAD / average depth": (0.92, "lower"),
    "SIDE / constant depth": (0.5, "lower"),
    "MAD / constant depth": (0.5, "lower"),
    "noses outwards": (0.95, "higher"),
    "yaw slope": (0.85, "higher"),
}
"""of the shipped model, beside what any shape has to reach"""
SHIPPED_AS = "faces"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's folder, or a file of weights")
    parser.add_argument("--anyway", action="store_true", help="write it even if a floor is missed")
    parser.add_argument("--record", action="store_true", help="append its figures, with what is asked of them")
    options = parser.parse_args()
    stored = checkpoint.read(checkpoint.find(options.run))
    experiment = catalogue.experiment(stored.header["method"], stored.header["experiment"])
    draft = checkpoint.SHIPPED / f"{SHIPPED_AS}-draft.safetensors"
    draft.parent.mkdir(exist_ok=True)
    checkpoint.save_weights(draft, checkpoint.load_method(options.run), stored.header, dtype=torch.float16)
    try:
        evaluation = evaluate(
            checkpoint.load_method(draft), made(experiment.test), average=average_depth(made(experiment.data))
        )
        floors = evaluation.floors | ASKED
        missed = evaluation.missed(floors)
        missed += [f"{draft.stat().st_size / 1e6:.1f} MB are more than 8"] * (draft.stat().st_size > LARGEST)
        for name, value in evaluation.figures.items():
            print(f"{name:28s} {value:8.3f}")
        if missed and not options.anyway:
            sys.exit("not shipped: " + "; ".join(missed))
        draft.replace(checkpoint.SHIPPED / f"{SHIPPED_AS}.safetensors")
        if options.record:
            command = f"python benchmarks/ship_face_model.py {options.run} --record" + " --anyway" * options.anyway
            blank = Record(
                stored.header["method"], f"{stored.header['experiment']}, shipped", "", math.nan, "lower",
                seconds=stored.header["seconds"], command=command, settings=experiment.digest,
            )  # fmt: skip
            append([line for line in evaluation.records(blank, {}, floors=floors) if line.bound is not None])
        print(f"shipped {checkpoint.SHIPPED / SHIPPED_AS}.safetensors")
    finally:
        draft.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
