"""What a user names as DATA, as photos: a folder, a glob, a video, or a world of generated pictures."""

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from unflat.data.kinds import Photos

WORLDS = ("faces", "tigers", "tigers-marked", "animals", "animals-marked")
"""what is generated: each may be followed by a colon and how many"""
FEWEST_TO_HOLD_OUT = 100
HELD_OUT = 20
"""every so-many-th photo validates, where none are given for that"""


def photos_of(
    data: str, size: int, crop: str = "", *, split: str | None = None, limit: int | None = None, minimum: int = 1
) -> "Photos":
    """The photos that DATA on the command line means.

    `WORLD` or `WORLD:COUNT` are generated, for the names in `WORLDS`; anything else is read. `split` is train, val or
    test, where the folder has such; of generated ones test if None. `crop` is a mode or the path of a table of boxes;
    empty is by the centre. ValueError if there are fewer than `minimum`.
    """
    world, _, count = data.partition(":")
    if data in WORLDS and Path(data).exists():
        raise ValueError(f"{data} may be your folder or generated pictures: say ./{data}, or {data}:2000 for so many")
    if world in WORLDS and crop:
        raise ValueError(f"{data} are generated as they are learned from: leave --crop out (a folder is ./{world})")
    if world in WORLDS:
        return _generated(world, count, size, split or "test", limit)
    from unflat.data.readers.photos import read_photos

    return read_photos(data, size=size, split=split, limit=limit, minimum=minimum, report=_report, **cropping(crop))


def cropping(crop: str) -> dict[str, Any]:
    """`--crop` as `read_photos` takes it: a mode, or the path of a table of boxes. ValueError if it is neither."""
    from unflat.data.crops import CROP_MODES

    if not crop or crop in CROP_MODES:
        return {"crop": crop or "centre"}
    if not Path(crop).is_file():
        near = difflib.get_close_matches(crop, CROP_MODES, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise ValueError(f"--crop {crop} is neither a file with boxes nor one of {', '.join(CROP_MODES)}{hint}")
    return {"crop": "box", "boxes": Path(crop)}


def _generated(world: str, count: str, size: int, split: Any, limit: int | None) -> "Photos":
    from unflat.data.crops import with_framing
    from unflat.worlds.animals import Animals
    from unflat.worlds.faces import Faces
    from unflat.worlds.sets import SPLITS

    if count and not count.isdecimal():
        raise ValueError(f"{world}:{count}: after the colon comes how many, as in {world}:2000")
    number = int(count) if count else SPLITS[split]
    number = number if limit is None else min(number, limit)
    if world == "faces":
        return with_framing(Faces(number, size, split=split).photos())
    kind, _, marked = world.partition("-")
    breed = "" if kind == "animals" else kind
    return with_framing(Animals(number, size, split=split, marked=bool(marked), breed=breed).photos())


def _report(message: str) -> None:
    print(message, file=sys.stderr)


def held_out(data: str, photos: "Photos", crop: str = "") -> "tuple[Photos, Photos | None]":
    """Photos to learn from and to validate with, where DATA is all there is."""
    world, size = data.partition(":")[0], photos.extent.size[0]
    if world in WORLDS:
        share = max(1, min(1000, len(photos) // HELD_OUT))
        return photos, photos_of(f"{world}:{share}", size, split="val")
    if (Path(data) / "val").is_dir():
        return photos, photos_of(data, size, crop, split="val")
    if len(photos) < FEWEST_TO_HOLD_OUT:
        return photos, None
    validates = np.arange(len(photos)) % HELD_OUT == HELD_OUT - 1
    print(f"{validates.sum()} of the {len(photos)} photos are held out to choose the best weights with")
    return photos[np.flatnonzero(~validates)], photos[np.flatnonzero(validates)]
