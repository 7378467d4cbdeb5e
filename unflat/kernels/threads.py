"""One thread count for torch and numba.

Once a parallel numba kernel has run, numba's OpenMP layer sets the thread count of the whole process back to
NUMBA_NUM_THREADS, behind torch's back; convolutions that wait for threads which cannot all run then slow down by a
factor of 40. So both are told the same number, here and nowhere else.
"""

import os
import sys
import warnings

import torch


def share_threads(threads: int = 0) -> int:
    """Give torch and numba the same number of threads, and return it.

    0 leaves torch its own choice: all cores, or OMP_NUM_THREADS. Call it before the first parallel kernel runs;
    afterwards numba cannot be given more threads than it has started, and a warning says so.
    """
    if threads < 0:
        raise ValueError(f"threads is {threads}; give a positive number, or 0 for all cores")
    if threads:
        torch.set_num_threads(threads)
    count = torch.get_num_threads()
    os.environ["NUMBA_NUM_THREADS"] = str(count)
    if "numba" in sys.modules:
        _tell(count)
    return count


def _tell(count: int) -> None:
    """Change the thread count of a numba that is imported already."""
    import numba

    if count == numba.config.NUMBA_NUM_THREADS:
        return
    try:
        numba.config.reload_config()
    except RuntimeError:  # its threads are running already
        started = numba.config.NUMBA_NUM_THREADS
        numba.set_num_threads(min(count, started))
        warnings.warn(
            f"numba already runs {started} threads and torch is to use {count}; parallel kernels may now change "
            f"torch's count. Start with NUMBA_NUM_THREADS={count}, or set the number before the first kernel runs.",
            stacklevel=3,
        )
