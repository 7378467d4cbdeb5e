"""An atlas in pieces: triangles stay in their order, and no two share a texel."""

import pytest
import torch

from unflat.geometry.meshes import Mesh
from unflat.outputs import atlas
from unflat.outputs.atlas import filled, texels_of, unwrapped
from unflat.outputs.surfaces import surface_of

CUBE = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def ring() -> Mesh:
    def torus(points: torch.Tensor) -> torch.Tensor:
        return torch.hypot(points[:, :2].norm(dim=-1) - 0.6, points[:, 2]) - 0.25

    return surface_of(torus, CUBE, 20, 0.0, "below")


@pytest.mark.parametrize("together", [300, 10_000])
def test_triangles_stay_in_their_order(ring: Mesh, together: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atlas, "TOGETHER", together)
    flat, width, height = unwrapped(ring, 256)
    assert max(width, height) == 256
    assert torch.equal(flat.vertices[flat.triangles.long()], ring.vertices[ring.triangles.long()])
    assert flat.normals is not None and ring.normals is not None and flat.uv is not None
    assert torch.equal(flat.normals[flat.triangles.long()], ring.normals[ring.triangles.long()])
    corners = flat.uv[flat.triangles.long()].double() * torch.tensor([width, height])
    (ax, ay), (bx, by) = (side.unbind(-1) for side in (corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    areas = (ax * by - ay * bx) / 2
    assert (areas.abs() > 0).all()
    _, there = texels_of(flat, width, height)
    assert areas.abs().sum() < there.sum() < 1.6 * areas.abs().sum(), "they lie beside each other"


def test_texels_lie_on_the_surface(ring: Mesh) -> None:
    flat, width, height = unwrapped(ring, 128)
    places, there = texels_of(flat, width, height)
    points, normals = places[there][:, :3], places[there][:, 3:]
    assert (torch.hypot(points[:, :2].norm(dim=-1) - 0.6, points[:, 2]) - 0.25).abs().max() < 0.03
    assert torch.allclose(normals.norm(dim=-1), torch.ones(len(normals)), atol=1e-5)


def test_what_is_empty_gets_the_nearest_colour() -> None:
    texture, there = torch.zeros(4, 6, 3), torch.zeros(4, 6, dtype=torch.bool)
    texture[1, 0], texture[2, 5] = 0.25, 0.75
    there[1, 0] = there[2, 5] = True
    found = filled(texture, there)
    assert bool((found[:, :2] == 0.25).all()) and bool((found[:, 4:] == 0.75).all())
