"""Where independent pieces of work are done: here, in processes of this machine, or wherever Ray has room.

All of them do the same: an executor begins pieces as long as it has places, and says how each try ended. `carried_out`
keeps its places filled and has failures tried again. Work is a function of a module, and what it is given and returns
can be pickled.
"""

import multiprocessing
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Literal

Where = Literal["serial", "processes", "ray"]
Work = Callable[[Any], Any]
GRACE = 5.0
"""seconds that a process has to end before it is killed"""
LOCALHOST, NETWORKED = "127.0.0.1", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""where a Ray of this machine listens, and what keeps it there, on Linux too, if it is 0"""


@dataclass(frozen=True)
class Outcome:
    """How a try at a piece of work ended."""

    index: int
    """of the piece"""
    result: Any = None
    error: str = ""
    """what went wrong; empty if nothing did"""
    again: bool = False
    """whether another try may go better: not where the input is wrong"""


class Executor(ABC):
    """Does pieces of work, `places` at once. Leaving it stops what still runs."""

    places: int

    @abstractmethod
    def begin(self, index: int, item: Any) -> None:
        """Start on a piece; there has to be a place for it."""

    @abstractmethod
    def ended(self) -> Outcome:
        """Wait until a try ends."""

    @abstractmethod
    def stop(self) -> None:
        """End everything that was started."""

    def __enter__(self) -> "Executor":
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def executor(where: Where, work: Work, *, pieces: int, workers: int | None = None, threads: int = 0) -> Executor:
    """An executor for so many pieces of work.

    `workers` are the pieces done at once: all that there are cores for (or GPUs, where there are any), if None.
    `threads` of torch and numba for each: their share of the cores, if 0. ValueError for less than one worker.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"{workers} workers can do nothing; give 1 or more, or leave it out")
    if where == "serial":
        return Serial(work)
    if where == "ray":
        return OnRay(work, pieces, workers, threads)
    workers = min(pieces, workers or len(gpus()) or max(1, cores() // max(1, threads)))
    return Processes(work, workers, threads or share_of(cores(), workers))


def carried_out(
    items: Sequence[Any], executor: Executor, *, retries: int = 1, failed: Callable[[Outcome], None] | None = None
) -> Iterator[Outcome]:
    """How each item's last try ended, in the order in which they end.

    What fails is tried again behind all others, up to `retries` times, unless its input is wrong; `failed` is told of
    every try after which there is another one.
    """
    waiting = deque((index, retries) for index in range(len(items)))
    left: dict[int, int] = {}
    while waiting or left:
        while waiting and len(left) < executor.places:
            index, left[index] = waiting.popleft()
            executor.begin(index, items[index])
        outcome = executor.ended()
        tries = left.pop(outcome.index)
        if outcome.error and outcome.again and tries > 0:
            waiting.append((outcome.index, tries - 1))
            if failed is not None:
                failed(outcome)
        else:
            yield outcome


def tried(work: Work, index: int, item: Any) -> Outcome:
    """One try at a piece of work in this process."""
    try:
        return Outcome(index, work(item))
    except ValueError as error:  # the same again would be as wrong
        return Outcome(index, error=str(error) or type(error).__name__)
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename is not None else str(error)
        return Outcome(index, error=where, again=not isinstance(error, FileNotFoundError))
    except Exception as error:
        return Outcome(index, error=f"{type(error).__name__}: {error}", again=True)


def cores() -> int:
    """Of this machine, as far as this process may use them."""
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def share_of(cores: int, workers: int) -> int:
    """Threads that each of so many workers has; no more than OMP_NUM_THREADS says."""
    said = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    most = int(said) if said.isdecimal() and int(said) > 0 else cores
    return max(1, min(cores // workers, most))


class Serial(Executor):
    """One piece after the other, in this process."""

    places = 1

    def __init__(self, work: Work) -> None:
        self._work = work
        self._next: tuple[int, Any] = (0, None)

    def begin(self, index: int, item: Any) -> None:
        self._next = index, item

    def ended(self) -> Outcome:
        return tried(self._work, *self._next)

    def stop(self) -> None:
        """There is nothing that runs beside."""


# -- processes of this machine -----------------------------------------------------------------------------------------


@dataclass
class _Worker:
    process: multiprocessing.process.BaseProcess
    connection: Connection
    index: int | None = None
    """of what it is at"""


class Processes(Executor):
    """Processes of their own that each do one piece after the other.

    One that dies, killed by whomever, gives its place to a new one. They end with this process, however it ends.
    """

    def __init__(self, work: Work, places: int, threads: int) -> None:
        self.places = places
        self._work, self._threads = work, threads
        self._context = multiprocessing.get_context("spawn")  # forked threads of torch would hang
        self._workers: list[_Worker | None] = [None] * places

    def begin(self, index: int, item: Any) -> None:
        place = next(i for i, worker in enumerate(self._workers) if worker is None or worker.index is None)
        worker = self._workers[place] or self._started(place)
        worker.index = index
        with suppress(BrokenPipeError):  # if it has died, `ended` will find it
            worker.connection.send((index, item))

    def _started(self, place: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_serve, args=(theirs, self._work, self._threads, gpu_of(place)), name=f"unflat-{place}", daemon=True
        )
        process.start()
        theirs.close()
        worker = self._workers[place] = _Worker(process, ours)
        return worker

    def ended(self) -> Outcome:
        while True:
            busy = [(i, worker) for i, worker in enumerate(self._workers) if worker and worker.index is not None]
            wait([part for _, worker in busy for part in (worker.connection, worker.process.sentinel)])
            for place, worker in busy:
                outcome = self._outcome(place, worker)
                if outcome is not None:
                    return outcome

    def _outcome(self, place: int, worker: _Worker) -> Outcome | None:
        """What a worker says, or that it has died; None while it works."""
        assert worker.index is not None
        index = worker.index
        try:
            if worker.connection.poll():
                outcome: Outcome = worker.connection.recv()
                worker.index = None
                return outcome
        except (EOFError, ConnectionError):  # it died before it had said it
            worker.process.join(GRACE)
        if worker.process.is_alive():
            return None
        self._workers[place] = None
        worker.connection.close()
        return Outcome(index, error=_died(worker.process.exitcode), again=True)

    def stop(self) -> None:
        workers = [worker for worker in self._workers if worker is not None]
        for worker in workers:
            worker.process.terminate()
        for worker in workers:
            worker.process.join(GRACE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.connection.close()
        self._workers = [None] * self.places


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch  # here, since who only asks for help need not wait for it

    if not torch.cuda.is_available():
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible.split(",") if visible else [str(number) for number in range(torch.cuda.device_count())]


def gpu_of(place: int) -> str:
    """A worker's own, in turn; empty where there is none."""
    there = gpus()
    return there[place % len(there)] if there else ""


def _serve(connection: Connection, work: Work, threads: int, gpu: str) -> None:
    """What a process does: pieces of work until there are no more."""
    from unflat.kernels.threads import share_threads

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started it stops it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    share_threads(threads)
    while True:
        try:
            index, item = connection.recv()
        except EOFError:
            return
        connection.send(tried(work, index, item))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _died(code: int | None) -> str:
    """Why a process is no more, in words."""
    if code is None or code >= 0:
        return f"its process ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"its process was killed ({name})" + (": is there enough memory?" if name == "SIGKILL" else "")


# -- Ray ---------------------------------------------------------------------------------------------------------------


class OnRay(Executor):
    """Tasks of Ray (`pip install 'unflat[dist]'`): of the cluster that RAY_ADDRESS names, or of this machine alone.

    Without RAY_ADDRESS nothing outside this machine can reach it. A worker that dies takes its task with it, and Ray
    starts another; that the task is tried again is `carried_out`'s business, as everywhere.
    """

    def __init__(self, work: Work, pieces: int, workers: int | None, threads: int) -> None:
        elsewhere = bool(os.environ.get("RAY_ADDRESS"))
        if not elsewhere:
            os.environ[NETWORKED] = "0"  # read when Ray is imported; an address given later does not hold its servers
        import ray

        self._ray, self._work = ray, work
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        if elsewhere:
            ray.init(**quiet)
        else:
            ray.init("local", include_dashboard=False, num_cpus=cores(), **quiet)
            address = ray.nodes()[0]["NodeManagerAddress"]
            if address != LOCALHOST:
                ray.shutdown()
                raise RuntimeError(
                    f"Ray would listen at {address}, not at {LOCALHOST}: set {NETWORKED}=0 before it is imported"
                )
        there = ray.cluster_resources()
        count, gpus = int(there.get("CPU", 1)), int(there.get("GPU", 0))
        self.places = min(pieces, workers or gpus or max(1, count // max(1, threads)))
        self._threads = threads or share_of(count, self.places)
        needs = {"num_cpus": min(self._threads, count), "num_gpus": 1 if gpus else 0, "max_retries": 0}
        self._task = ray.remote(**needs)(_on_worker)
        self._running: dict[Any, int] = {}

    def begin(self, index: int, item: Any) -> None:
        self._running[self._task.remote(self._work, index, item, self._threads)] = index

    def ended(self) -> Outcome:
        (done, *_), _ = self._ray.wait(list(self._running), num_returns=1)
        index = self._running.pop(done)
        try:
            outcome: Outcome = self._ray.get(done)
            return outcome
        except self._ray.exceptions.RayError as error:
            said = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            return Outcome(index, error=f"its worker of Ray is lost: {said}", again=True)

    def stop(self) -> None:
        for task in self._running:  # on a cluster of others they would go on
            self._ray.cancel(task, force=True)
        self._ray.shutdown()


def _on_worker(work: Work, index: int, item: Any, threads: int) -> Outcome:
    """What a worker of Ray does with a task."""
    from unflat.kernels.threads import share_threads

    share_threads(threads)
    return tried(work, index, item)
