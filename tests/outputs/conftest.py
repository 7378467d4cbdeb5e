"""A world whose pictures are known exactly: a painted ellipsoid before a wall, met by rays in closed form."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from unflat.data.kinds import Photos
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.depth import unproject
from unflat.geometry.meshes import Mesh, grid_triangles, vertex_normals
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.method import Light, Prediction

SIZE = 32
RADII = (0.055, 0.07, 0.06)
WALL = 1.03
MIDDLE = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class World:
    """Painted ellipsoids seen from `views` under `lights` (in the canonical frame)."""

    camera: Pinhole
    views: Float[Tensor, "n 6"]
    lights: Float[Tensor, "n 5"]
    prediction: Prediction
    photos: Photos


def albedo_at(points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """Red grows to the right, green downwards; a blue patch on the upper left of the ellipsoid, a dark wall."""
    x, y, z = points.unbind(-1)
    patch = ((x + 0.025).abs() < 0.012) & ((y + 0.03).abs() < 0.012)
    skin = torch.stack([0.5 + 5 * x, 0.5 + 4 * y, torch.full_like(x, 0.3)], -1)
    painted = torch.where(patch[..., None], skin.new_tensor([0.1, 0.1, 0.95]), skin)
    return torch.where((z > WALL - 1e-4)[..., None], skin.new_tensor([0.2, 0.2, 0.2]), painted).clamp(0, 1)


def meet(origin: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
    """Points where rays meet the ellipsoid, or else the wall, and unit normals against the rays; NaN where neither."""
    radii, middle = rays.new_tensor(RADII), rays.new_tensor(MIDDLE)
    o, r = (origin - middle) / radii, rays / radii
    a, b, c = (r * r).sum(-1), (o * r).sum(-1), (o * o).sum(-1) - 1
    inside = b * b - a * c
    near = (-b - inside.clamp_min(0).sqrt()) / a
    wall = (WALL - origin[2]) / rays[..., 2]
    on_body = (inside > 0) & (near < wall)
    points = origin + torch.where(on_body, near, wall)[..., None] * rays
    normals = torch.where(on_body[..., None], (points - middle) / radii**2, rays.new_tensor([0.0, 0, -1]))
    lost = ~on_body & ((points[..., :2] / points[..., 2:]).abs() > math.tan(math.radians(5))).any(-1)
    points = points.where(~lost[..., None], torch.nan)
    return points, normals / normals.norm(dim=-1, keepdim=True)


def picture(camera: Pinhole, view_from_canonical: Rigid, light: Light) -> Prediction:
    """All maps of one photo, a batch of one."""
    back = view_from_canonical.inverse
    rays = camera.rays().double()
    points, normals = meet(back.translation.double(), back.turn(rays))
    depth = view_from_canonical.apply(points.flatten(0, 1)).view_as(points)[..., 2]
    shading = light.ambient + light.diffuse * (normals @ light.direction[0].double()).clamp_min(0)
    albedo = albedo_at(points).nan_to_num(0.0)
    there = depth.isfinite()
    return Prediction(
        rgb=(albedo * shading[..., None])[None].clamp(0, 1).float(),
        depth=depth[None].float(),
        normals=view_from_canonical.turn(normals).where(there[..., None], torch.nan)[None].float(),
        albedo=albedo[None].float(),
        shading=shading.where(there, 0)[None].float(),
        opacity=there[None].float(),
    )


def relief(depth: Float[Tensor, "h w"], texture: Float[Tensor, "h w 3"], camera: Pinhole) -> Mesh:
    vertices = unproject(depth[None], camera).flatten(0, 2)
    triangles = grid_triangles(*depth.shape)
    v, u = torch.meshgrid((torch.arange(SIZE) + 0.5) / SIZE, (torch.arange(SIZE) + 0.5) / SIZE, indexing="ij")
    uv = torch.stack([u, v], -1).flatten(0, 1)
    return Mesh(vertices, triangles, normals=vertex_normals(vertices, triangles), uv=uv, texture=texture)


@pytest.fixture(scope="session")
def world() -> World:
    camera = Pinhole.across_centres(SIZE, math.radians(10))
    views = torch.tensor([[0.1, 0.5, 0.1, 0.01, 0.0, 0.0], [-0.2, -0.6, 0.0, 0.0, 0.005, 0.0]])
    lights = torch.tensor([[0.3, 0.6, -0.5, -0.4, -1.0], [0.4, 0.5, 0.6, 0.0, -1.0]])
    lights[:, 2:] /= lights[:, 2:].norm(dim=1, keepdim=True)
    parts, fronts = [], []
    poses = Rigid.about(torch.tensor(MIDDLE), rotation_from_euler(views[:, :3]), views[:, 3:])
    for index in range(len(views)):
        light = Light(lights[index : index + 1, 0], lights[index : index + 1, 1], lights[index : index + 1, 2:])
        double = Rigid(poses.rotation[index].double(), poses.translation[index].double())
        parts.append(picture(camera, double, light))
        fronts.append(picture(camera, Rigid(torch.eye(3).double(), torch.zeros(3).double()), light))

    def all_of(pictures: list[Prediction]) -> dict[str, Tensor]:
        return {name: torch.cat([getattr(p, name) for p in pictures]) for name in pictures[0].filled}

    light = Light(lights[:, 0], lights[:, 1], lights[:, 2:])
    in_view = Light(lights[:, 0], lights[:, 1], (poses.rotation @ lights[:, 2:, None])[..., 0])
    canonical = Prediction(**all_of(fronts), light=light)
    confidence = torch.full((2, SIZE, SIZE), 0.9)
    confidence[:, 8:14, 4:10] = 0.3
    assert canonical.depth is not None and canonical.rgb is not None
    prediction = Prediction(
        **all_of(parts),
        confidence=confidence,
        light=in_view,
        cameras=Cameras(camera, poses),
        mesh=tuple(relief(d, t, camera) for d, t in zip(canonical.depth, canonical.rgb, strict=True)),
        canonical=canonical,
    )
    assert prediction.rgb is not None
    rgb = (prediction.rgb.numpy() * 255 + 0.5).astype(np.uint8)
    return World(camera, views, lights, prediction, Photos(rgb, ("set/one.jpg", "set/two.png")))
