"""The colours of a field on a mesh: at its vertices, in a texture, or as loose points.

A radiance field has a colour for every direction; a mesh has one a place. It is the one seen along the surface's normal
or, where the positions of cameras are given, from those that the surface faces most squarely, where the field has
learned how it looks (what hides a place from a camera is not asked). Colours hold the light that was there:
`write_glb(..., lit=False)` shows them as they are. xatlas and scipy are the extra `mesh`.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from unflat.geometry.meshes import Mesh, SurfacePoints, triangle_areas, vertex_normals
from unflat.outputs.atlas import filled, texels_of, unit, unwrapped
from unflat.outputs.mesh import vertex_colours
from unflat.outputs.surfaces import decimated
from unflat.rendering.mesh import sample_texture

Colour = Callable[[Float[Tensor, "n 3"], Float[Tensor, "n 3"]], Float[Tensor, "n 3"]]
"""colour in [0, 1] of points, seen in unit directions that lead from the eye to the point"""

PIECE = 2**14
"""points asked for at once"""
FACED = 3
"""cameras whose directions are averaged"""


def coloured(mesh: Mesh, colour: Colour, views: Float[Tensor, "k 3"] | None = None) -> Mesh:
    """With the field's colour at every vertex. `views` are positions of cameras, in the frame of mesh and field."""
    normals = _normals(mesh)
    colours = seen_colours(mesh.vertices, normals, colour, views)
    return replace(mesh, normals=normals, colours=colours, uv=None, texture=None)


def textured(
    mesh: Mesh,
    colour: Colour,
    side: int = 1024,
    views: Float[Tensor, "k 3"] | None = None,
    triangles: int = 7000,
) -> Mesh:
    """With the field's colours in a texture whose longer side has `side` texels.

    A mesh of more than `triangles` triangles is decimated to that many first. The texture keeps the detail that the
    mesh loses: a texel shows the field where the decimated surface is. Vertices are split at the seams of the charts.
    Texels outside all charts have the colour of the nearest one inside, so that no lookup, bilinear or from a smaller
    picture, meets a colour from nowhere.
    """
    if side < 1 or len(mesh.triangles) == 0:
        raise ValueError(
            f"cannot make a texture of {side} texels for {len(mesh.triangles)} triangles: give one of each"
        )
    mesh, width, height = unwrapped(decimated(mesh, triangles), side)
    places, there = texels_of(mesh, width, height)
    texture = mesh.vertices.new_zeros(height, width, 3)
    texture[there] = seen_colours(places[there][:, :3], places[there][:, 3:], colour, views)
    return replace(mesh, texture=filled(texture, there))


def points_of(mesh: Mesh, count: int | None = None, seed: int = 0) -> SurfacePoints:
    """The mesh's vertices, or `count` points drawn on it evenly by area, with the mesh's normals and colours (of its
    vertices or its texture; None if it has neither)."""
    normals, colours = _normals(mesh), vertex_colours(mesh)
    if count is None:
        return SurfacePoints(mesh.vertices, normals, colours)
    areas = triangle_areas(mesh).cpu()
    if count < 1 or len(areas) == 0 or not areas.sum() > 0:
        raise ValueError(
            f"cannot draw {count} points on {len(areas)} triangles: give at least one of each, with an area"
        )
    generator = torch.Generator().manual_seed(seed)
    # one point in each of `count` equal shares of the area, not `count` points anywhere
    share = (torch.arange(count) + torch.rand(count, generator=generator, dtype=torch.double)) / count
    total = areas.cumsum(0)
    chosen = torch.searchsorted(total, share * total[-1], right=True).clamp_max(len(areas) - 1)
    a, b = torch.rand(2, count, generator=generator)
    weights = torch.stack([1 - a.sqrt(), a.sqrt() * (1 - b), a.sqrt() * b], -1)[..., None].to(mesh.vertices)
    corners = mesh.triangles[chosen.to(mesh.triangles.device)].long()

    def drawn(values: Float[Tensor, "v c"]) -> Float[Tensor, "n c"]:
        return (values[corners] * weights).sum(1)

    if mesh.texture is not None and mesh.uv is not None:
        colours = sample_texture(mesh.texture, drawn(mesh.uv))
    elif colours is not None:
        colours = drawn(colours)
    return SurfacePoints(drawn(mesh.vertices), unit(drawn(normals)), colours)


def _normals(mesh: Mesh) -> Float[Tensor, "v 3"]:
    return vertex_normals(mesh.vertices, mesh.triangles) if mesh.normals is None else mesh.normals


def seen_colours(
    points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], colour: Colour, views: Float[Tensor, "k 3"] | None
) -> Float[Tensor, "n 3"]:
    """What the field shows at points of the surface."""
    colours = torch.empty_like(points)
    for first in range(0, len(points), PIECE):
        part = slice(first, first + PIECE)
        with torch.no_grad():
            found = colour(points[part], _directions(points[part], normals[part], views))
        if found.shape != points[part].shape or not bool(found.isfinite().all()):
            raise ValueError(
                f"the field gave colours of shape {tuple(found.shape)} for {len(points[part])} points, "
                f"{int((~found.isfinite()).sum())} of them not finite; three finite numbers a point are needed"
            )
        colours[part] = found.to(colours).clamp(0, 1)
    return colours


def _directions(
    points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], views: Float[Tensor, "k 3"] | None
) -> Float[Tensor, "n 3"]:
    """Unit, from the eye to the point: against the normal, or the mean of those from the cameras faced most squarely.

    On a chair learned from 100 views these give 0.3 dB more than the normal, and the nearest cameras 0.6 dB less.
    """
    if views is None or len(views) == 0:
        return -normals
    views = views.to(points)
    along = normals @ views.T - (points * normals).sum(-1, keepdim=True)
    distance = torch.cdist(points, views, compute_mode="donot_use_mm_for_euclid_dist")
    cosine, index = (along / distance.clamp_min(1e-12)).topk(min(FACED, len(views)))
    sight = points[:, None] - views[index]
    chosen = (sight / sight.norm(dim=-1, keepdim=True).clamp_min(1e-12)).where(cosine[..., None] > 0, 0)
    mean = chosen.sum(1)
    return unit(torch.where(mean.norm(dim=-1, keepdim=True) > 1e-6, mean, -normals))
