"""Which triangle of a mesh does each pixel see?

One function with three back ends: a loop in numba (CPU), a Triton kernel (GPU) and the readable PyTorch twin, which is
the oracle of the other two and the fallback where neither is installed. There is no gradient here: a renderer takes
the triangle from here and computes depth on its plane in ordinary tensor operations.

The rule all three follow. A pixel centre is inside a triangle when it is on the inner side of each of its three edges,
or outside by at most `EDGE` of a pixel and of the triangle's height over that edge: edges belong to both neighbours, so
no pixel falls between two triangles, and a sliver is not continued far beyond its corners. Nearness, 1/z, is affine on
the screen. The triangle of the greatest nearness in single precision wins, the one with the lower index on a tie. Both
sides of a triangle are seen; one whose projection has no area, or that reaches behind the camera, is not.
"""

from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.kernels.loops import compiled_loops, launched

_numba_loop = partial(compiled_loops, "visible_triangles_cpu")

EDGE = 1e-3
"""how far outside an edge a pixel centre may lie: in pixels along its row or column, and in heights of the triangle"""
THIN = 1e-6
"""twice the area, in square pixels, under which a triangle is not seen"""
LAST = 2**31 - 1
"""no triangle has a higher index; subtracted from, it makes the lower index the greater number"""


def visible_triangles(
    corners: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """Index of the triangle nearest to the camera at each pixel centre, -1 where there is none.

    `corners` holds the vertices' pixel coordinates u, v (the first pixel's centre is at 0.5) and depth z > 0.
    """
    corners = corners.detach().float().contiguous()
    triangles = triangles.to(device=corners.device, dtype=torch.int32).contiguous()
    if corners.is_cuda and _triton_kernel() is not None:
        return visible_triangles_triton(corners, triangles, height, width)
    if corners.device.type == "cpu" and _numba_loop() is not None:
        return visible_triangles_numba(corners, triangles, height, width)
    return visible_triangles_torch(corners, triangles, height, width)


def visible_triangles_torch(
    corners: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """The readable twin: every triangle visits the pixels of its bounding box, and the nearest stays."""
    batch, count = len(corners), len(triangles)
    winner = torch.zeros(batch * height * width, dtype=torch.int64, device=corners.device)
    item = torch.arange(batch, device=corners.device).repeat_interleave(count)
    t = torch.arange(count, device=corners.device).repeat(batch)
    corner = corners[:, triangles.long()].double().view(batch * count, 3, 3)  # [n, corner, (u, v, z)]
    low, high = corner[..., :2].amin(1) - EDGE - 0.5, corner[..., :2].amax(1) + EDGE - 0.5
    limit = corner.new_tensor([width, height])
    first, last = low.ceil().clamp(min=0).minimum(limit), high.floor().clamp(min=-1).minimum(limit - 1)
    area = _area(corner).abs()
    live = (area >= THIN) & area.isfinite() & (corner[..., 2] > 0).all(1) & (first <= last).all(1)
    item, t, corner, first, last = (x[live] for x in (item, t, corner, first, last))
    columns, rows = (int(n) for n in (last - first + 1).amax(0)) if len(t) else (0, 0)
    for step in [(column, row) for row in range(rows) for column in range(columns)]:
        pixel = first + corner.new_tensor(step)
        live = (pixel <= last).all(1)
        inside, nearness = _nearness(corner[live], pixel[live] + 0.5)
        column, row = pixel[live].long().unbind(1)
        bits = nearness.float().view(torch.int32).long()  # positive floats order like their bits
        place = (item[live] * height + row) * width + column
        winner.scatter_reduce_(0, place[inside], ((bits << 32) | (LAST - t[live]))[inside], "amax")
    return torch.where(winner > 0, LAST - (winner & LAST), -1).int().view(batch, height, width)


def _area(corner: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n"]:
    """Twice the area on the screen; its sign says which way round the corners go."""
    ab, ac = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    return ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]


def _nearness(corner: Float[Tensor, "n 3 3"], point: Float[Tensor, "n 2"]) -> tuple[Tensor, Float[Tensor, "n"]]:
    """Whether each triangle covers its point, and 1/z there."""
    signed = _area(corner)
    area = signed.abs()
    inside, nearness = torch.ones_like(area, dtype=torch.bool), torch.zeros_like(area)
    for k in range(3):  # the edge from `a` to `b` lies opposite to corner k
        a, b = corner[:, (k + 1) % 3], corner[:, (k + 2) % 3]
        (du, dv), (x, y) = (b - a)[:, :2].unbind(1), (point - a[:, :2]).unbind(1)
        weight = (du * y - dv * x) * signed.sign()  # times the area
        inside &= weight >= -EDGE * torch.maximum(du.abs(), dv.abs()).minimum(area)
        nearness += weight / area / corner[:, k, 2]
    of_corners = 1 / corner[..., 2]
    return inside, nearness.maximum(of_corners.amin(1)).minimum(of_corners.amax(1))


@torch.compiler.disable
def visible_triangles_numba(
    corners: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """The loop that a CPU runs. Serial over its batch: see the note on threads in kernels/threads.py."""
    loops = _numba_loop()
    if loops is None:
        raise ModuleNotFoundError("the numba back end needs numba: pip install 'unflat[fast]'")
    seen = torch.empty((len(corners), height, width), dtype=torch.int32)
    loops.visit(corners.numpy(), triangles.numpy(), seen.numpy(), EDGE, THIN)
    return seen


@torch.compiler.disable
def visible_triangles_triton(
    corners: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """The GPU kernel: one lane a triangle, which visits its pixels; nearness and index meet in one atomic maximum."""
    kernel = _triton_kernel()
    if kernel is None:
        raise ModuleNotFoundError("the Triton back end needs triton, which comes with torch's CUDA build")
    batch, count = len(corners), len(triangles)
    winner = torch.zeros(batch * height * width, dtype=torch.int64, device=corners.device)
    if batch and count:
        lanes = 128
        grid = (batch, (count + lanes - 1) // lanes)
        numbers = corners.shape[1], count, height, width, EDGE, THIN, LAST, lanes
        launched(kernel, grid, corners, triangles, winner, *numbers)
    return torch.where(winner > 0, LAST - (winner & LAST), -1).int().view(batch, height, width)


@torch.compiler.disable
@cache
def _triton_kernel() -> Any:
    """The compiled kernel, or None without Triton."""
    try:
        from unflat.kernels import visible_triangles_gpu
    except ModuleNotFoundError:
        return None
    return visible_triangles_gpu.visit
