"""Captures as benchmarks read them. What measures PSNR against time is `unflat/training/timed.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from unflat.data.captures import read_capture
from unflat.data.kinds import Capture


def read(
    folder: Path, split: Any, side: int, *, alpha: bool = True, limit: int | None = None, every: int = 1
) -> Capture:
    """Some pictures of a split of a capture at a size; without `alpha` laid on their background."""
    capture = read_capture(folder, split=split, side=side, progress=False)
    capture = capture[list(range(len(capture)))[:limit][::every]]
    return capture if alpha or not capture.has_alpha else opaque(capture)


def opaque(capture: Capture) -> Capture:
    """The capture without its opacity, as if its background were part of the pictures."""
    laid = [capture.rgb(i).reshape(-1, 3) for i in range(len(capture))]
    return replace(capture, pixels=(np.concatenate(laid) * 255 + 0.5).astype(np.uint8))
