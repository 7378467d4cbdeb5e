"""Light on surfaces."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unflat.geometry.rotations import Rigid


@dataclass(frozen=True)
class Light:
    """One white distant light and ambient light: shading = ambient + diffuse * max(0, normal . direction)."""

    ambient: Float[Tensor, "b"]
    diffuse: Float[Tensor, "b"]
    direction: Float[Tensor, "b 3"]
    """unit, towards the light, in the frame of the normals it shades"""

    def __getitem__(self, index: "slice | Tensor") -> "Light":
        return Light(self.ambient[index], self.diffuse[index], self.direction[index])

    @staticmethod
    def tilted(
        q: Float[Tensor, "b 4"], ambient: tuple[float, float] = (0.0, 1.0), diffuse: tuple[float, float] = (0.0, 1.0)
    ) -> "Light":
        """Four numbers in [-1, 1] as a light from the camera's side: two strengths, each across its range, and the
        tilts of (q2, q3, 1), at most 45 degrees a side (Wu et al. 2020, section 3.1)."""
        # towards the light is towards the camera: z is negative
        direction = -torch.cat([q[:, 2:], torch.ones_like(q[:, :1])], 1)
        return Light(
            ambient=ambient[0] + (ambient[1] - ambient[0]) * (q[:, 0] / 2 + 0.5),
            diffuse=diffuse[0] + (diffuse[1] - diffuse[0]) * (q[:, 1] / 2 + 0.5),
            direction=direction / direction.norm(dim=1, keepdim=True),
        )

    def turned(self, b_from_a: Rigid) -> "Light":
        """The same light in frame b, given in frame a."""
        return Light(self.ambient, self.diffuse, b_from_a.turn(self.direction[:, None])[:, 0])


def lambertian(normals: Float[Tensor, "b h w 3"], light: Light) -> Float[Tensor, "b h w"]:
    """ambient + diffuse * max(0, n . l)."""
    (nx, ny, nz), (x, y, z) = normals.unbind(-1), light.direction[:, :, None, None].unbind(1)
    cosine = (nx * x + ny * y + nz * z).clamp_min(0)  # a sum over three neighbours in memory is several times slower
    return light.ambient[:, None, None] + light.diffuse[:, None, None] * cosine
