"""The mesh of one object from posed pictures of it: looked at, learned, taken out, textured, drawn and reported on."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

from unflat import catalogue
from unflat.data.kinds import Capture, Scene
from unflat.data.object_checks import fit_for_mesh
from unflat.data.stages import Stages
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.meshes import Mesh
from unflat.method import Method
from unflat.outputs.images import save_png
from unflat.outputs.mesh import in_world
from unflat.outputs.object_mesh import FEW, USUAL, ObjectMesh, object_mesh
from unflat.outputs.scene_mesh import check_ending, field_colour, scene_mesh, write_in_world
from unflat.outputs.sides import seen_picture, sides_picture
from unflat.training.object_report import report_on
from unflat.training.run import Run, train

METHOD = "quick_surface"
SHEETS, LINES = 10, 10
"""of sample pictures, and of the log, while it is learned"""
CELLS = 160
"""along the longest side of the surface, before it is decimated"""
TEXTURE, PREVIEW = 2048, 256
"""texels of the texture's longer side, and pixels of each of the eight sides of a preview"""

GUESSED = 0.3
"""share of the area that was poorly seen from which on the mesh is warned about"""
TOLD = 5e-4
"""share of the area that was poorly seen from which on it is told where to look"""

Report = Callable[[str], None]


@dataclass(frozen=True)
class MeshRun:
    """A mesh that was written, and all that was written beside it."""

    file: Path
    found: ObjectMesh
    scene: Scene
    run: Run
    beside: tuple[Path, ...] = ()
    """a material and a texture of an OBJ"""
    previews: tuple[Path, ...] = ()
    """textured, shaded, and how well it was seen; none if none were asked for"""
    page: Path | None = None
    """of the report"""
    warnings: tuple[str, ...] = ()
    """of the capture, then of the training"""

    @property
    def files(self) -> list[Path]:
        """All of them, the mesh first."""
        return [self.file, *self.beside, *self.previews, *([] if self.page is None else [self.page])]

    @property
    def size(self) -> tuple[float, float, float]:
        """Along x, y and z of the capture's world, in its unit."""
        vertices = in_world(self.found.mesh, self.scene.world_from_scene).vertices
        x, y, z = (vertices.amax(0) - vertices.amin(0)).tolist()
        return x, y, z

    @property
    def volume(self) -> float:
        """In the cube of the capture's unit; it has no meaning unless the mesh is solid."""
        return self.found.solid.volume * self.scene.world_scale**3

    @property
    def facts(self) -> dict[str, str]:
        """What a user has to know of it: its size, its triangles, and where it was poorly seen."""
        found, coloured = self.found, next((file for file in self.previews if file.stem == "seen"), None)
        held = f", {self.volume:.3g} of its unit cubed" if found.solid.solid else ""
        told = found.barely_seen > TOLD
        faces = f", most of it facing {found.barely_seen_faces}" if told and found.barely_seen_faces else ""
        shown = f"; red and purple in {coloured}" if told and coloured is not None else ""
        return {
            "size": f"{' x '.join(f'{side:.3g}' for side in self.size)} along x, y, z, in the capture's unit",
            "triangles": f"{len(found.mesh.triangles):,}, {found.solid}{held}",
            "poorly seen": f"{found.barely_seen:.1%} of its area, by fewer than {FEW} cameras{faces}{shown}",
        }


def folder_of(file: Path) -> Path:
    """Where all that belongs to a mesh goes, beside it: a folder called like it, and not like the capture, which often
    has the same name."""
    return file.with_name(f"{file.stem}-mesh")


def mesh_of(
    capture: Capture,
    file: Path | str,
    *,
    run: Path | str | None = None,
    faces: int | None = None,
    texture: int = TEXTURE,
    steps: int | None = None,
    previews: int = PREVIEW,
    experiment: str = "small",
    resume: bool = True,
    quiet: bool = False,
    report: Report = print,
) -> MeshRun:
    """Learn the surface of the one object that posed pictures show, and write it to FILE.glb, .ply or .obj.

    The mesh has about `faces` triangles (20,000 unless given), the photos as a texture with so many texels on its
    longer side (PLY: colours at its vertices), and the numbers of the capture's own world. Beside it, in the folder
    FILE-mesh: previews of eight sides with so many pixels each and report.html, neither if `previews` is 0; and the
    run, if `run` names no other folder, which goes on where it stopped unless told not to `resume`. `steps` are those
    of learning, `experiment` one of the method's, whose settings are fitted to the capture unless it is `tiny`.

    What is odd about the capture is told to `report`. Raises ValueError for a capture that can give no mesh (see
    `fit_for_mesh`), another ending, numbers that make no mesh, and where no surface was learned.
    """
    file = Path(file)
    check_request(file, faces, texture, steps, previews)
    capture, warnings = fit_for_mesh(capture)
    for warning in warnings:
        report(f"warning: {warning}")
    chosen = _settings(capture, experiment, steps, report)
    learned = train(
        METHOD, capture, out=run or folder_of(file) / "run", config=chosen.config, training=chosen.training,
        resume=resume, quiet=quiet,
    )  # fmt: skip
    stages = Stages(not quiet)
    with stages.stage("Finding the surface"):
        surface = surface_learned(learned.method, capture.viewpoints)
    with stages.stage("Laying the photos on it"):
        found = object_mesh(surface, capture, field_colour(learned.method, surface), triangles=faces, texture=texture)
        written = write_in_world(file, found.mesh, capture.scene)
    warnings = [*warnings, *learned.warnings, *_hardly_seen(found, report)]
    made = MeshRun(written[0], found, capture.scene, learned, tuple(written[1:]), warnings=tuple(warnings))
    if previews:
        with stages.stage("Drawing it"):
            drawn = tuple(_drawn(found, folder_of(file), previews))
            page = report_on(learned, capture, found, made.facts, made.file, drawn, made.warnings)
            made = replace(made, previews=drawn, page=page)
    return made


def surface_learned(method: Method, views: Viewpoints) -> Mesh:
    """The surface that a method has learned: in the scene's frame, bare, closed, its triangles facing outwards, without
    loose parts and walls of holes inside. ValueError where there is none."""
    try:
        return scene_mesh(method, views, cells=CELLS)
    except ValueError as error:
        raise ValueError(
            f"no surface was learned from these pictures: {error}. Look at the sample pictures in the run's folder"
        ) from error


def check_request(file: Path, faces: int | None, texture: int, steps: int | None, previews: int) -> None:
    """ValueError for what can be known to fail before anything is done: see `mesh_of`."""
    check_ending(file, loose=False)
    least = (("faces", faces, 4, USUAL), ("texture", texture, 1, TEXTURE), ("steps", steps, 1, "what the method takes"),
             ("previews", previews, 0, PREVIEW))  # fmt: skip
    for name, value, fewest, usual in least:
        if value is not None and value < fewest:
            raise ValueError(f"{name} is {value}; give at least {fewest}, or leave it out for {usual}")


def _settings(capture: Capture, experiment: str, steps: int | None, report: Report) -> Any:
    """The experiment with settings for the capture."""
    usual = catalogue.experiment(METHOD, experiment)
    chosen, reasons = (usual, {}) if experiment == "tiny" else usual.method.suited(usual, capture)
    for setting, why in reasons.items():
        value, before = (reduce(getattr, setting.split("."), one) for one in (chosen, usual))
        report(f"{setting} = {value} (usually {before}): {why}")
    steps = steps or chosen.training.steps
    told = {"sample_every": math.ceil(steps / SHEETS), "log_every": math.ceil(steps / LINES)}
    return replace(chosen, training=replace(chosen.training, steps=steps, **told))


def _hardly_seen(found: ObjectMesh, report: Report) -> list[str]:
    """A warning where much of the surface is a guess."""
    if found.barely_seen < GUESSED:
        return []
    said = (
        f"{found.barely_seen:.0%} of its surface was seen by fewer than {FEW} cameras and is a guess. Take pictures "
        "from there; or, if what is around the object has become part of the mesh, make all but the object transparent"
    )
    report(f"warning: {said}")
    return [said]


def _drawn(found: ObjectMesh, folder: Path, side: int) -> list[Path]:
    bare = replace(found.mesh, texture=None, uv=None)
    pictures = {
        "textured": sides_picture(found.mesh, side),
        "shaded": sides_picture(bare, side, light=True),
        "seen": seen_picture(found.mesh, found.cameras, side),
    }
    return [save_png(folder / f"{name}.png", picture) for name, picture in pictures.items()]
