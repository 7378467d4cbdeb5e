"""Truth beside photos: depth and masks as files, view, light and landmarks as lines of JSON.

    FOLDER/image/some/name.jpg      the photo
    FOLDER/depth/some/name.png      or .npy; its depth along z
    FOLDER/mask/some/name.png       white on the object
    FOLDER/truth.jsonl              optional, a line a photo: {"name": ..., "view": ..., "light": ..., "landmarks": ...}
    FOLDER/world.json, ../world.json    optional: field_of_view in radians, depth_near, depth_far

In the published sets, where `image` stands in the name of the file as well, so may `depth` and `mask`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from unflat.data.crops import cut
from unflat.data.detection import Box
from unflat.data.pictures import PictureError, refuse_bomb

IMAGE_FOLDERS = ("image", "images")
MAP_FOLDERS = ("depth", "depths", "mask", "masks", "normals", "albedo")
MAP_SUFFIXES = (".npy", ".png", ".tif", ".tiff")
NEAR, FAR = 0.9, 1.1
"""depth of white and black in a depth PNG that does not say; the published renderings' limits"""
STEEPEST = 0.01
"""neighbouring depths that differ by a larger share are two surfaces, between which nothing is averaged"""


class TruthError(ValueError):
    """Truth was found and makes no sense."""


@dataclass(frozen=True)
class World:
    """What holds for all photos of a folder."""

    field_of_view: float | None = None
    """radians, from the first pixel's centre to the last one's"""
    near: float = NEAR
    far: float = FAR
    lines: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    """the lines of truth.jsonl, by the photo's name"""


def is_truth(path: PurePosixPath, folder: Path) -> bool:
    """Whether a file below `folder` is a map beside photos and no photo: one of its folders is called depth, mask, ...
    and has a sibling called image."""
    parents = [*path.parents][:-1]
    return any(
        parent.name in MAP_FOLDERS and any((folder / parent.parent / name).is_dir() for name in IMAGE_FOLDERS)
        for parent in parents
    )


class MapFinder:
    """Finds depth and masks beside photos; every folder is listed once, however many photos it is for."""

    def __init__(self) -> None:
        self._beside: dict[tuple[Path, str], tuple[Path, frozenset[str]] | None] = {}

    def beside(self, photo: Path, kind: str) -> Path | None:
        """The file that holds the depth or mask of a photo, if there is one."""
        folder = photo.parent
        if (folder, kind) not in self._beside:
            self._beside[folder, kind] = _maps_for(folder, kind)
        maps = self._beside[folder, kind]
        if maps is None:
            return None
        place, names = maps
        for stem in (photo.stem, photo.stem.replace("image", kind)):
            for suffix in MAP_SUFFIXES:
                if stem + suffix in names:
                    return place / (stem + suffix)
        return None


def _maps_for(folder: Path, kind: str) -> tuple[Path, frozenset[str]] | None:
    """Where maps of the photos in a folder are, and the names of the files there; None if there is no such place."""
    for image in (folder, *folder.parents):
        if image.name in IMAGE_FOLDERS:
            candidates = [image.parent / name / folder.relative_to(image) for name in (kind, f"{kind}s")]
            place = next((candidate for candidate in candidates if candidate.is_dir()), None)
            return None if place is None else (place, frozenset(file.name for file in place.iterdir()))
    return None


def home_of(folder: Path) -> Path | None:
    """The folder that holds image/ and truth.jsonl, of a folder of photos in or below image/."""
    return next((image.parent for image in (folder, *folder.parents) if image.name in IMAGE_FOLDERS), None)


def read_world(home: Path) -> World:
    """world.json (here or one level up) and truth.jsonl of a folder. What is not there stays at its default."""
    said: dict[str, Any] = {}
    for place in (home.parent, home):
        if (place / "world.json").is_file():
            said = _json(place / "world.json", _text(place / "world.json"))
    lines = {}
    table = home / "truth.jsonl"
    if table.is_file():
        for number, text in enumerate(_text(table).splitlines(), 1):
            if text.strip():
                line = _json(f"{table}, line {number}", text)
                name = line.get("name", line.get("file"))
                if not isinstance(name, str):
                    raise TruthError(f'{table}, line {number}: no "name" says which photo this is')
                lines[PurePosixPath(name).stem] = line
    try:
        view = said.get("field_of_view")
        view = None if view is None else float(view)
        near, far = float(said.get("depth_near", NEAR)), float(said.get("depth_far", FAR))
    except (TypeError, ValueError, OverflowError) as error:
        raise TruthError(f"the world.json of {home} holds no numbers where it should ({error})") from error
    if not (view is None or 0 < view < math.pi) or not 0 < near < far < math.inf:
        raise TruthError(
            f"the world.json of {home} says field_of_view {view}, depth_near {near}, depth_far {far}: an angle between "
            "0 and pi and two distances above 0, the nearer one first, are needed"
        )
    return World(view, near, far, lines)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise TruthError(f"{path} is no text in UTF-8 ({error})") from error


def _json(where: Path | str, text: str) -> dict[str, Any]:
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TruthError(f"{where} is no JSON ({error})") from error
    if not isinstance(said, dict):
        raise TruthError(f"{where} is no JSON object")
    return said


def read_depth(path: Path, near: float = NEAR, far: float = FAR) -> np.ndarray:
    """float32 [h, w], NaN where there is no object.

    .npy: depth as it is; NaN, infinite and zero or less is no object. PNG: white is near, black is no object. With 16
    bits `depth = far + (near - far) (value - 1) / 65534`, as everything in this package writes it; with 8 bits
    `far + (near - far) value / 255`, as the published sets do. Limits in the file's own text fields win.
    """
    try:
        if path.suffix == ".npy":
            depth = _mapped(path).astype(np.float32)
            depth[~(np.isfinite(depth) & (depth > 0))] = np.nan
        else:
            depth = _depth_of_picture(path, near, far)
    except PictureError:
        raise
    except Exception as error:  # a broken file makes the readers of formats raise nearly anything
        raise PictureError(f"has depth that cannot be read, {path.name} ({error or type(error).__name__})") from error
    if depth.ndim != 2:
        raise PictureError(f"has depth of the shape {list(depth.shape)}, {path.name}; [h, w] is needed")
    return depth


def _mapped(path: Path) -> np.ndarray:
    """An array that is not read before it is known to be as long as it says."""
    return np.load(path, mmap_mode="r")


def _depth_of_picture(path: Path, near: float, far: float) -> np.ndarray:
    with Image.open(path) as image:
        refuse_bomb(image.size)
        near, far = float(image.info.get("near", near)), float(image.info.get("far", far))
        deep = image.mode.startswith("I")
        if not deep and image.mode != "L":
            raise PictureError(f"has a depth picture of the mode {image.mode}, {path.name}; grey is needed")
        values = np.asarray(image).astype(np.float64)
    share = (values - 1) / 65534 if deep else values / 255
    return np.where(values > 0, far + (near - far) * share, np.nan).astype(np.float32)


def read_mask(path: Path) -> np.ndarray:
    """bool [h, w]: over half of white, or of the transparency if there is some; .npy: other than zero."""
    try:
        if path.suffix == ".npy":
            mask = _mapped(path) > 0.5
        else:
            with Image.open(path) as image:
                refuse_bomb(image.size)
                layer = image.getchannel("A") if image.mode in ("RGBA", "LA") else image
                values = np.asarray(layer if layer.mode.startswith("I") else layer.convert("L"))
                mask = values > (32767 if layer.mode.startswith("I") else 127)
    except Exception as error:
        raise PictureError(f"has a mask that cannot be read, {path.name} ({error or type(error).__name__})") from error
    if mask.ndim != 2:
        raise PictureError(f"has a mask of the shape {list(mask.shape)}, {path.name}; [h, w] is needed")
    return mask


def check_shape(what: str, shape: tuple[int, ...], photo: tuple[int, int]) -> None:
    """Raise PictureError unless a map [h, w] has the aspect of its photo (width, height)."""
    if abs(shape[1] * photo[1] - shape[0] * photo[0]) > max(photo) * 1.01:
        raise PictureError(f"has a {what} of another aspect, {shape[1]}x{shape[0]} pixels beside {photo[0]}x{photo[1]}")


def cut_mask(mask: np.ndarray, box: Box, size: int) -> np.ndarray:
    """bool [size, size]: where over half of a pixel's area of the square `box` is in the mask. Outside is nothing."""
    frame = np.pad(mask, 1)  # an edge of nothing, which `cut` repeats outwards
    moved = Box(box.left + 1, box.top + 1, box.width, box.height)
    grey = Image.fromarray(frame.astype(np.uint8) * 255)
    return np.asarray(cut(grey, moved, size, Image.Resampling.BOX)) > 127


def cut_depth(depth: np.ndarray, box: Box, size: int) -> np.ndarray:
    """float32 [size, size]: depth at the centres of the pixels of the square `box`, NaN outside the map.

    Between the four neighbours of a centre depth is interpolated; across the silhouette and across steps inside it
    (`STEEPEST`), the nearest neighbour is taken, so that no depth comes out at which nothing was.
    """
    x = box.left + (np.arange(size) + 0.5) * box.width / size - 0.5
    y = box.top + (np.arange(size) + 0.5) * box.height / size - 0.5
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    rx, ry = (x - left)[None, :], (y - top)[:, None]
    corners = [_at(depth, top + j, left + i) for j in (0, 1) for i in (0, 1)]
    weights = [(1 - ry) * (1 - rx), (1 - ry) * rx, ry * (1 - rx), ry * rx]
    mixed = sum(w * np.where(w > 0, c, 0) for w, c in zip(weights, corners, strict=True))
    # a neighbour without weight must not spoil the result; the first one always has some, as rx and ry are under 1
    used = [np.where(w > 0, c, corners[0]) for w, c in zip(weights, corners, strict=True)]
    step = np.max(used, axis=0) - np.min(used, axis=0)
    nearest = _at(depth, np.floor(y + 0.5).astype(int), np.floor(x + 0.5).astype(int))
    return np.where(step <= STEEPEST * np.abs(mixed), mixed, nearest).astype(np.float32)


def _at(depth: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values at all rows and columns, NaN outside."""
    height, width = depth.shape
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))[None, :]
    values = depth[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)[None, :]]
    return np.where(inside, values, np.nan)


def cut_landmarks(landmarks: np.ndarray, box: Box, size: int) -> np.ndarray:
    """[k, 3] (pixel u, pixel v, depth) of the photo in pixels of the square `box` at `size` a side."""
    scale = size / box.width
    return np.stack(
        [(landmarks[:, 0] - box.left) * scale, (landmarks[:, 1] - box.top) * scale, landmarks[:, 2]], 1
    ).astype(np.float32)


def field_of_view_at(angle: float, stored: int, size: int) -> float:
    """A field of view between the first and the last pixel's centres, for another number of pixels of the same view."""
    half = math.tan(angle / 2) / (stored - 1) * stored  # half of the picture's width at distance 1
    return 2 * math.atan(half * (size - 1) / size)
