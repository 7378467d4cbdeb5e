"""Videos frame by frame, upright; what is no video says so."""

import itertools
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unflat.data.frames import VideoError, frames_of, is_video

pytest.importorskip("av")


def test_frames_come_in_order(tmp_path: Path, write_video: Any, greys: Any) -> None:
    path = write_video(tmp_path / "a.mp4", greys(6))
    frames = [np.asarray(frame) for frame in frames_of(path)]
    assert [frame.shape for frame in frames] == [(96, 128, 3)] * 6
    assert [round(float(frame[60, 100].mean()) / 20) for frame in frames] == [1, 2, 3, 4, 5, 6]
    assert all(frame[8, 8].mean() > 230 for frame in frames)
    assert len(list(frames_of(path, limit=2))) == 2


def test_frames_are_decoded_as_they_are_asked_for(tmp_path: Path, write_video: Any, greys: Any) -> None:
    path = write_video(tmp_path / "a.mp4", greys(10))
    assert len(list(itertools.islice(frames_of(path), 3))) == 3


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_video_filmed_lying_down_is_turned_up(tmp_path: Path, turn: int, write_video: Any, greys: Any) -> None:
    """The turn is noted in the track's header as a matrix (clockwise, 16.16 fixed point), as phones do."""
    path = write_video(tmp_path / "a.mp4", greys(2))
    matrices = {0: (1, 0, 0, 1), 90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}

    def packed(turn: int) -> bytes:
        a, b, c, d = (value << 16 for value in matrices[turn])
        return struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)

    content = path.read_bytes()
    track = content.index(b"tkhd")
    assert content[track:].count(packed(0)) == 1
    path.write_bytes(content[:track] + content[track:].replace(packed(0), packed(turn)))
    frame = np.asarray(next(frames_of(path)))
    upright = np.rot90(greys(1)[0], -turn // 90)
    assert frame.shape == upright.shape
    assert abs(frame.astype(int) - upright).mean() < 8


def test_a_video_that_breaks_off_gives_what_is_there(tmp_path: Path, write_video: Any, greys: Any) -> None:
    rng = np.random.default_rng(0)
    path = write_video(tmp_path / "a.avi", [rng.integers(0, 255, (96, 128, 3), np.uint8) for _ in range(10)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert 1 <= len(list(frames_of(path))) < 10


def test_what_is_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.mp4").write_text("not a video")
    with pytest.raises(VideoError, match=r"a.mp4 is no video that can be read"):
        next(frames_of(tmp_path / "a.mp4"))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(VideoError, match=r"needs PyAV.*pip install 'unflat\[video\]'"):
        next(frames_of(tmp_path / "a.mp4"))


def test_videos_are_known_by_their_suffix() -> None:
    assert (
        is_video(Path("a.MP4"))
        and is_video(Path("b.mov"))
        and not is_video(Path("mp4"))
        and not is_video(Path("a.gif"))
    )
