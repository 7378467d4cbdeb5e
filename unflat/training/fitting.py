"""Settings for data that an experiment was not made for: what a method's `suited` is written with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unflat.training.experiment import Experiment

EPOCHS = 100
"""how often a picture is seen at most: 159 photos of cats were explained no better after 600 times than after 100
(docs/LOG.md)"""
FEWEST_STEPS = 2000
"""batches become smaller until there are so many steps"""
SMALLEST_BATCH = 4


def batch_and_steps(count: int, batch: int, steps: int) -> tuple[int, int]:
    """Batch size and steps in which `count` pictures are seen at most `EPOCHS` times; neither is more than given."""
    batch = min(batch, max(SMALLEST_BATCH, count * EPOCHS // FEWEST_STEPS))
    return batch, min(steps, max(1, count * EPOCHS // batch))


def fitted(experiment: Experiment, chosen: Mapping[str, tuple[Any, str]]) -> tuple[Experiment, dict[str, str]]:
    """The experiment with the chosen settings, and why, for those that are not what they were.

    `chosen` holds a value and a reason by setting: `config.x` or `training.x`.
    """
    reasons = {}
    for setting, (value, why) in chosen.items():
        part, _, name = setting.partition(".")
        settings = getattr(experiment, part)
        if getattr(settings, name) != value:
            experiment = replace(experiment, **{part: replace(settings, **{name: value})})
            reasons[setting] = why
    return experiment, reasons
