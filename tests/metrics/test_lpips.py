"""LPIPS with random weights of the true architectures, in files as the official ones; no figure here counts."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

from unflat.metrics.lpips import LPIPS, lpips

VGG = {0: (64, 3), 2: (64, 64), 5: (128, 64), 7: (128, 128), 10: (256, 128), 12: (256, 256), 14: (256, 256)}
VGG |= {17: (512, 256), 19: (512, 512), 21: (512, 512), 24: (512, 512), 26: (512, 512), 28: (512, 512)}
ALEX = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
SHAPES = {"vgg": {place: (*widths, 3, 3) for place, widths in VGG.items()}}
SHAPES["alex"] = {place: (out, inside, size, size) for place, (out, inside, size) in ALEX.items()}
WIDTHS = {"vgg": (64, 128, 256, 512, 512), "alex": (64, 192, 384, 256, 256)}
TRUNK_FILE = {"vgg": "vgg16-397923af.pth", "alex": "alexnet-owt-7be5be79.pth"}


def random_trunk(backbone: str) -> dict[str, Tensor]:
    """As torchvision stores it, with the classifier, which is not wanted; spread so that no layer dies out."""
    random = torch.Generator().manual_seed(0)
    found = {"classifier.1.weight": torch.zeros(2, 2)}
    for place, shape in SHAPES[backbone].items():
        found[f"features.{place}.weight"] = torch.randn(shape, generator=random) * math.sqrt(2 / math.prod(shape[1:]))
        found[f"features.{place}.bias"] = 0.1 * torch.randn(shape[0], generator=random)
    return found


def random_heads(backbone: str) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(1)
    widths = enumerate(WIDTHS[backbone])
    return {f"lin{n}.model.1.weight": torch.rand(1, width, 1, 1, generator=random) for n, width in widths}


@pytest.fixture(scope="module", params=["vgg", "alex"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both files of one backbone, under the names they are downloaded by; the folder is called as the backbone."""
    backbone = request.param
    path = tmp_path_factory.mktemp("lpips") / backbone
    path.mkdir()
    torch.save(random_trunk(backbone), path / TRUNK_FILE[backbone])
    torch.save(random_heads(backbone), path / f"{backbone}.pth")
    return path


@pytest.fixture(scope="module")
def network(folder: Path) -> LPIPS:
    return LPIPS.load(folder, folder.name)


@pytest.fixture
def heads_only(tmp_path: Path) -> Path:
    torch.save(random_heads("alex"), tmp_path / "alex.pth")
    return tmp_path


def pictures(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(*size, 3, generator=torch.Generator().manual_seed(seed))


def layers(weights: dict[str, Tensor], backbone: str, maps: Tensor) -> Iterator[Tensor]:
    """What is compared, step by step as the papers' figures have it."""

    def convolution(place: int, **more: int) -> Tensor:
        return conv2d(maps, weights[f"features.{place}.weight"], weights[f"features.{place}.bias"], **more).relu()

    if backbone == "vgg":
        for block in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
            if block != (0, 2):
                maps = max_pool2d(maps, 2)
            for place in block:
                maps = convolution(place, padding=1)
            yield maps
    else:
        yield (maps := convolution(0, stride=4, padding=2))
        maps = max_pool2d(maps, 3, 2)
        yield (maps := convolution(3, padding=2))
        maps = max_pool2d(maps, 3, 2)
        yield (maps := convolution(6, padding=1))
        yield (maps := convolution(8, padding=1))
        yield convolution(10, padding=1)


def test_it_is_the_papers_distance_with_the_papers_networks(network: LPIPS) -> None:
    """Place by place: features over their length, squared differences times the head, mean over places."""
    image, truth = pictures(1, 33, 38), pictures(1, 33, 38, seed=1)
    weights, heads = random_trunk(network.backbone), random_heads(network.backbone)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    pair = [((2 * x - 1 - shift) / scale).permute(0, 3, 1, 2) for x in (image, truth)]
    wanted = 0.0
    for n, (a, b) in enumerate(zip(*(layers(weights, network.backbone, x) for x in pair), strict=True)):
        head, places = heads[f"lin{n}.model.1.weight"].flatten(), a[0].flatten(1).T
        assert len(head) == a.shape[1] and n < 5
        each = [
            (head * (p / p.norm() - q / q.norm()).square()).sum()
            for p, q in zip(places, b[0].flatten(1).T, strict=True)
        ]
        wanted += float(torch.stack(each).mean())
    assert wanted > 0.1
    assert float(lpips(image, truth, network)) == pytest.approx(wanted, rel=1e-4)


def test_it_is_zero_for_equal_pictures_symmetric_and_of_each_picture(network: LPIPS) -> None:
    image, truth = pictures(2, 32, 40), pictures(2, 32, 40, seed=1)
    found = lpips(image, truth, network)
    assert found.shape == (2,) and found.dtype == torch.float64 and (found > 0).all()
    assert torch.equal(lpips(truth, image, network), found)
    assert lpips(image, image, network).tolist() == [0, 0]
    alone = torch.cat([lpips(image[n : n + 1], truth[n : n + 1], network) for n in range(2)])
    assert torch.allclose(alone, found, rtol=1e-4)
    assert torch.equal(lpips(3 * image, truth, network), lpips((3 * image).clamp(max=1), truth, network))


def test_the_distance_by_hand() -> None:
    """Every convolution hands the three colours on as they are, so that all five layers see the picture itself.

    Colours (0.6, 0.8, 0) and (0, 0.8, 0.6) have length 1 and differ by 0.36 in red and in blue; (0.4, 0.4, 0.4) and
    half of it differ in nothing but length. The first pair fills the left half, in whole pixels of the last layer.
    """
    trunk = {f"features.{place}.weight": torch.zeros(shape) for place, shape in SHAPES["vgg"].items()}
    trunk |= {f"features.{place}.bias": torch.zeros(shape[0]) for place, shape in SHAPES["vgg"].items()}
    for place in SHAPES["vgg"]:
        for colour in range(3):
            trunk[f"features.{place}.weight"][colour, colour, 1, 1] = 1.0
    for colour, (shift, scale) in enumerate([(-0.030, 0.458), (-0.088, 0.448), (-0.188, 0.450)]):
        trunk["features.0.weight"][colour, colour, 1, 1] = scale / 2  # undoes what is done to the colours
        trunk["features.0.bias"][colour] = (1 + shift) / 2
    heads = {f"lin{n}.model.1.weight": torch.zeros(1, width, 1, 1) for n, width in enumerate(WIDTHS["vgg"])}
    for n in range(5):
        heads[f"lin{n}.model.1.weight"][0, :3, 0, 0] = 10.0**n * torch.tensor([1.0, 7.0, 2.0])
    image, truth = torch.full((1, 32, 64, 3), 0.4), torch.full((1, 32, 64, 3), 0.2)
    image[:, :, :32] = torch.tensor([0.6, 0.8, 0.0])
    truth[:, :, :32] = torch.tensor([0.0, 0.8, 0.6])
    found = lpips(image, truth, LPIPS("vgg", trunk | heads))
    assert float(found) == pytest.approx((1 * 0.36 + 2 * 0.36) / 2 * 11111, rel=1e-5)


def test_files_may_be_safetensors_by_short_names_and_in_half_precision(folder: Path, tmp_path: Path) -> None:
    trunk, heads = random_trunk(folder.name), random_heads(folder.name)
    trunk = {name: value.half() for name, value in trunk.items()}
    save_file(trunk, tmp_path / {"vgg": "vgg16.safetensors", "alex": "alexnet.safetensors"}[folder.name])
    save_file(heads, tmp_path / f"{folder.name}.safetensors")
    image, truth = pictures(1, 31, 31), pictures(1, 31, 31, seed=1)
    ours, theirs = LPIPS.load(str(tmp_path), folder.name), LPIPS.load(folder, folder.name)
    assert torch.allclose(lpips(image, truth, ours), lpips(image, truth, theirs), rtol=0.02)


def test_it_is_frozen_draws_no_numbers_and_lets_gradients_through(folder: Path) -> None:
    before = torch.get_rng_state()
    network = LPIPS.load(folder, folder.name)
    assert torch.equal(torch.get_rng_state(), before)
    assert not list(network.parameters()) and not network.state_dict()
    a, b = (2 * pictures(1, 31, 31, seed=seed).movedim(-1, 1) - 1 for seed in range(2))
    a.requires_grad_()
    network.train()(a, b).sum().backward()
    assert a.grad is not None and float(a.grad.abs().max()) > 0
    assert torch.equal(network(a, b), network.eval()(a, b))
    assert all(buffer.dtype == torch.float64 for buffer in network.double().buffers())
    assert float(lpips(pictures(1, 31, 31), pictures(1, 31, 31, seed=1), network)) == pytest.approx(
        float(network(a.detach().double(), b.double()))
    )


def test_pictures_too_small_for_the_last_layer_are_refused(network: LPIPS) -> None:
    smallest = {"vgg": 16, "alex": 31}[network.backbone]
    assert lpips(pictures(1, smallest, smallest), pictures(1, smallest, smallest, seed=1), network).isfinite().all()
    wanted = rf"the pictures are 50 x {smallest - 1} pixels \(h x w\), LPIPS \({network.backbone}\) needs {smallest} x"
    with pytest.raises(ValueError, match=wanted):
        lpips(pictures(1, 50, smallest - 1), pictures(1, 50, smallest - 1), network)
    with pytest.raises(ValueError, match="predict at the size of the truth"):
        lpips(pictures(1, 40, 40), pictures(1, 40, 41), network)


def test_without_weights_there_is_no_figure(heads_only: Path, tmp_path: Path) -> None:
    wanted = (
        r"holds 0 files vgg16.safetensors, vgg16.pth, vgg16-\*.pth; one is needed. LPIPS \(vgg\) takes torchvision's "
    )
    wanted += r"weights of vgg16 and the official linear heads vgg .*random weights"
    for there in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ValueError, match=wanted):
            LPIPS.load(there, "vgg")
    (heads_only / "alex.pth").rename(heads_only / "alexnet.pth")
    with pytest.raises(ValueError, match=r"holds 0 files alex.safetensors, alex.pth, alex-\*.pth; one is needed"):
        LPIPS.load(heads_only, "alex")
    save_file(random_heads("alex"), heads_only / "alexnet.safetensors")
    with pytest.raises(ValueError, match=r"holds 2 files alexnet.safetensors, alexnet.pth, alexnet-\*.pth"):
        LPIPS.load(heads_only, "alex")
    with pytest.raises(ValueError, match="there is no LPIPS backbone 'squeeze'; give 'vgg' or 'alex'"):
        LPIPS.load(tmp_path, "squeeze")


@pytest.mark.parametrize("missing", ["features.3.bias", "features.10.weight", "lin4.model.1.weight"])
def test_files_with_missing_weights_are_refused(missing: str, tmp_path: Path) -> None:
    weights = random_trunk("alex"), random_heads("alex")
    for found, name in zip(weights, ("alexnet.pth", "alex.pth"), strict=True):
        found.pop(missing, None)
        torch.save(found, tmp_path / name)
    with pytest.raises(
        ValueError, match=rf"has other weights than LPIPS \(alex\) needs: {missing} is missing and should"
    ):
        LPIPS.load(tmp_path, "alex")


def test_weights_of_something_else_are_refused(heads_only: Path) -> None:
    trunk = random_trunk("alex") | {"features.3.weight": torch.zeros(192)}
    torch.save(trunk, heads_only / "alexnet.pth")
    with pytest.raises(
        ValueError, match=r"features.3.weight is \(192,\) and should be \(192, 64, 5, 5\); features.\* are"
    ):
        LPIPS.load(heads_only, "alex")
    (heads_only / "alexnet.pth").write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"alexnet.pth cannot be read as weights: it is damaged, or"):
        LPIPS.load(heads_only, "alex")
    (heads_only / "alexnet.pth").rename(heads_only / "alexnet.safetensors")
    with pytest.raises(ValueError, match=r"alexnet.safetensors cannot be read as weights.*; download it again"):
        LPIPS.load(heads_only, "alex")


class Dangerous:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_a_pickle_that_would_run_something_is_refused(heads_only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"features.0.weight": Dangerous()}, heads_only / "alexnet.pth")
    with pytest.raises(ValueError, match=r"alexnet\.pth .* holds more than tensors and could run code"):
        LPIPS.load(heads_only, "alex")
    assert "executed" not in capsys.readouterr().out
