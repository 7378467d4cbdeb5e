"""Poses as files have them: made exact, or refused with what is wrong."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from unflat.data.recordings import CaptureError, checked_pose, opencv_from_opengl


def pose(seed: int = 0) -> np.ndarray:
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = Rotation.random(rng=seed).as_matrix(), (1, -2, 3)
    return whole


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e150, 1e300])
@pytest.mark.parametrize("rows", [3, 4])
def test_a_rotation_is_made_exact_and_of_scale_one(scale: float, rows: int) -> None:
    rough = pose()[:rows].copy()
    rough[:3, :3] *= scale * (1 + 1e-4 * np.random.default_rng(0).normal(size=(3, 3)))
    found = checked_pose(rough, "here")
    np.testing.assert_allclose(found, pose(), atol=1e-3)
    np.testing.assert_allclose(found[:3, :3] @ found[:3, :3].T, np.eye(3), atol=1e-12)
    assert found.shape == (4, 4) and np.array_equal(found[3], [0, 0, 0, 1])


def test_single_precision_is_read_as_it_is() -> None:
    found = checked_pose(pose().astype(np.float32), "here")
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, pose(), atol=1e-6)


@pytest.mark.parametrize("flip", [(1, 1, -1), (-1, 1, 1), (-1, -1, -1)])
def test_mirrors_are_refused(flip: tuple[int, int, int]) -> None:
    with pytest.raises(
        CaptureError, match=r"^here mirrors: the determinant of its rotation is negative\. The file mixes"
    ):
        checked_pose(pose() @ np.diag([*flip, 1]), "here")


@pytest.mark.parametrize(
    "stretch", [(1, 1, 1.1), (1, 1, 0), (0, 0, 0), (1e300, 1, 1), (1e-7, 1e-7, 1e-7), (-1e300, 1, 1)]
)
def test_what_is_stretched_or_flat_is_no_pose(stretch: tuple[float, ...]) -> None:
    with pytest.raises(
        CaptureError, match=r"^here is no pose: its first three columns are not at right angles and of one"
    ):
        checked_pose(pose() @ np.diag([*stretch, 1]), "here")


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [(0, 0), (2, 3)])
def test_what_is_not_finite(value: float, place: tuple[int, int]) -> None:
    wrong = pose()
    wrong[place] = value
    with pytest.raises(
        CaptureError, match=r"^here holds numbers that are not finite: its camera was not found; leave it"
    ):
        checked_pose(wrong, "here")


@pytest.mark.parametrize("shape", [(3, 3), (4,), (2, 4, 4), (0,)])
def test_other_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(
        CaptureError, match=r"^here is no pose: a matrix of 3 or 4 rows and 4 columns is needed, not \("
    ):
        checked_pose(np.zeros(shape), "here")


def test_axes_of_opengl_are_up_and_backwards() -> None:
    """The same camera: what lies to its right, above it and before it."""
    opengl, opencv = pose(), opencv_from_opengl(pose())
    for ours, theirs in (
        ((1, 0, 0), (1, 0, 0)),
        ((0, -1, 0), (0, 1, 0)),
        ((0, 0, 1), (0, 0, -1)),
        ((0, 0, 0), (0, 0, 0)),
    ):
        np.testing.assert_allclose(opencv @ [*ours, 1], opengl @ [*theirs, 1], atol=1e-12)
    assert np.array_equal(opencv_from_opengl(opencv), opengl)
