"""Many tiny networks at once: the loops against the twin, and the twin against plain layers and finite differences."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear, normalize, relu

from unflat.fields.encodings import positional
from unflat.kernels.tiny_networks import Shape, tiny_networks, tiny_networks_torch

FEW = Shape(octaves=2, direction_octaves=1, width=8)
ODD = Shape(octaves=3, direction_octaves=0, width=6)
BACKENDS = [tiny_networks, tiny_networks_torch]


def weights(count: int, shape: Shape, generator: torch.Generator) -> Tensor:
    found = torch.empty(count, shape.weights)
    for layer in shape.layers:
        values = torch.randn(count, layer.last - layer.first, generator=generator)
        found[:, layer.first : layer.last] = values * (1 / layer.inputs) ** 0.5
    return found.requires_grad_()


def samples(count: int, networks: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    points = torch.rand(count, 3, generator=generator) * 2 - 1
    sights = normalize(torch.randn(count, 3, generator=generator), dim=1)
    return points, sights, torch.randint(0, networks, (count,), generator=generator)


def test_the_published_network_has_6212_weights() -> None:
    assert Shape().weights == 6212
    first, last = Shape().layers.place, Shape().layers.colour
    assert (first.inputs, last.inputs, last.outputs) == (63, 32, 3)


@pytest.mark.parametrize("shape", [FEW, ODD, Shape(width=16)], ids=["few", "odd", "wide"])
@pytest.mark.parametrize("count", [1, 50, 700])
def test_loops_and_twin_agree(shape: Shape, count: int, generator: torch.Generator) -> None:
    """Of groups of every length, of networks without samples too."""
    table, some = weights(9, shape, generator), samples(count, 9, generator)
    which = torch.where(some[2] == 4, 0, some[2])  # nobody asks the fifth, and many the first
    ours, theirs = (run(some[0], some[1], which, table, shape) for run in BACKENDS)
    exact = 1e-5 if shape.octaves < 10 else 1e-3  # waves by double angles, of which the tenth has 512 times the error
    torch.testing.assert_close(ours, theirs, rtol=0, atol=exact)
    weight = torch.randn(ours.shape, generator=generator)
    one, other = (torch.autograd.grad((found * weight).sum(), table)[0] for found in (ours, theirs))
    off = (one - other).abs() / other.abs().max()
    assert (off < exact).float().mean() > 0.98 and off.max() < 0.1  # a rectified number near zero is on either side
    assert not one[4].any() and (count < 700 or other.abs().amax(1).count_nonzero() == 8)


def test_each_sample_sees_plain_layers_of_its_network(generator: torch.Generator) -> None:
    table, (points, sights, which) = weights(5, FEW, generator).detach(), samples(40, 5, generator)
    found = tiny_networks_torch(points, sights, which, table, FEW)

    def through(values: Tensor, network: int, layer: str) -> Tensor:
        at = getattr(FEW.layers, layer)
        own = table[network, at.first : at.last].view(at.inputs + 1, at.outputs)
        return linear(values, own[:-1].T, own[-1])

    for m in range(40):
        k = int(which[m])
        seen = relu(through(relu(through(positional(points[m], 2), k, "place")), k, "hidden"))
        mixed = relu(through(torch.cat([through(seen, k, "feature"), positional(sights[m], 1)]), k, "mixed"))
        expected = torch.cat([through(seen, k, "density"), through(mixed, k, "colour")])
        torch.testing.assert_close(found[m], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("run", BACKENDS)
def test_gradients_are_finite_differences(run: object, generator: torch.Generator) -> None:
    table, some = weights(2, FEW, generator), samples(100, 2, generator)
    weight = torch.randn(100, 4, generator=generator).double()

    def total(values: Tensor) -> Tensor:
        return (tiny_networks_torch(*(p.double() for p in some[:2]), some[2], values, FEW) * weight).sum()

    (gradient,) = torch.autograd.grad((run(*some, table, FEW) * weight).sum(), table)  # type: ignore[operator]
    away = torch.randn(table.shape, generator=generator).double()
    exact = (total(table.double() + 1e-6 * away) - total(table.double() - 1e-6 * away)) / 2e-6
    assert float((gradient * away).sum().detach()) == pytest.approx(float(exact.detach()), rel=1e-3)


@pytest.mark.parametrize("run", BACKENDS)
def test_no_samples_at_all(run: object, generator: torch.Generator) -> None:
    table, some = weights(3, FEW, generator), samples(0, 3, generator)
    found = run(*some, table, FEW)  # type: ignore[operator]
    assert found.shape == (0, 4)
    (gradient,) = torch.autograd.grad(found.sum(), table)
    assert not gradient.any()


def test_more_threads_change_nothing(generator: torch.Generator) -> None:
    table, some = weights(7, FEW, generator), samples(3000, 7, generator)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            seen = tiny_networks(*some, table, FEW)
            found.append((seen.detach(), torch.autograd.grad(seen.square().sum(), table)[0]))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
