"""The frames of a video, upright, one by one."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

VIDEO_SUFFIXES = frozenset((".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".3gp", ".mts"))


class VideoError(ValueError):
    """A video cannot be read."""


def is_video(path: Path) -> bool:
    """Whether a file's suffix is a video's."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def frames_of(path: Path, limit: int | None = None) -> Iterator[Image.Image]:
    """The first `limit` frames (all if None) as upright RGB pictures, decoded as they are asked for.

    A video that breaks off gives the frames before the break; one without any raises VideoError.
    """
    av = _av()
    count = 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise VideoError(f"{path} holds no video stream")
            container.streams.video[0].thread_type = "AUTO"
            for frame in container.decode(video=0):
                if limit is not None and count >= limit:
                    return
                count += 1
                yield _upright(frame)
    except av.FFmpegError as error:
        if count == 0:
            raise VideoError(f"{path} is no video that can be read ({error})") from error
    if count == 0:
        raise VideoError(f"{path} holds no frames")


def _upright(frame: Any) -> Image.Image:
    """Phones film lying down and note the turn; `rotation` is what undoes it, counter-clockwise."""
    image: Image.Image = frame.to_image()
    turns = {90: Image.Transpose.ROTATE_90, 180: Image.Transpose.ROTATE_180, 270: Image.Transpose.ROTATE_270}
    turn = turns.get(round(frame.rotation) % 360)
    return image if turn is None else image.transpose(turn)


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise VideoError(
            "reading a video needs PyAV, which is not installed: pip install 'unflat[video]', "
            "or save the frames as pictures in a folder"
        ) from error
    return av
