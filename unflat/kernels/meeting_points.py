"""Where the pixels' rays meet the triangles of a relief that they see, with gradients for depth and view.

One function with two back ends: loops in numba with a gradient written out (CPU, float32), and the readable PyTorch
twin, which is their oracle and runs everywhere else. No gradient flows from which triangle is seen.

Over a triangle of the grid, 1/depth is affine in the *canonical* pixel coordinates (u, v). The three coefficients are
plain differences of neighbouring 1/depth, never degenerate, so the plane of a visible triangle costs one gather,
however steeply it is seen.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.kernels.loops import compiled_loops

_loops = partial(compiled_loops, "meeting_points_cpu")

EDGE_ON = 1e-3
"""a plane whose nearness changes less than this along a ray is seen edge-on: no stable intersection"""

Met = tuple[Tensor, Tensor, Tensor]


def meeting_points(
    depth: Float[Tensor, "b h w"],
    seen: Int[Tensor, "b h w"],
    matrix: Float[Tensor, "b 3 3"],
    origin: Float[Tensor, "b 3"],
    camera: Pinhole,
    far: float,
) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b h w 2"], Bool[Tensor, "b h w"]]:
    """Depth of each pixel's point, its canonical pixel coordinates (u, v), and whether there is one before `far`.

    `seen` is the triangle of the grid each pixel sees, -1 for none, in the order of `grid_triangles`. A ray r = (x, y,
    1) of `camera` at depth t has the homogeneous canonical pixel coordinates t matrix @ r + origin. Where nothing is
    seen, depth is `far` and the coordinates are -1, without gradient.
    """
    if depth.device.type == "cpu" and depth.dtype == torch.float32 and _loops() is not None:
        return _met(depth, seen, matrix, origin, camera, far)
    return meeting_points_torch(depth, seen, matrix, origin, camera, far)


def meeting_points_torch(
    depth: Float[Tensor, "b h w"],
    seen: Int[Tensor, "b h w"],
    matrix: Float[Tensor, "b 3 3"],
    origin: Float[Tensor, "b 3"],
    camera: Pinhole,
    far: float,
) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "b h w 2"], Bool[Tensor, "b h w"]]:
    """The readable twin."""
    batch, height, width = depth.shape
    planes = nearness_planes(depth).flatten(2)  # [b, 3, 2 * cells]
    index = seen.clamp_min(0).long().view(batch, 1, -1).expand(-1, 3, -1)
    a, b, c = planes.gather(2, index).unbind(1)  # 1/z = a u + b v + c, each [b, h * w]

    # A point at depth t has the homogeneous canonical coordinates t s + o, and lies on the plane where
    # (a, b, c) . (t s + o) = 1.
    x, y, _ = camera.rays(depth.device, depth.dtype).flatten(0, 1).T
    right, down, forward = matrix[..., None, :].unbind(-1)
    (sx, sy, sz), (ox, oy, oz) = (right * x + down * y + forward).unbind(1), origin[..., None].unbind(1)
    along = a * sx + b * sy + c * sz
    safe = torch.where(along.abs() < EDGE_ON, torch.full_like(along, EDGE_ON).copysign(along.detach()), along)
    t = (1 - a * ox - b * oy - c * oz) / safe

    mask = (seen.view(batch, -1) >= 0) & (t.detach() < far) & (t.detach() > 0)
    t = torch.where(mask, t, far)
    z = torch.where(mask, t * sz + oz, 1)
    u = torch.where(mask, (t * sx + ox) / z, -1.0)
    v = torch.where(mask, (t * sy + oy) / z, -1.0)
    shape = (batch, height, width)
    return t.view(shape), torch.stack([u, v], -1).view(*shape, 2), mask.view(shape)


def nearness_planes(depth: Float[Tensor, "b h w"]) -> Float[Tensor, "b 3 2 cells"]:
    """(a, b, c) of 1/depth = a u + b v + c on every upper and lower triangle of the grid, u and v in pixels.

    In the order of `grid_triangles`: all upper triangles (top-left, bottom-left, top-right), then all lower ones.
    """
    height, width = depth.shape[1:]
    near = 1 / depth
    (top_left, top_right), (bottom_left, bottom_right) = (
        (n[..., :-1], n[..., 1:]) for n in (near[:, :-1], near[:, 1:])
    )
    a = torch.stack([top_right - top_left, bottom_right - bottom_left], 1)
    b = torch.stack([bottom_left - top_left, bottom_right - top_right], 1)
    u = (torch.arange(width - 1, device=depth.device) + 0.5)[None, :]
    v = (torch.arange(height - 1, device=depth.device) + 0.5)[:, None]
    # the value at the cell's top-left corner, known on the upper triangle and continued on the lower
    corner = torch.stack([top_left, top_right + bottom_left - bottom_right], 1)
    return torch.stack([a, b, corner - a * u - b * v], 1).flatten(3)


class _Met(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, depth: Tensor, seen: Tensor, matrix: Tensor, origin: Tensor, camera: Pinhole, far: float
    ) -> Met:
        near = (1 / depth).contiguous()
        matrix, origin = matrix.float().contiguous(), origin.float().contiguous()
        t, mask = torch.empty_like(near), torch.empty(near.shape, dtype=torch.bool)
        canonical = torch.empty(*near.shape, 2)
        given = [*_arrays(near, seen.int(), matrix, origin), *_rays(camera)]
        _loops().forward(*given, far, EDGE_ON, *_arrays(t, canonical, mask))
        ctx.save_for_backward(near, seen, matrix, origin, t, canonical, mask)
        ctx.camera = camera
        ctx.mark_non_differentiable(mask)
        return t, canonical, mask

    @staticmethod
    def backward(ctx: Any, of_depth: Tensor, of_canonical: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        near, seen, matrix, origin, t, canonical, mask = ctx.saved_tensors
        of_near = torch.zeros_like(near)
        of_matrix = torch.zeros(matrix.shape, dtype=torch.float64)  # sums over a whole picture
        of_origin = torch.zeros(origin.shape, dtype=torch.float64)
        _loops().backward(
            *_arrays(near, seen.int(), matrix, origin), *_rays(ctx.camera), EDGE_ON,
            *_arrays(t, canonical, mask, of_depth, of_canonical, of_near, of_matrix, of_origin),
        )  # fmt: skip
        return -of_near * near * near, None, of_matrix.float(), of_origin.float(), None, None


_met: Callable[..., Met] = torch.compiler.disable(_Met.apply)  # type: ignore[no-untyped-call]


def _arrays(*tensors: Tensor) -> list[Any]:
    """As numpy sees them: without a copy where memory is in order, as it is for what is filled."""
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


@cache
def _rays(camera: Pinhole) -> tuple[Any, Any]:
    """x of the columns and y of the rows at depth 1."""
    rays = camera.rays()
    return rays[0, :, 0].contiguous().numpy(), rays[:, 0, 1].contiguous().numpy()
