"""What cameras stand around, found in the depth that they see: where the thing in the middle of a box is.

For pictures that do not say themselves where the object is. What no camera sees through to is taken for solid; of the
solid parts the one is meant that hangs together around the middle, without what it stands on, if that is level. Where
that reaches the sides of the box it is not the object alone, and is cut (`cutout`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import grid_sample

from unflat.fields.voxels import grid_shape, places_of
from unflat.outputs.cutout import share_of_object
from unflat.outputs.fusion import DepthMap, fused
from unflat.outputs.surfaces import Box, library

CELLS = 64
"""along the longest side of the box that is looked at"""
REACH = 3.0
"""cells over which depth maps are averaged"""
SOFT = 4.0
"""voxels of distances over which they are"""
ROOM = 3
"""cells around what is found"""
LEVEL = 0.5
"""share of the box's sides that a level cut through what is solid reaches, over which the thing stands on it"""
CRUMBS = 0.02
"""of the largest part: smaller ones do not count, however near"""
BESIDE = 0.02
"""share of the box's sides that a thing reaches, from which on it hangs together with what is around it"""


@dataclass(frozen=True)
class Foreground:
    """Where the thing in the middle is, in the scene's frame."""

    low: Float[Tensor, "3"]
    """least x, y, z of a box around it"""
    high: Float[Tensor, "3"]
    corners: Float[Tensor, "2 3"]
    """of the box that was looked at"""
    own: Float[Tensor, "x y z"]
    """at the voxels of that one, 1 where what is nearest belongs to the thing, and 0 where to something else"""

    @staticmethod
    def whole(low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> "Foreground":
        """All that is in a box."""
        corners = torch.stack([low, high]).cpu()
        return Foreground(corners[0], corners[1], corners, torch.ones(2, 2, 2))

    def holds(self, points: Float[Tensor, "n 3"]) -> Bool[Tensor, "n"]:
        """Whether what is at points of the scene's frame belongs to it, if something is."""
        places = (points - self.corners[0]) / (self.corners[1] - self.corners[0]) * 2 - 1
        share = grid_sample(
            self.own[None, None], places.flip(1).clamp(-1, 1)[None, None, None], align_corners=True
        ).flatten()
        return (points >= self.low).all(1) & (points <= self.high).all(1) & (share > 0.5)


def object_between(maps: Sequence[DepthMap], box: Box) -> Foreground:
    """The thing in the middle of a box (least, then largest) of the scene's frame.

    ValueError if nothing is there.
    """
    ndimage = library("scipy.ndimage", "finding what stands in the middle")
    low, high = torch.tensor(list(box[:3])), torch.tensor(list(box[3:]))
    shape = grid_shape(low, high, CELLS)
    cell = float((high - low).max()) / CELLS
    behind = fused(maps, REACH * cell)
    places = places_of(shape, low, high)
    solid = (torch.cat([behind(some) for some in torch.split(places, 2**17)]) > 0).view(shape).numpy()
    above = solid.copy()
    above[..., : _floor(solid)] = False
    distance = places.norm(dim=1).view(shape).numpy()
    found, crumbs = _in_the_middle(above, distance, ndimage)
    own = found | crumbs
    if _sides(found).mean() > BESIDE:
        share = share_of_object(maps, solid, places) > 0.5
        if share.any():
            _, crumbs = _in_the_middle(share, distance, ndimage)
            own = found = share & ~crumbs
    nearest = ndimage.distance_transform_edt(~solid, return_distances=False, return_indices=True)
    own = ndimage.gaussian_filter(own[tuple(nearest)].astype(np.float32), 1.0)
    reach = np.argwhere(found)
    first, last = torch.from_numpy(reach.min(0) - ROOM), torch.from_numpy(reach.max(0) + ROOM)
    size = (high - low) / (torch.tensor(shape) - 1)
    least, largest = torch.maximum(low, low + first * size), torch.minimum(high, low + last * size)
    return Foreground(least, largest, torch.stack([low, high]), torch.from_numpy(own))


def _in_the_middle(
    solid: Bool[np.ndarray, "x y z"], distance: Float[np.ndarray, "x y z"], ndimage: Any
) -> tuple[Bool[np.ndarray, "x y z"], Bool[np.ndarray, "x y z"]]:
    """The part that hangs together and is nearest to the middle, and all that are too small to count.

    ValueError if nothing is solid.
    """
    parts, count = ndimage.label(solid)
    if count == 0:
        raise ValueError(
            "nothing stands in the middle of what the cameras look at: walk around the object and keep it in the "
            "middle of the pictures, or give masks"
        )
    sizes = ndimage.sum_labels(solid, parts, range(1, count + 1))
    nearest = ndimage.minimum(distance, parts, range(1, count + 1))
    small = sizes < CRUMBS * sizes.max()
    chosen = 1 + int(np.argmin(np.where(small, np.inf, nearest)))
    return parts == chosen, np.append(False, small)[parts]


def distances_between(
    maps: Sequence[DepthMap], of: Foreground, shape: tuple[int, int, int], blur: float
) -> Float[Tensor, "x y z"]:
    """The signed distance, positive outside, to where depth maps agree that something of the foreground is, at the
    voxels of its box, whose faces are outside. What is closed all around is inside: it cannot be seen, and fields are
    often hollow. `blur` is the deviation, in voxels, with which both what is inside and the distances are smoothed.

    ValueError if nothing is inside.
    """
    ndimage = library("scipy.ndimage", "a surface")
    voxel = float((of.high - of.low).max()) / (max(shape) - 1)
    behind = fused(maps, SOFT * voxel)
    places = places_of(shape, of.low, of.high)
    deep = torch.cat([behind(some) for some in torch.split(places, 2**17)]).where(of.holds(places), -1.0)
    inside = deep.view(shape).numpy()
    inside = np.pad(ndimage.gaussian_filter(inside, blur)[1:-1, 1:-1, 1:-1] > 0, 1)
    if not inside.any():
        raise ValueError(
            "there is no surface to begin with: depth shows nothing opaque. Look at the cameras and masks (unflat data "
            "inspect); without masks, give the quick grid more steps (--config.host-steps)"
        )
    inside = ndimage.binary_fill_holes(inside)
    apart = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    return torch.from_numpy(ndimage.gaussian_filter(apart.astype(np.float32), blur) * np.float32(voxel))


def _sides(solid: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "n z"]:
    """The upright sides of a box."""
    return np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])


def _floor(solid: Bool[np.ndarray, "x y z"]) -> int:
    """The first layer, from below, above what the thing stands on; 0 where it stands on nothing."""
    under = np.flatnonzero(_sides(solid).mean(0)[: solid.shape[2] // 2] > LEVEL)
    return int(under[-1]) + 2 if len(under) else 0
