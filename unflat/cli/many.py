"""`unflat train`: on one DATA as `unflat.cli.train` does; on several, a run for each, and a table of them all."""

import contextlib
import os
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from unflat.cli.parsing import only_json, print_json
from unflat.cli.train import CaptureOptions, folder_of, learned, name_of, options_of, train_one, with_method
from unflat.training.executors import Outcome, carried_out, executor

SAID = "output.txt"
"""in a run's folder: what a process of its own has printed"""
PREFERRED = ("PSNR", "SSIM")
"""figures that the table shows; of runs that have neither, their first two"""


@dataclass(frozen=True)
class Job:
    """One run, as a process is told of it."""

    arguments: tuple[str, ...]
    """of the whole command"""
    source: str
    out: Path
    begun: float | None
    """when what the folder held had begun, when the command did; None if it held nothing"""
    aside: bool
    """whether what is printed goes into the folder"""


@dataclass(frozen=True)
class Row:
    """What became of one DATA."""

    data: str
    run: str
    weights: str = ""
    figures: Mapping[str, float | None] = field(default_factory=dict)
    """of the held-out pictures"""
    seconds: float | None = None
    """of training, all lives of the run together"""
    warnings: tuple[str, ...] = ()
    error: str = ""

    @property
    def cells(self) -> dict[str, str]:
        """What the table says of it, by column."""
        shown = {name: "-" if value is None else f"{value:.4g}" for name, value in self.figures.items()}
        took = "-" if self.seconds is None else f"{self.seconds:.0f}"
        return {
            "data": self.data,
            **shown,
            "seconds": took,
            "folder": f"failed: {self.error}" if self.error else self.run,
        }


def train(arguments: Sequence[str]) -> None:
    arguments, why = with_method(arguments)
    options = options_of(arguments)
    (train_many if len(options.sources) > 1 else train_one)(options, arguments, why)


def train_many(options: Any, arguments: Sequence[str], why: str = "") -> None:
    """Train on every DATA of the options, tell of each as it is done, and of all at the end; `why` is said first.

    ValueError if any failed.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError(
            f"{len(options.sources)} DATA are given, and all processes of torchrun train on one: leave torchrun out, "
            "and take --executor processes"
        )
    if options.retries < 0:
        raise ValueError(f"--retries is {options.retries}; give 0 or more")
    with only_json(options.json):
        if why:
            print(why)
        jobs = jobs_of(options, arguments)
        rows = [row for _, row in sorted(_done(jobs, options), key=lambda numbered: numbered[0])]
        print("\n".join(["", *lines_of(rows)]))
    failed = [row for row in rows if row.error]
    if options.json:
        print_json({"runs": [asdict(row) for row in rows], "failed": len(failed)})
    if failed:
        said = f", and {SAID} in its folder says where" if jobs[0].aside else ""
        raise ValueError(
            f"{len(failed)} of {len(rows)} failed: {', '.join(row.data for row in failed)}. Why is in the table{said}. "
            "The same command tries again what failed, and leaves what is done as it is"
        )


def jobs_of(options: Any, arguments: Sequence[str]) -> list[Job]:
    """A job for each DATA, in a folder of its own; what is named twice is one."""
    places: dict[str, str] = {}
    for source in options.sources:
        there = Path(source).exists()
        places.setdefault(str(Path(source).resolve()) if there else source, source)
    jobs, sources = [], list(places.values())
    for source, name in zip(sources, names_of(sources), strict=True):
        out = options.out / name if options.out else folder_of(options.method, name)
        jobs.append(Job(tuple(arguments), source, out, _begun(out), aside=options.executor != "serial"))
    return jobs


def names_of(sources: Sequence[str]) -> list[str]:
    """What each DATA is called: as when it is given alone, with as much of its path as tells it from the others."""
    ways = [_names(source) for source in sources]
    taken = [0] * len(sources)
    while True:
        names = [way[i] for way, i in zip(ways, taken, strict=True)]
        count = Counter(name.casefold() for name in names)  # some disks know no case
        alike = [i for i, name in enumerate(names) if count[name.casefold()] > 1 and taken[i] + 1 < len(ways[i])]
        if not alike:
            break
        for i in alike:
            taken[i] += 1
    return [name if count[name.casefold()] == 1 else f"{name}-{i}" for i, name in enumerate(names)]


def _names(source: str) -> list[str]:
    """Shorter ones first."""
    from unflat.data.photo_files import absolute_path

    path = Path(source)
    parts = [part for part in absolute_path(path).parts[:-1] if part != path.anchor and part != "/"]
    longer = ["-".join([*parts[-n:], path.name]) for n in range(1, len(parts) + 1)]
    return [name_of(source) or path.absolute().name, path.name or path.absolute().name, *longer]


def _begun(folder: Path) -> float | None:
    """When the run in a folder was begun or gone on with last."""
    settings = folder / "settings.json"
    return settings.stat().st_mtime if settings.exists() else None


def _done(jobs: Sequence[Job], options: Any) -> Iterator[tuple[int, Row]]:
    """The rows of all jobs by their number, as they get done; each is told of."""
    started, finished = time.monotonic(), 0

    def tell(outcome: Outcome, what: str) -> None:
        if not options.quiet:
            print(f"{jobs[outcome.index].source}: {what}", flush=True)

    def failed(outcome: Outcome) -> None:
        tell(outcome, f"failed, and is tried again: {outcome.error}")

    settings = {"pieces": len(jobs), "workers": options.workers, "threads": options.training.threads}
    with executor(options.executor, work, **settings) as places:
        if not options.quiet:
            kind = "captures" if isinstance(options, CaptureOptions) else "sets of photos"
            print(f"{options.method} on {len(jobs)} {kind}, {places.places} at once")
        for outcome in carried_out(jobs, places, retries=options.retries, failed=failed):
            finished += 1
            job = jobs[outcome.index]
            row = Row(job.source, str(job.out), **(outcome.result or {"error": outcome.error}))
            running = min(places.places, len(jobs) - finished)  # on the average, half way through
            left = (time.monotonic() - started) * (len(jobs) / (finished + running / 2) - 1)
            figures = "".join(f"{name} {value:.4g}, " for name, value in row.figures.items() if value is not None)
            said = f"failed: {row.error}" if row.error else f"{figures}{row.seconds:.0f} s, {row.run}"
            tell(outcome, f"{said} ({finished} of {len(jobs)}, {_in_words(left)})")
            yield outcome.index, row


def _in_words(seconds: float) -> str:
    """How long all others will take."""
    if seconds <= 0:
        return "all are done"
    return f"about {seconds:.0f} s left" if seconds < 120 else f"about {seconds / 60:.0f} min left"


def work(job: Job) -> dict[str, Any]:
    """Train on one DATA, as the command would on it alone; a row's fields."""
    from unflat.training.checkpoint import plain_figures, read

    options = options_of(job.arguments)
    begun = _begun(job.out)
    again = begun is not None and begun != job.begun  # this command has begun it: --no-resume has been done already
    options = replace(
        options, sources=(job.source,), out=job.out, quiet=options.quiet or job.aside, resume=options.resume or again
    )
    with _into(job.out / SAID, again) if job.aside else contextlib.nullcontext():
        run, _ = learned(options, job.arguments)
    weights = run.folder / "weights.safetensors"
    seconds = read(weights).header.get("seconds")
    return {
        "weights": str(weights), "figures": plain_figures(run.figures), "seconds": seconds, "warnings": run.warnings
    }  # fmt: skip


@contextlib.contextmanager
def _into(file: Path, again: bool) -> Iterator[None]:
    """What is printed goes into a file, and so does where an error came from; behind what was there, if `again`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        file.open("a" if again else "w", encoding="utf-8", buffering=1) as said,
        contextlib.redirect_stdout(said), contextlib.redirect_stderr(said),
    ):  # fmt: skip
        try:
            yield
        except Exception:
            traceback.print_exc()
            raise


def lines_of(rows: Sequence[Row]) -> list[str]:
    """A table of all rows, as text."""
    known = list(dict.fromkeys(name for row in rows for name in row.figures))
    figures = [name for name in PREFERRED if name in known] or known[:2]
    columns = ["data", *figures, "seconds", "folder"]
    cells = [dict(zip(columns, columns, strict=True)), *(row.cells for row in rows)]
    width = {name: max(len(line.get(name, "-")) for line in cells) for name in columns}
    left = ("data", "folder")
    return [
        "  ".join(
            line.get(name, "-").ljust(width[name]) if name in left else line.get(name, "-").rjust(width[name])
            for name in columns
        ).rstrip()
        for line in cells
    ]
