"""Where scenes are found, for cameras of every usual arrangement whose scene is known."""

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from unflat.data.recordings import CaptureError
from unflat.data.scenes import KEPT, Rig, depths_of, middle_of, settled, upward
from unflat.geometry.cameras import Pinhole
from unflat.geometry.similarities import Similarity

PINHOLE = Pinhole(120.0, 120.0, 50.0, 50.0, 100, 100)


def looking(place: np.ndarray, at: np.ndarray, up: np.ndarray) -> np.ndarray:
    """A level camera: world from camera, OpenCV's axes."""
    forward = (at - place) / np.linalg.norm(at - place)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], 1)
    pose[:3, 3] = place
    return pose


def orbit(count: int = 24, distance: float = 4.0, seed: int = 0) -> np.ndarray:
    """Cameras around the origin, from below to above, z up."""
    rng = np.random.default_rng(seed)
    yaw, height = np.arange(count) / count * 2 * np.pi, rng.uniform(-0.2, 0.9, count)
    places = np.stack([np.cos(yaw) * np.cos(height), np.sin(yaw) * np.cos(height), np.sin(height)], 1) * distance
    return np.stack([looking(p, np.zeros(3), np.array([0.0, 0.0, 1.0])) for p in places])


def facing(count: int = 20, seed: int = 0) -> np.ndarray:
    """Cameras side by side that look forward along y, z up."""
    rng = np.random.default_rng(seed)
    places = np.stack([rng.uniform(-1, 1, count), rng.uniform(-0.1, 0.1, count), rng.uniform(-0.6, 0.6, count)], 1)
    return np.stack([looking(p, p + np.array([0.02 * p[0], 1, 0]), np.array([0.0, 0.0, 1.0])) for p in places])


def room(count: int = 24, seed: int = 0) -> np.ndarray:
    """Cameras in the middle of a room that look at its walls."""
    rng = np.random.default_rng(seed)
    yaw = np.arange(count) / count * 2 * np.pi
    outwards = np.stack([np.cos(yaw), np.sin(yaw), 0.1 * rng.normal(size=count)], 1)
    return np.stack([looking(0.5 * d + [2, 1, 1.5], 3 * d + [2, 1, 1.5], np.array([0.0, 0.0, 1.0])) for d in outwards])


def rig(poses: np.ndarray, depths: np.ndarray | None = None) -> Rig:
    return Rig(poses, [PINHOLE] * len(poses), depths)


def moved(poses: np.ndarray, seed: int = 3) -> tuple[np.ndarray, Similarity]:
    """The same cameras in a world that is turned, scaled and shifted."""
    rotation = Rotation.random(random_state=seed).as_matrix()
    other = Similarity(2.7, rotation, np.array([5.0, -3.0, 1.0]))
    return other.place(poses), other


def test_an_object_is_in_the_middle_with_all_that_every_camera_sees_within_the_box() -> None:
    scene_from_world, scene = settled(rig(orbit()), alpha=True)
    assert scene.space == "box" and scene.background == (1.0, 1.0, 1.0)
    np.testing.assert_allclose(scene_from_world.apply(np.zeros(3)), 0, atol=1e-9)
    np.testing.assert_allclose(scene_from_world.rotation, np.eye(3), atol=1e-12)
    visible = 4 * math.sin(math.atan(50 / 120))  # the sphere that fills the pictures
    assert scene_from_world.scale == pytest.approx(1 / (1.1 * visible))
    distance = 4 * scene_from_world.scale
    assert 0 < scene.near < distance - 1 and scene.far > distance + 1


@pytest.mark.parametrize("seed", range(3))
def test_a_world_of_any_frame_gives_the_same_scene(seed: int) -> None:
    poses, other = moved(orbit(), seed)
    plain, _ = settled(rig(orbit()), alpha=True)
    found, scene = settled(rig(poses), alpha=True)
    np.testing.assert_allclose(found.apply(other.apply(np.zeros(3))), 0, atol=1e-6)
    assert found.scale == pytest.approx(plain.scale / other.scale)
    np.testing.assert_allclose(found.turn(other.turn(np.array([0.0, 0.0, 1.0]))), [0, 0, 1], atol=1e-6)
    point = np.array([0.3, 0.2, 0.1])
    np.testing.assert_allclose(scene.world_from_scene.apply(found.apply(point)), point, atol=1e-9)


def test_up_is_found_though_nobody_looks_straight_ahead() -> None:
    """Only from above: the pictures' own up leans to the middle and is no guide."""
    yaw = np.linspace(0, 1.5, 10)
    places = np.stack([np.cos(yaw), np.sin(yaw), np.full(10, 2.0)], 1)
    poses = np.stack([looking(p, np.zeros(3), np.array([0.0, 0.0, 1.0])) for p in places])
    np.testing.assert_allclose(upward(poses), [0, 0, 1], atol=1e-6)


def test_up_of_cameras_in_a_row_is_that_of_their_pictures() -> None:
    poses = np.stack([looking(np.array([x, -3.0, 0]), np.array([x, 0, 0]), np.array([0, 0.1, 1.0])) for x in range(5)])
    np.testing.assert_allclose(upward(poses), -poses[0, :3, 1], atol=1e-6)


@pytest.mark.parametrize("axis", range(3))
def test_an_axis_of_the_files_that_is_nearly_up_becomes_up(axis: int) -> None:
    turn = np.roll(np.eye(3), axis - 2, axis=0)  # z becomes the axis
    lean = Rotation.from_euler("x", 4, degrees=True).as_matrix()
    poses = Similarity(1.0, turn @ lean, np.zeros(3)).place(orbit())
    found, _ = settled(rig(poses), alpha=True)
    np.testing.assert_allclose(found.turn(np.eye(3)[axis]), [0, 0, 1], atol=1e-9)


def test_a_few_cameras_that_look_elsewhere_do_not_move_the_middle() -> None:
    poses = orbit()
    for i in range(3):
        poses[i] = looking(poses[i, :3, 3], np.array([5.0, 9.0, 3.0]), np.array([0.0, 0.0, 1.0]))
    middle, around = middle_of(rig(poses))
    assert around and np.linalg.norm(middle) < 0.02


def test_without_opacity_what_is_around_an_object_has_no_end() -> None:
    found, scene = settled(rig(orbit()), alpha=False)
    assert scene.space == "contracted" and scene.background is None
    assert found.scale * scene.box[3] ** -1 == pytest.approx(1 / 2), "the box reaches half of the way to the cameras"
    assert scene.box[3] == pytest.approx(1 / KEPT) and scene.box[0] == -scene.box[3], "and some of it is contracted"
    assert scene.far >= 100


def test_a_room_holds_its_cameras() -> None:
    found, scene = settled(rig(room()), alpha=False)
    assert scene.space == "contracted"
    np.testing.assert_allclose(found.apply(np.array([2, 1, 1.5])), 0, atol=0.1)
    assert np.abs(found.apply(room()[:, :3, 3])).max() < 1


def test_cameras_that_look_one_way_see_through_a_window() -> None:
    poses, other = moved(facing())
    depths = np.tile([[3.0, 50.0]], (len(poses), 1)) * other.scale
    found, scene = settled(rig(poses, depths), alpha=False)
    assert scene.space == "ndc" and scene.near == 1
    placed = found.place(poses)
    np.testing.assert_allclose(
        placed[:, :3, 2].mean(0) / np.linalg.norm(placed[:, :3, 2].mean(0)), [0, 0, 1], atol=1e-6
    )
    assert placed[:, 2, 3].max() == pytest.approx(0, abs=1e-9), "all cameras stand behind the near plane"
    assert found.scale == pytest.approx(1 / (0.75 * 3 * other.scale)), "three quarters of the nearest depth is 1"
    assert scene.window == pytest.approx((50 / 120, 50 / 120))
    assert scene.box[2] == -1 and scene.box[5] == 1 and 1 <= scene.box[3] <= 3


def test_what_is_said_wins() -> None:
    assert settled(rig(orbit()), alpha=True, space="contracted")[1].space == "contracted"
    found, scene = settled(rig(orbit()), alpha=False, box=(-1.0, -2.0, 0.0, 1.0, 2.0, 1.0))
    assert scene.space == "box"
    np.testing.assert_allclose(scene.box, (-0.5, -1, -0.25, 0.5, 1, 0.25))
    np.testing.assert_allclose(found.apply(np.array([0, 0, 0.5])), 0, atol=1e-12)


def test_depths_from_points() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-0.5, 0.5, (2000, 3))
    found = depths_of(rig(orbit()), points, np.full(2000, 5))
    for pose, (near, far) in zip(orbit(), found, strict=True):
        depth = (points - pose[:3, 3]) @ pose[:3, 2]
        assert depth.min() <= near < depth.min() + 0.15 and depth.max() - 0.15 < far <= depth.max()
    assert np.isnan(depths_of(rig(orbit()), points, np.full(2000, 2))).all(), "seen in two pictures only"
    behind = np.array([[0.0, 0.0, 50.0]])
    assert np.isnan(depths_of(rig(facing()), behind - [0, 99, 0], np.array([3]))).all()


def test_pictures_straight_from_above_are_turned_as_they_come() -> None:
    rng = np.random.default_rng(0)
    places = np.stack([rng.uniform(-20, 20, 36), rng.uniform(-20, 20, 36), np.full(36, 40.0)], 1)
    ways = np.append(rng.normal(size=(36, 2)), np.zeros((36, 1)), 1)
    poses = np.stack([looking(p, p * [1, 1, 0], way) for p, way in zip(places, ways, strict=True)])
    np.testing.assert_allclose(upward(poses), [0, 0, 1], atol=1e-6)


def test_the_worlds_origin_may_be_far_away() -> None:
    """As that of a country's grid: cameras 4 metres apart, hundreds of kilometres from it."""
    far = orbit()
    far[:, :3, 3] += [500_000.0, 5_700_000.0, 100.0]
    scene_from_world, _ = settled(rig(far), alpha=False)
    near_by, _ = settled(rig(orbit()), alpha=False)
    np.testing.assert_allclose(scene_from_world.place(far), near_by.place(orbit()), atol=1e-6)


def test_cameras_that_show_no_shape_are_refused() -> None:
    with pytest.raises(CaptureError, match="a capture of 1 picture shows no shape"):
        settled(rig(orbit()[:1]), alpha=True)
    turning = room()
    turning[:, :3, 3] = [1.0, 2.0, 3.0]
    with pytest.raises(CaptureError, match="all cameras stand in one point"):
        settled(rig(turning), alpha=False)
    with pytest.raises(CaptureError, match="is empty: give least x, y, z"):
        settled(rig(orbit()), alpha=False, box=(0.0, 0.0, 0.0, 1.0, -1.0, 1.0))
