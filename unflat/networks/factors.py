"""The networks that factor a photo into depth, albedo, light, view and confidence.

Wu et al. 2020 (supplement, tables 5 to 7) give each factor a network of its own; with one shared encoder the same heads
cost a third.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from unflat.networks.convolution import Decoder, Encoder, Regressor, TwoScaleDecoder

Scales = tuple[Float[Tensor, "b 2 h w"], Float[Tensor, "b 2 i j"]]


class RawFactors(NamedTuple):
    """What the networks say, without activation, in single precision. Maps but depth are at the photo's size."""

    depth: Float[Tensor, "b 1 i j"]
    albedo: Float[Tensor, "b 3 h w"]
    light: Float[Tensor, "b 4"]
    view: Float[Tensor, "b 6"]
    confidence: Scales
    """of pixels and, four times coarser, of features; for the plain and the mirrored picture"""
    shading: Float[Tensor, "b 1 h w"] | None


FIRST_RELIEF = 0.05
"""factor on the first weights of the layer that makes depth: learning begins with nearly the same relief for all"""


class FactorNetworks(nn.Module):
    """A photo [b, 3, size, size] in [0, 1] to `RawFactors`.

    The photo is seen, and albedo and confidence are made, `stride` times coarser than the photo, depth `depth_stride`
    times; what is left of `size` has to be a power of two. With `shared`, one encoder serves all heads and the last
    convolutions are 3 wide instead of 5; without, every head has an encoder of its own, that of confidence with half
    the code, those of light and view with half the width.
    """

    def __init__(
        self, size: int, stride: int, depth_stride: int, width: int, code: int, *, shared: bool, shading: bool
    ) -> None:
        super().__init__()
        if size // stride < 16 or size // depth_stride < 8:
            raise ValueError(
                f"photos of {size} px leave too little to networks that see them {stride} times coarser and make depth "
                f"{depth_stride} times coarser: at least 16 and 8 px are needed; take larger photos or smaller strides"
            )
        self.stride, size, depth_size = stride, size // stride, size // depth_stride
        half_width, half_code, kernel = (width, code, 3) if shared else (width // 2, code // 2, 5)

        def encoder(width: int, code: int, norm: bool = True) -> nn.Module:
            return nn.Identity() if shared else Encoder(size, width, code, norm=norm)

        def mapping(size: int, out: int) -> nn.Module:
            return nn.Sequential(encoder(width, code), Decoder(size, width, code, out, kernel=kernel))

        def numbers(out: int) -> nn.Module:
            return nn.Sequential(encoder(half_width, code, norm=False), Regressor(code, out, hidden=shared))

        self.encoder = Encoder(size, width, code) if shared else nn.Identity()
        self.depth, self.albedo = mapping(depth_size, 1), mapping(size, 3)
        self.light, self.view = numbers(4), numbers(6)
        scales = TwoScaleDecoder(size, width, half_code, 2, kernel=kernel)
        self.confidence = nn.Sequential(encoder(width, half_code), scales)
        self.shading = mapping(size, 1) if shading else None
        self.scale_output("depth", [FIRST_RELIEF])

    def _code(self, photo: Float[Tensor, "b 3 h w"]) -> Tensor:
        """The shared code, or what the heads' own encoders see."""
        code: Tensor = self.encoder(avg_pool2d(photo, self.stride) * 2 - 1)
        return code

    def forward(self, photo: Float[Tensor, "b 3 h w"]) -> RawFactors:
        code = self._code(photo)
        fine, coarse = self.confidence(code)
        return RawFactors(
            depth=self.depth(code).float(),
            albedo=self._finer(self.albedo(code)),
            light=self.light(code).float(),
            view=self.view(code).float(),
            confidence=(self._finer(fine), self._finer(coarse)),
            shading=None if self.shading is None else self._finer(self.shading(code)),
        )

    def _finer(self, maps: Float[Tensor, "b c i j"]) -> Float[Tensor, "b c h w"]:
        return (
            maps.float() if self.stride == 1 else interpolate(maps.float(), scale_factor=self.stride, mode="bilinear")
        )

    def view_of(self, photo: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 6"]:
        """The view alone."""
        view: Tensor = self.view(self._code(photo))
        return view.float()

    def turn_inside_out(self) -> None:
        """Exchange relief, view and light for those of the inside-out twin.

        z, pitch, yaw, the shift along z and the tilt of the light change their signs.
        """
        self.scale_output("depth", [-1.0])
        self.scale_output("view", [-1.0, -1.0, 1.0, 1.0, 1.0, -1.0])
        self.scale_output("light", [1.0, 1.0, -1.0, -1.0])

    @torch.no_grad()
    def scale_output(self, head: str, factors: Sequence[float]) -> None:
        """Multiply what a head says, channel by channel (or all with one factor), through its last layer."""
        for parameter in self.get_submodule(f"{head}.1.last").parameters():
            parameter.mul_(parameter.new_tensor(factors).view(-1, *[1] * (parameter.ndim - 1)))
