"""The mesh of an object that a user takes away: a solid, light enough to be handled, wearing the capture's photos."""

from typing import NamedTuple

from jaxtyping import Int
from torch import Tensor

from unflat.data.kinds import Capture
from unflat.geometry.depth import cross
from unflat.geometry.meshes import Mesh, triangle_areas
from unflat.geometry.solids import Solidity, mended, solidity, welded
from unflat.outputs.baking import Colour
from unflat.outputs.photo_texture import photo_textured
from unflat.outputs.sights import cameras_that_see
from unflat.outputs.surfaces import decimated, without_floaters

USUAL = 20_000
"""triangles, unless said otherwise: at a metre's distance those of a thing of 30 cm are 2 mm"""
FEW = 3
"""cameras: where fewer see a place, its shape is a guess"""
STEEP = 0.5
"""z of the normal from which on a triangle faces up, and not sideways"""
MOST = 0.6
"""share of an area that faces one way, which is then named"""


class ObjectMesh(NamedTuple):
    """A textured mesh and how far it can be trusted."""

    mesh: Mesh
    """with normals, uv and texture, in the scene's frame; vertices are split at the texture's seams"""
    cameras: Int[Tensor, "t"]
    """how many of the photos' cameras see each of its triangles (`sights.cameras_that_see`)"""
    solid: Solidity
    """of the mesh before its vertices were split"""

    @property
    def barely_seen(self) -> float:
        """Share of the surface's area that fewer than three cameras see."""
        areas = triangle_areas(self.mesh).cpu()
        return float(areas[self.cameras < FEW].sum() / areas.sum().clamp_min(1e-300))

    @property
    def barely_seen_faces(self) -> str:
        """Which way most of that area faces, up, down or sideways in the scene's frame; empty where no way prevails or
        there is none of it."""
        corners = self.mesh.vertices[self.mesh.triangles.long()].double().cpu()
        face = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = face.norm(dim=-1).where(self.cameras.cpu() < FEW, 0)
        slope = face[:, 2] / face.norm(dim=-1).clamp_min(1e-300)
        ways = {"up": slope > STEEP, "down": slope < -STEEP, "sideways": slope.abs() <= STEEP}
        return next((way for way, there in ways.items() if area[there].sum() > MOST * area.sum()), "")

    def __str__(self) -> str:
        """A line: how many triangles, whether they are a solid, and how well they were seen."""
        seen = f"{self.barely_seen:.1%} of the area is seen by fewer than {FEW} cameras"
        return f"{len(self.mesh.triangles):,} triangles, {self.solid}; {seen}"


def object_mesh(
    mesh: Mesh, capture: Capture, colour: Colour, *, triangles: int | None = None, texture: int = 1024
) -> ObjectMesh:
    """What is taken away of a surface in the scene's frame, bare and closed, its triangles facing outwards.

    It is decimated to about `triangles`, 20,000 if not given, and what is not solid is mended; parts under a hundredth
    of the largest one's area are left out. The photos of `capture` become a texture with so many texels on its longer
    side; where none of them sees the surface, `colour`, the field's, stands in. A surface that is open, or has
    triangles that face each other's way, cannot be mended: `solid` says so, and the rest is there nevertheless.
    ValueError where there are no triangles or no texels.
    """
    if len(mesh.triangles) == 0:
        raise ValueError("the mesh has no triangles: there is no surface to be taken away; train longer")
    whole = mended(welded(mesh))
    light = without_floaters(decimated(whole, USUAL if triangles is None else triangles))
    found = solidity(light)
    cameras = cameras_that_see(light, capture)
    return ObjectMesh(photo_textured(light, capture, colour, texture), cameras, found)
