"""How many face pictures one core makes a second.

    OMP_NUM_THREADS=1 python benchmarks/faces_speed.py [--size 64] [--blocks 10] [--record]

Prints the median over blocks of pictures per second of process CPU time, drawing at random included, disk excluded.
The floor at 64 pixels is 200.
"""

import argparse
import statistics
import time

import torch

from unflat.records import Record, append
from unflat.worlds.faces import BLOCK, Faces

FLOOR = 200.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--blocks", type=int, default=10, help=f"groups of {BLOCK} pictures that are timed")
    parser.add_argument("--record", action="store_true", help="append the figure to benchmarks/results/worlds.jsonl")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faces = Faces(size=arguments.size)
    faces.block(0)  # compiles and reads the model
    cpu, wall = zip(*(timed(faces, number * BLOCK) for number in range(arguments.blocks)), strict=True)
    rate = BLOCK / statistics.median(cpu)
    print(f"{arguments.size} px: {rate:.0f} pictures per CPU second, {BLOCK / statistics.median(wall):.0f} per second")
    if arguments.record:
        append([record(arguments.size, rate, sum(wall))])


def record(size: int, rate: float, seconds: float) -> Record:
    """The figure as a line of records."""
    return Record(
        method="worlds",
        experiment="faces_speed",
        metric=f"{size}-px pictures per CPU second",
        ours=rate,
        better="higher",
        bound=FLOOR if size == 64 else None,
        source="floor" if size == 64 else "",
        seconds=seconds,
        command=f"OMP_NUM_THREADS=1 python benchmarks/faces_speed.py --size {size} --record",
    )


def timed(faces: Faces, start: int) -> tuple[float, float]:
    """CPU and wall seconds that a block takes."""
    cpu, wall = time.process_time(), time.perf_counter()
    faces.block(start)
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
