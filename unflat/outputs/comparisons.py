"""A picture of a capture beside what a method makes of its camera: truth, ours, the error with its scale, and depth."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unflat.data.kinds import Capture
from unflat.method import Method, Prediction
from unflat.outputs.files import safe_names
from unflat.outputs.images import DEPTH_COLOURS, array_of, colour_depth, coloured, resized, save_png, to_rgb
from unflat.outputs.walks import Limits, depth_range

ERROR_COLOURS = ((1.0, 1.0, 1.0), (1.0, 0.87, 0.55), (0.96, 0.53, 0.26), (0.75, 0.16, 0.22), (0.25, 0.02, 0.16))
"""from none to much"""
MUCH = 0.1
"""of 1: the mean difference of a pixel's three colours from which on all errors look alike"""
SMALLEST, LARGEST = 240, 480
"""pixels of a picture's longer side in a comparison; smaller ones are enlarged, larger ones shrunk"""
GAP = 6


class Comparisons:
    """Writes a comparison for each picture of a capture, as they are asked for: `look` of `evaluate_capture`."""

    def __init__(self, method: Method, capture: Capture, folder: Path) -> None:
        self.capture, self.folder = capture, folder
        self.limits = depth_range(method, capture.viewpoints)
        self.names = safe_names(capture.names)
        self.files: dict[int, Path] = {}
        """written so far, by the picture's number"""

    def __call__(self, index: int, prediction: Prediction) -> None:
        path = self.folder / f"{self.names[index]}.png"
        scale = self.capture.scene.world_scale
        self.files[index] = save_png(path, compared(self.capture, index, prediction, self.limits, scale))


def compared(
    capture: Capture, index: int, prediction: Prediction, limits: Limits | None = None, unit: float = 1.0
) -> np.ndarray:
    """Truth, ours, the error and depth next to each other, each with its title, the last two with a bar that says what
    the colours mean. uint8 [h, w, 3].

    The error of a pixel is the mean absolute difference of its three colours, from 0 to 0.1 and more; what a mask
    leaves out is white. Depth is in `unit` (of the capture's files for one of the scene), its colours between `limits`.
    """
    truth = capture.rgb(index)
    columns: list[tuple[str, np.ndarray, np.ndarray | None]] = [("truth", to_rgb(truth), None)]
    side = min(max(SMALLEST, max(truth.shape[:2])), LARGEST)
    height, width = (round(n * side / max(truth.shape[:2])) for n in truth.shape[:2])
    if prediction.rgb is not None:
        ours = array_of(prediction.rgb[0])
        columns.append(("ours", to_rgb(ours), None))
        apart = np.abs(ours - truth).mean(-1)
        if capture.mask is not None:
            apart = np.where(capture.picture(index, "mask"), apart, np.nan)
        bar = _bar(width, "0", f"{MUCH:g} and more", ERROR_COLOURS)
        columns.append(("error", coloured(apart, 0.0, MUCH, ERROR_COLOURS), bar))
    if prediction.depth is not None and limits is not None:
        bar = _bar(width, f"{limits.near * unit:.3g}", f"{limits.far * unit:.3g}", DEPTH_COLOURS[::-1])
        columns.append(("depth", colour_depth(prediction.depth[0], *limits), bar))
    return _row(columns, height, width)


def _row(columns: list[tuple[str, np.ndarray, np.ndarray | None]], height: int, width: int) -> np.ndarray:
    font = ImageFont.load_default(14)
    top, bottom = 24, 34 if any(bar is not None for _, _, bar in columns) else 0
    canvas = Image.new("RGB", (len(columns) * (width + GAP) - GAP, top + height + bottom), "white")
    pen = ImageDraw.Draw(canvas)
    for number, (title, picture, bar) in enumerate(columns):
        x = number * (width + GAP)
        pen.text((x + width / 2, top / 2), title, fill=(40, 40, 40), font=font, anchor="mm")
        canvas.paste(Image.fromarray(_enlarged(picture, height, width)), (x, top))
        if bar is not None:
            canvas.paste(Image.fromarray(bar), (x, top + height + 4))
    return np.asarray(canvas)


def _enlarged(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Pixels stay pixels where a picture is enlarged: nothing is made smooth that is not."""
    if picture.shape[0] >= height:
        return resized(picture, height, width)
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.NEAREST))


def _bar(width: int, low: str, high: str, colours: tuple[tuple[float, float, float], ...]) -> np.ndarray:
    """Colours from left to right with what they mean at both ends. uint8 [28, width, 3]"""
    canvas = Image.new("RGB", (width, 28), "white")
    across = coloured(np.linspace(0, 1, width - 2)[None].repeat(8, 0), 0.0, 1.0, colours)
    canvas.paste(Image.fromarray(across), (1, 1))
    pen = ImageDraw.Draw(canvas)
    pen.rectangle([0, 0, width - 1, 9], outline=(150, 150, 150))
    font = ImageFont.load_default(12)
    pen.text((0, 19), low, fill=(40, 40, 40), font=font, anchor="lm")
    pen.text((width - 1, 19), high, fill=(40, 40, 40), font=font, anchor="rm")
    return np.asarray(canvas)
