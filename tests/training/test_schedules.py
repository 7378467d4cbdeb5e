import math
from itertools import pairwise

import pytest

from unflat.training.schedules import rate_factor
from unflat.training.settings import Training


def test_constant_is_constant() -> None:
    assert {rate_factor(Training(steps=10, hold=0.5), step) for step in range(20)} == {1.0}


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_the_rate_is_held_then_falls_to_zero_after_the_last_step(schedule: str) -> None:
    training = Training(steps=100, schedule=schedule, hold=0.4)  # type: ignore[arg-type]
    factors = [rate_factor(training, step) for step in range(101)]
    assert factors[:41] == [1.0] * 41
    assert all(a > b for a, b in pairwise(factors[40:]))
    assert factors[99] > 0 and factors[100] == 0
    assert factors[70] == pytest.approx(0.5)


def test_closed_forms() -> None:
    assert rate_factor(Training(steps=8, schedule="linear"), 2) == pytest.approx(0.75)
    assert rate_factor(Training(steps=8, schedule="cosine"), 2) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)


def test_beyond_the_end_the_rate_stays_zero() -> None:
    assert rate_factor(Training(steps=8, schedule="linear"), 12) == 0


def test_exponentially_it_falls_to_a_tenth() -> None:
    training = Training(steps=100, schedule="exponential", hold=0.5)
    assert [rate_factor(training, step) for step in (0, 50, 75, 100, 150)] == pytest.approx([1, 1, 0.1**0.5, 0.1, 0.1])
