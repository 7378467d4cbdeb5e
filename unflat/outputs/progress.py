"""How far a long output is: a bar for who watches, and now and then a line where nobody can see one."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from unflat.data.reading import bar

Item = TypeVar("Item")

EVERY = 15.0
"""seconds between lines"""
SHOWN = 0.5
"""seconds between two states of a bar"""


def told(items: Iterable[Item], count: int, what: str, wanted: bool = True) -> Iterator[Item]:
    """The items, one after the other, with the rate and the time that is left on the error stream."""
    shown = bar(wanted)
    began = said = time.monotonic()
    with shown:
        task = shown.add_task(what, total=count)
        for done, item in enumerate(items, start=1):
            yield item
            shown.advance(task)
            now = time.monotonic()
            if wanted and shown.disable and now - said > EVERY:
                said, rate = now, done / (now - began)
                print(
                    f"{what} {done}/{count}  {rate:.1f}/s  {(count - done) / rate / 60:.1f} min left",
                    file=sys.stderr, flush=True,
                )  # fmt: skip


class Countdown:
    """How far something is that takes a given time: a bar for who watches, and now and then a line."""

    def __init__(self, what: str, seconds: float, wanted: bool = True) -> None:
        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}  {task.fields[figure]}"),
        )
        self._bar = Progress(*columns, console=console, transient=True, disable=not (wanted and console.is_terminal))
        self._task = self._bar.add_task(what, total=seconds, left="", figure="")
        self._what, self._seconds, self._wanted = what, seconds, wanted
        self._said = self._shown = time.monotonic()

    def __enter__(self) -> "Countdown":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    @property
    def due(self) -> bool:
        """Whether it is time to show something again."""
        return self._wanted and time.monotonic() - self._shown > SHOWN

    def show(self, spent: float, figure: str) -> None:
        """So many seconds have gone by, and a figure as it is now."""
        now = time.monotonic()
        self._shown, left = now, _left(max(0.0, self._seconds - spent))
        self._bar.update(self._task, completed=min(spent, self._seconds), left=left, figure=figure)
        if self._wanted and self._bar.disable and now - self._said > EVERY:
            self._said = now
            print(f"{self._what}  {left}  {figure}", file=sys.stderr, flush=True)


def _left(seconds: float) -> str:
    return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.1f} min left"
