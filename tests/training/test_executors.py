"""Pieces of work here, in processes and on Ray: the same answers, failures tried again, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

import pytest
import torch
from pieces import Piece, work

from unflat.training import executors
from unflat.training.executors import Executor, Outcome, Processes, Serial, Where, carried_out, executor, share_of

HERE = Path(__file__).parent


@pytest.fixture(params=get_args(Where))
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "ray":
        if find_spec("ray") is None:  # it may not be imported yet: `OnRay` says first where it listens
            pytest.skip("ray is not installed")
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
    paths = [str(HERE), str(HERE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return str(request.param)


def of(where: str, pieces: int) -> Executor:
    return executor(where, work, pieces=pieces, workers=2)  # type: ignore[arg-type]


def test_every_executor_does_all_and_tries_again_what_may_go_better(where: str, tmp_path: Path) -> None:
    deadly = "odd" if where == "serial" else "killed"
    pieces = [
        Piece("a", tmp_path), Piece("b", tmp_path, 1, "odd"), Piece("c", tmp_path, 9, "wrong"),
        Piece("d", tmp_path, 1, deadly), Piece("e", tmp_path, 9, "odd"), Piece("f", tmp_path),
    ]  # fmt: skip
    failed: list[Outcome] = []
    with of(where, len(pieces)) as places:
        ended = {outcome.index: outcome for outcome in carried_out(pieces, places, retries=1, failed=failed.append)}
    assert sorted(ended) == list(range(6))
    said = [outcome.result["said"] if outcome.result else outcome.error for _, outcome in sorted(ended.items())]
    assert said == ["A", "B", "c is no good", "D", "RuntimeError: by chance", "F"]
    tries = {piece.name: len((tmp_path / piece.name).read_text().split()) for piece in pieces}
    assert tries == {"a": 1, "b": 2, "c": 1, "d": 2, "e": 2, "f": 1}, "what is wrong is wrong again"
    assert sorted(outcome.index for outcome in failed) == [1, 3, 4] and all(outcome.error for outcome in failed)
    if where == "processes":
        assert next(o.error for o in failed if o.index == 3) == (
            "its process was killed (SIGKILL): is there enough memory?"
        )
    if where != "serial":
        first, second = (tmp_path / "d").read_text().split()
        assert first != second, "in a fresh process"


def test_without_retries_each_is_tried_once(tmp_path: Path) -> None:
    with Serial(work) as places:
        (outcome,) = carried_out([Piece("a", tmp_path, 1, "odd")], places, retries=0)
    assert outcome.error == "RuntimeError: by chance" and (tmp_path / "a").read_text().count("\n") == 1


def test_processes_work_at_the_same_time_with_a_share_of_the_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(HERE.parent.parent))
    pieces = [Piece(name, tmp_path) for name in "abcd"]
    with Processes(work, places=2, threads=3) as places:
        results = [outcome.result for outcome in carried_out(pieces, places)]
    assert len({result["process"] for result in results}) == 2, "each does one piece after the other"
    assert {result["threads"] for result in results} == {3}


def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert [share_of(8, workers) for workers in (1, 2, 3, 16)] == [8, 4, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "2,1")
    assert [share_of(8, workers) for workers in (1, 2, 8)] == [2, 2, 1]


def test_as_many_at_once_as_there_are_cores_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    given: list[tuple[dict[str, int], int]] = [
        ({"pieces": 20}, 8), ({"pieces": 3}, 3), ({"pieces": 20, "workers": 2}, 2), ({"pieces": 20, "threads": 4}, 2),
        ({"pieces": 20, "threads": 16}, 1),
    ]  # fmt: skip
    for options, places in given:
        assert executor("processes", work, **options).places == places, options  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 workers can do nothing; give 1 or more"):
        executor("processes", work, pieces=2, workers=0)


def test_every_worker_has_a_gpu_of_its_own_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert executors.gpu_of(0) == "" or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [executors.gpu_of(place) for place in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-af,7")
    assert [executors.gpu_of(place) for place in range(4)] == ["3", "GPU-af", "7", "3"]


STARTS = """
import signal, sys
from pathlib import Path
from pieces import Piece, work
from unflat.training.executors import Processes, carried_out
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background it is ignored
    pieces = [Piece(name, Path(sys.argv[1]), 9, "slow") for name in "ab"]
    with Processes(work, 2, 1) as places:
        list(carried_out(pieces, places))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_no_process_outlives_who_started_it(how: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "starts.py"
    script.write_text(STARTS)
    paths = os.pathsep.join([str(HERE), str(HERE.parent.parent)])
    starter = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path)], env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    begun = [tmp_path / name for name in "ab"]
    wait_until(lambda: all(file.exists() and file.read_text().endswith("\n") for file in begun))
    workers = [int(file.read_text()) for file in begun]
    starter.send_signal(how)
    starter.wait(60)
    wait_until(lambda: not any(is_running(pid) for pid in workers))


def wait_until(true: object) -> None:
    for _ in range(1200):
        if true():  # type: ignore[operator]
            return
        time.sleep(0.05)
    raise AssertionError("it did not come to pass within a minute")


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    yield
    import multiprocessing

    assert multiprocessing.active_children() == []
