"""Settings for data that an experiment was not made for: what a method's `suited` is written with."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unflat.data.kinds import Photos
from unflat.data.variety import scale_spread
from unflat.training.experiment import Experiment

EPOCHS = 100
"""how often a picture is seen at most: 159 photos of cats were explained no better after 600 times than after 100
(docs/LOG.md)"""
FEWEST_STEPS = 2000
"""batches become smaller until there are so many steps"""
SMALLEST_BATCH = 4
CROPPED_WITHIN = 0.03
"""of the distance to the camera, a sixth of the picture: how far off its middle objects of photos may stand"""


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


def fitted_to_photos(
    experiment: Experiment, photos: Photos, started: bool = False
) -> tuple[Experiment, dict[str, str]]:
    """Settings of a method that learns reliefs, made at 64 px for many photos, for `photos`; and why.

    `started` from other weights, the networks are as large as those are: no stride changes. Nor do they find shifts in
    another range than they learned: what they say is a share of it.

    Its `Config` has to have the fields named here (see `unflat.methods.autoencoders.unsup3d`).
    """
    config, size, spread = experiment.config, photos.extent.size[0], scale_spread(photos)
    batch, steps = batch_and_steps(len(photos), config.batch_size, experiment.training.steps)
    warmup = config.warmup if steps == experiment.training.steps else min(config.warmup, steps // 3)
    (near, far), (x, y, z), moved = config.depth_range, config.shift_range, []
    if not started and min(x, y) < CROPPED_WITHIN:
        x, y = max(x, CROPPED_WITHIN), max(y, CROPPED_WITHIN)
        moved.append("crops are not exact: objects may be off the middle")
    if spread is not None and spread.differs:
        z = max(z, (far - near) / 2)  # what is further back is not seen
        moved.append("objects are of different size in the crops: they may be nearer and further")
    chosen = {
        "training.steps": (steps, f"{len(photos)} photos; what is seen more often is learned by heart"),
        "config.batch_size": (batch, f"few photos, of which {steps} batches are made"),
        "config.warmup": (warmup, f"a third of the {steps} steps"),
        "config.shift_range": ((x, y, z), "; ".join(moved)),
    }
    if not started:
        stride, depth_stride = config.stride * size // 64, max(1, config.depth_stride * size // 64)
        chosen["config.stride"] = (max(1, min(config.stride, stride)), "photos smaller than 64 px")
        chosen["config.depth_stride"] = (depth_stride, "the relief keeps the grid it has at 64 px")
    return fitted(experiment, chosen)
