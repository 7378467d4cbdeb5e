"""A relief (depth map) seen from another view, with gradients for depth and view, exact at the identity.

Which triangle of the pixel grid each pixel sees is found without gradient by one kernel; where the pixel's ray meets
that triangle's plane is found by another, with gradient. Values and gradients are those of a depth rasteriser (Wu et
al. 2020, section 3.3, after Kato et al. 2018): no gradient flows from covering or uncovering a pixel.
"""

from functools import lru_cache
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample

from unflat.geometry.cameras import Pinhole
from unflat.geometry.constants import constant
from unflat.geometry.depth import unproject
from unflat.geometry.meshes import grid_triangles
from unflat.geometry.rotations import Rigid
from unflat.kernels.meeting_points import meeting_points
from unflat.kernels.visible_triangles import visible_triangles


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
    triangle = _visible(depth, view_from_canonical, camera)
    canonical_from_view = view_from_canonical.inverse
    matrix = _in_pixels(canonical_from_view.rotation, camera)
    origin = _in_pixels(canonical_from_view.translation[..., None], camera)[..., 0]
    return Seen(*meeting_points(depth, triangle, matrix, origin, camera, far))


def _visible(depth: Tensor, view_from_canonical: Rigid, camera: Pinhole) -> Int[Tensor, "b h w"]:
    with torch.no_grad():
        points = view_from_canonical.apply(unproject(depth, camera).flatten(1, 2))
        corners = torch.cat([camera.project(points), points[..., 2:]], -1)
        return visible_triangles(corners, _grid(*depth.shape[1:], depth.device), camera.height, camera.width)


@lru_cache(maxsize=16)
def _grid(height: int, width: int, device: torch.device) -> Int[Tensor, "t 3"]:
    """The grid's triangles where they are needed: a copy to a GPU in every step would wait for it."""
    return grid_triangles(height, width).to(device)


def _in_pixels(points: Float[Tensor, "b 3 m"], camera: Pinhole) -> Float[Tensor, "b 3 m"]:
    """K times points or directions: homogeneous pixel coordinates."""
    x, y, z = points[:, :1], points[:, 1:2], points[:, 2:]
    return torch.cat([camera.fx * x + camera.cx * z, camera.fy * y + camera.cy * z, z], 1)


def sample_canonical(
    image: Float[Tensor, "b c h w"],
    canonical: Float[Tensor, "b i j 2"],
    *,
    beyond: Literal["zeros", "border"] = "zeros",
) -> Float[Tensor, "b c i j"]:
    """Values of a canonical map at canonical pixel coordinates, bilinear; `beyond` the image zeros, or its "border"."""
    height, width = image.shape[-2:]
    scale = constant(2 / width, 2 / height, like=canonical)
    # pixel centres at +0.5 are what align_corners=False means
    return grid_sample(image, canonical * scale - 1, mode="bilinear", padding_mode=beyond, align_corners=False)


@torch.no_grad()
def turn_photo(
    photo: Float[Tensor, "b c h w"],
    depth: Float[Tensor, "b h w"],
    view_from_canonical: Rigid,
    other_from_canonical: Rigid,
    camera: Pinhole,
    far: float = 1.2,
) -> Float[Tensor, "b c h w"]:
    """What a photo would show from another view of the same relief: every point in the colour the photo has there.

    `depth` is the relief in the canonical frame, `view_from_canonical` the photo's view of it. Points that the photo
    does not show take the colour of what hides them, points beside it that of its nearest pixel; pixels that see
    nothing keep the photo's own. (A black band would tell by how much was turned.)
    """
    seen = see_relief(depth, other_from_canonical, camera, far)
    points = other_from_canonical.inverse.apply(unproject(seen.depth, camera).flatten(1, 2))
    place = camera.project(view_from_canonical.apply(points)).view_as(seen.canonical)
    return torch.where(seen.mask[:, None], sample_canonical(photo, place, beyond="border"), photo)


def where_plane_is_seen(view_from_canonical: Rigid, camera: Pinhole, depth: float = 1.0) -> Float[Tensor, "b h w 2"]:
    """Canonical pixel coordinates of the point of the canonical plane z = depth that each pixel looks at.

    May lie outside the image; a plane seen from behind or edge-on gives large values, clamped to one image away.
    """
    rotation = view_from_canonical.rotation
    rays = camera.rays(rotation.device, rotation.dtype).flatten(0, 1)
    canonical_from_view = view_from_canonical.inverse
    right, down, forward = _in_pixels(canonical_from_view.rotation, camera)[..., None, :].unbind(-1)
    x, y, _ = rays.T
    sx, sy, sz = (right * x + down * y + forward).unbind(1)
    ox, oy, oz = _in_pixels(canonical_from_view.translation[..., None], camera).unbind(1)
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
    size = constant(camera.width, camera.height, like=place)
    inside = torch.cat([place, size - place], -1).amin(-1)
    return torch.sigmoid(-inside).mean()
