"""Meshes of fields, against closed forms: how large, how closed, which way round, and what is asked of the field."""

import math
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from unflat.geometry.depth import cross
from unflat.geometry.meshes import Mesh, triangle_areas
from unflat.geometry.solids import solidity
from unflat.outputs import surfaces
from unflat.outputs.surfaces import decimated, level_of, library, surface_of, without_floaters

CUBE = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
Field = Callable[[Tensor], Tensor]


def ball(radius: float, centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Field:
    """Distance to a sphere: negative inside."""
    return lambda points: (points - torch.tensor(centre)).norm(dim=-1) - radius


def torus(points: Tensor) -> Tensor:
    """Distance to a torus about z with radii 0.6 and 0.25: negative inside."""
    return torch.hypot(points[:, :2].norm(dim=-1) - 0.6, points[:, 2]) - 0.25


def solid(mesh: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(mesh.vertices.double().numpy(), mesh.triangles.numpy(), process=False)


def check_clean(mesh: Mesh, cell: float) -> None:
    """Closed, consistently wound outwards, no triangle without area, unit normals on the side the triangles face."""
    read = solid(mesh)
    assert read.is_watertight and read.is_winding_consistent and read.volume > 0
    assert triangle_areas(mesh).min() > 1e-8 * cell**2
    assert mesh.normals is not None and torch.allclose(mesh.normals.norm(dim=-1), torch.ones(len(mesh.vertices)))
    a, b, c = mesh.vertices[mesh.triangles.long()].unbind(1)
    mean = mesh.normals[mesh.triangles.long()].sum(1)
    assert ((cross(b - a, c - a) * mean).sum(-1) > 0).float().mean() > 0.99


@pytest.mark.parametrize("inside", ["above", "below"])
def test_a_sphere_has_its_radius_volume_and_area(inside: str) -> None:
    distance = ball(0.7, (0.05, -0.1, 0.12))
    value: Field = distance if inside == "below" else lambda points: 5 - 3 * distance(points)
    mesh = surface_of(value, CUBE, 50, 0.0 if inside == "below" else 5.0, inside)  # type: ignore[arg-type]
    check_clean(mesh, 0.04)
    from_centre = mesh.vertices - torch.tensor([0.05, -0.1, 0.12])
    assert (from_centre.norm(dim=-1) - 0.7).abs().max() < 1e-3 * 0.04, "vertices lie on the sphere"
    assert mesh.normals is not None and ((mesh.normals * from_centre).sum(-1) > 0.99 * 0.7).all(), "normals look out"
    read = solid(mesh)
    assert read.volume == pytest.approx(4 / 3 * math.pi * 0.7**3, rel=3e-3)
    assert read.area == pytest.approx(4 * math.pi * 0.7**2, rel=2e-3)
    assert read.euler_number == 2


def test_a_torus_has_one_hole() -> None:
    mesh = surface_of(torus, CUBE, 60, 0.0, "below")
    check_clean(mesh, 1 / 30)
    assert torus(mesh.vertices).abs().max() < 1e-2 / 30
    read = solid(mesh)
    assert read.euler_number == 0
    assert read.volume == pytest.approx(2 * math.pi**2 * 0.6 * 0.25**2, rel=1e-2)
    assert read.area == pytest.approx(4 * math.pi**2 * 0.6 * 0.25, rel=1e-2)


@pytest.mark.parametrize(("cells", "cell"), [(37, (4 / 37, 0.1, 0.1)), ((20, 30, 15), (0.2, 2 / 30, 1 / 15))])
def test_vertices_lie_on_the_edges_of_cells_of_any_box(
    cells: int | tuple[int, int, int], cell: tuple[float, ...]
) -> None:
    """Cells are nearly cubes unless given: 37 : 19 : 10 for 4 : 2 : 1. Corners of cells lie on the box's sides."""
    low, middle = torch.tensor([10.0, -3.0, 0.5]), torch.tensor([12.1, -2.05, 1.02])
    mesh = surface_of(
        lambda p: ((p - middle) / torch.tensor([1.7, 0.8, 0.4])).norm(dim=-1),
        (10.0, -3.0, 0.5, 14.0, -1.0, 1.5),
        cells,
        1.0,
        "below",
    )
    check_clean(mesh, min(cell))
    assert solid(mesh).volume == pytest.approx(4 / 3 * math.pi * 1.7 * 0.8 * 0.4, rel=2e-2)
    size = torch.tensor(cell) if isinstance(cells, tuple) else torch.tensor([4 / 37, 2 / 19, 0.1])
    place = (mesh.vertices - low) / size
    off = (place - place.round()).abs().sort(dim=-1).values
    assert off[:, 1].max() < 1e-3, "two of three coordinates are those of corners"


def test_a_step_is_found_as_well_as_a_slope() -> None:
    """The value is a yes or no: on every edge the place is told to 1/16 of it."""
    mesh = surface_of(lambda p: p.norm(dim=-1) < 0.7, CUBE, 32, 0.1)
    assert (mesh.vertices.norm(dim=-1) - 0.7).abs().max() < 1 / 16 / 16
    assert solid(mesh).volume == pytest.approx(4 / 3 * math.pi * 0.7**3, rel=1e-2)


def test_what_leaves_the_box_is_closed_at_its_sides() -> None:
    """Half of the cube, cut off by a plane that runs through its sides, edges and corners."""
    mesh = surface_of(lambda p: p @ torch.tensor([1.0, 0.9, 0.7]), CUBE, 23, 0.0, "below")
    check_clean(mesh, 2 / 23)
    read = solid(mesh)
    assert read.volume == pytest.approx(4, rel=2e-3) and read.euler_number == 2
    assert mesh.vertices.abs().max() < 1 + 2e-3 * 2 / 23
    assert np.allclose(read.bounds, [[-1, -1, -1], [1, 1, 1]], atol=1e-3)


def sponge(points: Tensor) -> Tensor:
    """A ball of tunnels: a gyroid's wall."""
    x, y, z = (points * 8).unbind(-1)
    wall = (x.sin() * y.cos() + y.sin() * z.cos() + z.sin() * x.cos()).abs() - 0.5
    return torch.maximum(ball(0.8)(points), wall)


def pin(points: Tensor) -> Tensor:
    """A ball with a pin, 1.6 cells of 1/32 thick, that no coarse corner touches."""
    across = points[:, [0, 2]] - torch.tensor([2 / 32, 2 / 32])
    stick = torch.maximum(across.norm(dim=-1) - 0.8 / 32, (points[:, 1] - 0.4).abs() - 0.4)
    return torch.minimum(ball(0.3)(points), stick)


@pytest.mark.parametrize(("field", "cells"), [(sponge, 64), (sponge, 45), (pin, 64), (torus, 42)])
def test_following_the_surface_finds_what_asking_everywhere_finds(
    field: Field, cells: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def counted(points: Tensor) -> Tensor:
        nonlocal asked
        asked += len(points)
        return field(points)

    followed = surface_of(counted, CUBE, cells, 0.0, "below")
    sparse, asked = asked, 0
    monkeypatch.setattr(surfaces, "STRIDE", 1)
    everywhere = surface_of(counted, CUBE, cells, 0.0, "below")
    assert torch.equal(followed.triangles, everywhere.triangles)
    assert torch.equal(followed.vertices, everywhere.vertices)
    assert asked > (cells + 1) ** 3
    if field is pin:
        assert followed.vertices[:, 1].max() > 0.78 and sparse < 0.2 * asked
    if field is sponge:
        assert solid(followed).euler_number < 0, "there are tunnels to follow"


def test_what_lies_between_the_coarse_corners_is_found_if_it_is_all_there_is() -> None:
    mesh = surface_of(ball(1.5 / 32, (2 / 32, 2 / 32, 2 / 32)), CUBE, 64, 0.0, "below")
    check_clean(mesh, 1 / 32)
    assert solid(mesh).euler_number == 2


def test_the_field_is_asked_in_pieces_and_without_gradients() -> None:
    weight = torch.ones(3, requires_grad=True)

    def value(points: Tensor) -> Tensor:
        assert len(points) <= 1000 and points.dtype == torch.float32 and not torch.is_grad_enabled()
        return (points * weight).norm(dim=-1)

    mesh = surface_of(value, CUBE, 40, 0.5, "below", piece=1000)
    assert not mesh.vertices.requires_grad and (mesh.vertices.norm(dim=-1) - 0.5).abs().max() < 1e-4


def test_memory_is_a_few_grids() -> None:
    cells = 160
    tracemalloc.start()
    try:
        surface_of(ball(0.7), CUBE, cells, 0.0, "below", piece=2**14)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 4 * (cells + 3) ** 3


def test_infinite_values_are_as_good_as_large_ones() -> None:
    mesh = surface_of(lambda p: 1 / (p.norm(dim=-1) < 0.7).float() - 1, CUBE, 32, 0.5, "below")
    assert (mesh.vertices.norm(dim=-1) - 0.7).abs().max() < 1 / 16


def test_where_there_is_no_surface_the_message_says_why() -> None:
    with pytest.raises(
        ValueError, match=r"nothing in the box lies inside, since .* from 0.* to 0.* above 2; give a level"
    ):
        surface_of(lambda p: 0 * p[:, 0], CUBE, 8, 2.0)
    with pytest.raises(ValueError, match=r"from -0.5 to 1.23.* and inside is what is below -3"):
        surface_of(ball(0.5), CUBE, 8, -3.0, "below")
    with pytest.raises(ValueError, match="all of the box lies inside"):
        surface_of(ball(0.5), CUBE, 8, 3.0, "below")


def test_what_is_wrong_with_a_field_or_a_grid_is_said() -> None:
    with pytest.raises(ValueError, match=r"the field is NaN at \d+ of \d+ points, such as \(1, -1, -1\)"):
        surface_of(lambda p: (0.9 - p[:, 0]).sqrt(), CUBE, 8, 0.5)
    with pytest.raises(ValueError, match=r"values of shape \(81, 1\) for 81 points; one number a point"):
        surface_of(lambda p: p[:, :1], CUBE, 32, 0.5)
    with pytest.raises(ValueError, match="least x, y, z, then largest"):
        surface_of(ball(0.5), (-1.0, -1.0, 1.0, 1.0, 1.0, -1.0), 8, 0.0)
    for cells in (0, (8, 0, 8)):
        with pytest.raises(ValueError, match="at least 1"):
            surface_of(ball(0.5), CUBE, cells, 0.0)


def test_the_level_is_where_a_cell_takes_half_of_the_light() -> None:
    for step in (0.01, 0.3, 20.0):
        assert math.exp(-level_of(step) * step) == pytest.approx(0.5)
        assert math.exp(-level_of(step, 0.9) * step) == pytest.approx(0.1)
        assert level_of(step) * 1000 == pytest.approx(level_of(step / 1000)), "in millimetres, and back"
    for step in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="the side of a cell"):
            level_of(step)
    with pytest.raises(ValueError, match="between 0 and 1"):
        level_of(0.1, 1.0)


def test_a_density_is_cut_at_the_level() -> None:
    """50 exp(20 (0.5 - r)) is ln 2 / step at r = 0.5 + ln(50 step / ln 2) / 20."""
    step = 2 / 40
    mesh = surface_of(lambda p: 50 * (20 * (0.5 - p.norm(dim=-1))).exp(), CUBE, 40, level_of(step))
    radius = 0.5 + math.log(50 * step / math.log(2)) / 20
    assert (mesh.vertices.norm(dim=-1) - radius).abs().max() < 0.01 * step


def test_floaters_go_and_the_object_stays() -> None:
    """Balls of radius 0.5, 0.1 and 0.05: 4 % and 1 % of the area, but for the coarseness of the grid."""
    parts = [((-0.4, 0.0, 0.0), 0.5), ((0.5, 0.5, 0.5), 0.1), ((0.5, -0.5, -0.5), 0.06)]
    mesh = surface_of(lambda p: torch.stack([ball(r, c)(p) for c, r in parts]).amin(0), CUBE, 64, 0.0, "below")
    mesh = replace(mesh, colours=mesh.vertices.abs())
    assert solid(mesh).body_count == 3
    kept = {least: without_floaters(mesh, least) for least in (0.0, 0.01, 0.03, 0.1, 1.0)}
    assert [solid(part).body_count for part in kept.values()] == [3, 3, 2, 1, 1]
    largest = kept[0.1]
    assert (largest.vertices[:, 0] < 0.2).all() and torch.equal(largest.colours, largest.vertices.abs())  # type: ignore[arg-type]
    assert solid(largest).volume == pytest.approx(4 / 3 * math.pi * 0.5**3, rel=1e-2)
    check_clean(largest, 1 / 32)
    with pytest.raises(ValueError, match="from 0 to 1"):
        without_floaters(mesh, 2.0)


def test_nothing_has_no_floaters() -> None:
    nothing = Mesh(torch.zeros(0, 3), torch.zeros(0, 3, dtype=torch.int32))
    assert len(without_floaters(nothing).triangles) == 0


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e3])
def test_decimation_keeps_the_shape_whatever_the_unit(size: float) -> None:
    fine = surface_of(torus, CUBE, 60, 0.0, "below")
    mesh = decimated(Mesh(fine.vertices * size + size, fine.triangles, colours=fine.vertices.abs()), 1000)
    assert 900 <= len(mesh.triangles) <= 1000 and mesh.colours is None
    back = mesh.vertices / size - 1
    assert torus(back).abs().max() < 0.01
    read = solid(Mesh(back, mesh.triangles))
    assert read.is_watertight and read.euler_number == 0
    assert read.volume == pytest.approx(2 * math.pi**2 * 0.6 * 0.25**2, rel=2e-2)
    assert mesh.normals is not None
    outwards = torch.stack([torus(back + 1e-3 * mesh.normals), torus(back)]).diff(dim=0)
    assert (outwards < 0).all()


def test_decimation_leaves_a_mesh_that_is_small_enough() -> None:
    mesh = surface_of(ball(0.5), CUBE, 8, 0.0, "below")
    assert decimated(mesh, len(mesh.triangles)) is mesh
    with pytest.raises(ValueError, match="at least 1"):
        decimated(mesh, 0)


def test_what_comes_out_is_a_solid_however_wild_the_field(generator: torch.Generator) -> None:
    """At random signs every case of a cell comes up, the ambiguous ones too; decimation then lets sheets meet."""
    waves = 25 * torch.randn(3, 40, generator=generator)
    turns = 6.3 * torch.rand(40, generator=generator)
    mesh = surface_of(lambda points: torch.sin(points @ waves + turns).sum(-1), CUBE, 16, 0.0)
    assert solidity(mesh).solid
    few = decimated(mesh, len(mesh.triangles) // 8)
    assert solidity(few).solid and len(few.triangles) < len(mesh.triangles) // 4
    assert solidity(without_floaters(few, 0.1)).solid


def test_a_missing_library_is_named_with_what_to_install() -> None:
    with pytest.raises(ValueError, match=r"a texture needs no_such_thing, .* pip install 'unflat\[mesh\]'"):
        library("no_such_thing.part", "a texture")
