"""The command line as a person and as a script meets it."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unflat.cli import listing
from unflat.cli.main import COMMANDS, main
from unflat.cli.sources import WORLDS, held_out, photos_of
from unflat.training import checkpoint
from unflat.worlds.animals import BREEDS
from unflat.worlds.faces import Faces

Ran = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ran(capsys: pytest.CaptureFixture[str]) -> Ran:
    """Run a command; its exit code and what it wrote to standard output and standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, rgb in enumerate(Faces(5, size=32).photos(progress=False).rgb):
        Image.fromarray(rgb).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the tiny experiment."""
    folder = tmp_path_factory.mktemp("run")
    assert main(["train", "unsup3d", "--tiny", "--quiet", "--out", str(folder)]) == 0
    return folder


def test_help_names_every_command(ran: Ran) -> None:
    for arguments in ([], ["--help"], ["-h"], ["help"]):
        code, out, err = ran(*arguments)
        assert code == 0
        assert err == ""
        assert all(f"\n  {name} " in out for name in COMMANDS)
        assert "examples:" in out
        assert "Exit codes" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(ran: Ran, name: str) -> None:
    code, out, _ = ran(*name.split(), "--help")
    assert code == 0
    assert f"usage: unflat {name}" in out


def test_a_family_of_commands_lists_its_members(ran: Ran) -> None:
    code, out, _ = ran("data")
    assert code == 2
    assert "data inspect" in out
    assert "data faces" in out
    assert "train" not in out
    assert ran("data", "--help")[0] == 0


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("predct", "unflat predict"),
        ("lst", "unflat list"),
        ("data inspct", "unflat data inspect"),
        ("dta", "unflat data"),
    ],
)
def test_a_misspelt_command_gets_a_suggestion(ran: Ran, given: str, meant: str) -> None:
    code, out, err = ran(*given.split())
    assert code == 2
    assert out == ""
    assert f"Did you mean `{meant}`?" in err


def test_a_command_that_resembles_none_gets_the_list(ran: Ran) -> None:
    code, _, err = ran("xyzzy")
    assert code == 2
    assert "Did you mean" not in err
    assert "The commands are: list, show" in err


def test_a_misspelt_method_gets_a_suggestion(ran: Ran) -> None:
    for command in ("show", "train"):
        code, _, err = ran(command, "unsup3")
        assert code == 2
        assert "Did you mean 'unsup3d'?" in err


def test_a_misspelt_option_gets_a_suggestion(ran: Ran) -> None:
    code, _, err = ran("train", "unsup3d", "faces:4", "--config.widht", "8")
    assert code == 2
    assert "--config.width" in err


def test_a_misspelt_experiment_gets_a_suggestion(ran: Ran) -> None:
    code, _, err = ran("train", "unsup3d", "--experiment", "smal")
    assert code == 2
    assert "Did you mean 'small'?" in err


def test_list_says_status_and_what_it_is(ran: Ran) -> None:
    code, out, _ = ran("list")
    assert code == 0
    assert "unsup3d" in out
    rows = json.loads(ran("list", "--json")[1])
    assert {"name", "title", "takes", "status"} <= set(rows[0])
    assert rows[0]["status"] in ("reproduced", "works", "below the paper", "not run")


def test_show_gives_paper_settings_and_experiments(ran: Ran) -> None:
    code, out, _ = ran("show", "unsup3d")
    assert code == 0
    for wanted in ("Wu", "CVPR 2020", "flip_weight", "lambda_f", "small", "unflat train unsup3d"):
        assert wanted in out
    shown = json.loads(ran("show", "unsup3d", "--json")[1])
    settings = {setting["name"]: setting for setting in shown["settings"]}
    assert settings["width"]["default"] == "64"
    assert all(setting["doc"] for setting in settings.values())
    assert {"faces", "small", "tiny"} <= set(shown["experiments"])
    assert shown["published"]["faces"]


def test_settings_are_read_without_importing() -> None:
    import ast

    source = """
@dataclass
class Config:
    a: int = 3
    \"\"\"how many\"\"\"
    b: frozenset[str] = field(default_factory=frozenset)
    c: float
"""
    found = [(s.name, s.kind, s.default, s.doc) for s in listing._settings(ast.parse(source))]
    assert found == [("a", "int", "3", "how many"), ("b", "frozenset[str]", "frozenset()", ""), ("c", "float", "", "")]


def test_training_writes_json_alone_and_goes_on(ran: Ran, photos: Path, tmp_path: Path) -> None:
    command = ("train", "unsup3d", photos, "--size", "32", "--tiny", "--out", tmp_path, "--json")
    code, out, err = ran(*command)
    assert code == 0
    said = json.loads(out)
    assert Path(said["weights"]).is_file()
    assert "experiment tiny" in err
    before = Path(said["weights"]).stat().st_mtime_ns
    code, out, err = ran(*command, "--training.steps", "5")
    assert code == 0
    assert Path(said["weights"]).stat().st_mtime_ns > before
    assert checkpoint.read(Path(said["weights"])).header["step"] == 5


def test_a_run_does_not_go_on_with_other_settings(ran: Ran, trained: Path) -> None:
    code, _, err = ran("train", "unsup3d", "--tiny", "--out", trained, "--config.flip-weight", "0.25")
    assert code == 2
    assert "flip_weight was 0.5, is 0.25" in err
    assert "--no-resume" in err
    assert "Traceback" not in err


def test_settings_that_blow_up_are_the_users_to_change(ran: Ran, tmp_path: Path) -> None:
    code, _, err = ran("train", "unsup3d", "--tiny", "--quiet", "--out", tmp_path, "--training.rate", "1e30")
    assert code == 2
    assert "a lower rate (now 1e+30)" in err
    assert "Traceback" not in err


def test_photos_are_held_out_from_many(ran: Ran, photos: Path, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for index in range(100):
        Image.fromarray(np.full((16, 16, 3), index, np.uint8)).save(many / f"{index:03}.png")
    settings = ("--experiment", "tiny", "--training.steps", "1", "--training.sample-every", "0")
    code, out, _ = ran("train", "unsup3d", many, "--size", "16", "--out", tmp_path / "run", "--quiet", *settings)
    assert code == 0
    assert "5 of the 100 photos are held out" in out


def test_predict_names_its_files(ran: Ran, trained: Path, photos: Path, tmp_path: Path) -> None:
    out_folder = tmp_path / "out"
    code, out, _ = ran("predict", trained, photos, "--limit", "1", "--no-videos", "--out", out_folder, "--json")
    assert code == 0
    files = [Path(file) for file in json.loads(out)["files"]]
    assert all(file.is_file() for file in files)
    assert {"report.html", "mesh_canonical.glb", "depth.npy"} <= {file.name for file in files}


def test_predict_says_what_is_missing(ran: Ran, trained: Path, tmp_path: Path) -> None:
    code, _, err = ran("predict", tmp_path / "nowhere", tmp_path)
    assert code == 2
    assert "give a run's folder, a .safetensors file, or one of the shipped weights" in err
    code, _, err = ran("predict", trained, tmp_path / "nowhere")
    assert code == 2
    assert "nowhere" in err


def test_a_crop_is_a_mode_or_a_file(ran: Ran, trained: Path, photos: Path) -> None:
    code, _, err = ran("predict", trained, photos, "--crop", "fase")
    assert code == 2
    assert "did you mean face?" in err
    code, _, err = ran("predict", trained, "faces:2", "--crop", "face")
    assert code == 2
    assert "leave --crop out" in err


def test_evaluate_compares_with_the_truth(ran: Ran, trained: Path) -> None:
    code, out, _ = ran("evaluate", trained, "--json")
    assert code == 0
    said = json.loads(out)
    assert {"SIDE", "MAD", "coverage", "SIDE, average depth"} <= set(said["figures"])
    assert len(said["names"]) == len(said["per_image"]["SIDE"])
    assert ran("evaluate", trained, "faces:3")[0] == 0


def test_a_claim_is_made_on_the_experiments_own_pictures(ran: Ran, trained: Path, photos: Path, tmp_path: Path) -> None:
    code, _, err = ran("evaluate", trained, "faces:3", "--record")
    assert code == 2
    assert "leave DATA out" in err
    assert ran("evaluate", trained, "--limit", "3", "--record")[0] == 2
    own = tmp_path / "own"
    arguments = ("train", "unsup3d", photos, "--size", "32", "--tiny", "--quiet", "--out", own)
    assert ran(*arguments)[0] == 0
    code, _, err = ran("evaluate", own)
    assert code == 2
    assert "trained on your own photos" in err


def test_a_claim_is_appended(ran: Ran, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unflat import records

    monkeypatch.setattr(records, "CHECKOUT", tmp_path)
    code, out, _ = ran("evaluate", trained, "--record")
    assert code == 0
    assert str(tmp_path / "unsup3d.jsonl") in out
    lines = {(line.metric, line.source): line for line in records.read("unsup3d", tmp_path)}
    side = lines["SIDE", "floor"]
    assert side.experiment == "tiny"
    assert side.seed == 0
    assert side.seconds is not None and side.seconds > 0
    assert side.memory is not None and side.memory > 1e7
    assert side.command.startswith("unflat evaluate")


def test_inspect_writes_a_contact_sheet(ran: Ran, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    Image.new("RGB", (80, 70)).save(tmp_path / "fine.png")
    code, out, _ = ran("data", "inspect", tmp_path, "--sheet", tmp_path / "sheets" / "all.png", "--json")
    assert code == 0
    said = json.loads(out)
    assert said["usable"] == 1
    assert said["skipped"][0]["name"] == "broken.jpg"
    with Image.open(said["sheet"]) as sheet:
        assert sheet.width > 64


def test_generated_faces_are_written(ran: Ran, tmp_path: Path) -> None:
    code, out, _ = ran("data", "faces", tmp_path / "f", "--count", "3", "--size", "16", "--split", "val", "--json")
    assert code == 0
    assert json.loads(out)["out"] == str(tmp_path / "f" / "val")
    assert len(list((tmp_path / "f" / "val" / "image").glob("*.png"))) == 3


def test_generated_faces_are_counted_by_number(ran: Ran, trained: Path) -> None:
    code, _, err = ran("evaluate", trained, "faces:many")
    assert code == 2
    assert "faces:2000" in err


def test_every_world_is_named_alike() -> None:
    few = {world: photos_of(f"{world}:3", 16, limit=2) for world in WORLDS}
    assert [photos.names[1] for photos in few.values()] == [f"{world}/test/000001" for world in WORLDS]
    assert {breed + mark for breed in BREEDS for mark in ("", "-marked")} < set(WORLDS)
    marked = [world for world, photos in few.items() if photos.asymmetric is not None]
    assert marked == ["tigers-marked", "animals-marked"]
    learned, validating = held_out("animals:3", few["animals"])
    assert learned is few["animals"] and validating is not None and validating.names == ("animals/val/000000",)


def test_a_folder_called_like_a_world_has_to_be_named_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tigers").mkdir()
    with pytest.raises(ValueError, match=r"say ./tigers, or tigers:2000"):
        photos_of("tigers", 16)
    assert len(photos_of("tigers:2", 16)) == 2


@pytest.mark.parametrize("world", WORLDS)
def test_generated_pictures_are_counted_by_number_and_not_cropped(world: str) -> None:
    with pytest.raises(ValueError, match=f"{world}:many: after the colon comes how many, as in {world}:2000"):
        photos_of(f"{world}:many", 16)
    with pytest.raises(ValueError, match=f"leave --crop out .a folder is ./{world}"):
        photos_of(f"{world}:2", 16, "face")


def test_debug_says_where(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" not in ran("show", "nothing")[2]
    assert "Traceback" in ran("show", "nothing", "--debug")[2]
    monkeypatch.setenv("UNFLAT_DEBUG", "1")
    assert "Traceback" in ran("show", "nothing")[2]


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (RuntimeError("odd"), 1, "unexpected RuntimeError: please report"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("the photos are too small"), 2, "unflat: the photos are too small"),
        (FileNotFoundError(2, "No such file or directory", "x.png"), 2, "unflat: x.png: No such file or directory"),
        (ModuleNotFoundError("No module named 'av'", name="av"), 2, "pip install 'unflat[video]'"),
        (ModuleNotFoundError("No module named 'unflat.gone'", name="unflat.gone"), 1, "please report"),
    ],
)
def test_exit_codes(ran: Ran, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str) -> None:
    def fails(arguments: list[str]) -> None:
        raise error

    monkeypatch.setattr(listing, "list_methods", fails)
    found, out, err = ran("list")
    assert found == code
    assert out == ""
    assert said in err


def test_it_runs_as_a_module_or_installed_and_stops_when_nobody_reads() -> None:
    for command in ([sys.executable, "-m", "unflat"], [str(Path(sys.executable).parent / "unflat")]):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("unflat 0.")
    for arguments in (["list"], ["list", "--json"]):
        closed = "import os; r, w = os.pipe(); os.close(r); os.dup2(w, 1)"
        run = f"{closed}; import unflat.cli.main as m; m.main({arguments})"
        done = subprocess.run([sys.executable, "-c", run], capture_output=True, text=True)
        assert done.stderr == ""
