"""One thread count for torch and numba.

Once a parallel numba kernel has run, numba's OpenMP layer sets the thread count of the whole process back to
NUMBA_NUM_THREADS, behind torch's back; convolutions that wait for threads which cannot all run then slow down by a
factor of 40. So both are told the same number, here and nowhere else.
"""

import os
import sys
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
LEAST = 256
"""rays, or other things, that are worth a thread"""


def share_threads(threads: int = 0) -> int:
    """Give torch and numba the same number of threads, and return it.

    0 leaves torch its own choice: all cores, or OMP_NUM_THREADS. A numba that is imported already cannot be given more
    threads than it was imported with; a warning says so.
    """
    if threads < 0:
        raise ValueError(f"threads is {threads}; give a positive number, or 0 for all cores")
    if threads:
        torch.set_num_threads(threads)
    count = torch.get_num_threads()
    if "numba" in sys.modules:
        _tell(count)
    else:
        os.environ["NUMBA_NUM_THREADS"] = str(count)
    return count


def _tell(count: int) -> None:
    """Change the thread count of a numba that is imported already.

    Its environment variable stays: it is read again with every compilation, and must not differ from the threads that
    run by then.
    """
    import numba

    most = numba.config.NUMBA_NUM_THREADS
    numba.set_num_threads(min(count, most))
    torch.set_num_threads(count)  # starting numba's threads has just changed it
    if count > most:
        warnings.warn(
            f"numba was imported with {most} threads and torch is to use {count}; once a parallel kernel has run, "
            f"torch may fall back to {most}. Start with NUMBA_NUM_THREADS={count}, or set the number before importing "
            "numba.",
            stacklevel=3,
        )


def pieces(count: int) -> list[tuple[int, int]]:
    """First and last (one past) of about equal parts of so many things, one for each of torch's threads."""
    threads = max(1, min(torch.get_num_threads(), count // LEAST))
    edges = [count * i // threads for i in range(threads + 1)]
    return list(pairwise(edges))


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The results of work on each item, at the same time where there are several. For loops that let go of Python's
    lock; unlike OpenMP's threads these do not spin, and leave torch's alone."""
    items = list(items)
    if len(items) == 1:
        return [work(items[0])]
    return list(_pool(len(items)).map(work, items))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="unflat")
