"""Encoders and decoders: the paper's parameter counts, every size, and what may not be in them."""

import math

import pytest
import torch
from torch import nn

from unflat.networks.convolution import Decoder, Encoder, Regressor, TwoScaleDecoder, doubled, stages_of


def millions(*networks: nn.Module) -> float:
    return sum(p.numel() for network in networks for p in network.parameters()) / 1e6


def test_the_papers_networks_have_the_papers_numbers_of_parameters() -> None:
    """Depth and albedo, light and view, confidence at 64 px and the paper's widths (spec, section 3.9)."""
    assert millions(Encoder(64, 64, 256), Decoder(64, 64, 256, 1)) == pytest.approx(12.98, abs=5e-3)
    assert millions(Encoder(64, 64, 256), Decoder(64, 64, 256, 3)) == pytest.approx(12.98, abs=5e-3)
    assert millions(Encoder(64, 32, 256, norm=False), Regressor(256, 6, hidden=False)) == pytest.approx(1.74, abs=5e-3)
    assert millions(Encoder(64, 64, 128), TwoScaleDecoder(64, 64, 128, 2)) == pytest.approx(7.68, abs=5e-3)


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_every_size_comes_out_as_it_went_in(size: int) -> None:
    picture = torch.rand(2, 3, size, size)
    code = Encoder(size, 4, 8)(picture)
    assert code.shape == (2, 8)
    assert Encoder(size, 4, 8, norm=False)(picture).shape == (2, 8)
    assert Decoder(size, 4, 8, 3, kernel=3)(code).shape == (2, 3, size, size)
    fine, coarse = TwoScaleDecoder(size, 4, 8, 2)(code)
    assert fine.shape == (2, 2, size, size) and coarse.shape == (2, 2, size // 4, size // 4)
    assert Regressor(8, 5, hidden=True)(code).shape == (2, 5)


def test_a_coarse_depth_grid_may_be_as_small_as_8() -> None:
    assert Decoder(8, 4, 8, 1)(torch.rand(1, 8)).shape == (1, 1, 8, 8)
    with pytest.raises(ValueError, match="two scales need pictures of at least 16 px, not 8"):
        TwoScaleDecoder(8, 4, 8, 2)


@pytest.mark.parametrize("size", [48, 63, 4, 0, -16, 100])
def test_other_sizes_are_refused(size: int) -> None:
    with pytest.raises(
        ValueError, match=f"pictures of {size} px do not fit these networks; use 16, 32, 64, 128 or 256"
    ):
        stages_of(size)
    with pytest.raises(ValueError, match="do not fit"):
        Encoder(size, 4, 8)


@pytest.mark.parametrize("width", [1, 6, 14, 24])
def test_any_width_will_do(width: int) -> None:
    code = Encoder(16, width, 8)(torch.rand(1, 3, 16, 16))
    assert Decoder(16, width, 8, 1)(code).isfinite().all()


def test_group_norm_has_four_channels_a_group_and_none_follows_the_deepest_convolution() -> None:
    encoder = Encoder(64, 64, 256)
    norms = [m for m in encoder if isinstance(m, nn.GroupNorm)]
    assert [(m.num_groups, m.num_channels) for m in norms] == [(16, 64), (32, 128), (64, 256)]
    assert not any(isinstance(m, nn.GroupNorm) for m in Encoder(64, 32, 256, norm=False))
    slopes = [m.negative_slope for m in encoder if isinstance(m, nn.LeakyReLU)]
    assert slopes == [0.2] * 4


def test_no_convolution_has_a_bias_and_nothing_depends_on_the_batch() -> None:
    networks = [Encoder(32, 4, 8), Decoder(32, 4, 8, 1), TwoScaleDecoder(32, 4, 8, 2)]
    layers = [m for network in networks for m in network.modules()]
    assert all(m.bias is None for m in layers if isinstance(m, nn.Conv2d | nn.ConvTranspose2d))
    pictures = torch.rand(3, 3, 32, 32)
    together, alone = networks[0](pictures), torch.cat([networks[0](one[None]) for one in pictures])
    assert torch.allclose(together, alone, atol=1e-6)


def test_maps_have_no_activation_and_know_their_last_layer() -> None:
    decoder = Decoder(16, 8, 8, 1)
    values = decoder(torch.randn(16, 8)).detach()
    assert float(values.min()) < 0 < float(values.max())
    with torch.no_grad():
        decoder.last.weight.zero_()
    assert bool((decoder(torch.randn(1, 8)) == 0).all())
    regressor = Regressor(8, 3, hidden=True)
    with torch.no_grad():
        regressor.last.weight.zero_()
    assert torch.equal(regressor(torch.randn(2, 8)), regressor.last.bias.expand(2, 3))


def test_the_picture_reaches_the_map_only_through_its_code() -> None:
    """No skip connections: they would leak the picture's own view into the canonical frame."""
    encoder, decoder = Encoder(16, 4, 5), Decoder(16, 4, 5, 1)
    picture = torch.rand(1, 3, 16, 16)
    jacobian = torch.autograd.functional.jacobian(lambda x: decoder(encoder(x)).flatten(), picture).flatten(1)
    assert int(torch.linalg.matrix_rank(jacobian, rtol=1e-4)) <= 5
    assert math.isfinite(float(jacobian.abs().max()))


@pytest.mark.parametrize("side", [1, 2, 8])
def test_doubling_in_the_convolution_is_doubling_before_it(side: int, generator: torch.Generator) -> None:
    x, weight = torch.randn(2, 3, side, side, generator=generator), torch.randn(5, 3, 3, 3, generator=generator)
    results = []
    for convolve in (
        doubled,
        lambda x, w: nn.functional.conv2d(nn.functional.interpolate(x, scale_factor=2), w, padding=1),
    ):
        leaves = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
        y = convolve(*leaves)
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        results.append([y.detach(), *(leaf.grad for leaf in leaves)])
    for ours, expected in zip(*results, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_computing_neighbours_together_changes_nothing(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    networks = [Encoder(32, 8, 12), Decoder(32, 8, 12, 3), Encoder(32, 8, 12, norm=False)]
    inputs = [torch.rand(2, 3, 32, 32), torch.randn(2, 12), torch.rand(2, 3, 32, 32)]
    for network, given in zip(networks, inputs, strict=True):
        for part in network:
            part.to(memory_format=layout)
        results = []
        for compute in (network, lambda x, network=network: nn.Sequential.forward(network, x)):
            network.zero_grad()
            y = compute(given)
            (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
            results.append([y.detach(), *(p.grad.clone() for p in network.parameters())])
        for ours, expected in zip(*results, strict=True):
            torch.testing.assert_close(ours, expected, rtol=1e-3, atol=2e-5 * float(1 + expected.abs().max()))
