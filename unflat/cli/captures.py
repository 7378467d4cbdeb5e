"""`unflat data capture` and `unflat data objects`: captures of bare photos, and generated ones."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from unflat.cli.parsing import Count, Flag, only_json, parsed, print_json

if TYPE_CHECKING:
    from unflat.data.structure_from_motion import Placed

NAMED = 20
"""pictures without a camera are named up to this number"""
FRAMES = 90
"""of a turntable"""


@dataclass(frozen=True)
class CaptureOptions:
    """Work out where photos or the frames of a video were taken from: structure from motion, on the CPU.

    OUT holds the pictures that were used, a COLMAP model of their cameras, a sheet of all pictures (those without a
    camera in red) and report.json. Needs pip install 'unflat[sfm]'.
    """

    photos: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PHOTOS")]
    """a folder of photos of one still scene, or a video of it"""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """a new folder, which `unflat train OUT` learns from"""
    count: int = 100
    """frames taken of a video, the sharpest of each stretch; also of more photos than that, if they are numbered"""
    side: int = 1600
    """pixels of the longer side; larger pictures are made smaller"""
    own_cameras: Flag = False
    """each picture has its own camera: for zooms, or several devices"""
    matcher: Literal["auto", "exhaustive", "sequential"] = "auto"
    """each picture is compared with each, or with those near it in the row"""
    mapper: Literal["incremental", "global"] = "incremental"
    """global is faster with hundreds of pictures"""
    lens: Literal["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE"] = (
        "OPENCV"
    )
    """COLMAP's name of the lens: OPENCV_FISHEYE for action cameras"""
    threads: Count = None
    """Left out: all"""
    seed: int = 0
    """with one thread, the same pictures and seed give the same cameras"""
    json: Flag = False
    """for scripts: what became of the pictures, as one object"""


@dataclass(frozen=True)
class ObjectsOptions:
    """Write a capture of one object, generated or rendered from a textured mesh, whose shape is known exactly.

    OUT holds pictures with transparency, cameras as Blender's scenes have them (transforms_train.json, _val, _test),
    depth, and the true mesh.
    """

    shape: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SHAPE")]
    """sphere, torus, box or vase; a textured OBJ or GLB; or a folder with one, as the YCB objects are"""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """the folder"""
    views: int = 100
    """pictures to learn from; a tenth as many to validate, a fifth to test"""
    size: int = 200
    """pixels a side"""
    seed: int = 0
    """of the paint of shapes, and of where cameras stand"""
    video: Flag = False
    """also OUT/turntable.mp4: once around the object, which stands in a painted room, without its cameras. For
    `unflat data capture`"""
    json: Flag = False
    """for scripts: the files that were written, as one object"""


def capture(arguments: Sequence[str]) -> None:
    options = parsed(CaptureOptions, arguments, "data capture")
    from unflat.data.structure_from_motion import place_cameras

    with only_json(options.json):
        placed = place_cameras(
            Path(options.photos),
            options.out,
            count=options.count,
            side=options.side,
            shared_camera=not options.own_cameras,
            matcher=options.matcher,
            mapper=options.mapper,
            model=options.lens,
            threads=options.threads,
            seed=options.seed,
        )
        print("\n".join(_told(placed)))
    if options.json:
        listed = {what: [entry._asdict() for entry in getattr(placed, what)] for what in ("unplaced", "skipped")}
        print_json({**asdict(placed), **listed, "folder": str(placed.folder)})


def _told(placed: "Placed") -> list[str]:
    """What became of the pictures, how far to trust it, and what to do now."""
    without = [f"without a camera: {name} {why}" for name, why in placed.unplaced[:NAMED]]
    if len(placed.unplaced) > NAMED:
        without.append(f"without a camera: {len(placed.unplaced) - NAMED} more, in {placed.folder / 'report.json'}")
    return [
        f"{placed.placed} of {placed.used} pictures have a camera ({placed.found} were found)",
        f"{placed.points} points miss their places by {placed.error:.2f} pixels on average, and are seen in "
        f"{placed.track_length:.1f} pictures each",
        *without,
        *[f"warning: {warning}" for warning in placed.warnings],
        f"all pictures: {placed.folder / 'contact-sheet.png'}",
        f"Now: unflat data inspect {placed.folder}, then unflat train {placed.folder}",
    ]


def objects(arguments: Sequence[str]) -> None:
    options = parsed(ObjectsOptions, arguments, "data objects")
    with only_json(options.json):
        written = _written(options)
        print(f"written to {options.out}: {', '.join(path.name for path in written)}")
        print(f"Now: unflat data inspect {options.out}, or unflat train {options.out}")
    if options.json:
        print_json({"out": str(options.out), "files": [str(path) for path in written]})


def _written(options: ObjectsOptions) -> list[Path]:
    """The files beside the pictures and depth maps."""
    import numpy as np

    from unflat.outputs.mesh import in_world, write_glb
    from unflat.outputs.video import write_video
    from unflat.worlds.objects import object_splits

    sets = object_splits(_shape(options.shape), options.views, options.size, options.seed)
    written = [one.write(options.out) for one in sets]
    one = sets[0]
    world = one.world_from_scene
    up = world.turn(np.array([0.0, 0.0, 1.0]))
    written.append(write_glb(options.out / "mesh.glb", in_world(one.mesh(), world), up=up))
    if options.video:
        around = one.turntable(FRAMES, options.size)
        frames = (around.picture(index) for index in range(len(around)))
        written.append(write_video(options.out / "turntable.mp4", frames))
    return written


def _shape(named: str) -> str:
    """What `Objects` takes: of a folder, the mesh in it. ValueError unless there is one."""
    from unflat.worlds.object_files import SUFFIXES

    if not Path(named).is_dir():
        return named
    found = sorted(path for path in Path(named).iterdir() if path.suffix.lower() in SUFFIXES)
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise ValueError(
            f"{named} is a folder, and one mesh ({' or '.join(SUFFIXES)}) is needed in it; there is {listed}: give the "
            "file itself"
        )
    return str(found[0])
