"""What cameras around an object see of it: colours, coverage, depth and normals.

Colours are averages over samples in a pixel, weighted by what they cover; depth and normals are those at its centre.
The light stands still in the scene and what it falls on has no gloss, so that a point looks the same in all pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, normalize

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import cross
from unflat.geometry.meshes import Mesh
from unflat.rendering.mesh import interpolate, rasterise, sample_texture
from unflat.worlds.object_paint import coarser, texels_a_unit

LIGHT = (0.36, -0.48, 0.8)
"""towards the light, in the scene's frame: from above"""
AMBIENT, DIFFUSE = 0.55, 0.45
"""colour is texture * (AMBIENT + DIFFUSE * max(0, normal . light))"""


@dataclass(frozen=True)
class Surface:
    """A textured mesh in the scene's frame, ready to be looked at."""

    mesh: Mesh
    """float32, with normals, uv and a texture"""
    faces: Float[Tensor, "t 3"]
    """float64, across the triangles, of any length and on either side"""

    @staticmethod
    def of(mesh: Mesh, samples_a_unit: float) -> "Surface":
        """With the texture brought down to about a texel a sample, so that none slips between two samples."""
        halvings = max(0, round(math.log2(texels_a_unit(mesh) / samples_a_unit)))
        a, b, c = mesh.vertices.double()[mesh.triangles.long()].unbind(1)
        return Surface(coarser(mesh, halvings), cross(b - a, c - a))


class Shot(NamedTuple):
    """One picture with its truth."""

    rgba: np.ndarray
    """uint8 [h, w, 4], straight opacity: the share of the pixel's samples that see something"""
    depth: np.ndarray
    """float32 [h, w], along z at the pixel's centre, NaN where nothing is"""
    normals: np.ndarray
    """float32 [h, w, 3], likewise: unit, camera's frame, towards the camera"""


class _Look(NamedTuple):
    """What the pixels' centres see."""

    depth: Float[Tensor, "h w"]
    """along z; infinite where nothing is"""
    normals: Float[Tensor, "h w 3"]
    """scene's frame, unit, on the side that is seen; 0 where nothing is"""
    colour: Float[Tensor, "h w 3"]
    """shaded; 0 where nothing is"""


def shoot(surfaces: Sequence[Surface], scene_from_camera: Float[np.ndarray, "4 4"], camera: Pinhole, side: int) -> Shot:
    """What a camera sees of surfaces that may hide each other, with `side` times `side` samples a pixel."""
    pose = torch.from_numpy(scene_from_camera)
    fine = camera.resized(camera.width * side, camera.height * side)
    samples = _nearest([_look(surface, pose, fine) for surface in surfaces])
    centre = _nearest([_look(surface, pose, camera) for surface in surfaces])
    seen = samples.depth.isfinite()[..., None]
    pooled = avg_pool2d(torch.cat([samples.colour, seen.float()], -1).permute(2, 0, 1)[None], side)[0].permute(1, 2, 0)
    opacity = pooled[..., 3:]
    rgba = torch.cat([pooled[..., :3] / opacity.clamp_min(1e-6), opacity], -1)
    there = centre.depth.isfinite()
    normals = _towards_camera(centre.normals, pose, camera)
    return Shot(
        (rgba.clamp(0, 1) * 255 + 0.5).to(torch.uint8).numpy(),
        centre.depth.where(there, torch.nan).numpy(),
        normals.where(there[..., None], torch.nan).numpy(),
    )


def _look(surface: Surface, pose: Float[Tensor, "4 4"], camera: Pinhole) -> _Look:
    """Of one surface, from a camera at scene_from_camera `pose` (float64)."""
    mesh, rotation, centre = surface.mesh, pose[:3, :3], pose[:3, 3]
    assert mesh.normals is not None and mesh.uv is not None and mesh.texture is not None
    corners = (mesh.vertices.double() - centre) @ rotation
    fragments = rasterise(corners.float()[None], mesh.triangles, camera)
    values = interpolate(fragments, mesh.triangles, torch.cat([mesh.normals, mesh.uv], 1)[None])[0]
    seen = fragments.triangle[0] >= 0
    hit, triangle = values[seen], fragments.triangle[0][seen].long()
    # which side is seen is asked of the triangle itself: the order of corners need not say it, normals bend too far
    first = mesh.vertices[mesh.triangles[:, 0].long()].double()
    facing = surface.faces * ((centre - first) * surface.faces).sum(-1, keepdim=True).sign()
    normal = normalize(hit[:, :3], dim=-1)
    normal = torch.where((normal * facing[triangle]).sum(-1, keepdim=True) < 0, -normal, normal)
    shading = AMBIENT + DIFFUSE * (normal @ normal.new_tensor(LIGHT)).clamp_min(0)
    look = _Look(
        fragments.depth[0].nan_to_num(nan=torch.inf),
        torch.zeros(*seen.shape, 3),
        torch.zeros(*seen.shape, 3),
    )
    look.normals[seen] = normal
    look.colour[seen] = sample_texture(mesh.texture, hit[:, 3:]) * shading[:, None]
    return look


def _nearest(looks: Sequence[_Look]) -> _Look:
    """Of what several surfaces show, the nearest."""
    nearest = looks[0]
    for other in looks[1:]:
        nearer = (other.depth < nearest.depth)[..., None]
        nearest = _Look(
            torch.minimum(nearest.depth, other.depth),
            other.normals.where(nearer, nearest.normals),
            other.colour.where(nearer, nearest.colour),
        )
    return nearest


def _towards_camera(
    normals: Float[Tensor, "h w 3"], pose: Float[Tensor, "4 4"], camera: Pinhole
) -> Float[Tensor, "h w 3"]:
    """In the camera's frame. One that was interpolated to just beyond the outline is turned back to be seen edge-on."""
    turned = normals.double() @ pose[:3, :3]
    rays = normalize(camera.rays(dtype=torch.float64), dim=-1)
    return normalize(turned - (turned * rays).sum(-1, keepdim=True).clamp_min(0) * rays, dim=-1).float()
