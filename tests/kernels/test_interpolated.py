"""Values at a mesh's vertices as the pixels see them: closed forms, and the loop against its twin."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from unflat.kernels import interpolated as module
from unflat.kernels.interpolated import interpolated, interpolated_numba, interpolated_torch
from unflat.kernels.visible_triangles import visible_triangles

BackEnd = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
both = pytest.mark.parametrize("back_end", [interpolated_torch, interpolated_numba])


def soup(generator: torch.Generator, batch: int = 2, count: int = 30, size: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Random triangles all over the picture, and what is seen of them."""
    corners = torch.rand(batch, 3 * count, 3, generator=generator) * torch.tensor([1.4 * size, 1.4 * size, 2.0])
    corners += torch.tensor([-0.2 * size, -0.2 * size, 0.5])
    triangles = torch.arange(3 * count, dtype=torch.int32).view(-1, 3)
    return corners, triangles, visible_triangles(corners, triangles, size, size)


@both
def test_a_plane_in_space_is_met_by_the_rays(back_end: BackEnd) -> None:
    """z = 4 + x seen with focal length 8: on the ray x = s z, z = 4 / (1 - s)."""
    points = torch.tensor([[-2.0, -3.0, 0], [1.5, -3.0, 0], [-2.0, 3.0, 0], [1.5, 3.0, 0]])
    points[:, 2] = 4 + points[:, 0]
    corners = torch.stack([8 * points[:, 0] / points[:, 2] + 4, 8 * points[:, 1] / points[:, 2] + 4, points[:, 2]], 1)
    triangles = torch.tensor([[0, 1, 2], [1, 3, 2]], dtype=torch.int32)
    seen = visible_triangles(corners[None], triangles, 6, 6)
    assert (seen >= 0).all()
    x, y, z = back_end(corners[None], triangles, seen, points[None])[0].unbind(-1)
    slope = (torch.arange(6) + 0.5 - 4) / 8
    torch.testing.assert_close(z, (4 / (1 - slope)).expand(6, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(x, z * slope, atol=1e-5, rtol=0)
    torch.testing.assert_close(y, z * slope[:, None], atol=1e-5, rtol=0)


@both
def test_one_is_one_where_something_is_seen_and_nothing_elsewhere(
    back_end: BackEnd, generator: torch.Generator
) -> None:
    corners, triangles, seen = soup(generator, count=6)
    assert (seen < 0).any() and (seen >= 0).any()
    ones = back_end(corners, triangles, seen, torch.ones(1, corners.shape[1], 1))[..., 0]
    torch.testing.assert_close(ones, (seen >= 0).float(), atol=1e-5, rtol=0)


def test_the_loop_and_its_twin_agree(generator: torch.Generator) -> None:
    corners, triangles, seen = soup(generator)
    for sets in (1, 2):
        attributes = torch.randn(sets, corners.shape[1], 5, generator=generator)
        fast, slow = (each(corners, triangles, seen, attributes) for each in (interpolated_numba, interpolated_torch))
        torch.testing.assert_close(fast, slow, atol=1e-4, rtol=0)


def test_each_mesh_has_its_own_values(generator: torch.Generator) -> None:
    corners, triangles, seen = soup(generator)
    attributes = torch.randn(2, corners.shape[1], 2, generator=generator)
    together = interpolated(corners, triangles, seen, attributes)
    for n in range(2):
        alone = interpolated(corners[n : n + 1], triangles, seen[n : n + 1], attributes[n : n + 1])
        assert torch.equal(together[n], alone[0])


def test_numbers_of_meshes_that_do_not_fit(generator: torch.Generator) -> None:
    corners, triangles, seen = soup(generator)
    with pytest.raises(ValueError, match="given for 3 meshes and corners for 2; give one set for all or one for each"):
        interpolated(corners, triangles, seen, torch.zeros(3, corners.shape[1], 1))


def test_without_numba_the_twin_answers(monkeypatch: pytest.MonkeyPatch, generator: torch.Generator) -> None:
    corners, triangles, seen = soup(generator)
    attributes = torch.randn(1, corners.shape[1], 2, generator=generator)
    monkeypatch.setattr(module, "_numba_loop", lambda: None)
    assert torch.equal(
        interpolated(corners, triangles, seen, attributes), interpolated_torch(corners, triangles, seen, attributes)
    )
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'unflat\[fast\]'"):
        interpolated_numba(corners, triangles, seen, attributes)
