"""Numbers that a computation needs as a tensor, made once."""

from functools import lru_cache

import torch
from torch import Tensor


def constant(*values: float | int, like: Tensor) -> Tensor:
    """The values as a vector of the device and dtype of `like`; not to be changed.

    Made afresh in every step, they would be copied to a GPU in every step, which has to wait for them and which no CUDA
    graph may hold.
    """
    return _made(values, like.device, like.dtype)


@torch.compiler.disable
@lru_cache(maxsize=256)
def _made(values: tuple[float | int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    with torch.inference_mode(False):  # whoever comes first: others may want gradients
        return torch.tensor(values, device=device, dtype=dtype)
