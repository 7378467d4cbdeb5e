"""Every test: one thread, shapes checked, warnings as errors (pyproject.toml), caches in a temporary folder."""

import os

# Before torch and numba are imported: results must not depend on the machine's cores, and threads must not spin.
os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jaxtyping
import pytest

PACKAGE = Path(__file__).parent.parent / "unflat"


def checkable_modules() -> list[str]:
    """The modules whose annotated shapes are checked: all but those with loops of numba or kernels of Triton,
    which cannot be wrapped."""
    compiled = re.compile(
        r"^\s*(import (numba|triton)|from numba|from unflat.kernels.(walking|lookup)_cpu)", re.MULTILINE
    )
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"]
    plain = [path for path in modules if not compiled.search(path.read_text())]
    return [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in plain]


jaxtyping.install_import_hook(checkable_modules(), "beartype.beartype")

hypothesis.settings.register_profile("unflat", deadline=None)  # no test asserts a time: machines may be busy
hypothesis.settings.load_profile("unflat")

import torch  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache_of_tests() -> Iterator[Path]:
    """Packed photos and the like go into a folder that is gone afterwards; subprocesses inherit it."""
    with tempfile.TemporaryDirectory(prefix="unflat-tests-") as folder:
        before = os.environ.get("UNFLAT_CACHE")
        os.environ["UNFLAT_CACHE"] = folder
        yield Path(folder)
        if before is None:
            del os.environ["UNFLAT_CACHE"]
        else:
            os.environ["UNFLAT_CACHE"] = before


@pytest.fixture
def generator() -> torch.Generator:
    """Random numbers that are the same in every run."""
    return torch.Generator().manual_seed(0)
