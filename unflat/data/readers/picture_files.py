"""Which pictures of a capture are there: what every reader of posed pictures asks."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from unflat.data.kinds import Skipped
from unflat.data.pictures import picture_suffixes
from unflat.data.recordings import CaptureError, Frame

MISSING = "is missing"


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no file can have names none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def name_below(folder: Path, path: Path) -> str:
    """The path below a folder, with slashes; the whole path where it leads elsewhere."""
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder that is there or not, sorted by name; neither hidden ones nor those of its folders."""
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    wanted = picture_suffixes()
    return [path for path in entries if path.suffix.lower() in wanted and not path.name.startswith(".")]


def sorted_frames(frames: Sequence[Frame], skipped: Sequence[Skipped], where: Path) -> tuple[Frame, ...]:
    """The frames of a file sorted by name. CaptureError where none is left, or two have one name."""
    if not frames:
        names = ", ".join(entry.name for entry in skipped[:3]) + (" ..." if len(skipped) > 3 else "")
        raise CaptureError(
            f"{where} names {len(skipped)} pictures, and not one of them is there ({names}): put the pictures where it "
            "says, below the folder that is given"
        )
    twice = [name for name, count in Counter(frame.name for frame in frames).items() if count > 1]
    if twice:
        raise CaptureError(f"{where} has {len(twice)} pictures twice, as {twice[0]}: leave one of them out")
    return tuple(sorted(frames, key=lambda frame: frame.name))
