"""`unflat mesh`: a textured mesh of one object, from a capture, from bare photos or from a video."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from unflat.cli.parsing import Count, Flag, Folder, only_json, parsed, print_json
from unflat.cli.sources import OBJECTS, TINY_SIDE, TINY_VIEWS, WORLDS, capture_of, kind_of

if TYPE_CHECKING:
    from unflat.data.kinds import Capture
    from unflat.training.object_run import MeshRun

Out = Annotated[Path | None, tyro.conf.arg(metavar="FILE", aliases=["-o"], help_behavior_hint="")]
TINY_FACES, TINY_TEXTURE, TINY_PREVIEW = 500, 64, 32


@dataclass(frozen=True)
class MeshOptions:
    """A textured mesh of one object, from pictures all around it.

    Beside FILE comes the folder FILE-mesh with report.html, pictures of the mesh from eight sides, the run and, for
    photos and videos, their cameras. The same command goes on where it stopped. docs/object-to-mesh.md says how to take
    the pictures and what to do with the mesh.
    """

    data: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="CAPTURE")]
    """a capture: its folder (transforms.json, COLMAP's model, ...), or a generated object, vase:60. Or a folder of
    photos, or a video, whose cameras are worked out first (pip install 'unflat[sfm]')"""
    out: Out = None
    """object.glb (for the web, Blender, game engines), .obj or .ply. Left out: CAPTURE's name, .glb, here"""
    faces: Count = None
    """about so many triangles. Left out: 20000"""
    texture: Count = None
    """texels of the texture's longer side. Left out: 2048"""
    side: Count = None
    """pixels of the longer side of the pictures; larger ones are made smaller. Left out: as they are"""
    steps: Count = None
    """of learning. Left out: as many as the method takes"""
    previews: Count = None
    """pixels of each of the eight sides in the pictures of the mesh; 0: no pictures and no report. Left out: 256"""
    run: Folder = None
    """the run's folder: weights, log, sample pictures. Left out: FILE-mesh/run"""
    resume: Flag = True
    """go on with the run that is in the folder already"""
    tiny: Flag = False
    """a few seconds, to see that everything works"""
    quiet: Flag = False
    """no progress"""
    json: Flag = False
    """for scripts: files, size, triangles and how well they were seen, as one object"""


def mesh(arguments: Sequence[str]) -> None:
    options = parsed(MeshOptions, arguments, "mesh")
    with only_json(options.json):
        made = _made(options)
        print("\n".join(f"{name}: {said}" for name, said in made.facts.items()))
        page = f" Open {made.page} in a browser." if made.page is not None else ""
        print(f"The mesh is in {made.file}, {made.file.stat().st_size / 1e6:.1f} MB.{page}")
    if options.json:
        print_json(_plain(made))


def _made(options: MeshOptions) -> "MeshRun":
    file = options.out or Path(f"{Path(options.data.partition(':')[0]).absolute().stem}.glb")
    _refuse(options)
    from unflat.training.object_run import PREVIEW, TEXTURE, check_request, mesh_of

    texture = TEXTURE if options.texture is None else options.texture
    previews = PREVIEW if options.previews is None else options.previews
    faces, experiment = options.faces, "small"
    if options.tiny:
        faces, experiment = min(faces or TINY_FACES, TINY_FACES), "tiny"
        texture, previews = min(texture, TINY_TEXTURE), min(previews, TINY_PREVIEW)
    check_request(file, faces, texture, options.steps, previews)
    return mesh_of(
        _capture(options, file), file, run=options.run, faces=faces, texture=texture, steps=options.steps,
        previews=previews, experiment=experiment, resume=options.resume, quiet=options.quiet,
    )  # fmt: skip


def _refuse(options: MeshOptions) -> None:
    """ValueError for what is no pictures of an object."""
    name = options.data.partition(":")[0]
    if name in WORLDS and not Path(options.data).exists():
        raise ValueError(
            f"{options.data} show many things, each once, and a mesh is made of many pictures of one thing: "
            f"give a capture, photos or a video of it, or a generated object: {', '.join(OBJECTS)}"
        )
    if name not in OBJECTS and not Path(options.data).exists():
        raise ValueError(f"{options.data} does not exist: give the folder of a capture, a folder of photos, or a video")


def _capture(options: MeshOptions, file: Path) -> "Capture":
    """The pictures: those to learn from where the files say which these are, else all of them."""
    side = min(options.side or TINY_SIDE, TINY_SIDE) if options.tiny else options.side
    source = options.data if kind_of(options.data) == "Capture" else str(_placed(options.data, file))
    capture = capture_of(source, "train" if _says_which(source) else None, side=side)
    return capture.spread(TINY_VIEWS) if options.tiny else capture


def _says_which(source: str) -> bool:
    """Whether pictures are kept for testing by whoever made the capture."""
    if source.partition(":")[0] in OBJECTS and not Path(source).exists():
        return True
    from unflat.data.readers.captures import read_recording

    return bool(read_recording(Path(source)).splits)


def _placed(data: str, file: Path) -> Path:
    """A capture of photos or a video, in the folder that belongs to the mesh; the one that is there from before."""
    from unflat.data.object_checks import enough
    from unflat.data.photo_files import find_photos
    from unflat.data.readers.captures import is_capture
    from unflat.data.structure_from_motion import place_cameras
    from unflat.training.object_run import folder_of

    folder = folder_of(file) / "capture"
    if is_capture(folder):
        print(f"cameras: as they were worked out before, in {folder}; remove it to have them worked out again")
        return folder
    found = find_photos(Path(data))
    if not found.video:
        enough(len(found.photos))
    placed = place_cameras(Path(data), folder)
    print(f"cameras: {placed.placed} of {placed.used} pictures have one; all pictures: {folder / 'contact-sheet.png'}")
    print("The unit of what follows is arbitrary: pictures alone do not say how long a metre is")
    for warning in placed.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    return folder


def _plain(made: "MeshRun") -> dict[str, object]:
    return {
        "files": [str(path) for path in made.files],
        "page": None if made.page is None else str(made.page),
        "run": str(made.run.folder),
        "size": made.size,
        "triangles": len(made.found.mesh.triangles),
        "solid": made.found.solid.solid,
        "volume": made.volume if made.found.solid.solid else None,
        "barely_seen": made.found.barely_seen,
        "warnings": made.warnings,
    }
