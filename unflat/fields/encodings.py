"""Coordinates as networks see them: a plain network on plain coordinates stays blurred."""

import torch
from jaxtyping import Float
from torch import Tensor


def positional(values: Float[Tensor, "*b c"], octaves: int) -> Float[Tensor, "*b c*(2*{octaves}+1)"]:
    """Every number a as a, sin a, cos a, sin 2a, cos 2a, ..., cos 2^(octaves - 1) a (Mildenhall et al. 2020, eq. 4).

    As in the released code there is no pi before a, and a itself comes first. Numbers should be of order 1.
    """
    scaled = values[..., None, :] * 2.0 ** torch.arange(octaves, dtype=values.dtype, device=values.device)[:, None]
    waves = torch.stack([scaled.sin(), scaled.cos()], -2)
    return torch.cat([values, waves.flatten(-3)], -1)


def positional_length(count: int, octaves: int) -> int:
    """How many numbers `positional` makes of `count`: 63 of a place with 10 octaves, 27 of a direction with 4."""
    return count * (2 * octaves + 1)
