"""Depth maps as points and normals. Depth is along z, in the camera's frame."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from unflat.geometry.cameras import Pinhole


def unproject(depth: Float[Tensor, "b h w"], camera: Pinhole) -> Float[Tensor, "b h w 3"]:
    """The point seen at every pixel centre."""
    return depth[..., None] * camera.rays(depth.device, depth.dtype)


def cross(a: Float[Tensor, "*b 3"], b: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """The vector product, written out: `torch.linalg.cross` is several times slower on strided maps."""
    (ax, ay, az), (bx, by, bz) = a.unbind(-1), b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def normals_of(depth: Float[Tensor, "b h w"], camera: Pinhole) -> Float[Tensor, "b h w 3"]:
    """Unit normals towards the camera, from differences two pixels wide; the outermost pixels read (0, 0, -1).

    With a point P = depth * K^-1 (u, v, 1): n = (dP/dv x dP/du) / |.|, Unsup3D's normal turned to the camera.
    """
    points = unproject(depth, camera)
    along_u = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    along_v = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    raw = cross(along_v, along_u)
    inside = raw / raw.square().sum(-1, keepdim=True).clamp_min(1e-24).sqrt()
    normals = pad(inside, (0, 0, 1, 1, 1, 1))
    border = torch.ones_like(depth)
    border[:, 1:-1, 1:-1] = 0
    return torch.cat([normals[..., :2], normals[..., 2:] - border[..., None]], -1)


def paraboloid(size: int) -> Float[Tensor, "s s"]:
    """x^2 + y^2 over a square map, x and y from -1 to 1, less its mean: near in the middle, far at the border."""
    across = torch.linspace(-1, 1, size).square()
    bowl = across[:, None] + across[None, :]
    return bowl - bowl.mean()
