"""Picture metrics against closed forms, windows one by one, and scikit-image where its settings are the same."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch import Tensor

from unflat.metrics.images import average_error, psnr, ssim, ssim_map


def pictures(generator: torch.Generator, *size: int) -> Tensor:
    return torch.rand(*size, 3, generator=generator, dtype=torch.float64)


def plain(value: float, height: int = 12, width: int = 15) -> Tensor:
    return torch.full((1, height, width, 3), value, dtype=torch.float64)


def test_psnr_of_a_constant_error_is_20_db_for_every_factor_of_ten(generator: torch.Generator) -> None:
    truth = 0.2 + 0.6 * pictures(generator, 3, 5, 7)
    error = torch.tensor([0.1, 0.01, 0.001], dtype=torch.float64)[:, None, None, None]
    assert torch.allclose(psnr(truth + error, truth), torch.tensor([20.0, 40.0, 60.0], dtype=torch.float64))


def test_psnr_counts_every_channel_of_every_pixel() -> None:
    """An error of 0.5 in one of 4 * 5 * 3 numbers."""
    image = plain(0.5, 4, 5)
    image[0, 2, 3, 1] = 1.0
    assert float(psnr(image, plain(0.5, 4, 5))) == pytest.approx(-10 * math.log10(0.25 / 60))


def test_psnr_is_of_each_picture_infinite_where_they_are_equal_and_of_clamped_colours() -> None:
    truth = torch.cat([plain(0.0), plain(0.0), plain(1.0)])
    image = torch.cat([plain(0.0), plain(0.1), plain(7.0)])
    found = psnr(image.float(), truth.float())
    assert found.dtype == torch.float64 and found[[0, 2]].tolist() == [math.inf, math.inf]
    assert float(found[1]) == pytest.approx(20, abs=1e-6)


def test_psnr_under_a_mask_is_that_of_the_pixels_cut_out(generator: torch.Generator) -> None:
    image, truth = pictures(generator, 2, 6, 8), pictures(generator, 2, 6, 8)
    mask = torch.zeros(2, 6, 8, dtype=torch.bool)
    mask[:, 1:4, 2:7] = True
    wanted = psnr(image[:, 1:4, 2:7], truth[:, 1:4, 2:7])
    image[:, 5] = torch.nan  # what is not compared may be anything
    assert torch.allclose(psnr(image, truth, mask), wanted)
    mask[1] = False
    assert psnr(image, truth, mask).isnan().tolist() == [False, True]


def test_ssim_is_the_formula_in_every_window(generator: torch.Generator) -> None:
    """Weighted means over 11 x 11 pixels, window by window."""
    image, truth = pictures(generator, 2, 14, 13).numpy(), pictures(generator, 2, 14, 13).numpy()
    truth = 0.5 * truth + 0.5 * image
    weight = np.array([[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for j in range(11)] for i in range(11)])
    weight /= weight.sum()
    wanted = np.zeros((2, 4, 3, 3))
    for n, i, j, c in np.ndindex(wanted.shape):
        a, b = image[n, i : i + 11, j : j + 11, c], truth[n, i : i + 11, j : j + 11, c]
        mean_a, mean_b = (weight * a).sum(), (weight * b).sum()
        var_a, var_b = (weight * (a - mean_a) ** 2).sum(), (weight * (b - mean_b) ** 2).sum()
        covariance = (weight * (a - mean_a) * (b - mean_b)).sum()
        wanted[n, i, j, c] = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
        wanted[n, i, j, c] *= (2 * covariance + 9e-4) / (var_a + var_b + 9e-4)
    found = ssim_map(torch.from_numpy(image), torch.from_numpy(truth))
    assert np.allclose(found, wanted, rtol=0, atol=1e-12) and 0.3 < wanted.mean() < 0.9
    assert np.allclose(ssim(torch.from_numpy(image), torch.from_numpy(truth)), wanted.mean((1, 2, 3)))


@pytest.mark.parametrize("noise", [0.01, 0.3])
def test_ssim_is_that_of_scikit_image_with_these_settings(noise: float, generator: torch.Generator) -> None:
    v, u = np.mgrid[0:1:40j, 0:1:52j]
    truth = torch.from_numpy(np.stack([u, v, 0.5 + 0.5 * np.sin(20 * u * v)], -1))
    image = (truth + noise * (pictures(generator, 40, 52) - 0.5)).clamp(0, 1)
    mean, full = structural_similarity(
        image.numpy(), truth.numpy(), channel_axis=-1, data_range=1, full=True,
        gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    )  # fmt: skip
    assert float(ssim(image[None], truth[None])) == pytest.approx(mean, abs=1e-12)
    assert np.allclose(ssim_map(image[None], truth[None])[0], full[5:-5, 5:-5], rtol=0, atol=1e-12)


def test_ssim_of_plain_pictures_is_that_of_their_brightness() -> None:
    for a, b in ((0.0, 1.0), (0.3, 0.7), (0.5, 0.5)):
        wanted = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
        assert float(ssim(plain(a), plain(b))) == pytest.approx(wanted, abs=1e-9)


def test_ssim_of_a_bright_pixel_on_black() -> None:
    """One window of 11 x 11, the pixel one row and two columns from its middle: mean w, variance w - w^2."""
    image = plain(0.0, 11, 11)
    image[0, 6, 3] = 1
    gaussian = [math.exp(-(k**2) / 4.5) for k in range(-5, 6)]
    w = gaussian[6] * gaussian[3] / sum(gaussian) ** 2
    found = ssim_map(image, plain(0.0, 11, 11))
    assert found.shape == (1, 1, 1, 3)
    assert torch.allclose(found, torch.tensor(1e-4 / (w**2 + 1e-4) * 9e-4 / (w - w**2 + 9e-4), dtype=torch.float64))


def test_ssim_of_a_picture_with_itself_is_1_and_its_order_does_not_count(generator: torch.Generator) -> None:
    image, truth = pictures(generator, 2, 16, 20), pictures(generator, 2, 16, 20)
    assert torch.allclose(ssim(image, image), torch.ones(2, dtype=torch.float64), rtol=0, atol=1e-12)
    assert torch.equal(ssim(image, truth), ssim(truth, image))
    assert (ssim(image, 1 - image) < -0.8).all()  # the negative of it
    assert torch.equal(ssim(2 * image, truth), ssim((2 * image).clamp(max=1), truth))


def test_ssim_is_at_most_1_where_rounding_is_all_there_is(generator: torch.Generator) -> None:
    """Noise of 1e-9 on bright pictures: variances are lost in rounding and may come out negative."""
    image, truth = (0.9 + 1e-9 * pictures(generator, 1, 30, 30) for _ in range(2))
    assert (ssim_map(image, truth) - 1).abs().max() < 1e-9


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"predicted pictures are \(1, 12, 15, 3\), true ones \(1, 24, 15, 3\): predict"
    ):
        psnr(plain(0), plain(0, height=24))
    with pytest.raises(ValueError, match="predict at the size of the truth"):
        ssim(plain(0), plain(0).expand(2, -1, -1, -1))
    with pytest.raises(ValueError, match=r"the mask is \(1, 12, 12\), the pictures \(1, 12, 15\)"):
        psnr(plain(0), plain(0), torch.ones(1, 12, 12, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"the pictures are 40 x 10 pixels \(h x w\), SSIM needs 11 x 11 at least"):
        ssim(plain(0, 40, 10), plain(0, 40, 10))


def test_average_error_is_the_geometric_mean() -> None:
    """MSE 0.01, sqrt(1 - 0.99) = 0.1 and 0.001 have the mean 0.01; perfect pictures have 0."""
    found = average_error(torch.tensor([20.0, math.inf]), torch.tensor([0.99, 1 + 1e-7]), torch.tensor([0.001, 0.0]))
    assert torch.allclose(found, torch.tensor([0.01, 0.0], dtype=torch.float64), rtol=1e-5)
