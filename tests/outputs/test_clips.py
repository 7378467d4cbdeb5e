"""A burst of photos becomes videos of every kind of picture."""

import json
from pathlib import Path

import numpy as np
import pytest

from unflat.outputs.clips import write_video_outputs
from unflat.outputs.displays import Limits
from unflat.outputs.images import colour_depth, resized

from .conftest import World
from .test_video import decoded


def test_every_kind_of_picture_is_a_video_of_all_frames(world: World, tmp_path: Path) -> None:
    pytest.importorskip("av")
    paths = write_video_outputs(world.prediction, world.photos, tmp_path, fps=10.0, size=64)
    assert {path.name for path in paths} == {
        "comparison.mp4", "reconstruction.mp4", "depth.mp4", "normals.mp4", "albedo.mp4", "shading.mp4",
        "frontalised.mp4", "turned.mp4", "symmetry_line.mp4", "asymmetry.mp4", "factors.json",
    }  # fmt: skip
    assert sorted(tmp_path.iterdir()) == sorted(paths)
    frames, about = decoded(tmp_path / "depth.mp4")
    assert about["fps"] == 10 and len(frames) == 2 and frames[0].shape == (64, 64, 3)
    assert world.prediction.depth is not None
    limits = Limits.of(world.prediction)
    for frame, depth in zip(frames, world.prediction.depth, strict=True):
        expected = resized(colour_depth(depth, limits.near, limits.far), 64, 64).astype(int)
        assert np.abs(frame - expected).mean() < 6
    comparison, _ = decoded(tmp_path / "comparison.mp4")
    assert len(comparison) == 2 and comparison[0].shape[1] > 6 * 160


def test_view_and_light_of_every_frame_stand_in_one_file(world: World, tmp_path: Path) -> None:
    write_video_outputs(world.prediction, world.photos, tmp_path, size=32)
    held = json.loads((tmp_path / "factors.json").read_text())
    yaws = [frame["view"]["yaw_degrees"] for frame in held["frames"]]
    assert yaws == pytest.approx(world.views[:, 1].rad2deg().tolist(), abs=1e-4)
    assert [frame["photo"] for frame in held["frames"]] == list(world.photos.names) and held["fps"] == 25


def test_wrong_numbers_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are 1 frames, but the prediction holds 2"):
        write_video_outputs(world.prediction, world.photos[:1], tmp_path)
