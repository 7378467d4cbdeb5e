"""The Gaussian likelihood of features against closed forms."""

import math

import pytest
import torch
from torch.distributions import Normal

from unflat.losses.perceptual import gaussian_nll


def test_it_is_the_likelihood_of_a_gaussian(generator: torch.Generator) -> None:
    """Up to the constant ln sqrt(2 pi) that the paper leaves out."""
    features, target = torch.randn(2, 2, 6, 4, 3, generator=generator)
    sigma = torch.rand(2, 4, 3, generator=generator) + 0.1
    wanted = -Normal(features, sigma[:, None]).log_prob(target).mean() - math.log(2 * math.pi) / 2
    assert float(gaussian_nll(features, target, sigma, torch.ones(2, 16, 12))) == pytest.approx(float(wanted), rel=1e-5)


def test_the_best_sigma_is_the_error() -> None:
    features, target = torch.zeros(1, 5, 1, 1), torch.full((1, 5, 1, 1), 0.6)
    sigma = torch.full((1, 1, 1), 0.6, requires_grad=True)
    loss = gaussian_nll(features, target, sigma, torch.ones(1, 4, 4))
    loss.backward()
    assert sigma.grad is not None and float(sigma.grad) == pytest.approx(0, abs=1e-5)
    assert loss.item() == pytest.approx(0.5 + math.log(0.6), abs=1e-6)


def test_each_place_counts_by_the_share_of_the_mask_in_it() -> None:
    """Three of the sixteen pixels of one place of four, and the normaliser stays the number of places."""
    features, target = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    target[..., 1, 0] = 3.0
    mask = torch.zeros(1, 8, 8)
    mask[0, 4, :3] = 1
    assert float(gaussian_nll(features, target, torch.ones(1, 2, 2), mask)) == pytest.approx(3 / 16 * 9 / 2 / 4)
    assert float(gaussian_nll(features, target, torch.ones(1, 2, 2), torch.zeros_like(mask))) == 0


def test_gradients_reach_the_features_only_under_the_mask() -> None:
    features = torch.zeros(1, 2, 2, 2, requires_grad=True)
    mask = torch.zeros(1, 8, 8)
    mask[:, :, :4] = 1
    gaussian_nll(features, torch.ones(1, 2, 2, 2), torch.ones(1, 2, 2), mask).backward()
    assert features.grad is not None
    assert bool((features.grad[..., 1] == 0).all()) and bool((features.grad[..., 0] < 0).all())
