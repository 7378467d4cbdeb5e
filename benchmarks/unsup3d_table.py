"""The tables of Unsup3D: trains every row, records it, and writes the table beside the published one.

    python benchmarks/unsup3d_table.py --scale small      two hours of two cores
    python benchmarks/unsup3d_table.py --scale paper      the full recipe, for a GPU

It may be stopped anywhere, and goes on when it is started again: a row is a run of its own
(runs/table-SCALE/ROW-SEED-SETTINGS), and a row that is recorded with the same settings and seed is not run again. The
rows that the claims are about take three seeds, others one; the first seed of all comes first. Rows whose settings are
the same at this scale are run once.
"""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import make_readme
import paper_table
from processes import end_with_parent

from unflat import catalogue, records
from unflat.records import Record

METHOD = "unsup3d"
AVERAGED = 2000
"""training pictures whose mean is the average depth"""
TELL_EVERY = 60.0
"""seconds between two lines of progress"""
TRIED_STEPS = 24
"""to find out how long one takes"""
RECORDED = ("SIDE", "MAD", "coverage", "landmark", "better than", "bulging", "noses", "yaw", "reconstruction", "scored")
"""how the names of the recorded figures begin"""


@dataclass(frozen=True)
class Scale:
    """How large a table is."""

    experiment: str
    """whose rows it has"""
    steps: int | None = None
    """of each row; None is the experiment's own"""
    jobs: int = 1
    """rows at a time"""


SCALES = {"small": Scale("small", jobs=2), "paper": Scale("faces"), "tiny": Scale("tiny", jobs=2)}


@dataclass(frozen=True)
class Task:
    """A row with a seed, and all that a process needs to run it."""

    name: str
    """in the records"""
    experiment: Any
    folder: Path
    results: Path
    command: str
    table: str
    """digest of what all rows change"""

    @property
    def seed(self) -> int:
        return self.experiment.training.seed

    @property
    def key(self) -> tuple[str, int]:
        """Equal for tasks that would make the same run."""
        return self.experiment.digest, self.seed

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


# -- what is to be done ------------------------------------------------------------------------------------------------


def in_steps(experiment: Any, steps: int | None) -> Any:
    """The experiment with so many steps, its warm-up at most half of them; None leaves it as it is."""
    if steps is None or steps == experiment.training.steps:
        return experiment
    config = replace(experiment.config, warmup=min(experiment.config.warmup, steps // 2))
    return replace(experiment, config=config, training=replace(experiment.training, steps=steps))


def scaled(experiment: Any, steps: int | None, features: str | None) -> Any:
    """The experiment in so many steps, with a feature network. Nothing is drawn."""
    experiment = in_steps(experiment, steps)
    training = replace(experiment.training, sample_every=0, validate_every=0)
    config = experiment.config if features is None else replace(experiment.config, features=features)
    return replace(experiment, config=config, training=training)


def changes(sized: Any, base: Any) -> tuple[str, str]:
    """What the names of the rows say that the experiment's does not, and the option that asks for the features."""
    suffix = "" if sized.training.steps == base.training.steps else f", {sized.training.steps} steps"
    if sized.config.features == base.config.features:
        return suffix, ""
    network, _, weights = sized.config.features.partition(":")  # where they lie is nobody else's business
    return (
        f"{suffix}, {network or 'no'} features",
        f" --features {network}:FOLDER" if weights else f" --features '{network}'",
    )


def planned(
    rows: Mapping[str, Any], base: Any, named: Callable[[str], str], out: Path, results: Path, command: str, seeds: int
) -> list[Task]:
    """Every row that is trained with every seed that it needs, the first seeds first."""
    claimed = paper_table.claimed_rows(METHOD)
    trained = {name: base.row(row) for name, row in rows.items() if not row.baseline}
    found = []
    for seed in range(seeds):
        for name, experiment in trained.items():
            if seed == 0 or name in claimed:
                own = replace(experiment, training=replace(experiment.training, seed=seed))
                folder = out / f"{name}-{seed}-{own.digest[:8]}"  # runs of other settings stay where they are
                found.append(Task(named(name), own, folder, results, command, base.digest))
    return found


def left(tasks: Sequence[Task], lines: Sequence[Record]) -> list[Task]:
    """The tasks that are not recorded, each run once."""
    known = {(line.settings, line.seed) for line in lines}
    first = {task.key: task for task in reversed(tasks)}
    return [task for task in tasks if task.key not in known and first[task.key] is task]


def shared(tasks: Sequence[Task], lines: Sequence[Record]) -> Iterator[list[Record]]:
    """The records of rows that have the same settings as a row that was run, under their own names."""
    named = {(line.experiment, line.settings, line.seed) for line in lines}
    own = {(line.settings, line.seed): line.experiment for line in lines if not line.note}
    for task in tasks:
        if (task.name, *task.key) in named or task.key not in own:
            continue
        yield [
            replace(line, experiment=task.name, note=f"{paper_table.SAME_RUN}{line.experiment}")
            for line in records.latest(
                line for line in lines if (line.settings, line.seed) == task.key and line.experiment == own[task.key]
            )
        ]


def steps_for(minutes: float, experiment: Any, plan: Path) -> int:
    """How many steps a row may take, measured once and kept in `plan`, so that a table goes on as it began."""
    if plan.is_file():
        kept = json.loads(plan.read_text())
        if kept["minutes"] == minutes:
            return int(kept["steps"])
    from unflat.training.log import read_log
    from unflat.training.run import train

    training = replace(experiment.training, steps=TRIED_STEPS, log_every=TRIED_STEPS // 3)
    with tempfile.TemporaryDirectory() as folder:
        train(experiment.method, experiment.data, out=folder, config=experiment.config, training=training, quiet=True)
        speed = read_log(Path(folder) / "log.jsonl")[-1]["images_per_second"]
    steps = max(10, round(60 * minutes * speed / experiment.config.batch_size, -1))
    plan.parent.mkdir(parents=True, exist_ok=True)
    plan.write_text(json.dumps({"minutes": minutes, "steps": int(steps)}))
    return int(steps)


# -- a row, in a process of its own ------------------------------------------------------------------------------------


def run_row(task: Task) -> None:
    """Train, or go on; evaluate; record."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the table's process ends this one
    end_with_parent()
    from unflat.evaluation.photos import average_depth
    from unflat.evaluation.photos import evaluate_photos as evaluate
    from unflat.training import checkpoint
    from unflat.training.experiment import made
    from unflat.training.run import train

    experiment = task.experiment
    run = train(
        experiment.method, experiment.data, out=task.folder, config=experiment.config, training=experiment.training,
        quiet=True,
    )  # fmt: skip
    header = checkpoint.read(task.folder / "weights.safetensors").header
    average = average_depth(made(experiment.data)[:AVERAGED])
    evaluation = evaluate(run.method, made(experiment.test), average=average)
    blank = Record(
        METHOD, task.name, "", float("nan"), "lower", seed=task.seed, seconds=header["seconds"], command=task.command,
        settings=experiment.digest, table=task.table,
    )  # fmt: skip
    lines = evaluation.records(blank, {}, floors={})
    records.append([line for line in lines if line.metric.startswith(RECORDED)], task.results)


# -- all rows ----------------------------------------------------------------------------------------------------------


@dataclass
class Progress:
    """How far the table is, and how long the rest takes at the speed so far."""

    tasks: Sequence[Task]
    began: float
    first: float
    """tasks' worth of steps that were there already"""
    done: int = 0

    @classmethod
    def starting(cls, tasks: Sequence[Task]) -> "Progress":
        return cls(tasks, time.monotonic(), sum(share_done(task) for task in tasks))

    def left(self) -> str:
        """Minutes to the end, as a sentence's end."""
        done = sum(share_done(task) for task in self.tasks)
        if done <= self.first:
            return "minutes left not known yet"
        seconds = (time.monotonic() - self.began) * (len(self.tasks) - done) / (done - self.first)
        return f"about {seconds / 60:.0f} min left"


def share_done(task: Task) -> float:
    """The share of a row's steps that its log has."""
    try:
        last = (task.folder / "log.jsonl").read_text().rstrip().rpartition("\n")[2]
        return float(json.loads(last)["step"]) / task.experiment.training.steps
    except (OSError, ValueError, KeyError):
        return 0.0


def run_all(tasks: Sequence[Task], jobs: int, after: Callable[[Task], str]) -> list[Task]:
    """Run the tasks, `jobs` at a time; the ones that failed. `after` a row is recorded, it says something of it."""
    spawn = multiprocessing.get_context("spawn")
    waiting, running, failed = list(tasks), dict[int, tuple[SpawnProcess, Task]](), list[Task]()
    progress = Progress.starting(tasks)
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                task = waiting.pop(0)
                process = spawn.Process(target=run_row, args=(task,), daemon=True)
                process.start()
                running[process.sentinel] = (process, task)
                print(f"row {len(tasks) - len(waiting)} of {len(tasks)}: {task}", flush=True)
            ended = wait(list(running), timeout=TELL_EVERY)
            for process, task in [running.pop(int(sentinel)) for sentinel in ended]:  # type: ignore[arg-type]
                process.join()
                failed += [task] if process.exitcode else []
                said = after(task) if not process.exitcode else "FAILED; what it said stands above"
                print(f"{task}: {said}; {progress.left()}", flush=True)
            if not ended:
                now = ", ".join(f"{task} {share_done(task):.0%}" for _, task in running.values())
                print(f"  {now}; {progress.left()}", flush=True)
    finally:
        for process, _ in running.values():
            process.terminate()
            process.join()
    return failed


def prepare(tasks: Sequence[Task]) -> None:
    """Make the pictures here, once, and not in every process."""
    from unflat.training.experiment import made

    sources = {repr(s): s for task in tasks for s in (task.experiment.data, task.experiment.test)}
    for source in sources.values():
        made(source)


def run_table(tasks: Sequence[Task], results: Path, jobs: int, publish: Callable[[], None]) -> list[Task]:
    """Run what is not recorded, and `publish` after every row; the tasks that failed."""

    def share() -> None:
        for copies in shared(tasks, records.read(METHOD, results)):
            records.append(copies, results)
        publish()

    def after(task: Task) -> str:
        share()
        mine = (line for line in records.read(METHOD, results) if (line.settings, line.seed) == task.key)
        told = {line.metric: line for line in mine}
        figures = [
            f"{name} {told[name].ours:.3g}" for name in ("SIDE, filled", "MAD, filled", "coverage") if name in told
        ]
        minutes = next((line.seconds for line in told.values() if line.seconds), 0.0) / 60
        return f"{', '.join(figures)} ({minutes:.1f} min)"

    share()
    to_run = left(tasks, records.read(METHOD, results))
    print(f"{len(tasks)} rows with their seeds; {len(to_run)} are to be run, {jobs} at a time", flush=True)
    prepare(to_run)
    return run_all(to_run, jobs, after)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    scale = SCALES[options.scale]
    jobs = options.jobs or scale.jobs
    if jobs > 1:  # before torch and numba are imported, here and in the processes: one thread each
        os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
    out = options.out or Path("runs") / f"table-{options.scale}"
    results = options.results or records.CHECKOUT
    rows = chosen_rows(options.rows)
    base = catalogue.experiment(METHOD, scale.experiment)
    steps = options.steps or scale.steps
    if options.minutes_per_row:
        steps = steps_for(options.minutes_per_row, scaled(base, None, options.features), out / "plan.json")
    sized = scaled(base, steps, options.features)
    steps_given = f" --steps {steps}" if steps else ""  # the scale's own, too: they may change
    suffix, features_given = changes(sized, base)
    command = f"python benchmarks/unsup3d_table.py --scale {options.scale}{steps_given}{features_given}"
    tasks = planned(rows, sized, lambda row: f"{scale.experiment}/{row}{suffix}", out, results, command, options.seeds)

    def publish() -> None:
        if results == records.CHECKOUT:
            make_readme.main([])

    failed = run_table(tasks, results, jobs, publish)
    print(paper_table.sections(catalogue.find(METHOD), records.read(METHOD, results)))
    for task in failed:
        print(f"failed: {task}", file=sys.stderr)
    return 1 if failed else 0


def chosen_rows(names: Sequence[str]) -> dict[str, Any]:
    """The rows of the method's table, or some of them; SystemExit for one that is not there."""
    known = catalogue.find(METHOD).rows
    for name in names:
        if name not in known:
            near = catalogue.closest(name, known)
            hint = f"did you mean {near}?" if near else f"its rows are {', '.join(known)}"
            sys.exit(f"the table has no row {name}; {hint}")
    every = vars(sys.modules[catalogue.load(METHOD).__module__])["ROWS"] if known else {}
    return {name: row for name, row in every.items() if name in (names or every)}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--scale", choices=SCALES, default="small", help="small: two cores; paper: a GPU")
    made.add_argument("--rows", nargs="*", default=[], help="only these rows (names in the method's ROWS)")
    made.add_argument("--seeds", type=int, default=paper_table.SEEDS, help="of the rows that claims are about")
    made.add_argument("--steps", type=int, help="of each row; left out: the scale's own")
    made.add_argument("--minutes-per-row", type=float, help="so many steps as take so long, measured when it begins")
    made.add_argument("--features", help="of the full model, such as vgg16:FOLDER; left out: the experiment's own")
    made.add_argument("--jobs", type=int, help="rows at a time, one thread each; left out: 2 small, 1 at paper scale")
    made.add_argument("--out", type=Path, help="of the runs; left out: runs/table-SCALE")
    made.add_argument("--results", type=Path, help="folder of the records; left out: benchmarks/results")
    return made


if __name__ == "__main__":
    sys.exit(main())
