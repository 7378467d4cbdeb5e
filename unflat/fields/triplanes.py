"""Tri-planes: features in three planes over a box, which a small network decodes at each point.

E. Chan et al. Efficient Geometry-aware 3D Generative Adversarial Networks. CVPR 2022 (EG3D), section 4. The planes are
xy, xz and yz: in EG3D's released code the third repeats the second, and yz is missing. They are tables that a scene
learns, or pictures that a network paints, one set for each of a batch; the decoder is the same for both.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, softplus

from unflat.fields.planes import plane_lengths
from unflat.geometry.spherical_harmonics import harmonics
from unflat.kernels.lookup import Aggregate, Box, Planes, looked_up

WIDER, LOWER = 1.002, 0.001
"""what a sigmoid is multiplied with, and what is taken off: colours reach 0 and 1"""


class PlaneDecoder(nn.Module):
    """One hidden layer with a softplus: from features to a raw density and further numbers, such as colours."""

    def __init__(self, features: int, numbers: int, width: int = 64) -> None:
        super().__init__()
        self.hidden = nn.Linear(features, width)
        self.last = nn.Linear(width, 1 + numbers)

    def forward(self, features: Float[Tensor, "*n f"]) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n k"]]:
        """Raw density and numbers; float32, also under autocast."""
        found = self.last(softplus(self.hidden(features))).float()
        return found[..., 0], found[..., 1:]

    def densities(self, features: Float[Tensor, "*n f"]) -> Float[Tensor, "*n"]:
        """The raw densities alone."""
        return linear(softplus(self.hidden(features)), self.last.weight[:1], self.last.bias[:1])[..., 0].float()


def shown(numbers: Float[Tensor, "n k"], sights: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Colours of what a decoder gives: of three numbers as they are, of more by spherical harmonics of the direction of
    sight, as many for each colour. A little less than 0 at least, a little more than 1 at most."""
    if numbers.shape[1] > 3:
        waves = harmonics(sights, numbers.shape[1] // 3)
        numbers = (numbers.view(len(numbers), 3, waves.shape[1]) * waves[:, None]).sum(-1)
    return torch.sigmoid(numbers) * WIDER - LOWER


def begun(shape: tuple[int, int, int], channels: int, aggregate: Aggregate) -> list[Tensor]:
    """Three planes before they have learned: about zero, or, where they are multiplied, from 0.1 to 0.5 (K-Planes)."""
    if aggregate == "product":
        return [torch.rand(count, channels) * 0.4 + 0.1 for count in plane_lengths(shape)]
    return [torch.randn(count, channels) * 0.1 for count in plane_lengths(shape)]


def features_at(points: Float[Tensor, "n 3"], sets: Sequence[Planes], box: Box) -> Float[Tensor, "n f"]:
    """What sets of planes, which may be of different sizes, hold at points of the box, one after the other."""
    found = [looked_up(points, planes, box) for planes in sets]
    return found[0] if len(found) == 1 else torch.cat(found, 1)


def painted_features(
    points: Float[Tensor, "b n 3"], pictures: Float[Tensor, "b 3 c h h"], box: Box, aggregate: Aggregate = "sum"
) -> Float[Tensor, "b n f"]:
    """What planes that a network has painted hold, each set at points of its own; zero at points beside the box.

    Rows of the pictures lie along x, x and y, columns along y, z and z, the outermost pixels' centres on the box's
    faces. Gradients flow on to the network. EG3D's mean is a third of the sum.
    """
    side = pictures.shape[-1]
    tables = pictures.permute(0, 1, 3, 4, 2).flatten(2, 3).contiguous()
    found = []
    for at, (xy, xz, yz) in zip(points, tables, strict=True):
        values = looked_up(at, Planes((xy, xz, yz), (side, side, side), aggregate, painted=True), box)
        beside = ((at < box.low) | (at > box.high)).any(1)
        found.append(values.masked_fill(beside[:, None], 0))
    return torch.stack(found)
