"""Maps of a transformer's patch tokens, on tiny ones of the true architecture. Needs the extra `vit`."""

import warnings
from pathlib import Path

import pytest
import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra `vit`)")

from unflat.networks.features import feature_network

TINY = {"hidden_size": 12, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
MODELS = {
    "vit": lambda: transformers.ViTModel(transformers.ViTConfig(image_size=32, patch_size=8, **TINY)),
    "vit_mae": lambda: transformers.ViTMAEModel(transformers.ViTMAEConfig(image_size=32, patch_size=8, **TINY)),
    "dinov2": lambda: transformers.Dinov2Model(
        transformers.Dinov2Config(image_size=28, patch_size=7, mlp_ratio=2, **TINY)
    ),
    "dinov2_with_registers": lambda: transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(image_size=28, patch_size=7, mlp_ratio=2, num_register_tokens=3, **TINY)
    ),
}


@pytest.fixture(params=MODELS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    model = MODELS[request.param]()
    for parameter in model.parameters():  # as they are made, many are zero or one
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(tmp_path)
    return tmp_path


def test_there_is_a_feature_for_every_four_pixels_where_they_are(folder: Path) -> None:
    network = feature_network(f"vit:{folder}").train()
    picture = torch.rand(2, 3, 24, 16)
    features = network(picture)
    assert features.shape == (2, 12, 6, 4)
    assert torch.equal(features, network(picture))  # nothing is masked, shuffled or dropped
    for row, column in ((0, 0), (4, 1), (5, 3)):
        changed = picture.clone()
        changed[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += 0.5
        change = (network(changed) - features).square().sum(1)
        assert int(change[0].argmax()) == row * 4 + column
        assert float(change[1].abs().max()) < 1e-9


def test_a_transformer_is_frozen_and_lets_gradients_through(folder: Path) -> None:
    network = feature_network(f"vit:{folder}")
    assert not list(network.parameters()) and not network.state_dict()
    picture = torch.rand(1, 3, 16, 16, requires_grad=True)
    network(picture).square().mean().backward()
    assert picture.grad is not None and float(picture.grad.abs().max()) > 0


def test_folders_that_hold_none_of_these_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file or folder /no/such/folder; give the path"):
        feature_network("vit:/no/such/folder")
    with pytest.raises(ValueError, match=r"has no config\.json beside model\.safetensors"):
        feature_network(f"vit:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ValueError, match="is a bert; features are made with vit, vit_mae, dinov2"):
        feature_network(f"vit:{tmp_path}")
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="no transformer could be read from"):
        feature_network(f"vit:{tmp_path}")
