"""LPIPS: how different two pictures look to a network (Zhang, Isola, Efros, Shechtman and Wang, CVPR 2018).

A table must name the backbone: "vgg" (most radiance fields) and "alex" give figures that differ by a factor of 1.5 to
2. The weights are not part of this package: the user has them in a folder, and without them there is no figure, for
random weights would give one that means nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from unflat.metrics.images import paired
from unflat.networks.frozen import freeze


def lpips(
    image: Float[Tensor, "b h w 3"], truth: Float[Tensor, "b_true h_true w_true 3"], network: "LPIPS"
) -> Float[Tensor, "b"]:
    """The distance of each picture from its truth, both in [0, 1] (clamped): 0 for equal ones.

    The figure depends on the size of the pictures: compare at that of the table. Computed where `network` is, in its
    precision. ValueError for pictures that its last layer does not see: under 16 pixels ("vgg") or 31 ("alex").
    """
    pair = [(2 * picture - 1).movedim(-1, 1).to(network.shift) for picture in paired(image, truth)]
    with torch.no_grad():
        return network(*pair).double()


class LPIPS(nn.Module):
    """Distance [b] between pictures [b, 3, h, w] in [-1, 1]; see `lpips` for pictures as metrics have them.

    Frozen, and its weights stay in the user's files: out of checkpoints. Gradients go through to the pictures. Its
    layers have the names that torchvision (features.0.weight) and the official heads (lin0.model.1.weight) give them.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, backbone: str, weights: Mapping[str, Tensor]) -> None:
        """`weights` by the names above; more of them will do. ValueError if one is missing or has another shape."""
        super().__init__()
        self.backbone = backbone
        self._kind = _kind(backbone)
        with torch.device("meta"):  # shapes only: there are never other weights than those given
            self.features = self._kind.trunk()
            for number, width in enumerate(self._kind.widths):
                # the official heads were trained with dropout in front: that is their layer 0
                head = nn.Sequential(nn.Identity(), nn.Conv2d(width, 1, 1, bias=False))
                self.add_module(f"lin{number}", nn.ModuleDict({"model": head}))
        self.load_state_dict(_chosen(weights, self.state_dict()), assign=True)
        for name, values in (("shift", (-0.030, -0.088, -0.188)), ("scale", (0.458, 0.448, 0.450))):
            self.register_buffer(name, torch.tensor(values)[:, None, None])
        freeze(self, persistent=False)

    @classmethod
    def load(cls, folder: str | Path, backbone: str) -> "LPIPS":
        """The network for `backbone` ("vgg" or "alex") with the weights in `folder`.

        Two files are looked for, each as NAME.safetensors, NAME.pth or NAME-*.pth: torchvision's vgg16 or alexnet, and
        the official linear heads, vgg or alex (weights/v0.1 of the lpips package). ValueError if they are not there or
        are something else.
        """
        kind, folder = _kind(backbone), Path(folder).expanduser()
        trunk, heads = (_read(_only_file(folder, name, kind)) for name in (kind.network, kind.heads))
        try:
            return cls(backbone, trunk | heads)
        except ValueError as error:
            raise ValueError(f"{folder} has other weights than LPIPS ({backbone}) needs: {error}") from error

    def forward(self, a: Float[Tensor, "b 3 h w"], b: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b"]:
        if min(a.shape[2:]) < self._kind.smallest:
            raise ValueError(
                f"the pictures are {a.shape[2]} x {a.shape[3]} pixels (h x w), LPIPS ({self.backbone}) needs "
                f"{self._kind.smallest} x {self._kind.smallest} at least: compare larger pictures"
            )
        distance = torch.zeros(len(a), dtype=self.shift.dtype, device=self.shift.device)
        # both are taken through the network side by side, so that only one layer of each is kept
        for number, (one, other) in enumerate(zip(self._layers(a), self._layers(b), strict=True)):
            difference = (_unit(one) - _unit(other)).square()
            distance = distance + self.get_submodule(f"lin{number}.model")(difference).mean((1, 2, 3))
        return distance

    def _layers(self, picture: Float[Tensor, "b 3 h w"]) -> Iterator[Float[Tensor, "b c i j"]]:
        """The features that are compared, coarser and coarser."""
        maps = (picture - self.shift) / self.scale
        for number, layer in enumerate(self.features):
            maps = layer(maps)
            if number in self._kind.compared:
                yield maps


def _unit(features: Float[Tensor, "b c i j"]) -> Float[Tensor, "b c i j"]:
    """Length 1 along the channels at every place; zero stays zero."""
    return features / (features.norm(dim=1, keepdim=True) + 1e-10)


def _vgg16() -> nn.Sequential:
    """Simonyan and Zisserman 2015, configuration D, up to relu5_3, in torchvision's order."""
    layers: list[nn.Module] = []
    inside = 3
    for width, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        layers += [nn.MaxPool2d(2)] if layers else []
        for _ in range(convolutions):
            layers += [nn.Conv2d(inside, width, 3, padding=1), nn.ReLU()]
            inside = width
    return nn.Sequential(*layers)


def _alexnet() -> nn.Sequential:
    """Krizhevsky 2014 (one tower), up to relu5, in torchvision's order."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)]
    layers += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, stride=2)]
    for inside, width in ((192, 384), (384, 256), (256, 256)):
        layers += [nn.Conv2d(inside, width, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


@dataclass(frozen=True)
class _Kind:
    """One backbone of LPIPS."""

    heads: str
    """what the paper's code calls it, and the file with its heads"""
    network: str
    """what torchvision calls the network below the heads, and its file"""
    trunk: Callable[[], nn.Sequential]
    compared: tuple[int, ...]
    """places in the trunk whose output is compared"""
    widths: tuple[int, ...]
    """channels there"""
    smallest: int
    """side of the smallest picture of which the last layer has a pixel"""


_KINDS = (
    _Kind("vgg", "vgg16", _vgg16, compared=(3, 8, 15, 22, 29), widths=(64, 128, 256, 512, 512), smallest=16),
    _Kind("alex", "alexnet", _alexnet, compared=(1, 4, 7, 9, 11), widths=(64, 192, 384, 256, 256), smallest=31),
)


def _kind(backbone: str) -> _Kind:
    for kind in _KINDS:
        if kind.heads == backbone:
            return kind
    raise ValueError(f"there is no LPIPS backbone {backbone!r}; give 'vgg' or 'alex'")


def _chosen(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the weights that are wanted, as float32; ValueError unless each has its shape."""
    for name, value in wanted.items():
        shape, found = tuple(value.shape), weights.get(name)
        if found is None or tuple(found.shape) != shape:
            there = "is missing" if found is None else f"is {tuple(found.shape)}"
            raise ValueError(
                f"{name} {there} and should be {shape}; features.* are torchvision's weights (without batch norm), "
                "lin* those of the official v0.1 heads"
            )
    return {name: weights[name].float() for name in wanted}


def _only_file(folder: Path, name: str, kind: _Kind) -> Path:
    """The file with the weights called `name`."""
    patterns = (f"{name}.safetensors", f"{name}.pth", f"{name}-*.pth")
    found = [path for pattern in patterns for path in sorted(folder.glob(pattern))]
    if len(found) != 1:
        raise ValueError(
            f"{folder} holds {len(found)} files {', '.join(patterns)}; one is needed. LPIPS ({kind.heads}) takes "
            f"torchvision's weights of {kind.network} and the official linear heads {kind.heads} (weights/v0.1/"
            f"{kind.heads}.pth of the lpips package): put both there. No figure is ever computed with random weights"
        )
    return found[0]


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors in a file, which is never executed."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}
    except (UnpicklingError, SafetensorError, RuntimeError, EOFError, ValueError, AttributeError, OSError) as error:
        raise ValueError(
            f"{path} cannot be read as weights: it is damaged, or holds more than tensors and could run code; "
            "download it again, or store its tensors as .safetensors"
        ) from error
