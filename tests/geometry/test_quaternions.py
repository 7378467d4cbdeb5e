"""Quaternions against scipy's rotations."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from unflat.geometry.quaternions import neighbourly, quaternion_of, rotation_of, slerp


def turns(count: int, seed: int = 0) -> np.ndarray:
    return Rotation.random(count, rng=np.random.default_rng(seed)).as_matrix()


@pytest.mark.parametrize("axis", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 0, 0)])
def test_half_turns_and_none_are_found_too(axis: tuple[float, float, float]) -> None:
    length = max(float(np.linalg.norm(axis)), 1e-12)
    rotation = Rotation.from_rotvec(np.pi * np.array(axis) / length if any(axis) else np.zeros(3)).as_matrix()
    np.testing.assert_allclose(rotation_of(quaternion_of(rotation)), rotation, atol=1e-12)


def test_there_and_back() -> None:
    rotations = turns(50)
    quaternions = np.stack([quaternion_of(rotation) for rotation in rotations])
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(rotation_of(quaternions), rotations, atol=1e-12)
    np.testing.assert_allclose(rotation_of(3 * quaternions), rotations, atol=1e-12)
    theirs = Rotation.from_matrix(rotations).as_quat(scalar_first=True)
    np.testing.assert_allclose(np.abs((theirs * quaternions).sum(1)), 1, atol=1e-12)


def test_between_rotations_as_scipy_does() -> None:
    rotations, at = turns(6, seed=1), np.linspace(0, 5, 41)
    found = slerp(neighbourly(np.stack([quaternion_of(rotation) for rotation in rotations])), at)
    expected = Slerp(np.arange(6), Rotation.from_matrix(rotations))(at).as_matrix()
    np.testing.assert_allclose(rotation_of(found), expected, atol=1e-9)


def test_the_short_way_is_taken() -> None:
    quaternions = np.stack([quaternion_of(rotation) for rotation in turns(9, seed=2)])
    flipped = neighbourly(quaternions * np.array([1, -1, 1, 1, -1, -1, 1, -1, 1])[:, None])
    assert ((flipped[1:] * flipped[:-1]).sum(1) >= 0).all()
    np.testing.assert_allclose(rotation_of(flipped), rotation_of(quaternions), atol=1e-12)


def test_rotations_that_are_alike_stay() -> None:
    same = np.repeat(quaternion_of(turns(1)[0])[None], 3, 0)
    np.testing.assert_allclose(slerp(same, np.array([0.0, 0.7, 2.0])), same, atol=1e-12)
