"""The networks behind a photo's factors."""

import itertools

import pytest
import torch

from unflat.networks.factors import FIRST_RELIEF, FactorNetworks


def built(size: int = 32, stride: int = 1, depth_stride: int = 1, **flags: bool) -> FactorNetworks:
    torch.manual_seed(0)
    return FactorNetworks(size, stride, depth_stride, 8, 16, **{"shared": True, "shading": False, **flags})


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("stride", "depth_stride"), [*itertools.product([1, 2], [1, 2, 4])])
def test_maps_have_the_photos_size_and_depth_its_own(stride: int, depth_stride: int, shared: bool) -> None:
    raw = built(32, stride, depth_stride, shared=shared, shading=True)(torch.rand(2, 3, 32, 32))
    assert raw.depth.shape == (2, 1, 32 // depth_stride, 32 // depth_stride)
    assert raw.albedo.shape == (2, 3, 32, 32)
    assert [part.shape for part in raw.confidence] == [(2, 2, 32, 32), (2, 2, 8, 8)]
    assert raw.shading is not None and raw.shading.shape == (2, 1, 32, 32)
    assert (raw.light.shape, raw.view.shape) == ((2, 4), (2, 6))


def test_the_view_alone_is_the_view_of_all() -> None:
    networks, photo = built(), torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(networks.view_of(photo), networks(photo).view)


def test_a_coarser_network_sees_the_mean_of_its_pixels() -> None:
    networks, photo = built(stride=2), torch.rand(2, 3, 16, 16)
    fine = photo.repeat_interleave(2, 2).repeat_interleave(2, 3)
    noise = torch.randn(2, 3, 16, 16)
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 2.0 - 1  # averages to nothing in every 2 x 2
    wavy = fine + 0.1 * checks * noise.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(networks(wavy).view, networks(fine).view)


def test_all_begin_with_nearly_the_same_relief() -> None:
    depth = built()(torch.rand(4, 3, 32, 32)).depth
    untouched = built()
    untouched.scale_output("depth", [1 / FIRST_RELIEF])
    assert depth.std() < 0.1 * untouched(torch.rand(4, 3, 32, 32)).depth.std()


def test_scaling_an_output_scales_what_the_head_says() -> None:
    networks, photo = built(), torch.rand(2, 3, 32, 32)
    before = networks(photo).view
    networks.scale_output("view", [2.0, 1.0, 1.0, 1.0, 1.0, -1.0])
    torch.testing.assert_close(networks(photo).view, before * torch.tensor([2.0, 1, 1, 1, 1, -1]))


@pytest.mark.parametrize(("size", "stride", "depth_stride"), [(16, 2, 1), (32, 1, 8), (32, 4, 1)])
def test_too_coarse_a_grid_is_refused(size: int, stride: int, depth_stride: int) -> None:
    with pytest.raises(ValueError, match=f"photos of {size} px leave too little .* take larger photos or smaller"):
        built(size, stride, depth_stride)
