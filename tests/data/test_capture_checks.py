"""Warnings about cameras: each is provoked by the mistake that it is about, and good captures provoke none."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from unflat.data.capture_checks import rig_warnings
from unflat.data.kinds import Scene
from unflat.data.scenes import Rig, settled
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.cameras import Pinhole
from unflat.geometry.similarities import Similarity
from unflat.worlds.objects import Objects

PINHOLE = Pinhole(120.0, 120.0, 50.0, 50.0, 100, 100)
FLIP = np.diag([1.0, -1.0, -1.0, 1.0])


def towards(place: np.ndarray, at: np.ndarray) -> np.ndarray:
    """World from a level camera; z is up."""
    forward = (at - place) / np.linalg.norm(at - place)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = np.stack([right, np.cross(forward, right), forward], 1), place
    return pose


def around(count: int = 24, at: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Cameras around a point, some above it and some below."""
    turn = np.arange(count) / count * 2 * np.pi
    places = np.stack([4 * np.cos(turn), 4 * np.sin(turn), np.random.default_rng(0).uniform(-1, 2, count)], 1)
    return np.stack([towards(place + np.array(at), np.array(at)) for place in places])


def facing(count: int = 12) -> np.ndarray:
    """Cameras side by side that look the same way."""
    rng = np.random.default_rng(1)
    places = rng.uniform(-1, 1, (count, 3)) * [1.0, 0.1, 0.6]
    return np.stack([towards(place, place + np.array([0.02 * place[0], 1.0, 0.0])) for place in places])


def strolling(count: int = 20) -> np.ndarray:
    """A walk along a wall, looking at it."""
    places = np.stack([np.linspace(0, 10, count), np.zeros(count), np.full(count, 1.5)], 1)
    return np.stack([towards(place, place + np.array([0.3, 3.0, 0.1])) for place in places])


def seen(poses: np.ndarray) -> tuple[Viewpoints, Scene]:
    """The cameras as `read_capture` would place them."""
    scene_from_world, scene = settled(Rig(poses, [PINHOLE] * len(poses)), alpha=False)
    names = [f"{index:02d}.jpg" for index in range(len(poses))]
    return Viewpoints([PINHOLE] * len(poses), scene_from_world.place(poses), names), scene


def two() -> np.ndarray:
    return np.stack([towards(np.array(place), np.zeros(3)) for place in ((3.0, 0.0, 1.0), (2.8, 1.0, 1.0))])


def driving() -> np.ndarray:
    """Once around a block, looking ahead."""
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    places = np.stack([20 * np.sin(turn), 20 * np.cos(turn), np.full(60, 1.5)], 1)
    ahead = np.stack([np.cos(turn), -np.sin(turn), np.full(60, -0.02)], 1)
    return np.stack([towards(place, place + way) for place, way in zip(places, ahead, strict=True)])


def test_good_captures_are_silent() -> None:
    elsewhere = Similarity(2.7, Rotation.random(random_state=3).as_matrix(), np.array([5.0, -3.0, 1.0]))
    for poses in (around(), facing(), strolling(), two(), driving()):
        for placed in (poses, elsewhere.place(poses)):
            assert rig_warnings(*seen(placed)) == []


@pytest.mark.parametrize("views", [4, 12, 40])
def test_generated_objects_are_silent(views: int) -> None:
    for split in ("train", "test"):
        capture = Objects("torus", views, 8, split=split).capture(progress=False)
        assert rig_warnings(capture.viewpoints, capture.scene) == []


def second_and_third_axis_negated(poses: np.ndarray) -> np.ndarray:
    return poses @ FLIP


def standing_still(poses: np.ndarray) -> np.ndarray:
    still = poses.copy()
    still[:, :3, 3] = poses[0, :3, 3]
    return still


def hardly_moved(poses: np.ndarray) -> np.ndarray:
    """A hundredth of the way around."""
    return np.stack([towards(pose[:3, 3] * [0.002, 0.002, 0] + [0, -3.0, 1.0], np.zeros(3)) for pose in poses])


def one_mirrored(poses: np.ndarray) -> np.ndarray:
    return np.concatenate([poses[:3], poses[3:4] @ np.diag([-1.0, 1.0, 1.0, 1.0]), poses[4:]])


def one_lost(poses: np.ndarray) -> np.ndarray:
    lost = poses.copy()
    lost[5, 0, 3] = np.nan
    return lost


def rolled_at_random(poses: np.ndarray) -> np.ndarray:
    turns = Rotation.from_euler("z", np.random.default_rng(2).uniform(0, 2 * np.pi, (len(poses), 1)))
    rolled = poses.copy()
    rolled[:, :3, :3] = poses[:, :3, :3] @ turns.as_matrix()
    return rolled


def two_hanging(poses: np.ndarray) -> np.ndarray:
    half = np.diag([-1.0, -1.0, 1.0, 1.0])
    return np.concatenate([poses[:2] @ half, poses[2:]])


def all_hanging(poses: np.ndarray) -> np.ndarray:
    return poses @ np.diag([-1.0, -1.0, 1.0, 1.0])


def one_astray(poses: np.ndarray) -> np.ndarray:
    return np.concatenate([poses[:7], towards(np.array([0.0, 9.0, 0.0]), np.array([3.0, 20.0, 0.0]))[None], poses[8:]])


def two_places(poses: np.ndarray) -> np.ndarray:
    """Half of the cameras around another thing, far away."""
    return np.concatenate([poses[::2], around(12, at=(40.0, 0.0, 0.0))])


MISTAKES: tuple[tuple[Callable[[np.ndarray], np.ndarray], str], ...] = (
    (second_and_third_axis_negated, "look away from the point.*Negate the second and third column.*upside down"),
    (standing_still, "all cameras stand in one point"),
    (hardly_moved, r"hardly moved, by 0\.\d+% of their distance"),
    (one_mirrored, r"1 of 24 cameras \(03.jpg\) are mirrored.*determinant"),
    (one_lost, r"1 of 24 cameras \(05.jpg\) have poses that are no finite numbers"),
    (rolled_at_random, "no way up fits the pictures"),
    (two_hanging, r"2 of 24 cameras \(00.jpg, 01.jpg\) hang upside down against the others"),
    (all_hanging, "hang upside down in the files' world"),
    (one_astray, r"1 of 24 cameras \(07.jpg\) see nothing that another camera sees"),
    (two_places, r"fall into 2 groups that see nothing in common \(12 of 24 cameras"),
    (np.linalg.inv, "look at nothing in common.*camera-from-world"),
)


@pytest.mark.parametrize(("mistake", "said"), MISTAKES, ids=[mistake.__name__ for mistake, _ in MISTAKES])
def test_a_mistake_is_named(mistake: Callable[[np.ndarray], np.ndarray], said: str) -> None:
    """In the frame of the good capture: the files' world is that of the generated cameras."""
    poses = around(at=(1.0, 2.0, 0.5)) if mistake is np.linalg.inv else around()
    viewpoints, scene = seen(poses)
    in_world = scene.world_from_scene.place(viewpoints.scene_from_camera)
    broken = replace(viewpoints, scene_from_camera=scene.world_from_scene.inverse.place(mistake(in_world)))
    warnings = rig_warnings(broken, scene)
    assert len(warnings) == 1, warnings
    assert re.search(said, warnings[0]), warnings[0]
