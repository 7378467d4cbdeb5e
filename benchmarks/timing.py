"""Process CPU time, or that of another clock, of candidates that take turns."""

import statistics
import time
from collections.abc import Callable
from typing import Any


def interleaved(
    work: dict[str, Callable[[], Any]], rounds: int, clock: Callable[[], float] = time.process_time
) -> dict[str, float]:
    """Median seconds of each candidate over the rounds, after one turn that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds + 1):
        for name, run in work.items():
            before = clock()
            run()
            if turn:
                times[name].append(clock() - before)
    return {name: statistics.median(values) for name, values in times.items()}
