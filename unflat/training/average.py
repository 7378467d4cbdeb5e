"""The running average of the weights, which predicts better than the last of them."""

import copy

import torch

from unflat.method import Method
from unflat.networks.frozen import changing_buffers


class RunningAverage:
    """A copy of a method whose parameters follow the original's: average <- decay * average + (1 - decay) * weights."""

    def __init__(self, method: Method, decay: float) -> None:
        self.method = copy.deepcopy(method).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def follow(self, method: Method, step: int) -> None:
        """Move towards the weights after `step`, faster in the first steps; buffers that change are copied."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.method.parameters()), list(method.parameters()), 1 - decay)
        for ours, theirs in zip(changing_buffers(self.method), changing_buffers(method), strict=True):
            ours.copy_(theirs)
