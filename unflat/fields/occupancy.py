"""What a grid of cells remembers of where there was something lately (Mueller et al. 2022, Instant-NGP, appendix E)."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def looked_again(
    lately: Float[Tensor, "i j k"],
    cells: Int[Tensor, "n 3"],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    value_of: Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n"]],
    fades: float,
    drawn: torch.Generator,
) -> Float[Tensor, "i j k"]:
    """What cells of the box from `low` to `high` remember after another look. What they had fades to such a share;
    those named are asked for a value at a random place in each, drawn on the CPU, and keep what is more."""
    within = torch.rand(len(cells), 3, generator=drawn, device="cpu").to(low)
    side = (high - low) / low.new_tensor(lately.shape)
    now, place = torch.zeros_like(lately), cells.unbind(1)
    now[place] = value_of(low + (cells + within) * side)
    return torch.maximum(fades * lately, now)


def occupied_lately(
    lately: Float[Tensor, "i j k"], allowed: Bool[Tensor, "i j k"], least: float
) -> Bool[Tensor, "i j k"]:
    """The allowed cells that remember more than `least`, or than the mean of all allowed where that is less."""
    return (lately > lately[allowed].mean().clamp_max(least)) & allowed
