"""How many face pictures one core makes a second.

    OMP_NUM_THREADS=1 python benchmarks/faces_speed.py [--size 64] [--blocks 10]

Prints the median over blocks of pictures per second of process CPU time, drawing at random included, disk excluded.
"""

import argparse
import statistics
import time

import torch

from unflat.worlds.faces import BLOCK, Faces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--blocks", type=int, default=10, help=f"groups of {BLOCK} pictures that are timed")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    faces = Faces(size=arguments.size)
    faces.block(0)  # compiles and reads the model
    cpu, wall = zip(*(timed(faces, number * BLOCK) for number in range(arguments.blocks)), strict=True)
    print(f"{arguments.size} px: {BLOCK / statistics.median(cpu):.0f} pictures per CPU second, "
          f"{BLOCK / statistics.median(wall):.0f} per second")  # fmt: skip


def timed(faces: Faces, start: int) -> tuple[float, float]:
    """CPU and wall seconds that a block takes."""
    cpu, wall = time.process_time(), time.perf_counter()
    faces.block(start)
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main()
