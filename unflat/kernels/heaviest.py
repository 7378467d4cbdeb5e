"""What each voxel weighs at most in some pictures: the largest weight of the samples that are interpolated from it.

Rays are walked by `density_march`; then one function with two back ends takes the largest: a loop in numba (CPU), and
the readable PyTorch twin.
"""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from unflat.geometry.spaces import Rays
from unflat.kernels.density_march import density_march
from unflat.kernels.lookup import Box, Voxels, grid_corners
from unflat.kernels.loops import compiled_loops
from unflat.kernels.walking import Cells, Walk

_loops = partial(compiled_loops, "heaviest_cpu")


@torch.no_grad()
def weighed(heaviest: Float[Tensor, "v"], rays: Rays, density: Voxels, cells: Cells, walk: Walk) -> Float[Tensor, "v"]:
    """The weights, raised where a sample of these rays weighs more. `density` are raw, of one channel."""
    seen, raised = density_march(rays, density, cells, walk), heaviest.clone()
    take_largest(raised, seen.weight, seen.points, Box(cells.low, cells.high), density.shape)
    return raised


def take_largest(
    heaviest: Float[Tensor, "v"],
    weight: Float[Tensor, "m"],
    points: Float[Tensor, "m 3"],
    box: Box,
    shape: tuple[int, int, int],
) -> None:
    """Of the samples around each voxel and of what it has, in place."""
    loops = _loops()
    if heaviest.device.type != "cpu" or loops is None:
        take_largest_torch(heaviest, weight, points, box, shape)
        return
    arrays = (part.contiguous().numpy() for part in (weight, points, box.low, box.high))
    loops.largest(heaviest.numpy(), *arrays, *shape)


def take_largest_torch(
    heaviest: Float[Tensor, "v"],
    weight: Float[Tensor, "m"],
    points: Float[Tensor, "m 3"],
    box: Box,
    shape: tuple[int, int, int],
) -> None:
    """The readable twin."""
    corner, _ = grid_corners(points, box, shape)
    heaviest.scatter_reduce_(0, corner.flatten(), weight.repeat_interleave(8), "amax")
