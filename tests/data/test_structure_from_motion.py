"""Cameras of bare pictures: a rendered scene is recovered where pycolmap is installed; failures say what to do."""

import json
import math
import os
import re
import struct
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unflat.data import structure_from_motion
from unflat.data.colmap_steps import installed, pairs_to_match
from unflat.data.recordings import CaptureError
from unflat.data.structure_from_motion import Placed, Skipped, place_cameras
from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh, grid_triangles
from unflat.geometry.rotations import Rigid
from unflat.geometry.similarities import aligned
from unflat.rendering.mesh import render_mesh

CAMERA = Pinhole(300.0, 300.0, 163.0, 117.0, 320, 240)


def rendered_corner() -> Mesh:
    """Three squares that meet in a corner, each with its own third of one texture of coarse and fine blotches."""
    rng = np.random.default_rng(0)
    blotches = np.zeros((1024, 1024, 3), np.float32)
    for octave in range(2, 8):
        noise = Image.fromarray(rng.integers(0, 256, (2**octave, 2**octave, 3), np.uint8))
        blotches += np.asarray(noise.resize((1024, 1024), Image.Resampling.BICUBIC), np.float32)
    texture = np.clip(0.5 + 0.25 * (blotches - blotches.mean()) / blotches.std(), 0, 1)
    n = 12
    along, across = np.meshgrid(np.linspace(0, 1, n), np.linspace(0, 1, n), indexing="ij")
    vertices = np.zeros((3, n, n, 3))
    for wall, (a, b) in enumerate(((0, 1), (0, 2), (1, 2))):
        vertices[wall, ..., a], vertices[wall, ..., b] = along, across
    uv = np.stack([np.stack([(wall + 0.98 * along) / 3, across], -1) for wall in range(3)])
    return Mesh(
        torch.from_numpy(vertices).float().flatten(0, 2),
        torch.cat([grid_triangles(n, n) + wall * n * n for wall in range(3)]),
        uv=torch.from_numpy(uv).float().flatten(0, 2),
        texture=torch.from_numpy(texture.astype(np.float32)),
    )


def pose_towards(place: tuple[float, float, float], target: tuple[float, float, float]) -> np.ndarray:
    """[4, 4] world_from_camera of a camera held upright (z of the world is up)."""
    forward = np.subtract(target, place) / np.linalg.norm(np.subtract(target, place))
    right = np.cross(forward, [0, 0, 1]) / np.linalg.norm(np.cross(forward, [0, 0, 1]))
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([right, np.cross(forward, right), forward], 1), place
    return pose


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """Twelve views of the corner, and where they were taken from."""
    folder, mesh, poses = tmp_path_factory.mktemp("photos"), rendered_corner(), {}
    for i in range(12):
        angle = math.radians(15 + 12 * (i % 6))
        pose = pose_towards((1.9 * math.cos(angle), 1.9 * math.sin(angle), (1.0, 1.5)[i // 6]), (0.35, 0.35, 0.35))
        seen = torch.from_numpy(np.linalg.inv(pose)).float()
        picture, _ = render_mesh(mesh, Rigid(seen[:3, :3], seen[:3, 3]), CAMERA, background=(0.5, 0.5, 0.5))
        Image.fromarray((picture.numpy() * 255).round().astype(np.uint8)).save(folder / f"view {i}.png")
        poses[f"view {i}.png"] = pose
    return folder, poses


def some_of(photos: Path, folder: Path, count: int) -> None:
    folder.mkdir()
    for i in range(count):
        (folder / f"view {i}.png").write_bytes((photos / f"view {i}.png").read_bytes())


def read_poses(path: Path) -> dict[str, np.ndarray]:
    """[4, 4] world_from_camera of each name in images.bin, by the layout of the file."""
    content, poses = path.read_bytes(), {}
    (count,), at = struct.unpack_from("<Q", content), 8
    for _ in range(count):
        _, w, x, y, z, *shift, _ = struct.unpack_from("<i7di", content, at)
        at += 64
        end = content.index(b"\0", at)
        name, (points,) = content[at:end].decode(), struct.unpack_from("<Q", content, end + 1)
        at = end + 9 + 24 * points
        cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
        camera_from_world = np.eye(4)
        camera_from_world[:3, :3] = np.eye(3) + 2 * w * cross + 2 * cross @ cross
        camera_from_world[:3, 3] = shift
        poses[name] = np.linalg.inv(camera_from_world)
    assert at == len(content)
    return poses


def errors(found: dict[str, np.ndarray], truth: dict[str, np.ndarray]) -> tuple[float, float]:
    """Largest error of a centre, over the mean distance of the centres from their middle, and of a rotation, in
    degrees, once the worlds are laid over each other."""
    ours, true = (np.stack([poses[name] for name in sorted(found)]) for poses in (found, truth))
    ours = aligned(ours[:, :3, 3], true[:, :3, 3]).place(ours)
    centres = true[:, :3, 3]
    size = np.linalg.norm(centres - centres.mean(0), axis=1).mean()
    traces = np.einsum("nij,nij->n", ours[:, :3, :3], true[:, :3, :3])
    turns = np.degrees(np.arccos(np.clip((traces - 1) / 2, -1, 1)))
    return float(np.linalg.norm(ours[:, :3, 3] - centres, axis=1).max() / size), float(turns.max())


def test_a_rendered_scene_is_recovered(
    photos: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The principal point, which lies off the middle, too."""
    pytest.importorskip("pycolmap")
    folder, truth = photos
    placed = place_cameras(folder, tmp_path / "out", threads=1)
    assert (placed.found, placed.used, placed.placed, placed.models) == (12, 12, 12, 1)
    assert placed.unplaced == placed.skipped == placed.warnings == ()
    assert placed.error < 0.3 and placed.track_length > 4 and placed.points > 500
    found = read_poses(tmp_path / "out/sparse/0/images.bin")
    assert set(found) == set(truth)
    centre, turn = errors(found, truth)
    assert centre < 0.005 and turn < 0.3
    report = json.loads((tmp_path / "out/report.json").read_text())
    (camera,) = report["cameras"]
    assert (camera["model"], camera["width"], camera["height"]) == ("OPENCV", 320, 240)
    assert np.allclose(camera["params"][:4], [300, 300, 163, 117], atol=2)
    assert np.allclose(camera["params"][4:], 0, atol=0.03)
    assert report["placed"] == 12 and report["error"] == placed.error and report["settings"]["count"] == 100
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "contact-sheet.png", "images", "report.json", "sparse",
    ]  # fmt: skip
    assert sorted(path.name for path in (tmp_path / "out/images").iterdir()) == sorted(truth)
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "nothing is left beside it"
    said = capsys.readouterr()
    assert "Matching pairs (of 66)" in said.err and said.out == ""


def test_what_cannot_be_placed_is_named_and_marked(photos: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    """A picture of something else, and one that shows nothing."""
    pytest.importorskip("pycolmap")
    folder, _ = photos
    some_of(folder, tmp_path / "in", 5)
    noise = np.random.default_rng(1).integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(noise).resize((320, 240)).save(tmp_path / "in/other.png")
    Image.new("RGB", (320, 240), "grey").save(tmp_path / "in/blank.png")
    placed = place_cameras(tmp_path / "in", tmp_path / "out", threads=1, model="SIMPLE_PINHOLE", progress=False)
    assert (placed.used, placed.placed) == (7, 5)
    why = dict(placed.unplaced)
    assert set(why) == {"other.png", "blank.png"}
    assert "shows too little to hold on to (0 features)" in why["blank.png"]
    assert "shares fewer than 15 features with every other picture" in why["other.png"]
    assert any(
        line.startswith("only 5 of 7 pictures could be placed; without a camera are") for line in placed.warnings
    )
    with Image.open(tmp_path / "out/contact-sheet.png") as sheet:
        red = (np.asarray(sheet.convert("RGB")) == (255, 0, 0)).all(-1).sum()
    assert red > 2 * 3 * 4 * 120  # two frames of three pixels about 128


def test_one_seed_and_one_thread_give_the_same_cameras(
    photos: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    pytest.importorskip("pycolmap")
    some_of(photos[0], tmp_path / "in", 5)
    for run in "ab":
        place_cameras(tmp_path / "in", tmp_path / run, threads=1, model="SIMPLE_RADIAL", progress=False)
    for name in ("cameras.bin", "images.bin", "points3D.bin"):
        assert (tmp_path / "a/sparse/0" / name).read_bytes() == (tmp_path / "b/sparse/0" / name).read_bytes(), name


def test_the_global_mapper_and_neighbours_alone(photos: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    placed = place_cameras(
        photos[0], tmp_path / "out", threads=1, mapper="global", matcher="sequential", shared_camera=False,
        model="SIMPLE_PINHOLE", progress=False,
    )  # fmt: skip
    assert placed.placed == 12
    assert len(json.loads((tmp_path / "out/report.json").read_text())["cameras"]) == 12
    centre, turn = errors(read_poses(tmp_path / "out/sparse/0/images.bin"), photos[1])
    assert centre < 0.03 and turn < 2  # the principal points are taken to be in the middle


def test_pictures_that_show_nothing(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    (tmp_path / "in").mkdir()
    for i in range(4):
        Image.new("RGB", (320, 240), (40 * i, 90, 90)).save(tmp_path / f"in/{i}.png")
    with pytest.raises(CaptureError, match=r"4 of 4 pictures show too little .*: 0.png, 1.png, 2.png, 3.png\. Take"):
        place_cameras(tmp_path / "in", tmp_path / "out", progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["in"], "nothing is left of it"


def test_pictures_that_have_nothing_in_common(tmp_path: Path) -> None:
    pytest.importorskip("pycolmap")
    (tmp_path / "in").mkdir()
    for i in range(4):
        noise = np.random.default_rng(i).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(noise).resize((320, 240)).save(tmp_path / f"in/{i}.png")
    with pytest.raises(CaptureError, match=r"4 of 4 pictures show nothing that another shows, too: 0.png.* Take"):
        place_cameras(tmp_path / "in", tmp_path / "out", progress=False)


def test_too_few_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure_from_motion.colmap_steps, "installed", stand_in)
    with pytest.raises(CaptureError, match="holds no pictures"):
        place_cameras(tmp_path, tmp_path / "out", progress=False)
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 3), np.uint8)
    for i in range(4):
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"torn")
    few = "1 of 4 pictures can be used, since 3 hardly differ .*, and 1 more cannot be read, as 4.png .*; at least 3"
    with pytest.raises(CaptureError, match=few):
        place_cameras(tmp_path, tmp_path / "out", progress=False)
    assert not [path for path in tmp_path.iterdir() if path.suffix != ".png"]


def stand_in(version: str = "4.2.1") -> types.ModuleType:
    """A module for what is refused before it is asked for anything."""
    module = types.ModuleType("pycolmap")
    module.__version__ = version  # type: ignore[attr-defined]
    module.logging = types.SimpleNamespace(minloglevel=0)  # type: ignore[attr-defined]
    return module


def test_pycolmap_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    with pytest.raises(CaptureError, match=r"pycolmap, which cannot be loaded .*: pip install 'unflat\[sfm\]'"):
        place_cameras(tmp_path, tmp_path / "out")
    for version, named in (("3.13.0", "3.13.0"), ("", "something else")):
        monkeypatch.setitem(sys.modules, "pycolmap", stand_in(version))
        with pytest.raises(CaptureError, match=rf"4.0 or later, and what is installed under this name is {named}"):
            installed()
    monkeypatch.setitem(sys.modules, "pycolmap", stand_in("4.10.0.dev1"))
    assert installed().__version__ == "4.10.0.dev1"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"matcher": "best"}, "matcher='best' is not known: one of auto, exhaustive, sequential is"),
        ({"mapper": "glomap"}, "mapper='glomap' is not known: one of incremental, global is"),
        ({"model": "opencv"}, "model='opencv' is not known: one of SIMPLE_PINHOLE, "),
        ({"threads": 0}, "threads=0 is no number of threads"),
    ],
)
def test_settings_that_make_no_sense(tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises((CaptureError, TypeError), match=message):  # beartype says it in the first two cases
        structure_from_motion._check(
            **{"matcher": "auto", "mapper": "global", "model": "OPENCV", "threads": 1, **settings}
        )


def test_what_is_there_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure_from_motion.colmap_steps, "installed", stand_in)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(CaptureError, match="out is there already and is left as it is: give a new folder"):
        place_cameras(tmp_path, tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine.txt"]


def test_what_killed_runs_left_goes_after_a_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure_from_motion.colmap_steps, "installed", stand_in)
    for left in (".making-out-old", ".making-out-new", ".making-other-old"):
        (tmp_path / left / "images").mkdir(parents=True)
    for left in (".making-out-old", ".making-other-old"):
        os.utime(tmp_path / left, (0, 0))
    with pytest.raises(CaptureError, match="does not exist"):
        place_cameras(tmp_path / "in", tmp_path / "out", progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".making-other-old", ".making-out-new"]


def test_pairs_of_pictures() -> None:
    assert sorted(pairs_to_match(4, sequential=False)) == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    near = pairs_to_match(100, sequential=True)
    assert len(near) == len(set(near)) and all(0 <= i < j < 100 for i, j in near)
    assert {(20, j) for j in (*range(21, 31), 36, 52, 84)} == {(i, j) for i, j in near if i == 20}
    assert {(24, j) for j in (32, 40, 48, 56, 64, 72, 80, 88, 96)} < {(i, j) for i, j in near if i == 24}
    assert pairs_to_match(9, sequential=True) != pairs_to_match(100, sequential=True)


GOOD = Placed(
    folder=Path("out"), found=50, used=50, placed=50, unplaced=(), skipped=(), error=0.8, track_length=5.0, points=9000,
    models=1, warnings=(),
)  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({}, None),
        ({"placed": 45, "error": 1.5, "track_length": 4.0}, None),
        (
            {"placed": 44, "unplaced": (Skipped("a.jpg", "is dark"),)},
            r"only 44 of 50 .* are a\.jpg\. Take pictures between",
        ),
        ({"error": 1.51}, r"by 1.51 pixels on average.*shared_camera=False.*OPENCV_FISHEYE"),
        ({"track_length": 3.9}, r"seen in 3.9 pictures on average.*smaller steps"),
        ({"models": 2}, r"2 parts that do not join.*take pictures that lead from one part to the other"),
    ],
)
def test_what_speaks_against_the_cameras(changed: dict, message: str | None) -> None:
    said = structure_from_motion._gates(replace(GOOD, **changed))
    if message is None:
        assert said == []
    else:
        (line,) = said
        assert re.search(message, line), line
