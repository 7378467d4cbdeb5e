"""Videos are decoded again; turntables and lights follow their formulas."""

import math
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unflat.geometry.meshes import relief_mesh
from unflat.geometry.rotations import Rigid, euler_from_rotation, rotation_from_euler
from unflat.outputs.video import (
    HOLD,
    TILT,
    Relighting,
    display_camera,
    light_grid,
    light_sweep,
    seen_from,
    turntable,
    turntable_frames,
    write_video,
)

from .conftest import SIZE, World

CENTRE = torch.tensor([0.0, 0.0, 1.0])


def moving_square(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    frames = []
    for step in range(count):
        frame = np.full((height, width, 3), 40, np.uint8)
        frame[10:30, 4 + 3 * step : 24 + 3 * step] = [220, 60, 30]
        frames.append(frame)
    return frames


def decoded(path: Path) -> tuple[list[np.ndarray], dict[str, object]]:
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        about = {"codec": stream.codec_context.name, "format": stream.codec_context.pix_fmt, "fps": stream.average_rate}
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)], about


def test_mp4_plays_the_frames_in_order_at_their_rate(tmp_path: Path) -> None:
    frames = moving_square(10)
    path = write_video(tmp_path / "a.mp4", iter(frames), fps=12.5)
    played, about = decoded(path)
    assert about == {"codec": "h264", "format": "yuv420p", "fps": 12.5} and len(played) == 10
    for frame, original in zip(played, frames, strict=True):
        assert np.abs(frame.astype(int) - original).mean() < 4
    content = path.read_bytes()
    assert content.index(b"moov") < content.index(b"mdat"), "browsers start before the whole file is there"


def test_odd_sides_grow_by_one_pixel(tmp_path: Path) -> None:
    played, _ = decoded(write_video(tmp_path / "a.mp4", moving_square(2, 47, 63)))
    assert played[0].shape == (48, 64, 3)


def test_without_av_an_animated_webp_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    path = write_video(tmp_path / "a.mp4", moving_square(5), fps=10.0)
    assert path.name == "a.webp"
    with Image.open(path) as animation:
        assert animation.n_frames == 5 and animation.size == (64, 48)
        animation.seek(4)
        animation.load()
        assert animation.info["duration"] == 100
        assert np.abs(np.asarray(animation.convert("RGB")).astype(int) - moving_square(5)[4]).mean() < 4


def test_unfit_frames_are_refused_and_leave_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(tmp_path / "a.mp4", [])
    with pytest.raises(ValueError, match=r"frame 1 is uint8 \[8, 8, 3\]; all frames .* \[48, 64, 3\]"):
        write_video(tmp_path / "a.mp4", [moving_square(1)[0], np.zeros((8, 8, 3), np.uint8)])
    with pytest.raises(ValueError, match="frame 0 is float64"):
        write_video(tmp_path / "a.mp4", [np.zeros((8, 8, 3))])
    assert list(tmp_path.iterdir()) == []


def test_a_turntable_starts_and_ends_at_the_photo_and_sweeps_both_sides() -> None:
    seen = torch.tensor([0.2, -0.7, 0.1])
    shift = torch.tensor([0.01, -0.02, 0.03])
    path = turntable(Rigid.about(CENTRE, rotation_from_euler(seen), shift), CENTRE)
    poses = [path.poses[index] for index in path.order]
    assert torch.allclose(poses[0].rotation, rotation_from_euler(seen), atol=1e-6)
    assert torch.allclose(poses[-1].apply(CENTRE[None]), (CENTRE + shift)[None], atol=1e-6)
    turns = torch.stack([euler_from_rotation(pose.rotation) for pose in poses])
    assert turns[:, 1].max().item() == pytest.approx(math.pi / 2, abs=1e-3)
    assert turns[:, 1].min().item() == pytest.approx(-math.pi / 2, abs=1e-3)
    front = path.order.index(max(set(path.order), key=path.order.count))
    assert turns[front].tolist() == pytest.approx([TILT, 0, 0], abs=1e-6)
    angles = torch.stack([a.rotation.mT @ b.rotation for a, b in pairwise(poses)])
    steps = ((angles.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1).acos()
    assert steps.max().rad2deg() < 6, "no jump anywhere"
    assert path.order.count(0) == 2 * HOLD and len(path.order) == 136


def test_the_display_camera_shows_all_of_the_object_from_every_side(world: World) -> None:
    assert world.prediction.mesh is not None
    mesh = world.prediction.mesh[0]
    camera = display_camera(mesh, 64)
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    assert torch.allclose(camera.project((low + high) / 2), torch.tensor([32.0, 32.0]), atol=1e-3)
    for yaw in (-1.5, -0.8, 0.0, 0.8, 1.5):
        pose = Rigid.about((low + high) / 2, rotation_from_euler(torch.tensor([TILT, yaw, 0.0])), torch.zeros(3))
        places = camera.project(pose.apply(mesh.vertices))
        assert places.min() > 0 and places.max() < 64
    with pytest.raises(ValueError, match="in front of the camera"):
        display_camera(relief_mesh(torch.full((8, 8), -1.0), world.camera.resized(8, 8)), 64)


def test_a_mesh_seen_from_the_photos_view_is_the_photo(world: World) -> None:
    """The renderings' colours and place, against pictures made by rays in closed form."""
    prediction = world.prediction
    assert prediction.mesh is not None and prediction.cameras is not None and prediction.depth is not None
    for index, mesh in enumerate(prediction.mesh):
        shown = seen_from(mesh, prediction.cameras.camera_from_world[index], world.camera).astype(float)
        body = (prediction.depth[index] < 0.97).numpy()
        assert np.abs(shown - world.photos.rgb[index])[body].mean() < 4
        mirrored = np.abs(shown[:, ::-1] - world.photos.rgb[index])[body].mean()
        assert mirrored > 4 * np.abs(shown - world.photos.rgb[index])[body].mean()


def test_turntable_frames_show_texture_and_shape(world: World) -> None:
    assert world.prediction.mesh is not None
    mesh = world.prediction.mesh[0]
    path = turntable(Rigid(torch.eye(3), torch.zeros(3)), CENTRE)
    frames = list(turntable_frames(mesh, path, display_camera(mesh, 32)))
    assert len(frames) == len(path.order) and frames[0].shape == (32, 64, 3)
    grey = frames[0][:, 32:].astype(int)
    assert (grey.max(-1) == grey.min(-1)).all() and len(np.unique(grey)) > 20
    textured = frames[0][:, :32].astype(int)
    assert (textured.max(-1) - textured.min(-1)).max() > 60
    assert (frames[0][0] == 255).all(), "white around the object"


def test_relighting_is_albedo_times_the_new_light(world: World) -> None:
    """On the body, against the closed form with normals and albedo of the exact maps."""
    prediction = world.prediction
    assert prediction.canonical is not None and prediction.canonical.albedo is not None
    assert prediction.cameras is not None and prediction.normals is not None and prediction.albedo is not None
    assert prediction.mesh is not None and prediction.depth is not None
    mesh = replace(prediction.mesh[0], texture=prediction.canonical.albedo[0])
    scene = Relighting(mesh, prediction.cameras.camera_from_world[0], world.camera)
    for direction in light_grid()[[0, 4, 7]]:
        shading = 0.2 + 0.7 * (prediction.normals[0] @ direction).clamp_min(0)
        exact = (prediction.albedo[0] * shading[..., None]).clamp(0, 1).numpy()
        shown = scene.under(direction, 0.2, 0.7).astype(float) / 255
        body = (prediction.depth[0] < 0.96).numpy()
        assert np.abs(shown - exact)[body].mean() < 0.02
    assert shown.shape[0] == SIZE


def test_lights_come_from_the_cameras_side() -> None:
    for lights in (light_sweep(40), light_grid()):
        assert torch.allclose(lights.norm(dim=1), torch.ones(len(lights))) and (lights[:, 2] < -0.4).all()
    sweep = light_sweep(40)
    assert sweep[0, 0] < -0.5 and sweep[10, 1] < -0.5 and sweep[20, 0] > 0.5 and sweep[30, 1] > 0.5
    grid = light_grid()
    assert len(grid) == 10 and (grid[:5, 1] < 0).all() and (grid[5:, 1] == 0).all()
    assert (grid[:5, 0].diff() > 0).all()
