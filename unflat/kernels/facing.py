"""Normals at the vertices of meshes, and which triangles turn their outer side to the camera, for many meshes at once.

One function with two back ends: a loop in numba (CPU) and the readable PyTorch twin. There is no gradient here;
`geometry.meshes.vertex_normals` has the same normals with gradient. Corners run counter-clockwise seen from outside.
"""

from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unflat.geometry.depth import cross
from unflat.geometry.meshes import vertex_normals
from unflat.kernels.loops import compiled_loops

_numba_loop = partial(compiled_loops, "facing_cpu")


def facing(
    vertices: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"]
) -> tuple[Float[Tensor, "b v 3"], Bool[Tensor, "b t"]]:
    """Unit normals at vertices given in the camera's frame, and whether the camera sees a triangle's outer side."""
    vertices = vertices.detach().float().contiguous()
    triangles = triangles.to(vertices.device, torch.int32).contiguous()
    if vertices.device.type == "cpu" and _numba_loop() is not None:
        return facing_numba(vertices, triangles)
    return facing_torch(vertices, triangles)


def facing_torch(
    vertices: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"]
) -> tuple[Float[Tensor, "b v 3"], Bool[Tensor, "b t"]]:
    """The readable twin."""
    a, b, c = (vertices[:, triangles[:, k].long()] for k in range(3))
    outwards = cross(b - a, c - a)
    return vertex_normals(vertices, triangles), (outwards * a).sum(-1) < 0


@torch.compiler.disable
def facing_numba(
    vertices: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"]
) -> tuple[Float[Tensor, "b v 3"], Bool[Tensor, "b t"]]:
    """The loop that a CPU runs, serial over its batch."""
    loops = _numba_loop()
    if loops is None:
        raise ModuleNotFoundError("the numba back end needs numba: pip install 'unflat[fast]'")
    normals = torch.zeros_like(vertices)
    front = torch.empty((len(vertices), len(triangles)), dtype=torch.bool)
    loops.face(vertices.numpy(), triangles.numpy(), normals.numpy(), front.numpy())
    return normals, front
