"""Triangle meshes as tensors."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.geometry.depth import cross


@dataclass(frozen=True)
class Mesh:
    """A surface of triangles; colours in [0, 1], normals of unit length, uv in [0, 1] with v down the texture."""

    vertices: Float[Tensor, "v 3"]
    triangles: Int[Tensor, "t 3"]
    normals: Float[Tensor, "v 3"] | None = None
    colours: Float[Tensor, "v 3"] | None = None
    uv: Float[Tensor, "v 2"] | None = None
    texture: Float[Tensor, "h w 3"] | None = None


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
