"""Values given at a mesh's vertices, as the pixels see them.

One function with two back ends: a loop in numba (CPU) and the readable PyTorch twin, which is its oracle and the
fallback, also on a GPU. There is no gradient here; `rendering/mesh.py` has the same with gradient.

A value divided by z is affine on the screen. So the weights of a triangle's corners at a pixel centre are the areas
opposite to them, divided by the corners' depths and by their sum. Areas are taken from differences: nothing cancels.
"""

from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.kernels.loops import compiled_loops

_numba_loop = partial(compiled_loops, "interpolated_cpu")


def interpolated(
    corners: Float[Tensor, "b v 3"],
    triangles: Int[Tensor, "t 3"],
    seen: Int[Tensor, "b h w"],
    attributes: Float[Tensor, "n v c"],
) -> Float[Tensor, "b h w c"]:
    """Attributes of the triangle that each pixel sees, perspective-correct at the pixel's centre; 0 where it sees none.

    `corners` are the vertices' pixel coordinates u, v (the first pixel's centre is at 0.5) and depth z > 0, `seen` is
    what `visible_triangles` gives for them. Attributes are one set for each of the b meshes, or one (n = 1) for all;
    depth is what z itself gives.
    """
    if len(attributes) not in (1, len(corners)):
        raise ValueError(
            f"attributes are given for {len(attributes)} meshes and corners for {len(corners)}; "
            "give one set for all or one for each"
        )
    inputs = [
        t.detach().contiguous()
        for t in (corners.float(), triangles.to(corners.device, torch.int32), seen, attributes.float())
    ]
    if corners.device.type == "cpu" and _numba_loop() is not None:
        return interpolated_numba(*inputs)
    return interpolated_torch(*inputs)


def interpolated_torch(
    corners: Float[Tensor, "b v 3"],
    triangles: Int[Tensor, "t 3"],
    seen: Int[Tensor, "b h w"],
    attributes: Float[Tensor, "n v c"],
) -> Float[Tensor, "b h w c"]:
    """The readable twin."""
    mesh, row, column = (seen >= 0).nonzero(as_tuple=True)
    vertex = triangles.long()[seen[mesh, row, column].long()]  # [k, 3]
    a, b, c = (corners[mesh, vertex[:, k]].double() for k in range(3))
    centre = torch.stack([column, row], -1) + 0.5
    areas = torch.stack([_area(centre, b, c), _area(centre, c, a), _area(centre, a, b)], -1)
    weights = areas / torch.stack([a[:, 2], b[:, 2], c[:, 2]], -1)
    weights = (weights / weights.sum(-1, keepdim=True)).to(attributes.dtype)
    owner = mesh if len(attributes) > 1 else torch.zeros_like(mesh)
    values = (weights[..., None] * attributes[owner[:, None], vertex]).sum(1)
    result = attributes.new_zeros(*seen.shape, attributes.shape[-1])
    result[mesh, row, column] = values
    return result


def _area(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """Twice the signed area of the screen triangles p, q, r."""
    return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])


@torch.compiler.disable
def interpolated_numba(
    corners: Float[Tensor, "b v 3"],
    triangles: Int[Tensor, "t 3"],
    seen: Int[Tensor, "b h w"],
    attributes: Float[Tensor, "n v c"],
) -> Float[Tensor, "b h w c"]:
    """The loop that a CPU runs, serial over its batch."""
    loops = _numba_loop()
    if loops is None:
        raise ModuleNotFoundError("the numba back end needs numba: pip install 'unflat[fast]'")
    values = torch.empty((*seen.shape, attributes.shape[-1]), dtype=attributes.dtype)
    loops.interpolate(corners.numpy(), triangles.numpy(), seen.int().numpy(), attributes.numpy(), values.numpy())
    return values
