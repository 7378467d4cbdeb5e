"""The pictures of frames, decoded into the flat arrays that a `Capture` holds, with their masks and depth."""

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from unflat.data import packing
from unflat.data.frame_maps import read_depth, read_mask, same_shape
from unflat.data.kinds import Skipped
from unflat.data.pictures import PictureError, open_stored, quiet_pillow, stored_header
from unflat.data.reading import bar, side_by_side
from unflat.data.recordings import CaptureError, Frame
from unflat.data.shrinking import nearest, shrunk, shrunk_mask
from unflat.geometry.cameras import Pinhole

VERSION = 1
"""of what is packed; older packs are not read"""
SHARE = 0.25
"""of the machine's memory: what takes more is memory-mapped"""
UNKNOWN_MEMORY = 8 * 2**30
"""bytes, of a machine that does not say how many it has"""


@dataclass(frozen=True)
class Pictures:
    """Pictures one after the other, row by row, as `Capture` has them."""

    frames: Sequence[Frame]
    """those whose pictures could be read"""
    pinholes: Sequence[Pinhole]
    """of each picture in the size in which it is here"""
    pixels: np.ndarray
    """uint8 [p, 3], or [p, 4] with straight opacity if any picture has some"""
    mask: np.ndarray | None
    """bool [p], False where pixels are to be left out; None if no frame has a mask"""
    depth: np.ndarray | None
    """float32 [p], along z in the unit of the files' world, NaN where it is not known; None if no frame has any"""
    skipped: Sequence[Skipped]
    """frames whose picture, mask or depth cannot be read"""


def load_pictures(
    frames: Sequence[Frame],
    *,
    side: int | None = None,
    depth_unit: float = 0.001,
    share: float = SHARE,
    minimum: int = 2,
    progress: bool = True,
) -> Pictures:
    """The pictures of frames, as they are stored: a note in the file that they be turned is for viewers.

    `side`: the longer side in pixels, of pictures that are larger; their areas are averaged. `depth_unit`: of integers
    in depth maps. `share`: what takes more than this share of memory is packed into a file in the cache, once, and
    memory-mapped. `minimum`: pictures that have to be left; one is enough where they are only to be compared with.

    A pinhole is scaled to the picture that is there. Raises CaptureError where a picture is not of the pinhole's
    shape, and where fewer than `minimum` can be read.
    """
    if side is not None and side < 1:
        raise CaptureError(f"side={side} is no size for pictures; give their longer side in pixels, or leave it out")
    with quiet_pillow():
        planned = list(side_by_side(partial(_plan, side=side), frames))
        plans = [plan for plan in planned if isinstance(plan, _Plan)]
        skipped = [plan for plan in planned if isinstance(plan, Skipped)]
        _refuse_few(plans, skipped, minimum)
        columns = _columns(plans)
        read = side_by_side(partial(_decode, channels=columns["pixels"][0][0], depth_unit=depth_unit), plans)
        count = sum(plan.count for plan in plans)
        bytes_of_row = sum(math.prod(shape) * np.dtype(kind).itemsize for shape, kind in columns.values())
        fill = partial(_fill, plans, skipped, read, minimum, progress)
        if count * bytes_of_row > share * _memory():
            arrays, left, broken = _packed(_key(plans, columns, depth_unit), columns, fill)
        else:
            held = {name: _Held(count, shape, kind) for name, (shape, kind) in columns.items()}
            left, broken = fill(held)
            arrays = {name: column.rows for name, column in held.items()}
    return Pictures(
        frames=[plans[i].frame for i in left],
        pinholes=[plans[i].pinhole for i in left],
        pixels=arrays["pixels"],
        mask=arrays.get("mask"),
        depth=arrays.get("depth"),
        skipped=(*skipped, *broken),
    )


def _refuse_few(left: Sequence[object], skipped: Sequence[Skipped], minimum: int) -> None:
    if len(left) < minimum:
        shown = "; ".join(f"{name} {why}" for name, why in skipped[:3])
        rest = f"; and {len(skipped) - 3} more" if len(skipped) > 3 else ""
        raise CaptureError(
            f"{len(left)} of {len(left) + len(skipped)} pictures can be read, and at least {minimum} are needed"
            + (f": {shown}{rest}" if skipped else "")
        )


# -- what is to be read -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Plan:
    """A frame whose picture seems to be there."""

    frame: Frame
    stored: tuple[int, int]
    """width and height in the file"""
    pinhole: Pinhole
    """in the size that is wanted"""
    opacity: bool

    @property
    def count(self) -> int:
        """Of pixels."""
        return self.pinhole.width * self.pinhole.height


def _plan(frame: Frame, side: int | None) -> _Plan | Skipped:
    try:
        stored, opacity = stored_header(frame.picture)
    except PictureError as error:
        return Skipped(frame.name, str(error))
    pinhole = pinhole_of(frame, stored)
    scale = 1.0 if side is None else min(1.0, side / max(stored))
    width, height = (max(1, round(size * scale)) for size in stored)
    return _Plan(frame, stored, pinhole if scale == 1 else pinhole.resized(width, height), opacity)


def pinhole_of(frame: Frame, stored: tuple[int, int]) -> Pinhole:
    """The camera of a frame for its picture, of that width and height. CaptureError where they do not fit."""
    width, height = stored
    if frame.pinhole is None:
        if frame.field_of_view is None:
            raise CaptureError(f"{frame.name} has neither a pinhole nor a field of view")
        focal = width / 2 / math.tan(frame.field_of_view / 2)
        return Pinhole(focal, focal, width / 2, height / 2, width, height)
    said = (frame.pinhole.width, frame.pinhole.height)
    if stored == said:
        return frame.pinhole
    if not same_shape(stored, said):
        turned = " It looks turned by a quarter: turn the pixels back." if same_shape((height, width), said) else ""
        raise CaptureError(
            f"{frame.name} has {width}x{height} pixels, and its camera is one for {said[0]}x{said[1]}: the picture was "
            "cut or turned after its camera was found (a note on rotation in the file is not looked at); give the "
            f"pictures that belong to the poses.{turned}"
        )
    return frame.pinhole.resized(width, height)


# -- decoding ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Decoded:
    pixels: np.ndarray
    """uint8 [h, w, 3 or 4]"""
    mask: np.ndarray | None
    """bool [h, w]"""
    depth: np.ndarray | None
    """float32 [h, w]"""


def _decode(plan: _Plan, channels: int, depth_unit: float) -> _Decoded | Skipped:
    frame, width, height = plan.frame, plan.pinhole.width, plan.pinhole.height
    try:
        pixels = open_stored(frame.picture)
        if pixels.shape[1::-1] != plan.stored:
            raise PictureError("is broken (its size is not the one it says)")
        mask = None if frame.mask is None else read_mask(frame.mask, plan.stored)
        depth = None if frame.depth is None else read_depth(frame.depth, plan.stored, depth_unit)
        return _Decoded(
            _with_channels(shrunk(pixels, width, height), channels),
            None if mask is None else shrunk_mask(mask, width, height),
            None if depth is None else nearest(depth, width, height),
        )
    except PictureError as error:
        return Skipped(frame.name, str(error))


def _with_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """[h, w, 3 or 4] as [h, w, channels], opaque where nothing is said of that."""
    if pixels.shape[2] < channels:
        return np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
    return pixels[..., :channels]


# -- keeping ----------------------------------------------------------------------------------------------------------

Layout = Mapping[str, tuple[tuple[int, ...], type]]
"""of what is kept for every pixel: name, shape, kind of number"""


class _Held:
    """Rows in memory; a `packing.Column` holds them on disk."""

    def __init__(self, count: int, row_shape: tuple[int, ...], dtype: type) -> None:
        self._rows: np.ndarray = np.empty((count, *row_shape), dtype)
        self._count = 0

    def extend(self, rows: np.ndarray) -> None:
        self._rows[self._count : self._count + len(rows)] = rows
        self._count += len(rows)

    @property
    def rows(self) -> np.ndarray:
        return self._rows[: self._count]


Columns = Mapping[str, _Held] | Mapping[str, packing.Column]
Filled = tuple[list[int], list[Skipped]]
"""which plans could be read, and why not the others"""


def _columns(plans: Sequence[_Plan]) -> Layout:
    channels = 4 if any(plan.opacity for plan in plans) else 3
    columns: dict[str, tuple[tuple[int, ...], type]] = {"pixels": ((channels,), np.uint8)}
    if any(plan.frame.mask is not None for plan in plans):
        columns["mask"] = ((), np.bool_)
    if any(plan.frame.depth is not None for plan in plans):
        columns["depth"] = ((), np.float32)
    return columns


def _fill(
    plans: Sequence[_Plan],
    skipped: Sequence[Skipped],
    read: Iterable[_Decoded | Skipped],
    minimum: int,
    progress: bool,
    columns: Columns,
) -> Filled:
    """Decode all pictures into columns. CaptureError if fewer than `minimum` can be read."""
    left: list[int] = []
    broken: list[Skipped] = []
    with bar(progress) as shown:
        task = shown.add_task("Reading pictures", total=len(plans))
        for index, picture in enumerate(read):
            if isinstance(picture, Skipped):
                broken.append(picture)
            else:
                left.append(index)
                _keep(picture, columns)
            shown.advance(task)
    _refuse_few(left, [*skipped, *broken], minimum)
    return left, broken


def _keep(picture: _Decoded, columns: Columns) -> None:
    """Add the pixels of a picture to all columns; what is not said is not left out, and of unknown depth."""
    height, width, channels = picture.pixels.shape
    columns["pixels"].extend(picture.pixels.reshape(height * width, channels))
    for name, values, otherwise in (("mask", picture.mask, True), ("depth", picture.depth, np.nan)):
        if name in columns:
            columns[name].extend(np.full(height * width, otherwise) if values is None else values.reshape(-1))


def _key(plans: Sequence[_Plan], columns: Layout, depth_unit: float) -> str:
    """Of the cache's entry: all that the pixels depend on."""
    files = [file for plan in plans for file in (plan.frame.picture, plan.frame.mask, plan.frame.depth)]
    sizes = [[plan.frame.name, plan.pinhole.width, plan.pinhole.height] for plan in plans]
    settings = [VERSION, depth_unit, sorted(columns), columns["pixels"][0]]
    return (
        f"captures/{packing.digest_of(settings, sizes, [file and packing.stated(file.absolute()) for file in files])}"
    )


def _packed(
    key: str, columns: Layout, fill: Callable[[Columns], Filled]
) -> tuple[dict[str, np.ndarray], list[int], list[Skipped]]:
    """Memory-mapped arrays, from the cache if they are there, and what `fill` said when it filled them."""
    entry = packing.packed(key, partial(_pack, columns, fill))
    arrays = {name: np.load(entry / f"{name}.npy", mmap_mode="r") for name in columns}
    said = json.loads((entry / "left.json").read_text())
    return arrays, said["left"], [Skipped(*pair) for pair in said["broken"]]


def _pack(columns: Layout, fill: Callable[[Columns], Filled], folder: Path) -> None:
    opened = {name: packing.Column(folder / f"{name}.npy", shape, kind) for name, (shape, kind) in columns.items()}
    try:
        left, broken = fill(opened)
    finally:
        for column in opened.values():
            column.close()
    (folder / "left.json").write_text(json.dumps({"left": left, "broken": broken}))


def _memory() -> int:
    """Bytes of the machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not on every system
        return UNKNOWN_MEMORY
