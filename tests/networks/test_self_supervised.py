"""Features learned from photos alone: what they tell apart, what they ignore, and that they can be stored."""

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.networks import self_supervised
from unflat.networks.self_supervised import REDUNDANCY, SelfSupervised, _barlow_twins, _coloured, _encoder, _two_crops
from unflat.training.checkpoint import load

SIZE = 32


def shapes(count: int, seed: int) -> np.ndarray:
    """Photos of random coloured discs and stripes, uint8 [n, 32, 32, 3]."""
    rng = np.random.default_rng(seed)
    v, u = np.mgrid[:SIZE, :SIZE][:, None].astype(float)
    photos = np.broadcast_to(rng.uniform(0, 255, (count, 1, 1, 3)), (count, SIZE, SIZE, 3)).copy()
    for _ in range(6):
        x, y, radius = (
            rng.uniform(0, SIZE, (2, count, 1, 1)),
            rng.uniform(0, SIZE, (count, 1, 1)),
            rng.uniform(2, 8, (count, 1, 1)),
        )
        inside = np.hypot(u - x[0], v - y) < radius
        inside &= np.sin((u * np.cos(x[1]) + v * np.sin(x[1])) * 0.7) > -0.5
        photos = np.where(inside[..., None], rng.uniform(0, 255, (count, 1, 1, 3)), photos)
    return photos.astype(np.uint8)


def pictures(count: int = 32, seed: int = 9) -> Tensor:
    return torch.from_numpy(shapes(count, seed)).permute(0, 3, 1, 2) / 255


@pytest.fixture(scope="module")
def trained() -> SelfSupervised:
    network = SelfSupervised()
    before = self_supervised.STEPS
    self_supervised.STEPS = 100
    try:
        network.prepare(shapes(200, 0))
    finally:
        self_supervised.STEPS = before
    return network


def untrained() -> SelfSupervised:
    """The same, as it is before the first step."""
    network = SelfSupervised()
    torch.manual_seed(0)
    network.encoder.load_state_dict(_encoder().state_dict())
    network.spread.fill_(1)
    spread = network(pictures(64)).std((0, 2, 3))
    network.spread.copy_(spread[:, None, None])
    return network


def change(network: SelfSupervised, other: Tensor) -> Tensor:
    """How far the features of other pictures are from those of `pictures()`, away from the border."""
    return (network(other) - network(pictures()))[..., 1:-1, 1:-1].square().mean((1, 2, 3))


def alterations() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What a perceptual loss should see, and what it should not."""
    plain, noise = pictures(), torch.Generator().manual_seed(0)
    blurred = torch.nn.functional.avg_pool2d(plain, 7, 1, 3, count_include_pad=False)
    seen = {"shifted": plain.roll(2, -1), "blurred": blurred, "mirrored": plain.flip(-1)}
    ignored = {"noisy": plain + 0.05 * torch.randn(plain.shape, generator=noise), "brighter": plain * 1.3}
    return seen, ignored


@pytest.mark.parametrize("what", ["shifted", "blurred", "mirrored"])
def test_learning_tells_apart_what_pixels_and_random_features_confuse(trained: SelfSupervised, what: str) -> None:
    seen, ignored = alterations()
    ratios = []
    for network in (trained, untrained()):
        nuisance = torch.stack([change(network, other) for other in ignored.values()]).mean(0)
        ratios.append(float((change(network, seen[what]) / nuisance).median()))
    pixels = (seen[what] - pictures()).square().mean((1, 2, 3))
    nuisance = torch.stack([(other - pictures()).square().mean((1, 2, 3)) for other in ignored.values()]).mean(0)
    assert ratios[0] > 1.5 * ratios[1]
    assert ratios[0] > 1.5 * float((pixels / nuisance).median())


def test_the_further_the_shift_the_greater_the_distance(trained: SelfSupervised) -> None:
    distances = [float(change(trained, pictures().roll(k, -1)).mean()) for k in (0, 1, 2, 4, 6)]
    assert distances == sorted(distances) and distances[0] < 1e-6 * distances[1]


def test_no_feature_is_idle_and_all_have_unit_variance_over_the_photos(trained: SelfSupervised) -> None:
    features = trained(torch.from_numpy(shapes(200, 0)).permute(0, 3, 1, 2) / 255)
    assert features.shape == (200, 64, SIZE // 4, SIZE // 4)
    assert torch.allclose(features.std((0, 2, 3)), torch.ones(64), atol=1e-3)
    spectrum = torch.linalg.svdvals(features.permute(1, 0, 2, 3).flatten(1).cov())
    assert float(spectrum.sum() ** 2 / spectrum.square().sum()) > 6  # effective number of different features


def test_features_do_not_tell_where_in_the_picture_they_are(trained: SelfSupervised) -> None:
    """On a plain picture all are the same, up to its border, and a shift by a cell shifts them by a cell."""
    plain = trained(torch.full((1, 3, SIZE, SIZE), 0.4))
    assert float((plain - plain[..., :1, :1]).abs().max()) < 1e-4
    moved, still = trained(pictures().roll(4, -1)), trained(pictures())
    assert torch.allclose(moved[..., 4:-3], still[..., 3:-4], atol=1e-4)


def test_the_same_seed_gives_the_same_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_supervised, "STEPS", 3)
    networks = [SelfSupervised() for _ in range(3)]
    for network, seed in zip(networks, (1, 1, 2), strict=True):
        torch.manual_seed(int(torch.randint(1000, ())))  # whatever others drew
        before = torch.get_rng_state()
        network.prepare(shapes(20, 0), seed)
        assert torch.equal(before, torch.get_rng_state())
    first, same, other = (network(pictures(2)) for network in networks)
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_features_are_part_of_the_checkpoint(trained: SelfSupervised) -> None:
    again = SelfSupervised()
    load(again, trained.state_dict())
    assert torch.equal(again(pictures(2)), trained(pictures(2)))


def test_gradients_reach_the_picture_and_nothing_else(trained: SelfSupervised) -> None:
    assert not list(trained.parameters())
    picture = pictures(1).requires_grad_()
    trained(picture).square().mean().backward()
    assert picture.grad is not None and float(picture.grad.abs().max()) > 0
    assert all(buffer.grad is None and not buffer.requires_grad for buffer in trained.buffers())


def test_features_that_learned_nothing_are_not_used() -> None:
    with pytest.raises(RuntimeError, match=r"learned nothing yet: call prepare\(photos\) first, or load weights"):
        SelfSupervised()(pictures(1))


@pytest.mark.parametrize(
    "photos", [np.zeros((0, 32, 32, 3), np.uint8), np.zeros((4, 32, 32, 3)), np.zeros((4, 8, 32, 3), np.uint8)]
)
def test_photos_it_cannot_learn_from_are_named(photos: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 photos \[n, h, w, 3\] of at least 16 px, not"):
        SelfSupervised().prepare(photos)


@pytest.mark.parametrize("size", [(16, 16), (32, 20), (64, 64), (256, 256)])
def test_crops_are_matched_cell_by_cell(size: tuple[int, int]) -> None:
    """On a picture that shows its own coordinates, the shared cells of both crops show the same ones, to 2 pixels."""
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    picture = torch.stack([rows, columns, rows * 0]).float()[None]
    generator = torch.Generator().manual_seed(0)
    apart, mirrored = set(), set()
    for _ in range(60):
        pair = _two_crops(picture, generator)
        assert pair.first.shape == pair.second.shape and pair.first.shape[-1] % 4 == 0
        first, second = (torch.nn.functional.avg_pool2d(crop, 4) for crop in (pair.first, pair.second))
        difference = (first[pair.shared_by_first] - second[pair.shared_by_second]).abs()
        assert difference.numel() > 0 and float(difference.max()) <= 2
        apart.add(tuple((pair.second - pair.first)[0, :2, 0, 0].tolist()))
        mirrored.add(bool(pair.first[0, 1, 0, 0] > pair.first[0, 1, 0, -1]))
    assert len(apart) > 4 and mirrored == {False, True}


def test_colouring_leaves_shapes_alone() -> None:
    picture = pictures(8)
    coloured = _coloured(picture, torch.Generator().manual_seed(0))
    assert coloured.shape == picture.shape
    for one, other in zip(picture.mean(1), coloured.mean(1), strict=True):
        assert float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1]) > 0.8
    assert float((coloured - picture).abs().mean()) > 0.03


def test_barlow_twins_by_hand() -> None:
    """Features that agree and do not correlate cost nothing at any scale; each fault costs what the paper says."""
    good = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    scaled = good * torch.tensor([3.0, 0.5]) + 7
    assert float(_barlow_twins(good, scaled)) == pytest.approx(0, abs=1e-5)
    assert float(_barlow_twins(good, good.flip(1))) == pytest.approx(2 + 2 * REDUNDANCY, abs=1e-3)  # features exchanged
    assert float(_barlow_twins(good, -good)) == pytest.approx(2 * 2**2, abs=1e-2)
    alike = good[:, :1].expand(-1, 2)
    assert float(_barlow_twins(alike, alike)) == pytest.approx(2 * REDUNDANCY, abs=1e-4)
    idle = torch.zeros(4, 2)
    assert float(_barlow_twins(idle, idle)) == pytest.approx(2)
