"""A surface from the depth that a method gives in many views: where their depth maps agree on average.

Curless and Levoy 1996, "A volumetric method for building complex models from range images", as a function of points.
What one view sees too deep through a thin place, and what is noise in the density, the mean over views leaves out; of
what no view sees nothing is made up.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unflat.data.viewpoints import Viewpoints, spread_over
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.depth import unproject
from unflat.geometry.rotations import Rigid
from unflat.method import Method, predict_in_pieces
from unflat.outputs.paths import usual_pinhole

MOST = 80
"""views, spread over those there are"""
NEAREST = 1e-3
"""units of the scene before a camera, where nothing is seen"""


class DepthMap(NamedTuple):
    """What one camera sees."""

    depth: Float[Tensor, "h w"]
    """along z; infinite where nothing is"""
    pinhole: Pinhole
    camera_from_scene: Rigid
    rgb: Float[Tensor, "h w 3"] | None = None
    """where a method gives colours"""

    @property
    def places(self) -> Float[Tensor, "h w 3"]:
        """Of what its pixels show, in the scene's frame; not finite where nothing is."""
        local = unproject(self.depth[None], self.pinhole)[0]
        return self.camera_from_scene.inverse.apply(local.flatten(0, 1)).view(local.shape)


def depth_maps(method: Method, views: Viewpoints, side: int, most: int = MOST) -> list[DepthMap]:
    """Depth in at most so many of the views, with `side` pixels along the longer side, and without what lenses bend.

    ValueError if the method gives no depth.
    """
    pinhole = usual_pinhole(views, side)
    found = []
    for i in spread_over(len(views), most):
        pose = views.cameras(i).camera_from_world
        seen = predict_in_pieces(method, Cameras(pinhole, pose))
        if seen.depth is None:
            raise ValueError(f"{type(method).__name__} gives no depth: take the surface of its density instead")
        rgb = None if seen.rgb is None else seen.rgb[0].cpu()
        found.append(DepthMap(seen.depth[0].cpu().nan_to_num(torch.inf), pinhole, pose[0], rgb))
    return found


def fused(maps: Sequence[DepthMap], reach: float) -> Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n"]]:
    """A function of points of the scene's frame that is 0 on the surface, up to 1 inside and down to -1 outside.

    It is the mean, over the views that see the point or see something less than `reach` before it, of how far it is
    behind what they see, in units of `reach`. What is deeper behind something in all views is inside, what is in no
    picture outside.
    """

    def value(points: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        total, count = torch.zeros(len(points)), torch.zeros(len(points))
        pictured = torch.zeros(len(points), dtype=torch.bool)
        for one in maps:
            within, deeper, _ = behind(one, points)
            share = deeper / reach
            counts = within & (share < 1)
            total += share.clamp_min(-1).where(counts, 0.0)
            count += counts
            pictured |= within
        return (total / count.clamp_min(1)).where(count > 0, pictured.float() * 2 - 1)

    return value


def behind(
    one: DepthMap, points: Float[Tensor, "n 3"]
) -> tuple[Bool[Tensor, "n"], Float[Tensor, "n"], tuple[Int[Tensor, "n"], Int[Tensor, "n"]]]:
    """Whether points are in the picture, how far behind what it shows there, along z, and the row and the column of the
    pixel that does: of points beside the picture some other."""
    local = one.camera_from_scene.apply(points)
    height, width = one.depth.shape
    pixel = one.pinhole.project(local).nan_to_num(-1.0, -1.0, -1.0)
    within = (local[:, 2] > NEAREST) & (pixel >= 0).all(1) & (pixel[:, 0] < width) & (pixel[:, 1] < height)
    u, v = pixel[:, 0].clamp(0, width - 1).long(), pixel[:, 1].clamp(0, height - 1).long()
    return within, local[:, 2] - one.depth[v, u], (v, u)
