"""Photos with a patch on each, which no mirror image explains: the perturbation test of Unsup3D (CVPR 2020)."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from unflat.data.kinds import Photos
from unflat.data.packing import Column, digest_of, packed
from unflat.worlds.source import PhotoSource

SIDES = (0.2, 0.5)
"""limits of a patch's height and of its width, as shares of the photo's"""
OPACITY = (0.5, 1.0)
VERSION = 1
"""of what is drawn: raise it with every change that shows in a picture, so that no old cache is read"""


@dataclass(frozen=True)
class Patched:
    """The photos of a source, each with a rectangle of one random colour on it, more or less opaque.

    Height, width, opacity, place and colour are uniform. A photo's patch depends on the seed, on its place in the set
    and on its name only, so that splits differ and a longer set begins like a shorter one. The truth (depth, albedo, …)
    stays that of the object behind the patch.
    """

    source: PhotoSource
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it has to be 0 or more")

    def photos(self) -> Photos:
        """The source's photos with patched pictures, memory-mapped from a cache that is filled at the first call."""
        photos = self.source.photos()
        content = hashlib.blake2b(repr(photos.rgb.shape).encode())
        for rgb in photos.rgb:
            content.update(rgb.tobytes())
        key = digest_of("patched", VERSION, self.seed, content.hexdigest(), list(photos.names))
        folder = packed(f"patched/{key}", lambda empty: self._fill(empty, photos))
        return replace(photos, rgb=np.load(folder / "rgb.npy", mmap_mode="r"))

    def _fill(self, folder: Path, photos: Photos) -> None:
        with Column(folder / "rgb.npy", photos.rgb.shape[1:], np.uint8) as column:
            for index, (rgb, name) in enumerate(zip(photos.rgb, photos.names, strict=True)):
                column.append(with_patch(rgb, self._random(index, name)))

    def _random(self, index: int, name: str) -> np.random.Generator:
        words = hashlib.blake2b(name.encode(), digest_size=8).digest()
        return np.random.default_rng([self.seed, index, int.from_bytes(words, "little")])


def with_patch(rgb: UInt8[np.ndarray, "h w 3"], random: np.random.Generator) -> UInt8[np.ndarray, "h w 3"]:
    """A copy of a photo with one patch on it, all of it inside the picture."""
    size = np.array(rgb.shape[:2])
    sides = np.maximum(np.rint(random.uniform(*SIDES, 2) * size), 1).astype(int)
    top, left = random.integers(0, size - sides + 1)
    opacity, colour = random.uniform(*OPACITY), random.uniform(0, 255, 3)
    patched = rgb.copy()
    covered = patched[top : top + sides[0], left : left + sides[1]]
    covered[:] = np.rint((1 - opacity) * covered + opacity * colour).astype(np.uint8)
    return patched
