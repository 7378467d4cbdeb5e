"""How far a long output is: a bar for who watches, and now and then a line where nobody can see one."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from unflat.data.reading import bar

Item = TypeVar("Item")

EVERY = 15.0
"""seconds between lines"""


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
