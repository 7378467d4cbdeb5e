"""Methods on the same capture with the same time: what is found, what a stop costs, what becomes of those that fail."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unflat import catalogue
from unflat.data.captures import read_capture
from unflat.data.kinds import Capture
from unflat.evaluation.published import PUBLISHED
from unflat.methods.radiance import quick_grid, tensorf
from unflat.training import checkpoint, comparison
from unflat.training.comparison import compare, named_experiment, usual_methods
from unflat.training.comparison_files import PAGE, Comparison, read, view_folders
from unflat.training.scene_report import report
from unflat.training.timed import Timed
from unflat.worlds.objects import Objects

METHODS = ("quick_grid", "tensorf")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("box")
    for split, views in (("train", 8), ("test", 3)):
        Objects("box", views, 24, split=split).write(made, progress=False)  # type: ignore[arg-type]
    return made


@pytest.fixture(scope="module")
def pictures(folder: Path) -> tuple[Capture, Capture]:
    learned, held_out = (read_capture(folder, split=split, progress=False) for split in ("train", "test"))  # type: ignore[arg-type]
    return learned, held_out[:2]


@pytest.fixture(autouse=True)
def compiled_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "compiled_by_tiny", lambda *_: None)
    monkeypatch.setattr(comparison, "RENDERED", 0.0)


def ran(pictures: tuple[Capture, Capture], out: Path, methods: tuple[str, ...] = METHODS, **more: Any) -> Comparison:
    said: list[str] = []
    given = {"minutes": 0.5, "experiment": "tiny", "looks": 2, "progress": False, "report": said.append, **more}
    found = compare(*pictures, out, methods, **given)
    assert len(said) == len(methods)
    return found


@pytest.fixture(scope="module")
def compared(pictures: tuple[Capture, Capture], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    out = tmp_path_factory.mktemp("compared")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(comparison, "RENDERED", 0.0)
        ran(pictures, out)
    yield out


def test_every_method_has_its_figures(compared: Path, pictures: tuple[Capture, Capture]) -> None:
    found = read(compared)
    assert found is not None and [one.method for one in found.methods] == list(METHODS)
    assert found.learned == 8 and found.side == 24 and len(found.views) == 2 and found.seconds == 30
    for one in found.methods:
        assert one.step == one.steps == 3 and one.ended and not one.failed
        assert one.points[-1].step == 3 and one.wall > 0 and one.cpu > 0
        assert one.figures["PSNR"] == pytest.approx(one.points[-1].psnr), "the last look and what is told are one"
        assert one.figures["PSNR"] == pytest.approx(np.mean([v for v in one.per_view["PSNR"] if v is not None]))
        assert one.bytes == (compared / "runs" / one.method / "weights.safetensors").stat().st_size
        assert one.frames_per_second > 0 and one.seconds_to.keys() == {"25", "30", "33", "35"}
        method = checkpoint.load_method(compared / "runs" / one.method)
        assert one.parameters == sum(p.numel() for p in method.parameters())


def test_the_pictures_are_those_of_the_figures(compared: Path, pictures: tuple[Capture, Capture]) -> None:
    found = read(compared)
    assert found is not None
    for index, view in enumerate(view_folders(compared, found.views)):
        truth = np.asarray(Image.open(view / "truth.png")).astype(float) / 255
        assert np.allclose(truth, pictures[1].rgb(index), atol=1 / 255)
        for one in found.methods:
            ours = np.asarray(Image.open(view / f"{one.method}.png")).astype(float) / 255
            told = one.per_view["PSNR"][index]
            assert -10 * np.log10(((ours - truth) ** 2).mean()) == pytest.approx(told, abs=0.05)


def test_the_page_shows_them(compared: Path) -> None:
    text = (compared / PAGE).read_text()
    found = read(compared)
    assert found is not None
    for one in found.methods:
        assert f">{one.method}<" in text and f"{one.per_view['PSNR'][0]:.2f} dB" in text
    assert "440 MB" in text and "30-40 h" in text and "one RTX 3090" in text and "Read with care" in text
    assert "their schedules: quick_grid after" in text and "://" not in text


def test_each_run_is_one_like_any_other(compared: Path, pictures: tuple[Capture, Capture], tmp_path: Path) -> None:
    written = report(compared / "runs" / "tensorf", tmp_path, pictures[1], frames=0, progress=False)
    found = read(compared)
    assert written.evaluation is not None and found is not None
    assert written.evaluation.figures["PSNR"] == pytest.approx(found.methods[1].figures["PSNR"], rel=1e-4)
    assert "held-out pictures" in written.page.read_text()


def test_what_is_done_is_not_trained_again(
    compared: Path, pictures: tuple[Capture, Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read(compared)

    def trained(*_: Any) -> None:
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr(comparison, "_trained", trained)
    assert before is not None and ran(pictures, compared).methods == before.methods
    assert ran(pictures, compared, minutes=9.0).methods == before.methods, (
        "their schedules were over: time changes nothing"
    )


def test_other_settings_are_trained_anew_and_once(
    compared: Path, pictures: tuple[Capture, Capture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has learned with settings that its experiment no longer has says nothing of those that it has now; a stop
    in the middle of the new training does not make it begin again."""
    out = tmp_path / "copy"
    shutil.copytree(compared, out)
    usual = quick_grid.tiny()
    monkeypatch.setattr(quick_grid, "tiny", lambda: replace(usual, config=replace(usual.config, least=0.01)))
    steps: list[int] = []
    really, is_stopped = Timed._report, True

    def stopped(self: Timed, log: Any) -> None:
        really(self, log)
        steps.append(self.step)
        if is_stopped and self.step == 2:
            self._save()
            raise KeyboardInterrupt

    monkeypatch.setattr(Timed, "_report", stopped)
    before, said = read(compared), []
    given = {"minutes": 0.5, "experiment": "tiny", "looks": 2, "progress": False, "report": said.append}
    with pytest.raises(KeyboardInterrupt):
        compare(*pictures, out, METHODS, **given)
    assert len(said) == 1 and "quick_grid is trained again: least was 0.003, is 0.01" in said[0]
    half = read(out)
    assert half is not None and [one.method for one in half.methods] == ["tensorf"], "its figures are gone as it is"
    is_stopped = False
    steps.clear()
    found = compare(*pictures, out, METHODS, **given)
    assert steps == [3] and before is not None and found.methods[1] == before.methods[1]
    assert not found.methods[0].failed and found.methods[0].points[-1].step == 3


def test_a_run_that_stopped_before_its_settings_changed_begins_again(
    pictures: tuple[Capture, Capture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really = Timed._report

    def stopped(self: Timed, log: Any) -> None:
        really(self, log)
        self._save()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Timed, "_report", stopped)
        ran(pictures, tmp_path, ("quick_grid",))
    assert read(tmp_path) is None and checkpoint.checkpoints(tmp_path / "runs" / "quick_grid")
    usual = quick_grid.tiny()
    monkeypatch.setattr(quick_grid, "tiny", lambda: replace(usual, config=replace(usual.config, least=0.01)))
    found = compare(
        *pictures, tmp_path, ("quick_grid",), minutes=0.5, experiment="tiny", looks=2, progress=False,
        report=lambda _: None,
    )  # fmt: skip
    assert not found.methods[0].failed and found.methods[0].step == 3


def test_a_method_in_the_middle_goes_on(
    pictures: tuple[Capture, Capture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    usual = Timed._report

    def stopped(self: Timed, log: Any) -> None:
        usual(self, log)
        steps.append(self.step)
        if self.folder.name == "tensorf" and self.step == 2 and steps.count(2) == 2:
            self._save()
            raise KeyboardInterrupt

    monkeypatch.setattr(Timed, "_report", stopped)
    with pytest.raises(KeyboardInterrupt):
        ran(pictures, tmp_path)
    assert steps == [1, 2, 3, 1, 2]
    half = read(tmp_path)
    assert half is not None and [one.method for one in half.methods] == ["quick_grid"] and (tmp_path / PAGE).is_file()
    steps.clear()
    found = ran(pictures, tmp_path)
    assert steps == [3] and [one.method for one in found.methods] == list(METHODS)
    assert found.methods[1].points[-1].step == 3


def test_a_method_that_fails_is_told_and_stops_no_other(
    pictures: tuple[Capture, Capture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError("the box is <empty>")

    with monkeypatch.context() as patch:
        patch.setattr(quick_grid.QuickGrid, "losses", fails)
        found = ran(pictures, tmp_path)
    assert [bool(one.failed) for one in found.methods] == [True, False]
    assert "the box is <empty>" in found.methods[0].failed
    text = (tmp_path / PAGE).read_text()
    assert "quick_grid could not be compared. RuntimeError: the box is &lt;empty&gt;" in text
    assert not ran(pictures, tmp_path).methods[0].failed, "it is tried again"


def test_what_a_method_needs_is_told_of_it(
    pictures: tuple[Capture, Capture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorf.TensoRF, "needs", ("mask",))
    found = ran(pictures, tmp_path, ("tensorf",))
    assert "TensoRF needs mask" in found.methods[0].failed
    assert json.loads((tmp_path / "comparison.json").read_text())["methods"][0]["failed"]


def test_a_full_disk_ends_it(
    pictures: tuple[Capture, Capture], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(quick_grid.QuickGrid, "losses", full)
    with pytest.raises(OSError, match="No space"):
        ran(pictures, tmp_path)


def test_other_data_need_another_folder(compared: Path, pictures: tuple[Capture, Capture], tmp_path: Path) -> None:
    learned, held_out = pictures
    with pytest.raises(ValueError, match=r"holds a comparison on other data.*8 pictures.*now .* 7 pictures"):
        ran((learned[:7], held_out), compared)
    (tmp_path / "comparison.json").write_text('{"capture": 3}')
    with pytest.raises(ValueError, match="no comparison of this version"):
        ran(pictures, tmp_path)
    fresh = ran((learned[:7], held_out), tmp_path, ("quick_grid",), resume=False)
    assert fresh.learned == 7


def test_what_cannot_be_compared_is_told_before_anything_is_done(
    pictures: tuple[Capture, Capture], tmp_path: Path
) -> None:
    learned, held_out = pictures
    for given, more, told in (
        ((learned, held_out), {"minutes": 0.0}, "0 minutes and 2 looks"),
        ((learned, held_out[:0]), {}, "0 held-out pictures"),
        ((learned, held_out), {"methods": ("unsup3d",)}, "unsup3d takes Photos, not a capture; those that do are"),
        ((learned, held_out), {"methods": ("tensor",)}, "Did you mean 'tensorf'"),
        ((learned, held_out), {"experiment": "nothing"}, "no experiment 'nothing'"),
    ):
        with pytest.raises(ValueError, match=told):
            ran(given, tmp_path / "out", **more)
    assert not (tmp_path / "out").exists()


def test_the_usual_methods_are_those_of_the_catalogue() -> None:
    found = usual_methods()
    assert {"nerf", "dvgo", "tensorf", "quick_grid"} <= set(found) and "unsup3d" not in found
    assert [named_experiment(name) for name in ("nerf", "tensorf")] == ["small", "small"]
    assert catalogue.find("tensorf").usual_experiment(on_gpu=True) == "chair"


def test_published_times_are_told_as_they_are() -> None:
    assert {name: (told.psnr, told.time) for name, told in PUBLISHED.items()} == {
        "nerf": (31.01, "30-40 h"), "dvgo": (31.95, "15-30 min"), "tensorf": (33.14, "15-30 min"),
        "plenoxels": (31.71, "11 min"), "instant_ngp": (33.18, "5 min"),
    }  # fmt: skip
    nerf = PUBLISHED["nerf"]
    assert nerf.middle / nerf.seconds[0] == pytest.approx(nerf.seconds[1] / nerf.middle)
    assert replace(nerf, seconds=(3600.0, 7200.0)).time == "1-2 h"
