"""What is measured of a mesh beside the true one, and two kinds of mesh to measure: where a method's distance is zero,
and the visual hull, which is what silhouettes alone say.

Lengths are units of the scene's frame; a cell is that of a grid of 128^3 values over a box of side 3.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor
from torch.nn.functional import grid_sample

from unflat.data.kinds import Capture
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.meshes import Mesh, SurfacePoints, vertex_normals
from unflat.geometry.rotations import Rigid
from unflat.metrics.surfaces import (
    apart,
    chamfer,
    chosen,
    f_score,
    normal_error,
    seen_points,
)
from unflat.outputs.baking import points_of
from unflat.outputs.surfaces import surface_of, without_floaters
from unflat.worlds.objects import Objects

CELL = 3 / 127
CELLS = 128
"""along the longest side of a box that a mesh is made in"""
DRAWN = 100_000
"""points on each surface"""
LOOKED_AT = 400
"""pixels a side of the pictures that say which points cameras see"""

CHAMFER, CHAMFER_MM, SEEN = "Chamfer, cells", "Chamfer, mm", "Chamfer of what cameras see, cells"
F_CELL, F_HALF, F_SEEN = "F at 1 cell", "F at 1/2 cell", "F at 1/2 cell of what cameras see"
NORMALS, SMOOTH = "normals, degrees", "smooth normals, degrees"
"""of the triangles themselves, as the prototype's table has them, and interpolated between those of vertices; either
side out"""


class Truth(NamedTuple):
    """The true surface, in the scene's frame."""

    points: SurfacePoints
    flat: SurfacePoints
    """the same with the normals of the triangles that they lie on"""
    seen: Bool[Tensor, "n"]
    """which of them cameras see"""
    cameras: Sequence[Cameras]
    millimetres: float
    """a unit of the scene, if the object's file is in metres"""
    floor: float
    """Chamfer distance of two drawings of points on the true surface, in cells: no mesh has less"""

    @property
    def hidden(self) -> float:
        """The share of the surface that no camera sees."""
        return 1 - float(self.seen.float().mean())


def truth_of(world: Objects, capture: Capture) -> Truth:
    """What cameras of the capture see is asked in larger pictures than its own."""
    mesh = world.mesh()
    cameras = [_larger(capture.cameras(i)) for i in range(len(capture))]
    points, again = points_of(mesh, DRAWN), points_of(mesh, DRAWN, seed=2)
    floor = chamfer(apart(points, again), apart(again, points)) / CELL
    seen, millimetres = seen_points(points, mesh, cameras), 1000 * world.world_from_scene.scale
    return Truth(points, points_of(_flat(mesh), DRAWN), seen, cameras, millimetres, floor)


def _flat(mesh: Mesh) -> Mesh:
    """The same triangles, each with corners and a normal of its own."""
    vertices = mesh.vertices[mesh.triangles.long().flatten()]
    triangles = torch.arange(len(vertices), dtype=torch.int32).view(-1, 3)
    return Mesh(vertices, triangles, normals=vertex_normals(vertices, triangles))


def _larger(camera: Cameras) -> Cameras:
    side = LOOKED_AT / max(camera.pinhole.width, camera.pinhole.height)
    width, height = round(side * camera.pinhole.width), round(side * camera.pinhole.height)
    return replace(camera, pinhole=camera.pinhole.resized(width, height))


def figures_of(mesh: Mesh, truth: Truth) -> dict[str, float]:
    """A mesh beside the truth, the largest part of it. Of what cameras see: points of either surface that no camera
    sees, each hidden by its own mesh, are left out of both."""
    mesh = without_floaters(mesh, least=1.0)
    points, flat = (points_of(one, DRAWN, seed=1) for one in (mesh, _flat(mesh)))
    bent = normal_error(apart(flat, truth.flat), apart(truth.flat, flat), sides=False)
    ours, theirs = apart(points, truth.points), apart(truth.points, points)
    found = {
        CHAMFER: chamfer(ours, theirs) / CELL, CHAMFER_MM: chamfer(ours, theirs) * truth.millimetres,
        F_CELL: f_score(ours, theirs, CELL), F_HALF: f_score(ours, theirs, CELL / 2),
        NORMALS: bent, SMOOTH: normal_error(ours, theirs, sides=False),
    }  # fmt: skip
    seen = chosen(points, seen_points(points, mesh, truth.cameras))
    there = chosen(truth.points, truth.seen)
    ours, theirs = apart(seen, there), apart(there, seen)
    return found | {SEEN: chamfer(ours, theirs) / CELL, F_SEEN: f_score(ours, theirs, CELL / 2)}


def medians(every: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of each figure that all have."""
    names = [name for name in every[0] if all(name in one for one in every)] if every else []
    return {name: statistics.median(one[name] for one in every) for name in names}


# -- meshes ------------------------------------------------------------------------------------------------------------


class _Outline(NamedTuple):
    """Where a picture shows the object."""

    beyond: Float[Tensor, "1 1 h w"]
    """pixels from the outline, less than 0 on the object"""
    pinhole: Pinhole
    camera_from_scene: Rigid


def hull_mesh(capture: Capture, cells: int) -> Mesh:
    """The visual hull in the scene's box: where no picture with opacity shows a point beside the object.

    A point's height over the hull is the largest of its distances from the outlines in all pictures, in units of the
    scene at its depth; pictures it does not lie in say nothing. Outlines are finer than a pixel, as far as opacity is.
    """
    outlines = [_outline(capture, index) for index in range(len(capture))]

    def height(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        found = points.new_full((len(points),), -torch.inf)
        for one in outlines:
            local = one.camera_from_scene.apply(points)
            pixel = one.pinhole.project(local) / points.new_tensor([one.pinhole.width, one.pinhole.height])
            beyond = grid_sample(one.beyond, (2 * pixel - 1)[None, None], align_corners=False, padding_mode="border")
            within = (local[:, 2] > 0) & (pixel >= 0).all(1) & (pixel < 1).all(1)
            there = beyond[0, 0, 0] * local[:, 2] / one.pinhole.fx
            found = torch.where(within, torch.maximum(found, there), found)
        return found

    return surface_of(height, capture.scene.box, cells, 0.0, inside="below")


def _outline(capture: Capture, index: int) -> _Outline:
    opacity = torch.from_numpy(capture.picture(index)[..., 3] / 255)
    inside = (opacity >= 0.5).numpy()
    beyond = torch.from_numpy(distance_transform_edt(~inside) - distance_transform_edt(inside))
    beyond -= 0.5 * beyond.sign()  # the outline runs between pixels
    beyond = torch.where(beyond.abs() <= 0.5, 0.5 - opacity, beyond)
    return _Outline(beyond.float()[None, None], capture.pinholes[index], capture.cameras(index).camera_from_world[0])
