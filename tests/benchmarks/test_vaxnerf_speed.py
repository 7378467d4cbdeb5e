"""The script that compares VaxNeRF with its host: what it makes of trainings, and that one runs."""

from pathlib import Path
from typing import Any

import vaxnerf_speed

from unflat.worlds.objects import Objects


def trained(first: float, second: float | None, psnr: float) -> dict[str, Any]:
    return {"levels": {"25.0": first, "30.0": second}, "last": {"psnr": psnr, "cpu": 90.0, "step": 500}}


def test_only_levels_that_are_reached_every_time_are_compared() -> None:
    options = vaxnerf_speed.parser().parse_args(["chair", "--levels", "25", "30", "--only", "nerf", "vaxnerf"])
    rounds = [
        {"nerf": trained(40.0, None, 29.0), "vaxnerf": trained(10.0, 50.0, 31.0)},
        {"nerf": trained(60.0, 200.0, 30.0), "vaxnerf": trained(10.0, 60.0, 32.0)},
        {"nerf": trained(30.0, 300.0, 31.0), "vaxnerf": trained(10.0, 70.0, 33.0)},
    ]
    told = {line.metric: line.ours for line in vaxnerf_speed.records(options, rounds)}
    assert told == {
        "nerf, CPU s to 25.0 dB": 40.0, "vaxnerf, CPU s to 25.0 dB": 10.0, "vaxnerf, sooner at 25.0 dB": 4.0,
        "vaxnerf, CPU s to 30.0 dB": 60.0, "nerf, PSNR in the end": 30.0, "vaxnerf, PSNR in the end": 32.0,
    }  # fmt: skip


def test_a_worker_tells_when_levels_were_reached(tmp_path: Path) -> None:
    for split, views in (("train", 6), ("test", 1)):
        Objects("box", views, 16, split=split).write(tmp_path, progress=False)  # type: ignore[arg-type]
    words = [str(tmp_path), "--side", "16", "--views", "0", "--steps", "4", "--every", "2", "--levels", "1", "99"]
    found = vaxnerf_speed.worked(vaxnerf_speed.parser().parse_args([*words, "--worker", "vaxnerf, all pixels", "3"]))
    assert found["levels"]["1.0"] > 0 and found["levels"]["99.0"] is None
    assert found["last"]["step"] == 4
