"""Photos that show nearly the same: copies encoded again, resized, cropped a little or made brighter; frames of a film.

Every photo is held against the one that looks most like it. The two are laid over each other as well as a small crop
allows, and count as nearly the same if what is left is hardly more than what encoding does to a picture.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

SIDE = 32
"""photos are compared at so many pixels a side"""
COARSE = 4
"""those that look alike are found at this many times fewer"""
WORTH_A_LOOK = 0.6
"""two photos whose coarse pictures correlate less are not the same; small crops of most photos do more"""
SAME = 0.985
"""and those that correlate this much, laid over each other, are"""
LARGEST_SHIFT = 0.16
"""shift and change of scale that are made up for, as share of half the side"""
INSIDE = 0.8
"""share of the side that is compared: a crop has lost what is further out"""
PIECE = 1000


def near_copies(rgb: np.ndarray) -> Int[np.ndarray, "m 2"]:
    """Pairs of photos [n, h, w, 3] that show nearly the same: each photo with the one most like it, if it is a copy.

    A pair of which each is most like the other stands here once, the smaller number first.
    """
    looks = torch.cat(
        [_grey(np.asarray(rgb[i : i + PIECE])) for i in range(0, len(rgb), PIECE)] or [torch.zeros(0, SIDE, SIDE)]
    )
    nearest, alike = _nearest(_coarse(looks))
    candidates = (alike > WORTH_A_LOOK).nonzero()[:, 0]
    pairs = torch.unique(torch.stack([candidates, nearest[candidates]], 1).sort(1).values, dim=0)
    parts = [pairs[i : i + PIECE] for i in range(0, len(pairs), PIECE)]
    same = [part[aligned_correlation(looks[part[:, 0]], looks[part[:, 1]]) > SAME] for part in parts]
    return torch.cat(same).numpy() if same else np.zeros((0, 2), np.int64)


def aligned_correlation(one: Float[Tensor, "m s s"], other: Float[Tensor, "m s s"]) -> Float[Tensor, "m"]:
    """Correlation of grey pictures after the best shift and scale of the first, on the inner part of the second.

    Least squares for a shift, a scale, a gain and an offset, linearised (Lucas and Kanade 1981), coarse to fine.
    """
    place = torch.zeros(len(one), 3)  # scale - 1, shift along x and y, in halves of the side
    for pooled in (2, 2, 2, 1, 1, 1):
        a, b = (avg_pool2d(picture[:, None], pooled)[:, 0] for picture in (one, other))
        place = (place + _step(_warped(a, place), b)).clamp(-LARGEST_SHIFT, LARGEST_SHIFT)
    seen = _inside(one.shape[-1])
    a, b = (picture[:, seen] for picture in (_warped(one, place), other))
    return torch.cosine_similarity(a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True), dim=1)


def _step(a: Float[Tensor, "m s s"], b: Float[Tensor, "m s s"]) -> Float[Tensor, "m 3"]:
    """The change of scale and shift of `a` that brings it nearest to `b`."""
    side = a.shape[-1]
    across = _centres(side)
    down, right = (gradient * side / 2 for gradient in torch.gradient(a, dim=(1, 2)))
    about = right * across + down * across[:, None]
    columns = torch.stack([about, right, down, a, torch.ones_like(a)], -1)[:, _inside(side)]
    normal = columns.mT @ columns + 1e-3 * len(columns[0]) * torch.eye(5)
    found = torch.linalg.solve(normal, columns.mT @ b[:, _inside(side), None])[..., 0]
    return found[:, :3] / found[:, 3:4].clamp_min(0.2)


def _warped(picture: Float[Tensor, "m s s"], place: Float[Tensor, "m 3"]) -> Float[Tensor, "m s s"]:
    scale, x, y = place.unbind(1)
    zero = torch.zeros_like(x)
    affine = torch.stack([1 + scale, zero, x, zero, 1 + scale, y], 1).view(-1, 2, 3)
    grid = affine_grid(affine, [len(picture), 1, *picture.shape[1:]], align_corners=False)
    return grid_sample(picture[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


def _inside(side: int) -> Tensor:
    near = _centres(side).abs() < INSIDE
    return near[:, None] & near


def _centres(side: int) -> Float[Tensor, "s"]:
    return (torch.arange(side) + 0.5) * 2 / side - 1


def _nearest(codes: Float[Tensor, "n c"]) -> tuple[Int[Tensor, "n"], Float[Tensor, "n"]]:
    """For every photo the other one whose code correlates most, and how much."""
    found = list(_nearest_in_pieces(codes))
    if not found:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0)
    return torch.cat([index for _, index in found]), torch.cat([value for value, _ in found])


def _nearest_in_pieces(codes: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for first in range(0, len(codes), PIECE):
        alike = codes[first : first + PIECE] @ codes.T
        alike[torch.arange(len(alike)), torch.arange(first, first + len(alike))] = -1  # each is most like itself
        best = alike.max(1)
        yield best.values, best.indices


def _coarse(looks: Float[Tensor, "n s s"]) -> Float[Tensor, "n c"]:
    """Small pictures with mean 0 and length 1; nothing but zeros for a photo of one colour."""
    codes = avg_pool2d(looks[:, None], COARSE).flatten(1)
    codes = codes - codes.mean(1, keepdim=True)
    return codes / codes.norm(dim=1, keepdim=True).clamp_min(1e-3)


def _grey(rgb: np.ndarray) -> Float[Tensor, "n s s"]:
    """Photos as grey pictures of `SIDE` pixels with mean 0 and spread 1 (0 where they are of one colour)."""
    grey = torch.from_numpy(rgb.astype(np.float32)) @ torch.tensor([0.299, 0.587, 0.114])
    share = _shares(rgb.shape[1]), _shares(rgb.shape[2])
    small = share[0] @ grey @ share[1].T
    small = small - small.mean((1, 2), keepdim=True)
    return small / small.std((1, 2), keepdim=True).clamp_min(1)


def _shares(size: int) -> Float[Tensor, "s h"]:
    """What each of `size` pixels gives to each of `SIDE`, by the length they have in common."""
    edges = torch.arange(SIDE + 1) * size / SIDE
    pixel = torch.arange(size)
    common = torch.minimum(edges[1:, None], pixel + 1) - torch.maximum(edges[:-1, None], pixel)
    return common.clamp_min(0) * SIDE / size
