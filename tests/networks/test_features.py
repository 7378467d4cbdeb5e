"""Feature networks: the true VGG16 whatever its file, transformers' maps in order, and clear errors."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from unflat.networks.features import NoFeatures, Vgg16, feature_network
from unflat.networks.frozen import changing_buffers, freeze

IMAGENET = torch.tensor([0.485, 0.456, 0.406])[:, None, None], torch.tensor([0.229, 0.224, 0.225])[:, None, None]


@pytest.fixture(scope="module")
def vgg() -> nn.Sequential:
    """The first sixteen layers of VGG16 as torchvision numbers them, with random weights."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    inside = 3
    for width, convolutions in ((64, 2), (128, 2), (256, 3)):
        layers += [nn.MaxPool2d(2)] if layers else []
        for _ in range(convolutions):
            layers += [nn.Conv2d(inside, width, 3, padding=1), nn.ReLU()]
            inside = width
    return nn.Sequential(*layers)


def weights_of(vgg: nn.Sequential) -> dict[str, Tensor]:
    """As torchvision and timm store them, with a later layer that is not wanted."""
    named = {f"features.{name}": value.clone() for name, value in vgg.state_dict().items()}
    return named | {"features.17.weight": torch.zeros(512, 256, 3, 3)[:2, :2].contiguous()}


@pytest.fixture(scope="module")
def vgg_file(vgg: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("vgg") / "model.safetensors"
    save_file(weights_of(vgg), path)
    return path


def test_no_features_do_nothing_and_say_so() -> None:
    network = feature_network("")
    assert isinstance(network, NoFeatures)
    network.prepare(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(RuntimeError, match="without a feature network"):
        network(torch.zeros(1, 3, 8, 8))


def test_vgg16_is_the_true_one_up_to_relu3_3(vgg: nn.Sequential, vgg_file: Path, tmp_path: Path) -> None:
    picture = torch.rand(2, 3, 32, 24)
    wanted = vgg((picture - IMAGENET[0]) / IMAGENET[1]).detach()
    assert wanted.shape == (2, 256, 8, 6) and wanted.std() > 0
    pickled = tmp_path / "vgg16-397923af.pth"
    torch.save(weights_of(vgg), pickled)
    for source in (vgg_file, vgg_file.parent, pickled, tmp_path):
        assert torch.allclose(feature_network(f"vgg16:{source}")(picture), wanted, atol=1e-5)


def test_frozen_networks_have_no_parameters_but_let_gradients_through(vgg_file: Path) -> None:
    network = feature_network(f"vgg16:{vgg_file}")
    assert not list(network.parameters())
    assert not network.state_dict()  # a checkpoint does not repeat what is in the user's own file
    assert not any(buffer.requires_grad for buffer in network.buffers())
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    network.train()(picture).square().mean().backward()
    assert picture.grad is not None and float(picture.grad.abs().max()) > 0
    assert all(buffer.grad is None for buffer in network.buffers())
    assert all(buffer.dtype == torch.float64 for buffer in network.double().buffers())  # they move with the module


def test_freezing_keeps_what_a_network_does() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2)).eval()
    picture = torch.rand(2, 3, 8, 8)
    before, stored = network(picture), network.state_dict()
    assert torch.equal(freeze(network, persistent=True)(picture), before)
    assert not list(network.parameters()) and network.state_dict().keys() == stored.keys()
    assert not freeze(network, persistent=False).state_dict()


def test_what_training_may_change_are_all_buffers_but_those_of_frozen_networks() -> None:
    whole = torch.nn.Sequential(torch.nn.BatchNorm1d(2), freeze(torch.nn.BatchNorm1d(3), persistent=True))
    assert [len(buffer) for buffer in changing_buffers(whole) if buffer.ndim] == [2, 2]
    assert len(list(whole.buffers())) == 3 + 5


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("resnet", "no feature network 'resnet'; give '' for none, 'self'"),
        ("self:somewhere", "no feature network 'self:somewhere'"),
        ("vgg16", "'vgg16' names no weights; give a file, a folder or a hub name, e.g. vgg16:/path/to/weights"),
        ("vgg16:", "names no weights"),
        (
            "vgg16:/no/such/file.safetensors",
            "no file or folder /no/such/file.safetensors; give the path of the weights",
        ),
        ("vgg16:weights.pth", "no file or folder weights.pth; give the path of the weights, or OWNER/NAME on the hub"),
        ("vgg16:./owner/name", "no file or folder ./owner/name"),
    ],
)
def test_what_is_not_there_is_said_at_once(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        feature_network(spec).prepare(np.zeros((1, 8, 8, 3), np.uint8))


def test_weights_that_went_missing_are_only_asked_for_when_needed() -> None:
    """A model that learned with them predicts anywhere; training says what is wrong, after a resume too."""
    absent = feature_network("vgg16:/no/such/file.safetensors")
    assert not list(absent.parameters()) and not absent.state_dict()
    with pytest.raises(ValueError, match="no file or folder"):
        absent(torch.zeros(1, 3, 8, 8))


def test_files_that_hold_no_vgg16_are_refused(vgg: nn.Sequential, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds 0 files \*.safetensors or \*.pth"):
        Vgg16(str(tmp_path))
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not weights")
    with pytest.raises(ValueError, match=r"model\.safetensors cannot be read as weights"):
        Vgg16(str(path))
    normalised = weights_of(vgg)
    normalised["features.7.weight"] = torch.zeros(128)  # as in the variant with batch norm
    save_file(normalised, path)
    with pytest.raises(
        ValueError, match=r"features.7.weight is \(128,\) and should be \(128, 128, 3, 3\).*without batch norm"
    ):
        Vgg16(str(path))
    save_file({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"features\.0\.weight is missing"):
        Vgg16(str(path))


class Dangerous:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("executed",)


def test_a_pickle_that_would_run_something_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "vgg.pth"
    torch.save({"features.0.weight": Dangerous()}, path)
    with pytest.raises(ValueError, match=r"vgg\.pth holds more than tensors and could run code"):
        Vgg16(str(path))
    assert "executed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("spec", "missing", "message"),
    [
        (
            "vgg16:owner/name",
            "huggingface_hub",
            "take owner/name from the Hugging Face hub: pip install huggingface_hub",
        ),
        ("vit:owner/name", "transformers", r"need transformers: pip install 'unflat\[vit\]'"),
    ],
)
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch, spec: str, missing: str, message: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ValueError, match=message):
        feature_network(spec).prepare(np.zeros((1, 8, 8, 3), np.uint8))
