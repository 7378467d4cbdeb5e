"""The Laplacian likelihood against closed forms."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import Laplace

from unflat.losses.photometric import laplacian_nll

ALL = torch.ones(2, 5, 4, dtype=torch.bool)


def pair(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    image, target = torch.rand(2, 2, 3, 5, 4, generator=generator)
    return image, target


def test_it_is_the_likelihood_of_a_laplacian_of_that_standard_deviation(generator: torch.Generator) -> None:
    """Up to the constant ln sqrt(2) that the paper leaves out; a Laplacian's scale is its deviation over sqrt(2)."""
    image, target = pair(generator)
    sigma = torch.rand(2, 5, 4, generator=generator) + 0.1
    wanted = -Laplace(image, (sigma / math.sqrt(2))[:, None]).log_prob(target).mean() - math.log(2) / 2
    assert float(laplacian_nll(image, target, sigma, ALL)) == pytest.approx(float(wanted), abs=1e-5)


def test_the_best_sigma_is_sqrt_2_times_the_error() -> None:
    image, target = torch.zeros(1, 3, 1, 1), torch.full((1, 3, 1, 1), 0.17)
    sigma = torch.full((1, 1, 1), math.sqrt(2) * 0.17, requires_grad=True)
    mask = torch.ones(1, 1, 1, dtype=torch.bool)
    loss = laplacian_nll(image, target, sigma, mask)
    loss.backward()
    assert sigma.grad is not None and float(sigma.grad) == pytest.approx(0, abs=1e-5)
    assert loss.item() == pytest.approx(1 + math.log(math.sqrt(2) * 0.17), abs=1e-6)
    for factor in (0.9, 1.1):
        assert laplacian_nll(image, target, sigma * factor, mask).item() > loss.item()


def test_a_constant_sigma_is_a_weighted_mean_error(generator: torch.Generator) -> None:
    image, target = pair(generator)
    wanted = math.sqrt(2) / 0.3 * (image - target).abs().mean() + math.log(0.3)
    constant = torch.full((2, 5, 4), 0.3)
    assert float(laplacian_nll(image, target, constant, ALL)) == pytest.approx(float(wanted), abs=1e-6)


@pytest.mark.parametrize("everywhere", [0.5, 1.0, 3.0])
def test_covering_less_is_not_free(everywhere: float) -> None:
    """Each covered pixel adds its share of a constant number of pixels (pitfall 6): errors outside count 0, and half
    the pixels of equal error cost half."""
    image, sigma = torch.zeros(2, 3, 5, 4), torch.full((2, 5, 4), everywhere)
    half = ALL.clone()
    half[..., 2:] = False
    full_loss, half_loss = (float(laplacian_nll(image, image + 0.4, sigma, mask)) for mask in (ALL, half))
    assert half_loss == pytest.approx(full_loss / 2, abs=1e-6)
    target = image + 0.4
    target[:, :, :, 2:] = 7  # nobody looks
    assert float(laplacian_nll(image, target, sigma, half)) == pytest.approx(half_loss, abs=1e-6)
    assert float(laplacian_nll(image, target, sigma, torch.zeros_like(ALL))) == 0


def test_no_gradient_comes_from_outside_the_mask() -> None:
    image = torch.zeros(1, 3, 2, 2, requires_grad=True)
    sigma = torch.ones(1, 2, 2, requires_grad=True)
    mask = torch.tensor([[[True, False], [True, False]]])
    laplacian_nll(image, torch.ones(1, 3, 2, 2), sigma, mask).backward()
    assert image.grad is not None and sigma.grad is not None
    assert bool((image.grad[..., 1] == 0).all()) and bool((image.grad[..., 0] != 0).all())
    assert bool((sigma.grad[..., 1] == 0).all()) and bool((sigma.grad[..., 0] != 0).all())


def test_sigma_is_shared_by_the_colours_and_a_mirrored_scene_costs_the_same(generator: torch.Generator) -> None:
    image, target = pair(generator)
    sigma = torch.rand(2, 5, 4, generator=generator) + 0.1
    mask = torch.rand(2, 5, 4, generator=generator) > 0.3
    plain = laplacian_nll(image, target, sigma, mask)
    swapped = laplacian_nll(image[:, [2, 0, 1]], target[:, [2, 0, 1]], sigma, mask)
    mirrored = laplacian_nll(image.flip(-1), target.flip(-1), sigma.flip(-1), mask.flip(-1))
    assert torch.allclose(plain, swapped) and torch.allclose(plain, mirrored)
