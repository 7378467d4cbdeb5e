"""Triangle meshes as tensors."""

from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import cross, unproject


@dataclass(frozen=True)
class Mesh:
    """A surface of triangles; colours in [0, 1], normals of unit length, uv in [0, 1] with v down the texture."""

    vertices: Float[Tensor, "v 3"]
    triangles: Int[Tensor, "t 3"]
    normals: Float[Tensor, "v 3"] | None = None
    colours: Float[Tensor, "v 3"] | None = None
    uv: Float[Tensor, "v 2"] | None = None
    texture: Float[Tensor, "h w 3"] | None = None


@dataclass(frozen=True)
class SurfacePoints:
    """Loose points of a surface; normals of unit length, colours in [0, 1]."""

    places: Float[Tensor, "n 3"]
    normals: Float[Tensor, "n 3"]
    colours: Float[Tensor, "n 3"] | None = None


@lru_cache(maxsize=16)
def grid_triangles(height: int, width: int) -> Int[Tensor, "t 3"]:
    """The two triangles of every cell of a pixel grid: (top-left, bottom-left, top-right) of all cells, then
    (top-right, bottom-left, bottom-right). Corner (row, column) has the index `row * width + column`. On the CPU."""
    index = torch.arange(height * width, dtype=torch.int32).view(height, width)
    top_left, top_right = index[:-1, :-1].flatten(), index[:-1, 1:].flatten()
    bottom_left, bottom_right = index[1:, :-1].flatten(), index[1:, 1:].flatten()
    upper = torch.stack([top_left, bottom_left, top_right], 1)
    lower = torch.stack([top_right, bottom_left, bottom_right], 1)
    return torch.cat([upper, lower])


def vertex_normals(vertices: Float[Tensor, "*b v 3"], triangles: Int[Tensor, "t 3"]) -> Float[Tensor, "*b v 3"]:
    """Unit normals at the vertices: the sum of the triangles' normals weighted by their areas."""
    index = triangles.long()
    corners = vertices[..., index, :]
    face = cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(-2, index[:, corner], face)
    return total / total.square().sum(-1, keepdim=True).clamp_min(1e-24).sqrt()


def triangle_areas(mesh: Mesh) -> Float[Tensor, "t"]:
    """In double precision: a sum of many keeps the small ones."""
    a, b, c = mesh.vertices[mesh.triangles.long()].double().unbind(1)
    return cross(b - a, c - a).norm(dim=-1) / 2


def relief_mesh(depth: Float[Tensor, "h w"], camera: Pinhole, texture: Float[Tensor, "i j 3"] | None = None) -> Mesh:
    """A depth map as a mesh: a vertex at every pixel centre, two triangles a cell; none where depth is NaN.

    `uv` stays that of the whole picture, so that any picture of this view is a texture.
    """
    height, width = depth.shape
    v, u = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    uv = torch.stack([u / width, v / height], -1).flatten(0, 1).to(depth.device)
    there = depth.isfinite()
    vertices = unproject(depth.where(there, 1.0)[None], camera).flatten(0, 2)
    triangles = grid_triangles(height, width).to(depth.device)
    mesh = only(Mesh(vertices, triangles, uv=uv, texture=texture), there.flatten()[triangles.long()].all(1))
    return replace(mesh, normals=vertex_normals(mesh.vertices, mesh.triangles))


def only(mesh: Mesh, kept: Bool[Tensor, "t"]) -> Mesh:
    """The mesh with these triangles only, and without the vertices that none of them uses."""
    triangles = mesh.triangles[kept].long()
    used = torch.zeros(len(mesh.vertices), dtype=torch.bool, device=triangles.device)
    used[triangles.flatten()] = True
    place = used.cumsum(0) - 1

    def rows(values: Tensor | None) -> Tensor | None:
        return None if values is None else values[used]

    return Mesh(
        mesh.vertices[used],
        place[triangles].to(mesh.triangles.dtype),
        rows(mesh.normals),
        rows(mesh.colours),
        rows(mesh.uv),
        mesh.texture,
    )
