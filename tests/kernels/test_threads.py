"""torch and numba agree on the number of threads, whichever came first. Each case needs a fresh process."""

import os
import subprocess
import sys

import pytest
import torch

from unflat.kernels.threads import pieces, share_threads, side_by_side

PARALLEL_KERNEL = """
@numba.njit(parallel=True)
def total(n):
    s = 0
    for i in numba.prange(n):
        s += i
    return s
"""


def run(code: str, **environment: str) -> str:
    """What `code` prints in a fresh process, without thread counts in its environment but those given."""
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], env={**kept, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_count_given_before_numba_is_imported() -> None:
    code = (
        "from unflat.kernels.threads import share_threads; assert share_threads(1) == 1\n"
        f"import numba, torch{PARALLEL_KERNEL}"
        "total(10); print(numba.config.NUMBA_NUM_THREADS, torch.get_num_threads())"
    )
    assert run(code, NUMBA_NUM_THREADS="2", OMP_NUM_THREADS="2").split() == ["1", "1"]


@pytest.mark.parametrize("before", ["", "total(10)"])
def test_a_count_given_after_numba_was_imported_or_has_run(before: str) -> None:
    code = (
        f"import numba, torch{PARALLEL_KERNEL}{before}\n"
        "from unflat.kernels.threads import share_threads; share_threads(1)\n"
        f"total(10){PARALLEL_KERNEL}"  # another compilation reads the environment again
        "total(10); print(numba.get_num_threads(), torch.get_num_threads())"
    )
    assert run(code, NUMBA_NUM_THREADS="2").split() == ["1", "1"]


def test_more_than_numba_can_have_is_said() -> None:
    code = "import numba; from unflat.kernels.threads import share_threads; print(share_threads(2))"
    printed = run(code, NUMBA_NUM_THREADS="1")
    assert printed.split()[0] == "2"
    assert "Start with NUMBA_NUM_THREADS=2" in printed


def test_zero_is_torchs_own_choice() -> None:
    code = "from unflat.kernels.threads import share_threads; print(share_threads())"
    assert run(code, OMP_NUM_THREADS="1").split() == ["1"]


def test_a_negative_count_is_an_error() -> None:
    with pytest.raises(ValueError, match="threads is -1; give a positive number, or 0 for all cores"):
        share_threads(-1)


def test_pieces_cover_everything_once() -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            for count in (0, 1, 255, 512, 513, 100_000):
                found = pieces(count)
                assert [i for a, b in found for i in range(a, b)] == list(range(count))
                assert len(found) == max(1, min(threads, count // 256))
    finally:
        torch.set_num_threads(before)


def test_work_side_by_side_comes_back_in_order() -> None:
    assert side_by_side(lambda x: x * x, range(5)) == [0, 1, 4, 9, 16]
    assert side_by_side(len, ["abc"]) == [3]
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda x: 1 // x, [1, 0])
