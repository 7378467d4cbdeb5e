"""What all marches have in common: what raw densities become, how samples are weighed, and how far apart they lie."""

import math

import pytest
import torch
from torch import Tensor

from unflat.kernels.walking import LARGEST, Activation, Walk, composited, raw_at, spread_of, that_count, weighed

THICKNESS = 0.3


def walk(activation: Activation) -> Walk:
    return Walk(0.1, False, THICKNESS, 0.0, thinnest=1e-3, activation=activation)


def packed(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Numbers of samples, and their rays: of 5, of which one has none."""
    ray = torch.tensor([0] * 4 + [1] + [3] * 6 + [4] * 3)
    return torch.rand(len(ray), generator=generator, dtype=torch.float64), ray


@pytest.mark.parametrize("activation", ["softplus", "relu", "exp"])
def test_the_thinnest_raw_density_is_as_thin_as_the_thinnest(activation: Activation) -> None:
    found = walk(activation)
    density = float(found.activated(torch.tensor(raw_at(found), dtype=torch.float64)))
    assert 1 - math.exp(-THICKNESS * density) == pytest.approx(1e-3, rel=1e-6)


def test_an_exponential_grows_to_its_largest() -> None:
    raw = torch.tensor([-30.0, -1.0, 0.0, 3.0, LARGEST - 1e-3, LARGEST + 1, 1e4], requires_grad=True)
    density = walk("exp").activated(raw)
    expected = [math.exp(min(float(r), 15.0)) for r in raw.detach()]
    assert density.tolist() == pytest.approx(expected, rel=1e-5)
    gradient = torch.autograd.grad(density.sum(), raw)[0].tolist()
    assert gradient == pytest.approx([*expected[:5], 0.0, 0.0], rel=1e-5), "its own derivative, up to the largest"


def test_samples_are_weighed_one_after_the_other(generator: torch.Generator) -> None:
    thickness, ray = packed(generator)
    found = weighed(thickness, ray, 5)
    passing, expected = [1.0] * 5, []
    for u, r in zip(thickness.tolist(), ray.tolist(), strict=True):
        expected.append(passing[r] * (1 - math.exp(-u)))
        passing[r] *= math.exp(-u)
    assert found.weight.tolist() == pytest.approx(expected, rel=1e-9)
    assert found.through.tolist() == pytest.approx(passing, rel=1e-9)
    raw = thickness.log()
    again = composited(raw, ray, 5, walk("exp")._replace(thickness=1.0))
    torch.testing.assert_close(again, found)


def test_gradients_of_weights_are_those_of_finite_differences(generator: torch.Generator) -> None:
    thickness, ray = packed(generator)
    assert torch.autograd.gradcheck(lambda u: tuple(weighed(u, ray, 5)), thickness.requires_grad_())


@pytest.mark.parametrize("least, last", [(0.0, 0.0), (0.05, 0.3), (0.1, 1e-3), (0.2, 0.9)])
def test_what_counts_is_what_is_found_one_after_the_other(
    least: float, last: float, generator: torch.Generator
) -> None:
    """Also of rays on which each answer changes the next."""
    thickness = torch.rand(2000, generator=generator, dtype=torch.float64) ** 4
    ray = torch.randint(0, 60, (2000,), generator=generator).sort().values
    found = that_count(thickness, ray, walk("exp")._replace(thinnest=0.01, least=least, last=last))
    passing, expected = [1.0] * 60, []
    for u, r in zip(thickness.tolist(), ray.tolist(), strict=True):
        alpha = 1 - math.exp(-u)
        expected.append(alpha > 0.01 and passing[r] * alpha > least and passing[r] >= last)
        passing[r] *= 1 - alpha * expected[-1]
    assert found.tolist() == expected and 50 < sum(expected) < 2000
    assert len(that_count(thickness[:0], ray[:0], walk("exp"))) == 0


def test_no_samples_let_everything_through() -> None:
    weight, through = weighed(torch.empty(0), torch.empty(0, dtype=torch.int64), 3)
    assert len(weight) == 0 and torch.equal(through, torch.ones(3))


def test_how_far_apart_samples_lie_is_a_sum_over_pairs(generator: torch.Generator) -> None:
    weight, ray = packed(generator)
    t = (torch.rand(len(ray), generator=generator, dtype=torch.float64) * 5 + 10 * ray).sort().values
    expected = [0.0] * 5
    for i in range(len(ray)):
        for j in range(len(ray)):
            if ray[i] == ray[j]:
                apart = abs(float(t[i] / (1 + t[i]) - t[j] / (1 + t[j])))
                expected[int(ray[i])] += float(weight[i] * weight[j]) * apart
    assert spread_of(weight, t, ray, 5).tolist() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(lambda w: spread_of(w, t, ray, 5), weight.requires_grad_())
