"""A photo and its truth as they go into a pack: decoded, cropped and resized together."""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from unflat.data import crops, truth
from unflat.data.crops import Cropping, Framing, cut
from unflat.data.detection import Box, face_box
from unflat.data.frames import frames_of
from unflat.data.kinds import Skipped
from unflat.data.photo_files import PhotoFile
from unflat.data.pictures import Picture, PictureError, open_picture
from unflat.data.truth import World

SAID = {"view": (6,), "light": (5,), "landmarks": (-1, 3)}
"""what lines of truth.jsonl may say, and its shape"""


@dataclass(frozen=True)
class Cut:
    """One photo, cropped."""

    name: str
    rgb: np.ndarray
    """uint8 [s, s, 3]"""
    framing: Framing
    whole: bool
    """True if all of a square picture was taken"""
    depth: np.ndarray | None = None
    """float32 [s, s]"""
    mask: np.ndarray | None = None
    """bool [s, s]"""
    said: Mapping[str, np.ndarray] = field(default_factory=dict)
    """view, light and landmarks, as far as they are known"""
    field_of_view: float | None = None
    """radians, between the centres of the first and last pixel; None unless `whole` and known"""


@dataclass(frozen=True)
class Cutter:
    """How photos are cut."""

    cropping: Cropping
    size: int
    """pixels a side of what comes out"""
    worlds: Mapping[Path, World] = field(default_factory=dict)
    """what holds for the photos below a folder"""

    @property
    def smallest(self) -> float:
        """Pixels a crop must be wide: enlarging more than twofold shows nothing that could be learned from."""
        return self.size / 2

    def photo(self, file: PhotoFile) -> Cut | Skipped:
        """Cut a photo, or say why it cannot be used."""
        try:
            simple = self.cropping.mode in ("centre", "none")
            picture = open_picture(file.path, at_least=math.ceil(self.size / self.cropping.margin) if simple else None)
            self._refuse_tiny(picture.size)
            mask = truth.read_mask(file.mask) if file.mask is not None else _mask_of_alpha(picture.alpha)
            if mask is not None:
                truth.check_shape("mask", mask.shape, picture.size)
            return self._cut(file, picture, *self.cropping.square(file.name, picture, mask), mask)
        except PictureError as error:
            return Skipped(file.name, str(error))

    def photos(self, files: tuple[PhotoFile, ...], workers: int) -> Iterator[Cut | Skipped]:
        """Cut photos on several threads (decoding lets them run side by side), in order."""
        pool = ThreadPoolExecutor(workers)
        try:
            yield from pool.map(self.photo, files)
        finally:
            pool.shutdown(cancel_futures=True)

    def frames(self, video: Path, limit: int | None) -> Iterator[Cut | Skipped]:
        """Cut the frames of a video. Faces are looked for in a first pass and followed without jitter in a second."""
        faces: Callable[[int], Box | None] = lambda _: None  # noqa: E731
        if self.cropping.mode == "face":
            followed = crops.steadied([face_box(frame) for frame in frames_of(video, limit)])
            faces = followed.__getitem__
        for index, frame in enumerate(frames_of(video, limit)):
            name = f"{video.stem}_{index:05d}"
            try:
                self._refuse_tiny(frame.size)
                picture, face = Picture(frame, None, frame.size), faces(index)
                square = self.cropping.about_face(face) if face else self.cropping.square(name, picture, None)
                yield self._cut(PhotoFile(name, video), picture, *square, None)
            except PictureError as error:
                yield Skipped(name, str(error))

    def _refuse_tiny(self, size: tuple[int, int]) -> None:
        if min(size) < self.smallest:
            raise PictureError(
                f"is too small: {size[0]}x{size[1]} pixels, at least {self.smallest:.0f} are needed "
                f"for crops of {self.size}"
            )

    def _cut(self, file: PhotoFile, picture: Picture, square: Box, face: float, mask: np.ndarray | None) -> Cut:
        """`square` is in pixels of the file."""
        width, height = picture.size
        crops.check_square(square, picture.size, self.smallest)
        rgb = np.asarray(cut(picture.rgb, square.scaled(picture.rgb.width / width), self.size))
        cut_mask = None if mask is None else truth.cut_mask(mask, square.scaled(mask.shape[1] / width), self.size)
        world = self._world_of(file.path)
        depth = self._depth(file, picture.size, square, world)
        if depth is not None and file.mask is not None and cut_mask is not None:
            depth[~cut_mask] = np.nan
        whole = width == height and square == (0, 0, width, height)
        angle = world.field_of_view
        return Cut(
            name=file.name,
            rgb=rgb,
            framing=Framing(
                share=square.width / min(width, height),
                face=face,
                object=math.nan if cut_mask is None else crops.object_share(cut_mask),
            ),
            whole=whole,
            depth=depth,
            mask=cut_mask,
            said=_said(world.lines.get(PurePosixPath(file.name).stem, {}), square, self.size),
            field_of_view=truth.field_of_view_at(angle, width, self.size) if whole and angle is not None else None,
        )

    def _world_of(self, photo: Path) -> World:
        home = truth.home_of(photo.parent)
        return World() if home is None else self.worlds.get(home, World())

    def _depth(self, file: PhotoFile, of: tuple[int, int], square: Box, world: World) -> np.ndarray | None:
        if file.depth is None:
            return None
        depth = truth.read_depth(file.depth, world.near, world.far)
        truth.check_shape("depth", depth.shape, of)
        return truth.cut_depth(depth, square.scaled(depth.shape[1] / of[0]), self.size)


def _mask_of_alpha(alpha: Image.Image | None) -> np.ndarray | None:
    return None if alpha is None else np.asarray(alpha) > 127


def _said(line: Mapping[str, Any], square: Box, size: int) -> dict[str, np.ndarray]:
    """View, light and landmarks of a line of truth, the landmarks in pixels of the crop."""
    said = {}
    for what, shape in SAID.items():
        if line.get(what) is not None:
            try:
                said[what] = np.array(line[what], np.float32).reshape(shape)
                if not np.isfinite(said[what]).all():
                    raise ValueError("not all of its numbers are finite")
            except (TypeError, ValueError, OverflowError) as error:
                raise PictureError(f"has a {what} in truth.jsonl that makes no sense ({error})") from error
    if "landmarks" in said:
        said["landmarks"] = truth.cut_landmarks(said["landmarks"], square, size)
    return said
