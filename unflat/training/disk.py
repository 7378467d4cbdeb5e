"""A full disk in words: what was being written, how much it needs, how much is free."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""no space, no quota, a file longer than its limit"""


class DiskFull(OSError):
    """A file could not be written for want of room."""


@contextmanager
def writing(path: Path, needed: int | None = None) -> Iterator[None]:
    """Name `path`, the bytes it needs and those that are free when the disk is full inside. Raises DiskFull."""
    try:
        yield
    except DiskFull:
        raise
    except (OSError, SafetensorError) as error:
        code = _code_of(error)
        if code not in FULL:
            raise
        need = "" if needed is None else f"{in_words(needed)} are needed, "
        raise DiskFull(f"cannot write {path}: {os.strerror(code)}; {need}{in_words(_free(path))} are free.") from error


def in_words(count: int) -> str:
    """Bytes with a unit of decimal thousands."""
    size, unit = float(count), "bytes"
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.3g} {unit}" if size < 1000 else f"{size:.0f} {unit}"


def _code_of(error: Exception) -> int:
    """The system's number of an error; safetensors gives it in words only."""
    if isinstance(error, OSError):
        return error.errno or 0
    said = re.search(r"os error (\d+)", str(error))
    return int(said[1]) if said else 0


def _free(path: Path) -> int:
    """Bytes that may be written where `path` is or will be."""
    there = next(place for place in path.absolute().parents if place.is_dir())
    return shutil.disk_usage(there).free
