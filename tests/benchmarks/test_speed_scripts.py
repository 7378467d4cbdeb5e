"""The scripts that measure speed run at the smallest size, and what they compare computes the same."""

import json
import math
from pathlib import Path

import data_parallel
import field_kernels
import kilonerf_speed
import pytest
import torch
import unsup3d_gpu
import unsup3d_speed

from unflat.methods.autoencoders.unsup3d import Config
from unflat.methods.radiance import kilonerf, nerf

SMALL = Config(width=4, code=8, batch_size=2)


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_straightforward_step_learns_what_ours_learns() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(1)
    batch = unsup3d_speed.photos(2, 16)
    ours = unsup3d_speed.our_step(SMALL, 16, batch, bf16=False)
    plain = unsup3d_speed.straightforward_step(SMALL, 16, batch)
    assert [ours() for _ in range(4)] == pytest.approx([plain() for _ in range(4)], rel=1e-3)


def test_the_dearest_operations_are_named_with_what_they_reached() -> None:
    step = unsup3d_speed.our_step(SMALL, 16, unsup3d_speed.photos(2, 16), bf16=False)
    with unsup3d_speed.Times() as times:
        step()
    assert times.seconds["convolution"] > 0 and times.work["convolution"] > 0 and times.bytes["mul"] > 0
    best = {"fp32": 1e9, "bytes": 1e9}
    assert "GFLOP/s" in unsup3d_speed.reached(times, "convolution", 1.0, best, "fp32")
    assert "GB/s" in unsup3d_speed.reached(times, "mul", 1.0, best, "fp32")


def test_a_line_of_the_widths_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsup3d_speed, "config_of", lambda name, size: SMALL)
    figures = unsup3d_speed.one_width("4", 16, 2, 1)
    assert figures["rate"] > 0 and figures["share"] > 0 and figures["memory"] > 2**20
    torch.set_num_threads(1)


def test_the_small_settings_can_be_measured() -> None:
    """Their features are learned before the first step, which no benchmark waits for."""
    config, batch = unsup3d_speed.config_of("small", 64), unsup3d_speed.photos(2, 64)
    assert config.features == "self" and math.isfinite(unsup3d_speed.our_step(config, 64, batch, bf16=False)())
    unsup3d_speed.after_networks(config, 64, batch)()


def test_an_unknown_part_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        unsup3d_speed.main(["stride"])
    assert "there is no part stride; there are step, widths, operations" in capsys.readouterr().err


def test_the_gpu_benchmark_runs_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--device", "cpu", "--steps", "2", "--batch", "2", "--size", "16", "--width", "4"]
    unsup3d_gpu.main([*small, "--how", "eager"])
    printed = capsys.readouterr().out
    assert "eager: minutes for 3.2 million photos" in printed and "dearest: " in printed
    with pytest.raises(SystemExit):
        unsup3d_gpu.main([*small, "--how", "graph"])
    assert "a CUDA graph needs a GPU" in capsys.readouterr().err


def test_a_process_draws_for_two_and_writes_its_losses(tmp_path: Path) -> None:
    data = data_parallel.pictures(6, 16)
    first, second = (next(data_parallel.drawn(data, 2, range(rank, rank + 1))) for rank in (0, 1))
    both = next(data_parallel.drawn(data, 2, range(2)))
    assert torch.equal(both.photo, torch.cat([first.photo, second.photo]))
    data_parallel.work(tmp_path / "out.json", steps=2, batch=2, together=2, is_tiny=True)
    written = json.loads((tmp_path / "out.json").read_text())
    assert len(written["loss"]) == len(written["seconds"]) == 2


@pytest.mark.soak
def test_two_processes_learn_what_one_learns_from_both_batches() -> None:
    lines = data_parallel.figures(["--tiny", "--steps", "3", "--batch", "2"])
    figures = {line.metric: line.ours for line in lines}
    assert figures["two processes, largest difference of loss"] < 1e-5
    assert figures["efficiency"] > 0


def test_a_process_that_fails_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_parallel, "__file__", str(tmp_path / "nothing.py"))
    with pytest.raises(RuntimeError, match=r"(?s)ended with 2:.*nothing.py"):
        data_parallel.run(tmp_path / "out.json", [])


def test_kernels_of_fields_and_their_twins_compute_the_same() -> None:
    options = field_kernels.parser().parse_args(["--side", "24", "--rays", "64"])
    for name, (ours, twin) in field_kernels.candidates(options).items():
        found = [run() for run in (ours, twin)]
        if name == "touched Adam":
            continue  # in place: tests/kernels/test_touched_adam.py
        for a, b in zip(*(part if isinstance(part, tuple) else (part,) for part in found), strict=True):
            a, b = (part.to_dense() if part.is_sparse else part for part in (a, b))
            assert b.abs().max() > 0
            assert (a - b).abs().max() <= 1e-3 * b.abs().max(), name


def test_kernels_of_fields_are_timed_against_their_twins(capsys: pytest.CaptureFixture[str]) -> None:
    field_kernels.main(["--side", "16", "--rays", "16", "--rounds", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7 and all(line.endswith("x") for line in lines)


def test_kilonerf_and_its_teacher_take_turns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kilonerf, "small", kilonerf.tiny)
    monkeypatch.setattr(nerf, "small", nerf.tiny)
    sizes = ["--size", "16", "--trained-at", "16", "--views", "1", "--networks", "3", "--rounds", "1"]
    kilonerf_speed.main([*sizes, "--teacher-steps", "2", "--distil-steps", "1", "--steps", "2"])
    said = capsys.readouterr().out
    assert "GFLOP/s forwards, twin by bmm" in said and "its teacher's time over its own " in said
    assert "CPU s of a view of its teacher" in said and "counted from 2 rows" in said
