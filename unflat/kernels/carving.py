"""Which cells of a box are empty because some picture sees nothing there: the visual hull, by projecting their centres.

One function with two back ends: a loop in numba that leaves a cell as soon as one picture rules it out (CPU), and the
readable PyTorch twin, which is its oracle and runs everywhere else.
"""

from functools import partial

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens
from unflat.geometry.rotations import Rigid
from unflat.kernels.loops import compiled_loops

_loops = partial(compiled_loops, "carving_cpu")


def carve(
    inside: Bool[Tensor, "i j k"],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    silhouette: UInt8[Tensor, "h w"],
    camera_from_scene: Rigid,
    pinhole: Pinhole,
) -> None:
    """Take the cells of a box out of `inside` that a picture rules out: in place.

    `silhouette` holds the distance from each pixel to the nearest one that shows the object, in pixels, counted as a
    king moves. A cell is ruled out where its centre falls on a pixel that is further from the object than the cell
    reaches. What lies beside the picture or behind the camera is not ruled out.
    """
    loops = _loops()
    pose = torch.cat([camera_from_scene.rotation, camera_from_scene.translation[:, None]], 1).float()
    if loops is None or inside.device.type != "cpu" or isinstance(pinhole, Lens):
        carve_torch(inside, low, high, silhouette, camera_from_scene, pinhole)
        return
    lens = np.array([pinhole.fx, pinhole.fy, pinhole.cx, pinhole.cy], np.float32)
    loops.carve(inside.numpy(), low.numpy(), high.numpy(), silhouette.numpy(), pose.contiguous().numpy(), lens)


def carve_torch(
    inside: Bool[Tensor, "i j k"],
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    silhouette: UInt8[Tensor, "h w"],
    camera_from_scene: Rigid,
    pinhole: Pinhole,
) -> None:
    """The readable twin."""
    shape = torch.tensor(inside.shape, device=inside.device)
    side = (high - low) / shape
    cell = inside.nonzero()
    points = camera_from_scene.apply(low + (cell + 0.5) * side)
    z = points[:, 2]
    reach = 0.5 * side.norm() * max(pinhole.fx, pinhole.fy) / z + 1
    pixel = pinhole.project(points)
    height, width = silhouette.shape
    seen = (z > 0) & (pixel >= 0).all(1) & (pixel[:, 0] < width) & (pixel[:, 1] < height)
    column, row = (pixel[seen, axis].long() for axis in (0, 1))
    out = cell[seen][silhouette[row, column] > reach[seen]]
    inside[out[:, 0], out[:, 1], out[:, 2]] = False
