"""What a run tells: JSON lines, TensorBoard if it is installed, and a progress bar or plain lines."""

import json
import math
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from unflat.outputs.files import write_text
from unflat.outputs.terminal import ROWS, as_text, shows_pictures
from unflat.training.disk import writing

REFRESHED = 4
"""times a second: a picture above the bar takes some milliseconds each time"""
FEWEST_ROWS = 6
"""of a picture that is worth showing"""


class Log:
    """Writes to `folder`/log.jsonl and shows progress, both only if told so.

    `counted` is what a checkpoint kept of the steps since the last line (`Log.counted`). `items` is what a batch is
    made of, as it is told: images, or rays.
    """

    def __init__(
        self, folder: Path, steps: int, done: int, *, write: bool = True, quiet: bool = False,
        counted: Mapping[str, Sequence[Any]] = MappingProxyType({}), items: str = "images",
    ) -> None:  # fmt: skip
        self.steps, self.items = steps, items
        self._path = folder / "log.jsonl" if write else Path(os.devnull)
        if write:
            rewind(self._path, done)
        self.before = read_log(self._path) if write and self._path.exists() else []
        """the lines that were there, up to step `done`"""
        self._file = self._path.open("a", encoding="utf-8")
        self._boards = _tensorboard(folder, done) if write else None
        self._console = Console(quiet=quiet)
        self._validation = ""
        self._sums: dict[str, tuple[Any, int]] = {name: (total, times) for name, (total, times) in counted.items()}
        self._count = self._images = 0
        self._since = time.perf_counter()
        self._bar = _Bar(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(), TextColumn("{task.fields[figure]}"), console=self._console,
            disable=quiet or not self._console.is_terminal, refresh_per_second=REFRESHED,
        )  # fmt: skip
        self._task = self._bar.add_task("training", total=steps, completed=done, rate="", figure="")

    def __enter__(self) -> "Log":
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self._bar.stop()
        # what could not be written is tried again on closing: the first error is the one to tell
        with suppress(OSError) if kind else writing(self._path), ExitStack() as files:
            files.callback(self._file.close)
            if self._boards is not None:
                files.callback(self._boards.close)

    def count(self, figures: Mapping[str, Any], images: int) -> None:
        """Add one step's figures (numbers or tensors without gradient, read only when a line is due)."""
        for name, value in figures.items():
            total, times = self._sums.get(name, (0.0, 0))
            self._sums[name] = total + value, times + 1
        self._count += 1
        self._images += images
        self._bar.update(self._task, advance=1)

    def counted(self) -> dict[str, tuple[float, int]]:
        """Sums of the figures since the last line, and over how many steps."""
        return {name: (float(total), times) for name, (total, times) in self._sums.items()}

    def line(self, step: int, **more: float) -> dict[str, float]:
        """Write a line with the means over the steps counted since the last one, and return them."""
        seconds = time.perf_counter() - self._since
        means = {name: float(total) / times for name, (total, times) in self._sums.items()}
        rate = self._images / max(seconds, 1e-9)
        self.write(step, "training", {**means, **more, "images_per_second": rate})
        self._bar.update(self._task, rate=f"{rate:.0f} {self.items}/s", figure=self._told(means))
        if not self._console.is_terminal:
            left = (self.steps - step) * seconds / max(self._count, 1)
            self.say(
                f"step {step}/{self.steps}  loss {means.get('loss', math.nan):.4f}  {rate:.0f} {self.items}/s  "
                f"{left / 60:.1f} min left  {self._told(means)}"
            )
        self._sums.clear()
        self._count = self._images = 0
        self._since = time.perf_counter()
        return means

    def _told(self, means: Mapping[str, float]) -> str:
        """The figures beside the loss: what pictures of a scene lack, and the last validation's."""
        learned = f"PSNR {means['PSNR']:.2f}" if "PSNR" in means else ""
        validated = f"validation {self._validation}" if self._validation and learned else self._validation
        return "  ".join(filter(None, (learned, validated)))

    def warn(self, step: int, warning: Mapping[str, Any], text: str) -> None:
        """A line of kind `warning`, and its text to the user."""
        self._add({"step": step, "kind": "warning", **warning})
        self.say(f"warning: {text}")

    def entered(self, step: int, trained: Sequence[str]) -> None:
        """A line of kind `stage`: from this step on these parts of the method are trained, and others than before."""
        self._add({"step": step, "kind": "stage", "trained": list(trained)})

    def validated(self, step: int, figures: Mapping[str, float], headline: str) -> None:
        """The figures of an evaluation; `headline` is the one shown with the progress."""
        self._validation = f"{headline} {figures[headline]:.4g}" if headline in figures else ""
        self.write(step, "validation", figures)
        self._bar.update(self._task, figure=self._validation)

    def write(self, step: int, kind: str, figures: Mapping[str, float]) -> None:
        """A line of the log, and the same for TensorBoard. Raises DiskFull."""
        self._add({"step": step, "kind": kind, **_plain(figures)})
        if self._boards is not None:
            with writing(self._path.with_name("tensorboard")):
                for name, value in figures.items():
                    self._boards.add_scalar(f"{kind}/{name}", value, step)

    def _add(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line) + "\n"
        with writing(self._path, len(text)):
            self._file.write(text)
            self._file.flush()

    def say(self, text: str) -> None:
        """Tell the user, beside the bar."""
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, picture: np.ndarray | None) -> None:
        """A picture, uint8 [h, w, 3], above the bar, where there is one; the next takes its place."""
        rows = min(ROWS, self._console.height - 6)  # what does not fit would push the bar out of sight
        if picture is not None and not self._bar.disable and rows >= FEWEST_ROWS and shows_pictures(self._console):
            self._bar.picture = as_text(picture, rows=rows)
            self._bar.refresh()

    def pause(self) -> "Pause":
        """Time spent inside is not counted against images per second."""
        return Pause(self)


class _Bar(Progress):
    """A bar below the picture of what has been learned so far."""

    picture: Text | None = None

    def get_renderables(self) -> Iterable[RenderableType]:
        if self.picture is not None:
            yield self.picture
        yield from super().get_renderables()


class Pause:
    """See `Log.pause`."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._log._since += time.perf_counter() - self._began


def rewind(path: Path, step: int) -> None:
    """Drop the lines after `step`, and one that a kill left unfinished: a resumed run writes them again."""
    if not path.exists():
        return
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if _step_of(line) <= step]
    with writing(path):
        write_text(path, "".join(f"{line}\n" for line in kept))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _step_of(line: str) -> float:
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def _plain(figures: Mapping[str, float]) -> dict[str, float | None]:
    """JSON knows no NaN."""
    return {name: float(value) if math.isfinite(value) else None for name, value in figures.items()}


def _tensorboard(folder: Path, done: int) -> Any:
    """A writer of TensorBoard's files, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1 if done else None)
