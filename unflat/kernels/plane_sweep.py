"""Depth of a picture by sweeping a plane through what other pictures see of it.

Collins 1996, "A space-sweep approach to true multi-image matching". At every plane before the camera each pixel is
looked up in the other pictures: where it is a point of a surface, they have its colour. Others do not see the point, so
the two that are most alike decide (as Kang, Szeliski and Chai 2001 take the better half), and a pixel's neighbours have
a say. One function with two back ends: loops in numba (CPU), and the readable PyTorch twin.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample

from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid
from unflat.kernels.loops import compiled_loops
from unflat.kernels.threads import pieces, side_by_side

_loops = partial(compiled_loops, "plane_sweep_cpu")


class Sweep(NamedTuple):
    """A picture, and those that it is compared with, all of one camera's size and focal length."""

    picture: Float[Tensor, "h w 4"]
    """colour times opacity, and opacity"""
    others: Float[Tensor, "k h w 4"]
    """at least two"""
    others_from_here: Rigid
    """[k]"""
    pinhole: Pinhole


def plane_sweep(
    sweep: Sweep,
    planes: Float[Tensor, "s"],
    shown: Bool[Tensor, "h w"],
    reach: Int[Tensor, "h w 2"],
) -> Float[Tensor, "h w"]:
    """Depth along z at the pixels that are `shown`, infinite elsewhere, NaN where no two other pictures see any plane.

    `planes` are depths, evenly spaced and growing; `reach` are the first of them that a pixel is asked at and the one
    after its last. The cost of a plane is the sum over channels of the absolute difference of colours, and what the
    other picture lacks of opacity; of the two other pictures where it is least the mean, and of a pixel and its eight
    neighbours that are asked there the mean. Between planes a parabola says where it is least.
    """
    loops = _loops()
    if loops is None:
        return plane_sweep_torch(sweep, planes, shown, reach)
    return _depth(_looped(loops, sweep, planes, shown, reach), planes, shown)


def plane_sweep_torch(
    sweep: Sweep, planes: Float[Tensor, "s"], shown: Bool[Tensor, "h w"], reach: Int[Tensor, "h w 2"]
) -> Float[Tensor, "h w"]:
    """The readable twin, of what is not on the border of two pixels."""
    return _depth(_twin(sweep, planes, shown, reach), planes, shown)


def _depth(at: Float[Tensor, "n"], planes: Float[Tensor, "s"], shown: Bool[Tensor, "h w"]) -> Float[Tensor, "h w"]:
    """Of the pixels that are shown, from the numbers of their planes."""
    depth = torch.full(shown.shape, torch.inf)
    found = planes[0] + at * (planes[-1] - planes[0]) / max(len(planes) - 1, 1)
    depth[shown] = found.where(at >= 0, torch.nan)
    return depth


def _twin(
    sweep: Sweep, planes: Float[Tensor, "s"], shown: Bool[Tensor, "h w"], reach: Int[Tensor, "h w 2"]
) -> Float[Tensor, "n"]:
    height, width = shown.shape
    lens, number = sweep.pinhole, torch.arange(len(planes))
    points = lens.rays() * planes[:, None, None, None]  # [s, h, w, 3]
    asked = shown & (number[:, None, None] >= reach[..., 0]) & (number[:, None, None] < reach[..., 1])
    costs = []
    for index, picture in enumerate(sweep.others):
        local = sweep.others_from_here[index].apply(points.view(-1, 3)).view(points.shape)
        place = lens.project(local)
        within = (local[..., 2] > 1e-6) & (place >= 0).all(-1) & (place < torch.tensor([width, height])).all(-1)
        place = place / torch.tensor([width, height]) * 2 - 1
        flat = place.nan_to_num(-2.0, -2.0, -2.0).view(1, -1, width, 2)
        found = grid_sample(picture.permute(2, 0, 1)[None], flat, "bilinear", "border", align_corners=False)[0]
        found = found.permute(1, 2, 0).view(len(planes), height, width, 4)
        apart = (found[..., :3] - sweep.picture[..., :3]).abs().sum(-1) + 1 - found[..., 3]
        costs.append(apart.where(within, torch.inf))
    cost = torch.stack(costs).sort(0).values[:2].mean(0)
    known = asked & cost.isfinite()
    total = avg_pool2d(cost.where(known, 0.0)[:, None], 3, 1, 1)[:, 0]
    mean = total / avg_pool2d(known.float()[:, None], 3, 1, 1)[:, 0]
    mean = mean.nan_to_num(torch.inf).where(asked, torch.inf)
    which = mean.argmin(0)
    ends = torch.full((1, height, width), torch.inf)
    before, best, after = (torch.cat([ends, mean, ends]).gather(0, which[None] + k)[0] for k in range(3))
    bend = before - 2 * best + after
    aside = (0.5 * (before - after) / bend).clamp(-0.5, 0.5).where((bend > 1e-6) & bend.isfinite(), 0.0)
    return torch.where(best.isfinite(), which + aside, -1.0)[shown]


def _looped(
    loops: object, sweep: Sweep, planes: Float[Tensor, "s"], shown: Bool[Tensor, "h w"], reach: Int[Tensor, "h w 2"]
) -> Float[Tensor, "n"]:
    rows, columns = (each.numpy() for each in shown.nonzero(as_tuple=True))
    number = np.full(tuple(shown.shape), -1, np.int32)
    number[rows, columns] = np.arange(len(rows), dtype=np.int32)
    ends = reach[shown].int().numpy()
    costs, at = np.empty((len(rows), len(planes)), np.float32), np.empty(len(rows), np.float32)
    lens = tuple(np.float32(v) for v in (sweep.pinhole.fx, sweep.pinhole.fy, sweep.pinhole.cx, sweep.pinhole.cy))
    turns = sweep.others_from_here.rotation.float().contiguous().numpy()
    shifts = sweep.others_from_here.translation.float().contiguous().numpy()
    given = sweep.picture.contiguous().numpy(), sweep.others.contiguous().numpy(), turns, shifts, lens, planes.numpy()

    def look(piece: tuple[int, int]) -> None:
        part = slice(*piece)
        loops.swept(*given, rows[part], columns[part], ends[part], costs[part])  # type: ignore[attr-defined]

    def choose(piece: tuple[int, int]) -> None:
        part = slice(*piece)
        loops.chosen(number, rows, columns, ends, costs, part.start, part.stop, at)  # type: ignore[attr-defined]

    side_by_side(look, pieces(len(rows)))
    side_by_side(choose, pieces(len(rows)))
    return torch.from_numpy(at)
