"""A tiny method for the trainer's tests: it learns one depth and one tint per picture, in milliseconds."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from unflat.data.batches import PhotoBatch, shuffled
from unflat.data.kinds import Extent, Photos
from unflat.method import Group, Losses, Method, Prediction

SIZE = 8


@dataclass(frozen=True)
class Config:
    width: int = 4
    batch_size: int = 3
    grow_at: int = -1
    """step after which `extra` doubles in length"""
    poison: str = ""
    """what is spoilt from step 5 on: 'loss', or 'gradient' for a finite loss with a gradient that is none"""
    noise: bool = True
    """whether training draws random numbers of its own"""


class Tilt(Method, config=Config, takes=Photos, gives=("rgb", "depth")):
    config: Config

    def __init__(self, config: Config, extent: Extent) -> None:
        super().__init__(config, extent)
        self.body = nn.Sequential(
            nn.Conv2d(3, config.width, 3, padding=1), nn.Dropout(0.3 if config.noise else 0.0), nn.ReLU()
        )
        self.head = nn.Conv2d(config.width, 4, 1)
        self.extra = nn.Parameter(torch.ones(2))
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("updates", torch.zeros(()))

    def prepare(self, data: Photos) -> None:
        self.mean.copy_(torch.tensor(data.rgb.mean((0, 1, 2)) / 255))

    def batches(self, data: Photos, step: int, seed: int) -> Iterator[PhotoBatch]:
        return shuffled(data, self.config.batch_size, seed=seed, start=step)

    def explain(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.head(self.body(photo - self.mean[:, None, None])).float()
        return 1 + 0.1 * torch.tanh(maps[:, 0]), maps[:, 1:]

    def losses(self, batch: PhotoBatch, step: int) -> Losses:
        depth, image = self.explain(batch.photo)
        noisy = image + 0.01 * torch.randn_like(image) if self.config.noise else image
        terms = {"colour": (noisy - batch.photo).square().mean(), "extra": 1e-2 * self.extra.square().sum()}
        if batch.depth is not None:
            terms["depth"] = (depth - batch.depth.nan_to_num(1.0)).abs().mean()
        if self.config.poison and step >= 5:
            terms["colour"] = terms["colour"] * torch.nan if self.config.poison == "loss" else _bad_root(image)
        return Losses(terms, {"noise": noisy.detach().std()} if step % 2 else {})

    def parameter_groups(self) -> list[Group]:
        return [
            Group([*self.body.parameters(), *self.head.parameters()], decay=1e-3),
            Group([self.extra], rule="adamw", rate=2.0, schedule=lambda step: 1 / (1 + step)),
        ]

    def update(self, step: int) -> bool:
        self.updates += 1
        if step != self.config.grow_at:
            return False
        self.extra = nn.Parameter(self.extra.detach().repeat(2))
        return True

    def predict(self, photos: Photos) -> Prediction:
        photo = torch.tensor(photos.rgb, device=self.device).permute(0, 3, 1, 2).float() / 255
        depth, image = self.explain(photo)
        return Prediction(rgb=image.clamp(0, 1).permute(0, 2, 3, 1), depth=depth)


def _bad_root(image: Tensor) -> Tensor:
    """Zero, with a gradient that is infinite times zero."""
    return (image * 0).square().sum().sqrt()


def pictures(count: int = 7, seed: int = 0, size: int = SIZE) -> Photos:
    """Random colours over a random tilt."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    across = np.linspace(-0.05, 0.05, size, dtype=np.float32)
    depth = 1 + rng.normal(size=(count, 1, 1)).astype(np.float32) * across[None, None] + across[None, :, None]
    return Photos(rgb, [f"picture {i}" for i in range(count)], depth=depth.astype(np.float32))
