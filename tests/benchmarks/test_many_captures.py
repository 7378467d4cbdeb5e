"""The script that measures many captures at once runs at the smallest size, and its ways learn the same."""

from dataclasses import dataclass
from pathlib import Path

import many_captures
import pytest
import torch
from safetensors.torch import save_file

from unflat.cli.main import main


@dataclass
class Done:
    """A command that has run in this process."""

    returncode: int

    def communicate(self) -> tuple[str, str]:
        return "", "nothing"


@pytest.mark.soak
def test_every_way_is_timed_and_learns_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def start(words: list[str], threads: int = 1) -> Done:
        commands.append(words)
        here = words[: words.index("--executor")] if "--executor" in words else words  # that has tests of its own
        return Done(main(["train", "quick_grid", *here, "--quiet"]))

    monkeypatch.setattr(many_captures, "start", start)
    found = {record.metric: record.ours for record in many_captures.figures(steps=3, rounds=1, is_tiny=True)}
    one, two = found["one process, one thread, wall s"], found["two processes, wall s"]
    assert found["efficiency"] == pytest.approx(one / (2 * two)) and len(found) == 7
    assert [len(words) for words in commands] == [5, 9, 5, 4, 4] and commands[1][-3:] == ["processes", "--workers", "2"]
    monkeypatch.setattr(many_captures, "start", lambda words, threads=1: Done(2))
    with pytest.raises(RuntimeError, match="one process, one thread ended with 2:\nnothing"):
        many_captures.figures(steps=3, rounds=1, is_tiny=True)


def test_ways_that_learn_other_things_are_found(tmp_path: Path) -> None:
    for name, value in (("one process, one thread", 1.0), ("two processes", 1.0), ("two threads", 3.0)):
        (tmp_path / name / "vase").mkdir(parents=True)
        save_file({"weight": torch.tensor([value])}, tmp_path / name / "vase" / "weights.safetensors")
    folders = sorted(tmp_path.iterdir())
    many_captures.check_same(folders)
    save_file({"weight": torch.tensor([2.0])}, tmp_path / "two processes" / "vase" / "weights.safetensors")
    with pytest.raises(RuntimeError, match="two processes has learned something else of vase than one process"):
        many_captures.check_same(folders)
