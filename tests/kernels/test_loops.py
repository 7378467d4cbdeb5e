"""Where compiled loops come from."""

import inspect
import sys

import pytest
import torch

from unflat.kernels.loops import compiled_loops, launched


def test_a_name_that_is_wrong_is_not_taken_for_a_missing_numba() -> None:
    with pytest.raises(ModuleNotFoundError, match="carvings_cpu"):
        compiled_loops("carvings_cpu")


def test_without_numba_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    # one that imports numba itself: what others import of it may have been loaded by an earlier test
    monkeypatch.delitem(sys.modules, "unflat.kernels.facing_cpu", raising=False)
    assert inspect.unwrap(compiled_loops)("facing_cpu") is None


def test_without_triton_there_are_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "unflat.kernels.lookup_gpu", raising=False)
    assert inspect.unwrap(compiled_loops)("lookup_gpu") is None


def test_triton_without_tuples_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytest.importorskip("triton", reason="Triton is not installed"), "__version__", "3.2.0")
    for module in ("walking_gpu", "lookup_gpu"):
        monkeypatch.delitem(sys.modules, f"unflat.kernels.{module}", raising=False)
    assert inspect.unwrap(compiled_loops)("lookup_gpu") is None


def test_kernels_are_launched_with_what_they_must_be_told() -> None:
    asked = []

    class Kernel:
        def __getitem__(self, programs: tuple[int, ...]) -> object:
            return lambda *given, **options: asked.append((programs, given, options))

    table = torch.zeros(2)
    launched(Kernel(), (3, 4), table, 5, warps=1)
    assert asked == [((3, 4), (table, 5), {"num_warps": 1, "enable_fp_fusion": True})]
