"""Which pictures of a capture are there."""

from pathlib import Path

import numpy as np
import pytest

from unflat.data.kinds import Skipped
from unflat.data.readers.picture_files import is_file, name_below, pictures_in, sorted_frames
from unflat.data.recordings import CaptureError, Frame


def frame(name: str) -> Frame:
    return Frame(name, Path(name), None, np.eye(4), 1.0)


def test_a_name_that_no_file_can_have_names_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    assert is_file(tmp_path / "a")
    for name in ("b", ".", "a\0b", "x" * 5000, "a/b", "\ud800"):
        assert not is_file(tmp_path / name)


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "10.jpeg", "9.tif", ".hidden.png", "notes.txt", "below/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in pictures_in(tmp_path)] == ["10.jpeg", "9.tif", "a.png", "b.JPG"]
    assert pictures_in(tmp_path / "nowhere") == pictures_in(tmp_path / "a.png") == []


def test_names_are_below_the_folder_with_slashes() -> None:
    assert name_below(Path("x/y"), Path("x/y/images/a.png")) == "images/a.png"
    assert name_below(Path("x/y"), Path("x/z/a.png")) == "x/z/a.png"


def test_frames_are_sorted_by_name() -> None:
    found = sorted_frames([frame("b"), frame("a10"), frame("a9")], (), Path("f"))
    assert [entry.name for entry in found] == ["a10", "a9", "b"]


def test_none_left_or_one_twice_is_told() -> None:
    missing = [Skipped(f"{i}.png", "is missing") for i in range(5)]
    with pytest.raises(
        CaptureError, match=r"^f names 5 pictures, and not one of them is there \(0.png, 1.png, 2.png \.\.\.\): "
    ):
        sorted_frames([], missing, Path("f"))
    with pytest.raises(
        CaptureError, match=r"^f names 1 pictures, and not one of them is there \(0.png\): put the pict"
    ):
        sorted_frames([], missing[:1], Path("f"))
    with pytest.raises(CaptureError, match=r"^f has 1 pictures twice, as a: leave one of them out$"):
        sorted_frames([frame("a"), frame("b"), frame("a")], (), Path("f"))
