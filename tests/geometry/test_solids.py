"""Solids: every fault is found and counted, and sheets that meet are taken apart without being moved to be seen."""

import numpy as np
import pytest
import torch

from unflat.geometry.meshes import Mesh
from unflat.geometry.solids import Solidity, mended, solidity, volume, welded

BLOCK = [[0, 2, 1], [1, 2, 3], [4, 5, 6], [5, 7, 6], [0, 1, 4], [1, 5, 4],
         [2, 6, 3], [3, 6, 7], [0, 4, 2], [2, 4, 6], [1, 3, 5], [3, 7, 5]]  # fmt: skip
"""faces of a cube whose corner x + 2 y + 4 z is at (x, y, z), counter-clockwise seen from outside"""
CORNERS = [[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)]


def of(vertices: list, triangles: list) -> Mesh:
    return Mesh(torch.tensor(vertices, dtype=torch.float32), torch.tensor(triangles, dtype=torch.int32))


def cubes(*corners: tuple[int, int, int]) -> Mesh:
    """Unit cubes whose first corners are given, which share vertices where they touch."""
    vertices = torch.cat([torch.tensor(CORNERS) + torch.tensor(corner) for corner in corners]).float()
    triangles = torch.cat([torch.tensor(BLOCK) + 8 * k for k in range(len(corners))]).int()
    return welded(Mesh(vertices, triangles))


def ball(rings: int = 12) -> Mesh:
    """Closed: rings of a sphere, and two poles."""
    theta, phi = np.meshgrid(np.pi * np.arange(1, rings) / rings, 2 * np.pi * np.arange(rings) / rings, indexing="ij")
    around = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(rings - 2), np.arange(rings), indexing="ij")
    a, b = i * rings + j, i * rings + (j + 1) % rings
    bands = [[a, a + rings, b], [b, a + rings, b + rings]]
    top, bottom, k = len(around), len(around) + 1, np.arange(rings)
    first, last = (rings - 2) * rings + k, (rings - 2) * rings + (k + 1) % rings
    caps = [[np.full(rings, top), k, (k + 1) % rings], [np.full(rings, bottom), last, first]]
    triangles = np.concatenate([np.stack(part, -1).reshape(-1, 3) for part in (*bands, *caps)])
    return of([*around.tolist(), [0, 0, 1], [0, 0, -1]], triangles.tolist())


FIN = of([*CORNERS, [0, -1, -1]], [*BLOCK, [0, 1, 8]])
"""a cube with another triangle on one of its edges"""


def test_a_cube_is_a_solid() -> None:
    found = solidity(cubes((0, 0, 0)))
    assert found == Solidity(0, 0, 0, 0, 0, pytest.approx(1.0))
    assert found.solid and str(found) == "solid"
    assert solidity(ball()).solid


@pytest.mark.parametrize(
    ("spoilt", "faults", "said"),
    [
        (of(CORNERS, BLOCK[1:]), Solidity(3, 0, 0, 0, 0, 0.0), "3 open edges"),
        (of(CORNERS, [BLOCK[0][::-1], *BLOCK[1:]]), Solidity(0, 0, 3, 0, 0, 0.0), "3 turned edges"),
        (FIN, Solidity(2, 1, 0, 0, 0, 0.0), "2 open edges, 1 crowded edge"),
        (of(CORNERS, [*BLOCK, [0, 0, 1]]), Solidity(0, 0, 0, 0, 1, 0.0), "1 collapsed triangle"),
        (cubes((0, 0, 0), (1, 1, 1)), Solidity(0, 0, 0, 1, 0, 0.0), "1 pinched vertex"),
        (cubes((0, 0, 0), (1, 1, 0)), Solidity(0, 1, 0, 0, 0, 0.0), "1 crowded edge"),
    ],
    ids=["hole", "flipped", "fin", "collapsed", "bow-tie", "edge of two"],
)  # fmt: skip
def test_what_is_wrong_is_counted(spoilt: Mesh, faults: Solidity, said: str) -> None:
    found = solidity(spoilt)
    assert found[:-1] == faults[:-1] and not found.solid
    assert str(found) == f"not solid: {said}"


def test_inside_out_is_no_solid() -> None:
    cube = cubes((0, 0, 0))
    found = solidity(Mesh(cube.vertices, cube.triangles.flip(1)))
    assert not any(found[:-1]) and not found.solid and str(found) == "not solid: a volume of -1"
    assert solidity(Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))).volume == 0


def test_a_volume_does_not_depend_on_the_place() -> None:
    far = cubes((0, 0, 0))
    assert volume(Mesh(far.vertices + 1000, far.triangles)) == pytest.approx(1.0, rel=1e-3)
    assert volume(ball(40)) == pytest.approx(4 / 3 * np.pi, rel=0.02)


@pytest.mark.parametrize("corner", [(1, 1, 1), (1, 1, 0), (1, 0, 1)])
def test_cubes_that_touch_are_taken_apart(corner: tuple[int, int, int]) -> None:
    """At a vertex or an edge: two cubes again, whose corners there have moved into their own."""
    two = cubes((0, 0, 0), corner)
    apart = mended(two)
    assert solidity(apart).solid and solidity(apart).volume == pytest.approx(2.0, rel=5e-3)
    assert len(apart.vertices) == 16 and len(apart.triangles) == 24
    assert len(welded(apart).vertices) == 16, "programs that weld do not bring them together again"
    assert (apart.vertices.amin(0) == 0).all()
    inside = ((apart.vertices > 0.5) & (apart.vertices < 1)).any(1).sum()
    assert inside >= 1 and apart.normals is not None


def test_a_solid_is_left_as_it_is() -> None:
    cube = cubes((0, 0, 0))
    assert mended(cube) is cube
    assert welded(cube) is cube


def test_a_sheet_of_two_sides_is_dropped() -> None:
    flap = of([*CORNERS, [0, -1, -1]], [*BLOCK, [0, 1, 8], [1, 0, 8]])
    assert solidity(flap).crowded_edges == 1
    found = mended(flap)
    assert solidity(found).solid and len(found.triangles) == 12 and len(found.vertices) == 8


@pytest.mark.parametrize("seed", range(8))
def test_whatever_vertices_are_merged_a_solid_comes_out(seed: int) -> None:
    """Merging keeps as many triangles in one direction as in the other along every edge, which is all it takes."""
    drawn, whole = np.random.default_rng(seed), ball()
    kept = np.arange(len(whole.vertices))
    merged = drawn.choice(len(kept), 24, replace=False)
    kept[merged[:12]] = merged[12:]
    spoilt = Mesh(whole.vertices, torch.from_numpy(kept.astype(np.int32))[whole.triangles.long()])
    before, after = solidity(spoilt), solidity(mended(spoilt))
    assert before.pinched_vertices > 0
    assert not any(after[:-1]), str(after)


def test_edges_with_both_ends_shared_are_split() -> None:
    """Two vertices apart on a ring of blocks, each merged with its neighbour's across the hole, make edges that two
    sheets share and that no fan tells apart."""
    found = 0
    for seed in range(20):
        drawn, whole = np.random.default_rng(seed), ball(8)
        kept = np.arange(len(whole.vertices))
        merged = drawn.choice(len(kept), 30, replace=False)
        kept[merged[:15]] = merged[15:]
        spoilt = Mesh(whole.vertices, torch.from_numpy(kept.astype(np.int32))[whole.triangles.long()])
        mesh = mended(spoilt)
        assert not any(solidity(mesh)[:-1])
        found += len(mesh.triangles) > len(spoilt.triangles) - solidity(spoilt).collapsed_triangles
    assert found, "none of them had any"


def test_a_hole_stays() -> None:
    two = cubes((0, 0, 0), (1, 1, 1))
    found = solidity(mended(Mesh(two.vertices, two.triangles[1:])))
    assert found.open_edges == 3 and found.pinched_vertices == 0


def test_seams_are_welded() -> None:
    cube = cubes((0, 0, 0))
    corners = cube.triangles.long().flatten()
    loose = Mesh(cube.vertices[corners], torch.arange(36, dtype=torch.int32).view(-1, 3))
    assert solidity(loose).open_edges == 36
    assert solidity(welded(loose)).solid and len(welded(loose).vertices) == 8
