"""Things of a kind: the same choices, measures that vary by less than among all."""

import numpy as np
import pytest

from unflat.worlds.relatives import OWN, Relative


def relative(own: int, kind: int = 7) -> Relative:
    return Relative(np.random.default_rng([own]), np.random.default_rng(kind))


def test_measures_are_three_tenths_ones_own() -> None:
    uniform = np.stack([relative(n).uniform(2.0, 4.0, (3,)) for n in range(2000)])
    assert uniform.shape == (2000, 3) and uniform.min() >= 2 and uniform.max() <= 4
    np.testing.assert_allclose(np.ptp(uniform, axis=0), OWN * 2, rtol=0.02)
    assert np.ptp(uniform.mean(0)) > 0.05, "each measure of a kind is its own"
    normal = np.array([relative(n).normal(5.0, 2.0) for n in range(2000)])
    assert normal.std() == pytest.approx(OWN * 2.0, rel=0.05)


def test_choices_are_the_kinds() -> None:
    first, *others = [[(r := relative(n)).random(), r.choice(4, p=[0.1, 0.2, 0.3, 0.4]), r.random()] for n in range(9)]
    assert all(other == first for other in others)
    kinds = [[(r := relative(0, kind)).random(), r.choice([1.5, 2.5, 3.5])] for kind in range(20)]
    assert len({choice for _, choice in kinds}) == 3 and len({share for share, _ in kinds}) == 20
