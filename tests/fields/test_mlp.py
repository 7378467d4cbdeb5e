"""NeRF's network: its size, its skip, what depends on what."""

import pytest
import torch
from torch.nn.functional import relu

from unflat.fields.mlp import RadianceNetwork, density_of


def parameters(network: RadianceNetwork) -> int:
    return sum(p.numel() for p in network.parameters())


def test_it_has_as_many_parameters_as_published() -> None:
    assert parameters(RadianceNetwork(63, 27)) == 595_844


def test_layer_by_layer() -> None:
    """By hand: the sixth layer is the one that sees the place again, and the feature has no rectifier."""
    torch.manual_seed(0)
    network = RadianceNetwork(5, 4, width=16)
    place, direction = torch.rand(9, 5), torch.rand(9, 4)
    w = dict(network.named_parameters())
    assert [w[f"layers.{i}.weight"].shape[1] for i in range(8)] == [5, 16, 16, 16, 16, 21, 16, 16]
    hidden = place
    for i in range(8):
        if i == 5:
            hidden = torch.cat([place, hidden], 1)
        hidden = relu(hidden @ w[f"layers.{i}.weight"].T + w[f"layers.{i}.bias"])
    raw = hidden @ w["density.weight"].T + w["density.bias"]
    feature = hidden @ w["feature.weight"].T + w["feature.bias"]
    mixed = relu(torch.cat([feature, direction], 1) @ w["mixed.weight"].T + w["mixed.bias"])
    colour = 1 / (1 + torch.exp(-(mixed @ w["colour.weight"].T + w["colour.bias"])))
    found_raw, found_colour = network(place, direction)
    torch.testing.assert_close(found_raw, raw[:, 0])
    torch.testing.assert_close(found_colour, colour)
    assert (feature < 0).any() and mixed.shape == (9, 8)


def test_density_does_not_depend_on_the_direction_but_colour_does() -> None:
    torch.manual_seed(0)
    network = RadianceNetwork(5, 4, width=16)
    place = torch.rand(9, 3, 5)
    raw, colour = network(place, torch.rand(9, 3, 4))
    other_raw, other_colour = network(place, torch.rand(9, 3, 4))
    assert torch.equal(raw, other_raw) and not torch.allclose(colour, other_colour)


def test_a_network_may_be_smaller_and_have_no_skip() -> None:
    network = RadianceNetwork(5, 4, width=16, depth=2, skip=-1)
    assert [layer.in_features for layer in network.layers] == [5, 16]
    assert network(torch.rand(3, 5), torch.rand(3, 4))[1].shape == (3, 3)


@pytest.mark.parametrize("skip", [3, 4])
def test_a_skip_that_leads_nowhere_is_refused(skip: int) -> None:
    with pytest.raises(ValueError, match=f"skip is {skip}.*4 layers.*at most 2, or -1"):
        RadianceNetwork(5, 4, depth=4, skip=skip)


def test_softplus_always_has_a_gradient_and_relu_has_none_below_zero() -> None:
    raw = torch.tensor([-5.0, 0.0, 3.0], requires_grad=True)
    soft, hard = density_of(raw), density_of(raw, "relu")
    torch.testing.assert_close(soft, torch.log1p(torch.exp(raw - 1)))
    assert hard.tolist() == [0.0, 0.0, 3.0]
    (gradient,) = torch.autograd.grad(soft.sum(), raw)
    assert (gradient > 1e-3).all()
    (gradient,) = torch.autograd.grad(hard.sum(), raw)
    assert gradient.tolist() == [0.0, 0.0, 1.0]


def test_noise_is_normal_and_added_before_the_activation() -> None:
    torch.manual_seed(0)
    found = density_of(torch.full((100_000,), 10.0), "relu", noise=1.0)
    assert float(found.mean()) == pytest.approx(10, abs=0.02) and float(found.std()) == pytest.approx(1, abs=0.02)
    dark = density_of(torch.full((100_000,), -0.5), "relu", noise=1.0)
    assert dark.min() == 0 and float((dark > 0).float().mean()) == pytest.approx(0.3085, abs=0.01)
