"""`unflat train METHOD A B …`: a run for each, as if it were alone; what fails is told, and the others go on."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from unflat.cli import many
from unflat.cli.main import main
from unflat.cli.many import Job, Row, lines_of, names_of
from unflat.methods.radiance.quick_grid import QuickGrid
from unflat.training.fitting import fitted
from unflat.worlds.faces import Faces
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two captures of the same name, another one, and two folders of photos."""
    folder = tmp_path_factory.mktemp("captures")
    for name, shape in (("first/pot", "vase"), ("second/pot", "box"), ("first/ring.2", "torus")):
        for split, views in (("train", 6), ("val", 2)):
            Objects(shape, views, 16, split=split).write(folder / name, progress=False)  # type: ignore[arg-type]
    for name, seed in (("cats", 0), ("dogs", 1)):
        (folder / name).mkdir()
        for index, rgb in enumerate(Faces(3, size=16, seed=seed).photos(progress=False).rgb):
            Image.fromarray(np.asarray(rgb)).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture
def here(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("first", "second", "cats", "dogs"):
        shutil.copytree(written / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_each_is_called_as_it_would_be_alone_unless_that_does_not_tell_them_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert names_of(["a/cat/", "b/dog"]) == ["cat", "dog"]
    assert names_of(["a/cat/", "b/cat", "dog"]) == ["a-cat", "b-cat", "dog"]
    assert names_of(["a/x/cat", "b/x/cat", "a/y/cat"]) == ["a-x-cat", "b-x-cat", "y-cat"]
    assert names_of(["s.1", "s.2", "t"]) == ["s.1", "s.2", "t"], "what stands behind a dot tells them apart"
    assert names_of(["Cat", "b/cat"]) == [f"{tmp_path.name}-Cat", "b-cat"], "some disks know no case"
    assert names_of(["vase:60", "vase:30"]) == ["vase:60", "vase:30"]
    assert len(set(names_of(["a-b/cat", "a/b-cat", "b-cat"]))) == 3


def test_each_capture_learns_as_it_would_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In processes of their own, and what they print goes aside."""
    command = ["train", "quick_grid", "first/pot", "second/pot/", "--tiny"]
    assert main([*command, "--out", "all", "--executor", "processes", "--workers", "1", "--training.threads", "1"]) == 0
    out = capsys.readouterr().out
    assert "quick_grid on 2 captures, 1 at once" in out and "all/first-pot (1 of 2, about " in out
    assert "all/second-pot (2 of 2, all are done)" in out
    table = out.partition("\n\n")[2].splitlines()
    assert [line.split()[0] for line in table] == ["data", "first/pot", "second/pot/"]
    assert table[0].split() == ["data", "PSNR", "SSIM", "seconds", "folder"] and table[1].endswith("all/first-pot")
    assert "settings of experiment tiny" in Path("all/first-pot/output.txt").read_text()
    assert main([*command[:2], "second/pot", "--tiny", "--quiet", "--out", "alone"]) == 0
    ours, expected = (load_file(f"{run}/weights.safetensors") for run in ("all/second-pot", "alone"))
    assert ours.keys() == expected.keys() and all(ours[name].equal(expected[name]) for name in expected)


def test_what_is_done_is_left_and_told_again(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["train", "first/pot", "first/ring.2", "--tiny", "--json", "--quiet"]
    assert main(command) == 0
    first = shown(capsys)
    assert [run["run"] for run in first["runs"]] == ["runs/quick_grid-pot", "runs/quick_grid-ring"]
    assert first["failed"] == 0 and all(Path(run["weights"]).is_file() for run in first["runs"])
    assert all(set(run["figures"]) >= {"PSNR", "SSIM"} and run["seconds"] > 0 for run in first["runs"])
    logs = [Path(run["run"], "log.jsonl").read_text() for run in first["runs"]]
    assert main([*command[:2], "first/pot/", *command[2:]]) == 0, "what is named twice is one"
    second = shown(capsys)
    assert [run["figures"] for run in second["runs"]] == [run["figures"] for run in first["runs"]]
    assert [Path(run["run"], "log.jsonl").read_text() for run in second["runs"]] == logs


def test_a_failure_is_told_and_the_others_go_on(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("second/pot/transforms_train.json").write_text("{")
    assert main(["train", "quick_grid", "second/pot", "first/pot", "nothing", "--tiny", "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert "2 of 3 failed: second/pot, nothing. Why is in the table" in err
    assert "nothing         -       -        -  failed: nothing does not exist" in out
    assert (Path("runs/quick_grid-first-pot") / "weights.safetensors").is_file()
    assert main(["train", "quick_grid", "nothing", "first/pot", "--tiny", "--json"]) == 2
    said = shown(capsys)
    assert said["failed"] == 1 and [bool(run["error"]) for run in said["runs"]] == [True, False]


def test_a_run_that_failed_goes_on_where_it_was(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one that was to begin anew: it has done so."""
    tries: list[tuple[str, bool]] = []
    learned = many.learned

    def falters(options: Any, arguments: Any) -> Any:
        tries.append((options.data, options.resume))
        found = learned(options, arguments)
        if len(tries) == 1:
            raise RuntimeError("the lights went out")
        return found

    monkeypatch.setattr(many, "learned", falters)
    command = ["train", "quick_grid", "first/pot", "second/pot", "--tiny"]
    assert main([*command, "--no-resume"]) == 0
    assert tries == [("first/pot", False), ("second/pot", False), ("first/pot", True)], "behind all others"
    out = capsys.readouterr().out
    assert "first/pot: failed, and is tried again: RuntimeError: the lights went out" in out
    tries.clear()
    assert main([*command, "--retries", "0", "--no-resume"]) == 2 and len(tries) == 2
    assert main([*command, "--retries=-1"]) == 2


def test_settings_are_fitted_to_each(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def suited(cls: type, experiment: Any, data: Any, started: bool) -> Any:
        return fitted(experiment, {"training.steps": (len(data), "of this one")})

    monkeypatch.setattr(QuickGrid, "suited", classmethod(suited))
    shutil.rmtree("second/pot/train")
    Objects("box", 4, 16).write(Path("second/pot"), progress=False)
    given = ["--config.most", "12", "--training.sample-every", "0", "--training.save-every", "1"]
    assert main(["train", "quick_grid", "first/pot", "second/pot", "--quiet", *given]) == 0
    steps = [
        json.loads(Path(f"runs/quick_grid-{name}/settings.json").read_text())["training"]["steps"]
        for name in ("first-pot", "second-pot")
    ]
    assert steps == [6, 4]


def test_sets_of_photos_are_learned_each_by_itself(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "unsup3d", "cats", "dogs", "--tiny", "--size", "16", "--config.stride", "1"]) == 0
    out = capsys.readouterr().out
    assert "unsup3d on 2 sets of photos, 1 at once" in out
    assert all(Path(f"runs/unsup3d-{name}/weights.safetensors").is_file() for name in ("cats", "dogs"))


def test_where_it_cannot_be_done_is_said(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    command = ["train", "quick_grid", "first/pot", "second/pot", "--tiny"]
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command, "--executor", "ray"]) == 2
    assert "pip install 'unflat[dist]'" in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(command) == 2
    assert "2 DATA are given, and all processes of torchrun train on one: leave torchrun out" in capsys.readouterr().err


def test_the_table_shows_what_runs_have() -> None:
    rows = [
        Row("a", "runs/a", figures={"side": 0.12345, "angle": None, "more": 1.0}, seconds=61.2),
        Row("bb", "", error="no"),
    ]
    assert lines_of(rows) == [
        "data    side  angle  seconds  folder",
        "a     0.1235      -       61  runs/a",
        "bb         -      -        -  failed: no",
    ]


def test_a_process_is_told_plain_things() -> None:
    import pickle

    job = Job(("train",), "a", Path("b"), None, True)
    assert pickle.loads(pickle.dumps(job)) == job and replace(job, source="c") != job
