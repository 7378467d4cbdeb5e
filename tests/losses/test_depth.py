"""Depth against known depth: closed forms, and what does not count."""

import math

import pytest
import torch

from unflat.losses.depth import scale_free_l1

EVERYWHERE = torch.ones(1, 4, 4, dtype=torch.bool)


def test_a_step_between_halves() -> None:
    """One half twice as far: the logarithms lie ln(2) / 2 to either side of their mean."""
    truth = torch.ones(1, 4, 4)
    depth = truth.clone()
    depth[:, :2] = 2
    assert scale_free_l1(depth, truth, EVERYWHERE).item() == pytest.approx(math.log(2) / 2)


def test_scale_does_not_count_nor_what_is_unknown() -> None:
    truth = torch.rand(2, 4, 4) + 0.5
    truth[0, 0] = torch.nan
    mask = torch.rand(2, 4, 4) < 0.7
    scaled = truth.nan_to_num(3.0) * torch.tensor([2.0, 5.0])[:, None, None]
    assert scale_free_l1(scaled.where(mask, 77.0), truth, mask).item() == pytest.approx(0, abs=1e-6)


def test_half_the_picture_known_counts_half() -> None:
    truth, depth = torch.ones(1, 4, 4), torch.ones(1, 4, 4)
    depth[:, :, ::2] = 2
    mask = EVERYWHERE.clone()
    mask[:, 2:] = False
    assert scale_free_l1(depth, truth, mask).item() == pytest.approx(math.log(2) / 4)


def test_gradients_are_finite_without_any_truth() -> None:
    depth = torch.ones(1, 4, 4, requires_grad=True)
    loss = scale_free_l1(depth, torch.full((1, 4, 4), torch.nan), EVERYWHERE)
    loss.backward()
    assert loss.item() == 0 and depth.grad is not None and (depth.grad == 0).all()
