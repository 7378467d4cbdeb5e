"""Methods are found by reading their files; nothing is imported until one is asked for."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unflat import catalogue
from unflat.catalogue import UnknownMethod, closest, experiment, find, load, methods, name_of
from unflat.cli.main import main
from unflat.data.kinds import Extent
from unflat.method import Method
from unflat.training import run
from unflat.training.run import Run

FILE = '''"""NeRF: a scene as a function.

More words.
"""
raise RuntimeError("this file was imported")


class Config: ...


class Nerf(method.Method, takes=kinds.Capture, gives=("rgb", "depth")):
    """A field."""


def paper() -> Experiment:
    """Table 1: PSNR 31.0."""


def small() -> "Experiment":
    ...


def helper(x: int) -> Experiment: ...


def other() -> int: ...
'''

TABLE = '''"""Dots: how bright a photo is.

A stand-in.
"""

import json

from unflat.training.experiment import Experiment, Row
from unflat.training.settings import Training
from unflat.worlds.faces import Faces
from unflat.worlds.patched import Patched


@dataclass(frozen=True)
class Config:
    light: bool = True
    """whether it shines"""


class Dots(Method, config=Config, takes=Photos, gives=("rgb",)): ...


def small() -> Experiment:
    """Two steps."""
    return Experiment(Dots, Config(), Training(steps=2), Faces(4, 16), test=Faces(2, 16, split="test"))


ROWS: dict[str, Row] = {
    "constant": Row("constant depth", published={"SIDE": 2.5, "MAD": 40.0}, baseline="constant depth"),
    "no_light": Row("without light", {"light": False}, {"rate": 0.5}, published={"SIDE": 2.0}),
    "perturbed": Row(title="with patches", data=Patched),
}
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "radiance").mkdir()
    (tmp_path / "radiance" / "nerf.py").write_text(FILE)
    (tmp_path / "radiance" / "__init__.py").write_text("")
    (tmp_path / "radiance" / "sampling.py").write_text("class Sampler: ...\n")
    return tmp_path


def test_an_entry_is_what_the_file_says(folder: Path) -> None:
    (entry,) = methods(folder)
    assert (entry.name, entry.module, entry.class_name) == ("nerf", "unflat.methods.radiance.nerf", "Nerf")
    assert (entry.title, entry.takes, entry.gives) == ("NeRF: a scene as a function.", "Capture", ("rgb", "depth"))
    assert entry.family == "radiance"
    assert entry.experiments == {"paper": "Table 1: PSNR 31.0.", "small": ""}


def test_what_it_gives_may_stand_above_the_class(folder: Path) -> None:
    (folder / "radiance" / "nerf.py").write_text(
        'GIVES = ("rgb",)\n\nclass Nerf(Method, takes=Capture, gives=GIVES): ...\n'
    )
    assert methods(folder)[0].gives == ("rgb",)


def test_a_file_holds_one_method(folder: Path) -> None:
    (folder / "two.py").write_text("class A(Method): ...\nclass B(Method): ...\n")
    with pytest.raises(ValueError, match=r"two\.py holds 2 methods, A, B; a file holds one"):
        methods(folder)


def test_a_misspelt_name_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(UnknownMethod, match=r"there is no method 'unsupd3'\. Did you mean 'unsup3d'\?") as error:
        load("unsupd3")
    assert all(entry.name in str(error.value) for entry in methods())
    with pytest.raises(UnknownMethod, match=r"there is no method 'zzzzzz'\. The methods are: "):
        find("zzzzzz")


@pytest.mark.parametrize(("name", "expected"), [("UNSUP3D", "unsup3d"), ("nrf", "nerf"), ("qqqq", None)])
def test_closest(name: str, expected: str | None) -> None:
    assert closest(name, ["unsup3d", "nerf"]) == expected


def test_every_method_loads_under_its_name() -> None:
    for entry in methods():
        assert name_of(load(entry.name)) == entry.name


def test_a_misspelt_experiment_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"unsup3d has no experiment 'tinny'\. Did you mean 'tiny'\?"):
        experiment("unsup3d", "tinny")


@pytest.fixture
def dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one method that has a table, in place of our own."""
    head = "from dataclasses import dataclass\nfrom unflat.data.kinds import Photos\nfrom unflat.method import Method\n"
    path = tmp_path / "dots.py"
    path.write_text(TABLE.replace("import json\n", head))
    monkeypatch.setattr(catalogue, "METHODS", tmp_path)
    spec = importlib.util.spec_from_file_location("unflat.methods.dots", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["unflat.methods.dots"] = module
    spec.loader.exec_module(module)
    yield path
    del sys.modules["unflat.methods.dots"]


def test_the_rows_of_a_table_are_read_in_order_without_importing(folder: Path) -> None:
    (folder / "radiance" / "nerf.py").write_text(TABLE + "\nraise RuntimeError('this file was imported')\n")
    (entry,) = methods(folder)
    assert list(entry.rows) == ["constant", "no_light", "perturbed"]
    assert [row.title for row in entry.rows.values()] == ["constant depth", "without light", "with patches"]
    assert entry.rows["constant"].published == {"SIDE": 2.5, "MAD": 40.0}
    assert [row.baseline for row in entry.rows.values()] == ["constant depth", "", ""]
    assert (entry.says("small"), entry.says("small/no_light")) == ("Two steps.", "without light: a row of small")


def test_a_row_is_an_experiment_with_its_changes(dots: Path) -> None:
    plain, changed = experiment("dots", "small"), experiment("dots", "small/no_light")
    assert plain.config.light and not changed.config.light
    assert (changed.training.steps, changed.training.rate) == (2, 0.5)
    patched = experiment("dots", "small/perturbed")
    assert repr(patched.test) == "Patched(source=Faces(count=2, size=16, seed=0, split='test'), seed=0)"


@pytest.mark.parametrize(
    ("called", "said"),
    [
        (
            "small/no_ligth",
            r"dots has no row 'no_ligth'\. Did you mean 'small/no_light'\? Its rows are: constant, no_l",
        ),
        ("smal/no_light", r"no experiment 'smal'\. Did you mean 'small/no_light'\? Its experiments are: small\. Each "),
        ("no_light", r"no experiment 'no_light'\. Did you mean 'small/no_light'\?"),
        ("smal", r"no experiment 'smal'\. Did you mean 'small'\? .* as in EXPERIMENT/constant\."),
        ("small/constant", "the row 'constant depth' is not trained"),
    ],
)
def test_a_misspelt_row_is_answered_with_the_nearest(dots: Path, called: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        experiment("dots", called)


def test_a_file_without_a_table_says_so(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"nerf has no row 'x'\. Its file has no ROWS\."):
        methods(folder)[0].says("small/x")


@pytest.mark.parametrize("rows", ["rows()", '{"a": Row(title)}', '{"a": b}', "{**others}", '{"a": Row()}'])
def test_rows_that_cannot_be_read_are_an_error(folder: Path, rows: str) -> None:
    (folder / "radiance" / "nerf.py").write_text(FILE + f"\nROWS = {rows}\n")
    with pytest.raises(
        ValueError, match=r"nerf\.py: ROWS has to be a dict literal of Row\(\.\.\.\), whose names, titles"
    ):
        methods(folder)


def test_show_lists_the_rows(dots: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "dots"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "(--experiment EXPERIMENT/ROW)" in shown and "no_light: without light. Published: SIDE 2." in shown
    assert "constant: constant depth. Published: SIDE 2.5, MAD 40. Not trained" in shown
    assert main(["show", "dots", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["perturbed"]["title"] == "with patches"


def test_train_takes_a_row(dots: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is asked for with the row's settings, under the row's name, in a folder of its own."""
    asked: dict[str, Any] = {}

    def train(method: str, data: Any, **options: Any) -> Run:
        asked.update(options, method=method, data=data)
        return Run(options["out"], Method(SimpleNamespace(), Extent(1, (2, 2))), {})

    monkeypatch.setattr(run, "train", train)
    assert main(["train", "dots", "--experiment", "small/no_light", "--training.steps", "3"]) == 0
    assert asked["config"] == sys.modules["unflat.methods.dots"].Config(light=False)
    assert (asked["training"].steps, asked["training"].rate) == (3, 0.5)
    assert (asked["experiment"], str(asked["out"])) == ("small/no_light", str(Path("runs/dots-small-no_light")))


def test_neither_catalogue_nor_records_import_anything_heavy() -> None:
    code = (
        "import sys; from unflat import catalogue, records\n"
        "[records.status(entry.name) for entry in catalogue.methods()]\n"
        "print([name for name in ('torch', 'numba', 'numpy', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_all_methods_are_below_the_folder() -> None:
    assert all(entry.path.is_relative_to(catalogue.METHODS) for entry in methods())
