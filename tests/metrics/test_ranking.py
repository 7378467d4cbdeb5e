"""Average precision against closed forms and brute force over thresholds."""

import math

import numpy as np
import pytest

from unflat.metrics.ranking import average_precision


def test_positives_first_is_one_and_last_is_the_closed_form() -> None:
    """k positives behind m others are found with precision i / (m + i)."""
    k, m = 5, 20
    positive = np.arange(k + m) >= m
    assert average_precision(np.arange(k + m, dtype=float), positive) == 1
    last = average_precision(-np.arange(k + m, dtype=float), positive)
    assert last == pytest.approx(sum(i / (m + i) for i in range(1, k + 1)) / k)


def test_a_score_that_knows_nothing_gets_the_share_of_positives() -> None:
    random = np.random.default_rng(0)
    positive = random.random(20_000) < 0.2
    assert average_precision(np.zeros(20_000), positive) == pytest.approx(positive.mean())
    assert average_precision(random.random(20_000), positive) == pytest.approx(0.2, abs=0.01)


def test_it_is_the_sum_over_all_thresholds() -> None:
    """Precision at every threshold, weighted by what recall gains there; with many equal scores."""
    random = np.random.default_rng(1)
    score, positive = random.integers(0, 8, 60).astype(float), random.random(60) < 0.4
    brute, before = 0.0, 0.0
    for threshold in sorted(set(score), reverse=True):
        taken = score >= threshold
        recall = (taken & positive).sum() / positive.sum()
        brute += (recall - before) * (taken & positive).sum() / taken.sum()
        before = recall
    assert average_precision(score, positive) == pytest.approx(brute)


def test_nothing_to_find_is_no_figure() -> None:
    assert math.isnan(average_precision(np.arange(3.0), np.zeros(3, bool)))
