"""Textures of objects: what fills the gaps between charts, what is averaged, and a pattern that knows no seams."""

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.geometry.meshes import Mesh
from unflat.rendering.mesh import sample_texture
from unflat.worlds.object_paint import Pattern, coarser, painted, texels_a_unit
from unflat.worlds.object_shapes import SHAPES, shape_mesh

QUAD = torch.tensor([[0, 1, 2], [0, 2, 3]], dtype=torch.int32)


def quad(texture: Tensor, low: float = 0.0, high: float = 1.0) -> Mesh:
    """A square of side 2 whose chart is the square from `low` to `high`."""
    around = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    vertices = torch.cat([2 * around, torch.zeros(4, 1)], 1)
    return Mesh(vertices, QUAD, uv=low + (high - low) * around, texture=texture)


def texture_of(mesh: Mesh) -> Tensor:
    assert mesh.texture is not None
    return mesh.texture


def test_what_lies_between_charts_is_not_mixed_in() -> None:
    """A chart of one colour, black around it: no texel of any coarser texture is darker."""
    texture = torch.zeros(48, 48, 3)
    texture[12:36, 12:36] = torch.tensor([0.2, 0.6, 0.9])
    for halvings in (0, 1, 2, 3, 4):
        filled = texture_of(coarser(quad(texture, 0.25, 0.75), halvings))
        assert filled.shape[0] == -(-48 // 2**halvings)
        torch.testing.assert_close(filled, torch.tensor([0.2, 0.6, 0.9]).expand_as(filled))


def test_a_halved_texture_is_the_mean_of_four(generator: torch.Generator) -> None:
    texture = torch.rand(16, 32, 3, generator=generator)
    halved = texture_of(coarser(quad(texture), 1))
    torch.testing.assert_close(halved, texture.view(8, 2, 16, 2, 3).mean((1, 3)))
    assert torch.equal(texture_of(coarser(quad(texture), 0)), texture)


def test_halving_keeps_the_place_of_colours_at_odd_sizes() -> None:
    """A ramp stays the same ramp over uv."""
    ramp = ((torch.arange(45) + 0.5) / 45)[None, :, None].expand(45, 45, 3)
    uv = torch.rand(200, 2) * 0.6 + 0.2
    for halvings in (1, 2, 3):
        seen = sample_texture(texture_of(coarser(quad(ramp), halvings)), uv)[:, 0]
        torch.testing.assert_close(seen, uv[:, 0], atol=0.3 * 2**halvings / 45, rtol=0)  # of a texel


def test_there_are_no_more_halvings_than_texels(generator: torch.Generator) -> None:
    texture = torch.rand(8, 8, 3, generator=generator)
    torch.testing.assert_close(texture_of(coarser(quad(texture), 20)), texture.mean((0, 1)).view(1, 1, 3))


def test_texels_a_unit() -> None:
    assert texels_a_unit(quad(torch.zeros(64, 64, 3))) == pytest.approx(32)  # 64 texels along a side of 2
    assert texels_a_unit(quad(torch.zeros(64, 64, 3), 0.25, 0.75)) == pytest.approx(16)


@pytest.mark.parametrize("name", SHAPES)
def test_paint_is_the_colour_of_the_place(name: str) -> None:
    """Painted with its coordinates, a shape's texture says at every vertex where that is, on both sides of seams."""
    mesh = shape_mesh(name)
    size = mesh.vertices.abs().max().float()
    mesh = painted(mesh, 512, lambda places: places / (2 * size) + 0.5)
    assert mesh.uv is not None
    places = (sample_texture(texture_of(mesh), mesh.uv.float()) - 0.5) * 2 * size
    assert (places - mesh.vertices).norm(dim=1).max() < 0.015 * size  # of 512 texels


def test_a_pattern_is_a_function_of_the_place(generator: torch.Generator) -> None:
    places = torch.rand(2000, 3, generator=generator) * 4 - 2
    pattern = Pattern(np.random.default_rng(0), (0.5, 0.2))
    colours = pattern(places)
    assert colours.min() >= 0 and colours.max() <= 1
    assert (colours.std(0) > 0.05).all()
    torch.testing.assert_close(pattern(places + 1e-5), colours, atol=0.01, rtol=0)  # without jumps
    assert torch.equal(pattern(places[:10]), colours[:10])
    assert torch.equal(Pattern(np.random.default_rng(0), (0.5, 0.2))(places), colours)
    assert not torch.equal(Pattern(np.random.default_rng(1), (0.5, 0.2))(places), colours)


def test_a_pattern_goes_on_beyond_its_period(generator: torch.Generator) -> None:
    """Across the place where the lattice begins again, near and far from the origin, there is no jump either."""
    line = torch.zeros(4001, 3)
    line[:, 0] = torch.linspace(-8, 8, 4001)
    colours = Pattern(np.random.default_rng(3), (0.2,))(line)
    assert colours.diff(dim=0).abs().max() < 0.2
    assert colours[:1000].std() > 0.05 and colours[-1000:].std() > 0.05
