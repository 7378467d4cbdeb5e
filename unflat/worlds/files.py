"""Files of generated data: each is written under another name first, so that a reader sees all of it or nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin


def save_png(path: Path, image: Image.Image, text: PngImagePlugin.PngInfo | None = None) -> None:
    """A picture, with words about it if there are any."""
    with _other_name(path) as part:
        image.save(part, format="PNG", pnginfo=text)


def save_array(path: Path, values: np.ndarray) -> None:
    """An array as .npy."""
    with _other_name(path) as part, part.open("wb") as file:
        np.save(file, values)


def save_text(path: Path, content: str) -> None:
    """UTF-8."""
    with _other_name(path) as part:
        part.write_text(content, encoding="utf-8")


@contextmanager
def _other_name(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` if that went well."""
    part = path.with_name(f".{path.name}.part")
    yield part
    part.replace(path)
