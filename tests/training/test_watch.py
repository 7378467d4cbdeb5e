"""Symptoms are told once, when a smoothed figure says so, and a resumed run knows what was told."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tilt import Config, Tilt, pictures

from unflat.method import Method, Symptom
from unflat.training.log import read_log
from unflat.training.run import Run, train
from unflat.training.settings import Training
from unflat.training.watch import LINES, Watch

LOW = Symptom("height", "too low: raise it", after=30, below=1.0)
HIGH = Symptom("height", "too high: lower it", after=30, above=5.0)


def told(watch: Watch, values: list[float | None], every: int = 10, first: int = 10) -> list[tuple[int, str]]:
    """Steps and sentences of the warnings, given the means of a line every so many steps."""
    found = []
    for i, value in enumerate(values):
        step = first + i * every
        due = watch.look(step, {} if value is None else {"height": value, "loss": 0.1})
        found += [(step, warning["says"]) for warning in due]
    return found


def test_a_symptom_is_told_once_and_not_before_its_time() -> None:
    assert told(Watch([LOW, HIGH]), [0.5] * 9) == [(30, LOW.says)]
    assert told(Watch([LOW, HIGH]), [9.0] * 9) == [(30, HIGH.says)]
    assert told(Watch([LOW, HIGH]), [3.0] * 9) == []
    late = [3.0] * 5 + [0.0] * 5 + [3.0] * 3 + [0.0] * 5
    assert told(Watch([LOW]), late) == [(80, LOW.says)], "the mean of 3, 0, 0 is at the limit, of 0, 0, 0 below"


def test_one_line_alone_says_nothing() -> None:
    assert LINES == 3
    assert told(Watch([LOW]), [3.0, 3.0, 3.0, 0.0, 3.0, 3.0]) == []
    assert told(Watch([LOW]), [0.0, 0.0]) == []


def test_lines_without_the_figure_or_with_no_number_are_passed_over() -> None:
    assert told(Watch([LOW]), [None, None, None, 0.5, None, math.nan, 0.5, 0.5]) == [(80, LOW.says)]
    assert told(Watch([LOW]), [None] * 9) == []


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_resumed_watch_goes_on_as_the_unbroken_one(cut: int) -> None:
    """Cut at any line: what is left of the log and what comes after give the same warnings."""
    values = [3.0, 0.0, 3.0, 0.5, 0.0, 1.0, 3.0, 9.0, 9.0, 9.0, 0.0, 0.0, 0.0]
    whole, lines = Watch([LOW, HIGH]), []
    expected = []
    for i, value in enumerate(values):
        step = 10 * (i + 1)
        lines.append({"step": step, "kind": "training", "height": value})
        for warning in whole.look(step, {"height": value}):
            lines.append({"step": step, "kind": "warning", **warning})
            expected.append((step, warning["says"]))
    assert [says for _, says in expected] == [LOW.says, HIGH.says]
    kept = [line for line in lines if line["step"] <= 10 * cut]
    resumed = Watch([LOW, HIGH], json.loads(json.dumps(kept)))
    rest = told(resumed, values[cut:], first=10 * (cut + 1))
    assert [(line["step"], line["says"]) for line in kept if line["kind"] == "warning"] + rest == expected
    assert resumed.told == whole.told


def test_a_sentence_has_step_figure_value_and_remedy() -> None:
    watch = Watch([LOW])
    told(watch, [0.25] * 4)
    assert watch.told == ["step 30: height 0.25: too low: raise it"]


# -- in a run ---------------------------------------------------------------------------------------------------------

SAID = "pictures are of one colour: take others"


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tiny method, with a symptom that always shows and one that never does."""
    always, never = Symptom("colour", SAID, after=8, above=0.0), Symptom("colour", "never", below=-1.0)
    monkeypatch.setattr(Tilt, "symptoms", lambda self: (always, never))
    yield


def run(folder: Path, quiet: bool = True, validation: Any = None, **changes: Any) -> Run:
    settings = {"steps": 12, "log_every": 2, "sample_every": 0, "validate_every": 6, "save_every": 4, "threads": 1}
    training = Training(**{**settings, **changes})
    return train(Tilt, pictures(), out=folder, training=training, validation=validation, quiet=quiet)


def test_by_itself_a_method_has_no_symptoms(tmp_path: Path) -> None:
    assert Method.symptoms(Tilt(Config(), pictures().extent)) == ()
    assert run(tmp_path).warnings == ()


def test_a_run_tells_logs_and_keeps_a_warning(
    watched: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run(tmp_path, quiet=False, validation=pictures(3, seed=1))
    (sentence,) = done.warnings
    assert sentence.startswith("step 8: colour 0.") and sentence.endswith(f": {SAID}")
    assert capsys.readouterr().out.count(f"warning: {sentence}") == 1
    (line,) = [line for line in read_log(tmp_path / "log.jsonl") if line["kind"] == "warning"]
    assert (line["step"], line["figure"], line["says"]) == (8, "colour", SAID)
    means = [
        x["colour"] for x in read_log(tmp_path / "log.jsonl") if x["kind"] == "training" and x["step"] in (4, 6, 8)
    ]
    assert line["value"] == pytest.approx(sum(means) / 3)
    assert sentence in json.loads((tmp_path / "evaluation.json").read_text())["warnings"]


def test_a_resumed_run_tells_it_no_second_time_and_learns_the_same(watched: None, tmp_path: Path) -> None:
    run(tmp_path / "a", steps=10)
    resumed, whole = run(tmp_path / "a"), run(tmp_path / "b")
    assert resumed.warnings == whole.warnings and len(whole.warnings) == 1
    assert run(tmp_path / "a").warnings == whole.warnings, "a finished run still says what was wrong"
    lines = [[x for x in read_log(tmp_path / n / "log.jsonl") if x["kind"] == "warning"] for n in "ab"]
    assert lines[0] == lines[1] and len(lines[0]) == 1
    ours, theirs = resumed.method.state_dict(), whole.method.state_dict()
    assert all(ours[name].equal(theirs[name]) for name in theirs)


def test_watching_changes_no_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(tmp_path / "a").method.state_dict()
    monkeypatch.setattr(Tilt, "symptoms", lambda self: (Symptom("colour", SAID, above=0.0),))
    watched = run(tmp_path / "b").method.state_dict()
    assert all(plain[name].equal(watched[name]) for name in plain)
