"""A full disk, wherever it is noticed: said in words, nothing half left behind, and the run goes on afterwards."""

import errno
import io
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from killed import processes, train_here
from safetensors import SafetensorError
from safetensors.torch import load_file
from tilt import Config

from unflat.training import checkpoint
from unflat.training.disk import DiskFull, in_words, writing
from unflat.training.log import Log, read_log
from unflat.training.settings import Training

TRAINING = Training(
    steps=20, rate=1e-2, ema=0.9, save_every=5, validate_every=5, log_every=5, sample_every=0, threads=1
)
CONFIG = Config(grow_at=8)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken")
    train_here(folder, TRAINING, CONFIG)
    return folder


def check_same(folder: Path, unbroken: Path) -> None:
    for name in ("weights.safetensors", "checkpoints/best.safetensors", "checkpoints/step_00000020.safetensors"):
        ours, theirs = load_file(folder / name), load_file(unbroken / name)
        assert all(ours[key].equal(theirs[key]) for key in theirs), name
    lines = [(line["step"], line["kind"]) for line in read_log(folder / "log.jsonl")]
    assert lines == [(line["step"], line["kind"]) for line in read_log(unbroken / "log.jsonl")]


def full_from(function: Callable[..., Any], calls: int, concerned: Callable[..., bool]) -> Callable[..., Any]:
    """`function` on a disk that is full from its `calls`-th concerned call on."""
    left = [calls]

    def limited(*arguments: Any, **options: Any) -> Any:
        if concerned(*arguments):
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*arguments, **options)

    return limited


# The checkpoints of steps 0 and 5 have gone to the disk when the third call or so finds it full.
@pytest.mark.parametrize(
    ("owner", "name", "calls"),
    [(checkpoint, "save_file", 3), (os, "fsync", 6), (Path, "replace", 2)],
    ids=["write", "fsync", "rename"],
)
def test_full_while_a_checkpoint_is_written(
    tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, calls: int
) -> None:
    concerned = lambda *arguments: owner is not Path or "step_" in str(arguments[-1])  # noqa: E731
    with monkeypatch.context() as full:
        full.setattr(owner, name, full_from(getattr(owner, name), calls, concerned))
        says = (
            rf"cannot write {tmp_path}/\S+: No space left on device; \S+ kB are needed, \S+ \S+ are free\. "
            rf"The last checkpoint is kept \({tmp_path}/checkpoints/step_\d+\.safetensors\)\. Make room and start "
            r"the same command again: it goes on from there\."
        )
        with pytest.raises(DiskFull, match=says):
            train_here(tmp_path, TRAINING, CONFIG)
    assert not list(tmp_path.rglob(".*")), "a draft or a lock was left behind"
    assert checkpoint.last(tmp_path) is not None
    train_here(tmp_path, TRAINING, CONFIG)
    check_same(tmp_path, unbroken)


def test_full_before_the_first_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "save_file", full_from(checkpoint.save_file, 0, lambda *_: True))
    with pytest.raises(DiskFull, match=r"There is no checkpoint yet\. Make room and .*: it begins again\."):
        train_here(tmp_path, TRAINING, CONFIG)


def test_full_while_logging(tmp_path: Path, unbroken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a line gets out; the next start removes it and writes it again."""

    class Full(io.StringIO):
        def __init__(self, path: Path) -> None:
            super().__init__()
            self.path, self.lines = path, 0

        def write(self, line: str) -> int:
            self.lines += 1
            with self.path.open("a") as file:
                file.write(line if self.lines < 4 else line[:9])
            return len(line)

        def flush(self) -> None:
            if self.lines >= 4:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        close = flush

    made = Log.__init__

    def limited(self: Log, folder: Path, *arguments: Any, **options: Any) -> None:
        made(self, folder, *arguments, **options)
        self._file.close()
        self._file = Full(folder / "log.jsonl")  # type: ignore[assignment]

    with monkeypatch.context() as full:
        full.setattr(Log, "__init__", limited)
        says = (
            r"cannot write \S+/log\.jsonl: No space left on device; \d+ bytes are needed, .*step_00000005\.safetensors"
        )
        with pytest.raises(DiskFull, match=says):
            train_here(tmp_path, TRAINING, CONFIG)
    train_here(tmp_path, TRAINING, CONFIG)
    check_same(tmp_path, unbroken)


def train_with_short_files(folder: Path, limit: int, answer: Any) -> None:
    """Train in a process whose files may not be longer than `limit` bytes: the system itself refuses the rest."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        train_here(folder, TRAINING, CONFIG)
        answer.put("trained")
    except DiskFull as error:
        answer.put(str(error))


def test_the_systems_own_limit(tmp_path: Path, unbroken: Path) -> None:
    train_here(tmp_path, Training(**{**TRAINING.__dict__, "steps": 6}), CONFIG)
    size = (tmp_path / "checkpoints" / "step_00000006.safetensors").stat().st_size
    answer = processes().Queue()
    process = processes().Process(target=train_with_short_files, args=(tmp_path, size - 1, answer))
    process.start()
    said = answer.get()
    process.join()
    assert "File too large" in said and "step_00000006.safetensors). Make room" in said
    assert not list(tmp_path.rglob(".*")), "a draft or a lock was left behind"
    train_here(tmp_path, TRAINING, CONFIG)
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (tmp_path, unbroken))
    assert all(ours[key].equal(theirs[key]) for key in theirs)


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    for error in (PermissionError(errno.EACCES, "no"), SafetensorError("no"), KeyError("no")):
        with pytest.raises(type(error), match="no"), writing(tmp_path / "a"):
            raise error
    says = r"cannot write \S+/new/a: .*; 12 kB are needed"
    with pytest.raises(DiskFull, match=says), writing(tmp_path / "new" / "a", 12_000):
        raise SafetensorError("I/O error: No space left on device (os error 28)")


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (123_456, "123 kB"), (7_890_000, "7.89 MB"),
     (360_000_000, "360 MB"), (5_000_000_000, "5 GB"), (12_345_000_000_000, "12345 GB")],
)  # fmt: skip
def test_bytes_in_words(count: int, words: str) -> None:
    assert in_words(count) == words
