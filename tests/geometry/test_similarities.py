"""Similarities against matrices, and what aligning finds."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from unflat.geometry.similarities import Similarity, aligned, rotation_between


def some(seed: int) -> Similarity:
    rng = np.random.default_rng(seed)
    rotation = Rotation.random(random_state=seed).as_matrix()
    return Similarity(float(rng.uniform(0.2, 5)), rotation, rng.normal(size=3))


def matrix(similarity: Similarity) -> np.ndarray:
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = similarity.scale * similarity.rotation, similarity.translation
    return whole


def test_it_composes_inverts_and_applies_as_its_matrix_does() -> None:
    a, b = some(1), some(2)
    np.testing.assert_allclose(matrix(a @ b), matrix(a) @ matrix(b), atol=1e-12)
    np.testing.assert_allclose(matrix(a.inverse), np.linalg.inv(matrix(a)), atol=1e-12)
    points = np.random.default_rng(0).normal(size=(5, 3))
    moved = (matrix(a) @ np.concatenate([points, np.ones((5, 1))], 1).T).T[:, :3]
    np.testing.assert_allclose(a.apply(points), moved, atol=1e-12)
    np.testing.assert_allclose(a.turn(points), (moved - a.translation) / a.scale, atol=1e-12)
    np.testing.assert_allclose(matrix(Similarity.identity()), np.eye(4))


def test_placed_cameras_see_the_moved_scene_as_they_saw_it() -> None:
    """What a camera sees in its own frame only changes its size."""
    b_from_a, pose = some(3), np.eye(4)
    pose[:3, :3], pose[:3, 3] = some(4).rotation, (0.3, -2.0, 1.0)
    points = np.random.default_rng(1).normal(size=(6, 3))
    before = (points - pose[:3, 3]) @ pose[:3, :3]
    placed = b_from_a.place(pose)
    after = (b_from_a.apply(points) - placed[:3, 3]) @ placed[:3, :3]
    np.testing.assert_allclose(after, b_from_a.scale * before, atol=1e-12)
    np.testing.assert_allclose(placed[:3, :3] @ placed[:3, :3].T, np.eye(3), atol=1e-12)


def test_aligning_finds_the_similarity() -> None:
    b_from_a = some(5)
    points = np.random.default_rng(2).normal(size=(20, 3))
    np.testing.assert_allclose(matrix(aligned(points, b_from_a.apply(points))), matrix(b_from_a), atol=1e-10)


def test_aligning_never_mirrors() -> None:
    points = np.random.default_rng(3).normal(size=(20, 3))
    found = aligned(points, points * [1, 1, -1])
    assert np.linalg.det(found.rotation) == pytest.approx(1)


def test_what_cannot_be_aligned_is_said() -> None:
    line = np.arange(5)[:, None] * np.ones(3)
    with pytest.raises(ValueError, match="on one line"):
        aligned(line, line)
    with pytest.raises(ValueError, match="2 and 2 points"):
        aligned(line[:2], line[:2])


def test_the_turn_between_directions() -> None:
    rng = np.random.default_rng(4)
    for a, b in [*rng.normal(size=(10, 2, 3)), ((0.0, 0.0, 2.0), (0.0, 0.0, -1.0)), ((1.0, 0.0, 0.0), (1.0, 0.0, 0.0))]:
        turn = rotation_between(a, b)
        towards = np.asarray(b) / np.linalg.norm(b)
        np.testing.assert_allclose(turn @ np.asarray(a) / np.linalg.norm(a), towards, atol=1e-9)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-9)
        assert np.linalg.det(turn) == pytest.approx(1)
