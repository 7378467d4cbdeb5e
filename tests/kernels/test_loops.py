"""Where compiled loops come from."""

import inspect
import sys

import pytest

from unflat.kernels.loops import compiled_loops


def test_a_name_that_is_wrong_is_not_taken_for_a_missing_numba() -> None:
    with pytest.raises(ModuleNotFoundError, match="carvings_cpu"):
        compiled_loops("carvings_cpu")


def test_without_numba_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    # one that imports numba itself: what others import of it may have been loaded by an earlier test
    monkeypatch.delitem(sys.modules, "unflat.kernels.facing_cpu", raising=False)
    assert inspect.unwrap(compiled_loops)("facing_cpu") is None
