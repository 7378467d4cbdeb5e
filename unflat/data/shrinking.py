"""Pictures and maps with fewer pixels: every new pixel is the mean of the area that it covers."""

import math

import numpy as np
from jaxtyping import Bool, Float32, Shaped, UInt8

_ROWS = 64
"""new rows that are made at once: what is added up stays in the processor's cache"""


def shrunk(pixels: UInt8[np.ndarray, "h w c"], width: int, height: int) -> UInt8[np.ndarray, "height width c"]:
    """A picture of 3 channels, or of 4, the last one straight opacity: colours count as much as they are opaque."""
    if pixels.shape[1::-1] == (width, height):
        return pixels
    if pixels.shape[2] == 3:
        return _eight_bit(_mean(pixels, width, height))
    opacity = pixels[..., 3:]
    laid = _mean(pixels[..., :3].astype(np.uint16) * opacity, width, height)
    mean_opacity = _mean(opacity, width, height)
    return _eight_bit(np.concatenate([laid / np.maximum(mean_opacity, 1e-6), mean_opacity], 2))


def shrunk_mask(mask: Bool[np.ndarray, "h w"], width: int, height: int) -> Bool[np.ndarray, "height width"]:
    """True where over half of a pixel is; a mask of fewer pixels than are wanted is enlarged."""
    if mask.shape[1] < width or mask.shape[0] < height:
        return nearest(mask, width, height)
    return (
        _mean(mask[..., None].view(np.uint8), width, height)[..., 0] > 0.5 + 1e-4
    )  # more than rounding makes of a half


def nearest(values: Shaped[np.ndarray, "h w"], width: int, height: int) -> Shaped[np.ndarray, "height width"]:
    """The value at every new pixel's centre: for maps in which a mean of two values is neither."""
    rows = ((np.arange(height) + 0.5) * (values.shape[0] / height)).astype(np.int64)
    columns = ((np.arange(width) + 0.5) * (values.shape[1] / width)).astype(np.int64)
    return values[rows[:, None], columns]


def _eight_bit(values: np.ndarray) -> np.ndarray:
    return np.minimum(values + 0.5, 255).astype(np.uint8)


def _mean(values: Shaped[np.ndarray, "h w c"], width: int, height: int) -> Float32[np.ndarray, "height width c"]:
    """Means over areas, whose edges may cut through pixels; neither side may grow."""
    made = np.empty((height, width, values.shape[2]), np.float32)
    rows, columns = (np.linspace(0, old, new + 1) for old, new in ((values.shape[0], height), (values.shape[1], width)))
    for start in range(0, height, _ROWS):
        edges = rows[start : start + _ROWS + 1]
        top, bottom = math.floor(edges[0]), math.ceil(edges[-1])
        band = _sums(values[top:bottom].astype(np.float32), edges - top)
        made[start : start + _ROWS] = _sums(band.swapaxes(0, 1), columns).swapaxes(0, 1)
    return made * np.float32(width * height / (values.shape[0] * values.shape[1]))


def _sums(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """[n, ...] added up between neighbouring edges, which are at least 1 apart and counted in rows of `values`."""
    whole = np.minimum(edges.astype(np.int64), len(values) - 1)
    share = (edges - whole).astype(np.float32).reshape(-1, *[1] * (values.ndim - 1))
    cut = share * values[whole]  # of the row that an edge cuts, what lies before it
    sums = np.add.reduceat(values, whole, axis=0)[:-1]
    sums[np.diff(whole) == 0] = 0  # where nothing is to be added, reduceat gives the row itself
    return sums + cut[1:] - cut[:-1]
