"""TensoRF: its sizes, its schedule, and that growth and shrinking leave the field as it is."""

import math

import pytest
import torch

from unflat.methods.radiance import tensorf
from unflat.methods.radiance.tensorf import Config, TensoRF
from unflat.training.run import build
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def vase():  # type: ignore[no-untyped-def]
    return Objects("vase", 12, 32).capture(progress=False)


def fresh(vase, **changes) -> TensoRF:  # type: ignore[no-untyped-def]
    settings = {"components": (2, 3), "features": 4, "voxels": (1000, 8000), "growths": (5, 8), "masks": (4, 6)}
    return build(TensoRF, Config(**{**settings, "width": 8, "batch_size": 128, **changes}), vase.extent, 0)  # type: ignore[return-value]


def test_vm_192_has_as_many_numbers_as_the_table_says() -> None:
    """17.4 million at 300^3: 3 (16 + 48) (300^2 + 300), and B and the network."""
    config = Config()
    factors = 3 * sum(config.components) * (300**2 + 300)
    network = 27 * 144 + 150 * 128 + 128 + 128 * 128 + 128 + 128 * 3 + 3
    assert factors + network == pytest.approx(17.4e6, rel=5e-3)


def test_the_published_settings_are_the_defaults() -> None:
    config, training = Config(), tensorf.chair().training
    assert (config.growths, config.masks, config.batch_size) == ((2000, 3000, 4000, 5500, 7000), (2000, 4000), 4096)
    assert (training.steps, training.rate) == (30_000, 0.02)
    assert tensorf.chair().published == {"PSNR": 35.76}


def test_rates_begin_anew_at_every_growth_and_fall_to_a_tenth_in_all(vase) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase, tenth=100)
    assert [method.rate_at(step) for step in (0, 4, 5, 7, 8, 108)] == pytest.approx(
        [1, 0.1**0.04, 1, 0.1**0.02, 1, 0.1]
    )


def test_voxel_counts_grow_evenly_on_a_logarithmic_scale(vase) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase)
    counts = [math.prod(method.grid)]
    for _ in range(2):
        method.grow()
        counts.append(math.prod(method.grid))
    assert counts == pytest.approx([1000, math.sqrt(1000 * 8000), 8000], rel=0.15)


@pytest.mark.parametrize("decomposition", ["VM", "CP"])
def test_growth_leaves_the_field_at_the_corners(vase, decomposition: str) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase, decomposition=decomposition, density_shift=0.0)
    corners = torch.cartesian_prod(*torch.stack([method.low, method.high], 1)) * 0.999999
    directions = torch.nn.functional.normalize(torch.ones(8, 3), dim=1)
    before = method.field(corners, directions)
    method.grow()
    after = method.field(corners, directions)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("decomposition", ["VM", "CP"])
def test_shrinking_leaves_the_field_inside_the_new_box(vase, decomposition: str) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase, decomposition=decomposition, voxels=(4000, 8000), density_shift=0.0)
    there = torch.zeros(method.grid, dtype=torch.bool)
    there[5:9, 4:8, 6:10] = True
    side = (method.high - method.low) / (method.shape - 1)
    low, high = method.low + torch.tensor([5, 4, 6]) * side, method.low + torch.tensor([8, 7, 9]) * side
    generator = torch.Generator().manual_seed(0)
    points = low + torch.rand(200, 3, generator=generator) * (high - low)
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator), dim=1)
    before = method.field(points, directions)
    method._shrink(there)
    assert (method.low <= low).all() and (method.high >= high).all() and method.grid == (6, 6, 6)
    for a, b in zip(before, method.field(points, directions), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_masks_keep_all_that_stops_light(vase) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase, density_shift=6.0)
    with torch.no_grad():
        for factor in method.density:
            factor.mul_(30)
    there = method.opaque()
    assert 0 < there.float().mean() < 1
    method.look()
    points = method.low + torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * (method.high - method.low)
    directions = torch.zeros(2000, 3)
    directions[:, 2] = 1
    density, _ = method.field(points, directions)
    method.clear.zero_()
    unmasked, _ = method.field(points, directions)
    thick = method.walk().step * unmasked > 0.02
    lost = (density == 0) & thick
    # between entries a product of factors may be larger than at all of them; nothing else may be lost
    assert thick.any() and lost.float().mean() < 0.01


def test_an_empty_box_is_said(vase) -> None:  # type: ignore[no-untyped-def]
    method = fresh(vase, density_shift=100.0)
    with pytest.raises(ValueError, match="all of the box is empty"):
        method.look()


def test_what_is_penalised_everywhere_is_updated_everywhere(vase) -> None:  # type: ignore[no-untyped-def]
    dense, sparse = fresh(vase), fresh(vase, l1_weight=(0.0, 0.0))
    assert {group.rule for group in dense.parameter_groups()} == {"adam"}
    assert [group.rule for group in sparse.parameter_groups()][:3] == ["touched"] * 3
    losses = dense.losses(next(dense.batches(vase, 0, 0)), 0)
    expected = 8e-5 * sum(float(factor.detach().abs().mean()) for factor in dense.density)
    assert losses.terms["l1"].detach().item() == pytest.approx(expected, rel=1e-4)
