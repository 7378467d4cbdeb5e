"""The last step from a network's map to a relief: depth in a range, behind whose borders the object ends."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from unflat.geometry.depth import paraboloid

HELD_COLUMNS = 2  # columns of the relief held at the border depth, on either side
SMOOTHING = 0.2  # of the convexity that is watched
TALL = 2.0  # times its width, the bump's height in the picture: the top and the bottom of heads are not held back


class ReliefHead(nn.Module):
    """A raw map [b, i, j] to the relief [b, size, size] (Wu et al. 2020, section 3.3 and their released code).

    Depth is tanh of the raw map about its mean, in `limits` (d_min, d_max); the outermost columns on the left and the
    right are held at `border`, from 0 (d_min) to 1 (d_max). The map may be `stride` times coarser than the relief.

    Ours: the raw map's slope from top to bottom is taken off as its mean is, unless views are known (`upright`). A
    relief that leans back is undone by the view's pitch and a turned light; unlike left and right, top and bottom have
    no mirror image to tell. And the `bump`, the depth of a paraboloid, twice as tall as wide, is added to every raw
    map: seen from afar, a relief has an exact inside-out twin that shows the same picture, and learning stays on the
    side on which it starts.
    """

    before: ClassVar[dict[str, float]] = {"slope_weight": 0.0}
    """buffers that older weights may lack, and what they were"""
    settled: ClassVar[tuple[str, ...]] = ("slope_weight",)
    """buffers that settings alone decide, also of a run that begins from other weights"""
    bump: Tensor
    down: Tensor
    slope_weight: Tensor
    convexity: Tensor

    def __init__(
        self, size: int, stride: int, limits: tuple[float, float], border: float, bump: float, *, upright: bool = True
    ) -> None:
        super().__init__()
        self.size, self.limits, self.border = size, limits, border
        self.register_buffer("bump", bump * paraboloid(size // stride, TALL))
        down = torch.linspace(-1, 1, size // stride)[:, None]  # of each row
        weight = (1 - down.square()) * (1 - down.T.square()) * down  # the object is in the middle
        self.register_buffer("down", down, persistent=False)
        self.register_buffer("slope_weight", weight / (weight * down).sum() * upright)
        self.register_buffer("convexity", torch.zeros(()))

    @property
    def far(self) -> float:
        """What lies further behind the relief, when it is turned, is not seen: half the range of depth."""
        near, far = self.limits
        return far + (far - near) / 2

    def forward(self, raw: Float[Tensor, "b i j"]) -> tuple[Float[Tensor, "b i j"], Float[Tensor, "b h w"]]:
        """Depth as share of its range on the map's own grid, and the relief with its borders held."""
        near, far = self.limits
        raw = raw + self.bump
        raw = raw - (raw * self.slope_weight).sum((1, 2), keepdim=True) * self.down
        share = torch.tanh(raw - raw.mean((1, 2), keepdim=True)) / 2 + 0.5
        depth = near + (far - near) * share
        if depth.shape[-1] != self.size:  # bicubic overshoots
            depth = interpolate(depth[:, None], (self.size, self.size), mode="bicubic")[:, 0].clamp(near, far)
        held = near + (far - near) * self.border
        return share, pad(depth[:, :, HELD_COLUMNS:-HELD_COLUMNS], (HELD_COLUMNS, HELD_COLUMNS), value=held)

    @torch.no_grad()
    def watch(self, share: Float[Tensor, "b i j"]) -> Float[Tensor, ""]:
        """How much reliefs bulge, smoothed over the calls: below zero they are inside out."""
        bulge = (share * paraboloid(share.shape[-1]).to(share)).mean()
        return self.convexity.lerp_(bulge.nan_to_num(), SMOOTHING).clone()

    def turn_inside_out(self) -> None:
        """For raw maps of the other sign, the relief's twin."""
        self.bump.neg_()
        self.convexity.neg_()
