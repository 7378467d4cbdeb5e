"""Processes of a benchmark's own: workers that tell what they found, and some that do not outlive who started them."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from typing import Any


def answer_of(script: str, *words: str, threads: int = 1) -> dict[str, Any]:
    """What a script prints last, as JSON, run with these words in a process of so many threads."""
    each = {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, script, *words]
    done = subprocess.run(command, env={**os.environ, **each}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def end_with_parent() -> None:
    """From now on this process ends when the one that started it does, killed or not."""
    threading.Thread(target=_wait_and_end, daemon=True).start()


def _wait_and_end() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
