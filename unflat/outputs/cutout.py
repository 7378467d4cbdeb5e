"""What belongs to the object in the middle, and what to that which it stands on or leans against.

Where both touch they are one solid, and in part nobody sees where the one ends. So first the surface that the cameras
see is cut in two, at the least cost: where colours change, and so that each side has the colours which are usual there
(Boykov and Jolly 2001, "Interactive graph cuts"; the models of colours are learned while cutting, as in Rother et al.
2004, "GrabCut"). What lies beyond the box is not the object's, and the nearer to its middle a place is, the more likely
it is. Then what is solid behind that surface is shared out: what all pictures show the object before is likely the
object's, and in between the two are joined smoothly (Grady 2006, "Random walks for image segmentation").
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unflat.outputs.fusion import DepthMap, behind
from unflat.outputs.surfaces import library

PURPOSE = "cutting out what stands in the middle"
BEYOND = 2
"""cells beyond the box in which the surface is known not to be the object's"""
ROUNDS = 5
"""of cutting, and of learning what colours either side has"""
BINS = (16, 24, 24)
"""of lightness 0 to 100, and of a and b from -64 to 64 (CIELAB), in which colours are counted"""
DARKER = 0.5
"""weight of lightness beside a and b where colours are compared: it is also shade"""
CORE = 0.5
"""of `_Surface.middle`, from which on cells give the object's first colours: what is dark beside it must not"""
CONTRAST = 4.0
"""difference in colour (CIELAB) that parts neighbours"""
JOINED = 0.02
"""of neighbours, however different"""
SAID = 0.3
"""weight of what colour and place say of a cell of the surface, beside how it is joined to its neighbours"""
MOST_SAID = 3.0
"""logarithm of how much likelier colours are on the one side than on the other, at most"""
UNIT = 1000
"""integers to one of the weights: flows are counted"""
BEFORE, BEHIND = 1.5, 2.5
"""cells before and behind what a picture shows that belong to the same: thin things are so thick"""
SHOWN, BARELY = 0.85, 0.05
"""share of the pictures that show the object before what is hidden, from which on that is likely its own; and how
sharply"""
HIDDEN, OPEN, CERTAIN = 0.05, 5.0, 5.0
"""weights of what is said of hidden cells, of seen ones at most, and of the box's sides, beside a neighbour's"""


def share_of_object(
    maps: Sequence[DepthMap], solid: Bool[np.ndarray, "x y z"], places: Float[Tensor, "v 3"]
) -> Float[np.ndarray, "x y z"]:
    """How much of what is solid at the voxels of a box, at these places of the scene's frame, belongs to the object in
    its middle, from 0 to 1; 0 where nothing is.

    ValueError for depth maps without colours.
    """
    if any(one.rgb is None for one in maps):
        raise ValueError(f"{PURPOSE} needs pictures with colours; these depth maps have none")
    low, high = places[0].numpy(), places[-1].numpy()
    cell = float((high - low).max()) / (max(solid.shape) - 1)
    shown = _shown(maps, low, high, cell)
    near, hidden = np.zeros((2, len(places))), np.zeros((2, len(places)))  # pictures, and those that show the object
    for one, own in zip(maps, shown, strict=True):
        within, deeper, (row, column) = behind(one, places)
        depth, it = deeper.numpy(), own[row.numpy(), column.numpy()]
        seen, behind_it = (depth > -BEFORE * cell) & (depth < BEHIND * cell), depth >= BEHIND * cell
        for count, there in ((near, seen), (hidden, behind_it)):
            count += np.stack([there, there & it]) * within.numpy()
    share = hidden[1] / hidden[0].clip(1)
    said = np.where(near[0] > 0, 2 * near[1] > near[0], 1 / (1 + np.exp((SHOWN - share) / BARELY)))
    weight = np.where(near[0] > 0, near[0].clip(0, OPEN), HIDDEN)
    return _walked(solid, said.reshape(solid.shape), weight.reshape(solid.shape))


def _shown(
    maps: Sequence[DepthMap], low: Float[np.ndarray, "3"], high: Float[np.ndarray, "3"], cell: float
) -> list[Bool[np.ndarray, "h w"]]:
    """The pixels of each map that show the object."""
    colours = library("skimage.color", PURPOSE)
    places = np.concatenate([one.places.flatten(0, 1).numpy() for one in maps])
    lab = np.concatenate([colours.rgb2lab(one.rgb.clamp(0, 1).numpy()).reshape(-1, 3) for one in maps])  # type: ignore[union-attr]
    room = BEYOND * cell
    inside = np.isfinite(places).all(1) & (places > low - room).all(1) & (places < high + room).all(1)
    shown = np.zeros(len(places), bool)
    if inside.any():
        surface, cell_of = _Surface.of(places[inside], lab[inside], low, high, cell)
        shown[inside] = _cut(surface, lab[~inside])[cell_of]
    sizes = np.cumsum([one.depth.numel() for one in maps])[:-1]
    return [own.reshape(one.depth.shape) for own, one in zip(np.split(shown, sizes), maps, strict=True)]


class _Surface(NamedTuple):
    """The cells of space in which pixels lie."""

    lab: Float[np.ndarray, "n 3"]
    """mean colour of a cell's pixels"""
    pixels: Int[np.ndarray, "n"]
    middle: Float[np.ndarray, "n"]
    """1 in the middle of the box, 0 where the largest ball in it ends, negative beyond"""
    beyond: Bool[np.ndarray, "n"]
    """the box"""
    pairs: Int[np.ndarray, "e 2"]
    """neighbours"""
    joined: Float[np.ndarray, "e"]
    """how much they belong together: 1 at most"""

    @staticmethod
    def of(
        places: Float[np.ndarray, "p 3"], lab: Float[np.ndarray, "p 3"], low: np.ndarray, high: np.ndarray, cell: float
    ) -> "tuple[_Surface, Int[np.ndarray, 'p']]":
        """Of pixels near the box, and the cell that each of them lies in."""
        index = np.floor((places - low) / cell).astype(int) + BEYOND + 1
        shape = tuple(np.ceil((high - low) / cell).astype(int) + 2 * BEYOND + 3)
        names, cell_of, pixels = np.unique(np.ravel_multi_index(tuple(index.T), shape), False, True, True)
        mean, place = (
            np.stack([np.bincount(cell_of, column, len(names)) for column in of.T], 1) / pixels[:, None]
            for of in (lab, places)
        )
        number = np.full(shape, -1)
        number.reshape(-1)[names] = np.arange(len(names))
        at, found = np.stack(np.unravel_index(names, shape), 1), []
        for step in (np.array(step) - 1 for step in np.ndindex(3, 3, 3) if step > (1, 1, 1)):
            other = number[tuple((at + step).clip(0, np.array(shape) - 1).T)]
            found.append(np.stack([np.flatnonzero(other >= 0), other[other >= 0]], 1))
        pairs = np.concatenate(found)
        far = np.linalg.norm(at[pairs[:, 0]] - at[pairs[:, 1]], axis=1)
        apart = np.linalg.norm((mean[pairs[:, 0]] - mean[pairs[:, 1]]) * (DARKER, 1, 1), axis=1)
        joined = np.exp(-0.5 * (apart / CONTRAST) ** 2) / far + JOINED
        half = float((high - low).max()) / 2
        middle = 1 - (np.linalg.norm(place - (low + high) / 2, axis=1) / half) ** 2
        beyond = np.any((place < low) | (place > high), axis=1)
        return _Surface(mean, pixels, middle, beyond, pairs, joined), cell_of


def _cut(surface: _Surface, others: Float[np.ndarray, "m 3"]) -> Bool[np.ndarray, "n"]:
    """The cells of a surface that are the object's, where pixels of the colours `others` are not."""
    own = (surface.middle > CORE).astype(float)
    background = _counted(others, np.ones(len(others)))
    for _ in range(ROUNDS):
        inside = _counted(surface.lab, own * surface.pixels)
        outside = background + _counted(surface.lab, (1 - own) * surface.pixels)
        likelier = np.log(_looked_up(inside, surface.lab) / _looked_up(outside, surface.lab))
        said = SAID * (surface.middle + likelier.clip(-MOST_SAID, MOST_SAID))
        own = _least_cut(surface.pairs, surface.joined, np.where(surface.beyond, -np.inf, said)).astype(float)
    return own > 0


def _counted(lab: Float[np.ndarray, "n 3"], weight: Float[np.ndarray, "n"]) -> Float[np.ndarray, "l a b"]:
    """How often colours are found, nearly the same ones counted as well."""
    ndimage = library("scipy.ndimage", PURPOSE)
    counts, _ = np.histogramdd(_bins(lab), BINS, [(0, n) for n in BINS], weights=weight)
    return np.asarray(ndimage.gaussian_filter(counts, 1.0))


def _looked_up(counts: Float[np.ndarray, "l a b"], lab: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """The share of these colours in all that were counted."""
    ndimage = library("scipy.ndimage", PURPOSE)
    found = ndimage.map_coordinates(counts, _bins(lab).T - 0.5, order=1, mode="nearest")
    return np.asarray(found / max(counts.sum(), 1e-9) + 1e-7)


def _bins(lab: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    # vivid colours lie beyond the last bins, and count there
    return ((lab - (0, -64, -64)) / (100, 128, 128) * BINS).clip(0, np.array(BINS) - 1e-6)


def _least_cut(
    pairs: Int[np.ndarray, "e 2"], joined: Float[np.ndarray, "e"], said: Float[np.ndarray, "n"]
) -> Bool[np.ndarray, "n"]:
    """Which of n nodes stay with the object at the least cost: what is `joined` of the pairs that are parted, and what
    is `said` for the object (or, negative, against it) of the nodes that are on the other side."""
    sparse, graphs = library("scipy.sparse", PURPOSE), library("scipy.sparse.csgraph", PURPOSE)
    count = len(said)
    every, source, sink = np.arange(count), np.full(count, count), np.full(count, count + 1)
    ends = ((*pairs.T, joined), (*pairs.T[::-1], joined), (source, every, said), (every, sink, -said))
    rows, columns, weights = (np.concatenate(part) for part in zip(*ends, strict=True))
    capacity = (weights.clip(0, 1e6 / UNIT) * UNIT).astype(np.int32)
    graph = sparse.csr_matrix((capacity, (rows, columns)), (count + 2, count + 2))
    graph.eliminate_zeros()
    left: Any = graph - graphs.maximum_flow(graph, count, count + 1).flow
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(count + 2, bool)
    reached[graphs.breadth_first_order(left, count, return_predecessors=False)] = True
    return reached[:count]


def _walked(
    solid: Bool[np.ndarray, "x y z"], said: Float[np.ndarray, "x y z"], weight: Float[np.ndarray, "x y z"]
) -> Float[np.ndarray, "x y z"]:
    """For what is solid, how likely one who walks at random from there, and stops in a voxel the sooner the larger its
    `weight`, stops where the object is `said` to be. The box's sides are not it."""
    sparse, solvers = library("scipy.sparse", PURPOSE), library("scipy.sparse.linalg", PURPOSE)
    side = np.ones(solid.shape, bool)
    side[1:-1, 1:-1, 1:-1] = False
    weight, said = np.where(side, CERTAIN, weight)[solid], np.where(side, 0.0, said)[solid]
    number = np.full(solid.shape, -1)
    number[solid] = np.arange(len(said))
    found = []
    for axis in range(3):
        here, there = (np.delete(number, end, axis) for end in (-1, 0))
        both = (here >= 0) & (there >= 0)
        found.append(np.stack([here[both], there[both]]))
    a, b = np.concatenate(found, 1)
    ones = np.ones(2 * len(a))
    steps = sparse.csr_matrix((ones, (np.append(a, b), np.append(b, a))), (len(said),) * 2)
    system = sparse.diags(np.asarray(steps.sum(1)).ravel() + weight) - steps
    likely, _ = solvers.cg(system, weight * said, x0=said, rtol=1e-6, maxiter=1000)
    share = np.zeros(solid.shape)
    share[solid] = likely
    return share
