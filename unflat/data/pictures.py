"""One picture file as eight-bit sRGB-like RGB, upright, whatever Pillow read it from."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

BACKGROUND = (255, 255, 255)
"""What transparent pictures are laid on: white, as a page shows them"""

# Pillow registers suffixes for these too, but they are no photos or need programs from outside
_NO_PHOTOS = {"BUFR", "EPS", "FITS", "GRIB", "HDF5", "MPEG", "WMF"}
# What cameras write and Pillow does not read: worth a word instead of silence
FOREIGN_SUFFIXES = frozenset((".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".jxl"))


class PictureError(ValueError):
    """Why one file cannot be used; says so without the file's name."""


@dataclass(frozen=True)
class Picture:
    """A decoded photo."""

    rgb: Image.Image
    """mode RGB, upright, laid on `BACKGROUND` where it was transparent"""
    alpha: Image.Image | None
    """mode L; None if the file has no transparency"""
    size: tuple[int, int]
    """width and height of the upright file in pixels; `rgb` is smaller if fewer were asked for"""


@lru_cache(maxsize=1)
def picture_suffixes() -> frozenset[str]:
    """Suffixes, in small letters with their dot, of all formats that are read."""
    Image.init()
    readable = set(Image.OPEN) - _NO_PHOTOS
    return frozenset(suffix.lower() for suffix, name in Image.registered_extensions().items() if name in readable)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Pillow warns about odd palettes and tags, and about sizes that `open_picture` judges itself. Enter this once
    around all threads: the filters of `warnings` are shared by them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def open_picture(path: Path, at_least: int | None = None) -> Picture:
    """Decode a file: first frame, EXIF rotation applied, any mode to eight-bit RGB.

    With `at_least`, a JPEG whose shorter side is over twice that may be decoded at a half, a quarter or an eighth of
    its size, but never under twice `at_least`. Raises PictureError for what is broken, no picture, or larger than
    Pillow's limit against decompression bombs.
    """
    with _told(path), Image.open(path) as image:
        refuse_bomb(image.size)
        stored = image.size
        if at_least is not None and min(stored) > 2 * at_least:
            image.draft("RGB", _with_shorter_side(stored, 2 * at_least))
        image.load()
        rgb, alpha = rgb_and_alpha(_upright(image))
        lying = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return Picture(rgb, alpha, (stored[1], stored[0]) if lying else stored)


def open_stored(path: Path) -> UInt8[np.ndarray, "h w c"]:
    """Decode the first frame of a file as it is stored, without turning it upright: RGB, or RGB and straight opacity.

    Raises PictureError as `open_picture` does.
    """
    with _told(path), Image.open(path) as image:
        refuse_bomb(image.size)
        image.load()
        return np.asarray(image.convert("RGBA") if _has_alpha(image) else rgb_and_alpha(image)[0])


def stored_header(path: Path) -> tuple[tuple[int, int], bool]:
    """Width and height as `open_stored` gives them, and whether there is opacity; nothing is decoded.

    Raises PictureError as `open_picture` does.
    """
    with _told(path), Image.open(path) as image:
        refuse_bomb(image.size)
        return image.size, _has_alpha(image)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file, as a PictureError."""
    try:
        yield
    except PictureError:
        raise
    except FileNotFoundError as error:
        raise PictureError("does not exist") from error
    except UnidentifiedImageError as error:
        raise PictureError("is no picture that Pillow can read" if path.stat().st_size else "is empty") from error
    except Image.DecompressionBombError as error:
        raise PictureError(_bomb_text(str(error))) from error
    except Exception as error:  # a broken file makes the readers of formats raise nearly anything
        raise PictureError(f"is broken ({error or type(error).__name__})") from error


def picture_header(path: Path) -> tuple[str, str, tuple[int, int]]:
    """Format, mode and stored size of a file, without decoding it. Raises PictureError."""
    try:
        with Image.open(path) as image:
            return image.format or "?", image.mode, image.size
    except Exception as error:
        raise PictureError("is no picture that Pillow can read") from error


def rgb_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Any mode as RGB laid on `BACKGROUND`, and the transparency if there is any."""
    if _has_alpha(image):
        layered = image.convert("RGBA")
        alpha = layered.getchannel("A")
        flat = Image.new("RGB", image.size, BACKGROUND)
        flat.paste(layered.convert("RGB"), mask=alpha)
        return flat, alpha
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bit(image)).convert("RGB"), None
    if image.mode == "LAB":
        return _from_lab(image), None
    return image.convert("RGB"), None


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _eight_bit(image: Image.Image) -> np.ndarray:
    """Deep grey values as uint8. 16 bits are divided by 257; for other integers and for floats the range decides:
    up to 1 (floats), up to 255, up to 65535, or up to the largest value."""
    values = np.nan_to_num(np.asarray(image), nan=0.0, posinf=0.0, neginf=0.0)
    largest = float(values.max())
    if image.mode.startswith("I;16") or image.format == "PNG":
        white = 65535.0
    elif image.mode == "F" and largest <= 1:
        white = 1.0
    else:
        white = next((limit for limit in (255.0, 65535.0) if largest <= limit), largest)
    eight = np.empty(values.shape, np.uint8)
    for rows in range(0, len(values), 256):  # in pieces: doubles of a large scan would take eight times its size
        scaled = values[rows : rows + 256].astype(np.float64) * (255 / white)
        eight[rows : rows + 256] = np.clip(np.round(scaled), 0, 255)
    return eight


def _from_lab(image: Image.Image) -> Image.Image:
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    turned = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB"))
    assert turned is not None
    return turned


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a broken EXIF block is no reason to lose the photo
        return image.copy()


def _with_shorter_side(size: tuple[int, int], shorter: int) -> tuple[int, int]:
    scale = shorter / min(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def refuse_bomb(size: tuple[int, int]) -> None:
    """Raise Image.DecompressionBombError from Pillow's limit on; Pillow itself only warns up to twice that."""
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and size[0] * size[1] > limit:
        raise Image.DecompressionBombError(f"{size[0]}x{size[1]} pixels, limit {limit}")


def _bomb_text(found: str) -> str:
    return f"is too large to be decoded safely ({found}): make it smaller"
