"""The script that measures how methods hold out with few and noisy data: what is done to the data, and that it runs."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import compare_axes
import numpy as np
import pytest

from unflat.data.kinds import Capture
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def capture() -> Capture:
    return Objects("box", 40, 16).capture(progress=False)


def test_pixel_noise_has_the_deviation_that_is_asked_for(capture: Capture) -> None:
    grey = capture.pixels.copy()
    grey[:, :3] = 128
    noisy = compare_axes.noisy_pixels(replace(capture, pixels=grey), 0.1)
    apart = noisy.pixels[:, :3].astype(float) - 128
    assert apart.std() == pytest.approx(25.5, rel=0.02) and abs(apart.mean()) < 0.5
    assert np.array_equal(noisy.pixels[:, 3], grey[:, 3]), "opacity stays"
    assert compare_axes.noisy_pixels(capture, 0.0) is capture


def test_pose_noise_turns_and_moves_by_what_is_asked_for(capture: Capture) -> None:
    before = capture.scene_from_camera
    after = compare_axes.noisy_poses(capture, 2.0).scene_from_camera
    turns = after[:, :3, :3] @ before[:, :3, :3].transpose(0, 2, 1)
    assert np.allclose(turns @ turns.transpose(0, 2, 1), np.eye(3), atol=1e-9)
    angles = np.degrees(np.arccos((np.trace(turns, axis1=1, axis2=2) - 1) / 2))
    assert np.sqrt((angles**2).mean() / 3) == pytest.approx(2.0, rel=0.2), "the root mean square of a component"
    moved = (after - before)[:, :3, 3] / np.linalg.norm(before[:, :3, 3], axis=1, keepdims=True)
    assert moved.std() == pytest.approx(0.02, rel=0.2)
    assert np.allclose(compare_axes.noisy_poses(capture, 0.0).scene_from_camera, before)


def test_fewer_views_lie_over_all_of_them(capture: Capture) -> None:
    assert compare_axes.fewer(capture, 3).names == tuple(capture.names[i] for i in (0, 20, 39))


def test_a_point_of_each_axis(tmp_path: Path) -> None:
    for split, views in (("train", 6), ("test", 2)):
        Objects("box", views, 24, split=split).write(tmp_path, progress=False)  # type: ignore[arg-type]
    words = [str(tmp_path), "--side", "24", "--experiment", "tiny", "--minutes", "0.01"]
    options = compare_axes.parser().parse_args(words)
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    for axis, value in (("views", 5.0), ("pixels", 0.1), ("poses", 1.0)):
        point = compare_axes.worked(options, "quick_grid", axis, value)
        assert point["learned"] == (5 if axis == "views" else 6) and point["looked"] == 2
        found[axis] = {"quick_grid": [point, {**point, "x": 2 * point["x"]}], "nerf": [point]}
    line = compare_axes.record(options, "quick_grid", "poses", found["poses"]["quick_grid"][0])
    assert line.metric == "PSNR after 0.01 CPU min, 1 pose noise, degrees and % of the distance"
    assert "--experiment tiny" in line.command and "--minutes 0.01" in line.command
    drawn = ElementTree.fromstring(compare_axes.plotted(found))
    assert len([panel for panel in drawn if panel.tag.endswith("svg")]) == 3


def test_what_was_recorded_is_drawn_without_training(monkeypatch: pytest.MonkeyPatch) -> None:
    options = compare_axes.parser().parse_args(["chair", "--recorded", "--methods", "nerf"])
    points = [{"x": x, "psnr": 20 + x, "cpu": 1.0, "step": 3.0, "learned": 6.0, "looked": 2.0} for x in (10.0, 5.0)]
    kept = [compare_axes.record(options, "nerf", "views", point) for point in points]
    other = replace(kept[0], experiment="compare_axes, plush, 100 px")
    monkeypatch.setattr(compare_axes, "read", lambda method: [*kept, other])
    assert compare_axes.recorded(options) == {"views": {"nerf": [{"x": 5.0, "psnr": 25.0}, {"x": 10.0, "psnr": 30.0}]}}
