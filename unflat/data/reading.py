"""Reading many files: on how many threads, in which order, and what is shown meanwhile."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

Item = TypeVar("Item")
Result = TypeVar("Result")


def workers() -> int:
    """Threads that decode side by side."""
    return min(16, os.cpu_count() or 1)


def side_by_side(read: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What `read` makes of each item, on several threads, in the order of the items.

    No more than twice as many results as threads wait to be taken, so that pictures do not pile up in memory.
    """
    waiting: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(workers())
    try:
        for item in items:
            waiting.append(pool.submit(read, item))
            if len(waiting) > 2 * workers():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def bar(wanted: bool) -> Progress:
    """A progress bar on the error stream with rate and remaining time, if somebody watches."""
    console = Console(stderr=True)
    text, done = TextColumn("{task.description}"), MofNCompleteColumn()
    columns = (text, BarColumn(), done, _Rate(), TimeRemainingColumn())
    return Progress(*columns, console=console, transient=True, disable=not (wanted and console.is_terminal))


class _Rate(ProgressColumn):
    """Files a second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "")
