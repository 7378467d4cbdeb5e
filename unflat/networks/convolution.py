"""Convolutional encoders and decoders: picture to code, code to map.

The shapes are those of Wu et al. 2020 (supplement, tables 5 to 7), for any size 4 * 2^k: convolutions without bias,
group norm with four channels a group, code of one pixel, no skip connections (they would leak the picture's own view
into the canonical frame).
"""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import conv_transpose2d, pad

from unflat.kernels.group_norm import group_norm_relu

CHANNELS_A_GROUP = 4
DEEPEST = 8
"""the widest layer has this many times the first layer's channels"""


def stages_of(size: int) -> int:
    """How often a picture is halved on its way to 4 x 4. Raises ValueError unless size is 8, 16, 32, ..."""
    stages = size.bit_length() - 3
    if size != 4 * 2**stages or stages < 1:
        raise ValueError(f"pictures of {size} px do not fit these networks; use 16, 32, 64, 128 or 256")
    return stages


def _widths(stages: int, width: int) -> list[int]:
    return [width * min(2**stage, DEEPEST) for stage in range(stages)]


def _norm(channels: int) -> nn.Module:
    return nn.GroupNorm(channels // CHANNELS_A_GROUP if channels % CHANNELS_A_GROUP == 0 else 1, channels)


def _down(inside: int, out: int) -> nn.Module:
    return nn.Conv2d(inside, out, 4, 2, 1, bias=False)


def _up(inside: int, out: int) -> nn.Module:
    return nn.ConvTranspose2d(inside, out, 4, 2, 1, bias=False)


def _same(inside: int, out: int, kernel: int) -> nn.Module:
    return nn.Conv2d(inside, out, kernel, padding=kernel // 2, bias=False)


class Layers(nn.Sequential):
    """Layers as the paper lists them. Neighbours that cost less together are computed together, with equal results:
    group norm with its ReLU, and doubling the size with the 3 x 3 convolution after it."""

    def forward(self, x: Tensor) -> Tensor:
        layers = iter(self)
        for layer in layers:
            if isinstance(layer, nn.GroupNorm):
                x = _activated(layer, next(layers), x)
            elif isinstance(layer, nn.Upsample):
                x = doubled(x, next(layers).get_parameter("weight"))
            else:
                x = layer(x)
        return x


def _activated(norm: nn.GroupNorm, activation: nn.Module, x: Tensor) -> Tensor:
    slope = activation.negative_slope if isinstance(activation, nn.LeakyReLU) else 0.0
    return group_norm_relu(x, norm.num_groups, norm.weight, norm.bias, norm.eps, slope)


def doubled(x: Float[Tensor, "b i h w"], weight: Float[Tensor, "o i 3 3"]) -> Float[Tensor, "b o h2 w2"]:
    """The 3 x 3 convolution (padding 1) of `x` at twice its size, its pixels repeated, without making that picture.

    A pixel of the result sees at most 2 x 2 pixels of `x`, each through the sum of the weights that fall on it: a
    transposed convolution of kernel 4 and stride 2 with 4/9 of the multiplications.
    """
    flipped = weight.flip(2, 3).transpose(0, 1)
    columns = pad(flipped, (0, 1)) + pad(flipped, (1, 0))
    return conv_transpose2d(x, pad(columns, (0, 0, 0, 1)) + pad(columns, (0, 0, 1, 0)), stride=2, padding=1)


class Encoder(Layers):
    """A square picture to a code [b, code]. With `norm`: group norm and leaky ReLU; without: plain ReLU."""

    def __init__(self, size: int, width: int, code: int, *, norm: bool = True, inside: int = 3) -> None:
        layers: list[nn.Module] = []
        widths = _widths(stages_of(size), width)
        for stage, channels in enumerate(widths):
            layers.append(_down(inside, channels))
            if norm and stage < len(widths) - 1:
                layers.append(_norm(channels))
            layers.append(nn.LeakyReLU(0.2) if norm else nn.ReLU())
            inside = channels
        super().__init__(*layers, nn.Conv2d(inside, code, 4, bias=False), nn.ReLU(), nn.Flatten())


class Decoder(Layers):
    """A code [b, code] to a map [b, out, size, size] without activation; the last two convolutions have `kernel`."""

    def __init__(self, size: int, width: int, code: int, out: int, *, kernel: int = 5) -> None:
        widths = _widths(stages_of(size), width)
        inside = widths[-1]
        layers: list[nn.Module] = [
            nn.Unflatten(1, (code, 1, 1)),
            nn.ConvTranspose2d(code, inside, 4, bias=False), nn.ReLU(),
            _same(inside, inside, 3), nn.ReLU(),
        ]  # fmt: skip
        for channels in reversed(widths[:-1]):
            layers += [_up(inside, channels), _norm(channels), nn.ReLU()]
            layers += [_same(channels, channels, 3), _norm(channels), nn.ReLU()]
            inside = channels
        layers += [nn.Upsample(scale_factor=2, mode="nearest")]
        layers += [_same(inside, width, 3), _norm(width), nn.ReLU()]
        layers += [_same(width, width, kernel), _norm(width), nn.ReLU(), _same(width, out, kernel)]
        super().__init__(*layers)

    @property
    def last(self) -> nn.Conv2d:
        """The convolution that makes the map."""
        layer = self[-1]
        assert isinstance(layer, nn.Conv2d)
        return layer


class TwoScaleDecoder(nn.Module):
    """A code to two maps that share a trunk: [b, out, size, size] and [b, out, size / 4, size / 4]."""

    def __init__(self, size: int, width: int, code: int, out: int, *, kernel: int = 5) -> None:
        super().__init__()
        stages = stages_of(size)
        if stages < 2:
            raise ValueError(f"maps at two scales need pictures of at least 16 px, not {size}")
        inside = _widths(stages, width)[-1]
        trunk: list[nn.Module] = [
            nn.Unflatten(1, (code, 1, 1)),
            nn.ConvTranspose2d(code, inside, 4, bias=False),
            nn.ReLU(),
        ]
        for channels in reversed(_widths(stages, width)[1:-1]):
            trunk += [_up(inside, channels), _norm(channels), nn.ReLU()]
            inside = channels
        self.trunk = Layers(*trunk)
        self.fine = Layers(
            _up(inside, width),
            _norm(width),
            nn.ReLU(),
            _up(width, width),
            _norm(width),
            nn.ReLU(),
            _same(width, out, kernel),
        )
        self.coarse = _same(inside, out, 3)

    def forward(self, code: Float[Tensor, "b c"]) -> tuple[Float[Tensor, "b o h w"], Float[Tensor, "b o i j"]]:
        trunk = self.trunk(code)
        return self.fine(trunk), self.coarse(trunk)


class Regressor(nn.Sequential):
    """A code to numbers [b, out] without activation, with a hidden layer or without."""

    def __init__(self, code: int, out: int, *, hidden: bool) -> None:
        before: list[nn.Module] = [nn.Linear(code, code), nn.ReLU()] if hidden else []
        super().__init__(*before, nn.Linear(code, out))

    @property
    def last(self) -> nn.Linear:
        """The layer that makes the numbers."""
        layer = self[-1]
        assert isinstance(layer, nn.Linear)
        return layer
