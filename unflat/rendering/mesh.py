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
from torch.nn.functional import avg_pool2d, grid_sample

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh, vertex_normals
from unflat.geometry.rotations import Rigid
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
    image, row, column = (triangle >= 0).nonzero(as_tuple=True)
    seen = triangles.to(triangle.device).long()[triangle[image, row, column].long()]  # [k, 3] vertex numbers
    a, b, c = (corners[image, seen[:, corner]] for corner in range(3))
    centre = torch.stack([column, row], -1).to(corners.dtype) + 0.5
    on_screen = torch.stack([_twice_area(centre, b, c), _twice_area(centre, c, a), _twice_area(centre, a, b)], -1)
    # 1/z is affine on the screen, and so is every attribute divided by z
    over_depth = on_screen / torch.stack([a[:, 2], b[:, 2], c[:, 2]], -1)
    total = over_depth.sum(-1)
    weights = corners.new_zeros(*triangle.shape, 3).index_put((image, row, column), over_depth / total[:, None])
    depth = torch.full_like(triangle, torch.nan, dtype=corners.dtype)
    depth = depth.index_put((image, row, column), on_screen.sum(-1) / total)
    return Fragments(triangle, weights, depth)


def _twice_area(p: Tensor, q: Tensor, r: Tensor) -> Tensor:
    """Twice the signed area of the screen triangles p, q, r, from differences: nothing cancels."""
    return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])


def interpolate(
    fragments: Fragments, triangles: Int[Tensor, "t 3"], attributes: Float[Tensor, "n v c"]
) -> Float[Tensor, "b h w c"]:
    """Values given at the vertices (of each mesh, or one set for all: n = b or 1), as the pixels see them; 0 where there is none."""
    batch, height, width = fragments.triangle.shape
    if len(attributes) not in (1, batch):
        raise ValueError(f"attributes are given for {len(attributes)} meshes, fragments hold {batch}; give one set, or one for each")
    image, row, column = (fragments.triangle >= 0).nonzero(as_tuple=True)
    seen = triangles.to(fragments.triangle.device).long()[fragments.triangle[image, row, column].long()]
    owner = image if len(attributes) > 1 else torch.zeros_like(image)
    weights = fragments.weights[image, row, column].to(attributes.dtype)
    values = sum(weights[:, corner, None] * attributes[owner, seen[:, corner]] for corner in range(3))
    empty = attributes.new_zeros(batch, height, width, attributes.shape[-1])
    return empty.index_put((image, row, column), values)


def sample_texture(texture: Float[Tensor, "h w c"], uv: Float[Tensor, "*b 2"]) -> Float[Tensor, "*b c"]:
    """Bilinear look-up at uv in [0, 1] (u to the right, v down, 0 and 1 at the texture's outer edges); edges are held."""
    grid = (uv * 2 - 1).reshape(1, 1, -1, 2)
    values = grid_sample(texture.permute(2, 0, 1)[None], grid, mode="bilinear", padding_mode="border", align_corners=False)
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
    vertices = camera_from_world.apply(mesh.vertices)[None]
    fine = camera.resized(camera.width * supersample, camera.height * supersample)
    fragments = rasterise(vertices, mesh.triangles, fine)
    colour = _colour(mesh, fragments)
    if light is not None:
        colour = colour * _shading(mesh, vertices[0], camera_from_world, fragments, light, ambient)
    seen = (fragments.triangle >= 0)[..., None]
    colour = torch.where(seen, colour, 0)
    layers = torch.cat([colour, seen.to(colour.dtype)], -1).permute(0, 3, 1, 2)
    pooled = avg_pool2d(layers, supersample)[0].permute(1, 2, 0)
    opacity = pooled[..., 3]
    return pooled[..., :3] + (1 - opacity[..., None]) * pooled.new_tensor(background), opacity


def _colour(mesh: Mesh, fragments: Fragments) -> Tensor:
    """[1, h, w, 3]"""
    if mesh.texture is not None and mesh.uv is not None:
        return sample_texture(mesh.texture, interpolate(fragments, mesh.triangles, mesh.uv[None]))
    if mesh.colours is not None:
        return interpolate(fragments, mesh.triangles, mesh.colours[None])
    return torch.full_like(fragments.weights, GREY)


def _shading(
    mesh: Mesh, vertices: Tensor, camera_from_world: Rigid, fragments: Fragments, light: Sequence[float], ambient: float
) -> Tensor:
    """[1, h, w, 1]"""
    if mesh.normals is not None:
        normals = camera_from_world.turn(mesh.normals)
    else:
        normals = vertex_normals(vertices, mesh.triangles)
    normals = interpolate(fragments, mesh.triangles, normals[None])
    normals = normals / normals.square().sum(-1, keepdim=True).clamp_min(1e-24).sqrt()
    towards = normals.new_tensor(light) / normals.new_tensor(light).norm()
    # the side that is seen may be the back of a triangle: turn its normal against the ray (x, y, 1)
    depth = fragments.depth[..., None]
    place = interpolate(fragments, mesh.triangles, vertices[None]) / torch.where(depth.isnan(), 1, depth)
    turned = normals * torch.where((normals * place).sum(-1, keepdim=True) > 0, -1, 1)
    return ambient + (1 - ambient) * (turned * towards).sum(-1, keepdim=True).clamp_min(0)
