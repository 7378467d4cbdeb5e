"""Records: appended, never changed, and what is concluded from them."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from unflat import records
from unflat.records import Record, RecordError, append, latest, read, stamped, status, table

ROOT = Path(__file__).parent.parent
BLANK = Record("unsup3d", "faces", "SIDE", 0.8, "lower")


def record(ours: float, source: Any = "", bound: float | None = None, **more: Any) -> Record:
    return replace(BLANK, ours=ours, source=source, bound=bound, **more)


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    first = record(0.8, "published", 0.793, spread=0.1, seed=0, seconds=3.5, command="unflat evaluate x")
    append([first], tmp_path)
    append([record(0.7), record(0.6, note="second")], tmp_path)
    back = read("unsup3d", tmp_path)
    assert [r.ours for r in back] == [0.8, 0.7, 0.6]
    assert replace(back[0], hardware="", commit="", versions={}, date="") == first
    assert len((tmp_path / "unsup3d.jsonl").read_text().splitlines()) == 3


def test_a_record_says_where_and_when() -> None:
    done = stamped(BLANK)
    assert done.hardware and done.versions["python"] and done.versions["torch"]
    assert done.date.startswith("20") and done.date.endswith("+00:00")
    assert stamped(replace(BLANK, date="2020", hardware="abacus")).hardware == "abacus"


def test_lines_of_runs_that_record_at_once_do_not_mix(tmp_path: Path) -> None:
    many = [[record(float(i), note="x" * 500)] * 10 for i in range(8)]
    threads = [threading.Thread(target=append, args=(batch, tmp_path)) for batch in many]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = [r.ours for r in read("unsup3d", tmp_path)]
    assert len(values) == 80
    assert all(len(set(values[i : i + 10])) == 1 for i in range(0, 80, 10))


def test_a_figure_that_is_none_is_not_recorded(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="faces, SIDE: nan is no figure to record"):
        append([record(float("nan"))], tmp_path)
    assert not (tmp_path / "unsup3d.jsonl").exists()


def test_methods_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(
        RecordError, match=r"records of one method are appended at a time, not of \['nerf', 'unsup3d'\]"
    ):
        append([BLANK, replace(BLANK, method="nerf")], tmp_path)


@pytest.mark.parametrize("line", ["{", '{"experiment": "x"}', '{"method": "m", "wrong": 1}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    append([BLANK], tmp_path)
    with (tmp_path / "unsup3d.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RecordError, match=r"unsup3d\.jsonl, line 2 is no record"):
        read("unsup3d", tmp_path)


def test_an_installed_package_reads_its_records_and_cannot_add_to_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append([BLANK], tmp_path)
    monkeypatch.setattr(records, "CHECKOUT", tmp_path / "nowhere")
    monkeypatch.setattr(records, "INSTALLED", tmp_path)
    assert len(read("unsup3d")) == 1
    with pytest.raises(RecordError, match="an installed package cannot add to them"):
        append([BLANK])


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], "not run"),
        ([record(0.8)], "not run"),
        ([record(0.8, "peer", 1.0)], "not run"),
        ([record(0.8, "floor", 1.0)], "works"),
        ([record(1.01, "floor", 1.0)], "below the paper"),
        ([record(0.8, "published", 0.793)], "reproduced"),
        ([record(0.83, "published", 0.793)], "reproduced"),
        ([record(0.84, "published", 0.793)], "below the paper"),
        ([record(0.8, "published", 0.793), record(1.1, "floor", 1.0)], "below the paper"),
        ([record(0.8, "published", 0.793), record(0.8, "floor", 1.0)], "reproduced"),
        ([record(0.8, "published", 0.793), record(9.0, "published", 5.0, metric="MAD")], "below the paper"),
        ([record(9.0, "published", 0.793), record(0.8, "published", 0.793)], "reproduced"),
        ([record(0.8, "published", 0.793), record(9.0, "published", 0.793)], "below the paper"),
        ([record(9.0, "published", 0.793, seed=0), record(0.8, "published", 0.793, seed=1)], "below the paper"),
        ([record(0.96, "floor", 0.95, better="higher")], "works"),
        ([record(0.94, "floor", 0.95, better="higher")], "below the paper"),
        ([record(29.0, "published", 30.0, better="higher")], "reproduced"),
        ([record(28.0, "published", 30.0, better="higher")], "below the paper"),
        ([record(0.8, "published", 0.793), record(9.0, "peer", 1.0)], "reproduced"),
    ],
)
def test_status(tmp_path: Path, lines: list[Record], expected: str) -> None:
    if lines:
        append(lines, tmp_path)
    assert status("unsup3d", tmp_path) == expected


def test_only_the_last_record_of_a_figure_counts() -> None:
    old, new, other = record(3.0), record(2.0), record(5.0, metric="MAD")
    assert latest([old, other, new]) == [other, new]


def test_an_experiment_has_only_what_its_last_settings_gave() -> None:
    old = [record(0.9, settings="a", seed=seed) for seed in (0, 1, 2)]
    new, other = record(0.5, settings="b", seed=0), record(0.7, settings="a", experiment="other")
    assert latest([*old, other, new]) == [other, new]


def test_the_table_shows_bound_and_circumstances() -> None:
    line = record(
        0.812, "published", 0.793, spread=0.1, seed=2, date="2026-01-02T03:04", hardware="abacus", commit="abcdef123"
    )
    missed = record(0.9, "floor", 0.95, better="higher", metric="coverage")
    rows = table([line, missed]).splitlines()
    assert rows[2] == "| faces, seed 2 | SIDE | 0.812 ± 0.1 | published ≤ 0.793 | yes | 2026-01-02, abacus, abcdef1 |"
    assert "floor ≥ 0.95 | **no** |" in rows[3]


def test_our_own_records_can_be_read() -> None:
    for name in records.recorded():
        assert all(json.dumps(r.versions) for r in read(name))


def test_the_page_of_benchmarks_is_what_the_records_say() -> None:
    """Run `python benchmarks/make_readme.py` when this fails."""
    script = ROOT / "benchmarks" / "make_readme.py"
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
