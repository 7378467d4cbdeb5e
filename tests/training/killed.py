"""Trainings that run in processes of their own: killed at a chosen moment, or two together."""

import multiprocessing as mp
import os
import signal
import socket
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

from unflat.method import Method
from unflat.methods.autoencoders.unsup3d import Unsup3D
from unflat.networks import self_supervised
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


def train_here(folder: Path, training: Training, config: Any) -> None:
    """Train the method whose settings these are on a few pictures of noise: the tiny one, or Unsup3D."""
    if isinstance(config, Config):
        method: type[Method] = Tilt
        data, validation = pictures(), pictures(3, seed=1)
    else:
        method, data, validation = Unsup3D, pictures(6, size=16), pictures(3, seed=1, size=16)
        self_supervised.STEPS = 3  # of `features="self"`: as many as show that they are the same
    train(method, data, out=folder, config=config, training=training, validation=validation, quiet=True)


MOMENTS: dict[str, tuple[Any, str]] = {
    "sync": (checkpoint, "_to_disk"),
    "write": (checkpoint, "save_file"),
    "prepare of Tilt": (Tilt, "prepare"),
    "prepare of Unsup3D": (self_supervised, "_two_crops"),
    "rename": (Path, "replace"),
}
"""what is called at moments of special interest, as a module or class and a name in it"""


def train_until(folder: Path, training: Training, config: Any, seconds: float | None, moment: str, times: int) -> None:
    """Train, and die by SIGKILL after some seconds, or when the moment has come for the `times`-th time, from 0 on."""
    if seconds is not None:
        threading.Thread(target=_die_after, args=(seconds,), daemon=True).start()
    if moment:
        owner, name = MOMENTS[moment]
        setattr(owner, name, _dying(getattr(owner, name), times, half_written=moment == "write"))
    train_here(folder, training, config)


def run_until(
    folder: Path, training: Training, config: Any, *, seconds: float | None = None, moment: str = "", times: int = 0
) -> bool:
    """`train_until` in another process; whether it was killed."""
    process = processes().Process(target=train_until, args=(folder, training, config, seconds, moment, times))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode == -signal.SIGKILL


def _die_after(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(function: Callable[..., Any], times: int, half_written: bool) -> Callable[..., Any]:
    left = [times]

    def counted(*arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            if half_written:  # as safetensors leaves it when it is killed
                Path(arguments[1]).with_name(".tmpAb12Cd").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    return counted


def train_as(rank: int, count: int, port: int, folder: Path, training: Training, config: Any) -> None:
    """Train as one of several processes, as torchrun would start them."""
    join_as(rank, count, port)
    train_here(folder, training, config)


def join_as(rank: int, count: int, port: int) -> None:
    """Say what torchrun says to the processes that it starts."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )


def start_two(work: Callable[..., None], *arguments: Any) -> None:
    """Call `work(rank, 2, port, ...)` in two processes that can meet, and wait for both."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    two = [processes().Process(target=work, args=(rank, 2, port, *arguments)) for rank in (0, 1)]
    for process in two:
        process.start()
    for process in two:
        process.join(250)
    assert [process.exitcode for process in two] == [0, 0]
