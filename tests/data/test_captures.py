"""Captures read whole: what was written comes back in the scene's frame, whichever split and size."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unflat.data.captures import placed_in, read_capture, smaller
from unflat.data.kinds import Capture, Points, Scene
from unflat.data.recordings import CaptureError
from unflat.geometry.similarities import Similarity
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torus as Blender writes it: 12 pictures to learn from, 3 to test on."""
    place = tmp_path_factory.mktemp("torus")
    Objects("torus", 12, 40).write(place, progress=False)
    Objects("torus", 3, 40, split="test").write(place, progress=False)
    return place


def test_what_was_written_comes_back(folder: Path) -> None:
    """Cameras, in the files' world; pictures; and the object in the scene's middle, within its box."""
    said: list[str] = []
    found = read_capture(folder, split="train", report=said.append, progress=False)
    world = Objects("torus", 12, 40)
    truth = world.capture(progress=False)
    assert len(found) == 12 and found.has_alpha and np.array_equal(found.pixels, truth.pixels)
    ours = found.scene.world_from_scene.place(found.scene_from_camera)
    np.testing.assert_allclose(ours, truth.scene.world_from_scene.place(truth.scene_from_camera), atol=1e-9)
    mesh = torch.from_numpy(truth.scene.world_from_scene.apply(world.mesh().vertices.numpy()))
    inside = found.scene.world_from_scene.inverse.apply(mesh.numpy())
    assert np.abs(inside).max() < 1 and found.scene.space == "box" and found.scene.background == (1.0, 1.0, 1.0)
    depth = (inside @ found.scene_from_camera[0, :3, 2]) - found.scene_from_camera[0, :3, 3] @ found.scene_from_camera[
        0, :3, 2
    ]
    assert found.scene.near < depth.min() and depth.max() < found.scene.far


def test_the_scene_is_the_same_for_every_split_and_size(folder: Path) -> None:
    found = [
        read_capture(folder, split=split, side=side, progress=False)
        for split in ("train", "test", None)
        for side in (None, 20)
    ]
    assert len({one.scene for one in found}) == 1
    assert [len(one) for one in found] == [12, 12, 3, 3, 15, 15]
    assert found[1].pinholes[0].width == 20 and found[1].pinholes[0].fx == pytest.approx(found[0].pinholes[0].fx / 2)


def test_what_is_said_about_the_space_wins(folder: Path) -> None:
    assert read_capture(folder, space="contracted", progress=False).scene.space == "contracted"
    world = read_capture(folder, progress=False).scene.world_from_scene
    box = [*world.apply(np.array([-0.5, -0.5, -0.5])), *world.apply(np.array([0.5, 0.5, 0.5]))]
    found = read_capture(folder, box=[float(v) for v in box], progress=False).scene
    np.testing.assert_allclose(
        found.world_from_scene.apply(np.ones(3) * [found.box[3], found.box[4], found.box[5]]), box[3:]
    )


def nerfstudio(place: Path, opacity: int | None) -> Path:
    """Six grey pictures around the origin, one of which is missing; with opacity, if any."""
    frames = []
    for i in range(6):
        turn = i / 6 * 2 * np.pi
        pose = np.eye(4)
        backward = np.array([np.cos(turn), np.sin(turn), 0.3])
        backward /= np.linalg.norm(backward)
        right = np.cross([0, 0, 1], backward)
        right /= np.linalg.norm(right)
        pose[:3, :3], pose[:3, 3] = np.stack([right, np.cross(backward, right), backward], 1), 4 * backward
        colour = (40 * i, 90, 90) if opacity is None else (40 * i, 90, 90, opacity)
        if i != 3:
            Image.new("RGB" if opacity is None else "RGBA", (16, 12), colour).save(place / f"{i}.png")
        frames.append({"file_path": f"{i}.png", "transform_matrix": pose.tolist()})
    lens = {"fl_x": 20.0, "fl_y": 20.0, "cx": 8.0, "cy": 6.0, "w": 16, "h": 12}
    (place / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    return place


def test_missing_pictures_are_told_and_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    found = read_capture(nerfstudio(tmp_path, None), report=said.append, progress=False)
    assert len(found) == 5 and found.names == ("0.png", "1.png", "2.png", "4.png", "5.png")
    assert any("3.png" in one for one in said) and [s.name for s in found.skipped] == ["3.png"]
    assert found.scene.space == "contracted" and not found.has_alpha


@pytest.mark.parametrize(("opacity", "expected"), [(255, False), (128, True)])
def test_an_opacity_that_is_one_everywhere_is_none(tmp_path: Path, opacity: int, expected: bool) -> None:
    found = read_capture(nerfstudio(tmp_path, opacity), progress=False)
    assert found.has_alpha == expected and (found.scene.space == "box") == expected


def test_a_split_that_is_not_there_is_said(folder: Path) -> None:
    with pytest.raises(CaptureError, match="no pictures of the split val; it has test, train"):
        read_capture(folder, split="val", progress=False)


def test_pictures_may_be_made_smaller_afterwards(folder: Path) -> None:
    whole = read_capture(folder, split="test", progress=False)
    half = smaller(whole, 2)
    assert smaller(whole, 1) is whole
    assert half.pinholes[0].width == 20 and np.array_equal(half.scene_from_camera, whole.scene_from_camera)
    laid, expected = half.rgb(0), whole.rgb(0).reshape(20, 2, 20, 2, 3).mean((1, 3))
    np.testing.assert_allclose(laid, expected, atol=3 / 255)
    rays = [one.pinholes[0].rays(dtype=torch.float64) for one in (half, whole)]
    middle = rays[1].view(20, 2, 20, 2, 3).mean((1, 3))
    torch.testing.assert_close(rays[0], middle)


def test_how_it_was_read_is_kept_and_reads_it_again(folder: Path) -> None:
    capture = read_capture(folder, split="test", side=16, space="contracted", progress=False)
    assert capture.origin == {
        "source": str(folder), "split": "test", "side": 16, "reader": "", "space": "contracted", "box": None,
    }  # fmt: skip
    again = read_capture(**capture.origin, progress=False)
    assert (
        again.names == capture.names and np.array_equal(again.pixels, capture.pixels) and again.scene == capture.scene
    )
    assert capture[[0]].origin == capture.origin
    assert Objects("torus", 2, 8).capture(progress=False).origin == {}


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
