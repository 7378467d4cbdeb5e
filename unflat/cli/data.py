"""`unflat data`: look at photos before learning from them, and write generated ones."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from unflat.cli.parsing import Count, Flag, Folder, Text, only_json, parsed, print_json


@dataclass(frozen=True)
class InspectOptions:
    """What a folder of photos holds, what would be cropped how, and what is wrong with it; with a contact sheet."""

    photos: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PHOTOS")]
    """a folder, a glob in quotes, or a video"""
    crop: Text = ""
    """square crop: centre, face, alpha, none, or a table of boxes (file x0 y0 w h). Left out: centre"""
    size: int = 64
    """pixels a side after cropping"""
    limit: Count = None
    """look only at so many"""
    run: Text = ""
    """compare with the crops that this run, or the shipped face model faces, was trained on"""
    sheet: Folder = None
    """where the contact sheet goes. Left out: PHOTOS-sheet.png, here"""
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
    from rich.console import Console

    from unflat.cli.sources import cropping
    from unflat.data.inspect import contact_sheet, inspect_photos

    learned = None
    if options.run:
        from unflat.training.checkpoint import find, read

        learned = read(find(options.run)).header["crop"]
    with only_json(options.json):
        found, photos = inspect_photos(
            options.photos, size=options.size, limit=options.limit, training_crop=learned, **cropping(options.crop)
        )
        sheet = contact_sheet(photos, options.sheet or Path(f"{Path(options.photos).stem or 'photos'}-sheet.png"))
        Console().print(found.table())
        print(f"how they are cropped: {sheet}")
    if options.json:
        print_json({**json.loads(found.to_json()), "sheet": str(sheet)})


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
