"""Networks that know a scene: what is at a point, and how it looks from a direction."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

DensityActivation = Literal["softplus", "relu"]
"""how a raw number becomes a density: softplus(raw - 1), which always has a gradient (Barron et al. 2021), or
relu(raw), which has none where it is negative: a network that begins so everywhere never learns"""


class RadianceNetwork(nn.Module):
    """NeRF's network (Mildenhall et al. 2020, figure 7): density of an encoded place, colour of it from a direction.

    `depth` layers of `width`; what layer `skip` gives, counted from 0, is joined by the place once more (-1 for none).
    Then a density, and a feature that a layer of half the width mixes with the encoded direction into a colour.
    """

    def __init__(self, place: int, direction: int, width: int = 256, depth: int = 8, skip: int = 4) -> None:
        super().__init__()
        if not -1 <= skip <= depth - 2:
            raise ValueError(
                f"skip is {skip}, but another of the {depth} layers has to follow: it is at most {depth - 2}, or -1 "
                "for none"
            )
        self.skip = skip
        inputs = [place if i == 0 else width + place * (i == skip + 1) for i in range(depth)]
        self.layers = nn.ModuleList(nn.Linear(count, width) for count in inputs)
        self.density = nn.Linear(width, 1)
        self.feature = nn.Linear(width, width)
        self.mixed = nn.Linear(width + direction, width // 2)
        self.colour = nn.Linear(width // 2, 3)
        for layer in self.modules():  # as the released code begins
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(
        self, place: Float[Tensor, "*n p"], direction: Float[Tensor, "*n d"]
    ) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n 3"]]:
        """Raw density, for `density_of`, and colour in [0, 1]; both float32, also under autocast."""
        hidden = place
        for i, layer in enumerate(self.layers):
            hidden = relu(layer(hidden))
            if i == self.skip:
                hidden = torch.cat([place, hidden], -1)
        mixed = relu(self.mixed(torch.cat([self.feature(hidden), direction], -1)))
        return self.density(hidden)[..., 0].float(), torch.sigmoid(self.colour(mixed).float())


def density_of(
    raw: Float[Tensor, "*n"], activation: DensityActivation = "softplus", noise: float = 0.0
) -> Float[Tensor, "*n"]:
    """Density, never negative, of raw numbers, to which normal noise of this standard deviation is added before."""
    if noise:
        raw = raw + noise * torch.randn_like(raw)
    return softplus(raw - 1) if activation == "softplus" else relu(raw)
