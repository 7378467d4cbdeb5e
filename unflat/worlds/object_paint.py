"""Textures of objects: painted from a pattern that fills space, and made coarser without what lies between the charts.

A texture is an atlas: charts, and between them texels that belong to nothing. Those are filled from the charts beside
them before anything is averaged or interpolated, or else seams would show in the colour that happened to lie there.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, grid_sample

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh
from unflat.kernels.visible_triangles import visible_triangles
from unflat.rendering.mesh import interpolate, rasterise

RIM = 3
"""texels around a chart that take its colours: more than interpolation reaches"""
PERIOD = 32
"""cells of the pattern after which it comes again"""
DARKEST, LIGHTEST = 0.1, 0.9
COVERED, SOFT = 0.1, 0.04
"""height of the pattern's waves, which go from -1 to 1, above which there is colour, and how soft its outline is"""
FAINT = 0.2
"""share by which the waves make what is under them brighter and darker"""


def painted(mesh: Mesh, side: int, colour: Callable[[Float[Tensor, "n 3"]], Float[Tensor, "n 3"]]) -> Mesh:
    """The mesh with a square texture of `side` texels: the colour of the place on the surface that each one shows."""
    atlas = rasterise(_on_atlas(mesh, side, side), mesh.triangles, Pinhole(1.0, 1.0, 0.0, 0.0, side, side))
    used = atlas.triangle[0] >= 0
    places = interpolate(atlas, mesh.triangles, mesh.vertices[None].float())[0]
    texture = torch.zeros(side, side, 3)
    texture[used] = colour(places[used])
    return replace(mesh, texture=_filled(texture, used, 0))


def coarser(mesh: Mesh, halvings: int) -> Mesh:
    """The mesh with its texture halved so many times in both directions, and filled between the charts."""
    assert mesh.texture is not None
    height, width, _ = mesh.texture.shape
    used = visible_triangles(_on_atlas(mesh, height, width), mesh.triangles, height, width)[0] >= 0
    return replace(mesh, texture=_filled(mesh.texture, used, halvings))


def texels_a_unit(mesh: Mesh) -> float:
    """How many texels of the mesh's texture lie along a unit of length on it, over all of its area."""
    assert mesh.texture is not None and mesh.uv is not None
    height, width, _ = mesh.texture.shape
    index = mesh.triangles.long()
    a, b, c = mesh.vertices.double()[index].unbind(1)
    surface = torch.linalg.cross(b - a, c - a).norm(dim=-1).sum()
    (au, av), (bu, bv), (cu, cv) = (corner.unbind(-1) for corner in mesh.uv.double()[index].unbind(1))
    atlas = ((bu - au) * (cv - av) - (bv - av) * (cu - au)).abs().sum() * height * width
    return float((atlas / surface).sqrt())


def _on_atlas(mesh: Mesh, height: int, width: int) -> Float[Tensor, "1 v 3"]:
    """Vertices in texels of the atlas, at depth 1."""
    assert mesh.uv is not None
    u, v = mesh.uv.float().unbind(-1)
    return torch.stack([u * width, v * height, torch.ones_like(u)], -1)[None]


def _filled(texture: Float[Tensor, "h w 3"], used: Bool[Tensor, "h w"], halvings: int) -> Float[Tensor, "i j 3"]:
    """Averages over used texels only, and around the charts the colours beside them."""
    weight = used[None, None].float()
    colour = texture.float().permute(2, 0, 1)[None] * weight
    for _ in range(halvings):
        size = (-(-colour.shape[2] // 2), -(-colour.shape[3] // 2))
        colour, weight = adaptive_avg_pool2d(colour, size), adaptive_avg_pool2d(weight, size)
    mean = colour.sum((2, 3), keepdim=True) / weight.sum().clamp_min(1e-12)
    known, filled = weight > 0, torch.where(weight > 0, colour / weight.clamp_min(1e-12), 0)
    for _ in range(RIM):
        beside, share = avg_pool2d(filled, 3, 1, 1), avg_pool2d(known.float(), 3, 1, 1)
        filled, known = torch.where(known, filled, beside / share.clamp_min(1e-12)), share > 0
    return torch.where(known, filled, mean)[0].permute(1, 2, 0).contiguous()


class Pattern:
    """Blotches of several sizes and colours that fill space: the colour of a place, wherever a surface cuts it."""

    def __init__(self, rng: np.random.Generator, cells: Sequence[float]) -> None:
        """`cells` are the sizes of the blotches, in units of the places; later ones lie on earlier ones."""
        self.layers = []
        for cell in cells:
            turn = torch.from_numpy(np.linalg.qr(rng.normal(size=(3, 3)))[0]).float()  # or blotches would line up
            lattice = torch.from_numpy(np.pad(rng.uniform(-1, 1, (PERIOD,) * 3), (0, 1), mode="wrap")).float()
            self.layers.append((turn / cell, lattice, torch.from_numpy(rng.uniform(DARKEST, LIGHTEST, 3)).float()))

    def __call__(self, places: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Colours in [0, 1]."""
        colours = torch.full_like(places, 0.5)
        for cells, lattice, own in self.layers:
            height = _smooth(places @ cells, lattice)
            colours = colours.lerp(own, torch.sigmoid((height - COVERED) / SOFT)[:, None])
            colours = colours * (1 + FAINT * height[:, None])
        return colours.clamp(0, 1)


def _smooth(places: Float[Tensor, "n 3"], lattice: Float[Tensor, "k k k"]) -> Float[Tensor, "n"]:
    """Values of a lattice, whose end is its beginning, interpolated smoothly between its points, which are 1 apart."""
    cell = places.floor()
    share = places - cell
    at = cell.remainder(PERIOD) + share * share * (3 - 2 * share)
    grid = (at * (2 / PERIOD) - 1).view(1, 1, 1, -1, 3)
    return grid_sample(lattice[None, None], grid, align_corners=True).view(-1)
