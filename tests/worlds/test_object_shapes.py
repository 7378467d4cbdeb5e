"""Shapes that a formula gives: against their own equations, their volumes, and the rules of a closed surface."""

import math

import numpy as np
import pytest
import torch

from unflat.geometry.meshes import Mesh
from unflat.kernels.visible_triangles import visible_triangles
from unflat.worlds.object_shapes import BOX, ROUNDING, SHAPES, SPHERE, TORUS, VASE, WALL, room, rounded_box, shape_mesh


def corners(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Places [t, 3, 3] of the triangles, and which of the distinct places they are [t, 3]."""
    vertices = mesh.vertices.numpy()
    _, own = np.unique(vertices.round(12), axis=0, return_inverse=True)
    triangles = mesh.triangles.numpy()
    return vertices[triangles], own.reshape(-1)[triangles]


def volume(mesh: Mesh) -> float:
    a, b, c = corners(mesh)[0].swapaxes(0, 1)
    return float((a * np.cross(b, c)).sum() / 6)


def off_torus(points: np.ndarray) -> np.ndarray:
    """Distance [n] from the torus, positive outside."""
    ring, radius = TORUS
    return np.hypot(np.hypot(points[:, 0], points[:, 1]) - ring, points[:, 2] - radius) - radius


def off_box(points: np.ndarray) -> np.ndarray:
    """Distance [n] from the box with round edges, positive outside."""
    beyond = np.abs(points - [0, 0, BOX[2]]) - (np.array(BOX) - ROUNDING)
    return np.linalg.norm(beyond.clip(min=0), axis=1) + beyond.max(1).clip(max=0) - ROUNDING


def off_sphere(points: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points - [0, 0, SPHERE], axis=1) - SPHERE


def de_casteljau(at: float) -> np.ndarray:
    """A point of the curve in the vase's wall, by the construction with a ruler."""
    points = np.array(VASE)
    while len(points) > 1:
        points = (1 - at) * points[:-1] + at * points[1:]
    return points[0]


def off_vase(points: np.ndarray) -> np.ndarray:
    """Distance [n] from the vase, positive outside of its wall."""
    curve = np.array([de_casteljau(t) for t in np.linspace(0, 1, 2001)])
    curve[:, 1] += WALL
    flat = np.stack([np.hypot(points[:, 0], points[:, 1]), points[:, 2]], -1)
    a, b = curve[:-1], curve[1:]
    best = np.full(len(points), np.inf)
    for start, end in zip(a, b, strict=True):  # a piece of a straight line after the other
        share = ((flat - start) @ (end - start) / ((end - start) @ (end - start))).clip(0, 1)
        best = np.minimum(best, np.linalg.norm(flat - start - share[:, None] * (end - start), axis=1))
    return best - WALL


DISTANCES = {"sphere": off_sphere, "torus": off_torus, "box": off_box, "vase": off_vase}


def test_every_shape_is_tested() -> None:
    assert set(DISTANCES) == set(SHAPES)


@pytest.mark.parametrize("name", SHAPES)
def test_vertices_lie_on_the_shape(name: str) -> None:
    points = shape_mesh(name).vertices.numpy()[:: 61 if name == "vase" else 1]
    np.testing.assert_allclose(DISTANCES[name](points), 0, atol=1e-12 if name != "vase" else 1e-7)


@pytest.mark.parametrize("name", SHAPES)
def test_normals_are_the_distances_gradient(name: str) -> None:
    mesh = shape_mesh(name)
    assert mesh.normals is not None
    points, normals = mesh.vertices.numpy()[::131], mesh.normals.numpy()[::131]
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-12)
    step = 1e-5
    gradient = [(DISTANCES[name](points + d) - DISTANCES[name](points - d)) / (2 * step) for d in step * np.eye(3)]
    np.testing.assert_allclose(np.stack(gradient, -1), normals, atol=2e-3)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_closed_and_turned_outwards(name: str) -> None:
    """Every edge is passed once in each direction."""
    mesh = shape_mesh(name)
    _, own = corners(mesh)
    edges = np.concatenate([own[:, [k, (k + 1) % 3]] for k in range(3)])
    assert len(np.unique(edges, axis=0)) == len(edges)
    np.testing.assert_array_equal(np.unique(edges, axis=0), np.unique(edges[:, ::-1], axis=0))
    assert volume(mesh) > 0


def test_volumes_are_those_of_the_formulas() -> None:
    ring, radius = TORUS
    a, b, c = (2 * (half - ROUNDING) for half in BOX)
    of_box = a * b * c + 2 * ROUNDING * (a * b + b * c + c * a) + math.pi * ROUNDING**2 * (a + b + c)
    expected = {
        "sphere": 4 / 3 * math.pi * SPHERE**3,
        "torus": 2 * math.pi**2 * ring * radius**2,
        "box": of_box + 4 / 3 * math.pi * ROUNDING**3,
    }
    for name, exact in expected.items():
        share = volume(shape_mesh(name)) / exact
        assert share < 1 and share > 0.999  # vertices on a convex outline: a little less


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_stands_on_the_ground(name: str) -> None:
    low, high = shape_mesh(name).vertices.amin(0), shape_mesh(name).vertices.amax(0)
    assert low[2].item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(low[:2], -high[:2])


@pytest.mark.parametrize("name", SHAPES)
def test_charts_lie_within_the_texture_and_do_not_overlap(name: str) -> None:
    mesh = shape_mesh(name)
    assert mesh.uv is not None
    assert mesh.uv.min() > 0 and mesh.uv.max() < 1
    a, b, c = torch.cat([mesh.uv, torch.ones_like(mesh.uv[:, :1])], 1)[mesh.triangles.long()].unbind(1)
    area = torch.linalg.cross(b - a, c - a).norm(dim=1).sum().item() / 2
    side = 512
    places = torch.cat([mesh.uv * side, torch.ones_like(mesh.uv[:, :1])], 1)
    covered = (visible_triangles(places[None], mesh.triangles, side, side) >= 0).float().mean().item()
    assert covered == pytest.approx(area, rel=0.01)  # so no texel is covered twice
    assert covered > 0.8


def test_a_room_is_flat_below_and_round_above() -> None:
    mesh = room(6.0, -0.5)
    vertices = mesh.vertices.numpy()
    assert vertices[:, 2].min() == pytest.approx(-0.5)
    far = np.linalg.norm(vertices, axis=1)
    on_dome, on_floor = np.isclose(far, 6), np.isclose(vertices[:, 2], -0.5)
    assert (on_dome | on_floor).all() and on_dome.sum() > 1000 and on_floor.sum() > 1000
    assert mesh.normals is not None
    up = mesh.normals.numpy()[on_floor & (far < 3)]
    np.testing.assert_allclose(up, np.broadcast_to([0.0, 0.0, 1.0], up.shape), atol=1e-9)
    assert ((mesh.normals.numpy() * vertices).sum(1) < 0).all()  # inwards


def test_a_box_may_be_longer_and_lie_elsewhere() -> None:
    mesh = rounded_box((1.0, 2.0, 3.0), 0.5, np.array([5.0, 0.0, 0.0]))
    np.testing.assert_allclose(mesh.vertices.amin(0).numpy(), [4, -2, -3])
    np.testing.assert_allclose(mesh.vertices.amax(0).numpy(), [6, 2, 3])


def test_a_shape_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="there is no shape 'cone'; take one of sphere, torus, box, vase"):
        shape_mesh("cone")
