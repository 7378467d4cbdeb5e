"""A small encoder that learns to describe places in photos from the photos alone, without labels.

Two crops of a photo are coloured differently. Where they show the same place, each feature should have the same value
in both, and no feature should repeat another: Barlow Twins (Zbontar et al., ICML 2021) on maps instead of whole
pictures, and without a head, since the features themselves are to be compared. Crops lie at different offsets, so that
a feature cannot tell where in the picture it is. Nothing else differs but colour, noise and up to two pixels between
cells of four: features stay sensitive to what moves, blurs or mirrors a picture, and change gradually over shifts of
several pixels (matched exactly, they would change at once, and tell a loss nothing about the way back).
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from unflat.networks.frozen import freeze

WIDTH = 32
"""channels of the first convolution; there are twice as many features"""
STEPS = 500
"""45 s of one core at 64 px"""
BATCH = 32
"""photos a step, two crops each"""
RATE = 2e-3
LARGEST_CROP = 48
"""pixels"""
REDUNDANCY = 0.02
"""lambda, the weight of features that repeat each other; the higher, the finer the details that features tell apart"""


class SelfSupervised(nn.Module):
    """Features [b, 64, h / 4, w / 4] of unit variance over the photos that `prepare` saw. Each sees 34 pixels."""

    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # these weights are never used: leave others' random numbers alone
            self.encoder = freeze(_encoder(), persistent=True)
        self.register_buffer("spread", torch.zeros(2 * WIDTH, 1, 1))
        self._ready = False

    def prepare(self, rgb: np.ndarray, seed: int = 0) -> None:
        """Learn from photos [n, h, w, 3], uint8. The same photos and seed give the same features."""
        if rgb.ndim != 4 or rgb.shape[3] != 3 or rgb.dtype != np.uint8 or len(rgb) == 0 or min(rgb.shape[1:3]) < 16:
            raise ValueError(
                f"features are learned from uint8 photos [n, h, w, 3] of at least 16 px, not {rgb.dtype} {rgb.shape}"
            )
        device = self.spread.device
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            encoder = _encoder().to(device)
            _train(encoder, rgb, torch.Generator().manual_seed(seed))
        self.encoder.load_state_dict(encoder.state_dict())
        with torch.no_grad():
            some = np.linspace(0, len(rgb) - 1, min(len(rgb), 256)).astype(int)
            features = torch.cat(
                [self.encoder(_centred(_pictures(rgb, k).to(device))) for k in np.array_split(some, 8) if len(k)]
            )
            self.spread.copy_(features.std((0, 2, 3), correction=0)[:, None, None].clamp_min(1e-6))

    def forward(self, picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        if not self._ready:
            if not bool(self.spread.any()):
                raise RuntimeError(
                    "these features have learned nothing yet: call prepare(photos) first, or load weights"
                )
            self._ready = True
        return self.encoder(_centred(picture)) / self.spread


def _encoder() -> nn.Sequential:
    """Convolutions that halve the picture twice. Borders are reflected: zeros would tell a feature where it is."""
    layers: list[nn.Module] = []
    inside = 3
    for kernel, stride, out in ((4, 2, WIDTH), (4, 2, 2 * WIDTH), (3, 1, 2 * WIDTH), (3, 1, 2 * WIDTH)):
        layers += [nn.Conv2d(inside, out, kernel, stride, 1, padding_mode="reflect"), nn.LeakyReLU(0.1)]
        inside = out
    return nn.Sequential(*layers[:-1])


def _centred(picture: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    return picture * 4 - 2


def _pictures(rgb: np.ndarray, index: np.ndarray) -> Float[Tensor, "b 3 h w"]:
    return torch.from_numpy(np.ascontiguousarray(rgb[index])).permute(0, 3, 1, 2) / 255


def _train(encoder: nn.Sequential, rgb: np.ndarray, generator: torch.Generator) -> None:
    """Adam with a warm-up and a cosine schedule."""
    device = next(encoder.parameters()).device
    optimiser = torch.optim.Adam(encoder.parameters(), lr=RATE, betas=(0.9, 0.99))
    console = Console(stderr=True)
    if not console.is_terminal:
        console.print(f"learning features from {len(rgb)} photos, {STEPS} steps")
    for step in track(
        range(STEPS), "learning features", console=console, transient=True, disable=not console.is_terminal
    ):
        optimiser.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 20) * (1 + math.cos(math.pi * step / STEPS)) / 2
        index = torch.randint(len(rgb), (BATCH,), generator=generator).numpy()
        pair = _two_crops(_pictures(rgb, index), generator)
        pictures = torch.cat([_coloured(pair.first, generator), _coloured(pair.second, generator)])
        first, second = encoder(_centred(pictures).to(device)).chunk(2)
        places = first[pair.shared_by_first], second[pair.shared_by_second]
        loss = _barlow_twins(*(place.permute(0, 2, 3, 1).flatten(0, 2) for place in places))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


class Pair(NamedTuple):
    """Two crops of the same photos, and the cells of their feature maps that show the same places, to 2 pixels."""

    first: Float[Tensor, "b 3 s s"]
    second: Float[Tensor, "b 3 s s"]
    shared_by_first: tuple[slice, ...]
    shared_by_second: tuple[slice, ...]


def _two_crops(pictures: Float[Tensor, "b 3 h w"], generator: torch.Generator) -> Pair:
    """Crops of about three quarters of the picture; cells of 4 pixels are matched to the nearest."""
    if torch.rand((), generator=generator) < 0.5:
        pictures = pictures.flip(-1)
    sides = pictures.shape[2:]
    size = max(min(LARGEST_CROP, min(sides) * 3 // 16 * 4), 12)
    crops = [pictures, pictures]
    shared: list[list[slice]] = [[slice(None)] * 2, [slice(None)] * 2]
    for axis, side in enumerate(sides, start=2):
        starts = torch.randint(side - size + 1, (2,), generator=generator).tolist()
        cells = round((starts[1] - starts[0]) / 4)
        if abs(cells) * 4 >= size:  # in a large picture they may have nothing in common
            starts[1], cells = starts[0], 0
        for k, ahead in enumerate((cells, -cells)):
            crops[k] = crops[k].narrow(axis, starts[k], size)
            shared[k].append(slice(max(ahead, 0), size // 4 + min(ahead, 0)))
    return Pair(crops[0], crops[1], tuple(shared[0]), tuple(shared[1]))


def _coloured(pictures: Float[Tensor, "b 3 s s"], generator: torch.Generator) -> Float[Tensor, "b 3 s s"]:
    """Other contrast, brightness, tint and noise for each, and a fifth of them grey."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(len(pictures), *shape, generator=generator)

    grey = (torch.rand(len(pictures), 1, 1, 1, generator=generator) < 0.2).float()
    pictures = torch.lerp(pictures, pictures.mean(1, keepdim=True).expand_as(pictures), grey)
    mean = pictures.mean((1, 2, 3), keepdim=True)
    pictures = (pictures - mean) * (0.3 * normal(1, 1, 1)).exp() + mean
    pictures = pictures * (0.2 * normal(1, 1, 1) + 0.1 * normal(3, 1, 1)).exp() + 0.05 * normal(1, 1, 1)
    return pictures + 0.02 * normal(1, 1, 1).abs() * normal(*pictures.shape[1:])


def _barlow_twins(first: Float[Tensor, "n c"], second: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
    """How far the correlations of two descriptions of the same n places are from the identity."""
    first, second = ((x - x.mean(0)) / (x.std(0, correction=0) + 1e-4) for x in (first, second))
    correlation = first.T @ second / len(first)
    agreement = correlation.diagonal()
    return (1 - agreement).square().sum() + REDUNDANCY * (correlation.square().sum() - agreement.square().sum())
