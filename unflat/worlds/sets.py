"""Sets of generated pictures: their splits, what may be asked for, and how they are kept on disk."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from unflat.data.packing import Column, packed

Split = Literal["train", "val", "test"]
SPLITS: dict[Split, int] = {"train": 20_000, "val": 1_000, "test": 1_000}
"""how many pictures a split holds unless said otherwise"""
SMALLEST, LARGEST = 8, 256
"""pixels a side"""
MAPS_KEPT = 2_000 * 64 * 64
"""a set of more pixels keeps no normals and no albedo on disk: they would take more than all the rest"""
MAPS = ("normals", "albedo")


def check_set(world: str, count: int, size: int, seed: int, split: str) -> None:
    """ValueError if there is no such set of the world."""
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r} of the {world}; take one of {', '.join(SPLITS)}")
    if count < 1:
        raise ValueError(f"count is {count}; a set needs at least one picture")
    if seed < 0:
        raise ValueError(f"seed is {seed}; it has to be 0 or more")
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size is {size}; {world} are rendered at {SMALLEST} to {LARGEST} pixels a side")


def random_of(seed: int, split: Split, index: int) -> np.random.Generator:
    """Random numbers for one picture, the same whatever the number of pictures."""
    return np.random.default_rng([seed, list(SPLITS).index(split), index])


def stored(key: str, pictures: Callable[[], Iterable[Mapping[str, np.ndarray]]]) -> dict[str, Any]:
    """The fields of all pictures, memory-mapped from the cache's entry `key`, which `pictures` fills if it is missing.

    A picture is its fields by name; the first says which there are.
    """
    folder = packed(key, lambda empty: _fill(empty, pictures()))
    return {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}


def _fill(folder: Path, pictures: Iterable[Mapping[str, np.ndarray]]) -> None:
    columns: dict[str, Column] = {}
    for picture in pictures:
        for name, row in picture.items():
            if name not in columns:
                columns[name] = Column(folder / f"{name}.npy", row.shape, row.dtype)
            columns[name].append(row)
    for column in columns.values():
        column.close()
