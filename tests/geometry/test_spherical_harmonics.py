"""Spherical harmonics: orthonormal, and the ones that are meant."""

import math

import pytest
import torch
from scipy.special import sph_harm_y

from unflat.geometry.spherical_harmonics import BANDS, harmonics


def directions(count: int) -> torch.Tensor:
    """Evenly over the sphere."""
    i = torch.arange(count, dtype=torch.float64) + 0.5
    z, turn = 1 - 2 * i / count, math.pi * (1 + 5**0.5) * i
    side = (1 - z * z).sqrt()
    return torch.stack([side * turn.cos(), side * turn.sin(), z], 1)


def test_they_are_orthonormal() -> None:
    values = harmonics(directions(20_000), 16)
    torch.testing.assert_close(4 * math.pi / 20_000 * values.T @ values, torch.eye(16).double(), rtol=0, atol=2e-3)


def test_they_are_the_real_parts_of_the_complex_ones() -> None:
    """Degree l, order m: sqrt(2) times the real (m > 0) or imaginary (m < 0) part, in the order m = -l ... l; signs are
    those of the Condon-Shortley phase, as Plenoxels has them."""
    some = directions(50)
    polar, azimuth = some[:, 2].acos().numpy(), torch.atan2(some[:, 1], some[:, 0]).numpy()
    values = harmonics(some, 16).numpy()
    for degree in range(4):
        for order in range(-degree, degree + 1):
            complex_one = sph_harm_y(degree, abs(order), polar, azimuth)
            expected = (
                complex_one.real if order == 0 else math.sqrt(2) * (complex_one.real if order > 0 else complex_one.imag)
            )
            found = values[:, degree * (degree + 1) + order]
            assert found == pytest.approx(expected, abs=1e-9), (degree, order)


@pytest.mark.parametrize("count", BANDS)
def test_fewer_are_the_first_ones(count: int) -> None:
    some = directions(10)
    assert torch.equal(harmonics(some, count), harmonics(some, 16)[:, :count])


def test_other_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="there are 1, 4, 9, 16 spherical harmonics up to a degree, not 5"):
        harmonics(directions(3), 5)
