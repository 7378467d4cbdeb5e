"""Shapes that a formula gives, as fine triangle meshes: every vertex lies on the shape and has its normal.

Lengths are metres; z points up, and a shape stands on z = 0 about the z axis. Where an arc of radius r is cut into
steps of an angle d, the mesh lies off the shape by at most r d^2 / 3.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float

from unflat.geometry.meshes import Mesh, grid_triangles, vertex_normals

SPHERE = 0.05
"""radius"""
BOX, ROUNDING = (0.06, 0.045, 0.03), 0.012
"""half of the box's width, depth and height, and the radius of its edges"""
TORUS = (0.06, 0.025)
"""radius of the circle in the middle of the ring, and of the ring"""
VASE = ((0.0, 0.0), (0.075, 0.0), (0.115, 0.035), (0.07, 0.11), (0.0, 0.14), (0.035, 0.17), (0.055, 0.2))
"""control points (distance from the axis, height) of the Bezier curve in the middle of the vase's wall"""
WALL = 0.005
"""half of the wall's thickness"""

QUARTER = 64
"""steps of a quarter of a turn on the sphere"""
AROUND, ALONG = 192, 96
"""steps around the axis, and along the ring's circle or one side of the vase's wall"""
FLAT = 12
"""steps across a flat side of the box"""
BORDER = 0.015
"""of a texture's tile, as a share of it, that stays empty: tiles do not touch"""

Patch = tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w 2"]]
"""places, unit normals and uv on a grid"""
Knots = tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]
"""places along an axis, and how far along the surface they lie"""


def shape_mesh(name: str) -> Mesh:
    """The shape of this name in `SHAPES`, in float64, with normals and uv. ValueError if there is none."""
    if name not in SHAPES:
        raise ValueError(f"there is no shape {name!r}; take one of {', '.join(SHAPES)}")
    return SHAPES[name]()


def rounded_box(
    half: tuple[float, float, float], radius: float, middle: Float[np.ndarray, "3"], quarter: int = QUARTER
) -> Mesh:
    """A box with edges of this radius, which counts in its half-sizes: a sphere, if it makes up all of them.

    It is all points at `radius` from a smaller box, so normals point away from that one. Six grids, one a side, with
    `quarter` steps (even) to a quarter of a turn.
    """
    sides = [(axis, sign) for axis in range(3) for sign in (1.0, -1.0)]
    knots = [_knots(size, radius, quarter) for size in half]
    return _joined([_side(number, *side, half, radius, middle, knots) for number, side in enumerate(sides)])


def _side(
    number: int, axis: int, sign: float, half: tuple[float, float, float], radius: float,
    middle: Float[np.ndarray, "3"], knots: Sequence[Knots],
) -> Patch:  # fmt: skip
    """One of six, which keeps to its tile of the texture: three beside each other, in two rows."""
    across, down = (axis + 1) % 3, (axis + 2) % 3
    (x, s), (y, t) = knots[across], knots[down]
    on_box = np.zeros((len(y), len(x), 3))
    on_box[..., axis], on_box[..., across], on_box[..., down] = sign * half[axis], x[None, :], y[:, None]
    inner = np.array(half) - radius
    nearest = np.clip(on_box, -inner, inner)
    normals = on_box - nearest
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    uv = np.stack(
        np.broadcast_arrays((number % 3 + _inset(s)[None, :]) / 3, (number // 3 + _inset(t)[:, None]) / 2), -1
    )
    return nearest + radius * normals + middle, normals, uv


def _knots(half: float, radius: float, quarter: int) -> Knots:
    """Along an axis of the sharp box: places whose rays from the inner box are evenly turned where the edge is round,
    and how far along the rounded surface they come to lie, from 0 to 1."""
    inner = half - radius
    turns = np.linspace(0, math.pi / 4, quarter // 2 + 1)
    flat = np.linspace(-inner, inner, FLAT + 1)[1:-1] if inner > 0 else np.zeros(0)
    inner_ends = np.array([-inner, inner]) if inner > 0 else np.zeros(1)
    ends, rises = inner + radius * np.tan(turns[1:]), inner + radius * turns[1:]
    places = np.sort(np.concatenate([-ends, inner_ends, flat, ends]))
    along = np.sort(np.concatenate([-rises, inner_ends, flat, rises]))
    return places, (along - along[0]) / (along[-1] - along[0])


def _inset(share: Float[np.ndarray, "*k"]) -> Float[np.ndarray, "*k"]:
    """0 to 1 inside of a tile's border."""
    return BORDER + (1 - 2 * BORDER) * share


def torus(ring: float, radius: float, around: int = AROUND, along: int = ALONG) -> Mesh:
    """A ring about the z axis that lies on z = 0, with so many steps around the axis and along the ring's circle."""
    turn = np.linspace(0, 2 * math.pi, along + 1)
    normals = np.stack([np.cos(turn), np.sin(turn)], -1)
    return _revolved(np.array([ring, radius]) + radius * normals, normals, around)


def vase(control: tuple[tuple[float, float], ...], wall: float) -> Mesh:
    """A hollow, closed vase: outside from the bottom's middle to the lip, over it, and inside back to the bottom.

    All of it is at the distance `wall` from a curve that is turned about the axis, so it has the curve's normals.
    """
    curve, outwards = _bezier(np.array(control), np.linspace(0, 1, ALONG + 1))
    over = np.linspace(0, math.pi, 17)[1:-1, None]
    ahead = np.array([-outwards[-1, 1], outwards[-1, 0]])
    lip = np.cos(over) * outwards[-1] + np.sin(over) * ahead
    normals = np.concatenate([outwards, lip, -outwards[::-1]])
    middle = np.concatenate([curve, np.repeat(curve[-1:], len(lip), 0), curve[::-1]])
    middle[:, 1] += wall
    return _revolved(middle + wall * normals, normals)


def room(radius: float, floor: float) -> Mesh:
    """A dome of this radius about the origin, in any unit, whose lower part is a flat floor at z = `floor` < 0."""
    ball = rounded_box((radius,) * 3, radius, np.zeros(3))
    down = -ball.vertices[:, 2:]
    vertices = ball.vertices * (-floor / down.clamp_min(-floor))
    return replace(ball, vertices=vertices, normals=-vertex_normals(vertices, ball.triangles))


def _bezier(
    control: Float[np.ndarray, "c 2"], at: Float[np.ndarray, "k"]
) -> tuple[Float[np.ndarray, "k 2"], Float[np.ndarray, "k 2"]]:
    """Points of a Bezier curve, and unit normals on the right of its course."""

    def blended(points: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "k 2"]:
        n = len(points) - 1
        weights = [math.comb(n, i) * at**i * (1 - at) ** (n - i) for i in range(n + 1)]
        return np.stack(weights, -1) @ points

    course = blended(np.diff(control, axis=0))
    normals = np.stack([course[:, 1], -course[:, 0]], -1)
    return blended(control), normals / np.linalg.norm(normals, axis=-1, keepdims=True)


def _revolved(profile: Float[np.ndarray, "k 2"], normals: Float[np.ndarray, "k 2"], around: int = AROUND) -> Mesh:
    """A curve of (distance from the axis, height) turned once about the z axis."""
    turn = np.linspace(0, 2 * math.pi, around + 1)
    cosine, sine = np.cos(turn)[None, :], np.sin(turn)[None, :]

    def turned(curve: Float[np.ndarray, "k 2"]) -> Float[np.ndarray, "k n 3"]:
        out, up = curve[:, :1], curve[:, 1:]
        return np.stack([out * cosine, out * sine, np.broadcast_to(up, (len(curve), len(turn)))], -1)

    along = np.concatenate([[0], np.linalg.norm(np.diff(profile, axis=0), axis=1).cumsum()])
    u, v = np.broadcast_arrays(_inset(turn / turn[-1])[None, :], _inset(along / along[-1])[:, None])
    return _joined([(turned(profile), turned(normals), np.stack([u, v], -1))])


def _joined(patches: list[Patch]) -> Mesh:
    """Grids as one mesh, counter-clockwise seen from outside, without the triangles of no area at poles."""
    triangles, first = [], 0
    for places, _, _ in patches:
        triangles.append(grid_triangles(*places.shape[:2]).long().numpy() + first)
        first += places.shape[0] * places.shape[1]
    places, normals, uv = (
        np.concatenate([patch[i].reshape(-1, patch[i].shape[-1]) for patch in patches]) for i in range(3)
    )
    index = np.concatenate(triangles)
    a, b, c = places[index].swapaxes(0, 1)
    face = np.cross(b - a, c - a)
    inwards = (face * normals[index].sum(1)).sum(-1) < 0
    index[inwards] = index[inwards][:, ::-1]
    area = np.linalg.norm(face, axis=-1)
    index = index[area > 1e-9 * area.max()]
    return Mesh(
        torch.from_numpy(places),
        torch.from_numpy(index.astype(np.int32)),
        normals=torch.from_numpy(normals),
        uv=torch.from_numpy(uv),
    )


SHAPES: dict[str, Callable[[], Mesh]] = {
    "sphere": lambda: rounded_box((SPHERE,) * 3, SPHERE, np.array([0, 0, SPHERE])),
    "torus": lambda: torus(*TORUS),
    "box": lambda: rounded_box(BOX, ROUNDING, np.array([0, 0, BOX[2]])),
    "vase": lambda: vase(VASE, WALL),
}
