"""Training batches in an order that is a function of seed and step alone, and pieces that fit in memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unflat.data.kinds import Photos

MIRRORED_VIEW = np.array([1, -1, -1, -1, 1, 1], np.float32)


@dataclass(frozen=True)
class PhotoBatch:
    """Some photos, and their truth for methods that are taught it. Mirrored photos have mirrored truth."""

    photo: Float[Tensor, "b 3 h w"]
    """in [0, 1], channels last in memory"""
    index: Int[Tensor, "b"]
    """which photos of the set these are"""
    flipped: Bool[Tensor, "b"]
    """True where photo, depth, mask and view are mirrored left to right"""
    depth: Float[Tensor, "b h w"] | None = None
    """along z, NaN where there is no object; None if the data hold none"""
    mask: Bool[Tensor, "b h w"] | None = None
    """True on the object; None if the data hold none"""
    view: Float[Tensor, "b 6"] | None = None
    """turns about x, y, z in radians, then the shift; None if the data hold none"""

    def __len__(self) -> int:
        return len(self.photo)

    def known(self, name: str) -> Tensor:
        """What is known beside the photos: depth, mask or view; ValueError where it is not."""
        value: Tensor | None = getattr(self, name)
        if value is None:
            raise ValueError(f"the settings want photos with {name} beside them, but these have none")
        return value


def shuffled(
    photos: Photos, batch_size: int, *, seed: int = 0, start: int = 0, flip: bool = True
) -> Iterator[PhotoBatch]:
    """Batches without end, from step `start` on.

    Every epoch visits every photo once, in its own order; the epochs are laid end to end and cut into batches, so a
    batch may reach into the next epoch (or hold several, where the set is smaller than a batch). With `flip`, a photo
    is mirrored left to right in half of the epochs. Order and mirroring are hashes of (seed, epoch, photo): a run
    resumed at any step draws what the unbroken run would have drawn.

    Raises ValueError at once for an empty set, a batch size under one or a negative start.
    """
    if len(photos) == 0:
        raise ValueError("there are no photos to draw batches from")
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it has to be at least 1")
    if start < 0:
        raise ValueError(f"start is step {start}; steps count from 0")
    return _batches(photos, batch_size, seed, start, flip)


def _batches(photos: Photos, batch_size: int, seed: int, step: int, flip: bool) -> Iterator[PhotoBatch]:
    epochs: dict[int, np.ndarray] = {}
    while True:
        place = np.arange(step * batch_size, (step + 1) * batch_size)
        epoch, within = np.divmod(place, len(photos))
        wanted = range(epoch[0], epoch[-1] + 1)
        epochs = {e: epochs[e] if e in epochs else _order(len(photos), seed, e) for e in wanted}
        index = np.array([epochs[e][i] for e, i in zip(epoch, within, strict=True)])
        yield _drawn(photos, index, _mirrored(index, seed, epoch) & flip)
        step += 1


def _drawn(photos: Photos, index: np.ndarray, flipped: np.ndarray) -> PhotoBatch:
    rgb = torch.from_numpy(_rows(photos.rgb, index, flipped))
    return PhotoBatch(
        photo=rgb.permute(0, 3, 1, 2) / 255,
        index=torch.from_numpy(index),
        flipped=torch.from_numpy(flipped),
        depth=None if photos.depth is None else torch.from_numpy(_rows(photos.depth, index, flipped)),
        mask=None if photos.mask is None else torch.from_numpy(_rows(photos.mask, index, flipped)),
        view=None if photos.view is None else torch.from_numpy(_views(photos.view, index, flipped)),
    )


def _views(views: np.ndarray, index: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """Views [n, 6] at `index`; of a mirrored photo, yaw, roll and the shift to the side have the other sign."""
    rows = np.asarray(views, np.float32).take(index, axis=0)
    rows[flipped] *= MIRRORED_VIEW
    return rows


def _rows(maps: np.ndarray, index: np.ndarray, flipped: np.ndarray) -> np.ndarray:
    """A copy of the maps [n, h, w, ...] at `index`, mirrored left to right where told."""
    rows = np.asarray(maps).take(index, axis=0)
    if rows.ndim == 3:
        rows[flipped] = rows[flipped][:, :, ::-1]
    else:  # with colours innermost, indices are twice as fast as a negative stride
        rows[flipped] = rows[flipped].take(np.arange(rows.shape[2])[::-1], axis=2)
    return rows


def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation of `count` photos: the order of their hashes."""
    return np.argsort(hashed(seed, epoch, 0, np.arange(count)), kind="stable")


def _mirrored(index: np.ndarray, seed: int, epoch: np.ndarray) -> np.ndarray:
    """Whether each photo is mirrored in its epoch: the top bit of another hash."""
    return hashed(seed, epoch, 1, index) >> np.uint64(63) == 1


def hashed(*words: int | np.ndarray) -> np.ndarray:
    """64 well-mixed bits of several integers (the finaliser of splitmix64 after each), the same on every machine and
    for every version of numpy, which its generators do not promise."""
    state = np.zeros(1, np.uint64)
    for word in words:
        state = state + np.asarray(word).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        state = state ^ (state >> np.uint64(31))
    return state


def pieces(photos: Photos, size: int) -> Iterator[Photos]:
    """The photos in order, at most `size` at a time."""
    if size < 1:
        raise ValueError(f"a piece of {size} photos was asked for; it has to be at least 1")
    for first in range(0, len(photos), size):
        yield photos[first : first + size]
