"""Masks and depth maps beside the pictures of a capture. Both may have another size than the picture."""

import math
from pathlib import Path

import numpy as np
from PIL import Image

from unflat.data.pictures import PictureError, open_stored, refuse_bomb


def read_mask(path: Path, of: tuple[int, int]) -> np.ndarray:
    """bool [h, w], True where it is over half as bright as where it is brightest, and not transparent."""
    try:
        stored = open_stored(path)
    except PictureError as error:
        raise PictureError(f"has a mask, {path.name}, that {error}") from error
    _refuse_other_shape(path, "mask", stored.shape, of)
    bright = stored[..., :3].max(2).astype(np.uint16) * (stored[..., 3] if stored.shape[2] == 4 else 1)
    return bright > bright.max() / 2


def read_depth(path: Path, of: tuple[int, int], unit: float) -> np.ndarray:
    """float32 [h, w], NaN where it is not known."""
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False) if path.suffix == ".npy" else _numbers_of(path)
        if values.dtype.kind not in "iuf" or values.dtype.itemsize < 2 or values.ndim != 2:
            raise PictureError(
                f"has depth, {path.name}, of {values.dtype} {list(values.shape)}; one channel of 16-bit integers or of "
                "floats is needed"
            )
        _refuse_other_shape(path, "depth", values.shape, of)
        with np.errstate(over="ignore"):
            depth = (values.astype(np.float64) * (1.0 if values.dtype.kind == "f" else unit)).astype(np.float32)
        return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(np.nan))
    except PictureError:
        raise
    except Exception as error:  # a broken file makes the readers of formats raise nearly anything
        raise PictureError(f"has depth, {path.name}, that cannot be read ({error or type(error).__name__})") from error


def _numbers_of(path: Path) -> np.ndarray:
    """The values of a picture as they are."""
    with Image.open(path) as image:
        refuse_bomb(image.size)
        return np.asarray(image)


def _refuse_other_shape(path: Path, what: str, shape: tuple[int, ...], of: tuple[int, int]) -> None:
    if not same_shape((shape[1], shape[0]), of):
        raise PictureError(f"has a {what}, {path.name}, of {shape[1]}x{shape[0]} pixels beside {of[0]}x{of[1]}")


def same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    """Whether one size is the other one scaled, but for one pixel of the smaller one a side."""
    (w, h), (large_w, large_h) = sorted((a, b), key=math.prod)
    least = max((w - 1) / large_w, (h - 1) / large_h)
    return least <= min((w + 1) / large_w, (h + 1) / large_h)
