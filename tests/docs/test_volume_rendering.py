"""The pictures of docs/volume-rendering.md are those that the script beside them makes."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = DOCS / "pictures" / "volume_rendering.py"
    spec = importlib.util.spec_from_file_location("volume_rendering_pictures", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_makes_the_pictures_that_are_shown(script: ModuleType, tmp_path: Path) -> None:
    """The same size and colours; letters and noise may be drawn a little otherwise by other versions."""
    script.main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(script.PICTURES)
    for name in script.PICTURES:
        made, shown = (np.asarray(Image.open(folder / name), np.float64) for folder in (tmp_path, DOCS / "images"))
        assert made.shape == shown.shape
        assert np.abs(made - shown).mean() < 2, name
        assert made.std() > 20, f"{name} shows something"


def test_the_page_shows_every_picture(script: ModuleType) -> None:
    page = (DOCS / "volume-rendering.md").read_text()
    assert all(f"](images/{name})" in page for name in script.PICTURES)
