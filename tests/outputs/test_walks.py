"""What cameras see on a path: the frames of a ball whose pictures a formula gives, as files."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.oracles.ball import ball
from unflat.data.kinds import Extent, Photos, Scene
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.similarities import Similarity
from unflat.method import Method, Prediction
from unflat.outputs import video
from unflat.outputs.paths import of_file
from unflat.outputs.progress import told
from unflat.outputs.walks import depth_range, scene_of, smoothly, write_walk

CAMERA = Pinhole(40.0, 40.0, 20.0, 15.0, 40, 30)
METRES = Scene(background=(1.0, 1.0, 1.0)).placed(Similarity(0.1, np.eye(3), np.array([5.0, 0.0, 0.0])))


def approaching() -> Viewpoints:
    """Three cameras on the y axis, 3, 2.5 and 2 from the ball's middle, looking along y."""
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, :3] = np.stack([[1, 0, 0], [0, 0, -1], [0, 1, 0]], -1)
    poses[:, 1, 3] = [-3.0, -2.5, -2.0]
    return Viewpoints([CAMERA] * 3, poses, ("a.png", "b.png", "b.png"))


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def test_frames_and_videos_of_colour_depth_and_opacity(tmp_path: Path) -> None:
    files = write_walk(ball(METRES), approaching(), tmp_path, depth="npy", progress=False)
    kinds = ("rgb", "depth", "opacity")
    videos = [file for file in files if file.suffix in (".mp4", ".webp")]
    assert [file.stem for file in videos] == list(kinds) and all(file.stat().st_size > 50 for file in files)
    assert set(files) == {path for path in tmp_path.rglob("*") if path.is_file()}, "nothing else is left"
    for kind in kinds:
        assert [p.name for p in sorted((tmp_path / kind).iterdir())] == ["a.png", "b-2.png", "b.png"]
        assert picture(tmp_path / kind / "a.png").shape == (30, 40, 3)
    rgb, opacity = picture(tmp_path / "rgb" / "b-2.png"), picture(tmp_path / "opacity" / "b-2.png")
    assert rgb[0, 0].tolist() == [255, 255, 255] and opacity[0, 0].tolist() == [0, 0, 0]
    assert opacity[15, 20].tolist() == [255, 255, 255]
    # the middle shows the ball's nearest point, (0, -radius, 0)
    np.testing.assert_allclose(rgb[14:16, 19:21].mean((0, 1)), [127.5, 0, 127.5], atol=4)


def test_depth_is_in_the_unit_of_the_captures_files(tmp_path: Path) -> None:
    write_walk(ball(METRES), approaching(), tmp_path, depth="npy", frames=False, progress=False)
    depth = np.load(tmp_path / "depth_maps" / "b-2.npy")
    assert depth.dtype == np.float32 and np.isnan(depth[0, 0])
    assert depth[15, 20] == pytest.approx(0.1 * (2.0 - 0.6), rel=1e-3)
    assert not (tmp_path / "rgb").exists(), "no frames were asked for"
    assert (tmp_path / "rgb.mp4").exists() or (tmp_path / "rgb.webp").exists()


def test_depth_in_16_bits_says_its_range(tmp_path: Path) -> None:
    write_walk(ball(METRES), approaching(), tmp_path, depth="png16", frames=False, progress=False)
    with Image.open(tmp_path / "depth_maps" / "a.png") as opened:
        near, far, level = float(opened.text["near"]), float(opened.text["far"]), np.asarray(opened)  # type: ignore[attr-defined]
    depth = far + (near - far) * (level.astype(float) - 1) / 65534
    assert depth[15, 20] == pytest.approx(0.1 * 2.4, rel=1e-3) and level[0, 0] == 0


def test_depth_colours_mean_the_same_in_all_frames_and_are_written_down(tmp_path: Path) -> None:
    write_walk(ball(METRES), approaching(), tmp_path, progress=False)
    far, near = (picture(tmp_path / "depth" / f"{name}.png")[15, 20].astype(int) for name in ("a", "b-2"))
    assert near.sum() > far.sum() + 150, "near is pale"
    colours = json.loads((tmp_path / "camera_path.json").read_text())["depth_colours"]
    assert 0.1 * 1.4 <= colours["near"] < 0.15 and 0.26 < colours["far"] < 0.1 * 3.0


def test_the_cameras_can_be_rendered_again(tmp_path: Path) -> None:
    path = approaching()
    write_walk(ball(METRES), path, tmp_path, frames=False, progress=False)
    again = of_file(tmp_path / "camera_path.json", METRES, path)
    np.testing.assert_allclose(again.scene_from_camera, path.scene_from_camera, atol=1e-9)
    assert again.pinholes[0].fx == pytest.approx(40) and again.pinholes[0].width == 40
    said = json.loads((tmp_path / "camera_path.json").read_text())
    # in the files' world, with OpenGL's axes: it looks along -z
    pose = np.reshape(said["camera_path"][0]["camera_to_world"], (4, 4))
    np.testing.assert_allclose(pose[:3, 3], [5.0, -0.3, 0.0], atol=1e-9)
    np.testing.assert_allclose(-pose[:3, 2], [0.0, 1.0, 0.0], atol=1e-9)
    assert said["camera_path"][0]["fov"] == pytest.approx(math.degrees(2 * math.atan(15 / 40)))


def test_the_range_of_depth_is_found_from_small_pictures() -> None:
    limits = depth_range(ball(), approaching())
    assert limits is not None
    assert 1.4 <= limits.near < 1.5 and 2.6 < limits.far < 3.0
    away = approaching().scene_from_camera.copy()
    away[:, :3, :3] = -away[:, :3, :3]  # turned about: nothing is seen
    away[:, :3, 0] *= -1
    assert depth_range(ball(), Viewpoints([CAMERA] * 3, away, tuple("abc"))) is None


def test_pixels_are_means_of_rays_and_depth_is_the_nearest_of_them() -> None:
    camera, method = approaching().cameras(2), ball()
    fine = method.predict(Cameras(camera.pinhole.resized(120, 90), camera.camera_from_world))
    seen = smoothly(method, camera, 3)
    assert fine.rgb is not None and fine.depth is not None and fine.opacity is not None
    assert seen.rgb is not None and seen.depth is not None and seen.opacity is not None
    blocks = fine.rgb[0].view(30, 3, 40, 3, 3)
    torch.testing.assert_close(seen.rgb[0], blocks.mean((1, 3)))
    covered = fine.opacity[0].view(30, 3, 40, 3).mean((1, 3))
    torch.testing.assert_close(seen.opacity[0], covered)
    assert bool(((covered > 0) & (covered < 1)).any()), "edges are smooth"
    nearest = fine.depth[0].nan_to_num(torch.inf).view(30, 3, 40, 3).amin((1, 3))
    expected = nearest.where(covered >= 0.5, torch.nan)
    torch.testing.assert_close(seen.depth[0], expected, equal_nan=True)
    with pytest.raises(ValueError, match="samples is 0; give 1 to 8"):
        smoothly(method, camera, 0)


def test_a_video_has_a_rate(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"fps is 0\.0; give the frames of a second"):
        write_walk(ball(), approaching(), tmp_path / "out", fps=0.0)
    assert not (tmp_path / "out").exists()


def test_without_pyav_an_animation_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_encoder", lambda: None)
    files = write_walk(ball(), approaching(), tmp_path, frames=False, progress=False)
    assert [file.name for file in files[:3]] == ["rgb.webp", "depth.webp", "opacity.webp"]


def test_a_method_that_gives_colour_alone_has_one_video(tmp_path: Path) -> None:
    class Plain(Method, takes=Photos, asks=Cameras, gives=("rgb",)):
        def predict(self, query: Any) -> Prediction:
            return Prediction(rgb=torch.zeros(len(query), query.pinhole.height, query.pinhole.width, 3))

    files = write_walk(Plain(None, Extent(1, (4, 4), Scene())), approaching(), tmp_path, progress=False, depth="npy")
    assert sorted(file.name for file in files) == ["a.png", "b-2.png", "b.png", "camera_path.json", files[0].name]
    assert "depth_colours" not in json.loads((tmp_path / "camera_path.json").read_text())
    with pytest.raises(ValueError, match=r"Plain has not learned a scene from a capture.*unflat predict"):
        scene_of(Plain(None, Extent(1, (4, 4))))


def test_how_far_it_is_is_said_where_nobody_sees_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr("unflat.outputs.progress.time.monotonic", lambda: float(next(now)))
    assert list(told("abcd", 4, "frames")) == list("abcd")
    assert "frames 2/4  0.1/s  0.3 min left" in capsys.readouterr().err
    assert list(told("ab", 2, "frames", wanted=False)) == ["a", "b"]
    assert capsys.readouterr().err == ""
