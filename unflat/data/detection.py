"""Where the face is in a photo: scikit-image's cascade with the frontal-face patterns it ships (extra `mesh`)."""

import importlib.util
import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from PIL import Image


class Box(NamedTuple):
    """A rectangle in a picture, in pixels from its top left corner; it may reach outside."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2

    def scaled(self, factor: float) -> "Box":
        """The same rectangle in a picture with `factor` times as many pixels along a side."""
        return Box(*(value * factor for value in self))


def square_about(centre: tuple[float, float], side: float) -> Box:
    """The square with this centre and side."""
    return Box(centre[0] - side / 2, centre[1] - side / 2, side, side)


# Where to look, one after the other until a face is found: (shorter side of the picture looked at, smallest face as a
# share of it)
_IN_A_PHOTO = ((160, 0.2), (320, 0.08))
_CLOSE_UP = ((160, 0.35), (160, 0.25))
_IN_A_CROP = ((160, 0.25), (160, 0.15))

# A face is found many times over, at neighbouring places and sizes. A find has to be backed by four; of several,
# those stay that more back
_VOTES = 4
_STRICTER = (8, 16, 32, 64)


def can_find_faces() -> bool:
    """Whether scikit-image is installed."""
    return importlib.util.find_spec("skimage") is not None


def face_box(photo: Image.Image) -> Box | None:
    """The most plausible face, as the square the cascade was trained on: from mid-forehead to chin, ear to ear.

    `photo` is upright, of any mode that converts to grey. None where no face is found. A second look at the face and
    what is around it has to find it again, which corrects small faces and leaves out what only looked like one.
    """
    first = _found(photo, _IN_A_PHOTO)
    if first is None:
        return None
    around = square_about(first.centre, 2 * first.width)
    left, top = max(0, round(around.left)), max(0, round(around.top))
    right, bottom = round(around.left + around.width), round(around.top + around.height)
    close_up = photo.crop((left, top, min(photo.width, right), min(photo.height, bottom)))
    second = _found(close_up, _CLOSE_UP)
    return second and second._replace(left=second.left + left, top=second.top + top)


def face_in_crop(crop: Image.Image) -> Box | None:
    """The face in a square crop, over a fifth of its side wide; None where none is found.

    The edge is repeated by a quarter of the side all around: faces that fill a crop are measured too small otherwise.
    """
    rim = crop.width // 4
    framed = np.pad(np.asarray(crop.convert("L")), rim, mode="edge")
    face = _found(Image.fromarray(framed), _IN_A_CROP)
    return face and face._replace(left=face.left - rim, top=face.top - rim)


def _found(photo: Image.Image, looks: tuple[tuple[int, float], ...]) -> Box | None:
    for side, smallest in looks:
        scale = side / min(photo.size)
        size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
        grey = np.asarray(photo.convert("L").resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        found = _agreed(partial(_detected, grey, smallest))
        if found:
            return _plausible(found, size).scaled(1 / scale)
    return None


def _agreed(detect: Callable[[int], list[Box]]) -> list[Box]:
    """Detections; if there are several, those that stand up to a stricter vote."""
    found = detect(_VOTES)
    for votes in _STRICTER:
        if len(found) <= 1:
            break
        stricter = detect(votes)
        if not stricter:
            break
        found = stricter
    return found


def _detected(grey: np.ndarray, smallest: float, votes: int) -> list[Box]:
    side = min(grey.shape)
    least = max(24, round(smallest * side))  # the patterns are 24 pixels wide
    found = _cascade().detect_multi_scale(
        img=grey,
        scale_factor=1.1,
        step_ratio=1.2,
        min_size=(least, least),
        max_size=(side, side),
        min_neighbor_number=votes,
    )
    return [Box(f["c"], f["r"], f["width"], f["height"]) for f in found]


def _plausible(found: list[Box], size: tuple[int, int]) -> Box:
    """Large and near the middle (people centre what they photograph); finds of the same face are averaged."""

    def plausibility(box: Box) -> float:
        away = math.dist(box.centre, (size[0] / 2, size[1] / 2)) / math.hypot(*size)
        return box.width * box.height * math.exp(-4 * away)

    best = max(found, key=plausibility)
    same = [box for box in found if _overlap(box, best) > 0.5]
    return Box(*np.mean(same, axis=0).tolist())


def _overlap(a: Box, b: Box) -> float:
    """Area in common over area covered."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    common = max(width, 0) * max(height, 0)
    return common / (a.width * a.height + b.width * b.height - common)


@lru_cache(maxsize=1)
def _cascade() -> Any:
    try:
        from skimage import data
        from skimage.feature import Cascade
    except ImportError as error:
        raise ValueError(
            "finding faces needs scikit-image, which is not installed: pip install 'unflat[mesh]', "
            "or crop another way (centre, box, alpha)"
        ) from error
    return Cascade(data.lbp_frontal_face_cascade_filename())
