"""Claims and their evidence: one line of JSON for every figure that was measured, appended and never changed.

In a checkout the lines are in `benchmarks/results/METHOD.jsonl`; an installed package carries them as `unflat/records`
and cannot append. Needs nothing but the standard library.
"""

import dataclasses
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

PACKAGE = Path(__file__).parent
CHECKOUT = PACKAGE.parent / "benchmarks" / "results"
INSTALLED = PACKAGE / "records"

Side = Literal["lower", "higher"]
Source = Literal["published", "peer", "floor", ""]
Status = Literal["reproduced", "works", "below the paper", "not run"]
TOLERANCE = 0.05
"""a published figure is reached within this share of it: runs with other seeds differ by as much"""


class RecordError(ValueError):
    """A line of records cannot be read, or a record cannot be written."""


@dataclass(frozen=True)
class Record:
    """One figure that was measured."""

    method: str
    experiment: str
    """name of the function in the method's file, or of the benchmark"""
    metric: str
    ours: float
    better: Side
    bound: float | None = None
    """the figure to compare with"""
    source: Source = ""
    """whose bound: the paper's, another implementation's measured beside ours, or what must at least be reached"""
    spread: float | None = None
    """standard deviation over pictures, as papers print behind +-"""
    seed: int | None = None
    seconds: float | None = None
    """of wall time that the run took"""
    memory: float | None = None
    """largest resident size of the process, bytes"""
    command: str = ""
    """what to type to measure it again"""
    settings: str = ""
    """digest of all that decided the run but its seed (`Experiment.digest`), so that it is not run again"""
    table: str = ""
    """digest of what the rows of one table have in common: rows with different ones do not stand in one table"""
    note: str = ""
    hardware: str = ""
    commit: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bound is reached (a published one within TOLERANCE); None where there is none."""
        if self.bound is None:
            return None
        slack = TOLERANCE * abs(self.bound) if self.source == "published" else 0.0
        return self.ours <= self.bound + slack if self.better == "lower" else self.ours >= self.bound - slack


def stamped(record: Record) -> Record:
    """The record with hardware, commit, versions and date, as far as it does not have them."""
    return dataclasses.replace(
        record,
        hardware=record.hardware or hardware(),
        commit=record.commit or _commit(),
        versions=record.versions or versions(),
        date=record.date or datetime.now(UTC).isoformat(timespec="seconds"),
    )


def append(records: Sequence[Record], folder: Path | None = None) -> Path:
    """Add records of one method to its file in one write, so that two runs cannot mix their lines."""
    methods = {record.method for record in records}
    if len(methods) != 1:
        raise RecordError(f"records of one method are appended at a time, not of {sorted(methods)}")
    folder = folder or _writable()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{methods.pop()}.jsonl"
    lines = "".join(_line(stamped(record)) for record in records).encode()
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        written = os.write(handle, lines)
    finally:
        os.close(handle)
    if written != len(lines):
        raise RecordError(f"only {written} of {len(lines)} bytes could be appended to {path}: is the disk full?")
    return path


def read(method: str, folder: Path | None = None) -> list[Record]:
    """All records of a method, oldest first; none if it was never run."""
    path = (folder or _readable()) / f"{method}.jsonl"
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_parsed(line, f"{path.name}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def recorded(folder: Path | None = None) -> list[str]:
    """Names of the methods and benchmarks that have records."""
    return sorted(path.stem for path in (folder or _readable()).glob("*.jsonl"))


def latest(records: Iterable[Record]) -> list[Record]:
    """The last record of every figure: of each experiment, metric, kind of bound and seed.

    An experiment whose settings changed has only what its last settings gave.
    """
    last: dict[tuple[object, ...], Record] = {}
    records = list(records)
    settings = {(record.method, record.experiment): record.settings for record in records}
    for record in records:
        if record.settings != settings[record.method, record.experiment]:
            continue
        key = (record.method, record.experiment, record.metric, record.source, record.seed)
        last.pop(key, None)
        last[key] = record
    return list(last.values())


def status(method: str, folder: Path | None = None) -> Status:
    """How far a method has got, from its latest records.

    - no record with a published figure or a floor: *not run*;
    - a floor that is missed: *below the paper*, whatever else holds;
    - published figures: *reproduced* if every one is reached within TOLERANCE, *below the paper* otherwise;
    - floors only, all of them met: *works*.

    Comparisons with other implementations (`peer`) and figures without a bound do not count. With several seeds every
    seed counts.
    """
    records = [record for record in latest(read(method, folder)) if record.met is not None]
    published = [record.met for record in records if record.source == "published"]
    floors = [record.met for record in records if record.source == "floor"]
    if not published and not floors:
        return "not run"
    if not all(floors) or not all(published):
        return "below the paper"
    return "reproduced" if published else "works"


def table(records: Iterable[Record]) -> str:
    """A Markdown table of records, newest of each figure."""
    rows = ["| experiment | figure | ours | bound | reached | when, on what |", "|---|---|---|---|---|---|"]
    for r in latest(records):
        spread = "" if r.spread is None else f" ± {_short(r.spread)}"
        sign = "≤" if r.better == "lower" else "≥"
        bound = "" if r.bound is None else f"{r.source} {sign} {_short(r.bound)}"
        reached = {None: "", True: "yes", False: "**no**"}[r.met]
        seed = "" if r.seed is None else f", seed {r.seed}"
        when = ", ".join(part for part in (r.date[:10], r.hardware, r.commit[:7]) if part)
        rows.append(f"| {r.experiment}{seed} | {r.metric} | {_short(r.ours)}{spread} | {bound} | {reached} | {when} |")
    return "\n".join(rows)


def status_table(titles: dict[str, str], folder: Path | None = None) -> str:
    """A Markdown table of methods with their status; `titles` says what each is."""
    rows = ["| method | status | what it is |", "|---|---|---|"]
    rows += [f"| `{name}` | *{status(name, folder)}* | {title} |" for name, title in titles.items()]
    return "\n".join(rows)


def commands(records: Iterable[Record]) -> list[str]:
    """What to type to measure the latest figures again, each command once."""
    return list(dict.fromkeys(record.command for record in latest(records) if record.command))


def hardware() -> str:
    """The processor and the number of its cores."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass  # no Linux, or a processor without a name
    cores = os.cpu_count() or 1
    return f"{model}, {cores} core{'s' if cores > 1 else ''}"


def _line(record: Record) -> str:
    plain = {name: value for name, value in dataclasses.asdict(record).items() if value not in (None, "", {})}
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False) + "\n"
    except ValueError as error:
        raise RecordError(f"{record.experiment}, {record.metric}: {record.ours} is no figure to record") from error


def _parsed(line: str, where: str) -> Record:
    try:
        return Record(**json.loads(line))
    except (ValueError, TypeError) as error:
        raise RecordError(f"{where} is no record: {error}") from error


def _readable() -> Path:
    return CHECKOUT if CHECKOUT.is_dir() else INSTALLED


def _writable() -> Path:
    if not CHECKOUT.is_dir():
        raise RecordError(
            "records are kept in a checkout's benchmarks/results; an installed package cannot add to them"
        )
    return CHECKOUT


def _commit() -> str:
    """The checkout's commit, with + if files were changed since."""
    command = ["git", "-C", str(PACKAGE.parent), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def versions() -> dict[str, str]:
    """Of what decides a figure."""
    found = {"python": platform.python_version()}
    for package in ("unflat", "torch", "numpy", "numba"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
