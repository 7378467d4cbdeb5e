"""From a field to a mesh: where a function of points crosses a level, as clean triangles in the function's own frame.

The function is asked at the corners of a grid of cells over a box: first at every fourth one, then at all those of the
blocks that the surface runs through, which are found by following it from block to block. So a fine grid costs what its
surface costs, not its volume, and thin parts are found wherever they hang on something that is not thin. On every edge
that joins a corner inside to one outside the crossing is then looked for with the function itself, so that its place
does not depend on how steep the function is. scikit-image, scipy and fast-simplification are the extra `mesh`.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unflat.geometry.depth import cross
from unflat.geometry.meshes import Mesh, only, triangle_areas, vertex_normals
from unflat.geometry.solids import mended

Box = Sequence[float]
"""least x, y, z, then largest, as `Scene.box`"""

STRIDE = 4
"""cells along the side of a block"""
BATCH = 4096
"""blocks looked at together"""
HALVINGS = 4
"""of an edge, before the crossing is taken on a straight line: its place is off by less than 1/16 of a cell"""
SKIN = 1e-3
"""cells that a vertex keeps from every corner, so that no two of them meet and no triangle is without area"""
MOST = 1e30
"""what lies further from the level is taken to lie this far: nothing is infinite"""
SPREAD = 100.0
"""side of the box that a mesh is brought to while it is decimated: fast-simplification's tolerances are lengths"""


def surface_of(
    value: Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n"]],
    box: Box,
    cells: int | tuple[int, int, int],
    level: float,
    inside: Literal["above", "below"] = "above",
    piece: int = 2**20,
) -> Mesh:
    """Where `value` crosses `level` in the box: closed, with normals, triangles counter-clockwise seen from outside.

    `cells` is their number along the box's longest side, the others getting as many as make cells nearly cubes, or the
    three numbers. What is inside and reaches the box's sides is closed there, within a thousandth of a cell. Every
    vertex lies on an edge of a cell, where the value crosses the level. `value` gets points in the field's frame, on
    the CPU, at most `piece` at once; its answer may be on any device. Parts smaller than four cells that hang on
    nothing larger may be missed. Memory: about 10 bytes a cell of the whole box, beside what `value` takes.
    ValueError if the level is crossed nowhere, or the field is NaN somewhere.
    """
    measure = library("skimage.measure", "a mesh of a field")
    grid = _Grid.over(box, cells)
    height = _height(value, float(level), inside, grid, piece)
    for stride in (STRIDE, 1):
        coarse = _coarse(height, grid.cells, stride)
        if bool((coarse > 0).any()) and not bool((coarse > 0).all()):
            break
    else:
        raise ValueError(_nothing(coarse, level, inside))
    heights = _heights(height, coarse, grid.cells, stride)
    # Lorensen's cases ask for signs only, and put every vertex on an edge: here in its middle, which names the edge
    signs = np.where(heights > 0, np.float32(1), np.float32(-1))
    middles, triangles, _, _ = measure.marching_cubes(signs, 0.0, gradient_direction="ascent", method="lorensen")
    places = _crossings(middles.astype(np.float64) - 1, heights, height)
    vertices = torch.from_numpy(grid.low + places * grid.cell).float()
    faces = torch.from_numpy(triangles.astype(np.int32))
    return Mesh(vertices, faces, normals=vertex_normals(vertices, faces))


def level_of(step: float, absorbed: float = 0.5) -> float:
    """The density of a surface: where light loses the share `absorbed` of itself on a way of length `step`.

    For half of it that is ln 2 / step. A density has no surface of its own: it is so much absorption a length, and what
    is solid over a long way is mist over a short one. In a mesh, the side of its cells decides. Of a ray through a cell
    of density s, exp(-s step) comes out; where that is less than half, more of what is seen there is the cell than what
    is behind it, and the cell belongs to the object. So `step` is the side of a cell of the mesh or, if those are
    larger, of the field: a finer mesh does not make the field denser. The rule does not depend on the unit (densities
    are 1/length). At hard surfaces, where the density rises steeply, the level matters little; elsewhere a lower share
    keeps thin and misty parts, and a higher one drops them.
    """
    if not (step > 0 and math.isfinite(step)):
        raise ValueError(f"step is {step}; give the side of a cell, a length above 0 in the field's unit")
    if not 0 < absorbed < 1:
        raise ValueError(f"absorbed is {absorbed}; give the share of light that a cell takes away, between 0 and 1")
    return -math.log1p(-absorbed) / step


def without_floaters(mesh: Mesh, least: float = 0.01) -> Mesh:
    """Without the parts whose area is under `least` of the largest one's; 1 keeps the largest only.

    A part is what hangs together over shared vertices, so this comes before a texture, whose seams split vertices.
    """
    if not 0 <= least <= 1:
        raise ValueError(f"least is {least}; give a share of the largest part's area, from 0 to 1")
    if len(mesh.triangles) == 0:
        return mesh
    part, count = _parts(mesh)
    areas = torch.zeros(count, dtype=torch.double).index_add(0, part, triangle_areas(mesh).cpu())
    kept = areas >= least * areas.max()
    return only(mesh, kept[part].to(mesh.triangles.device))


def without_cavities(mesh: Mesh, views: Float[Tensor, "k 3"]) -> Mesh:
    """Of a closed mesh, without the walls of holes inside, which nobody can see: parts that face inwards, and what lies
    within them. A hole in whose box a view stands, such as a room, stays.

    Fields learned from pictures are hollow where nothing was seen. `views` are positions in the mesh's frame.
    """
    if len(mesh.triangles) == 0:
        return mesh
    part, count = _parts(mesh)
    corners = mesh.vertices[mesh.triangles.long()].double().cpu()
    a, b, c = (corners - mesh.vertices.double().mean(0).cpu()).unbind(1)
    volumes = torch.zeros(count, dtype=torch.double).index_add(0, part, (a * cross(b, c)).sum(-1) / 6)
    index = part[:, None].expand(-1, 3)
    low = torch.full((count, 3), torch.inf, dtype=torch.double).scatter_reduce(0, index, corners.amin(1), "amin")
    high = torch.full((count, 3), -torch.inf, dtype=torch.double).scatter_reduce(0, index, corners.amax(1), "amax")
    eyes = views.double().cpu()
    seen = ((eyes[:, None] > low) & (eyes[:, None] < high)).all(-1).any(0)
    hidden = (volumes < 0) & ~seen
    for hole in hidden.nonzero()[:, 0].tolist():  # noise in the hole goes with it
        hidden |= ((low >= low[hole]) & (high <= high[hole])).all(-1)
    return only(mesh, ~hidden[part].to(mesh.triangles.device))


def _parts(mesh: Mesh) -> tuple[Int[Tensor, "t"], int]:
    """The part that each triangle belongs to (what hangs together over shared vertices), and how many there are."""
    sparse = library("scipy.sparse", "finding the parts of a mesh")
    graphs = library("scipy.sparse.csgraph", "finding the parts of a mesh")
    triangles = mesh.triangles.cpu().numpy()
    a, b = triangles[:, [0, 1]].T.reshape(-1), triangles[:, [1, 2]].T.reshape(-1)
    joined = sparse.coo_matrix((np.ones(len(a), bool), (a, b)), shape=(len(mesh.vertices),) * 2)
    count, part_of_vertex = graphs.connected_components(joined, directed=False)
    return torch.from_numpy(part_of_vertex[triangles[:, 0]]).long(), int(count)


def decimated(mesh: Mesh, triangles: int) -> Mesh:
    """About so many triangles, where they matter most (quadric errors), with normals of their own.

    A solid stays one: where edges collapse so that sheets of the surface meet, they are taken apart (`mended`).
    Colours, uv and texture are dropped, since they belong to vertices that are gone: colour or texture the result. A
    mesh with no more triangles than that is returned as it is.
    """
    if triangles < 1:
        raise ValueError(f"cannot decimate to {triangles} triangles: give their number, at least 1")
    if len(mesh.triangles) <= triangles:
        return mesh
    simplification = library("fast_simplification", "decimating a mesh")
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    scale = SPREAD / (high - low).max().clamp_min(1e-30)
    points = ((mesh.vertices - low) * scale).cpu().numpy().astype(np.float32)
    faces = mesh.triangles.cpu().numpy().astype(np.int32)
    points, faces = simplification.simplify(points, faces, target_count=triangles)
    vertices = torch.from_numpy(np.asarray(points, np.float32)).to(low) / scale + low
    kept = torch.from_numpy(np.asarray(faces, np.int32)).to(mesh.triangles)
    return mended(replace(Mesh(vertices, kept), normals=vertex_normals(vertices, kept)))


def library(name: str, purpose: str) -> Any:
    """A module of the extra `mesh`. ValueError, saying what to install, if it is not there."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = {"skimage": "scikit-image", "fast_simplification": "fast-simplification"}
        missing = name.split(".")[0]
        raise ValueError(
            f"{purpose} needs {package.get(missing, missing)}, which is not installed: pip install 'unflat[mesh]'"
        ) from error


class _Grid(NamedTuple):
    """Cells over a box; places below are counted in cells from its first corner."""

    low: Float[np.ndarray, "3"]
    cell: Float[np.ndarray, "3"]
    cells: tuple[int, ...]

    @staticmethod
    def over(box: Box, cells: int | tuple[int, int, int]) -> "_Grid":
        edges = np.array(box, np.float64)
        if edges.shape != (6,) or not np.isfinite(edges).all() or not (edges[3:] > edges[:3]).all():
            raise ValueError(f"the box {tuple(box)} is none: give least x, y, z, then largest x, y, z")
        low, sides = edges[:3], edges[3:] - edges[:3]
        wanted = np.ceil(sides / sides.max() * cells - 1e-6) if isinstance(cells, int) else np.array(cells)
        if np.max(wanted) < 1 or (not isinstance(cells, int) and np.min(wanted) < 1):
            raise ValueError(f"cells is {cells}; give how many the box's longest side gets, or all three, at least 1")
        counts = tuple(max(int(n), 1) for n in wanted)
        return _Grid(low, sides / counts, counts)

    def points(self, places: np.ndarray) -> Float[Tensor, "n 3"]:
        """In the field's frame."""
        return torch.from_numpy(self.low + places * self.cell).float()


Height = Callable[[np.ndarray], np.ndarray]
"""how far the value at places [n 3] lies to the inner side of the level: float32 [n]; above 0 is inside"""


def _height(value: Callable[[Tensor], Tensor], level: float, inside: str, grid: _Grid, piece: int) -> Height:
    if inside not in ("above", "below"):
        raise ValueError(
            f"inside is {inside!r}; say whether the field is 'above' or 'below' the level inside the object"
        )
    sign = 1.0 if inside == "above" else -1.0

    def height(places: np.ndarray) -> np.ndarray:
        parts = [np.zeros(0, np.float32)]
        for first in range(0, len(places), piece):
            points = grid.points(places[first : first + piece])
            with torch.no_grad():
                values = value(points)
            if values.shape != points.shape[:1]:
                raise ValueError(
                    f"the field gave values of shape {tuple(values.shape)} for {len(points)} points; "
                    f"one number a point is needed: shape ({len(points)},)"
                )
            wrong = values.isnan()
            if wrong.any():
                where = ", ".join(f"{x:.4g}" for x in points[wrong.cpu()][0].tolist())
                raise ValueError(f"the field is NaN at {int(wrong.sum())} of {len(points)} points, such as ({where})")
            parts.append((sign * (values.float() - level)).cpu().numpy().clip(-MOST, MOST))
        return np.concatenate(parts)

    return height


def _coarse(height: Height, cells: tuple[int, ...], stride: int) -> Float[np.ndarray, "i j k"]:
    """Heights at the corners of blocks of `stride` cells, the last of which end with the grid. A slab at a time."""
    x, y, z = (np.minimum(np.arange(0, n + stride, stride), n) for n in cells)
    slab = np.stack(np.meshgrid([0], y, z, indexing="ij"), -1).reshape(-1, 3)
    heights = np.empty((len(x), len(y), len(z)), np.float32)
    for row, place in enumerate(x):
        heights[row] = height(slab + np.array([place, 0, 0])).reshape(len(y), len(z))
    return heights


def _heights(
    height: Height, coarse: Float[np.ndarray, "i j k"], cells: tuple[int, ...], stride: int
) -> Float[np.ndarray, "l m n"]:
    """At all corners of cells, with one layer around them that is outside: [nx + 3, ny + 3, nz + 3].

    True in the blocks that the surface runs through, and on the right side of the level elsewhere.
    """
    heights = np.full([n + 3 for n in cells], -1, np.float32)
    heights[1:-1, 1:-1, 1:-1] = coarse[np.ix_(*(np.arange(n + 1) // stride for n in cells))]
    if stride > 1:
        _follow(height, heights, _crossed(coarse > 0), stride)
    return heights


def _crossed(above: Bool[np.ndarray, "i j k"]) -> Bool[np.ndarray, "a b c"]:
    """Blocks whose eight corners are not all on one side."""
    some, every = above, above
    for axis in range(3):
        before, after = (slice(None),) * axis + (slice(-1),), (slice(None),) * axis + (slice(1, None),)
        some, every = some[before] | some[after], every[before] & every[after]
    return some & ~every


def _follow(height: Height, heights: np.ndarray, reached: Bool[np.ndarray, "a b c"], stride: int) -> None:
    """Ask at all corners of the blocks reached, and go on to their neighbours where the faces between are crossed."""
    known = np.zeros(heights.size, bool)
    flat = heights.reshape(-1)
    last = np.array(heights.shape) - 3
    offsets = np.indices((stride + 1,) * 3).reshape(3, -1).T
    waiting = np.argwhere(reached)
    while len(waiting):
        blocks, waiting = waiting[:BATCH], waiting[BATCH:]
        corners = np.minimum(blocks[:, None] * stride + offsets, last) + 1
        index = np.ravel_multi_index(tuple(np.moveaxis(corners, -1, 0)), heights.shape)
        new = np.unique(index[~known[index]])
        flat[new] = height(np.stack(np.unravel_index(new, heights.shape), 1) - 1)
        known[new] = True
        above = (flat[index] > 0).reshape(len(blocks), *(stride + 1,) * 3)
        waiting = np.concatenate([waiting, *_onwards(blocks, above, reached)])


def _onwards(blocks: np.ndarray, above: np.ndarray, reached: np.ndarray) -> list[np.ndarray]:
    """Neighbours, not reached yet (now they are), of blocks over faces with corners on both sides of the level."""
    found = []
    for axis in range(3):
        for side, step in ((0, -1), (-1, 1)):
            face = above.take(side, axis + 1).reshape(len(blocks), -1)
            beyond = blocks[face.any(1) & ~face.all(1)]
            beyond[:, axis] += step
            beyond = beyond[(beyond[:, axis] >= 0) & (beyond[:, axis] < reached.shape[axis])]
            beyond = beyond[~reached[tuple(beyond.T)]]
            reached[tuple(beyond.T)] = True
            found.append(beyond)
    return found


def _crossings(middles: Float[np.ndarray, "v 3"], heights: np.ndarray, height: Height) -> Float[np.ndarray, "v 3"]:
    """Where the level is crossed on the edges with these middles.

    The edge is halved towards the crossing; what is left of it is taken as straight. An edge that leaves the grid is
    crossed at the corner that belongs to the grid.
    """
    start = np.floor(middles).astype(np.int64)
    edge = np.ceil(middles).astype(np.int64) - start
    end = start + edge
    low, high = np.zeros(len(start)), np.ones(len(start))
    at_low, at_high = (heights[tuple((corner + 1).T)].astype(np.float64) for corner in (start, end))
    before, after = (start < 0).any(1), (end > np.array(heights.shape) - 3).any(1)
    within = ~(before | after)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        at_middle = np.zeros(len(start))
        at_middle[within] = height((start + edge * middle[:, None])[within])
        first = (at_middle > 0) == (at_low > 0)
        low, at_low = np.where(first, middle, low), np.where(first, at_middle, at_low)
        high, at_high = np.where(first, high, middle), np.where(first, at_high, at_middle)
    share = np.where(after, 0.0, np.where(before, 1.0, low + (high - low) * at_low / (at_low - at_high)))
    return start + edge * share.clip(SKIN, 1 - SKIN)[:, None]


def _nothing(heights: np.ndarray, level: float, inside: str) -> str:
    """Why there is no surface, and what to do."""
    sign = 1 if inside == "above" else -1
    low, high = sorted(level + sign * float(height) for height in (heights.min(), heights.max()))
    what = "all of the box lies inside" if heights.max() > 0 else "nothing in the box lies inside"
    return (
        f"there is no surface: {what}, since the field goes from {low:.4g} to {high:.4g} there, and inside is what is "
        f"{inside} {level:.4g}; give a level between them or another box, or train longer"
    )
