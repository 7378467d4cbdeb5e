"""Files that appear whole or not at all, and folder names made from the names of photos."""

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

import numpy as np

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
LONGEST_NAME = 80


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`, with its suffix; what is written there replaces `path` at the end.

    Nothing is left behind when the block raises, and readers of `path` never see half a file. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".part-", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 text atomically."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")
    return path


def write_bytes(path: Path, content: bytes) -> Path:
    """Write bytes atomically."""
    with whole(path) as part:
        part.write_bytes(content)
    return path


def write_npy(path: Path, values: np.ndarray) -> Path:
    """Write an array atomically, as numpy reads it."""
    with whole(path) as part, part.open("wb") as file:
        np.save(file, values)
    return path


def safe_names(names: Sequence[str]) -> list[str]:
    """A folder name for every photo: its file's name without folder and suffix, unique even where case is ignored.

    Letters and digits of any script, `-` and `_` stay; runs of anything else become one `_`. Second and later photos of
    one name get `-2`, `-3`, ...
    """
    taken: set[str] = set()
    safe = []
    for name in names:
        stem = _plain(name)
        candidate, count = stem, 1
        while candidate.casefold() in taken:
            count += 1
            candidate = f"{stem}-{count}"
        taken.add(candidate.casefold())
        safe.append(candidate)
    return safe


def _plain(name: str) -> str:
    stem = PurePath(name.replace("\\", "/")).stem
    stem = re.sub(r"[^\w-]+", "_", unicodedata.normalize("NFC", stem)).strip("_")[:LONGEST_NAME] or "photo"
    return f"{stem}_" if stem.casefold() in RESERVED else stem
