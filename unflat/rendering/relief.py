"""A relief (depth map) seen from another view, with gradients for depth and view, exact at the identity.

Which triangle of the pixel grid each pixel sees is found without gradient by a kernel; depth is then the meeting point
of the pixel's ray with that triangle's plane, in ordinary tensor operations. Values and gradients are those of a depth
rasteriser (Wu et al. 2020, section 3.3, after Kato et al. 2018): no gradient flows from covering or uncovering a pixel.

Why it is short: over a triangle of the grid, 1/depth is affine in the *canonical* pixel coordinates (u, v). The three
coefficients are plain differences of neighbouring 1/depth, never degenerate, so the plane of a visible triangle costs
one gather, however steeply it is seen.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import unproject
from unflat.geometry.meshes import grid_triangles
from unflat.geometry.rotations import Rigid
from unflat.kernels.visible_triangles import visible_triangles

EDGE_ON = 1e-3
"""a plane whose nearness changes less than this along a ray is seen edge-on: no stable intersection"""


class Seen(NamedTuple):
    """A relief as the camera sees it. Where `mask` is False, depth is NaN-free filler without gradient."""

    depth: Float[Tensor, "b h w"]
    """along the camera's z; `far` where nothing is seen"""
    canonical: Float[Tensor, "b h w 2"]
    """the canonical pixel coordinates (u, v) of the point that is seen"""
    mask: Bool[Tensor, "b h w"]


def see_relief(depth: Float[Tensor, "b h w"], view_from_canonical: Rigid, camera: Pinhole, far: float = 1.2) -> Seen:
    """Depth and canonical coordinates of what each pixel sees of the relief; nothing is seen at or beyond `far`.

    The relief is the pixel grid of `depth` in the canonical frame, two triangles a cell; both its sides are seen.
    """
    batch, height, width = depth.shape
    triangle = _visible(depth, view_from_canonical, camera)
    planes = nearness_planes(depth).flatten(2)  # [b, 3, 2 * cells]
    index = triangle.clamp_min(0).long().view(batch, 1, -1).expand(-1, 3, -1)
    a, b, c = planes.gather(2, index).unbind(1)  # 1/z = a u + b v + c, each [b, h * w]

    # A point at depth t of the ray is t r in the camera's frame and x = t p + q in the canonical frame, where its
    # homogeneous pixel coordinates are t s + o, and x lies on the plane where (a, b, c) . (t s + o) = 1.
    canonical_from_view = view_from_canonical.inverse
    rays = camera.rays(depth.device, depth.dtype).flatten(0, 1)
    (sx, sy, sz), (ox, oy, oz) = _homogeneous(canonical_from_view, rays, camera)
    along = a * sx + b * sy + c * sz
    safe = torch.where(along.abs() < EDGE_ON, torch.full_like(along, EDGE_ON).copysign(along.detach()), along)
    t = (1 - a * ox - b * oy - c * oz) / safe

    mask = (triangle.view(batch, -1) >= 0) & (t.detach() < far) & (t.detach() > 0)
    t = torch.where(mask, t, far)
    z = torch.where(mask, t * sz + oz, 1)
    u = torch.where(mask, (t * sx + ox) / z, -1.0)
    v = torch.where(mask, (t * sy + oy) / z, -1.0)
    shape = (batch, height, width)
    return Seen(t.view(shape), torch.stack([u, v], -1).view(*shape, 2), mask.view(shape))


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


def _visible(depth: Tensor, view_from_canonical: Rigid, camera: Pinhole) -> Int[Tensor, "b h w"]:
    with torch.no_grad():
        points = view_from_canonical.apply(unproject(depth, camera).flatten(1, 2))
        corners = torch.cat([camera.project(points), points[..., 2:]], -1)
        return visible_triangles(corners, grid_triangles(camera.height, camera.width), camera.height, camera.width)


def _homogeneous(
    canonical_from_view: Rigid, rays: Float[Tensor, "n 3"], camera: Pinhole
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """K R r for every ray, and K t: homogeneous pixel coordinates of directions and of the camera's origin."""
    focal, centre = rays.new_tensor([[camera.fx], [camera.fy]]), rays.new_tensor([[camera.cx], [camera.cy]])

    def in_pixels(points: Float[Tensor, "b 3 m"]) -> Float[Tensor, "b 3 m"]:
        return torch.cat([focal * points[:, :2] + centre * points[:, 2:], points[:, 2:]], 1)

    x, y, _ = rays.T
    right, down, forward = in_pixels(canonical_from_view.rotation)[..., None, :].unbind(-1)
    origin = in_pixels(canonical_from_view.translation[..., None])
    return (right * x + down * y + forward).unbind(1), origin.unbind(1)


def sample_canonical(image: Float[Tensor, "b c h w"], canonical: Float[Tensor, "b i j 2"]) -> Float[Tensor, "b c i j"]:
    """Values of a canonical map at canonical pixel coordinates, bilinear; zero outside the image."""
    height, width = image.shape[-2:]
    scale = canonical.new_tensor([2 / width, 2 / height])
    # pixel centres at +0.5 are what align_corners=False means
    return grid_sample(image, canonical * scale - 1, mode="bilinear", padding_mode="zeros", align_corners=False)


def where_plane_is_seen(view_from_canonical: Rigid, camera: Pinhole, depth: float = 1.0) -> Float[Tensor, "b h w 2"]:
    """Canonical pixel coordinates of the point of the canonical plane z = depth that each pixel looks at.

    May lie outside the image; a plane seen from behind or edge-on gives large values, clamped to one image away.
    """
    rotation = view_from_canonical.rotation
    rays = camera.rays(rotation.device, rotation.dtype).flatten(0, 1)
    (sx, sy, sz), (ox, oy, oz) = _homogeneous(view_from_canonical.inverse, rays, camera)
    t = (depth - oz) / sz.clamp_min(0.05)
    u, v = (t * sx + ox) / depth, (t * sy + oy) / depth
    limits = ((-camera.width, 2 * camera.width), (-camera.height, 2 * camera.height))
    place = torch.stack([u.clamp(*limits[0]), v.clamp(*limits[1])], -1)
    return place.view(-1, camera.height, camera.width, 2)


def outside(view_from_canonical: Rigid, camera: Pinhole) -> Float[Tensor, ""]:
    """Soft share of the picture in which the turned plane z = 1 shows nothing.

    Unlike a mask it has a gradient: a pixel counts 1/2 where it looks at the plane's edge, less inside, by a logistic
    curve over the distance in pixels.
    """
    place = where_plane_is_seen(view_from_canonical, camera)
    size = place.new_tensor([camera.width, camera.height])
    inside = torch.cat([place, size - place], -1).amin(-1)
    return torch.sigmoid(-inside).mean()
