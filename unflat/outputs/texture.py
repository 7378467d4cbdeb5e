"""Textures of a relief: a picture of it made smooth, or the photo itself laid onto it.

A photo shows one side of an object. Where it does not see a point, it often sees the mirrored one, since objects of the
kind that unflat learns are probably symmetric; where it sees neither, the method's own colours have to do.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, max_pool2d

from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import normals_of, unproject
from unflat.geometry.meshes import relief_mesh
from unflat.geometry.rotations import Rigid
from unflat.method import Prediction
from unflat.rendering.mesh import rasterise, sample_texture

TEXTURE_FACTOR = 4
"""a texture has at least this many texels a pixel and direction, so that no viewer shows blocks"""
TEXTURE_SIDE = 256
"""and its longer side has at least this many"""

MIRROR = (-1.0, 1.0, 1.0)
"""what the symmetry does to a point of the object's own frame"""
DEPTH_FACTOR = 4
"""the depth that tells what is hidden has this many pixels a photo's pixel"""
BEHIND = (1.5, 4.0)
"""pixels (as lengths at the point) by which a point may lie off the seen depth: still seen, hidden"""
GRAZING = (0.12, 0.35)
"""cosine between normal and line of sight at which the photo tells nothing (83 degrees), everything (70 degrees)"""
SEAM = 2
"""texels: one source goes over into the next within twice as many to both sides"""
BRIGHTER = 2.0
"""at most so many times brighter or darker are mirrored colours made, to suit the light of their new side"""
DARKEST = 0.05
"""shading under which that is no longer told"""


def texture_factor(height: int, width: int) -> int:
    """Texels a pixel and direction of a texture for a relief of this size."""
    return max(TEXTURE_FACTOR, math.ceil(TEXTURE_SIDE / max(height, width)))


def smooth_texture(image: Float[Tensor, "h w 3"]) -> Float[Tensor, "i j 3"]:
    """The picture with `TEXTURE_FACTOR` or more texels a pixel, bicubic, in [0, 1]. Places in uv do not change."""
    planes = image.detach().float().nan_to_num(1.0).clamp(0, 1)
    return _enlarged(planes, texture_factor(*image.shape[:2]), "bicubic").clamp(0, 1)


def photo_texture(photo: Float[Tensor, "i j 3"], prediction: Prediction) -> Float[Tensor, "k l 3"] | None:
    """The photo as a texture of the canonical relief, where `uv` is that of the canonical picture.

    Every texel takes the photo's colour where its point is seen; else that of the mirrored point, in the light of the
    new side, if that one is seen; else the method's own shaded colour. Sources go over into each other softly, and
    where the photo looks along the surface. `photo`, in [0, 1], shows what the prediction's camera shows, at any
    resolution; `prediction` is a batch of one. None if it lacks cameras or a canonical depth.
    """
    canonical, cameras = prediction.canonical, prediction.cameras
    if canonical is None or canonical.depth is None or cameras is None:
        return None
    depth = canonical.depth[0].float()
    if canonical.opacity is not None:
        depth = depth.where(canonical.opacity[0] >= 0.5, torch.nan)
    camera = cameras.pinhole.resized(depth.shape[1], depth.shape[0])
    texels = _texels(depth, camera)
    view = _View(photo, _seen_depth(depth, camera, prediction), cameras.pinhole, cameras.camera_from_world[0])
    mirror = depth.new_tensor(MIRROR)
    across = _Texels(texels.points * mirror, texels.normals * mirror)
    (colours, seen), (mirrored, seen_across) = _gathered(texels, view), _gathered(across, view)
    if canonical.shading is not None:
        own, other = (_light_at(t.points, canonical.shading[0].float(), camera) for t in (texels, across))
        mirrored = (mirrored * (own / other).clamp(1 / BRIGHTER, BRIGHTER)).clamp(0, 1)
    shaded = photo.mean((0, 1)) if canonical.rgb is None else smooth_texture(canonical.rgb[0])
    return shaded.lerp(mirrored, seen_across).lerp(colours, seen)


class _Texels(NamedTuple):
    """Points of the surface in the object's own frame; NaN where there is none."""

    points: Float[Tensor, "k l 3"]
    normals: Float[Tensor, "k l 3"]


class _View(NamedTuple):
    """A photo and how its camera stands to the object."""

    photo: Float[Tensor, "i j 3"]
    nearest: Float[Tensor, "m n"]
    """depth of what is seen, at any resolution; infinite where nothing is"""
    camera: Pinhole
    camera_from_object: Rigid


def _texels(depth: Float[Tensor, "h w"], camera: Pinhole) -> _Texels:
    """The relief at every texel, bilinear. A cell at the mask's edge ends where its neighbours would continue it."""
    there = depth.isfinite()
    near, share = (avg_pool2d(m[None, None], 3, 1, 1)[0, 0] for m in (depth.where(there, 0), there.to(depth)))
    filled = depth.where(there, near / share)
    factor = texture_factor(*depth.shape)
    large = _enlarged(filled[..., None], factor, "bilinear")[..., 0]
    points = unproject(large[None], camera.resized(large.shape[1], large.shape[0]))[0]
    return _Texels(points, _enlarged(normals_of(filled[None], camera)[0], factor, "bilinear"))


def _seen_depth(depth: Float[Tensor, "h w"], camera: Pinhole, prediction: Prediction) -> Float[Tensor, "m n"]:
    """Depth of the relief from the photo's camera, finer than its pixels, its near parts a little wider."""
    assert prediction.cameras is not None
    pinhole, relief = prediction.cameras.pinhole, relief_mesh(depth, camera)
    fine = pinhole.resized(pinhole.width * DEPTH_FACTOR, pinhole.height * DEPTH_FACTOR)
    vertices = prediction.cameras.camera_from_world[0].apply(relief.vertices)
    nearest = rasterise(vertices[None], relief.triangles, fine).depth.nan_to_num(torch.inf)
    return -max_pool2d(-nearest, 3, 1, 1)[0]  # or half of a shadow's outermost texel would wear what stands before it


def _gathered(texels: _Texels, view: _View) -> tuple[Float[Tensor, "k l 3"], Float[Tensor, "k l 1"]]:
    """The photo's colour at every texel, and from 0 to 1 how far it can be trusted."""
    camera, shape = view.camera, texels.points.shape
    points = view.camera_from_object.apply(texels.points.flatten(0, 1)).view(shape)
    normals = view.camera_from_object.turn(texels.normals.flatten(0, 1)).view(shape)
    place = camera.project(points)
    size = place.new_tensor([camera.width, camera.height])
    grid = (place / size * 2 - 1).nan_to_num(-2.0)[None]
    colours = grid_sample(view.photo.permute(2, 0, 1)[None], grid, "bicubic", "border", align_corners=False)
    nearest = grid_sample(view.nearest[None, None], grid, "nearest", "border", align_corners=False)[0, 0]
    off = (points[..., 2] - nearest).abs() * camera.fx / points[..., 2]
    facing = -(normals * points).sum(-1) / (normals.norm(dim=-1) * points.norm(dim=-1))
    inside = (torch.minimum(place, size - place).amin(-1) + 0.5).clamp(0, 1)
    trust = (1 - _step(off, *BEHIND)) * _step(facing, *GRAZING) * inside
    return colours[0].permute(1, 2, 0).clamp(0, 1), _from_its_edge(trust.nan_to_num(0.0))[..., None]


def _from_its_edge(trust: Float[Tensor, "k l"]) -> Float[Tensor, "k l"]:
    """Trust that grows slowly from the edge of what is trusted: no colour leaps, and none is taken beyond it."""
    within = -max_pool2d(-trust[None, None], 4 * SEAM + 1, 1, 2 * SEAM)  # the lowest around, as far as means reach
    for _ in range(2):
        within = avg_pool2d(within, 2 * SEAM + 1, 1, SEAM, count_include_pad=False)
    return within[0, 0]


def _light_at(points: Float[Tensor, "k l 3"], shading: Float[Tensor, "h w"], camera: Pinhole) -> Float[Tensor, "k l 1"]:
    """The method's shading where points of the object's own frame lie in the canonical picture."""
    place = camera.project(points).nan_to_num(0.0) / points.new_tensor([camera.width, camera.height])
    return sample_texture(shading[..., None].nan_to_num(1.0), place).clamp_min(DARKEST)


def _enlarged(image: Float[Tensor, "h w c"], factor: int, mode: str) -> Float[Tensor, "k l c"]:
    """Pixel centres stay at +0.5, as uv has them."""
    size = (image.shape[0] * factor, image.shape[1] * factor)
    return interpolate(image.permute(2, 0, 1)[None], size, mode=mode, align_corners=False)[0].permute(1, 2, 0)


def _step(values: Tensor, low: float, high: float) -> Tensor:
    """From 0 at `low` to 1 at `high`, smoothly."""
    t = ((values - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
