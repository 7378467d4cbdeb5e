"""Videos to read."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def write_video() -> Callable[[Path, list[np.ndarray]], Path]:
    """Writes frames [h, w, 3] as a video of ten a second."""
    av = pytest.importorskip("av")

    def write(path: Path, frames: list[np.ndarray]) -> Path:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height = frames[0].shape[1], frames[0].shape[0]
            stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode(None))
        return path

    return write


@pytest.fixture
def greys() -> Callable[[int], list[np.ndarray]]:
    """So many frames; frame i is grey 20 (i + 1), with a white top left corner."""

    def frames(count: int) -> list[np.ndarray]:
        made = [np.full((96, 128, 3), 20 * (i + 1), np.uint8) for i in range(count)]
        for frame in made:
            frame[:32, :32] = 255
        return made

    return frames
