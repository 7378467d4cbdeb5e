"""The script that draws methods' curves over CPU time: what it makes of a curve, and that it runs."""

from pathlib import Path

import capture_curves

from unflat.worlds.objects import Objects


def test_the_last_look_before_each_time_counts() -> None:
    options = capture_curves.parser().parse_args(["chair", "--minutes", "0.5", "1", "0.01"])
    looks = [(10, 5.0, 20.0, 0.8), (20, 29.0, 25.0, 0.9), (30, 31.0, 26.0, 0.91)]
    points = [dict(zip(("step", "cpu", "psnr", "ssim"), look, strict=True)) for look in looks]
    found = {"points": points, "levels": {"25": 29.0}, "learned": 100, "looked": 8}
    told = {line.metric: line.ours for line in capture_curves.records(options, "dvgo", found)}
    assert told == {
        "PSNR after 0.5 CPU min": 25.0, "SSIM after 0.5 CPU min": 0.9,
        "PSNR after 1 CPU min": 26.0, "SSIM after 1 CPU min": 0.91, "CPU s to 25 dB": 29.0,
    }  # fmt: skip


def test_it_learns_until_the_time_is_up(tmp_path: Path) -> None:
    for split, views in (("train", 6), ("test", 2)):
        Objects("box", views, 24, split=split).write(tmp_path, progress=False)  # type: ignore[arg-type]
    words = [str(tmp_path), "--side", "24", "--methods", "quick_grid", "--minutes", "0.005"]
    found = capture_curves.worked(capture_curves.parser().parse_args(words))
    assert found["learned"] == 6 and found["looked"] == 2
    assert found["points"][-1]["cpu"] > 0.3 and found["points"][-1]["step"] < 1000
