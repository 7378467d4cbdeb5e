"""A cache of prepared arrays on disk: made once, memory-mapped ever after.

An entry is a folder named by a key that says what is in it (see `digest_of`). It is made under a temporary name and
moved to its own in one step, so that a reader never sees half an entry, and of two processes that make the
same one at once, the second drops its copy. A list of file sizes inside says whether the entry is whole; one that is
not is made again. Entries are never changed, and may be deleted at any time.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import numpy as np

MANIFEST = "manifest.json"
_STALE_SECONDS = 24 * 3600
_KEY = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)


class CacheError(ValueError):
    """The cache folder cannot be used."""


def cache_folder() -> Path:
    """Where entries live: $UNFLAT_CACHE, else $XDG_CACHE_HOME/unflat, else ~/.cache/unflat. Made if missing."""
    chosen = os.environ.get("UNFLAT_CACHE")
    elsewhere = os.environ.get("XDG_CACHE_HOME")
    folder = Path(chosen) if chosen else (Path(elsewhere) if elsewhere else Path("~/.cache")) / "unflat"
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: no home folder
        raise CacheError(f"cannot make the cache folder {folder} ({error}); name another in UNFLAT_CACHE") from error
    return folder


def digest_of(*parts: Any) -> str:
    """32 hexadecimal digits for anything that JSON can hold; equal parts give equal digits, on every machine."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def stated(file: Path) -> list[Any]:
    """What a file's entry says: place, length and times. One of them changes whenever the content does."""
    try:
        entry = file.stat()
    except OSError:
        return [str(file)]
    return [str(file), entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns]


def packed(key: str, make: Callable[[Path], None]) -> Path:
    """The folder of the entry `key`, made by `make(empty folder)` if it is missing or not whole.

    `key` is one or more names joined by slashes, such as "photos/<digest>". What `make` raises is passed on and
    leaves nothing behind.
    """
    entry = _place_of(key)
    if is_whole(entry):
        return entry
    entry.parent.mkdir(parents=True, exist_ok=True)
    _sweep(entry.parent)
    try:
        temporary = Path(tempfile.mkdtemp(prefix=".making-", dir=entry.parent))
    except OSError as error:
        raise CacheError(f"cannot write to {entry.parent} ({error}); name another folder in UNFLAT_CACHE") from error
    try:
        make(temporary)
        _write_manifest(temporary)
        _move_into_place(temporary, entry)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return entry


def find(key: str) -> Path | None:
    """The folder of the entry `key` if it is there and whole; what is no key has no entry."""
    entry = _place_of(key) if _KEY.fullmatch(key) else None
    return entry if entry is not None and is_whole(entry) else None


def is_whole(entry: Path) -> bool:
    """Whether every file of an entry is there with the size it was written with."""
    try:
        sizes = json.loads((entry / MANIFEST).read_text())
        return all((entry / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def remember(key: str, value: str) -> None:
    """Keep a short text under `key`, to be had back with `recall`."""
    place = _place_of(key)
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".making-", dir=place.parent)
    with os.fdopen(handle, "w") as file:
        file.write(value)
    Path(temporary).replace(place)


def recall(key: str) -> str | None:
    """What was remembered under `key`; None if nothing was."""
    try:
        return _place_of(key).read_text()
    except (OSError, ValueError):
        return None


def _place_of(key: str) -> Path:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no cache key: names of letters, digits, dots, dashes and slashes are")
    return cache_folder() / key


def _write_manifest(folder: Path) -> None:
    sizes = {file.relative_to(folder).as_posix(): file.stat().st_size for file in folder.rglob("*") if file.is_file()}
    (folder / MANIFEST).write_text(json.dumps(sizes))


def _move_into_place(made: Path, entry: Path) -> None:
    """Rename what was made. A whole entry that somebody else put there meanwhile stays; a broken one makes way."""
    for _ in range(100):
        try:
            made.replace(entry)
            return
        except OSError:
            if is_whole(entry):
                return
            if not entry.exists():
                raise
            _set_aside(entry)
    raise CacheError(f"cannot replace the broken {entry}; delete it by hand")


def _set_aside(entry: Path) -> None:
    """Take a broken entry away. Another process may do the same at the same time."""
    aside = Path(tempfile.mkdtemp(prefix=".broken-", dir=entry.parent))
    try:
        entry.replace(aside / "entry")
    except FileNotFoundError:
        pass
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Delete what processes that were killed left behind, once it is a day old."""
    for left in [*folder.glob(".making-*"), *folder.glob(".broken-*")]:
        try:
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        except OSError:
            continue  # somebody else was quicker


class Column:
    """An .npy file that grows row by row, so that nothing has to be known beforehand but the shape of a row.

    numpy pads headers for exactly this: the first dimension can be filled in afterwards.
    """

    def __init__(self, path: Path, row_shape: tuple[int, ...], dtype: np.dtype | type) -> None:
        self.row_shape = row_shape
        self.dtype = np.dtype(dtype)
        self.count = 0
        self._file: BinaryIO = path.open("wb")
        self._data_start = self._write_header()

    def append(self, row: np.ndarray) -> None:
        """Add one row; its shape has to be the column's, its values are cast."""
        self.extend(row[None])

    def extend(self, rows: np.ndarray) -> None:
        """Add rows, one along the first dimension each."""
        if rows.shape[1:] != self.row_shape:
            raise ValueError(f"a row of {rows.shape[1:]} does not fit into a column of {self.row_shape}")
        self._file.write(np.ascontiguousarray(rows, self.dtype).data)
        self.count += len(rows)

    def close(self) -> None:
        """Write how many rows there are; without this the file reads as empty."""
        if self._file.closed:
            return
        self._file.seek(0)
        end = self._write_header()  # outside the assertion, which `python -O` leaves out
        self._file.close()
        assert end == self._data_start, "the header of an .npy file changed its length"

    def _write_header(self) -> int:
        described = np.lib.format.dtype_to_descr(self.dtype)
        shape = (self.count, *self.row_shape)
        header = {"descr": described, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        return self._file.tell()

    def __enter__(self) -> "Column":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
