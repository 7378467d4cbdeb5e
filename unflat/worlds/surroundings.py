"""What stands around an object and the cameras that look at it: a painted dome, and painted solids before it.

Solids lie between the sphere that cameras stand on and the dome. A camera that looks at the middle, and no wider than
45 degrees off it, leaves its sphere behind the object only, so that they are always behind it, with true parallax.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from unflat.geometry.meshes import Mesh
from unflat.worlds.object_paint import Pattern, painted
from unflat.worlds.object_shapes import room, rounded_box, torus

BEHIND, ROOM_CELLS = 2.8, (1.6, 1.6, 0.8, 0.8, 0.4, 0.4, 0.2, 0.1)
"""how far the dome is behind the cameras, in the scene's frame, and the sizes of the blotches on it"""
SOLIDS, SOLID_CELLS = 36, (0.5, 0.5, 0.25, 0.25, 0.12)
"""how many there are, which makes about five in a picture, and the sizes of the blotches on them"""
RADII, CLEAR = (0.3, 0.8), 0.1
"""of the spheres that solids fill, from the smallest to the largest, and what these keep from cameras and dome"""
ROUND, RING = 0.1, 0.3
"""radius of a box's edges and of a torus' ring, over that of its sphere"""
STEPS = 16
"""of a quarter of a turn on a solid"""


def dome(distance: float, floor: float, side: int, seed: int) -> Mesh:
    """A dome about cameras at this distance from the middle, flat at z = `floor` < 0, painted with `side` texels; in
    the scene's frame."""
    paint = Pattern(np.random.default_rng([seed, 2]), ROOM_CELLS)
    return painted(room(distance + BEHIND, floor), side, paint)


def clutter(distance: float, side: int, seed: int) -> Mesh:
    """Spheres, boxes and tori at random places outside of cameras at this distance from the middle and within their
    dome, each with a paint of its own, in one mesh with about `side` texels; in the scene's frame, float64."""
    rng = np.random.default_rng([seed, 3])
    tiles = math.ceil(math.sqrt(SOLIDS))
    solids = []
    for number in range(SOLIDS):
        radius = rng.uniform(*RADII)
        away = rng.uniform(distance + radius + CLEAR, distance + BEHIND - radius - CLEAR)
        direction = rng.normal(size=3)
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        turn *= np.linalg.det(turn)  # a turn, and no mirror, or inside would be out
        placed = _placed(_solid(number, rng), radius * turn, away * direction / np.linalg.norm(direction))
        solids.append(painted(placed, side // tiles, Pattern(rng, SOLID_CELLS)))
    return _in_tiles(solids, tiles)


def _solid(number: int, rng: np.random.Generator) -> Mesh:
    """One that just fits into the sphere of radius 1 about the origin."""
    if number % 3 == 0:
        return rounded_box((1.0, 1.0, 1.0), 1.0, np.zeros(3), STEPS)
    if number % 3 == 1:
        half = rng.uniform(0.4, 1.0, 3)
        x, y, z = (half / np.linalg.norm(half)).tolist()
        return rounded_box((x, y, z), ROUND, np.zeros(3), STEPS)
    ring = torus(1 - RING, RING, 4 * STEPS, 2 * STEPS)
    return replace(ring, vertices=ring.vertices - ring.vertices.new_tensor([0.0, 0.0, RING]))


def _placed(mesh: Mesh, turn: Float[np.ndarray, "3 3"], middle: Float[np.ndarray, "3"]) -> Mesh:
    """Turned and scaled, and moved to a place."""
    assert mesh.normals is not None
    normals = mesh.normals @ torch.from_numpy(turn / np.linalg.norm(turn[0])).T
    return replace(mesh, vertices=mesh.vertices @ torch.from_numpy(turn).T + torch.from_numpy(middle), normals=normals)


def _in_tiles(meshes: list[Mesh], tiles: int) -> Mesh:
    """Meshes with square textures of one size as one, whose texture has theirs in rows of `tiles`."""
    side = len(meshes[0].texture) if meshes[0].texture is not None else 0
    texture = torch.zeros(tiles * side, tiles * side, 3)
    triangles, uv, first = [], [], 0
    for number, mesh in enumerate(meshes):
        assert mesh.uv is not None and mesh.texture is not None
        row, column = divmod(number, tiles)
        texture[row * side : (row + 1) * side, column * side : (column + 1) * side] = mesh.texture
        uv.append((mesh.uv + mesh.uv.new_tensor([column, row])) / tiles)
        triangles.append(mesh.triangles + first)
        first += len(mesh.vertices)
    return Mesh(
        torch.cat([mesh.vertices for mesh in meshes]),
        torch.cat(triangles),
        normals=torch.cat([mesh.normals for mesh in meshes if mesh.normals is not None]),
        uv=torch.cat(uv),
        texture=texture,
    )
