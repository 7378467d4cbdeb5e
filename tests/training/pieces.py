"""Work for tests/training/test_executors.py, in a module that other processes can import."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Piece:
    """What is to be done."""

    name: str
    folder: Path
    fails: int = 0
    """times"""
    how: str = ""
    """wrong, odd, killed or slow"""


def work(piece: Piece) -> dict[str, int | str]:
    """The name in capitals, by which process, with how many threads, and at which try; or it fails as it is told to."""
    log = piece.folder / piece.name
    with log.open("a") as file:
        file.write(f"{os.getpid()}\n")
    tries = len(log.read_text().splitlines())
    if tries <= piece.fails:
        if piece.how == "wrong":
            raise ValueError(f"{piece.name} is no good")
        if piece.how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if piece.how == "slow":
            time.sleep(600)
        raise RuntimeError("by chance")
    return {"said": piece.name.upper(), "process": os.getpid(), "threads": torch.get_num_threads(), "try": tries}
