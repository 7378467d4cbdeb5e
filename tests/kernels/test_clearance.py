"""Distances to what is occupied, against brute force."""

import numpy as np
import pytest
import torch

from unflat.kernels.clearance import FURTHEST, clearance, clearance_torch


@pytest.mark.parametrize("shape", [(5, 6, 7), (1, 9, 4), (12, 3, 1)])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.6, 1.0])
def test_distances_are_those_of_a_king(shape: tuple[int, int, int], share: float, generator: torch.Generator) -> None:
    occupied = torch.rand(shape, generator=generator) <= share
    occupied[0, 0, 0] = True
    there = occupied.nonzero().numpy()
    every = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 1, 3)
    expected = np.abs(every - there).max(-1).min(-1).reshape(shape)
    for run in (clearance, clearance_torch):
        assert np.array_equal(run(occupied).numpy(), expected)


def test_without_anything_all_is_furthest() -> None:
    for run in (clearance, clearance_torch):
        assert (run(torch.zeros(3, 4, 5, dtype=torch.bool)) == FURTHEST).all()


def test_distances_that_are_too_large_for_a_byte_are_held() -> None:
    occupied = torch.zeros(300, 1, 1, dtype=torch.bool)
    occupied[0] = True
    for run in (clearance, clearance_torch):
        found = run(occupied)[:, 0, 0].tolist()
        assert found == [min(i, FURTHEST) for i in range(300)]
