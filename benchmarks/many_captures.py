"""Many captures at once: what two processes on two cores save over one after the other.

    python benchmarks/many_captures.py [--steps 1000] [--rounds 5] [--record]

Eight generated captures (four shapes, two paints, 60 views of 100 px), quick_grid's small settings, and the command a
user types, from its start to its end. Needs two quiet cores: efficiency is wall time. It is that of one process with
one thread over twice that of `--executor processes --workers 2`. Beside it stand one process with two threads, and two
commands started by hand with half of the captures each, which is what the machine can give. Ways take turns; medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors.torch import load_file

from unflat.records import Record, append
from unflat.worlds.objects import Objects

SHAPES, PAINTS = ("vase", "box", "torus", "sphere"), 2
VIEWS, VALIDATING, SIDE = 60, 6, 100
WORKERS = 2


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000, help="updates of each capture")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each way")
    parser.add_argument("--tiny", action="store_true", help="two captures of a few small views, to see that it runs")
    parser.add_argument("--record", action="store_true", help="append the figures to benchmarks/results/speed.jsonl")
    arguments = parser.parse_args(words)
    started = time.perf_counter()
    lines = figures(arguments.steps, arguments.rounds, arguments.tiny)
    for line in lines:
        print(f"{line.metric:60}{line.ours:12.4g}  {line.note}")
    if arguments.record:
        seconds = time.perf_counter() - started
        given = f"--steps {arguments.steps} --rounds {arguments.rounds}"
        command = f"python benchmarks/many_captures.py {given} --record"
        append([Record(**{**vars(line), "seconds": seconds, "command": command}) for line in lines])


def figures(steps: int, rounds: int, is_tiny: bool = False) -> list[Record]:
    """Wall seconds of every way, and what they come to."""
    with tempfile.TemporaryDirectory() as folder:
        captures = written(Path(folder) / "captures", is_tiny)
        given = ["--tiny"] if is_tiny else ["--training.steps", str(steps)]
        took = seconds_of(ways(captures, given), Path(folder) / "runs", rounds)
        check_same([Path(folder) / "runs" / way for way in took])
    one, two = took["one process, one thread"], took["two processes"]
    note = f"{len(captures)} captures, {VIEWS} views of {SIDE} px, {steps} steps, median of {rounds}"
    found = [
        Record("speed", "many_captures", f"{way}, wall s", value, "lower", note=note) for way, value in took.items()
    ]
    efficiencies = {
        "efficiency": one / (WORKERS * two),
        "efficiency of two commands by hand": one / (WORKERS * took["two commands by hand"]),
        "one process with two threads over two processes": took["one process, two threads"] / two,
    }
    return [*found, *(Record("speed", "many_captures", n, v, "higher", note=note) for n, v in efficiencies.items())]


def written(folder: Path, is_tiny: bool) -> list[Path]:
    """The captures' folders."""
    folders = []
    for paint in range(1 if is_tiny else PAINTS):
        for shape in SHAPES[:2] if is_tiny else SHAPES:
            folders.append(folder / f"{shape}-{paint}")
            views, validating, side = (6, 2, 16) if is_tiny else (VIEWS, VALIDATING, SIDE)
            Objects(shape, views, side, paint).write(folders[-1], progress=False)
            Objects(shape, validating, side, paint, "val").write(folders[-1], progress=False)
    return folders


Way = Callable[[Path], list[subprocess.Popen[str]]]


def ways(captures: list[Path], given: list[str]) -> dict[str, Way]:
    """How the captures can be learned, each a function that starts what has to end, of the folder for the runs."""
    words, half = [str(capture) for capture in captures], len(captures) // 2

    def serial(threads: int) -> Way:
        return lambda out: [start([*words, *given, "--out", str(out)], threads)]

    def processes(out: Path) -> list[subprocess.Popen[str]]:
        return [start([*words, *given, "--out", str(out), "--executor", "processes", "--workers", str(WORKERS)])]

    def by_hand(out: Path) -> list[subprocess.Popen[str]]:
        parts = (words[:half], words[half:])
        return [start([*part, *given, *_folder(part, out)]) for part in parts]

    return {
        "one process, one thread": serial(1), "two processes": processes, "one process, two threads": serial(2),
        "two commands by hand": by_hand,
    }  # fmt: skip


def _folder(part: list[str], out: Path) -> list[str]:
    """Of several captures the folder of all runs, of one its own."""
    return ["--out", str(out if len(part) > 1 else out / Path(part[0]).name)]


def start(words: list[str], threads: int = 1) -> subprocess.Popen[str]:
    each = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "unflat", "train", "quick_grid", *words, "--quiet"]
    return subprocess.Popen(
        command, env={**os.environ, **each}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def seconds_of(ways: dict[str, Way], runs: Path, rounds: int) -> dict[str, float]:
    """Median wall seconds of each way; they take turns, and leave the runs of their last turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name, way in ways.items():
            out = runs / (name if turn == rounds - 1 else f"{name} {turn}")
            began = time.perf_counter()
            for process in way(out):
                _, said = process.communicate()
                if process.returncode:
                    raise RuntimeError(f"{name} ended with {process.returncode}:\n{said[-2000:]}")
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def check_same(folders: list[Path]) -> None:
    """RuntimeError unless all ways with one thread have learned the same, bit for bit."""
    expected, *others = [folder for folder in folders if "two threads" not in folder.name]
    for run in sorted(expected.iterdir()):
        weights = load_file(run / "weights.safetensors")
        for folder in others:
            ours = load_file(folder / run.name / "weights.safetensors")
            if ours.keys() != weights.keys() or not all(ours[name].equal(weights[name]) for name in weights):
                raise RuntimeError(f"{folder.name} has learned something else of {run.name} than {expected.name}")


if __name__ == "__main__":
    main()
