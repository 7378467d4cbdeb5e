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

    With a point P = depth * K^-1 (u, v, 1) = depth * (x, y, 1): n = (dP/dv x dP/du) / |.|, Unsup3D's normal turned to
    the camera. Multiplied out, it is along (p, q, -(1 + x p + y q)), where p = fx (d_right - d_left) / (d_right +
    d_left) and q = fy (d_below - d_above) / (d_below + d_above): a third of the work of the points' vector product.
    The three components lie in memory one after the other, as shading reads them.
    """
    left, right = depth[:, 1:-1, :-2], depth[:, 1:-1, 2:]
    above, below = depth[:, :-2, 1:-1], depth[:, 2:, 1:-1]
    p = camera.fx * (right - left) / (right + left).clamp_min(1e-12)  # depth 0 everywhere faces the camera
    q = camera.fy * (below - above) / (below + above).clamp_min(1e-12)
    x, y, _ = camera.rays(depth.device, depth.dtype)[1:-1, 1:-1].unbind(-1)
    forward = 1 + x * p + y * q
    share = (p * p + q * q + forward * forward).rsqrt()
    frame = (1, 1, 1, 1)
    parts = pad(p * share, frame), pad(q * share, frame), pad(-forward * share, frame, value=-1.0)
    return torch.stack(parts, 1).permute(0, 2, 3, 1)


def paraboloid(size: int, tall: float = 1.0) -> Float[Tensor, "s s"]:
    """x^2 + (y / tall)^2 over a square map, x and y from -1 to 1, less its mean: near in the middle, far at the border;
    `tall` is how much longer it is from top to bottom than from left to right."""
    across = torch.linspace(-1, 1, size).square()
    bowl = across[:, None] / tall**2 + across[None, :]
    return bowl - bowl.mean()
