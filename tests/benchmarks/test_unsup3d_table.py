"""The command that runs the tables: what it runs, what it does not run again, and that it can be stopped anywhere."""

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import paper_table
import pytest
import unsup3d_table
from unsup3d_table import SCALES, Task, changes, left, main, planned, run_table, scaled, share_done, shared, steps_for

from unflat import catalogue, records
from unflat.catalogue import TableRow
from unflat.records import Record
from unflat.training import run
from unflat.training.experiment import Row
from unflat.worlds.faces import Faces
from unflat.worlds.patched import Patched

ROWS = {
    "supervised": Row("supervised", {"cues": {"depth"}, "without": {"photos"}}),
    "constant_depth": Row("constant depth", baseline="constant depth"),
    "full": Row("full", published={"SIDE": 0.793}),
    "no_perceptual_loss": Row("no perceptual loss", {"features": ""}),
    "patched": Row("with patches", data=Patched),
}


@pytest.fixture
def tasks(tmp_path: Path) -> Callable[..., list[Task]]:
    """The tasks of some rows of the tiny experiment, with a checkpoint at every step."""

    def made(*names: str, seeds: int = 1, steps: int | None = None) -> list[Task]:
        base = scaled(catalogue.experiment("unsup3d", "tiny"), steps, None)
        base = replace(base, data=Faces(6, 16), test=Faces(3, 16, split="test"), validation=None)
        base = replace(base, training=replace(base.training, save_every=1))
        rows = {name: row for name, row in ROWS.items() if not names or name in names}
        return planned(rows, base, lambda row: f"tiny/{row}", tmp_path / "runs", tmp_path, "the command", seeds)

    return made


def line(task: Task, metric: str = "SIDE, filled", **more: Any) -> Record:
    blank = Record("unsup3d", task.name, metric, 1.0, "lower", seed=task.seed, settings=task.experiment.digest)
    return replace(blank, **more)


def test_first_seeds_come_first_and_claims_get_all(tasks: Callable[..., list[Task]]) -> None:
    names = [(task.name, task.seed) for task in tasks(seeds=3)]
    assert [name for name, seed in names if seed == 0] == [f"tiny/{name}" for name in ROWS if name != "constant_depth"]
    assert [name for name, seed in names if seed == 2] == ["tiny/supervised", "tiny/full"]
    assert [seed for _, seed in names] == [0] * 4 + [1] * 2 + [2] * 2


def test_a_run_of_other_settings_lies_elsewhere(tasks: Callable[..., list[Task]]) -> None:
    folders = [{task.folder for task in tasks(steps=steps)} for steps in (2, 2, 4)]
    assert folders[0] == folders[1] and not folders[0] & folders[2]


def test_what_is_recorded_is_not_run_again_and_equal_settings_run_once(tasks: Callable[..., list[Task]]) -> None:
    every = tasks()
    assert [task.name for task in left(every, [])] == ["tiny/supervised", "tiny/full", "tiny/patched"]
    known = [line(task) for task in every if task.name == "tiny/full"]
    assert [task.name for task in left(every, known)] == ["tiny/supervised", "tiny/patched"]
    assert left(every, [replace(known[0], seed=1)]) == left(every, []), "another seed is another run"
    assert left(every, [replace(known[0], settings="x")]) == left(every, []), "other settings are another run"


def test_rows_with_equal_settings_share_a_record(tasks: Callable[..., list[Task]]) -> None:
    every = tasks()
    (full,) = (task for task in every if task.name == "tiny/full")
    known = [line(full), line(full, "coverage", ours=0.5, hardware="abacus")]
    (copies,) = shared(every, known)
    assert {(c.experiment, c.metric, c.ours, c.hardware, c.note) for c in copies} == {
        ("tiny/no_perceptual_loss", "SIDE, filled", 1.0, "", "the run of tiny/full"),
        ("tiny/no_perceptual_loss", "coverage", 0.5, "abacus", "the run of tiny/full"),
    }
    assert list(shared(every, known + copies)) == []


def test_a_short_training_warms_up_in_half_of_its_steps() -> None:
    base = catalogue.experiment("unsup3d", "small")
    warmup = base.config.warmup
    assert scaled(base, 2 * warmup, None).config == base.config, "longer ones as long as ever"
    short = scaled(base, warmup, None)
    assert short.config.warmup == warmup // 2 and short.training.steps == warmup
    assert replace(short.config, warmup=warmup) == base.config
    assert scaled(base, None, "vgg16:x").config == replace(base.config, features="vgg16:x")


@pytest.mark.parametrize(
    ("steps", "features", "suffix", "option"),
    [
        (None, None, "", ""),
        (7, "self", ", 7 steps", ""),
        (None, "", ", no features", " --features ''"),
        (7, "vgg16:weights/vgg", ", 7 steps, vgg16 features", " --features vgg16:FOLDER"),
    ],
)
def test_records_are_named_after_what_was_changed(
    steps: int | None, features: str | None, suffix: str, option: str
) -> None:
    base = catalogue.experiment("unsup3d", "small")
    assert base.config.features == "self"
    assert changes(scaled(base, steps, features), base) == (suffix, option)


def test_steps_are_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def train(method: type, data: Any, *, out: str, **_: Any) -> None:
        asked.append(out)
        (Path(out) / "log.jsonl").write_text(json.dumps({"step": 24, "images_per_second": 80.0}) + "\n")

    monkeypatch.setattr(run, "train", train)
    base = catalogue.experiment("unsup3d", "small")
    plan = tmp_path / "table" / "plan.json"
    steps = [steps_for(minutes, base, plan) for minutes in (2.0, 2.0, 4.0)]
    assert steps == [60 * 2 * 80 // base.config.batch_size] * 2 + [60 * 4 * 80 // base.config.batch_size]
    assert len(asked) == 2


def test_a_row_that_is_not_there_is_answered_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = replace(catalogue.find("unsup3d"), rows={"no_light": TableRow("without light", {}, "")})
    monkeypatch.setattr(catalogue, "find", lambda _: entry)
    with pytest.raises(SystemExit, match=r"the table has no row no_ligth; did you mean no_light\?"):
        main(["--scale", "tiny", "--rows", "no_ligth"])


@pytest.mark.soak
@pytest.mark.timeout(1200)  # starts four processes, each of which loads torch: long where the machine is busy
def test_it_may_be_stopped_anywhere_and_goes_on(
    tasks: Callable[..., list[Task]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Stopped when the first row is recorded, the second under way; then run on, with a row that fails; then again."""
    every, published = tasks("full", "no_perceptual_loss", "patched"), list[int]()

    def publish() -> None:
        published.append(len(records.read("unsup3d", tmp_path)))
        if len(published) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_table(every, tmp_path, 2, publish)
    first = records.read("unsup3d", tmp_path)
    assert published[0] == 0 < len(first) and not multiprocessing.active_children()
    nothing = replace(every[0].experiment, data=Faces(6, 16).photos()[:0])
    bad = replace(every[0], name="tiny/bad", experiment=nothing, folder=tmp_path / "bad")
    assert run_table([*every, bad], tmp_path, 2, publish) == [bad]
    told = capfd.readouterr()
    assert "tiny/bad, seed 0: FAILED" in told.out and "Error" in told.err
    after = records.read("unsup3d", tmp_path)
    assert after[: len(first)] == first, "a record was changed"
    assert {r.experiment for r in after} == {"tiny/full", "tiny/no_perceptual_loss", "tiny/patched"}
    assert len(after) == len({(r.experiment, r.metric) for r in after}), "a row was recorded twice"
    assert {"SIDE, filled", "coverage", "landmark correlation, sum"} <= {r.metric for r in after}
    assert all(r.source == "" and r.seconds and r.hardware and r.command == "the command" for r in after)
    assert run_table(every, tmp_path, 2, publish) == []
    assert "3 rows with their seeds; 0 are to be run" in capfd.readouterr().out
    assert records.read("unsup3d", tmp_path) == after


def test_how_far_a_row_is_stands_in_its_log(tasks: Callable[..., list[Task]]) -> None:
    (task,) = tasks("full", steps=8)
    assert share_done(task) == 0
    task.folder.mkdir(parents=True)
    (task.folder / "log.jsonl").write_text('{"step": 2}\n{"step": 6}\n')
    assert share_done(task) == 0.75


def test_scales_are_experiments() -> None:
    assert {scale.experiment for scale in SCALES.values()} <= set(catalogue.find("unsup3d").experiments)
    assert unsup3d_table.METHOD in paper_table.CLAIMS
