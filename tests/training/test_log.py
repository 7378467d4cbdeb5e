import io
import json
import math
import time
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from unflat.training import log
from unflat.training.log import Log, read_log, rewind


def test_means_are_over_the_steps_that_had_the_figure(tmp_path: Path) -> None:
    with Log(tmp_path, 4, 0, quiet=True) as told:
        told.count({"loss": 1.0, "rare": 5.0}, 2)
        told.count({"loss": 2.0}, 2)
        told.line(2)
        told.count({"loss": 7.0}, 2)
        told.line(3, rate=0.5)
    first, second = read_log(tmp_path / "log.jsonl")
    assert (first["loss"], first["rare"]) == (1.5, 5.0)
    assert (second["loss"], second["rate"]) == (7.0, 0.5) and "rare" not in second


def test_what_is_no_number_is_null(tmp_path: Path) -> None:
    with Log(tmp_path, 4, 0, quiet=True) as told:
        told.write(1, "validation", {"SIDE": math.nan, "MAD": math.inf, "coverage": 1.0})
    assert read_log(tmp_path / "log.jsonl") == [
        {"step": 1, "kind": "validation", "SIDE": None, "MAD": None, "coverage": 1.0}
    ]


def test_a_resumed_log_has_every_step_once(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"step": step}) + "\n" for step in (1, 2, 3)) + '{"step": 4, "lo')
    rewind(path, 2)
    assert read_log(path) == [{"step": 1}, {"step": 2}]
    assert [p.name for p in tmp_path.iterdir()] == ["log.jsonl"]


def test_pauses_do_not_slow_the_images_per_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    with Log(tmp_path, 4, 0, quiet=True) as told:
        told.count({}, 10)
        now[0] = 2.0
        with told.pause():
            now[0] = 100.0
        told.line(1)
    assert read_log(tmp_path / "log.jsonl")[0]["images_per_second"] == pytest.approx(5)


def test_on_a_terminal_there_is_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(log, "Console", lambda quiet: Console(file=screen, force_terminal=True, width=150))
    with Log(tmp_path, 4, 0) as told:
        told.count({"loss": 1.0}, 10)
        told.validated(1, {"SIDE": 1.234}, "SIDE")
        told.line(1)
        told.say("a warning")
    shown = screen.getvalue()
    assert "1/4" in shown and "images/s" in shown and "SIDE 1.234" in shown and "a warning" in shown


@pytest.mark.parametrize(
    ("height", "encoding", "colours"),
    [(30, "utf-8", "truecolor"), (8, "utf-8", "truecolor"), (30, "ascii", "truecolor"), (30, "utf-8", None)],
)
def test_a_picture_is_shown_where_there_is_room_and_the_terminal_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, height: int, encoding: str, colours: str | None
) -> None:
    told = io.BytesIO()
    screen = io.TextIOWrapper(told, encoding=encoding, write_through=True)
    # rich's stub knows no None, which stands for no colours
    console = Console(file=screen, force_terminal=True, height=height, color_system=colours)  # type: ignore[arg-type]
    monkeypatch.setattr(log, "Console", lambda quiet: console)
    with Log(tmp_path, 4, 0) as bar:
        bar.show(np.full((20, 20, 3), 99, np.uint8))
        bar.show(None)  # data without one
        bar.count({"loss": 1.0}, 10)
    shown = told.getvalue().decode(encoding)
    assert ("\u2580" in shown) == (height == 30 and encoding == "utf-8" and colours is not None)
    assert "1/4" in shown


def test_of_a_scene_psnr_of_rays_and_of_held_out_pictures_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Log(tmp_path, 4, 0, items="rays") as told:
        told.count({"loss": 1.0, "PSNR": 20.0}, 10)
        told.count({"loss": 1.0, "PSNR": 21.0}, 10)
        told.line(2)
        told.validated(2, {"PSNR": 19.254, "SSIM": 0.5}, "PSNR")
        told.count({"loss": 1.0, "PSNR": 22.0}, 10)
        told.line(3)
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("PSNR 20.50") and " rays/s" in first and "images" not in first
    assert second.endswith("PSNR 22.00  validation PSNR 19.25")


def test_a_log_that_is_not_to_write_writes_nothing(tmp_path: Path) -> None:
    with Log(tmp_path, 4, 0, write=False, quiet=True) as told:
        told.count({"loss": 1.0}, 1)
        told.line(1)
    assert not list(tmp_path.iterdir())


def test_tensorboard_gets_the_same_figures(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with Log(tmp_path, 4, 0, quiet=True) as told:
        told.write(3, "validation", {"SIDE": 0.5})
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (event,) = events.Scalars("validation/SIDE")
    assert (event.step, event.value) == (3, 0.5)
