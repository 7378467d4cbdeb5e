"""Stages of long work are told on the error stream, and nowhere else."""

import pytest

from unflat.data.stages import Stages


def test_a_line_for_each_stage_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    stages = Stages()
    with stages.stage("Matching", 12) as done:
        done(5)
        done(13)
    with stages.stage("Adjusting"):
        pass
    said = capsys.readouterr()
    assert said.err.splitlines() == ["Matching (of 12)", "Adjusting"] and said.out == ""
    assert set(stages.seconds) == {"Matching", "Adjusting"}


def test_nothing_is_told_if_nobody_wants_it(capsys: pytest.CaptureFixture[str]) -> None:
    with Stages(False).stage("Matching", 12) as done:
        done(5)
    said = capsys.readouterr()
    assert said.err == said.out == ""
