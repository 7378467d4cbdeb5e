"""Trainings that run in processes of their own: killed at a chosen moment, or two together."""

import multiprocessing as mp
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import torch._dynamo  # noqa: F401 (every optimiser imports it on its first use: here once for all processes)
from tilt import Config, Tilt, pictures
from torch.utils.tensorboard import SummaryWriter  # noqa: F401 (the same)

from unflat.training import checkpoint
from unflat.training.run import train
from unflat.training.settings import Training


@cache
def processes() -> ForkServerContext:
    """Processes that start in milliseconds: they are forked from one that has torch loaded."""
    context = mp.get_context("forkserver")
    context.set_forkserver_preload(["killed"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # Python 3.11 preloads without our sys.path otherwise
    forkserver.ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before
    return context


def train_here(folder: Path, training: Training, config: Config) -> None:
    train(Tilt, pictures(), out=folder, config=config, training=training, validation=pictures(3, seed=1), quiet=True)


def train_until(folder: Path, training: Training, config: Config, seconds: float | None, sync: int | None) -> None:
    """Train, and die by SIGKILL after some seconds or at the `sync`-th time that a file goes to the disk."""
    if seconds is not None:
        threading.Thread(target=_die_after, args=(seconds,), daemon=True).start()
    if sync is not None:
        checkpoint._to_disk = _dying(checkpoint._to_disk, sync)
    train_here(folder, training, config)


def run_until(
    folder: Path, training: Training, config: Config, *, seconds: float | None = None, sync: int | None = None
) -> bool:
    """`train_until` in another process; whether it was killed."""
    process = processes().Process(target=train_until, args=(folder, training, config, seconds, sync))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == -signal.SIGKILL


def _die_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(function: Callable[..., Any], times: int) -> Callable[..., Any]:
    left = [times]

    def counted(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return counted


def train_as(rank: int, count: int, port: int, folder: Path, training: Training, config: Config) -> None:
    """Train as one of several processes, as torchrun would start them."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    train_here(folder, training, config)
