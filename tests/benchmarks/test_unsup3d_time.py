"""Accuracy over time is read from a run's log, and networks are compared at equal accuracy."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import unsup3d_time
from unsup3d_time import MAD, SIDE, SLOPE, Point, curve, curve_records, level_records, points_of

from unflat.records import latest
from unflat.training.settings import to_plain


def training(step: int, speed: float) -> dict[str, Any]:
    return {"step": step, "kind": "training", "images_per_second": speed}


def validation(step: int, side: float, mad: float = 1.0) -> dict[str, Any]:
    return {"step": step, "kind": "validation", SIDE: side, MAD: mad, SLOPE: 0.5}


def write_run(folder: Path, lines: list[dict[str, Any]], batch: int = 10, **settings: Any) -> Path:
    folder.mkdir(exist_ok=True)
    named = {"method": "unsup3d", "experiment": "small", "extent": None, "training": {"threads": 1}}
    (folder / "settings.json").write_text(json.dumps({**named, "config": {"batch_size": batch}, **settings}))
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_both(folder: Path, small: list[dict[str, Any]], paper: list[dict[str, Any]]) -> Path:
    """Runs as the benchmark itself would have made them; batches are of 16."""
    for name, lines, experiment in zip(("small", "paper"), (small, paper), unsup3d_time.both(), strict=True):
        settings = {"config": to_plain(experiment.config), "training": to_plain(experiment.training)}
        write_run(folder / name, lines, **settings)
    return folder


def test_a_curve_counts_the_seconds_of_preparation_and_training() -> None:
    lines = [training(10, 50.0), validation(10, 2.0), training(20, 25.0), training(30, 100.0), validation(30, 1.0)]
    assert curve(lines, batch=10) == [Point(10, 2.0, 2.0, 1.0, 0.5), Point(30, 7.0, 1.0, 1.0, 0.5)]
    prepared = {"step": 0, "kind": "prepared", "seconds": 3.0}
    assert [point.seconds for point in curve([prepared, *lines], batch=10)] == [5.0, 10.0], "that takes time as well"


def test_a_folder_without_a_log_has_no_curve_yet(tmp_path: Path) -> None:
    assert points_of(tmp_path) == []
    with pytest.raises(SystemExit, match="no validations"):
        curve_records(tmp_path)


def test_a_line_that_a_kill_left_unfinished_is_passed_over(tmp_path: Path) -> None:
    write_run(tmp_path, [training(10, 50.0), validation(10, 2.0)])
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"step": 20, "kind": "trai')
    assert [point.step for point in points_of(tmp_path)] == [10]


def test_a_figure_that_is_not_finite_is_the_worst() -> None:
    line = {**validation(10, 1.0), SIDE: None}
    assert curve([training(10, 10.0), line], batch=10)[0].side == math.inf


def test_recorded_minutes_take_the_last_validation_before_them(tmp_path: Path) -> None:
    lines = [training(11, 1.0), validation(11, 1.5), training(28, 1.0), validation(28, 1.4), training(40, 1.0)]
    lines += [validation(40, 1.2, 0.9)]  # after 110, 280 and 400 seconds
    found = {line.metric: line.ours for line in curve_records(write_run(tmp_path, lines))}
    assert found == {
        f"{SIDE} after 2 min": 1.5, f"{MAD} after 2 min": 1.0, f"{SIDE} after 5 min": 1.4, f"{MAD} after 5 min": 1.0,
        f"{SIDE} at the end": 1.2, f"{MAD} at the end": 0.9,
    }  # fmt: skip


def test_the_curve_says_whose_it_is(tmp_path: Path) -> None:
    run = write_run(
        tmp_path, [training(12, 1.0), validation(12, 1.5)], experiment="small/no_light", training={"threads": 0}
    )
    line = curve_records(run)[0]
    assert line.experiment == "unsup3d_time, curve of small/no_light" and "threads: all" in line.note


def test_a_curve_replaces_one_of_other_settings_as_a_whole(tmp_path: Path) -> None:
    """Or the minutes that only the longer run had would stand among those of the shorter one."""
    long, short = tmp_path / "long", tmp_path / "short"
    write_run(
        long,
        [training(12, 1.0), validation(12, 1.5), training(50, 1.0), validation(50, 1.1)],
        training={"threads": 1, "steps": 50},
    )
    write_run(short, [training(12, 1.0), validation(12, 1.2)], training={"threads": 1, "steps": 12})
    then, now = curve_records(long), curve_records(short)
    assert {line.metric for line in then} > {line.metric for line in now} and latest([*then, *now]) == now


def test_the_level_is_where_both_figures_are_reached(tmp_path: Path) -> None:
    small = [training(10, 16.0), validation(10, 1.3, 1.3), training(20, 16.0), validation(20, 1.2, 1.1)]
    paper = [training(10, 1.6), validation(10, 1.8, 1.6), training(25, 1.6), validation(25, 1.7, 1.5)]
    lines = level_records(1.35, 1.2, 10.0, write_both(tmp_path, small, paper))  # 10 seconds a validation of ours
    assert [line.ours for line in lines] == pytest.approx([20 / 60, 12.5, 1.7, 1.5])
    assert lines[1].met and "not reached yet" in lines[1].note


def test_a_network_that_reaches_the_level_sooner_misses_the_floor(tmp_path: Path) -> None:
    small = [training(10, 16.0), validation(10, 1.3, 1.1)]
    paper = [training(10, 3.2), validation(10, 1.3, 1.0), training(40, 3.2), validation(40, 1.0)]
    lines = level_records(1.35, 1.2, 10.0, write_both(tmp_path, small, paper))
    assert lines[1].ours == pytest.approx(5.0) and lines[1].met is False and ": reached" in lines[1].note


def test_a_shorter_try_says_nothing_of_the_floor(tmp_path: Path) -> None:
    small = [training(10, 16.0), validation(10, 1.3, 1.1)]
    lines = level_records(1.35, 1.2, 3.0, write_both(tmp_path, small, [training(10, 4.0), validation(10, 1.8)]))
    assert lines[1].ours == pytest.approx(4.0) and lines[1].met is None


def test_a_run_of_other_settings_is_refused(tmp_path: Path) -> None:
    lines = [training(10, 16.0), validation(10, 1.0, 1.0)]
    write_both(tmp_path, lines, lines)
    settings = json.loads((tmp_path / "small" / "settings.json").read_text())
    settings["config"]["bump"] = 0.5
    (tmp_path / "small" / "settings.json").write_text(json.dumps(settings))
    with pytest.raises(SystemExit, match=r"other settings: bump was 0\.5.*another --out"):
        level_records(1.35, 1.2, 10.0, tmp_path)


@pytest.mark.soak
def test_a_training_is_ended_when_its_curve_is_enough(tmp_path: Path) -> None:
    from dataclasses import replace

    from unflat.methods.autoencoders.unsup3d import tiny

    experiment = tiny()
    training = replace(experiment.training, steps=10_000, validate_every=5, log_every=5, sample_every=0, threads=1)
    points = unsup3d_time.trained(replace(experiment, training=training), tmp_path / "run", lambda p: len(p) > 1)
    assert 10 <= points[-1].step < 10_000
