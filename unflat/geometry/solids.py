"""Solids: closed meshes that bound something, as printers, physics and boolean operations need them.

In a solid every edge has exactly two triangles, which run along it in opposite directions, and the triangles of every
vertex form one fan. Marching cubes and decimation keep as many triangles in one direction as in the other along every
edge, but let sheets of surface meet at an edge or a vertex, where more than two triangles, or more than one fan, come
together; `mended` takes such sheets apart. Half-edge 3 t + i runs from corner i of triangle t to the next one.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from unflat.geometry.depth import cross
from unflat.geometry.meshes import Mesh, only, vertex_normals

APART = 1e-3
"""what is taken apart is moved by this share of the way to its neighbours: programs weld vertices in one place"""
ROUNDS = 8
"""of taking edges apart, each of which splits a triangle once at most"""
NAMES = (
    ("open edge", "open edges"), ("crowded edge", "crowded edges"), ("turned edge", "turned edges"),
    ("pinched vertex", "pinched vertices"), ("collapsed triangle", "collapsed triangles"),
)  # fmt: skip
"""of what is counted, in its order: of one, of several"""


class Solidity(NamedTuple):
    """What keeps a mesh from being a solid: all counts are 0 and the volume is positive if nothing does."""

    open_edges: int
    """with one triangle"""
    crowded_edges: int
    """with more than two"""
    turned_edges: int
    """with two that run along it in the same direction, so that one of them is inside out"""
    pinched_vertices: int
    """whose triangles form more than one fan"""
    collapsed_triangles: int
    """that use a vertex twice"""
    volume: float
    """in the cube of the mesh's unit: negative if it is inside out, without a meaning if it is open"""

    @property
    def solid(self) -> bool:
        return not any(self[:-1]) and self.volume > 0

    def __str__(self) -> str:
        """A clause: `solid`, or `not solid: 3 open edges, 1 pinched vertex`."""
        counted = zip(self[:-1], NAMES, strict=True)
        faults = [f"{count:,} {one if count == 1 else many}" for count, (one, many) in counted if count]
        if self.volume <= 0:
            faults.append(f"a volume of {self.volume:.3g}")
        return "solid" if not faults else f"not solid: {', '.join(faults)}"


def solidity(mesh: Mesh) -> Solidity:
    """What keeps a mesh from being a solid. Vertices are told apart by their numbers, so this comes before a texture,
    whose seams split vertices."""
    triangles = mesh.triangles.cpu().numpy().astype(np.int64)
    whole = _uses_three(triangles)
    edges = _Edges.of(triangles[whole])
    low, high = edges.linked(np.arange(len(edges.order) - 1)[np.diff(edges.group) == 0])
    fan = _components(3 * int(whole.sum()), low, high)
    fans = np.bincount(triangles[whole].reshape(-1)[np.unique(fan)])
    two = edges.halves == 2
    return Solidity(
        open_edges=int((edges.halves == 1).sum()),
        crowded_edges=int((edges.halves > 2).sum()),
        turned_edges=int((two & (edges.upwards != 1)).sum()),
        pinched_vertices=int((fans > 1).sum()),
        collapsed_triangles=int((~whole).sum()),
        volume=volume(mesh),
    )


def volume(mesh: Mesh) -> float:
    """What a closed mesh bounds, in double precision, in the cube of its unit; negative if it is inside out."""
    if len(mesh.triangles) == 0:
        return 0.0
    corners = mesh.vertices[mesh.triangles.long()].double().cpu()
    a, b, c = (corners - corners.mean((0, 1))).unbind(1)
    return float((a * cross(b, c)).sum() / 6)


def welded(mesh: Mesh) -> Mesh:
    """The bare mesh with one vertex a place: what seams of a texture or of normals had split hangs together again."""
    places, index = np.unique(mesh.vertices.cpu().numpy(), axis=0, return_inverse=True)
    if len(places) == len(mesh.vertices):
        return mesh
    vertices = torch.from_numpy(places).to(mesh.vertices)
    new = torch.from_numpy(index.reshape(-1).astype(np.int32)).to(mesh.triangles)
    triangles = new[mesh.triangles.long()]
    return Mesh(vertices, triangles, normals=vertex_normals(vertices, triangles))


def mended(mesh: Mesh) -> Mesh:
    """The mesh with sheets taken apart where they meet at an edge or a vertex; one that has no such place as it is.

    Of the triangles around a crowded edge those are neighbours that have the inside between them. A vertex of several
    fans becomes several, and where two pairs of triangles still share both ends of an edge, one of them gets a vertex
    in the middle of its own. Copies are moved into their own fan by a thousandth of the way. Triangles that use a
    vertex twice, and pairs on the same three vertices that face opposite ways, are dropped first. A solid comes out
    if every edge has as many triangles in one direction as in the other; what is open, or turned, stays so
    (`solidity` tells). Where anything is mended, colours, uv and texture are dropped.
    """
    found = solidity(mesh)
    if not (found.crowded_edges or found.pinched_vertices or found.collapsed_triangles):
        return mesh
    triangles = _uncancelled(mesh.triangles.cpu().numpy().astype(np.int64))
    places = mesh.vertices.cpu().numpy().astype(np.float64)
    partner = _partners(triangles, places)
    triangles, places = _separate_fans(triangles, places, partner)
    triangles, places = _separate_edges(triangles, places, partner)
    vertices = torch.from_numpy(places).to(mesh.vertices)
    faces = torch.from_numpy(triangles.astype(np.int32)).to(mesh.triangles)
    bare = only(Mesh(vertices, faces), torch.ones(len(faces), dtype=torch.bool, device=faces.device))
    return replace(bare, normals=vertex_normals(bare.vertices, bare.triangles))


class _Edges(NamedTuple):
    """The half-edges of triangles, those of an edge next to each other."""

    triangles: Int[np.ndarray, "t 3"]
    order: Int[np.ndarray, "h"]
    """half-edges, edge by edge"""
    group: Int[np.ndarray, "h"]
    """the edge that each of `order` belongs to"""
    halves: Int[np.ndarray, "e"]
    """how many half-edges each edge has"""
    upwards: Int[np.ndarray, "e"]
    """how many of them run from the vertex of the lower number to the other"""

    @staticmethod
    def of(triangles: Int[np.ndarray, "t 3"]) -> "_Edges":
        start, end = triangles.reshape(-1), np.roll(triangles, -1, 1).reshape(-1)
        key = np.minimum(start, end) * (triangles.max(initial=0) + 1) + np.maximum(start, end)
        order = np.argsort(key, kind="stable")
        begins = np.concatenate([[True], np.diff(key[order]) != 0])[: len(order)]
        group = begins.cumsum() - 1
        count = np.bincount(group, minlength=0)
        upwards = np.bincount(group, (start < end)[order], len(count)).astype(np.int64)
        return _Edges(triangles, order, group, count, upwards)

    def linked(self, at: Int[np.ndarray, "n"]) -> tuple[Int[np.ndarray, "m"], Int[np.ndarray, "m"]]:
        """Corners that are in one fan since the half-edges `order[at]` and `order[at + 1]` are neighbours."""
        return _linked(self.triangles, self.order[at], self.order[at + 1])


def _linked(
    triangles: Int[np.ndarray, "t 3"], one: Int[np.ndarray, "n"], other: Int[np.ndarray, "n"]
) -> tuple[Int[np.ndarray, "m"], Int[np.ndarray, "m"]]:
    """Corners that lie in one place, of half-edges that are neighbours: 3 t + i for corner i of triangle t."""
    vertex = triangles.reshape(-1)
    ends = [(h, h - h % 3 + (h + 1) % 3) for h in (one, other)]
    low, high = zip(*((np.where(vertex[a] < vertex[b], a, b), np.where(vertex[a] < vertex[b], b, a)) for a, b in ends),
                    strict=True)  # fmt: skip
    return np.concatenate([low[0], high[0]]), np.concatenate([low[1], high[1]])


def _components(count: int, a: Int[np.ndarray, "n"], b: Int[np.ndarray, "n"]) -> Int[np.ndarray, "count"]:
    """The least number among those that each of `count` numbers hangs together with over the links a - b."""
    label = np.arange(count)
    while True:
        new, least = label.copy(), np.minimum(label[a], label[b])
        for ends in (a, b, label[a], label[b]):
            np.minimum.at(new, ends, least)
        new = new[new]
        if np.array_equal(new, label):
            return label
        label = new


def _uses_three(triangles: Int[np.ndarray, "t 3"]) -> Bool[np.ndarray, "t"]:
    return (triangles != np.roll(triangles, -1, 1)).all(1)


def _uncancelled(triangles: Int[np.ndarray, "t 3"]) -> Int[np.ndarray, "u 3"]:
    """Without those that use a vertex twice, and without pairs on the same vertices that face opposite ways."""
    triangles = triangles[_uses_three(triangles)]
    a, b, c = triangles.T
    positive = ((a < b).astype(int) + (b < c) + (c < a)) == 2  # an even order of the three
    _, group = np.unique(np.sort(triangles, 1), axis=0, return_inverse=True)
    group = group.reshape(-1)
    both = np.minimum(np.bincount(group, positive), np.bincount(group, ~positive)).astype(int)
    kept = np.ones(len(triangles), bool)
    for sheet in np.flatnonzero(both):
        for side in (positive, ~positive):
            kept[np.flatnonzero((group == sheet) & side)[: both[sheet]]] = False
    return triangles[kept]


def _partners(triangles: Int[np.ndarray, "t 3"], places: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, "h"]:
    """For every half-edge the one that its triangle is joined to there; -1 where there is none."""
    edges = _Edges.of(triangles)
    partner = np.full(3 * len(triangles), -1)
    first = np.concatenate([[0], edges.halves.cumsum()])[:-1]
    one, other = edges.order[first[edges.halves == 2]], edges.order[first[edges.halves == 2] + 1]
    partner[one], partner[other] = other, one
    for edge in np.flatnonzero(edges.halves > 2):
        for back, ahead in _around(triangles, places, edges.order[first[edge] : first[edge] + edges.halves[edge]]):
            partner[back], partner[ahead] = ahead, back
    return partner


def _around(
    triangles: Int[np.ndarray, "t 3"], places: Float[np.ndarray, "v 3"], halves: Int[np.ndarray, "n"]
) -> list[tuple[int, int]]:
    """The half-edges of one edge in pairs that have the inside between them.

    Turning about the edge, the inside begins at a triangle that runs down along it and ends at one that runs up.
    """
    t, i = np.divmod(halves, 3)
    start, end, tip = (triangles[t, (i + k) % 3] for k in range(3))
    up = start < end
    low, high = min(start[0], end[0]), max(start[0], end[0])
    axis = places[high] - places[low]
    axis = axis / max(float(np.linalg.norm(axis)), 1e-30)
    x = np.eye(3)[np.abs(axis).argmin()]
    x = np.cross(axis, x) / np.linalg.norm(np.cross(axis, x))
    away = places[tip] - places[low]
    left = np.argsort(np.arctan2(away @ np.cross(axis, x), away @ x), kind="stable").tolist()
    pairs: list[tuple[int, int]] = []
    while True:
        begin = next((k for k in range(len(left)) if not up[left[k - 1]] and up[left[k]]), None)
        if begin is None:
            return pairs
        pairs.append((int(halves[left[begin - 1]]), int(halves[left[begin]])))
        left = [one for k, one in enumerate(left) if k not in (begin, (begin - 1) % len(left))]


def _separate_fans(
    triangles: Int[np.ndarray, "t 3"], places: Float[np.ndarray, "v 3"], partner: Int[np.ndarray, "h"]
) -> tuple[Int[np.ndarray, "t 3"], Float[np.ndarray, "w 3"]]:
    """One vertex for each fan. Those of a vertex that had several are moved into their own."""
    joined = np.flatnonzero(partner > np.arange(len(partner)))
    root, fan = np.unique(_components(len(partner), *_linked(triangles, joined, partner[joined])), return_inverse=True)
    vertex = triangles.reshape(-1)[root]
    new, fan = places[vertex], fan.reshape(-1, 3)
    several = np.bincount(vertex, minlength=len(places))[vertex] > 1
    total, count = np.zeros_like(new), np.zeros(len(new))
    for side in (1, 2):
        np.add.at(total, fan.reshape(-1), np.roll(places[triangles], -side, 1).reshape(-1, 3))
        np.add.at(count, fan.reshape(-1), 1)
    new[several] += APART * (total / count[:, None] - new)[several]
    return fan, new


def _separate_edges(
    triangles: Int[np.ndarray, "t 3"], places: Float[np.ndarray, "v 3"], partner: Int[np.ndarray, "h"]
) -> tuple[Int[np.ndarray, "u 3"], Float[np.ndarray, "w 3"]]:
    """Where several pairs of triangles share both ends of an edge, all but one get a vertex in its middle."""
    rows, spots, mates = triangles.tolist(), list(places), partner.tolist()
    for _ in range(ROUNDS):
        edges = _Edges.of(np.array(rows, np.int64).reshape(-1, 3))
        crowded = edges.halves[edges.group] > 2
        if not crowded.any():
            break
        spared: dict[int, int] = {}
        used: set[int] = set()
        for half, edge in zip(edges.order[crowded].tolist(), edges.group[crowded].tolist(), strict=True):
            mate, between = mates[half], {half // 3, mates[half] // 3}
            if mate < 0 or spared.setdefault(edge, min(half, mate)) == min(half, mate) or used & between:
                continue
            used |= between
            _split(rows, spots, mates, half)
    return np.array(rows, np.int64).reshape(-1, 3), np.array(spots).reshape(-1, 3)


def _split(rows: list[list[int]], spots: list[np.ndarray], mates: list[int], half: int) -> None:
    """A vertex in the middle of an edge, moved towards what is opposite, and four triangles for the two beside it."""
    middle, mate = len(spots), mates[half]
    halves = []
    for one in (half, mate):
        t, i = divmod(one, 3)
        after, n = 3 * t + (i + 1) % 3, len(rows)
        end, tip = rows[t][(i + 1) % 3], rows[t][(i + 2) % 3]
        rows[t][(i + 1) % 3] = middle
        rows.append([middle, end, tip])
        mates += [-1, mates[after], after]
        if mates[after] >= 0:
            mates[mates[after]] = 3 * n + 1
        mates[after] = 3 * n + 2
        halves.append((one, 3 * n, tip, end))
    (one, ahead, tip, end), (other, back, opposite, start) = halves
    mates[one], mates[back], mates[other], mates[ahead] = back, one, ahead, other
    centre = (spots[start] + spots[end]) / 2
    spots.append(centre + APART * ((spots[tip] + spots[opposite]) / 2 - centre))
