"""Where rays are sampled: the edges of intervals without gaps, whose middles are asked.

Edges `[r s+1]` are distances along their rays, in order. Random numbers are torch's: whoever trains seeds it.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Jitter = Literal["edge", "ray"]
"""whether each edge of a ray is moved by an amount of its own, or all by the same"""
Spacing = Literal["linear", "disparity", "log", "piecewise"]
"""in what samples are evenly spaced: distance, 1 / distance, log distance, or half of them in the distance up to 1 and
the other half in 1 / distance beyond. `disparity` and `log` need near above 0"""

PADDING = 1e-5
"""added to every weight before resampling (Mildenhall et al. 2020): some samples go where nothing has been seen"""
NARROW = 1e-5
"""of all probability: a bin that has less is not divided by"""


def stratified_edges(
    near: Float[Tensor, "r"],
    far: Float[Tensor, "r"],
    count: int,
    *,
    jitter: Jitter | None = None,
    spacing: Spacing = "linear",
) -> Float[Tensor, "r {count}+1"]:
    """Edges of `count` intervals from near to far, evenly spaced; with `jitter` each but the first and the last is
    moved at random, as far as half way to its neighbours. ValueError for less than one interval."""
    if count < 1:
        raise ValueError(f"a ray cannot be cut into {count} intervals; it needs at least 1")
    shares = torch.linspace(0, 1, count + 1, dtype=near.dtype, device=near.device).repeat(len(near), 1)
    if jitter is not None:
        moved = torch.rand(len(near), count - 1 if jitter == "edge" else 1, dtype=near.dtype, device=near.device)
        shares[:, 1:-1] += (moved - 0.5) / count
    return spaced(shares, near, far, spacing)


def spaced(
    shares: Float[Tensor, "r s"], near: Float[Tensor, "r"], far: Float[Tensor, "r"], spacing: Spacing
) -> Float[Tensor, "r s"]:
    """Distances that are these shares of the way from near to far, in what `spacing` names."""
    of_distance, distance_of = _SPACINGS[spacing]
    return distance_of(shares * of_distance(far)[:, None] + (1 - shares) * of_distance(near)[:, None])


def resampled(
    weights: Float[Tensor, "r b"],
    edges: Float[Tensor, "r b+1"],
    count: int,
    *,
    stratified: bool = False,
    padding: float = PADDING,
) -> Float[Tensor, "r {count}"]:
    """`count` distances in order, drawn from the density that is constant in each bin and whose share is its weight.

    One is drawn in each of `count` parts of equal probability: at random if `stratified`, else in the part's middle.
    Without gradient. ValueError for a count under 1.
    """
    if count < 1:
        raise ValueError(f"{count} distances cannot be drawn; at least 1 is needed")
    with torch.no_grad():
        share = weights + padding
        share = share / share.sum(1, keepdim=True).clamp_min(torch.finfo(share.dtype).tiny)
        below = torch.nn.functional.pad(share.cumsum(1), (1, 0))  # the distribution at the edges
        part = torch.arange(count, dtype=edges.dtype, device=edges.device).expand(len(edges), -1)
        within = torch.rand_like(part.contiguous()) if stratified else 0.5
        place = ((part + within) / count).contiguous()
        inside = torch.searchsorted(below, place, right=True).sub_(1).clamp_(0, weights.shape[1] - 1)  # which bin
        low, high = below.gather(1, inside), below.gather(1, inside + 1)
        wide = torch.where(high - low < NARROW, 1.0, high - low)
        left, right = edges.gather(1, inside), edges.gather(1, inside + 1)
        return left + ((place - low) / wide).clamp(0, 1) * (right - left)


def refined_edges(
    weights: Float[Tensor, "r s"], edges: Float[Tensor, "r s+1"], count: int, *, stratified: bool = False
) -> Float[Tensor, "r s+{count}+1"]:
    """NeRF's second look: the edges, and `count` more where the weights say that something is, in order.

    As in the paper the first and the last interval attract none: bins are bordered by what lies between the middles.
    ValueError for less than 3 intervals.
    """
    if weights.shape[1] < 3:
        raise ValueError(
            f"{weights.shape[1]} intervals cannot be refined: without first and last, 3 or more are needed"
        )
    more = resampled(weights[:, 1:-1], edges[:, 1:-1], count, stratified=stratified)
    return torch.cat([edges.detach(), more], 1).sort(1).values


def _beyond_one(distance: Tensor) -> Tensor:
    return torch.where(distance < 1, distance / 2, 1 - 0.5 / distance.clamp_min(1))


def _beyond_half(share: Tensor) -> Tensor:
    return torch.where(share < 0.5, 2 * share, 0.5 / (1 - share.clamp_min(0.5)))


_SPACINGS: dict[Spacing, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "linear": (torch.positive, torch.positive),
    "disparity": (torch.reciprocal, torch.reciprocal),
    "log": (torch.log, torch.exp),
    "piecewise": (_beyond_one, _beyond_half),
}
