"""Methods are found by reading their files; nothing is imported until one is asked for."""

import subprocess
import sys
from pathlib import Path

import pytest

from unflat import catalogue
from unflat.catalogue import UnknownMethod, closest, experiment, find, load, methods, name_of

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
