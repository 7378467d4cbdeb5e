"""An atlas: a surface cut into charts that lie flat in a texture, and what place of it each texel shows.

Charts are xatlas's. Its time grows with the square of the triangles that hang together, so a large mesh is unwrapped in
pieces: halves of halves of its triangles, cut across their longest side. xatlas and scipy are the extra `mesh`.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh, vertex_normals
from unflat.outputs.surfaces import library
from unflat.rendering.mesh import interpolate, rasterise

SPREAD = 100.0
"""side of the box that xatlas gets a mesh in: it drops triangles whose area is under 1e-7 of its unit's square"""
PADDING = 4
"""texels that xatlas leaves between the atlas's charts, each filled with the colour of the nearest chart"""
FINE = 2
"""places a texel at which an edge of a chart is looked at"""
TOGETHER = 3000
"""triangles that are unwrapped in one piece: more are halved, and halved again"""


def unwrapped(mesh: Mesh, side: int) -> tuple[Mesh, int, int]:
    """The mesh with uv of an atlas, its vertices split at seams, its triangles as they were; and width and height of a
    texture that suits it, `side` texels on its longer side."""
    xatlas = library("xatlas", "a texture")
    atlas, pack = xatlas.Atlas(), xatlas.PackOptions()
    pack.resolution, pack.padding = side, PADDING
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    scaled = (mesh.vertices - low) * (SPREAD / (high - low).max().clamp_min(1e-30))
    vertices, triangles = scaled.cpu().numpy().astype(np.float32), mesh.triangles.cpu().numpy().astype(np.int64)
    pieces = _pieces(vertices[triangles].mean(1))
    used = [np.unique(triangles[piece], return_inverse=True) for piece in pieces]
    for vertex, corners in used:
        atlas.add_mesh(vertices[vertex], corners.reshape(-1, 3).astype(np.uint32))
    atlas.generate(xatlas.ChartOptions(), pack)
    source: list[np.ndarray] = []
    new, uv = np.empty((len(triangles), 3), np.int32), []
    for number, (piece, (vertex, _)) in enumerate(zip(pieces, used, strict=True)):
        of_vertex, new_triangles, places = atlas[number]
        new[piece] = new_triangles.astype(np.int32) + sum(len(one) for one in source)
        source.append(vertex[of_vertex.astype(np.int64)])
        uv.append(places)
    index = torch.from_numpy(np.concatenate(source)).to(mesh.triangles.device)
    normals = vertex_normals(mesh.vertices, mesh.triangles) if mesh.normals is None else mesh.normals
    split = Mesh(
        mesh.vertices[index],
        torch.from_numpy(new).to(mesh.triangles.device),
        normals=normals[index],
        uv=torch.from_numpy(np.concatenate(uv)).to(mesh.vertices),
    )
    texels = side / max(atlas.width, atlas.height)
    return split, max(round(atlas.width * texels), 1), max(round(atlas.height * texels), 1)


def _pieces(middles: Float[np.ndarray, "t 3"]) -> list[Int[np.ndarray, "n"]]:
    """Numbers of triangles with these middles, at most `TOGETHER` in each piece, which lie close together."""
    pieces, waiting = [], [np.arange(len(middles))]
    while waiting:
        piece = waiting.pop()
        if len(piece) <= TOGETHER:
            pieces.append(piece)
            continue
        along = np.ptp(middles[piece], axis=0).argmax()
        ordered = piece[np.argsort(middles[piece, along], kind="stable")]
        waiting += [np.sort(half) for half in np.array_split(ordered, 2)]
    return pieces


def texels_of(mesh: Mesh, width: int, height: int) -> tuple[Float[Tensor, "h w 6"], Bool[Tensor, "h w"]]:
    """Place and normal of the surface at every texel, and where there is any.

    It is that at the texel's centre. At the edge of a chart, or in a narrow one, the centre may lie off it; then it is
    the mean along the edges of triangles that run through the texel.
    """
    assert mesh.uv is not None and mesh.normals is not None
    flat = Pinhole(1.0, 1.0, 0.0, 0.0, width, height)  # at z = 1: pixel coordinates are x and y
    corners = mesh.uv * mesh.uv.new_tensor([width, height])
    values = torch.cat([mesh.vertices, mesh.normals], -1)
    seen = rasterise(torch.cat([corners, torch.ones_like(corners[:, :1])], -1)[None], mesh.triangles, flat)
    places, there = interpolate(seen, mesh.triangles, values[None])[0], seen.triangle[0] >= 0
    ends = torch.cat([mesh.triangles[:, [0, 1]], mesh.triangles[:, [1, 2]], mesh.triangles[:, [2, 0]]]).long()
    spots = _along(torch.cat([corners, values], -1), torch.unique(ends.sort(-1).values, dim=0))
    column, row = spots[:, 0].long().clamp(0, width - 1), spots[:, 1].long().clamp(0, height - 1)
    total = values.new_zeros(height * width, 7).index_add(
        0, row * width + column, torch.cat([spots[:, 2:], torch.ones_like(spots[:, :1])], -1)
    )
    mean, touched = total[:, :6] / total[:, 6:].clamp_min(1), total[:, 6] > 0
    places = places.where(there[..., None], mean.view(height, width, 6))
    normals = unit(places[..., 3:].flatten(0, 1)).view(height, width, 3)
    return torch.cat([places[..., :3], normals], -1), there | touched.view(height, width)


def _along(corners: Float[Tensor, "v c"], ends: Int[Tensor, "e 2"]) -> Float[Tensor, "n c"]:
    """Places along edges, whose first two coordinates are counted in texels: some a texel, and both ends."""
    first, last = corners[ends].unbind(1)
    steps = ((last - first)[:, :2].abs().amax(-1) * FINE).ceil().long().clamp_min(1)
    edge = torch.arange(len(ends), device=ends.device).repeat_interleave(steps + 1)
    begins = (steps + 1).cumsum(0) - steps - 1
    step = torch.arange(len(edge), device=ends.device) - begins[edge]
    return first[edge].lerp(last[edge], (step / steps[edge])[:, None].to(corners))


def filled(texture: Float[Tensor, "h w 3"], there: Bool[Tensor, "h w"]) -> Float[Tensor, "h w 3"]:
    """Every other texel with the colour of the nearest that has one."""
    measure = library("scipy.ndimage", "a texture")
    rows, columns = measure.distance_transform_edt(~there.cpu().numpy(), return_distances=False, return_indices=True)
    nearest = (torch.from_numpy(rows).long(), torch.from_numpy(columns).long())
    return texture[nearest[0].to(texture.device), nearest[1].to(texture.device)]


def unit(vectors: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    return vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
