"""The small network that makes colours of features looked up in a table and of the direction of sight."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import relu

from unflat.fields.encodings import positional, positional_length


class ColourHead(nn.Module):
    """Two hidden layers of `width` on [features, direction, and both as waves], a sigmoid behind them.

    DVGO's (Sun et al. 2022) sees 12 features and 4 octaves of the direction, TensoRF's "MLP_Fea" (Chen et al. 2022) 27
    features with 2 octaves of both: 150 numbers.
    """

    def __init__(self, features: int, feature_octaves: int = 0, direction_octaves: int = 4, width: int = 128) -> None:
        super().__init__()
        self.octaves = feature_octaves, direction_octaves
        inputs = positional_length(features, feature_octaves) + positional_length(3, direction_octaves)
        self.layers = nn.ModuleList([nn.Linear(inputs, width), nn.Linear(width, width)])
        self.last = nn.Linear(width, 3)
        nn.init.zeros_(self.last.bias)

    def forward(self, features: Float[Tensor, "n f"], sights: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Colours in [0, 1]; float32, also under autocast."""
        ours, theirs = self.octaves
        hidden = torch.cat([positional(features, ours), positional(sights, theirs)], -1)
        for layer in self.layers:
            hidden = relu(layer(hidden))
        return torch.sigmoid(self.last(hidden).float())
