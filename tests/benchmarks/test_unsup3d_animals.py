"""The benchmark on animals runs at the smallest size, and holds the confidence against what it has to beat."""

from dataclasses import replace
from pathlib import Path

import pytest
import unsup3d_animals

from unflat import records
from unflat.methods.autoencoders import unsup3d


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny, small = unsup3d.tiny(), unsup3d.small()
    monkeypatch.setattr(unsup3d, "small", lambda: replace(small, config=tiny.config, training=tiny.training))


def test_confidence_is_held_against_the_mirrored_photo_and_chance(quick: None, tmp_path: Path) -> None:
    measured = unsup3d_animals.measured("tigers", 4, None, 16, tmp_path / "run", "as typed")
    lines = {line.metric: line for line in measured}
    rivals = [lines[f"symmetry AP, {name}"].ours for name in ("mirrored photo", "chance")]
    assert lines["symmetry AP"].bound == max(rivals) and lines["symmetry AP"].better == "higher"
    assert 0 < lines["symmetry AP, chance"].ours < 1
    assert all(line.bound is None for name, line in lines.items() if name != "symmetry AP")
    assert {(line.command, line.experiment) for line in lines.values()} == {("as typed", "unsup3d_animals, tigers")}


def test_what_is_recorded_says_what_to_type(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[records.Record] = []
    monkeypatch.setattr(unsup3d_animals, "append", kept.extend)
    words = ["--count", "4", "--steps", "2", "--size", "16", "--out", str(tmp_path / "run")]
    unsup3d_animals.main(words)
    assert not kept and "symmetry AP" in capsys.readouterr().out
    unsup3d_animals.main([*words, "--record"])
    assert {line.command for line in kept} == {
        "python benchmarks/unsup3d_animals.py --count 4 --steps 2 --size 16 --record"
    }
    kept.clear()
    unsup3d_animals.main(["--breed", "", *words[:-1], str(tmp_path / "all"), "--record"])
    assert {(line.command, line.experiment) for line in kept} == {
        ("python benchmarks/unsup3d_animals.py --breed '' --count 4 --steps 2 --size 16 --record", "unsup3d_animals")
    }
