"""Maps as pictures: colours for depth, normals and confidence, 8- and 16-bit PNG, contact sheets.

A picture is an array or tensor, `[h, w, 3]` or grey `[h, w]`: floats in [0, 1], or uint8. Values outside are clamped,
never wrapped; NaN ("nothing there") becomes white. Everything that comes back is a numpy uint8 array.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin
from torch import Tensor

from unflat.outputs.files import whole

Picture = np.ndarray | Tensor

DEPTH_COLOURS = ((0.05, 0.04, 0.22), (0.33, 0.09, 0.48), (0.73, 0.22, 0.46), (0.97, 0.54, 0.31), (1.0, 0.95, 0.72))
"""from far to near"""
CONFIDENCE_COLOURS = (
    (0.70, 0.06, 0.15),
    (0.95, 0.58, 0.35),
    (0.93, 0.93, 0.90),
    (0.45, 0.70, 0.84),
    (0.10, 0.36, 0.64),
)
"""from what no mirror explains to what it explains well"""

PNG_STEPS = 65534
"""levels of a 16-bit depth PNG after the first; 0 is kept for "nothing there" """

MARGIN = 4
"""pixels between the cells of a sheet"""


def array_of(picture: Picture) -> np.ndarray:
    """The numbers of a picture or map as a numpy array, wherever they were."""
    return picture.detach().float().cpu().numpy() if isinstance(picture, Tensor) else np.asarray(picture)


def to_uint8(picture: Picture) -> np.ndarray:
    """Floats in [0, 1] as uint8 of the same shape: clamped, rounded, NaN white. uint8 stays as it is."""
    if isinstance(picture, Tensor) and not picture.is_floating_point():
        picture = picture.cpu().numpy()
    values = array_of(picture)
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values.astype(np.uint8) * 255
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(
            f"a picture is uint8, bool or floats in [0, 1], but this one is {values.dtype}: divide by its maximum"
        )
    clamped: np.ndarray = np.nan_to_num(values, nan=1.0, posinf=1.0, neginf=0.0).clip(0, 1)
    return (clamped * 255 + 0.5).astype(np.uint8)


def to_rgb(picture: Picture) -> np.ndarray:
    """uint8 [h, w, 3]; grey is repeated."""
    image = to_uint8(picture)
    if image.ndim == 2 or image.shape[-1] == 1:
        image = np.repeat(image.reshape(*image.shape[:2], 1), 3, axis=2)
    if image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"a picture has the shape [h, w, 3] or [h, w], but this one has {list(image.shape)}")
    return image


def resized(picture: Picture, height: int, width: int) -> np.ndarray:
    """uint8 [height, width, 3], bicubic; antialiased where it shrinks."""
    image = to_rgb(picture)
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC))


def coloured(values: Picture, low: float, high: float, colours: Sequence[tuple[float, float, float]]) -> np.ndarray:
    """uint8 [..., 3]: `low` gets the first colour, `high` the last one, NaN white."""
    numbers = array_of(values).astype(np.float64)
    place = (numbers - low) / max(high - low, 1e-12)
    anchors = np.linspace(0, 1, len(colours))
    channels = [np.interp(place, anchors, [colour[c] for colour in colours]) for c in range(3)]
    return to_uint8(np.where(np.isnan(numbers)[..., None], np.nan, np.stack(channels, -1)))


def depth_limits(depth: Picture) -> tuple[float, float]:
    """The nearest and the farthest depth that is there; (0, 1) if there is none."""
    numbers = array_of(depth)
    numbers = numbers[np.isfinite(numbers)]
    return (float(numbers.min()), float(numbers.max())) if numbers.size else (0.0, 1.0)


def colour_depth(depth: Picture, near: float | None = None, far: float | None = None) -> np.ndarray:
    """uint8 [..., 3]: near is pale yellow, far is dark blue, NaN is white. Limits are those of the map unless given."""
    nearest, farthest = depth_limits(depth)
    near, far = nearest if near is None else near, farthest if far is None else far
    return coloured(-array_of(depth), -far, -near, DEPTH_COLOURS)


def colour_normals(normals: Picture) -> np.ndarray:
    """uint8 [..., 3]: red to the right, green up, blue towards the viewer, each 0.5 + 0.5 * component. NaN is white.

    Takes house normals (x right, y down, z forward), so green and blue count against y and z.
    """
    return to_uint8(0.5 + 0.5 * array_of(normals) * np.array([1.0, -1.0, -1.0]))


def colour_confidence(confidence: Picture, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """uint8 [..., 3]: blue where the mirrored object explains the pixel well, red where it does not."""
    return coloured(confidence, low, high, CONFIDENCE_COLOURS)


def save_png(path: Path, picture: Picture) -> Path:
    """An 8-bit PNG, grey or RGB, clamped."""
    with whole(path) as part:
        Image.fromarray(to_uint8(picture)).save(part, format="PNG")
    return path


def save_depth_png16(path: Path, depth: Picture, near: float | None = None, far: float | None = None) -> Path:
    """A 16-bit grey PNG, white = near: depth = far + (near - far) * (value - 1) / 65534, where value 0 is nothing.

    `near` and `far` also stand in the file's text fields. They are the map's own limits unless given; depth beyond
    them is clamped.
    """
    numbers = array_of(depth).astype(np.float64)
    nearest, farthest = depth_limits(numbers)
    near, far = nearest if near is None else near, farthest if far is None else far
    level = 1 + PNG_STEPS * ((far - numbers) / max(far - near, 1e-12)).clip(0, 1)
    values = np.where(np.isfinite(numbers), np.nan_to_num(level).round(), 0).astype(np.uint16)
    text = PngImagePlugin.PngInfo()
    text.add_text("near", repr(float(near)))
    text.add_text("far", repr(float(far)))
    with whole(path) as part:
        Image.fromarray(values).save(part, format="PNG", pnginfo=text)
    return path


def sheet(
    rows: Sequence[Sequence[Picture | None]],
    titles: Sequence[str] = (),
    names: Sequence[str] = (),
    cell: int | None = None,
) -> np.ndarray:
    """A contact sheet, uint8 [h, w, 3]: one row of pictures under another on white, each fitted into a square cell.

    `titles` stand over the columns, `names` left of the rows; None leaves a cell empty. `cell` is the side of a cell in
    pixels: by default the largest side of any picture, at least 96.
    """
    if not rows or not any(len(row) for row in rows):
        raise ValueError("a sheet needs at least one picture")
    present = [to_rgb(picture) for row in rows for picture in row if picture is not None]
    cell = cell or max(96, *(max(picture.shape[:2]) for picture in present))
    columns, step = max(len(row) for row in rows), cell + MARGIN
    left, top = (cell if names else 0) + MARGIN, (cell // 5 if titles else 0) + MARGIN
    canvas = Image.new("RGB", (left + columns * step, top + len(rows) * step), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            if picture is not None:
                fitted = _fitted(picture, cell)
                corner = (left + x * step + (cell - fitted.width) // 2, top + y * step + (cell - fitted.height) // 2)
                canvas.paste(fitted, corner)
    draw = ImageDraw.Draw(canvas)
    for x, title in enumerate(titles):
        _label(draw, title, (left + x * step + cell // 2, top // 2), cell)
    for y, name in enumerate(names):
        _label(draw, name, (left // 2, top + y * step + cell // 2), cell)
    return np.asarray(canvas)


def _fitted(picture: Picture, cell: int) -> Image.Image:
    image = to_rgb(picture)
    scale = cell / max(image.shape[:2])
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return Image.fromarray(resized(image, height, width))


def _label(draw: ImageDraw.ImageDraw, text: str, centre: tuple[int, int], room: int) -> None:
    """Text about `centre`, smaller or cut until it fits into `room` pixels."""
    size = max(10, room // 9)
    while size > 9 and draw.textlength(text, font=ImageFont.load_default(size)) > room - 4:
        size -= 1
    font = ImageFont.load_default(size)
    while len(text) > 4 and draw.textlength(text, font=font) > room - 4:
        text = text[:-2].rstrip("…") + "…"
    draw.text(centre, text, fill=(40, 40, 40), font=font, anchor="mm")
