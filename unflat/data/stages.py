"""What long work tells while it goes on: its stages, one after the other, on the error stream."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class Stages:
    """A bar for each stage where somebody watches; elsewhere a line when it begins."""

    def __init__(self, wanted: bool = True) -> None:
        self._console = Console(stderr=True, quiet=not wanted)
        self.seconds: dict[str, float] = {}
        """how long each stage took by the clock; stages of one name add up"""

    @contextmanager
    def stage(self, title: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a stage of `total` parts (None if that is not known) while the block runs, which says how many parts
        are done by calling what it is given with their number."""
        watched = self._console.is_terminal
        if not watched:
            self._console.print(title if total is None else f"{title} (of {total})", highlight=False)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        start = time.perf_counter()
        with Progress(*columns, console=self._console, disable=not watched) as bar:
            task = bar.add_task(title, total=total)
            yield lambda done: bar.update(task, completed=done if total is None else min(done, total))
        self.seconds[title] = self.seconds.get(title, 0.0) + time.perf_counter() - start
