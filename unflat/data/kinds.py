"""What people come with: one class per kind of data. Arrays may be memory-mapped; nothing is decoded here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Extent:
    """How far the data reach: what a method has to know before it is built. Goes into the checkpoint."""

    count: int
    """pictures in the training set"""
    size: tuple[int, int]
    """height and width of a picture in pixels"""


class Skipped(NamedTuple):
    """A file that could not be used."""

    name: str
    why: str
    """the sentence that the name begins: `is broken (...)`"""


@dataclass(frozen=True)
class Photos:
    """Single pictures of one kind of object, square crops of one size, with no cameras.

    Everything behind `names` is truth that only evaluation may look at; it is None where it is not known, and
    named in `known`.
    """

    rgb: np.ndarray
    """uint8 [n, h, w, 3]"""
    names: Sequence[str]
    """where each picture comes from, for reports"""
    depth: np.ndarray | None = None
    """float32 [n, h, w], along z; NaN where there is no object. The object stands near distance 1"""
    mask: np.ndarray | None = None
    """bool [n, h, w], True on the object"""
    normals: np.ndarray | None = None
    """float32 [n, h, w, 3], unit, camera frame, towards the camera; NaN where there is no object"""
    albedo: np.ndarray | None = None
    """uint8 [n, h, w, 3]"""
    view: np.ndarray | None = None
    """float32 [n, 6]: turns about x, y, z in radians (R = Rz Ry Rx), then the shift, about the point (0, 0, 1)"""
    light: np.ndarray | None = None
    """float32 [n, 5]: ambient, diffuse, and the unit direction towards the light in the camera's frame"""
    landmarks: np.ndarray | None = None
    """float32 [n, k, 3]: pixel u, pixel v, depth"""
    asymmetric: np.ndarray | None = None
    """bool [n, h, w], True where the object's colour (albedo) at the point that the pixel's centre sees differs from
    that at the point's mirror image across the object's plane of symmetry: on a part that only one side has, and on
    the place opposite it. Neither can be explained by mirroring the object"""
    field_of_view: float | None = None
    """radians, from the first pixel's centre to the last one's"""
    crop: dict[str, Any] = field(default_factory=dict)
    """how the pictures were cropped, so that later photos can be cropped alike; plain data, see `data.crops`"""
    framing: np.ndarray | None = None
    """float32 [n, 3]: side of the crop over the picture's shorter side, and of the face and of the object over that of
    the crop; NaN where not measured"""
    skipped: Sequence[Skipped] = ()
    """files that were found and could not be used"""

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def extent(self) -> Extent:
        return Extent(count=len(self.rgb), size=(int(self.rgb.shape[1]), int(self.rgb.shape[2])))

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the optional fields that are there."""
        optional = ("depth", "mask", "normals", "albedo", "view", "light", "landmarks", "asymmetric")
        return tuple(name for name in optional if getattr(self, name) is not None)

    def __getitem__(self, index: slice | np.ndarray | list[int]) -> "Photos":
        """Some of the pictures, with their truth."""
        if not isinstance(index, slice):
            index = np.asarray(index)
        chosen = np.arange(len(self))[index]
        sliced = ("rgb", *self.known, *(() if self.framing is None else ("framing",)))
        parts = {name: getattr(self, name)[index] for name in sliced}
        return replace(self, **parts, names=tuple(self.names[int(i)] for i in chosen))
