"""First hits of rays with blended parts: closed forms, and the loop against its twin."""

from collections.abc import Callable

import numpy as np
import pytest

from unflat.kernels import blend_hits as module
from unflat.kernels.blend_hits import blend_hits, blend_hits_numba, blend_hits_numpy

both = pytest.mark.parametrize("back_end", [blend_hits_numba, blend_hits_numpy])


def parts(count: int) -> np.ndarray:
    """Random levels: spheres about points near (0, 0, 0), seen along z."""
    random = np.random.default_rng(count)
    rows = np.zeros((3, count, 6))
    for i in range(count):
        (x, y, z), radius, sharp = random.uniform(-0.04, 0.04, 3), random.uniform(0.01, 0.03), random.uniform(1, 6)
        steep = sharp / radius**2
        rows[0, i, 2] = steep
        rows[1, i, 2] = -steep * z
        rows[2, i] = steep * np.array([1, 1, x * x + y * y + z * z, 0, -2 * x, -2 * y])
        rows[2, i, 2] -= sharp
    return rows


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    at = np.linspace(-0.08, 0.08, size)
    return np.tile(at, size), np.repeat(at, size)


@both
def test_two_equal_spheres_meet_their_sum(back_end: Callable[..., np.ndarray]) -> None:
    """Two copies of one part: F = 2 exp(-g) is 1 where g = log 2, on the ray s = -r sqrt(1 + log 2 / k - x^2 / r^2)."""
    radius, sharp = 0.03, 4.0
    row = np.zeros((3, 6))
    row[0, 2] = sharp / radius**2
    row[2] = [sharp / radius**2, sharp / radius**2, -sharp, 0, 0, 0]
    x, y = grid(31)
    within = 1 + np.log(2) / sharp - (x * x + y * y) / radius**2
    expected = np.where(within >= 0, -radius * np.sqrt(np.maximum(within, 0)), np.nan)
    np.testing.assert_allclose(back_end(np.stack([row, row], 1), x, y), expected, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 12])
def test_the_loop_and_its_twin_agree(count: int) -> None:
    x, y = grid(40)
    fast, slow = blend_hits_numba(parts(count), x, y), blend_hits_numpy(parts(count), x, y)
    assert np.array_equal(np.isfinite(fast), np.isfinite(slow)) and np.isfinite(fast).any()
    np.testing.assert_allclose(fast, slow, atol=1e-5)


@both
def test_hits_are_the_first_of_a_dense_search(back_end: Callable[..., np.ndarray]) -> None:
    x, y = grid(10)
    a, b, c = parts(12) @ np.stack([x * x, y * y, np.ones_like(x), x * y, x, y])
    at = np.arange(-0.08, 0.08, 2e-4)[:, None, None]
    inside = np.exp(-((a * at + 2 * b) * at + c)).sum(1) >= 1
    expected = np.where(inside.any(0), at[inside.argmax(0), 0, 0] - 1e-4, np.nan)
    found = back_end(parts(12), x, y)
    assert np.array_equal(np.isfinite(found), np.isfinite(expected))
    np.testing.assert_allclose(found, expected, atol=1.3e-4)


@both
def test_where_nothing_is_nothing_is_hit(back_end: Callable[..., np.ndarray]) -> None:
    assert np.isnan(back_end(parts(2), np.array([5.0, -5.0]), np.array([0.0, 5.0]))).all()


def test_without_numba_the_twin_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = grid(8)
    monkeypatch.setattr(module, "_numba_loop", lambda: None)
    np.testing.assert_array_equal(blend_hits(parts(3), x, y), blend_hits_numpy(parts(3), x, y))
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'unflat\[fast\]'"):
        blend_hits_numba(parts(3), x, y)
