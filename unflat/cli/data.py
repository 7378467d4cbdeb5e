"""`unflat data`: look at photos and captures before learning from them, make captures, write generated data."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from unflat.cli.parsing import Count, Flag, Folder, Text, only_json, parsed, print_json


@dataclass(frozen=True)
class InspectOptions:
    """What is in a folder, and what is wrong with it, before anything is learned; with pictures to look at.

    Of photos: sizes, crops, doubles, and a contact sheet of the crops. Of a capture: format, cameras, the scene's place
    and size, whether poses and pictures belong together, a contact sheet, and a picture of the cameras and the box.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="DATA")]
    """photos: a folder, a glob in quotes, or a video. A capture: its folder"""
    crop: Text = ""
    """photos: square crop: centre, face, alpha, none, or a table of boxes (file x0 y0 w h). Left out: centre"""
    size: Count = None
    """photos: pixels a side after cropping. Left out: 64"""
    limit: Count = None
    """photos: look only at so many"""
    run: Text = ""
    """photos: compare with the crops that this run, or the shipped face model faces, was trained on"""
    reader: Text = ""
    """a capture's format: blender, nerfstudio, colmap or llff. Left out: the one that recognises the files"""
    space: Annotated[Literal["auto", "box", "contracted", "ndc"], tyro.conf.arg(help_behavior_hint="")] = "auto"
    """a capture's, as for train"""
    sheet: Folder = None
    """where the contact sheet goes. Left out: DATA-sheet.png, here"""
    cameras: Folder = None
    """where the picture of a capture's cameras goes. Left out: DATA-cameras.png, here"""
    json: Flag = False
    """for scripts: everything as one object"""


@dataclass(frozen=True)
class FacesOptions:
    """Write generated faces: pictures, and beside them exact depth, masks, views, lights and landmarks.

    The same seed gives the same faces, whatever their number. docs/photos-to-3d.md says how the folder is read again.
    """

    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """the folder; OUT/train, OUT/val and OUT/test are written in it"""
    count: int = 20_000
    """pictures to train on; a twentieth as many each to validate and to test, unless --split names one set"""
    size: int = 64
    """pixels a side, 8 to 256"""
    seed: int = 0
    """another seed gives other faces"""
    split: Literal["all", "train", "val", "test"] = "all"
    """write only this set, with COUNT pictures"""
    json: Flag = False
    """for scripts: where it is, as one object"""


def inspect(arguments: Sequence[str]) -> None:
    options = parsed(InspectOptions, arguments, "data inspect")
    from unflat.cli.sources import kind_of

    capture = bool(options.reader) or kind_of(options.data) == "Capture"
    _refuse_options_of_the_other(options, capture)
    with only_json(options.json):
        said = _inspected_capture(options) if capture else _inspected_photos(options)
    if options.json:
        print_json(said)


def _refuse_options_of_the_other(options: InspectOptions, capture: bool) -> None:
    """ValueError for options that would do nothing."""
    of_photos = {"crop": "", "size": None, "limit": None, "run": ""}
    of_captures = {"reader": "", "space": "auto", "cameras": None}
    for name, left_out in (of_photos if capture else of_captures).items():
        if getattr(options, name) != left_out:
            kind, other = ("a capture", "photos") if capture else ("photos", "captures")
            raise ValueError(f"--{name} is about {other}, and {options.data} is {kind}: leave it out")


def _beside(options: InspectOptions, what: str) -> Path:
    """Where a picture goes that the options leave open."""
    return Path(f"{Path(options.data).stem or Path(options.data).absolute().stem or 'data'}-{what}.png")


def _inspected_photos(options: InspectOptions) -> dict[str, Any]:
    from rich.console import Console

    from unflat.cli.sources import cropping
    from unflat.data.inspect import contact_sheet, inspect_photos

    learned = None
    if options.run:
        from unflat.training.checkpoint import find, read

        learned = read(find(options.run)).header["crop"]
    found, photos = inspect_photos(
        options.data,
        size=64 if options.size is None else options.size,
        limit=options.limit,
        training_crop=learned,
        **cropping(options.crop),
    )
    sheet = contact_sheet(photos, options.sheet or _beside(options, "sheet"))
    Console().print(found.table())
    print(f"how they are cropped: {sheet}")
    return {**json.loads(found.to_json()), "sheet": str(sheet)}


def _inspected_capture(options: InspectOptions) -> dict[str, Any]:
    from rich.console import Console

    from unflat.data.capture_inspection import by_split, capture_sheet, inspect_capture
    from unflat.outputs.images import save_png
    from unflat.outputs.rig_picture import draw_rig

    space = None if options.space == "auto" else options.space
    found, capture = inspect_capture(options.data, reader=options.reader, space=space)
    drawn = draw_rig(by_split(found, capture), capture.scene, capture.points)
    cameras = save_png(options.cameras or _beside(options, "cameras"), drawn)
    sheet = capture_sheet(capture, options.sheet or _beside(options, "sheet"))
    Console().print(found.table())
    print(f"cameras and box: {cameras}\npictures: {sheet}")
    return {**json.loads(found.to_json()), "cameras": str(cameras), "sheet": str(sheet)}


def faces(arguments: Sequence[str]) -> None:
    options = parsed(FacesOptions, arguments, "data faces")
    from unflat.worlds.faces import Faces, write_splits

    with only_json(options.json):
        if options.split == "all":
            folder = write_splits(options.out, options.count, options.size, options.seed)
        else:
            folder = Faces(options.count, options.size, options.seed, options.split).write(options.out)
        print(f"written to {folder}")
    if options.json:
        print_json({"out": str(folder)})
