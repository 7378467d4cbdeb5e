"""Everything a user takes away from a video or a burst: the same pictures as of photos, as videos.

Every frame is explained on its own; colours have one range over the whole video.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track

from unflat.data.kinds import Photos
from unflat.method import Prediction
from unflat.outputs.displays import Limits, Look, one
from unflat.outputs.files import write_text
from unflat.outputs.images import resized, sheet
from unflat.outputs.photos import count_of, factors_of
from unflat.outputs.video import FPS, write_video

VIDEOS = (
    "reconstruction",
    "depth",
    "normals",
    "albedo",
    "shading",
    "frontalised",
    "turned",
    "symmetry line",
    "asymmetry",
)
"""pictures of `Look` that become a video each"""
COMPARED = ("photo", "reconstruction", "depth", "normals", "albedo", "frontalised", "turned")
"""and those that stand side by side in comparison.mp4"""
CELL = 160


def write_video_outputs(
    prediction: Prediction, photos: Photos, out: Path | str, *, fps: float = FPS, size: int = 256, progress: bool = True
) -> list[Path]:
    """Write a video of each kind of picture, one with all side by side, and view and light of each frame as JSON.

    `photos` are the frames in their order; `size` is the width of a video in pixels. Returns the paths.
    Raises ValueError if frames and prediction differ in number.
    """
    count = count_of(prediction)
    if count != len(photos):
        raise ValueError(
            f"there are {len(photos)} frames, but the prediction holds {count}: predict these frames first"
        )
    limits = Limits.of(prediction)

    def look(index: int) -> Look:
        return Look(np.asarray(photos.rgb[index]), one(prediction, index), limits, size=size)

    console = Console(stderr=True)
    held = look(0).pictures
    wanted = ["comparison", *(title for title in VIDEOS if title in held)]
    paths = []
    for title in track(wanted, "writing", console=console, disable=not progress or not console.is_terminal):
        looks = (look(index) for index in range(count))
        frames = _side_by_side(looks) if title == "comparison" else _frames(looks, title, size)
        paths.append(write_video(Path(out) / f"{title.replace(' ', '_')}.mp4", frames, fps))
    factors = {
        "fps": fps,
        "frames": [
            {"photo": name, **factors_of(one(prediction, index))}
            for index, name in zip(range(count), photos.names, strict=True)
        ],
        "depth_colours": asdict(limits),
    }
    return [*paths, write_text(Path(out) / "factors.json", json.dumps(factors, indent=1, allow_nan=False))]


def _frames(looks: Iterator[Look], title: str, size: int) -> Iterator[np.ndarray]:
    for look in looks:
        picture = look.picture(title)
        assert picture is not None, "the first frame held it"
        yield resized(picture, round(size * picture.shape[0] / picture.shape[1]), size)


def _side_by_side(looks: Iterator[Look]) -> Iterator[np.ndarray]:
    for look in looks:
        shown = {title: picture for title in COMPARED if (picture := look.picture(title)) is not None}
        yield sheet([list(shown.values())], list(shown), cell=CELL)
