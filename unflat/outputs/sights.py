"""What the camera of a photo sees of a surface: which points, how squarely, and how far its pixels can be trusted.

A point is seen if it lies where the surface, drawn as the camera sees it, is nearest. Pixels at the surface's outline,
and on both sides of where one part of it stands before another, hold a mixture of colours, and of others if the
surface or the camera is a little off: they are trusted little.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, max_pool2d

from unflat.data.kinds import Capture
from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import cross
from unflat.geometry.lenses import Lens
from unflat.geometry.meshes import Mesh, triangle_areas
from unflat.geometry.rotations import Rigid
from unflat.rendering.mesh import rasterise

JUMP = 5.0
"""pixels (as lengths at the point) by which depth differs between neighbours where one part stands before another: that
of a plane seen at 79 degrees"""
FADE, LOOSE = 2, 0.1
"""pixels: trust grows from none beside an outline to full twice as far inside it, but to so much within half of that:
what is thin is never seen better"""
WIDEST = 6
"""pixels: where triangles are larger than pixels, outlines are as far off, and half a triangle's side stands for `FADE`
up to this"""
OPAQUE = 0.5
"""opacity under which a pixel does not show the object"""
BEHIND = (1.0, 2.5)
"""pixels (as lengths at the point) that a point may lie off the depth that is seen there: seen, hidden"""
GRAZING = math.cos(math.radians(75))
"""cosine between normal and line of sight under which a camera sees too little of a surface"""
WITHIN = (0.25, 0.25, 0.5)
"""weights of the corners of triangles at the points that are looked at, beside their middles; in all three orders"""


class Sight(NamedTuple):
    """A camera and the surface before it."""

    camera: Pinhole
    """of the photo, or with fewer pixels"""
    camera_from_scene: Rigid
    depth: Float[Tensor, "h w"]
    """along z; infinite where nothing is"""
    trust: Float[Tensor, "h w"]
    """0 to 1: how far the pixel's colour is that of the surface that it sees"""
    picture: Float[Tensor, "h w 4"]
    """colour times opacity, and opacity"""

    @property
    def centre(self) -> Float[Tensor, "3"]:
        """Of the camera, in the scene's frame."""
        return self.camera_from_scene.inverse.translation


class Seen(NamedTuple):
    """Some points, as one camera sees them; those that face away from it or lie beside its picture are left out."""

    which: Int[Tensor, "m"]
    """of the points"""
    place: Float[Tensor, "m 2"]
    """in the picture, from -1 to 1, as torch's `grid_sample` takes it"""
    cosine: Float[Tensor, "m"]
    """between normal and line of sight"""
    depth: Float[Tensor, "m"]
    """along z"""


def sight_of(surface: Mesh, capture: Capture, index: int, shrink: float = 1.0) -> Sight:
    """What the camera of one of the photos sees of a surface in the scene's frame, `shrink` times smaller."""
    pinhole = capture.pinholes[index]
    camera = pinhole.resized(max(1, round(pinhole.width / shrink)), max(1, round(pinhole.height / shrink)))
    camera_from_scene = capture.cameras(index).camera_from_world[0]
    local = camera_from_scene.apply(surface.vertices)
    local = torch.where(_beyond(camera, local)[:, None], -1.0, local)  # what reaches behind the camera is not drawn
    depth = rasterise(local[None], surface.triangles, camera).depth[0].nan_to_num(torch.inf)
    layers = _resized(photo_layers(capture, index), camera.height, camera.width)
    usable = (layers[..., 3:] > OPAQUE).all(-1)
    return Sight(
        camera, camera_from_scene, depth, _trust(depth, usable, camera, _fade(surface, depth, camera)), layers[..., :4]
    )


def photo_layers(capture: Capture, index: int) -> Float[Tensor, "h w 5"]:
    """Of one of the photos: colour times opacity, opacity, and 1 where it is known, 0 under its mask."""
    pixels = torch.from_numpy(capture.picture(index)).float() / 255
    known = torch.ones_like(pixels[..., :1])
    opacity = pixels[..., 3:] if capture.has_alpha else known
    if capture.mask is not None:
        known = torch.from_numpy(capture.picture(index, "mask").copy())[..., None].float()
    return torch.cat([pixels[..., :3] * opacity, opacity, known], -1)


def looked_at(sight: Sight, points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"]) -> Seen:
    """The points that face the camera, and lie in its picture. What hides them is not asked here."""
    along = normals @ sight.centre - torch.linalg.vecdot(normals, points)
    which = (along > 0).nonzero()[:, 0]
    local = sight.camera_from_scene.apply(points[which])
    cosine = along[which] / local.norm(dim=-1).clamp_min(1e-12)
    size = points.new_tensor([sight.camera.width, sight.camera.height])
    place = sight.camera.project(local) / size * 2 - 1
    kept = ((place.abs() < 1).all(-1) & ~_beyond(sight.camera, local) & (cosine > GRAZING)).nonzero()[:, 0]
    return Seen(which[kept], place[kept], cosine[kept], local[kept, 2])


def unhidden(sight: Sight, seen: Seen) -> Bool[Tensor, "m"]:
    """Whether each point is what the camera sees there: it lies as deep as the nearest pixel's, but for the slope."""
    nearest = grid_sample(sight.depth[None, None], seen.place[None, None], "nearest", align_corners=False)[0, 0, 0]
    slope = (1 - seen.cosine.square()).clamp_min(0).sqrt() / seen.cosine
    return _off(sight, seen, nearest) < BEHIND[0] + slope


def trusted(sight: Sight, seen: Seen) -> Float[Tensor, "m"]:
    """0 to 1: how far the photo's colour at each point is the point's own."""
    nearness = torch.stack([1 / sight.depth, sight.trust])[None]  # 1/z is affine in the picture
    found = grid_sample(nearness, seen.place[None, None], "bilinear", "border", align_corners=False)[0, :, 0]
    hidden = smooth_step(_off(sight, seen, 1 / found[0].clamp_min(1e-12)), *BEHIND)
    return found[1] * (1 - hidden)


def cameras_that_see(surface: Mesh, capture: Capture) -> Int[Tensor, "t"]:
    """How many of the photos' cameras see each triangle: at less than 75 degrees from its normal, and at two or more of
    four points, its middle and one towards each corner. A surface in the scene's frame, facing outwards."""
    corners = surface.vertices[surface.triangles.long()]
    face = cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    face = face / face.norm(dim=-1, keepdim=True).clamp_min(1e-30)
    weights = corners.new_tensor([[1 / 3] * 3, *(torch.tensor(WITHIN).roll(k).tolist() for k in range(3))])
    points = (weights @ corners).flatten(0, 1)
    normals = face.repeat_interleave(len(weights), 0)
    count = torch.zeros(len(corners), dtype=torch.int64)
    for index in range(len(capture)):
        sight = sight_of(surface, capture, index)
        seen = looked_at(sight, points, normals)
        at = seen.which[unhidden(sight, seen)] // len(weights)
        count += torch.bincount(at, minlength=len(corners)) >= 2
    return count


def smooth_step(values: Tensor, low: float, high: float) -> Tensor:
    """From 0 at `low` to 1 at `high`, with no slope at either."""
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _off(sight: Sight, seen: Seen, depth: Float[Tensor, "m"]) -> Float[Tensor, "m"]:
    """How far points lie from these depths, in pixels as lengths at the point."""
    return (seen.depth - depth).abs() * (sight.camera.fx / seen.depth)


def _beyond(camera: Pinhole, local: Float[Tensor, "n 3"]) -> Bool[Tensor, "n"]:
    """Points that the camera cannot see: behind it or, with a lens, further out than its picture reaches, where the
    formula that bends it may fold back into the picture."""
    behind = local[:, 2] <= 0
    if not isinstance(camera, Lens):
        return behind
    across, down = torch.linspace(0, camera.width, 9), torch.linspace(0, camera.height, 9)
    border = torch.cat([torch.cartesian_prod(across, down[[0, -1]]), torch.cartesian_prod(across[[0, -1]], down)])
    reach = camera.directions(border)[:, :2].norm(dim=-1).nan_to_num(0.0).max()
    return behind | (local[:, :2].norm(dim=-1) > 1.1 * reach * local[:, 2])


def _resized(layers: Float[Tensor, "i j c"], height: int, width: int) -> Float[Tensor, "h w c"]:
    """Each pixel the mean of those that it covers."""
    if layers.shape[:2] == (height, width):
        return layers
    return interpolate(layers.permute(2, 0, 1)[None], (height, width), mode="area")[0].permute(1, 2, 0)


def _fade(surface: Mesh, depth: Float[Tensor, "h w"], camera: Pinhole) -> int:
    """Pixels that stand for `FADE`, for triangles of this size at this distance."""
    there = depth[depth.isfinite()]
    if len(there) == 0:
        return FADE
    side = math.sqrt(float(triangle_areas(surface).mean()) * 4 / math.sqrt(3))  # were they all equilateral
    return min(max(FADE, round(side / 2 * camera.fx / float(there.median()))), WIDEST)


def _trust(
    depth: Float[Tensor, "h w"], usable: Bool[Tensor, "h w"], camera: Pinhole, fade: int
) -> Float[Tensor, "h w"]:
    """Nothing beside a jump of depth and what is not usable, growing from there over a few pixels."""
    bad = ~usable
    for axis, (first, second) in enumerate(((slice(-1), slice(1, None)),) * 2):
        one, other = ((first,), (second,)) if axis == 0 else ((slice(None), first), (slice(None), second))
        jump = ~((depth[one] - depth[other]).abs() * camera.fx < JUMP * torch.minimum(depth[one], depth[other]))
        bad[one] |= jump
        bad[other] |= jump
    near, far = _from(bad, fade // 2), _from(bad, fade)
    return LOOSE * near + (1 - LOOSE) * far


def _from(bad: Bool[Tensor, "h w"], reach: int) -> Float[Tensor, "h w"]:
    """0 on bad pixels, growing to 1 over twice `reach` pixels."""
    good = 1 - max_pool2d(bad.float()[None, None], 2 * reach + 1, 1, reach)
    for _ in range(reach):  # means reach as far as the bad pixels were widened
        good = avg_pool2d(good, 3, 1, 1, count_include_pad=False)
    return good[0, 0]
