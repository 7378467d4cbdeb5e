"""Run folders that older versions wrote still load, predict the same, and go on: the promise to those who have them.

The folders are made by `make_old_run.py`. From the first release on they are never changed, and joined by another
whenever the format changes; before it, settings may be renamed, and what is refused then says so (test_checkpoint.py).
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from make_old_run import CASES, KEPT, depth_of
from safetensors.torch import load_file

from unflat.training import checkpoint

OLD = Path(__file__).parent / "old_runs"
RUNS = sorted(folder for folder in OLD.glob("*/*") if folder.is_dir())
every_run = pytest.mark.parametrize("old", RUNS, ids=lambda folder: f"{folder.parent.name} {folder.name}")


def test_there_are_old_runs_and_they_are_small() -> None:
    assert {folder.name for folder in RUNS} == set(CASES)
    for version in {folder.parent for folder in RUNS}:
        assert sum(file.stat().st_size for file in version.rglob("*") if file.is_file()) < 60_000


@every_run
def test_it_loads_and_predicts_what_it_predicted(old: Path) -> None:
    case = CASES[old.name]
    expected = np.load(old / "depth.npy")
    assert np.isfinite(expected).any()
    depth = depth_of(checkpoint.load_method(old, case.method), case.data[:2])
    # other processors round otherwise, and may see another triangle at an edge
    assert np.isclose(depth, expected, rtol=0, atol=1e-4, equal_nan=True).mean() > 0.98


@every_run
def test_it_goes_on_from_its_checkpoint(old: Path, tmp_path: Path) -> None:
    for name in KEPT:
        if name != "weights.safetensors":
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(old / name, tmp_path / name)
    case = CASES[old.name]
    case.train(tmp_path, checkpoint.read(old / "weights.safetensors").settings("config", case.method.Config))
    ours, theirs = (load_file(folder / "weights.safetensors") for folder in (tmp_path, old))
    assert ours.keys() >= theirs.keys()  # and buffers that came later
    for name, value in theirs.items():
        torch.testing.assert_close(
            ours[name], value, rtol=1e-3, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


@every_run
def test_going_on_changes_more_than_the_comparison_allows(old: Path) -> None:
    stored = checkpoint.read(old / "checkpoints" / "step_00000004.safetensors").weights
    final = load_file(old / "weights.safetensors")
    assert any(not torch.allclose(stored[name], final[name], rtol=1e-3, atol=1e-3) for name in final)
