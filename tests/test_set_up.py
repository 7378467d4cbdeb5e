"""What the set-up says where it cannot do its work. That it does its work is seen wherever the tests run."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def set_up(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(folder), "VENV": str(folder / "venv"), **variables}
    command = ["/bin/sh", str(ROOT / "tools" / "set_up.sh")]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_without_a_fitting_python_it_says_which_to_get(tmp_path: Path) -> None:
    done = set_up(tmp_path)
    assert done.returncode == 2
    assert "No Python 3.11, 3.12 or 3.13 here (no python3 at all)" in done.stderr
    assert "make PYTHON=python3.12" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_named_python_has_to_fit(tmp_path: Path) -> None:
    old = tmp_path / "python-of-old"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = set_up(tmp_path, PYTHON="python-of-old")
    assert done.returncode == 2
    assert "PYTHON=python-of-old is no Python 3.11, 3.12 or 3.13" in done.stderr


def test_a_shim_that_answers_with_an_error_is_passed_over(tmp_path: Path) -> None:
    """Version managers leave commands behind that only say which versions they could run."""
    for name in ("python3", "python3.13"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'command not found' >&2\nexit 127\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "python3.12").write_text(f'#!/bin/sh\n[ "$2" = venv ] && exit 7\nexec {sys.executable} "$@"\n')
    (tmp_path / "python3.12").chmod(0o755)
    done = set_up(tmp_path)
    assert "making" in done.stdout
    assert "python3.12 cannot make an environment" in done.stderr
    assert done.returncode == 2


def test_a_folder_that_is_no_environment_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv" / "thesis.tex").write_text("all of it")
    done = set_up(tmp_path)
    assert done.returncode == 2
    assert "holds no working Python" in done.stderr
    assert (tmp_path / "venv" / "thesis.tex").read_text() == "all of it"
