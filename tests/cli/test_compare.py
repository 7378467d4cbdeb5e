"""`unflat compare` as a person and a script meet it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unflat.cli import sources
from unflat.cli.compare import named
from unflat.cli.main import main
from unflat.worlds.objects import Objects

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        return (code, *capsys.readouterr())

    return run


def test_names_have_commas_or_spaces_between_them() -> None:
    assert named(["nerf,dvgo", "tensorf,", "nerf"]) == ["nerf", "dvgo", "tensorf"] and named([]) == []


def test_a_comparison_says_what_it_does_and_where_the_page_is(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unflat.training.comparison.RENDERED", 0.0)
    out = tmp_path / "out"
    words = ("compare", "box:12", "--methods", "quick_grid,tensorf", "--tiny", "--side", "24", "--out", out)
    code, said, _ = ran(*words)
    assert code == 0, said
    assert "2 methods, 0.05 minutes each" in said and "2 of 2: tensorf: PSNR" in said
    assert f"Open {out / 'comparison.html'} in a browser" in said and (out / "comparison.html").is_file()
    code, said, err = ran(*words, "--json")
    found = json.loads(said)
    assert code == 0 and found["page"] == str(out / "comparison.html") and "tensorf is done already" in err
    assert [one["method"] for one in found["methods"]] == ["quick_grid", "tensorf"] and found["capture"] == "box:12"
    assert found["methods"] == json.loads((out / "comparison.json").read_text())["methods"]
    assert ran("render", out / "runs" / "tensorf", "--out", tmp_path / "orbit", "--frames", "2", "--side", "12")[0] == 0


def test_a_capture_without_held_out_pictures_lends_every_eighth(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Objects("box", 17, 24, split="train").write(tmp_path, progress=False)
    given = {"side": None, "reader": "", "space": None, "tiny": False}
    learned, held_out = sources.learned_and_held_out(str(tmp_path), **given)  # type: ignore[arg-type]
    assert [Path(name).stem for name in held_out.names] == ["r_0000", "r_0008", "r_0016"] and len(learned) == 14
    assert "held out" not in capsys.readouterr().err, "its files say nothing: its reader has taken them out"
    monkeypatch.setattr(sources, "splits_of", lambda *_: {"train"})  # its files say that all are to be learned from
    seen, unseen = sources.learned_and_held_out(str(tmp_path), **given)  # type: ignore[arg-type]
    assert len(unseen) == 2 and sorted([*seen.names, *unseen.names]) == sorted(learned.names)
    assert "every eighth of them is held out" in capsys.readouterr().err


def test_what_is_wrong_is_told_before_anything_is_read(ran: Ran, tmp_path: Path) -> None:
    code, _, err = ran("compare", tmp_path / "nowhere", "--methods", "tensor")
    assert code == 2 and "Did you mean 'tensorf'" in err
    code, _, err = ran("compare", tmp_path / "nowhere", "--methods", "nerf", "--experiment", "huge")
    assert code == 2 and "nerf has no experiment 'huge'" in err
    code, _, err = ran("compare", tmp_path / "nowhere", "--methods", "nerf")
    assert code == 2 and "nowhere" in err
    assert ran("compare")[0] == 2
