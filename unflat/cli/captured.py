"""`unflat render` and `unflat export`: videos and meshes of a run on a capture."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from unflat.cli.parsing import Count, Flag, Run, Text, only_json, parsed, print_json


@dataclass(frozen=True)
class RenderOptions:
    """Videos of what a camera sees on its way through a scene that was learned: colour, depth and opacity.

    The frames are kept beside them as PNG. No pictures of the capture are needed.
    """

    run: Run
    """a run's folder, or a file of weights"""
    out: Path = Path("out")
    """where everything goes"""
    path: Text = "orbit"
    """orbit: once around. interpolate: past all cameras that were learned from. train: from just these. Or a file:
    nerfstudio's camera_path.json, or a transforms.json in the world of the capture's files"""
    frames: int = 120
    """of orbit and interpolate; the others have one for each of their cameras"""
    side: Count = None
    """pixels of the longer side. Left out: as the pictures that were learned from"""
    fps: float = 30.0
    """frames a second"""
    pictures: Flag = True
    """keep the frames as PNG too"""
    depth: Literal["none", "npy", "png16"] = "none"
    """write depth along z in the unit of the capture's files: float32 arrays, or PNG of 16 bits"""
    samples: int = 2
    """rays a side of a pixel, 1 to 8: more make edges smoother and take longer, with their square"""
    device: str = "cpu"
    """or cuda"""
    json: Flag = False
    """for scripts: the files that were written, as one object"""


@dataclass(frozen=True)
class ExportOptions:
    """A mesh of a scene that was learned, in the unit of the capture's own files, or loose points.

    Where the surface is, is said in docs/capture-to-3d.md.
    """

    run: Run
    """a run's folder, or a file of weights"""
    file: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="FILE")]
    """mesh.glb or mesh.obj (with a texture), mesh.ply (colours at the vertices), or points.ply (loose points)"""
    surface: Literal["auto", "depth", "density"] = "auto"
    """depth: where the depth of all views agrees. density: where a cell takes half of the light. auto: depth, or
    density where --level is given"""
    cells: int = 256
    """along the longest side of the mesh"""
    level: Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="")] = None
    """the density of the surface; a lower one keeps thin and misty parts. Left out: as --surface says"""
    triangles: Count = None
    """decimate to about so many. Left out: 7000 with a texture, all of them without"""
    texture: Count = None
    """texels a side, 0 for colours at the vertices. Left out: 1024, and none in PLY"""
    points: Count = None
    """write so many loose points instead of a mesh"""
    floaters: Flag = False
    """keep small loose parts, holes inside, what no camera has seen, and the sides along which a scene was cut out"""
    device: str = "cpu"
    """or cuda"""
    json: Flag = False
    """for scripts: the files that were written, as one object"""


def render(arguments: Sequence[str]) -> None:
    options = parsed(RenderOptions, arguments, "render")
    from unflat.training.captured import render as write

    with only_json(options.json):
        files = write(
            options.run, options.out, options.path, frames=options.frames, side=options.side, fps=options.fps,
            keep_frames=options.pictures, depth=options.depth, samples=options.samples, device=options.device,
            report=_aside,
        )  # fmt: skip
        videos = [file for file in files if file.suffix in (".mp4", ".webp")]
        print(f"{', '.join(map(str, videos))}; its cameras are in {options.out / 'camera_path.json'}")
    if options.json:
        print_json({"out": str(options.out), "files": [str(file) for file in files]})


def export(arguments: Sequence[str]) -> None:
    options = parsed(ExportOptions, arguments, "export")
    from unflat.training.captured import export as write

    said: list[str] = []
    with only_json(options.json):
        files = write(
            options.run, options.file, surface=None if options.surface == "auto" else options.surface,
            cells=options.cells, level=options.level, triangles=options.triangles, texture=options.texture,
            points=options.points, floaters=options.floaters, device=options.device, report=said.append,
        )  # fmt: skip
        print("\n".join([f"{', '.join(map(str, files))}: {files[0].stat().st_size / 1e6:.1f} MB", *said]))
    if options.json:
        print_json({"files": [str(file) for file in files], "said": said})


def _aside(message: str) -> None:
    print(message, file=sys.stderr)
