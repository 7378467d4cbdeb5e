"""Rotations and rigid motions. Angles in radians; a transform's name says which frames it joins."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


def rotation_from_euler(angles: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """R = Rz(roll) Ry(yaw) Rx(pitch) of right-handed turns about x, y and z, given as (x, y, z) in radians."""
    x, y, z = angles.unbind(-1)
    cx, sx, cy, sy, cz, sz = x.cos(), x.sin(), y.cos(), y.sin(), z.cos(), z.sin()
    rows = [
        cz * cy, cz * sy * sx - sz * cx, cz * sy * cx + sz * sx,
        sz * cy, sz * sy * sx + cz * cx, sz * sy * cx - cz * sx,
        -sy, cy * sx, cy * cx,
    ]  # fmt: skip
    return torch.stack(rows, -1).view(*angles.shape[:-1], 3, 3)


def euler_from_rotation(rotation: Float[Tensor, "*b 3 3"]) -> Float[Tensor, "*b 3"]:
    """The (x, y, z) angles in radians of R = Rz Ry Rx, yaw within a quarter turn."""
    pitch = torch.atan2(rotation[..., 2, 1], rotation[..., 2, 2])
    yaw = torch.asin((-rotation[..., 2, 0]).clamp(-1, 1))
    roll = torch.atan2(rotation[..., 1, 0], rotation[..., 0, 0])
    return torch.stack([pitch, yaw, roll], -1)


def turned(matrix: Float[Tensor, "*#b 3 3"], vectors: Float[Tensor, "*#b n 3"]) -> Float[Tensor, "*b n 3"]:
    """Matrix times vectors. Written out: a matrix product would be rounded to ten bits under autocast or TF32, which
    moves a point at depth 1 by a third of a pixel."""
    x, y, z = matrix[..., None, :, :].unbind(-1)
    return x * vectors[..., :1] + y * vectors[..., 1:2] + z * vectors[..., 2:]


@dataclass(frozen=True)
class Rigid:
    """Rotation, then translation: `x_b = rotation @ x_a + translation` for a `Rigid` called `b_from_a`."""

    rotation: Float[Tensor, "*b 3 3"]
    translation: Float[Tensor, "*b 3"]

    @staticmethod
    def about(
        centre: Float[Tensor, "3"], rotation: Float[Tensor, "*b 3 3"], translation: Float[Tensor, "*b 3"]
    ) -> "Rigid":
        """A turn about `centre`, then a shift: x' = R (x - c) + c + t."""
        return Rigid(rotation, centre - (rotation * centre).sum(-1) + translation)

    @property
    def inverse(self) -> "Rigid":
        """`a_from_b` of this `b_from_a`."""
        transposed = self.rotation.transpose(-1, -2)
        return Rigid(transposed, -(transposed * self.translation[..., None, :]).sum(-1))

    def __matmul__(self, other: "Rigid") -> "Rigid":
        """`c_from_b @ b_from_a` is `c_from_a`."""
        rotation = turned(self.rotation, other.rotation.transpose(-1, -2)).transpose(-1, -2)
        return Rigid(rotation, (self.rotation * other.translation[..., None, :]).sum(-1) + self.translation)

    def apply(self, points: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
        """Move points from frame a to frame b."""
        return turned(self.rotation, points) + self.translation[..., None, :]

    def turn(self, vectors: Float[Tensor, "*b n 3"]) -> Float[Tensor, "*b n 3"]:
        """Turn directions from frame a to frame b."""
        return turned(self.rotation, vectors)

    def __getitem__(self, index: "int | slice | Tensor") -> "Rigid":
        return Rigid(self.rotation[index], self.translation[index])
