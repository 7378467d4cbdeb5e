"""Depth from the pictures themselves, without learning anything: multi-view stereo of small pictures.

Each picture is compared with those that look from a little aside (`kernels/plane_sweep.py`), first at half the size
with all planes, then whole near what was found. Depth that no two other pictures' depth confirms is dropped, as Merrell
et al. 2007, "Real-time visibility-based fusion of depth maps", do: what is plain or shiny says anything.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, grid_sample, interpolate, max_pool2d

from unflat.data.kinds import Capture
from unflat.data.viewpoints import Viewpoints, spread_over
from unflat.fields.voxels import corners_of, places_of
from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid
from unflat.kernels.plane_sweep import Sweep, plane_sweep
from unflat.outputs.foreground import Foreground
from unflat.outputs.fusion import NEAREST, DepthMap, behind
from unflat.outputs.paths import kept_views, views_of
from unflat.outputs.sights import OPAQUE, photo_layers

OTHERS, ASIDE = 6, 25.0
"""pictures that each is compared with, and by how many degrees their lines of sight to the middle differ, about"""
SEEN = 0.99
"""share of a small picture's pixel that has to be known"""
ROUGH = 2.0
"""pixels, as lengths, between planes at half the size; 1 at the whole"""
NEAR = 3
"""planes on both sides of what was found at half the size"""
CONFIRM, OFF, ASKED = 2, 3.0, 12
"""maps that have to show the same depth, within so many pixels as lengths there, of so many that look alike"""


FEWEST = 3
"""pictures"""
VIEWS, SIDE = 60, 200
"""pictures that are kept, and pixels along their longer side"""
COLOURED = 3
"""every so manieth of them gives colours"""


class SmallViews(nn.Module):
    """Small pictures of a capture and their cameras, as a part of a method: they go into checkpoints until it has begun
    with what they show."""

    poses: Tensor
    lens: Tensor
    pictures: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("poses", torch.zeros(0, 4, 4, dtype=torch.float64))
        self.register_buffer("lens", torch.zeros(6, dtype=torch.float64))
        self.forget()

    def keep(self, capture: Capture) -> None:
        """Those of a capture. ValueError for fewer than three."""
        if len(capture) < FEWEST:
            raise ValueError(f"depth from stereo needs {FEWEST} pictures or more, and these are {len(capture)}")
        self.poses, self.lens = kept_views(capture.viewpoints, VIEWS, min(SIDE, max(capture.extent.size)))
        self.pictures = small_pictures(capture, spread_over(len(capture), VIEWS), self.views.pinholes[0])

    def forget(self) -> None:
        """All pictures."""
        self.register_buffer("pictures", torch.zeros(0, 1, 1, 5, dtype=torch.uint8))

    @property
    def views(self) -> Viewpoints:
        """Where they were taken."""
        return views_of(self.poses, self.lens)

    def maps(self, of: Foreground, known: Sequence[DepthMap]) -> list[DepthMap]:
        """`stereo_maps` of them."""
        return stereo_maps(self.pictures.cpu(), self.views, of, known)

    def colours(
        self, maps: Sequence[DepthMap], row_of: Int[Tensor, "x y z"], of: Foreground, reach: float
    ) -> Float[Tensor, "n 3"]:
        """`colours_seen` at those voxels of the foreground's box that have a row."""
        places = places_of(tuple(row_of.shape), of.low, of.high)[row_of.flatten().cpu() >= 0]  # type: ignore[arg-type]
        return colours_seen(self.pictures.cpu()[::COLOURED], maps[::COLOURED], places, reach)


def small_pictures(capture: Capture, indices: Sequence[int], pinhole: Pinhole) -> UInt8[Tensor, "n h w 5"]:
    """Some of the pictures as one plain camera would have taken them: colour times opacity, opacity, and 255 where they
    know, 0 beside the picture and under its mask."""
    at = pinhole.rays().view(-1, 3)
    found = []
    for index in indices:
        layers, camera = photo_layers(capture, index), capture.pinholes[index]
        layers[..., :4] *= layers[..., 4:]
        shrink = max(1, round(camera.fx / pinhole.fx))
        small = avg_pool2d(layers.permute(2, 0, 1)[None], shrink, ceil_mode=True)
        size = torch.tensor([small.shape[3] * shrink, small.shape[2] * shrink])
        place = (camera.project(at) / size * 2 - 1).nan_to_num(-2.0)
        seen = grid_sample(small, place[None, None], "bilinear", "zeros", align_corners=False)
        found.append(seen[0, :, 0].T.view(pinhole.height, pinhole.width, 5))
    return (torch.stack(found) * 255).round().to(torch.uint8)


def stereo_maps(
    pictures: UInt8[Tensor, "n h w 5"],
    views: Viewpoints,
    of: Foreground,
    known: Sequence[DepthMap] = (),
) -> list[DepthMap]:
    """Depth of pictures (`small_pictures`) where they show the foreground, for `fused`.

    That is what is opaque. Of pictures without opacity something else has to say where it is, by depth of its own,
    `known`, which stays where it shows what is not the foreground's and where stereo finds none. Without it, -inf
    stands for what is not known, which `fused` takes no notice of, and infinity for what is transparent.

    ValueError for fewer than three pictures.
    """
    if len(pictures) < FEWEST:
        raise ValueError(f"depth from stereo needs {FEWEST} pictures or more, and these are {len(pictures)}")
    layers, poses, pinhole = pictures.float() / 255, views.camera_from_scene, views.pinholes[0]
    opaque, seen = layers[..., 3] > OPAQUE, layers[..., 4] > SEEN
    if known:
        before = torch.stack([one.depth for one in known])
        usual = interpolate(before[:, None], tuple(opaque.shape[1:]), mode="nearest")[:, 0]
        opaque &= torch.stack([_shown(DepthMap(depth, pinhole, poses[i]), of) for i, depth in enumerate(usual)])
    else:
        usual = torch.where(seen & ~opaque, torch.inf, -torch.inf)
    aside = _angles(views, (of.low + of.high) / 2)
    whole = _Level(layers[..., :4].contiguous(), opaque, pinhole)
    half, maps = whole.halved(), []
    for here, pose in enumerate(poses[i] for i in range(len(layers))):
        order = (aside[here] - ASIDE).abs().argsort()
        others = order[order != here][:OTHERS]
        depths = pose.apply(corners_of(of.low, of.high))[:, 2]
        depth = _swept(whole, half, here, others, poses[others] @ pose.inverse, depths.aminmax())
        maps.append(DepthMap(depth, pinhole, pose))
    kept = _confirmed(maps, aside)
    return [one._replace(depth=kept[i].where(kept[i].isfinite(), usual[i])) for i, one in enumerate(maps)]


class _Level(NamedTuple):
    """All pictures in one size."""

    layers: Float[Tensor, "n h w 4"]
    """colour times opacity, and opacity"""
    shown: Bool[Tensor, "n h w"]
    """where depth is asked for"""
    pinhole: Pinhole

    def halved(self) -> "_Level":
        """At half the size, where it is asked for at every pixel that holds one of these."""
        half = self.pinhole.resized(max(1, self.pinhole.width // 2), max(1, self.pinhole.height // 2))
        size = half.height, half.width
        layers = interpolate(self.layers.permute(0, 3, 1, 2), size, mode="area").permute(0, 2, 3, 1).contiguous()
        shown = interpolate(self.shown[:, None].float(), size, mode="area")[:, 0] > 0
        return _Level(layers, shown, half)

    def sweep(self, here: int, others: Int[Tensor, "k"], others_from_here: Rigid) -> Sweep:
        """One of them beside others."""
        return Sweep(self.layers[here], self.layers[others], others_from_here, self.pinhole)


def _swept(
    whole: _Level, half: _Level, here: int, others: Int[Tensor, "k"], others_from_here: Rigid,
    reach: tuple[Float[Tensor, ""], Float[Tensor, ""]],
) -> Float[Tensor, "h w"]:  # fmt: skip
    """Depth of one of them within a reach: at half the size first, and then near what was found there."""
    near, far = max(float(reach[0]), NEAREST), float(reach[1])
    if far <= near:  # all of the box is behind the camera
        return torch.full_like(whole.layers[here, ..., 0], torch.inf)
    planes = _planes(near, far, half.pinhole, ROUGH)
    everywhere = torch.tensor([0, len(planes)]).expand(*half.shown.shape[1:], 2)
    rough = plane_sweep(half.sweep(here, others, others_from_here), planes, half.shown[here], everywhere)
    planes = _planes(near, far, whole.pinhole, 1.0)
    asked = _reach(rough, planes, whole.shown.shape[1:])
    return plane_sweep(whole.sweep(here, others, others_from_here), planes, whole.shown[here], asked)


def colours_seen(
    pictures: UInt8[Tensor, "n h w 5"], maps: Sequence[DepthMap], points: Float[Tensor, "p 3"], reach: float
) -> Float[Tensor, "p 3"]:
    """Mean colour of the pictures in which points are less than `reach` off what their depth shows, the nearer the
    more; where there is none, of all points that have one."""
    total, weight = torch.zeros(len(points), 3), torch.zeros(len(points), 1)
    for picture, one in zip(pictures, maps, strict=True):
        within, off, (row, column) = behind(one, points)
        layers = picture[row[within], column[within]].float() / 255
        share = (1 - off[within].abs() / reach).clamp_min(0) * (layers[:, 3] > OPAQUE)
        total[within] += share[:, None] * layers[:, :3] / layers[:, 3:4].clamp_min(OPAQUE)
        weight[within] += share[:, None]
    usual = total.sum(0) / weight.sum().clamp_min(1e-9)
    return torch.where(weight > 0, total / weight.clamp_min(1e-9), usual)


def _angles(views: Viewpoints, middle: Float[Tensor, "3"]) -> Float[Tensor, "n n"]:
    """Degrees between the lines from the middle to each camera."""
    away = torch.from_numpy(views.centres).float() - middle
    away = away / away.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return torch.rad2deg((away @ away.T).clamp(-1, 1).arccos())


def _planes(near: float, far: float, pinhole: Pinhole, pixels: float) -> Float[Tensor, "s"]:
    """As far apart as so many pixels are wide in the middle of them."""
    apart = pixels * (near + far) / 2 / max(pinhole.fx, pinhole.fy)
    return torch.linspace(near, far, 2 + math.ceil((far - near) / apart))


def _shown(one: DepthMap, of: Foreground) -> Bool[Tensor, "h w"]:
    """The pixels that show the foreground by their depth."""
    shown = one.depth.isfinite()
    shown[shown.clone()] = of.holds(one.places[shown])
    return shown


def _reach(rough: Float[Tensor, "i j"], planes: Float[Tensor, "s"], shape: Sequence[int]) -> Int[Tensor, "h w 2"]:
    """Planes about the depth that was found beside each pixel; all of them where none was."""
    known = rough.isfinite()
    least = -max_pool2d(torch.where(known, -rough, -torch.inf)[None], 3, 1, 1)[0]
    most = max_pool2d(torch.where(known, rough, -torch.inf)[None], 3, 1, 1)[0]
    apart = float(planes[1] - planes[0])
    first = ((least - planes[0]) / apart).floor() - NEAR
    end = ((most - planes[0]) / apart).ceil() + NEAR + 1
    some = least.isfinite()
    both = torch.stack([first.where(some, 0.0), end.where(some, float(len(planes)))])
    whole = interpolate(both[None], tuple(shape), mode="nearest")[0]
    return whole.clamp(0, len(planes)).permute(1, 2, 0).int()


def _confirmed(maps: Sequence[DepthMap], aside: Float[Tensor, "n n"]) -> list[Float[Tensor, "h w"]]:
    """The depth of each, NaN where too few other maps show the same."""
    kept = []
    for here, one in enumerate(maps):
        shown = one.depth.isfinite()
        points = one.places[shown]
        count = torch.zeros(len(points), dtype=torch.int32)
        order = aside[here].argsort()
        for other in (maps[i] for i in order[order != here][:ASKED].tolist()):
            within, off, _ = behind(other, points)
            far = OFF / other.pinhole.fx * other.camera_from_scene.apply(points)[:, 2]
            count += within & (off.abs() < far)
        same = torch.full_like(one.depth, torch.nan)
        same[shown] = one.depth[shown].where(count >= CONFIRM, torch.nan)
        kept.append(same)
    return kept
