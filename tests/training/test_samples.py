"""Sheets of samples of a capture; those of photos are looked at in test_trainer.py."""

from pathlib import Path

import numpy as np
from PIL import Image

from unflat.methods.radiance.quick_grid import Config, QuickGrid
from unflat.training.run import build
from unflat.training.samples import VIEW, VIEWS, save_samples
from unflat.worlds.objects import Objects


def test_a_few_pictures_of_a_capture_beside_what_is_learned_and_its_depth(tmp_path: Path) -> None:
    vase = Objects("vase", 5, 3 * VIEW).capture(progress=False)
    method = build(QuickGrid, Config(stages=(0.2, 1.0)), vase.extent, 0)
    method.prepare(vase)
    shown = save_samples(tmp_path / "sheet.png", method, vase)
    assert shown is not None and shown.shape == (VIEW, VIEW, 3) and shown.dtype == np.uint8
    assert (shown[:8] == 255).all() and shown.min() >= 120, "white beside the vase, and there at most grey haze"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 4 * VIEW and sheet.height > VIEWS * VIEW
        left, shape = np.asarray(sheet)[:, : sheet.width // 4], np.asarray(sheet)[40:, -VIEW:]
    assert (shape.max(-1) == shape.min(-1)).all(), "the shape is grey"
    assert left.min() < 100, "the pictures themselves"
