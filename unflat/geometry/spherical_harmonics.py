"""Real spherical harmonics of directions, orthonormal, up to degree 3; in the order and with the signs of Plenoxels."""

import torch
from jaxtyping import Float
from torch import Tensor

BANDS = (1, 4, 9, 16)
"""how many functions there are up to degree 0, 1, 2, 3"""


def harmonics(directions: Float[Tensor, "*b 3"], count: int) -> Float[Tensor, "*b k"]:
    """The first `count` (1, 4, 9 or 16) functions at unit directions."""
    if count not in BANDS:
        raise ValueError(f"there are {', '.join(map(str, BANDS))} spherical harmonics up to a degree, not {count}")
    x, y, z = directions.unbind(-1)
    values = [torch.full_like(x, 0.28209479177387814)]
    if count > 1:
        values += [-0.4886025119029199 * y, 0.4886025119029199 * z, -0.4886025119029199 * x]
    if count > 4:
        values += [
            1.0925484305920792 * x * y, -1.0925484305920792 * y * z, 0.31539156525252005 * (3 * z * z - 1),
            -1.0925484305920792 * x * z, 0.5462742152960396 * (x * x - y * y),
        ]  # fmt: skip
    if count > 9:
        values += [
            -0.5900435899266435 * y * (3 * x * x - y * y), 2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * z * z - 1), 0.3731763325901154 * z * (5 * z * z - 3),
            -0.4570457994644658 * x * (5 * z * z - 1), 1.445305721320277 * z * (x * x - y * y),
            -0.5900435899266435 * x * (x * x - 3 * y * y),
        ]  # fmt: skip
    return torch.stack(values, -1)
