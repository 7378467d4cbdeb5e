"""One process at a time in a run's folder. The system takes the lock back when the process ends, however it ends."""

import errno
import json
import logging
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

NAME = ".lock"
FAR = 1 << 30
"""the byte that Windows locks: behind the text, which others may read"""
TAKEN = (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK)


class InUse(ValueError):
    """Another process trains in this folder."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder, which is made if it is missing. Raises InUse, naming the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    held = _take(path)
    try:
        with suppress(OSError):  # on a full disk: nobody will know who holds it, but it is held
            os.ftruncate(held, 0)
            os.write(held, json.dumps(_ourselves()).encode())
        yield
    finally:
        with suppress(OSError):  # Windows keeps what is open
            path.unlink()
        os.close(held)


def _take(path: Path) -> int:
    """A descriptor of the locked file. One that its last holder removed meanwhile is not the lock any more."""
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(held)
        except OSError as error:
            os.close(held)
            if error.errno in TAKEN:
                raise InUse(_told(path)) from error
            raise
        if _is_named(held, path):
            return held
        os.close(held)


def _lock(held: int) -> None:
    try:
        if sys.platform == "win32":
            os.lseek(held, FAR, os.SEEK_SET)
            msvcrt.locking(held, msvcrt.LK_NBLCK, 1)
            os.lseek(held, 0, os.SEEK_SET)
        else:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            raise
        # some network disks have no locks: that is no reason not to train there
        logging.getLogger(__name__).warning("the run's folder cannot be locked (%s): train there once at a time", error)


def _is_named(held: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(held), path.stat())
    except FileNotFoundError:
        return False


def _ourselves() -> dict[str, str | int]:
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": datetime.now().isoformat(" ", "seconds")}


def _told(path: Path) -> str:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        who = f"process {said['pid']} on {said['host']} since {said['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another process"
    return (
        f"{path.parent} is being trained in by {who}. Wait until it ends, stop it, or give another folder; "
        "two runs in one folder would overwrite each other's checkpoints."
    )
