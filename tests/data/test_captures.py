"""Captures read whole: how they were read is kept, and one is brought into the frame of another."""

from pathlib import Path

import numpy as np
import pytest

from unflat.data.captures import placed_in, read_capture
from unflat.data.kinds import Capture, Points, Scene
from unflat.geometry.similarities import Similarity
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vase on disk: six pictures to train on, two for each other split."""
    out = tmp_path_factory.mktemp("vase")
    for split, views in (("train", 6), ("val", 2), ("test", 2)):
        Objects("vase", views, 24, split=split).write(out, progress=False)  # type: ignore[arg-type]
    return out


def test_how_it_was_read_is_kept_and_reads_it_again(folder: Path) -> None:
    capture = read_capture(folder, split="val", side=16, space="contracted", progress=False)
    assert capture.origin == {
        "source": str(folder), "split": "val", "side": 16, "reader": "", "space": "contracted", "box": None,
    }  # fmt: skip
    again = read_capture(**capture.origin, progress=False)
    assert (
        again.names == capture.names and np.array_equal(again.pixels, capture.pixels) and again.scene == capture.scene
    )
    assert capture[[0]].origin == capture.origin
    assert Objects("vase", 2, 8).capture(progress=False).origin == {}


def test_a_relative_folder_is_kept_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert read_capture(folder.name, split="test", progress=False).origin["source"] == str(folder)


def test_a_capture_is_brought_into_the_frame_of_another_scene(folder: Path) -> None:
    capture = read_capture(folder, split="train", progress=False)
    turn = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    other = Scene(space="contracted").placed(Similarity(0.25, turn, np.array([1.0, 2.0, 3.0])))
    places = np.array([[0.1, 0.2, 0.3]])
    depth = np.linspace(1, 2, len(capture.pixels), dtype=np.float32)
    full = Capture(
        capture.pixels, capture.pinholes, capture.scene_from_camera, capture.names, capture.scene,
        depth=depth, points=Points(places, np.zeros((1, 3), np.uint8), np.zeros(1, np.int64)),
    )  # fmt: skip
    moved = placed_in(full, other)
    assert moved.scene == other and moved.points is not None and moved.depth is not None
    # in the files' own world nothing has moved
    before, after = full.scene.world_from_scene, moved.scene.world_from_scene
    np.testing.assert_allclose(after.place(moved.scene_from_camera), before.place(full.scene_from_camera), atol=1e-9)
    np.testing.assert_allclose(after.apply(moved.points.places), before.apply(places), atol=1e-9)
    np.testing.assert_allclose(moved.depth * other.world_scale, depth * capture.scene.world_scale, rtol=1e-6)
    np.testing.assert_allclose(placed_in(full, full.scene).scene_from_camera, full.scene_from_camera, atol=1e-9)
