"""Emission and absorption along rays: from the density of intervals to what is seen.

An interval absorbs what comes from behind it, and adds what it emits. With density and colour held constant inside
each, and intervals counted from the camera on, this is exact (docs/volume-rendering.md derives it):

    thickness_i = density_i * length_i                  optical thickness, no unit
    before_i    = exp(-sum_{j<i} thickness_j)           what is left of the light where interval i begins
    weight_i    = before_i * (1 - exp(-thickness_i))    its share in what is seen
    seen        = sum_i weight_i * value_i + through * background,    through = exp(-sum_i thickness_i)

Once for dense samples, as many on every ray (`[r s]`, `s` intervals between edges `[r s+1]`), and once for packed ones,
`m` in all, ray by ray and on each ray by distance, with the sorted number of their ray; a ray may have none.
Distances are along the ray; `data.rays.depth_along` makes depth of them. Any field and any payload uses this one.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

LastSample = Literal["finite", "opaque"]
"""what the last interval of a ray does: absorb as its density and length say, or all that is left, whatever they say.
`opaque` is for scenes that end nowhere and have no background; an object on a plain background is `finite`"""

SATURATED = 1e3
"""optical thickness beyond which nothing changes, not even in float64: exp(-1000) is 0"""
LONG = 512
"""intervals of a ray from which on thicknesses are summed in float64"""
THICKEST_ALPHA = 1 - 1e-6
"""alpha that still has a logarithm worth taking in float32"""


class Absorption(NamedTuple):
    """How intervals absorb what comes along their rays; `*s` is `r s` for dense samples and `m` for packed ones."""

    weights: Float[Tensor, "*s"]
    """share of each in what is seen; not negative, and at most 1 in sum over a ray"""
    before: Float[Tensor, "*s"]
    """transmittance from the camera to where each begins"""
    through: Float[Tensor, "r"]
    """transmittance of the whole ray: the background's share"""

    @property
    def opacity(self) -> Float[Tensor, "r"]:
        """The sum of a ray's weights."""
        return 1 - self.through


def thickness_between(density: Float[Tensor, "r s"], edges: Float[Tensor, "r s+1"]) -> Float[Tensor, "r s"]:
    """Optical thickness of intervals from their density (absorption per unit of length) and the edges between them."""
    return density * edges.diff(dim=1)


def thickness_of(alpha: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """Optical thickness of intervals of which only the opacity is known, -log(1 - alpha)."""
    return -torch.log1p(-alpha.clamp_max(THICKEST_ALPHA))


# -- dense -------------------------------------------------------------------------------------------------------------


def absorption(thickness: Float[Tensor, "r s"], last_sample: LastSample = "finite") -> Absorption:
    """How intervals of this optical thickness absorb, first the one nearest to the camera."""
    thickness = thickness.clamp_max(SATURATED)
    kind = torch.float64 if thickness.shape[1] > LONG else thickness.dtype
    total = torch.nn.functional.pad(thickness.cumsum(1, dtype=kind), (1, 0)).to(thickness.dtype)
    left = torch.exp(-total)
    before, through = left[:, :-1], left[:, -1]
    alpha = -torch.expm1(-thickness)
    if last_sample == "opaque":
        alpha = torch.cat([alpha[:, :-1], torch.ones_like(alpha[:, -1:])], 1)
        through = torch.zeros_like(through)
    return Absorption(before * alpha, before, through)


def composited(weights: Float[Tensor, "r s"], values: Float[Tensor, "r s k"]) -> Float[Tensor, "r k"]:
    """What is seen of any values of the intervals: colours, normals, features. The background is the caller's to add,
    `through` times it."""
    return (weights[..., None] * values).sum(1)


def expected_distance(weights: Float[Tensor, "r s"], edges: Float[Tensor, "r s+1"]) -> Float[Tensor, "r"]:
    """Weights times the distances of the intervals' middles. Divided by the opacity it is the mean distance of what is
    seen, which does not exist on an empty ray: so that is left to the caller."""
    return (weights * middles(edges)).sum(1)


def median_distance(weights: Float[Tensor, "r s"], edges: Float[Tensor, "r s+1"]) -> Float[Tensor, "r"]:
    """The middle of the first interval up to which half of the light has been absorbed; NaN where less than half is."""
    count = (weights.cumsum(1) < 0.5).sum(1, keepdim=True)
    there = middles(edges).gather(1, count.clamp_max(weights.shape[1] - 1))
    return torch.where(count < weights.shape[1], there, torch.nan)[:, 0]


def middles(edges: Float[Tensor, "r e"]) -> Float[Tensor, "r e-1"]:
    """The middles of the intervals between edges."""
    return (edges[:, 1:] + edges[:, :-1]) / 2


# -- packed ------------------------------------------------------------------------------------------------------------


def packed_absorption(
    thickness: Float[Tensor, "m"], ray: Int[Tensor, "m"], rays: int, last_sample: LastSample = "finite"
) -> Absorption:
    """`absorption` of samples that lie on `rays` rays; `ray` is sorted. An empty ray lets everything through."""
    thickness = thickness.clamp_max(SATURATED)
    before = torch.exp(-_before(thickness, ray, rays))
    through = torch.exp(-thickness.new_zeros(rays).index_add(0, ray, thickness))
    alpha = -torch.expm1(-thickness)
    if last_sample == "opaque":
        count = torch.bincount(ray, minlength=rays)
        alpha = alpha.index_fill(0, count.cumsum(0)[count > 0] - 1, 1.0)
        through = torch.where(count > 0, 0.0, through)
    return Absorption(before * alpha, before, through)


def packed_composited(
    weights: Float[Tensor, "m"], values: Float[Tensor, "m k"], ray: Int[Tensor, "m"], rays: int
) -> Float[Tensor, "r k"]:
    """`composited` of packed samples."""
    return values.new_zeros(rays, values.shape[1]).index_add(0, ray, weights[:, None] * values)


def packed_expected_distance(
    weights: Float[Tensor, "m"], starts: Float[Tensor, "m"], ends: Float[Tensor, "m"], ray: Int[Tensor, "m"], rays: int
) -> Float[Tensor, "r"]:
    """`expected_distance` of packed samples, each from its start to its end."""
    return weights.new_zeros(rays).index_add(0, ray, weights * (starts + ends) / 2)


def packed_median_distance(
    weights: Float[Tensor, "m"], starts: Float[Tensor, "m"], ends: Float[Tensor, "m"], ray: Int[Tensor, "m"], rays: int
) -> Float[Tensor, "r"]:
    """`median_distance` of packed samples."""
    count = torch.bincount(ray, minlength=rays)
    under = (_before(weights, ray, rays) + weights < 0.5).long()
    sample = count.cumsum(0) - count + torch.zeros_like(count).index_add(0, ray, under)
    there = torch.nn.functional.pad((starts + ends) / 2, (0, 1), value=torch.nan)  # one more, for rays behind the last
    found = under.new_zeros(rays).index_add(0, ray, 1 - under) > 0
    return torch.where(found, there[sample], torch.nan)


def _before(values: Float[Tensor, "m"], ray: Int[Tensor, "m"], rays: int) -> Float[Tensor, "m"]:
    """The sum of the values before each on its own ray: the sum over all rays, less what it is where the ray begins, in
    float64, since the sum over all is large."""
    total = torch.nn.functional.pad(values.double().cumsum(0), (1, 0))
    count = torch.bincount(ray, minlength=rays)
    return (total[:-1] - total[(count.cumsum(0) - count)[ray]]).to(values.dtype)
