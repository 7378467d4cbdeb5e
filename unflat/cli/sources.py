"""What a user names as DATA: photos (a folder, a glob, a video), a capture, or a world of generated pictures."""

import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from unflat.data.kinds import Capture, Photos, Space
    from unflat.data.recordings import Split

WORLDS = ("faces", "tigers", "tigers-marked", "animals", "animals-marked")
"""what is generated: each may be followed by a colon and how many"""
OBJECTS = ("sphere", "torus", "box", "vase")
"""captures that are generated: each may be followed by a colon and how many pictures are learned from"""
OBJECT_VIEWS, OBJECT_SIDE = 60, 100
VALIDATED = 8
"""pictures of a capture that validate, spread over those there are: whole ones, of thousands of pixels each"""
EIGHTH = 8
"""every so-many-th picture of a capture is held out, where its files say nothing of that"""
TINY_VIEWS, TINY_SIDE = 12, 64
"""what `--tiny` looks at of a capture"""
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


# -- captures ----------------------------------------------------------------------------------------------------------


def kind_of(data: str) -> str:
    """The name of the kind of data that DATA is, Photos or Capture, as far as its name and the files there say it."""
    from unflat.data.readers.captures import is_capture

    if data.partition(":")[0] in OBJECTS and not Path(data).exists():
        return "Capture"
    return "Capture" if is_capture(Path(data)) else "Photos"


def is_named(data: str) -> bool:
    """Whether a word names data: a world, or something that is there."""
    return data.partition(":")[0] in (*WORLDS, *OBJECTS) or Path(data).exists() or "*" in data


def capture_of(
    data: str, split: "Split | None", *, side: int | None = None, reader: str = "", space: "Space | None" = None
) -> "Capture":
    """The capture that DATA on the command line means: `SHAPE` or `SHAPE:COUNT` is generated, for the names in
    `OBJECTS`; anything else is read."""
    shape, _, count = data.partition(":")
    if data in OBJECTS and Path(data).exists():
        raise ValueError(
            f"{data} may be your folder or a generated object: say ./{data}, or {data}:60 for so many views"
        )
    if shape in OBJECTS:
        if reader or space:
            raise ValueError(f"{data} is generated: leave --reader and --space out (a folder is ./{shape})")
        return _generated_object(data, shape, count, split or "train", side or OBJECT_SIDE)
    from unflat.data.captures import read_capture

    return read_capture(Path(data), split=split, side=side, reader=reader, space=space, report=_report)


def _generated_object(data: str, shape: str, count: str, split: "Split", side: int) -> "Capture":
    from dataclasses import replace

    from unflat.worlds.objects import object_splits

    if count and not count.isdecimal():
        raise ValueError(f"{data}: after the colon comes how many pictures, as in {shape}:{OBJECT_VIEWS}")
    views = int(count) if count else OBJECT_VIEWS
    one = next(one for one in object_splits(shape, views, side) if one.split == split)
    capture = one.capture()
    return replace(capture, origin={"source": data, "split": split, "side": side})


def splits_of(data: str, reader: str = "") -> set[str]:
    """Which splits a capture has: what its files say, or the one in eight that is held out."""
    if data.partition(":")[0] in OBJECTS:
        return {"train", "val", "test"}
    from unflat.data.readers.captures import read_recording, split_names

    return set(split_names(read_recording(Path(data), reader)).values())


def learned_and_validating(
    data: str, *, side: int | None, reader: str, space: "Space | None", tiny: bool
) -> "tuple[Capture, Capture | None]":
    """The pictures of DATA to learn from, and, where it has a split for that, some to validate with."""
    if tiny:
        side = min(side or TINY_SIDE, TINY_SIDE)
    learned = capture_of(data, "train", side=side, reader=reader, space=space)
    learned = learned.spread(TINY_VIEWS) if tiny else learned
    if "val" not in splits_of(data, reader):
        return learned, None
    validating = capture_of(data, "val", side=side, reader=reader, space=space)
    return learned, validating.spread(2 if tiny else VALIDATED)


def learned_and_held_out(
    data: str, *, side: int | None, reader: str, space: "Space | None", tiny: bool
) -> "tuple[Capture, Capture]":
    """The pictures of DATA to learn from, and those to compare methods on: the split test, or val, or, where there is
    neither, every eighth picture, which is then not learned from."""
    if tiny:
        side = min(side or TINY_SIDE, TINY_SIDE)
    there = splits_of(data, reader)
    learned = capture_of(data, "train" if "train" in there else None, side=side, reader=reader, space=space)
    split: Any = next((name for name in ("test", "val") if name in there), None)
    if split is not None:
        held_out = capture_of(data, split, side=side, reader=reader, space=space)
    else:
        _report(f"{data} has no pictures but those that are learned from: every eighth of them is held out")
        held_out, learned = learned[::EIGHTH], learned[[i for i in range(len(learned)) if i % EIGHTH]]
    return (learned.spread(TINY_VIEWS) if tiny else learned), held_out


def held_out_of(header: dict[str, Any], data: str, *, side: int | None = None, reader: str = "") -> "Capture":
    """Pictures that a run on a capture, with this header, has not learned from, in its own frame.

    Of DATA, or, if it is empty, of where the run's capture was: the split test, or val, or every eighth picture of what
    the files say nothing of. Without either, the test pictures of the run's experiment. ValueError if there are none.
    """
    from unflat.data.captures import placed_in
    from unflat.data.kinds import Extent
    from unflat.data.photo_files import absolute_path
    from unflat.training.experiment import made
    from unflat.training.settings import from_plain

    origin: dict[str, Any] = (header.get("data") or {}).get("origin") or {}
    source = data or origin.get("source", "")
    if not source:
        return made(_experiment_of(header).test)
    if not data and not is_named(source):
        raise ValueError(f"the capture that was learned from was at {source}, and is not there any more: give DATA")
    same = not data or str(absolute_path(Path(data))) == source
    reader = reader or (origin.get("reader", "") if same else "")
    there = splits_of(source, reader)
    split: Any = next((name for name in ("test", "val") if name in there), None)
    found = capture_of(source, split, side=side or origin.get("side"), reader=reader)
    if split is None:
        _report(f"{source} has no pictures but those that are learned from: every eighth of them is taken")
        found = found[::EIGHTH]
    scene = from_plain(Extent, header["extent"]).scene
    return found if scene is None else placed_in(found, scene)


def _experiment_of(header: dict[str, Any]) -> Any:
    from unflat import catalogue

    name = header.get("experiment") or ""
    experiment = catalogue.experiment(header["method"], name) if name else None
    if experiment is None or experiment.test is None:
        raise ValueError("the run does not say what its pictures are: give DATA, the folder of a capture")
    return experiment
