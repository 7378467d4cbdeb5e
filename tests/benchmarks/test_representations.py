"""The scripts that compare all representations: that their parts run, what they make of what was found, the table."""

import json
from dataclasses import replace
from pathlib import Path

import kernel_limits
import make_readme
import numpy as np
import pytest
import representation_table
import representations
import torch
from kernel_limits import Table, Work, limited

from unflat import catalogue
from unflat.records import Record, append, read
from unflat.worlds.objects import Objects

LIKE_THE_PEER = "representations, chair, 100 px, 60 views"
FOUND = {
    "levels": {"25": 0.5, "30": 6.1, "33": 21.8}, "psnr": 34.0, "ssim": 0.98, "cpu": 40.0, "wall": 41.0, "step": 9,
    "steps": 10, "learned": 60, "looked": 5, "bytes": 2.5e6, "parameters": 1e5, "memory": 1e8, "settings": "d",
}  # fmt: skip


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("box")
    for split, views in (("train", 6), ("test", 20)):
        Objects("box", views, 24, split=split).write(folder, progress=False)  # type: ignore[arg-type]
    return folder


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def answered(capsys: pytest.CaptureFixture[str], box: Path, part: str, worker: str, *more: str) -> dict[str, float]:
    """What a worker of the quick grid prints."""
    words = [part, str(box), "--sides", "24", "--minutes", "0.003", "--methods", "quick_grid", "--worker", worker]
    representations.main([*words, *more])
    return json.loads(capsys.readouterr().out)


def test_a_run_is_looked_at_evenly_on_a_logarithmic_axis(capsys: pytest.CaptureFixture[str], box: Path) -> None:
    found = answered(capsys, box, "levels", "levels", "--views", "4", "--looks", "5")
    assert found["learned"] == 4 and found["looked"] == 5
    assert found["cpu"] >= 0.18 and found["step"] < found["steps"] == 1000
    assert found["bytes"] > 4 * found["parameters"] > 0


@pytest.mark.filterwarnings("ignore:numba was imported with")
def test_pictures_a_second_when_learned_and_while_learning(capsys: pytest.CaptureFixture[str], box: Path) -> None:
    found = answered(capsys, box, "rate", "rate", "--look-at", "2")
    assert min(found["seconds"].values()) > 0 and set(found["seconds"]) == {"1", "2"} and found["views"] == 2
    live = answered(capsys, box, "rate", "live", "--look-at", "2")
    assert live["rate"] > 0 and live["steps"] > 0 and live["frames"] >= 1


def test_half_the_numbers_take_half_the_bytes(capsys: pytest.CaptureFixture[str], box: Path) -> None:
    found = answered(capsys, box, "bytes", "bytes", "--look-at", "1", "--setting", "28 voxels")
    assert 0.3 * found["bytes"] < found["bytes_half"] < found["bytes"]
    assert found["psnr_half"] == pytest.approx(found["psnr"], abs=0.3)


def test_the_peers_seconds_stand_beside_ours() -> None:
    lines = {line.metric: line for line in representations.level_records(LIKE_THE_PEER, "instant_ngp", FOUND)}
    assert "CPU s to 35 dB" not in lines
    ours = lines["CPU s to 30 dB"]
    assert (ours.ours, ours.bound, ours.source, ours.met) == (6.1, 61.0, "peer", True)
    ratio = lines["peer's CPU s over ours, 30 dB"]
    assert ratio.ours == pytest.approx(10) and ratio.source == "peer" and "taken as given" in ratio.note
    asked = lines["peer's CPU s over ours, 33 dB"]
    assert asked.ours == pytest.approx(5) and (asked.bound, asked.source, asked.met) == (10.0, "floor", False)


def test_the_peer_saw_other_pictures_at_another_size(tmp_path: Path) -> None:
    lines = representations.level_records("representations, chair, 50 px, 60 views", "dvgo", FOUND)
    assert all(line.bound is None for line in lines)
    append(lines, tmp_path)
    assert representation_table.table({"dvgo": read("dvgo", tmp_path)}).splitlines()[-1].startswith("| `dvgo` | 0.5 |")


def test_of_several_runs_the_median_counts_where_all_reached_a_level() -> None:
    runs = [{"25": 1.0, "30": 2.0}, {"25": 3.0, "30": 4.0}, {"25": 2.0}]
    assert representations.medians(runs) == {"25": 2.0}


def test_the_best_that_fits_is_taken() -> None:
    found = {
        "small": {"psnr": 30.0, "bytes": 9e5, "cpu": 1.0, "bytes_half": 5e5, "psnr_half": 29.9},
        "large": {"psnr": 33.0, "bytes": 6e6, "cpu": 2.0, "bytes_half": 3e6, "psnr_half": 32.0},
        "too large for float16": {"psnr": 32.5, "bytes": 4e6, "cpu": 2.0},
    }
    told = {line.metric: line.ours for line in representations.size_records("x", "tensorf", found)}
    assert told == {
        "best PSNR within 1 MB": 30.0, "best PSNR within 5 MB": 32.5, "best PSNR within 20 MB": 33.0,
        "best PSNR within 1 MB, float16": 29.9, "best PSNR within 5 MB, float16": 32.0,
        "best PSNR within 20 MB, float16": 32.0,
    }  # fmt: skip


@pytest.mark.parametrize("method", sorted(representations.SETTINGS))
def test_every_setting_is_one_of_the_methods(method: str) -> None:
    config = catalogue.experiment(method, "small").config
    assert all(replace(config, **changes) for changes in representations.SETTINGS[method].values())


def test_a_method_that_fails_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import processes

    def answer_of(script: str, *words: str, threads: int = 1) -> dict[str, object]:
        if words[-1] == "dvgo":
            raise RuntimeError("no room")
        return FOUND

    monkeypatch.setattr(processes, "answer_of", answer_of)
    monkeypatch.setattr(representations, "append", lambda lines: append(lines, tmp_path))
    methods = ["--methods", "quick_grid", "dvgo", "plenoxels"]
    representations.main(["levels", str(tmp_path), *methods, "--record"])
    assert "dvgo: no room" in capsys.readouterr().err
    assert sorted(path.stem for path in tmp_path.glob("*.jsonl")) == ["plenoxels", "quick_grid"]
    slower = read("plenoxels", tmp_path)[-1]
    assert slower.metric == "CPU s to 33 dB over those of quick_grid" and slower.ours == 1.0 and slower.bound == 2.0
    assert slower.command.endswith("--methods plenoxels quick_grid --record")
    assert read("quick_grid", tmp_path)[0].command.endswith("--rounds 1 --methods quick_grid --record")


def test_a_capture_is_needed() -> None:
    with pytest.raises(SystemExit, match="levels needs the chair's folder"):
        representations.main(["levels"])


# -- kernels -----------------------------------------------------------------------------------------------------------


def test_the_longest_of_three_is_the_limit() -> None:
    table = Table(1024, 4)
    work, best = Work(lambda: None, 1, 10.0, {table: 2.0}, 30.0), {"copy": 1.0, table: 20.0, "operations": 1.0}
    assert limited(work, best, 80.0) == (f"random visits, 2 of {1e9 * 20:.2f} ns", 0.5)
    assert limited(work, {**best, "operations": 2.0}, 120.0) == ("operations", 0.5)
    assert work.bytes == 10 + 2 * 16


def test_every_line_of_a_place_is_visited() -> None:
    values, at = np.arange(64, dtype=np.float32), np.array([0, 32, 32, 0], np.int32)
    assert kernel_limits.visited(values, at, 32) == 2 * (0 + 16) + 2 * (32 + 48)


def test_kernels_are_timed_beside_their_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, small in (("SIDE", 16), ("NETWORKS", 4), ("COPIED", 2**12), ("MULTIPLIED", 32), ("VISITS", 64)):
        monkeypatch.setattr(kernel_limits, name, small)
    lines = {line.metric: line for line in kernel_limits.records(rays=16, rounds=1)}
    for kernel in ("hash look-up, small", "plane look-up", "plane and line", "voxel look-up", "occupancy marching",
                   "marching through voxels", "tiny networks", "compositing"):  # fmt: skip
        shares = [line for metric, line in lines.items() if metric.startswith(kernel) and "share" in metric]
        assert shares and all(line.ours > 0 and line.note for line in shares), kernel
    assert lines["limit: GB/s of a copy"].ours > 0


# -- the table ---------------------------------------------------------------------------------------------------------


def table_of(folder: Path, **seconds: dict[str, float]) -> str:
    """Of methods whose seconds to levels these are."""
    for method, levels in seconds.items():
        found = {**FOUND, "levels": levels}
        append(representations.level_records(LIKE_THE_PEER, method, found), folder)
    return representation_table.table({method: read(method, folder) for method in ("dvgo", "nerf", "tensorf")})


def test_the_table_has_a_row_for_each_method_and_the_peers(tmp_path: Path) -> None:
    rate = Record("dvgo", "representations, rate, chair", representation_table.drawn(200, 2), 3.21, "higher")
    append([rate], tmp_path)
    rows = table_of(tmp_path, nerf={"25": 20.0}, dvgo={"25": 2.0, "30": 5.5, "33": 120.4}).splitlines()
    assert rows[0] == "*chair, 100 px, 60 views, one thread; frames/s with two threads.*"
    assert rows[2].startswith("| method | CPU s to 25 dB |") and rows[2].endswith("| MB | frames/s, 200 px |")
    assert rows[4:] == [
        "| `dvgo` | 2 | 5.5 | 120 | - | 34.00 | 2.5 | 3.21 |",
        "| `nerf` | 20 | - | - | - | 34.00 | 2.5 | - |",
        "| TensoRF, its authors' code | 24.5 | 61 | 109 | - | - | - | - |",
    ]


def test_without_records_the_table_says_so(tmp_path: Path) -> None:
    assert table_of(tmp_path) == "Not run yet."


def test_the_table_stands_between_the_pages_comments(tmp_path: Path) -> None:
    page = "# Fields\n\n<!-- representations -->\nold\n<!-- end -->\n\nmore\n"
    table_of(tmp_path, tensorf={"25": 1.0})
    written = make_readme.which_field(page, tmp_path)
    assert written.startswith("# Fields\n\n<!-- representations -->\n\n*chair") and "old" not in written
    assert written.endswith("|\n\n<!-- end -->\n\nmore\n") and "| `tensorf` | 1 |" in written
    assert make_readme.which_field(written, tmp_path) == written


def test_the_page_has_its_comments() -> None:
    page = Path(make_readme.HERE).parent / "docs" / "which-field.md"
    assert "<!-- representations -->\n" in page.read_text() and "<!-- end -->" in page.read_text()
