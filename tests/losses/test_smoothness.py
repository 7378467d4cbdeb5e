"""Total variation against closed forms."""

import pytest
import torch

from unflat.losses.smoothness import total_variation


def test_a_slope_costs_its_steepness() -> None:
    v, u = torch.meshgrid(torch.arange(6.0), torch.arange(9.0), indexing="ij")
    maps = torch.stack([0.3 * u - 0.2 * v, torch.full_like(u, 7)])
    assert float(total_variation(maps[:1])) == pytest.approx(0.5, abs=1e-5)
    assert float(total_variation(maps)) == pytest.approx(0.25, abs=1e-5)
    assert float(total_variation(maps[1:])) == 0


def test_it_is_the_sum_over_neighbours(generator: torch.Generator) -> None:
    maps = torch.rand(2, 4, 5, generator=generator)
    down = [abs(float(m[i + 1, j] - m[i, j])) for m in maps for i in range(3) for j in range(5)]
    across = [abs(float(m[i, j + 1] - m[i, j])) for m in maps for i in range(4) for j in range(4)]
    assert float(total_variation(maps)) == pytest.approx(sum(down) / len(down) + sum(across) / len(across), abs=1e-6)


def test_neither_mirroring_nor_an_offset_changes_it(generator: torch.Generator) -> None:
    maps = torch.rand(2, 4, 5, generator=generator)
    for other in (maps.flip(-1), maps.flip(-2), maps + 3, -maps, maps.transpose(1, 2)):
        assert torch.allclose(total_variation(maps), total_variation(other), atol=1e-6)
