"""The picture of docs/capture-to-3d.md is made by the script beside it; here by a run that has hardly learned."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.soak
def test_the_script_makes_the_picture_that_is_shown(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("capture_pictures", DOCS / "pictures" / "capture_to_3d.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(tmp_path, "tiny")
    made, shown = (np.asarray(Image.open(folder / script.NAME)) for folder in (tmp_path, DOCS / "images"))
    assert made.shape == shown.shape
    assert f"images/{script.NAME}" in (DOCS / "capture-to-3d.md").read_text()
    titles = made[:24] != 255
    np.testing.assert_array_equal(titles, shown[:24] != 255)
