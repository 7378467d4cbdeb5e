"""The pictures of docs/object-to-mesh.md are made by the script beside it; here by a run that has hardly learned."""

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.mark.soak
def test_the_script_makes_the_pictures_that_are_shown(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("object_pictures", DOCS / "pictures" / "object_to_mesh.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(tmp_path, "tiny")
    for name in (script.STAGES, script.SEEN):
        with Image.open(tmp_path / name) as made, Image.open(DOCS / "images" / name) as shown:
            assert made.size == shown.size
        assert f"images/{name}" in (DOCS / "object-to-mesh.md").read_text()
