"""Which triangle of a mesh does each pixel see?

One function with three back ends: a loop in numba (CPU), a Triton kernel (GPU) and the readable PyTorch twin, which is
the oracle of the other two and the fallback where neither is installed. There is no gradient here: a renderer takes
the triangle from here and computes depth on its plane in ordinary tensor operations.

The rule all three follow. A pixel centre is inside a triangle when it is on the inner side of, or at most `EDGE` pixels
outside, each of its three edges: edges belong to both neighbours, so no pixel falls between two triangles. Depth is
perspective-correct (1/z is affine on the screen). The nearest triangle wins, the one with the lower index on a tie.
Both sides of a triangle are seen; one whose projection has no area, or that reaches behind the camera, is not.
"""

from functools import cache
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

EDGE = 1e-3
"""how far outside an edge a pixel centre may lie, in pixels"""
THIN = 1e-6
"""twice the area, in square pixels, under which a triangle is not seen"""


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
    """The readable twin: every triangle visits the pixels of its bounding box, nearest depth first by scatter-min."""
    batch, count = len(corners), len(triangles)
    seen = torch.full((batch, height * width), -1, dtype=torch.int32, device=corners.device)
    if count == 0:
        return seen.view(batch, height, width)
    a, b, c = (corners[:, triangles[:, k].long()].double() for k in range(3))  # [batch, count, (u, v, z)]
    area = (b[..., 0] - a[..., 0]) * (c[..., 1] - a[..., 1]) - (b[..., 1] - a[..., 1]) * (c[..., 0] - a[..., 0])
    u, v, z = torch.stack([a, b, c]).unbind(-1)
    drawn = (area.abs() >= THIN) & (z > 0).all(0)
    first_column, last_column = _pixels_between(u.amin(0), u.amax(0), width)
    first_row, last_row = _pixels_between(v.amin(0), v.amax(0), height)
    sizes = [((last - first)[drawn].max().item() + 1 if drawn.any() else 0) for first, last in
             ((first_row, last_row), (first_column, last_column))]  # fmt: skip
    slack = [EDGE * (p - q)[..., :2].norm(dim=-1) / area.abs().clamp_min(THIN) for p, q in ((c, b), (a, c), (b, a))]
    best = torch.full((batch, height * width), torch.inf, dtype=torch.float64, device=corners.device)
    visits = []
    for row_step in range(int(sizes[0])):
        for column_step in range(int(sizes[1])):
            row, column = first_row + row_step, first_column + column_step
            y, x = row + 0.5, column + 0.5
            weights = [
                ((q[..., 0] - p[..., 0]) * (y - p[..., 1]) - (q[..., 1] - p[..., 1]) * (x - p[..., 0])) / area
                for p, q in ((b, c), (c, a), (a, b))
            ]
            inside = drawn & (row <= last_row) & (column <= last_column)
            for weight, allowance in zip(weights, slack, strict=True):
                inside = inside & (weight >= -allowance)
            nearness = weights[0] / a[..., 2] + weights[1] / b[..., 2] + weights[2] / c[..., 2]
            depth = torch.where(inside, 1 / nearness, torch.inf)
            pixel = (row.clamp(0, height - 1) * width + column.clamp(0, width - 1)).long()
            best.scatter_reduce_(1, pixel, depth, "amin")
            visits.append((pixel, depth))
    winner = torch.full_like(best, count, dtype=torch.int64)
    index = torch.arange(count, device=corners.device).expand(batch, count)
    for pixel, depth in visits:
        wins = depth.isfinite() & (depth <= best.gather(1, pixel))
        winner.scatter_reduce_(1, pixel, torch.where(wins, index, count), "amin")
    return torch.where(winner < count, winner, -1).int().view(batch, height, width)


def _pixels_between(low: Tensor, high: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """First and last pixel whose centre lies in [low, high], both widened by EDGE and kept inside the image."""
    first = torch.ceil(low - EDGE - 0.5).clamp(0, size).long()
    last = torch.floor(high + EDGE - 0.5).clamp(-1, size - 1).long()
    return first, last


def visible_triangles_numba(
    corners: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """The loop that a CPU runs. Serial over its batch: see the note on threads in kernels/threads.py."""
    loop = _numba_loop()
    if loop is None:
        raise ModuleNotFoundError("the numba back end needs numba: pip install 'unflat[fast]'")
    seen = torch.empty((len(corners), height, width), dtype=torch.int32)
    loop(corners.numpy(), triangles.numpy(), seen.numpy())
    return seen


@cache
def _numba_loop() -> Any:
    """The compiled loop, or None without numba. Compiled once and kept on disk."""
    try:
        import numba
    except ModuleNotFoundError:
        return None
    import numpy as np

    edge, thin = EDGE, THIN

    @numba.njit(cache=True, error_model="numpy", boundscheck=False)
    def loop(corners: Any, triangles: Any, seen: Any) -> None:
        batch, height, width = seen.shape
        nearness_seen = np.empty((height, width), np.float64)
        for n in range(batch):
            nearness_seen[:] = 0.0
            seen[n] = -1
            for t in range(len(triangles)):
                i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
                au, av, az = np.float64(corners[n, i, 0]), np.float64(corners[n, i, 1]), np.float64(corners[n, i, 2])
                bu, bv, bz = np.float64(corners[n, j, 0]), np.float64(corners[n, j, 1]), np.float64(corners[n, j, 2])
                cu, cv, cz = np.float64(corners[n, k, 0]), np.float64(corners[n, k, 1]), np.float64(corners[n, k, 2])
                left = max(int(np.ceil(min(au, bu, cu) - edge - 0.5)), 0)
                right = min(int(np.floor(max(au, bu, cu) + edge - 0.5)), width - 1)
                top = max(int(np.ceil(min(av, bv, cv) - edge - 0.5)), 0)
                bottom = min(int(np.floor(max(av, bv, cv) + edge - 0.5)), height - 1)
                if right < left or bottom < top or not (az > 0 and bz > 0 and cz > 0):
                    continue
                area = (bu - au) * (cv - av) - (bv - av) * (cu - au)
                if not abs(area) >= thin:
                    continue
                # The three barycentric weights, their change from one column to the next, and what each may lack.
                da, db, dc = -(cv - bv) / area, -(av - cv) / area, -(bv - av) / area
                ra, rb, rc = (cu - bu) / area, (au - cu) / area, (bu - au) / area
                sa = -edge * np.sqrt(da * da + ra * ra)
                sb = -edge * np.sqrt(db * db + rb * rb)
                sc = -edge * np.sqrt(dc * dc + rc * rc)
                ia, ib, ic = 1.0 / az, 1.0 / bz, 1.0 / cz
                for row in range(top, bottom + 1):
                    y = row + 0.5
                    for column in range(left, right + 1):
                        x = column + 0.5
                        wa = ra * (y - bv) + da * (x - bu)
                        wb = rb * (y - cv) + db * (x - cu)
                        wc = rc * (y - av) + dc * (x - au)
                        if wa >= sa and wb >= sb and wc >= sc:
                            nearness = wa * ia + wb * ib + wc * ic
                            if nearness > nearness_seen[row, column]:
                                nearness_seen[row, column] = nearness
                                seen[n, row, column] = t

    return loop


def visible_triangles_triton(
    corners: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"], height: int, width: int
) -> Int[Tensor, "b h w"]:
    """The GPU kernel: one lane a triangle, which visits its pixels; depth and index meet in one 64-bit atomic minimum."""
    kernel = _triton_kernel()
    if kernel is None:
        raise ModuleNotFoundError("the Triton back end needs triton, which comes with torch's CUDA build")
    batch, count = len(corners), len(triangles)
    packed = torch.full((batch, height * width), torch.iinfo(torch.int64).max, dtype=torch.int64, device=corners.device)
    if batch and count:
        lanes = 128
        grid = (batch, (count + lanes - 1) // lanes)
        kernel[grid](corners, triangles, packed, corners.shape[1], count, height, width, EDGE, THIN, lanes)
    seen = torch.where(packed == torch.iinfo(torch.int64).max, -1, packed & 0xFFFFFFFF)
    return seen.int().view(batch, height, width)


@cache
def _triton_kernel() -> Any:
    """The compiled kernel, or None without Triton."""
    try:
        from unflat.kernels import visible_triangles_gpu
    except ModuleNotFoundError:
        return None
    return visible_triangles_gpu.visit
