"""Any triangle mesh as pixels: which triangle, where on it, and what colour.

The kernel says which triangle a pixel sees; everything after that is ordinary tensor operations on the pixels that see
something: perspective-correct weights of the triangle's corners, values interpolated with them, a texture looked up.
Depth and interpolated values have gradients for vertices and attributes; what is covered or hidden has none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import avg_pool2d, embedding_bag, grid_sample

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh, vertex_normals
from unflat.geometry.rotations import Rigid
from unflat.kernels.interpolated import interpolated
from unflat.kernels.visible_triangles import visible_triangles

GREY = 0.7
"""colour of a mesh that has neither texture nor colours"""


class Fragments(NamedTuple):
    """What each pixel sees of a mesh."""

    triangle: Int[Tensor, "b h w"]
    """index of the triangle, -1 where there is none"""
    weights: Float[Tensor, "b h w 3"]
    """perspective-correct weights of its corners, summing to 1; 0 where there is none"""
    depth: Float[Tensor, "b h w"]
    """along z; NaN where there is none"""


def rasterise(vertices: Float[Tensor, "b v 3"], triangles: Int[Tensor, "t 3"], camera: Pinhole) -> Fragments:
    """What the camera sees of vertices given in its own frame. Both sides of a triangle are seen."""
    corners = torch.cat([camera.project(vertices), vertices[..., 2:]], -1)
    triangle = visible_triangles(corners, triangles, camera.height, camera.width)
    own = corners[:, triangles.to(corners.device).long().flatten()]  # [b, 3 t, 3]: every triangle with its own corners
    if torch.is_grad_enabled() and corners.requires_grad:
        return _with_gradient(triangle, own)
    # which corner it is, and its depth, as values given at the corners
    corner = torch.eye(3, device=own.device).repeat(len(triangles), 1).expand(len(own), -1, -1)
    unshared = torch.arange(own.shape[1], dtype=torch.int32, device=own.device).view(-1, 3)
    values = interpolated(own, unshared, triangle, torch.cat([corner, own[..., 2:]], -1))
    return Fragments(triangle, values[..., :3], values[..., 3].where(triangle >= 0, torch.nan))


def _with_gradient(triangle: Int[Tensor, "b h w"], own: Float[Tensor, "b n 3"]) -> Fragments:
    """The same with gradients for the corners, in plain tensor operations."""
    image, row, column = (triangle >= 0).nonzero(as_tuple=True)
    a, b, c = own.view(len(own), -1, 3, 3)[image, triangle[image, row, column].long()].unbind(1)
    centre = torch.stack([column, row], -1).to(own.dtype) + 0.5
    on_screen = torch.stack([_twice_area(centre, b, c), _twice_area(centre, c, a), _twice_area(centre, a, b)], -1)
    # 1/z is affine on the screen, and so is every attribute divided by z
    over_depth = on_screen / torch.stack([a[:, 2], b[:, 2], c[:, 2]], -1)
    total = over_depth.sum(-1)
    weights = own.new_zeros(*triangle.shape, 3).index_put((image, row, column), over_depth / total[:, None])
    depth = torch.full_like(triangle, torch.nan, dtype=own.dtype)
    return Fragments(triangle, weights, depth.index_put((image, row, column), on_screen.sum(-1) / total))


def _twice_area(p: Float[Tensor, "k 2"], q: Float[Tensor, "k 3"], r: Float[Tensor, "k 3"]) -> Float[Tensor, "k"]:
    """Twice the signed area of the screen triangles p, q, r, from differences: nothing cancels."""
    return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])


def interpolate(
    fragments: Fragments, triangles: Int[Tensor, "t 3"], attributes: Float[Tensor, "n v c"]
) -> Float[Tensor, "b h w c"]:
    """Values given at the vertices, as the pixels see them; 0 where there is none.

    Attributes are one set for each of the b meshes, or one (n = 1) for all.
    """
    batch, height, width = fragments.triangle.shape
    count, per_mesh, channels = attributes.shape
    if count not in (1, batch):
        raise ValueError(
            f"attributes are given for {count} meshes, but fragments hold {batch}; give one set for all or one for each"
        )
    if channels == 0 or len(triangles) == 0:
        return attributes.new_zeros(batch, height, width, channels)
    vertex = triangles.to(fragments.triangle.device).long()[fragments.triangle.clamp_min(0).long()]  # [b, h, w, 3]
    if count > 1:
        vertex = vertex + per_mesh * torch.arange(batch, device=vertex.device).view(-1, 1, 1, 1)
    weights = fragments.weights.to(attributes.dtype).view(-1, 3)
    values = embedding_bag(vertex.view(-1, 3), attributes.flatten(0, 1), mode="sum", per_sample_weights=weights)
    return values.view(batch, height, width, channels)


def sample_texture(texture: Float[Tensor, "h w c"], uv: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b c"]:
    """Bilinear look-up at uv in [0, 1]: u right, v down, 0 and 1 at the texture's outer edges, which are held."""
    grid = (uv * 2 - 1).reshape(1, 1, -1, 2)
    values = grid_sample(
        texture.permute(2, 0, 1)[None], grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return values[0, :, 0].T.reshape(*uv.shape[:-1], texture.shape[-1])


def render_mesh(
    mesh: Mesh,
    camera_from_world: Rigid,
    camera: Pinhole,
    *,
    supersample: int = 2,
    background: Sequence[float] = (1.0, 1.0, 1.0),
    light: Sequence[float] | None = None,
    ambient: float = 0.35,
) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Picture and opacity of a mesh: its texture, or else its vertex colours, or else grey.

    `light` is a direction towards a white light in the camera's frame, such as (0, 0, -1) for a headlight; the colour
    is then multiplied by ambient + (1 - ambient) * max(0, n . l), with the normal turned to the camera. Each pixel
    averages `supersample` squared samples.
    """
    if supersample < 1:
        raise ValueError(f"supersample is {supersample}; give a whole number of samples a side, at least 1")
    vertices = camera_from_world.apply(mesh.vertices)
    fine = camera.resized(camera.width * supersample, camera.height * supersample)
    fragments = rasterise(vertices[None], mesh.triangles, fine)
    paint, textured = _paint(mesh)
    given = paint if light is None else torch.cat([paint, _normals(mesh, vertices, camera_from_world)], -1)
    values = interpolate(fragments, mesh.triangles, given[None])
    colour, normals = values[..., : paint.shape[1]], values[..., paint.shape[1] :]
    if mesh.texture is not None and textured:
        colour = sample_texture(mesh.texture, colour)
    if light is not None:
        colour = colour * _shading(normals, fine, light, ambient)[..., None]
    seen = (fragments.triangle >= 0)[..., None]
    layers = torch.cat([colour.where(seen, 0), seen.to(colour.dtype)], -1).permute(0, 3, 1, 2)
    pooled = avg_pool2d(layers, supersample)[0].permute(1, 2, 0)
    opacity = pooled[..., 3]
    return pooled[..., :3] + (1 - opacity[..., None]) * pooled.new_tensor(background), opacity


def _paint(mesh: Mesh) -> tuple[Float[Tensor, "v c"], bool]:
    """uv (and True) if the mesh is textured, or else colours of the vertices."""
    if mesh.texture is not None and mesh.uv is not None:
        return mesh.uv, True
    return torch.full_like(mesh.vertices, GREY) if mesh.colours is None else mesh.colours, False


def _normals(mesh: Mesh, vertices: Float[Tensor, "v 3"], camera_from_world: Rigid) -> Float[Tensor, "v 3"]:
    """In the camera's frame."""
    if mesh.normals is None:
        return vertex_normals(vertices, mesh.triangles)
    return camera_from_world.turn(mesh.normals)


def _shading(
    normals: Float[Tensor, "1 h w 3"], camera: Pinhole, light: Sequence[float], ambient: float
) -> Float[Tensor, "1 h w"]:
    """Lambert's, on the side of the surface that is seen: a normal along the ray is turned to face it."""
    away = (normals * camera.rays(normals.device)).sum(-1) > 0
    towards = normals.new_tensor(light)
    length = normals.square().sum(-1).clamp_min(1e-24).sqrt() * towards.norm()
    cosine = (normals @ towards) / length
    return ambient + (1 - ambient) * torch.where(away, -cosine, cosine).clamp_min(0)
