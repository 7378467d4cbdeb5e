"""`unflat train` on a user's own photos: what it says of them, and whose settings win."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unflat import catalogue
from unflat.cli.main import main
from unflat.methods.autoencoders.unsup3d import Unsup3D, small
from unflat.training.fitting import fitted
from unflat.training.run import train
from unflat.worlds.faces import Faces

SMALLEST = (
    "--size",
    "16",
    "--quiet",
    "--config.width",
    "8",
    "--config.code",
    "16",
    "--training.sample-every",
    "0",
    "--config.stride",
    "1",
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six faces, and the first of them again, a little darker."""
    folder = tmp_path_factory.mktemp("photos")
    faces = np.asarray(Faces(6, size=32).photos(progress=False).rgb)
    for index, rgb in enumerate([*faces, faces[0] * 0.9]):
        Image.fromarray(np.uint8(rgb)).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, int]]:
    """The experiments and counts of photos that the method was asked to fit; it chooses 2 steps and batches of 3."""
    calls = []

    def suited(cls: type, experiment: Any, data: Any, started: bool) -> Any:
        calls.append((experiment, len(data)))
        bump = small().config.bump
        chosen = {"training.steps": (2, "few photos"), "config.batch_size": (3, "odd ones"), "config.bump": (bump, "x")}
        return fitted(experiment, {**chosen, "config.shift_range": ((0.1, 0.1, 0.05), "of all sizes")})

    monkeypatch.setattr(Unsup3D, "suited", classmethod(suited))
    return calls


def settings(run: Path) -> dict[str, Any]:
    return dict(json.loads((run / "settings.json").read_text()))


def test_settings_are_chosen_from_the_photos_and_said(
    asked: list[Any], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "unsup3d", str(photos), "--out", str(tmp_path / "run"), *SMALLEST]) == 0
    out = capsys.readouterr().out
    assert "settings for these data (an option that you give wins):" in out
    assert f"  --training.steps 2 (usually {small().training.steps}): few photos\n" in out
    usual = " ".join(map(str, small().config.shift_range))
    assert f"  --config.shift-range 0.1 0.1 0.05 (usually {usual}): of all sizes\n" in out
    assert "bump" not in out, "it is what it was"
    stored = settings(tmp_path / "run")
    assert (stored["training"]["steps"], stored["config"]["batch_size"], stored["config"]["width"]) == (2, 3, 8)
    ((experiment, count),) = asked
    assert count == 7 and experiment.config.width == 8, "it knows what the user has set already"


def test_an_option_that_is_given_wins_and_nothing_is_said_of_it(
    asked: list[Any], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--training.steps", "1", "--config.batch-size=2"]
    assert main(["train", "unsup3d", str(photos), "--out", str(tmp_path), *SMALLEST, *given]) == 0
    out = capsys.readouterr().out
    assert "training.steps" not in out and "batch-size" not in out and "shift-range" in out
    stored = settings(tmp_path)
    assert (stored["training"]["steps"], stored["config"]["batch_size"]) == (1, 2)
    assert stored["config"]["shift_range"] == [0.1, 0.1, 0.05]


@pytest.mark.parametrize("named", [["--experiment", "tiny"], ["--experiment=tiny"], ["--tiny"]])
def test_an_experiment_that_is_named_is_taken_as_it_is(
    asked: list[Any], photos: Path, tmp_path: Path, named: list[str]
) -> None:
    assert main(["train", "unsup3d", str(photos), "--out", str(tmp_path), *SMALLEST, *named]) == 0
    assert asked == [] and settings(tmp_path)["training"]["steps"] == 3


def test_generated_photos_are_an_experiments_own(asked: list[Any], tmp_path: Path) -> None:
    assert main(["train", "unsup3d", "faces:4", "--out", str(tmp_path), *SMALLEST, "--training.steps", "1"]) == 0
    assert asked == []


def test_what_the_photos_cannot_teach_is_said_before_the_first_step(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "unsup3d", str(photos), "--out", str(tmp_path), *SMALLEST, "--tiny", "--json"]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "warning: 7 photos are few" in err
    assert "warning: 1 of 7 photos are nearly the same as another one, such as 0.png and 6.png" in err
    assert err.index("warning: 7 photos") < err.index("into")
    assert json.loads(out)["warnings"] == []


def test_what_went_wrong_in_training_is_said_again_at_the_end(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from unflat.method import Symptom

    monkeypatch.setattr(Unsup3D, "symptoms", lambda self: (Symptom("coverage", "they hide: call them", above=0.0),))
    command = [
        "train",
        "unsup3d",
        str(photos),
        "--out",
        str(tmp_path),
        *SMALLEST,
        "--tiny",
        "--training.log-every",
        "1",
    ]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "warning: step 3: coverage " in out and out.index("they hide: call them") < out.index("The weights are in")
    assert main([*command, "--json"]) == 0
    (said,) = json.loads(capsys.readouterr().out)["warnings"]
    assert said.startswith("step 3: coverage") and said.endswith("they hide: call them")


def test_the_data_are_read_after_the_options_are_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "unsup3d", str(tmp_path / "nothing"), "--config.widht", "8"]) == 2
    assert "--config.width" in capsys.readouterr().err


def test_a_run_that_begins_from_weights_takes_their_settings(
    asked: list[Any], photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    command = ["train", "unsup3d", str(photos), "--size", "16", "--quiet"]
    assert main([*command, "--out", str(first), "--tiny", "--config.decay", "0.5", "--config.width", "4"]) == 0
    again = ["--out", str(second), "--start", str(first), "--training.steps", "1", "--config.batch-size", "2"]
    assert main([*command, *again]) == 0
    fitted_here = {"batch_size", "shift_range", "bump"}  # given, or by `asked`
    there, here = settings(first)["config"], settings(second)["config"]
    assert {name for name in there if there[name] != here[name]} == fitted_here and here["batch_size"] == 2
    assert main([*command, "--out", str(tmp_path / "third"), "--start", str(tmp_path / "nowhere")]) == 2


def test_in_python_settings_are_chosen_as_well_unless_some_are_given(
    asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, tiny = Faces(6, size=32).photos(progress=False), catalogue.experiment("unsup3d", "tiny")
    train("unsup3d", photos, experiment="tiny", out=tmp_path / "fitted")
    assert asked == [(tiny, 6)]
    said = capsys.readouterr().out
    assert "settings chosen for these data" in said
    assert f"  training.steps = 2 (usually {tiny.training.steps}): few photos\n" in said
    stored = settings(tmp_path / "fitted")
    assert (stored["training"]["steps"], stored["config"]["batch_size"]) == (2, 3)
    train("unsup3d", photos, experiment="tiny", out=tmp_path / "given", config=tiny.config, quiet=True)
    train("unsup3d", experiment="tiny", out=tmp_path / "own", quiet=True)
    train("unsup3d", Faces(4, size=16), experiment="tiny", out=tmp_path / "generated", quiet=True)
    with pytest.raises(ValueError, match="takes Photos, but was given str"):
        train("unsup3d", "a folder", experiment="tiny", out=tmp_path / "folder")
    assert len(asked) == 1 and settings(tmp_path / "given")["training"]["steps"] == tiny.training.steps
