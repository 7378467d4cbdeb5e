"""Networks whose features tell pictures apart better than pixels do, for perceptual losses."""

import numpy as np
from jaxtyping import Float
from torch import Tensor, nn


class NoFeatures(nn.Module):
    """Stands where no feature network is wanted."""

    def prepare(self, rgb: np.ndarray) -> None:
        """Nothing to learn."""

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        raise RuntimeError("this model was built without a feature network")


def feature_network(spec: str) -> nn.Module:
    """The network that `spec` names: '' for none."""
    return NoFeatures()
