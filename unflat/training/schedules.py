"""The learning rate's course, as a factor on the rate."""

import math

from unflat.training.settings import Training


def rate_factor(training: Training, step: int) -> float:
    """Factor on the rate at `step` (from 0): 1 for the share `hold` of the steps, then down to 0 (exponentially to a
    tenth) after the last one."""
    held = training.hold * training.steps
    if training.schedule == "constant" or step < held:
        return 1.0
    left = max(0.0, (training.steps - step) / (training.steps - held))
    if training.schedule == "linear":
        return left
    if training.schedule == "exponential":
        return 0.1 ** (1 - left)
    return 0.5 - 0.5 * math.cos(math.pi * left)
