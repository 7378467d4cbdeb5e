"""Paths for cameras: circles, spirals and ways past cameras, by what holds for each."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from unflat.data.kinds import Scene
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens
from unflat.geometry.similarities import Similarity
from unflat.outputs.paths import along, as_taken, of_file, orbit, sees_scene, usual_pinhole

CAMERA = Pinhole(50.0, 50.0, 20.0, 15.0, 40, 30)


def looking(place: np.ndarray, forward: np.ndarray) -> np.ndarray:
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, place], -1)
    return pose


def ring(count: int = 12, distance: float = 3.0, elevation: float = 0.4, sign: float = 1.0) -> Viewpoints:
    """Cameras around the origin that look at it (or away)."""
    turns = 2 * math.pi * np.arange(count) / count + 0.3
    out, up = distance * math.cos(elevation), distance * math.sin(elevation)
    places = np.stack([out * np.cos(turns), out * np.sin(turns), np.full(count, up)], 1)
    poses = np.stack([looking(place, -sign * place) for place in places])
    return Viewpoints([CAMERA] * count, poses, tuple(map(str, range(count))))


def check_poses(poses: np.ndarray) -> None:
    turns = poses[:, :3, :3]
    np.testing.assert_allclose(turns @ turns.swapaxes(1, 2), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turns), 1, atol=1e-9)
    np.testing.assert_allclose(poses[:, 3], np.broadcast_to([0, 0, 0, 1], (len(poses), 4)))


def test_an_orbit_of_a_ring_is_the_ring() -> None:
    views = ring()
    path = orbit(views, Scene(), 12)
    np.testing.assert_allclose(path.scene_from_camera, views.scene_from_camera, atol=1e-9)
    assert set(path.pinholes) == {CAMERA} and len(path) == 12


def test_an_orbit_goes_around_the_boxs_middle_upright_and_once() -> None:
    scene = Scene(box=(0.5, -0.5, 0.0, 1.5, 0.5, 1.0))
    views = ring()
    moved = views.scene_from_camera.copy()
    moved[:, :3, 3] += (1.0, 0.0, 0.5)
    path = orbit(Viewpoints(views.pinholes, moved, views.names), scene, 36)
    check_poses(path.scene_from_camera)
    offset = path.centres - np.array([1.0, 0.0, 0.5])
    np.testing.assert_allclose(np.linalg.norm(offset, axis=1), 3.0)
    np.testing.assert_allclose(offset[:, 2], 3 * math.sin(0.4))
    np.testing.assert_allclose(path.forward, -offset / 3, atol=1e-9)
    assert (path.scene_from_camera[:, 2, 1] < 0).all(), "down in the picture is down in the scene"
    turns = np.unwrap(np.arctan2(offset[:, 1], offset[:, 0]))
    np.testing.assert_allclose(np.diff(turns), 2 * math.pi / 36)


def test_an_orbit_of_a_room_looks_outwards() -> None:
    path = orbit(ring(sign=-1.0), Scene(space="contracted"), 8)
    np.testing.assert_allclose(path.forward, path.centres / 3, atol=1e-9)
    assert (path.scene_from_camera[:, 2, 1] < 0).all()


def test_an_orbit_keeps_to_where_cameras_stood() -> None:
    half = ring(12)[[11, 0, 1, 2, 3, 4]]  # over 150 degrees; nobody has seen the other side
    path = orbit(half, Scene(space="contracted"), 48)
    seen, turns = (np.unwrap(np.arctan2(c[:, 1], c[:, 0])) for c in (half.centres, path.centres))
    assert turns.min() == pytest.approx(seen.min()) and turns.max() == pytest.approx(seen.max(), abs=1e-9)
    assert turns[24] == pytest.approx(seen.max()) and turns[0] == pytest.approx(seen.min()), "there and back"
    np.testing.assert_allclose(path.forward, -path.centres / 3, atol=1e-9)
    assert np.ptp(np.arctan2(*orbit(ring(12)[[0, 2, 4, 6, 8, 10]], Scene(), 48).centres.T[:2])) > 6, (
        "gaps of 60 degrees"
    )


def test_an_orbit_to_and_fro_goes_as_far_as_cameras_stood_there() -> None:
    """One end of the arc is nearer and lower: behind it there may be a wall."""
    half = ring(12, elevation=0.5)[[11, 0, 1, 2, 3, 4]]
    end, poses = ring(12, elevation=0.1)[[4]], half.scene_from_camera.copy()
    poses[-1] = end.scene_from_camera[0]
    poses[-1, :3, 3] *= 0.6
    path = orbit(Viewpoints(half.pinholes, poses, half.names), Scene(space="contracted"), 48)
    distance = np.linalg.norm(path.centres, axis=1)
    elevation = np.arcsin(path.centres[:, 2] / distance)
    assert distance[0] == pytest.approx(3, abs=0.01) and elevation[0] == pytest.approx(0.5, abs=0.01)
    assert distance[24] == pytest.approx(1.8, abs=0.2) and elevation[24] == pytest.approx(0.1, abs=0.1)
    assert np.abs(np.diff(distance)).max() < 0.3, "without a jump"


def test_an_orbit_stays_off_the_pole() -> None:
    high = orbit(ring(elevation=math.radians(89.9)), Scene(), 5)
    check_poses(high.scene_from_camera)
    assert math.degrees(math.asin(high.centres[0, 2] / 3)) == pytest.approx(80)


def window(count: int = 9) -> Viewpoints:
    """Cameras on a square before z = 0 that look along z, as normalised device coordinates have them."""
    poses = np.tile(np.eye(4), (count, 1, 1))
    x, y = np.meshgrid([-0.4, 0.0, 0.4], [-0.2, 0.0, 0.2])
    poses[:, 0, 3], poses[:, 1, 3], poses[:, 2, 3] = x.ravel(), y.ravel(), -0.1
    return Viewpoints([CAMERA] * count, poses, tuple(map(str, range(count))))


def test_before_a_window_the_orbit_is_a_small_spiral() -> None:
    path = orbit(window(), Scene(space="ndc"), 16)
    check_poses(path.scene_from_camera)
    assert np.abs(path.centres[:, 0]).max() < 0.4 and np.abs(path.centres[:, 1]).max() < 0.2
    assert np.ptp(path.centres[:, 0]) > 0.4 and np.ptp(path.centres[:, 1]) > 0.2
    np.testing.assert_allclose(path.centres[:, 2], -0.1)
    # all optical axes meet at depth 4
    share = (4.0 - path.centres[:, 2]) / path.forward[:, 2]
    np.testing.assert_allclose((path.centres + share[:, None] * path.forward)[:, :2], 0, atol=1e-9)
    assert (path.scene_from_camera[:, 1, 1] > 0.9).all(), "y stays down"


def test_along_a_line_of_cameras_the_way_is_straight_and_even() -> None:
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 0, 3] = [0, 1, 2, 3, 4]
    path = along(Viewpoints([CAMERA] * 5, poses, tuple("abcde")), 41)
    np.testing.assert_allclose(path.centres[:, 0], np.linspace(0, 4, 41), atol=1e-6)
    np.testing.assert_allclose(path.centres[:, 1:], 0, atol=1e-9)
    np.testing.assert_allclose(path.scene_from_camera[:, :3, :3], np.tile(np.eye(3), (41, 1, 1)), atol=1e-9)


def test_a_way_begins_and_ends_with_the_cameras_and_passes_all_of_them() -> None:
    views = ring(7)
    path = along(views, 3001)
    check_poses(path.scene_from_camera)
    np.testing.assert_allclose(path.scene_from_camera[[0, -1]], views.scene_from_camera[[0, -1]], atol=1e-9)
    for pose in views.scene_from_camera:
        apart = np.abs(path.scene_from_camera - pose).max((1, 2))
        assert apart.min() < 5e-3
    # smooth: no step is longer than its neighbours by much, and there is no corner
    steps = np.diff(path.centres, axis=0)
    length = np.linalg.norm(steps, axis=1)
    assert length.max() < 1.05 * np.median(length)
    cosine = (steps[1:] * steps[:-1]).sum(1) / length[1:] / length[:-1]
    assert cosine.min() > math.cos(0.02)


def test_the_turn_between_two_cameras_is_even_where_they_stand_alike_far() -> None:
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[1, :3, :3] = Rotation.from_rotvec([0.0, 0.8, 0.0]).as_matrix()
    poses[1, 0, 3] = 1.0
    path = along(Viewpoints([CAMERA] * 2, poses, ("a", "b")), 9)
    angles = [Rotation.from_matrix(turn).magnitude() for turn in path.scene_from_camera[:, :3, :3]]
    np.testing.assert_allclose(angles, np.linspace(0, 0.8, 9), atol=1e-6)


def test_cameras_in_disorder_are_passed_on_a_short_way() -> None:
    views = ring(12)
    order = np.random.default_rng(0).permutation(12)
    mixed, straight = along(views[order], 100), along(views, 100)
    lengths = [np.linalg.norm(np.diff(path.centres, axis=0), axis=1).sum() for path in (mixed, straight)]
    assert lengths[0] < 1.7 * lengths[1]
    np.testing.assert_allclose(straight.centres[0], views.centres[0], atol=1e-9)


def test_one_camera_or_two_in_one_place_make_a_way() -> None:
    single = along(ring(1), 3)
    np.testing.assert_allclose(single.scene_from_camera, np.repeat(ring(1).scene_from_camera, 3, 0))
    poses = np.stack([np.eye(4)] * 2)
    poses[1, :3, :3] = Rotation.from_rotvec([0.0, 0.4, 0.0]).as_matrix()
    still = along(Viewpoints([CAMERA] * 2, poses, ("a", "b")), 5)
    check_poses(still.scene_from_camera)
    assert np.isfinite(still.scene_from_camera).all()


def test_views_are_taken_with_their_own_lenses_where_they_are_of_one_size() -> None:
    lens = Lens(50.0, 50.0, 21.0, 14.0, 40, 30, "opencv", (0.1,))
    views = Viewpoints([lens, CAMERA], ring(2).scene_from_camera, ("a", "b"))
    path = as_taken(views, 80)
    assert path.pinholes == [lens.resized(80, 60), CAMERA.resized(80, 60)] and path.names == ("a", "b")
    assert as_taken(views).pinholes == [lens, CAMERA]


def test_views_of_different_sizes_are_brought_to_one_and_show_as_much() -> None:
    tall = Pinhole(60.0, 60.0, 15.0, 20.0, 30, 40)
    views = Viewpoints([CAMERA, CAMERA, tall], ring(3).scene_from_camera, ("a", "b", "c"))
    path = as_taken(views, 20)
    assert {(p.width, p.height) for p in path.pinholes} == {(20, 15)}
    for pinhole, own in zip(path.pinholes, views.pinholes, strict=True):
        assert pinhole.height / pinhole.fy == pytest.approx(min(own.width, own.height) / own.fx)


def test_the_usual_pinhole_is_the_one_most_have() -> None:
    views = Viewpoints([CAMERA, Pinhole(80.0, 80.0, 9.0, 9.0, 20, 20), CAMERA], ring(3).scene_from_camera, tuple("abc"))
    found = usual_pinhole(views, 400)
    assert (found.width, found.height, found.cx, found.cy) == (400, 300, 200, 150)
    assert found.fx == pytest.approx(500) and found.fx == found.fy


def written(tmp_path: Path, poses: np.ndarray) -> Path:
    """A camera path, in the files' world with OpenGL's axes."""
    with_opengl_axes = poses @ np.diag([1.0, -1.0, -1.0, 1.0])
    cameras = [{"camera_to_world": pose.ravel().tolist(), "fov": 30.0} for pose in with_opengl_axes]
    file = tmp_path / "camera_path.json"
    file.write_text(json.dumps({"render_width": 60, "render_height": 40, "camera_path": cameras}))
    return file


def test_a_files_cameras_come_into_the_scenes_frame(tmp_path: Path) -> None:
    turn = Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix()
    scene = Scene().placed(Similarity(2.5, turn, np.array([1.0, -2.0, 3.0])))
    views = ring(4)
    file = written(tmp_path, scene.world_from_scene.place(views.scene_from_camera))
    path = of_file(file, scene, views, 30)
    np.testing.assert_allclose(path.scene_from_camera, views.scene_from_camera, atol=1e-9)
    assert {(p.width, p.height) for p in path.pinholes} == {(30, 20)}
    assert of_file(file, scene, views).pinholes[0].width == 60
    assert sees_scene(path, scene)


def test_transforms_without_a_size_take_that_of_the_views(tmp_path: Path) -> None:
    frames = [{"file_path": "./x", "transform_matrix": np.eye(4).tolist()}]
    (tmp_path / "t.json").write_text(json.dumps({"camera_angle_x": 1.0, "frames": frames}))
    (pinhole,) = of_file(tmp_path / "t.json", Scene(), ring()).pinholes
    assert (pinhole.width, pinhole.height) == (40, 30) and pinhole.fx == pytest.approx(20 / math.tan(0.5))


def test_whether_a_path_sees_the_scene() -> None:
    assert sees_scene(ring(), Scene()) and not sees_scene(ring(sign=-1.0), Scene())
    assert sees_scene(window(), Scene(space="ndc"))
    far = ring().scene_from_camera.copy()
    far[:, :3, 3] += 50.0
    assert not sees_scene(Viewpoints([CAMERA] * 12, far, tuple(map(str, range(12)))), Scene())


def test_what_makes_no_path_is_said() -> None:
    with pytest.raises(ValueError, match="a path of 0 frames cannot be rendered"):
        orbit(ring(), Scene(), 0)
    with pytest.raises(ValueError, match="there are no cameras to lay a path by"):
        along(ring()[[]], 3)
    with pytest.raises(ValueError, match="side is 0; give the longer side"):
        usual_pinhole(ring(), 0)
