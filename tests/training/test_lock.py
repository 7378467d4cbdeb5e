"""One process at a time in a run's folder, and no lock that outlives its holder."""

import os
from pathlib import Path

import pytest
from killed import processes
from tilt import Config, Tilt, pictures

from unflat.training import lock
from unflat.training.lock import InUse, alone
from unflat.training.run import train
from unflat.training.settings import Training

QUICK = Training(steps=2, sample_every=0, threads=1)


def hold(folder: Path, gates: tuple) -> None:
    """Hold a folder until told to let go of it, or until killed."""
    taken, done = gates
    with alone(folder):
        taken.set()
        done.wait()


def test_a_held_folder_is_refused_with_its_holder_and_left_as_it_is(tmp_path: Path) -> None:
    context = processes()
    gates = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, gates))
    holder.start()
    gates[0].wait()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    says = rf"{tmp_path} is being trained in by process {holder.pid} on \S+ since 20.* or give another folder"
    for resume in (True, False):
        with pytest.raises(InUse, match=says):
            train(Tilt, pictures(), out=tmp_path, training=QUICK, resume=resume, quiet=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    gates[1].set()
    holder.join()
    train(Tilt, pictures(), out=tmp_path, config=Config(), training=QUICK, quiet=True)


def test_a_kill_gives_the_folder_back(tmp_path: Path) -> None:
    context = processes()
    gates = context.Event(), context.Event()
    holder = context.Process(target=hold, args=(tmp_path, gates))
    holder.start()
    gates[0].wait()
    holder.kill()
    holder.join()
    assert (tmp_path / lock.NAME).is_file()  # what it wrote is there still, and holds nobody up
    with alone(tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_that_its_holder_removed_is_not_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between opening and locking, the holder before may have removed the file, and a third made another."""
    path, locked = tmp_path / lock.NAME, []
    take = lock._lock

    def late(held: int) -> None:
        take(held)
        if not locked:
            path.unlink()
        locked.append(held)

    monkeypatch.setattr(lock, "_lock", late)
    with alone(tmp_path):
        assert len(locked) == 2 and path.is_file()
        monkeypatch.undo()
        with pytest.raises(InUse), alone(tmp_path):
            pass


def test_disks_without_locks_are_trained_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(95, os.strerror(95))

    monkeypatch.setattr(lock.fcntl, "flock", none)
    with alone(tmp_path):
        pass
    assert "cannot be locked" in caplog.text and "train there once at a time" in caplog.text


def test_an_unreadable_holder_is_another_process(tmp_path: Path) -> None:
    with alone(tmp_path):
        (tmp_path / lock.NAME).write_text("{")
        with pytest.raises(InUse, match="by another process"), alone(tmp_path):
            pass
