"""What cameras stand around, found in the depth that they see: the box of the thing in the middle.

For pictures that do not say themselves where the object is. What no camera sees through to is taken for solid; of the
solid parts the one is meant that hangs together around the middle, without what it stands on, if that is level.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unflat.fields.voxels import grid_shape, places_of
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


def object_between(maps: Sequence[DepthMap], box: Box) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """Least and largest x, y, z of the thing in the middle of a box (least, then largest) of the scene's frame.

    ValueError if nothing is there.
    """
    ndimage = library("scipy.ndimage", "finding what stands in the middle")
    low, high = torch.tensor(list(box[:3])), torch.tensor(list(box[3:]))
    shape = grid_shape(low, high, CELLS)
    cell = float((high - low).max()) / CELLS
    behind = fused(maps, REACH * cell)
    places = places_of(shape, low, high)
    solid = (torch.cat([behind(some) for some in torch.split(places, 2**17)]) > 0).view(shape).numpy()
    solid[..., : _floor(solid)] = False
    parts, count = ndimage.label(solid)
    if count == 0:
        raise ValueError(
            "nothing stands in the middle of what the cameras look at: walk around the object and keep it in the "
            "middle of the pictures, or give masks"
        )
    distance = places.norm(dim=1).view(shape).numpy()
    sizes = ndimage.sum_labels(solid, parts, range(1, count + 1))
    nearest = ndimage.minimum(distance, parts, range(1, count + 1))
    # crumbs do not count, however near
    chosen = 1 + int(np.argmin(np.where(sizes >= 0.02 * sizes.max(), nearest, np.inf)))
    found = np.argwhere(parts == chosen)
    first, last = torch.from_numpy(found.min(0) - ROOM), torch.from_numpy(found.max(0) + ROOM)
    size = (high - low) / (torch.tensor(shape) - 1)
    return torch.maximum(low, low + first * size), torch.minimum(high, low + last * size)


def distances_between(
    maps: Sequence[DepthMap],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    shape: tuple[int, int, int],
    blur: float,
) -> Float[Tensor, "x y z"]:
    """The signed distance, positive outside, to where depth maps agree that something is, at the voxels of a box of the
    scene's frame, whose faces are outside. What is closed all around is inside: it cannot be seen, and fields are often
    hollow. `blur` is the deviation, in voxels, with which both what is inside and the distances are smoothed.

    ValueError if nothing is inside.
    """
    ndimage = library("scipy.ndimage", "a surface")
    voxel = float((high - low).max()) / (max(shape) - 1)
    behind = fused(maps, SOFT * voxel)
    places = places_of(shape, low, high)
    inside = torch.cat([behind(some) for some in torch.split(places, 2**17)]).view(shape).numpy()
    inside = np.pad(ndimage.gaussian_filter(inside, blur)[1:-1, 1:-1, 1:-1] > 0, 1)
    if not inside.any():
        raise ValueError(
            "there is no surface to begin with: in the pictures as the quick grid has learned them nothing is opaque. "
            "Give it more steps (--config.host-steps), or look at the cameras and masks (unflat data inspect)"
        )
    inside = ndimage.binary_fill_holes(inside)
    apart = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    return torch.from_numpy(ndimage.gaussian_filter(apart.astype(np.float32), blur) * np.float32(voxel))


def _floor(solid: np.ndarray) -> int:
    """The first layer, from below, above what the thing stands on; 0 where it stands on nothing."""
    sides = np.concatenate([solid[0], solid[-1], solid[:, 0], solid[:, -1]])  # [.., z]
    under = np.flatnonzero(sides.mean(0)[: solid.shape[2] // 2] > LEVEL)
    return int(under[-1]) + 2 if len(under) else 0
