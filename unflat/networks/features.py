"""Networks whose features tell pictures apart better than pixels do, for perceptual losses.

All are frozen: their weights are buffers, which no optimiser sees, while gradients go through to the picture. Weights
that were found elsewhere (VGG16, ViT) stay in their own file and out of checkpoints; those learned here are part of
them. Nothing is ever compared with random weights.
"""

import json
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, max_pool2d, relu

from unflat.networks.frozen import freeze
from unflat.networks.self_supervised import SelfSupervised

KINDS = "'' for none, 'self' to train one on the photos, 'vgg16:WEIGHTS' or 'vit:WEIGHTS'"


def feature_network(spec: str) -> "FeatureNetwork":
    """The network that `spec` names: '' for none, 'self', 'vgg16:WEIGHTS' or 'vit:WEIGHTS'.

    WEIGHTS is a file, a folder, or the name of a repository on the Hugging Face hub. The module has `prepare(rgb)`,
    which looks at photos [n, h, w, 3] (uint8) once before training, and maps pictures [b, 3, h, w] in [0, 1] to
    features [b, c, h / 4, w / 4]. Raises ValueError if there is no such network; weights that cannot be used are said
    when they are needed (`AbsentFeatures`).
    """
    kind, _, weights = spec.partition(":")
    if spec == "":
        return NoFeatures()
    if spec == "self":
        return SelfSupervised()
    if kind not in ("vgg16", "vit"):
        raise ValueError(f"there is no feature network {spec!r}; give {KINDS}")
    if not weights:
        raise ValueError(
            f"{spec!r} names no weights; give a file, a folder or a hub name, e.g. {kind}:/path/to/weights"
        )
    try:
        return Vgg16(weights) if kind == "vgg16" else VisionTransformer(weights)
    except ValueError as error:
        return AbsentFeatures(error)


class NoFeatures(nn.Module):
    """Stands where no feature network is wanted."""

    def prepare(self, rgb: np.ndarray) -> None:
        """Nothing to learn."""

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        raise RuntimeError("this model was built without a feature network")


class AbsentFeatures(nn.Module):
    """Stands for weights that are not here: a model that learned with them predicts without them, elsewhere too.

    Training asks for them in `prepare`, or at the first step after a resume, and is told what is wrong with them.
    """

    def __init__(self, error: ValueError) -> None:
        super().__init__()
        self.error = error

    def prepare(self, rgb: np.ndarray) -> None:
        """ValueError: there is nothing to learn with."""
        raise self.error

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        raise self.error


class Normalised(nn.Module):
    """Knows the mean and spread of the colours that networks trained on ImageNet expect."""

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", (0.485, 0.456, 0.406)), ("spread", (0.229, 0.224, 0.225))):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def prepare(self, rgb: np.ndarray) -> None:
        """Nothing to learn: it was trained elsewhere."""


class Vgg16(Normalised):
    """VGG16 (Simonyan and Zisserman 2015, configuration D) up to relu3_3: 256 channels that see 40 pixels each.

    `weights` has the names and shapes of torchvision's and timm's vgg16: features.0.weight and so on. Larger files,
    with the later layers, will do.
    """

    BLOCKS = ((0, 2), (5, 7), (10, 12, 14))
    """places of the convolutions among torchvision's layers; between the blocks the picture is halved"""
    WIDTHS = (64, 128, 256)

    def __init__(self, weights: str) -> None:
        super().__init__()
        found = _vgg_weights(weights)
        inside = 3
        for block, width in zip(self.BLOCKS, self.WIDTHS, strict=True):
            for layer in block:
                for kind, shape in (("weight", (width, inside, 3, 3)), ("bias", (width,))):
                    value = found.get(f"features.{layer}.{kind}")
                    if value is None or tuple(value.shape) != shape:
                        there = "is missing" if value is None else f"is {tuple(value.shape)}"
                        raise ValueError(
                            f"{weights} holds no VGG16: features.{layer}.{kind} {there} and should be {shape}; "
                            "give the weights of torchvision's or timm's vgg16 (without batch norm)"
                        )
                    self.register_buffer(f"{kind}_{layer}", value.float(), persistent=False)
                inside = width

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 256 i j"]:
        maps = (picture - self.mean) / self.spread
        for number, block in enumerate(self.BLOCKS):
            if number:
                maps = max_pool2d(maps, 2)
            for layer in block:
                weight, bias = self.get_buffer(f"weight_{layer}"), self.get_buffer(f"bias_{layer}")
                maps = relu(conv2d(maps, weight, bias, padding=1))
        return maps


class VisionTransformer(Normalised):
    """Patch tokens of a DINO, DINOv2 or MAE transformer, as a map.

    The picture is enlarged until there is a patch for every 4 x 4 of its pixels.
    """

    ENLARGED = ("vit", "vit_mae")
    """of these, the position embeddings are fitted to the picture's size only if one asks for it"""
    KNOWN = (*ENLARGED, "dinov2", "dinov2_with_registers")

    def __init__(self, weights: str) -> None:
        super().__init__()
        try:
            import transformers
        except ModuleNotFoundError as error:
            raise ValueError("features 'vit:...' need transformers: pip install 'unflat[vit]'") from error
        source = _vit_source(weights, self.KNOWN)
        try:
            # safetensors only: a pickle could run anything
            network: Any = transformers.AutoModel.from_pretrained(source, use_safetensors=True)
        except (OSError, ValueError) as error:
            raise ValueError(f"no transformer could be read from {weights}: {error}") from error
        if network.config.model_type not in self.KNOWN:
            raise ValueError(
                f"{weights} is a {network.config.model_type}; features are made with {', '.join(self.KNOWN)}"
            )
        self.patch = int(network.config.patch_size)
        if network.config.model_type == "vit_mae":
            network.config.mask_ratio = 0.0  # it was trained with patches left out; here it sees them all
        self.network = freeze(network, persistent=False).eval()

    def train(self, mode: bool = True) -> "VisionTransformer":
        """Stays as it is used: without dropout."""
        return super().train(False)

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        rows, columns = picture.shape[2] // 4, picture.shape[3] // 4
        size = (rows * self.patch, columns * self.patch)
        large = interpolate((picture - self.mean) / self.spread, size, mode="bicubic", align_corners=False)
        more: dict[str, Any] = {}
        if self.network.config.model_type in self.ENLARGED:
            more["interpolate_pos_encoding"] = True
        if self.network.config.model_type == "vit_mae":  # it sorts patches by noise: leave them in order
            more["noise"] = torch.arange(rows * columns, device=picture.device).expand(len(picture), -1).float()
        tokens = self.network(large, **more).last_hidden_state[:, -rows * columns :]  # class and registers come first
        return tokens.transpose(1, 2).unflatten(2, (rows, columns))


def _vgg_weights(weights: str) -> dict[str, Tensor]:
    """The tensors in a file, a folder or a repository of the hub."""
    path = Path(weights).expanduser()
    if path.is_dir():
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.pth"))
        if len(files) != 1:
            raise ValueError(f"{path} holds {len(files)} files *.safetensors or *.pth; name the one that is VGG16")
        path = files[0]
    if not path.is_file():
        path = _from_hub(weights)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}
    except UnpicklingError as error:
        raise ValueError(
            f"{path} holds more than tensors and could run code; store its tensors as .safetensors"
        ) from error
    except (SafetensorError, RuntimeError, EOFError, ValueError, AttributeError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as weights (.safetensors, or .pth as torchvision's): {error}"
        ) from error


def _from_hub(name: str) -> Path:
    _check_is_hub_name(name)
    try:
        from huggingface_hub import hf_hub_download  # type: ignore[import-not-found, unused-ignore]
    except ModuleNotFoundError as error:
        raise ValueError(
            f"there is no file or folder {name}; to take {name} from the Hugging Face hub: pip install huggingface_hub"
        ) from error
    try:
        return Path(hf_hub_download(name, "model.safetensors"))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"there is no file or folder {name}, and the Hugging Face hub did not give it: {error}"
        ) from error


def _check_is_hub_name(name: str) -> None:
    """ValueError unless `name` may be a repository on the hub: OWNER/NAME."""
    owner, slash, repository = name.partition("/")
    if not (owner and slash and repository) or "/" in repository or owner.startswith((".", "~")) or "\\" in name:
        raise ValueError(f"there is no file or folder {name}; give the path of the weights, or OWNER/NAME on the hub")


def _vit_source(weights: str, known: tuple[str, ...]) -> str:
    """What transformers is to load: a folder that holds one of its models, or a name on the hub."""
    path = Path(weights).expanduser()
    if not path.exists():
        _check_is_hub_name(weights)
        return weights
    settings = path / "config.json"
    if not settings.is_file():
        raise ValueError(f"{path} is no model folder of transformers: it has no config.json beside model.safetensors")
    kind = json.loads(settings.read_text(encoding="utf-8")).get("model_type")
    if kind not in known:
        raise ValueError(f"{path} is a {kind}; features are made with {', '.join(known)}")
    return str(path)


FeatureNetwork = NoFeatures | AbsentFeatures | SelfSupervised | Vgg16 | VisionTransformer
