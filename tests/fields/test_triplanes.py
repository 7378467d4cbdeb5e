"""Tri-planes: what they hold against pictures sampled by torch, and the decoder against its formula."""

import math

import pytest
import torch

from unflat.fields.planes import plane_lengths
from unflat.fields.triplanes import PlaneDecoder, begun, features_at, painted_features, shown
from unflat.kernels.lookup import AGGREGATES, Box, Planes

BOX = Box(torch.tensor([-0.5, -0.5, -0.5]), torch.tensor([0.5, 0.5, 0.5]))


def test_the_decoder_is_one_hidden_layer_with_a_softplus(generator: torch.Generator) -> None:
    decoder = PlaneDecoder(5, 3, width=7)
    features = torch.randn(2, 4, 5, generator=generator)
    raw, numbers = decoder(features)
    (w, b), (v, c) = ((layer.weight, layer.bias) for layer in (decoder.hidden, decoder.last))
    expected = (1 + (features @ w.T + b).exp()).log() @ v.T + c
    torch.testing.assert_close(raw, expected[..., 0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(numbers, expected[..., 1:], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(decoder.densities(features), raw)


def test_the_published_decoder_has_as_many_numbers_as_the_paper_says() -> None:
    """32 -> 64 -> 1 + 32."""
    decoder = PlaneDecoder(32, 32)
    assert sum(p.numel() for p in decoder.parameters()) == 32 * 64 + 64 + 64 * 33 + 33


def test_colours_reach_0_and_1_and_a_little_beyond() -> None:
    sights = torch.nn.functional.normalize(torch.ones(3, 3), dim=1)
    colours = shown(torch.tensor([[-50.0, 0.0, 50.0]] * 3), sights)
    torch.testing.assert_close(colours[0], torch.tensor([-0.001, 0.5, 1.001]), rtol=0, atol=1e-6)


def test_colours_by_harmonics_depend_on_the_direction_alone_where_they_should(generator: torch.Generator) -> None:
    sights = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=1)
    numbers = torch.zeros(50, 12)
    numbers[:, 0] = 2.0  # red, the same all around
    numbers[:, 5], numbers[:, 6] = 1.0, 0.5  # green: -y and z
    colours = shown(numbers, sights)
    red, green, blue = ((colours + 0.001) / 1.002).unbind(1)
    y = 0.5 * math.sqrt(3 / math.pi)
    torch.testing.assert_close(red, torch.full((50,), 1 / (1 + math.exp(-1 / math.sqrt(math.pi)))), rtol=0, atol=1e-5)
    torch.testing.assert_close(green, torch.sigmoid(y * (0.5 * sights[:, 2] - sights[:, 1])), rtol=0, atol=1e-5)
    torch.testing.assert_close(blue, torch.full((50,), 0.5), rtol=0, atol=1e-5)


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_planes_begin_as_large_as_they_should(aggregate: str, generator: torch.Generator) -> None:
    planes = begun((5, 7, 6), 3, aggregate)  # type: ignore[arg-type]
    assert [len(plane) for plane in planes] == plane_lengths((5, 7, 6)) == [35, 30, 42]
    values = torch.cat(planes)
    if aggregate == "product":
        assert values.min() >= 0.1 and values.max() <= 0.5
    else:
        assert values.std().item() == pytest.approx(0.1, rel=0.2)


def test_sets_of_planes_stand_side_by_side(generator: torch.Generator) -> None:
    coarse, fine = ((3, 3, 3), begun((3, 3, 3), 2, "sum")), ((5, 5, 5), begun((5, 5, 5), 2, "sum"))
    sets = [Planes((p[0], p[1], p[2]), shape) for shape, p in (coarse, fine)]
    at = torch.rand(20, 3, generator=generator) - 0.5
    both = features_at(at, sets, BOX)
    assert both.shape == (20, 4)
    for number, one in enumerate(sets):
        torch.testing.assert_close(both[:, 2 * number : 2 * number + 2], features_at(at, [one], BOX))


@pytest.mark.parametrize("aggregate", AGGREGATES)
def test_painted_planes_are_pictures_at_the_three_projections(aggregate: str, generator: torch.Generator) -> None:
    """Of each item its own; gradients reach what painted them."""
    code = torch.randn(2, 3, 4, 6, 6, generator=generator).requires_grad_()
    at = (torch.rand(2, 40, 3, generator=generator) - 0.5) * 0.99
    found = painted_features(at, 2 * code, BOX, aggregate)  # type: ignore[arg-type]
    parts = []
    for plane, (a, b) in enumerate(((0, 1), (0, 2), (1, 2))):
        grid = 2 * at[:, :, None, [b, a]]
        sampled = torch.nn.functional.grid_sample(2 * code[:, plane], grid, align_corners=True)
        parts.append(sampled[..., 0].mT)
    stacked = torch.stack(parts)
    expected = {"sum": stacked.sum(0), "product": stacked.prod(0), "concat": torch.cat(parts, -1)}[aggregate]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    ours, theirs = (torch.autograd.grad(v.square().sum(), code)[0] for v in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-2)


def test_beside_the_box_painted_planes_hold_nothing(generator: torch.Generator) -> None:
    at = torch.tensor([[[0.6, 0.0, 0.0], [0.0, -0.51, 0.0], [0.0, 0.0, 0.0]]])
    found = painted_features(at, torch.ones(1, 3, 2, 4, 4), BOX)
    torch.testing.assert_close(found[0], torch.tensor([[0.0, 0.0], [0.0, 0.0], [3.0, 3.0]]))
