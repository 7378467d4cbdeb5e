"""The files of COLMAP's sparse models, binary and text: cameras, images and points3D.

What newer versions write besides (rigs, frames) says nothing that these do not. Of the points seen in every image only
their number is looked at: nothing here loops over them.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from unflat.data.kinds import Points
from unflat.data.readers.camera_models import CAMERA_MODELS, COLMAP_IDS, CameraModel
from unflat.data.readers.picture_files import is_file
from unflat.data.recordings import CaptureError
from unflat.geometry.cameras import Pinhole

Kind = Literal[".bin", ".txt"]

_CAMERA = struct.Struct("<IiQQ")
_IMAGE = struct.Struct("<I4d3dI")
_COUNT = struct.Struct("<Q")
_POINT = np.dtype([("id", "<u8"), ("place", "<f8", 3), ("colour", "u1", 3), ("error", "<f8"), ("track", "<u8")])
_LENGTH_OF_TRACK = struct.Struct(f"<{_POINT.itemsize - 8}xQ")  # the last field of _POINT
_OBSERVATION_BYTES = 24  # in images.bin: x, y and the point's number
_AT_ONCE = 2**16
_TRACK_BYTES = 8  # in points3D.bin: the image's number and that of the observation


class ColmapImage(NamedTuple):
    """A line of `images`: the camera's axes and origin from the world's, as a quaternion (w first) and a shift."""

    name: str
    camera: int
    quaternion: tuple[float, ...]
    shift: tuple[float, ...]


def kind_of(model: Path) -> Kind | None:
    """Whether the files of a model in this folder are binary, which goes first, or text; None if there is none."""
    kinds: tuple[Kind, ...] = (".bin", ".txt")
    there = (k for k in kinds if is_file(model / f"cameras{k}") and is_file(model / f"images{k}"))
    return next(there, None)


def read_cameras(model: Path, kind: Kind) -> dict[int, Pinhole]:
    """Pinholes and lenses by their numbers. CaptureError for what is damaged, and for models that are not read."""
    file = model / f"cameras{kind}"
    return dict(_binary_cameras(file) if kind == ".bin" else _text_cameras(file))


def read_images(model: Path, kind: Kind) -> list[ColmapImage]:
    """The images that were placed, in the file's order. CaptureError for what is damaged."""
    file = model / f"images{kind}"
    return list(_binary_images(file) if kind == ".bin" else _text_images(file))


def read_points(model: Path, kind: Kind) -> Points | None:
    """The points, if their file is there. CaptureError for what is damaged."""
    file = model / f"points3D{kind}"
    if not is_file(file):
        return None
    points = _binary_points(file) if kind == ".bin" else _text_points(file)
    if not np.isfinite(points.places).all():
        raise CaptureError(f"{file} holds points at places that are not finite: it is damaged")
    return points


def _readable(model: CameraModel | str | None, said: str, where: str) -> CameraModel:
    """The camera model, or the advice that goes with those that are not read."""
    if isinstance(model, CameraModel):
        return model
    name = f"{said}, {model}" if model else said
    raise CaptureError(
        f"{where} has the camera model {name}, which is not read; {', '.join(CAMERA_MODELS)} are. Undistort the "
        "pictures (colmap image_undistorter --image_path IMAGES --input_path MODEL --output_path NEW) and give NEW"
    )


# -- binary ---------------------------------------------------------------------------------------------------------


class _Bytes:
    """A file that is read from its beginning on; what is passed over is not loaded."""

    def __init__(self, file: Path) -> None:
        self.file, self.at = file, 0
        try:
            with file.open("rb") as opened:
                self.bytes: mmap.mmap | bytes = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # nothing cannot be mapped
            self.bytes = b""
        except OSError as error:
            raise CaptureError(f"{file} cannot be read ({error})") from error

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        start = self.at
        self.pass_over(form.size)
        return form.unpack_from(self.bytes, start)

    def take_text(self) -> str:
        """A name, up to the zero behind it."""
        start, end = self.at, self.bytes.find(b"\0", self.at)
        if end < 0:
            raise self._cut_off()
        self.at = end + 1
        try:
            return bytes(self.bytes[start:end]).decode("utf-8")
        except UnicodeDecodeError as error:
            raise CaptureError(f"{self.file} has a name at byte {start} that is no UTF-8 ({error})") from error

    def pass_over(self, count: int) -> None:
        if count > len(self.bytes) - self.at:
            raise self._cut_off()
        self.at += count

    def _cut_off(self) -> CaptureError:
        return CaptureError(
            f"{self.file} ends in the middle, after {len(self.bytes)} bytes: it is damaged or cut off; copy it again"
        )


def _binary_cameras(file: Path) -> Iterator[tuple[int, Pinhole]]:
    data = _Bytes(file)
    for _ in range(data.take(_COUNT)[0]):
        number, model_id, width, height = data.take(_CAMERA)
        where = f"{file}, camera {number},"
        model = _readable(COLMAP_IDS.get(model_id), str(model_id), where)
        yield number, model.pinhole(data.take(struct.Struct(f"<{model.count}d")), width, height, where)


def _binary_images(file: Path) -> Iterator[ColmapImage]:
    data = _Bytes(file)
    for _ in range(data.take(_COUNT)[0]):
        _, *pose, camera = data.take(_IMAGE)
        name = data.take_text()
        data.pass_over(_OBSERVATION_BYTES * data.take(_COUNT)[0])
        yield ColmapImage(name, camera, tuple(pose[:4]), tuple(pose[4:]))


def _binary_points(file: Path) -> Points:
    """Goes from point to point, since tracks differ in length, then takes many points apart at once."""
    data = _Bytes(file)
    starts = []
    for _ in range(data.take(_COUNT)[0]):
        starts.append(data.at)
        data.pass_over(_TRACK_BYTES * data.take(_LENGTH_OF_TRACK)[0])
    points = np.zeros(len(starts), _POINT)
    for first in range(0, len(starts), _AT_ONCE):
        places = np.array(starts[first : first + _AT_ONCE])[:, None] + np.arange(_POINT.itemsize)
        points[first : first + _AT_ONCE] = np.frombuffer(data.bytes, np.uint8)[places].view(_POINT)[:, 0]
    return Points(points["place"].astype(np.float64), points["colour"].copy(), points["track"].astype(np.int64))


# -- text -----------------------------------------------------------------------------------------------------------


class _Lines:
    """The lines of a text file."""

    def __init__(self, file: Path) -> None:
        self.file, self.number = file, 0

    def __iter__(self) -> Iterator[str]:
        with self.file.open(encoding="utf-8") as opened:
            for line in opened:
                self.number += 1
                yield line.strip()

    @contextmanager
    def told(self, what: str) -> Iterator[None]:
        """Whatever goes wrong with the file, or with a line that should be `what`, as a CaptureError."""
        try:
            yield
        except CaptureError:
            raise
        except (OSError, UnicodeDecodeError) as error:
            raise CaptureError(f"{self.file} cannot be read ({error})") from error
        except (ValueError, IndexError, OverflowError) as error:
            raise CaptureError(f"{self.file}, line {self.number} is no {what} ({error})") from error


def _speaking(lines: Iterator[str]) -> Iterator[str]:
    """The lines that say something."""
    return (line for line in lines if line and not line.startswith("#"))


def _text_cameras(file: Path) -> Iterator[tuple[int, Pinhole]]:
    lines = _Lines(file)
    with lines.told("camera (number, model, width, height, parameters)"):
        for line in _speaking(iter(lines)):
            number, name, width, height, *parameters = line.split()
            where = f"{file}, camera {number},"
            model = _readable(CAMERA_MODELS.get(name), name, where)
            known = [float(parameter) for parameter in parameters]
            yield int(number), model.pinhole(known, int(width), int(height), where)


def _text_images(file: Path) -> Iterator[ColmapImage]:
    """Two lines each: the camera, then the points that are seen, which may be an empty line and are not needed."""
    lines = _Lines(file)
    with lines.told("image (number, quaternion, shift, camera's number, name)"):
        rest = iter(lines)
        for line in _speaking(rest):
            _, w, x, y, z, tx, ty, tz, camera, name = line.split(maxsplit=9)
            quaternion, shift = (tuple(map(float, numbers)) for numbers in ((w, x, y, z), (tx, ty, tz)))
            yield ColmapImage(name, int(camera), quaternion, shift)
            seen = next(rest, "").split()
            if len(seen) % 3 or (seen and not seen[-1].lstrip("-").isdigit()):
                raise CaptureError(
                    f"{file}, line {lines.number} is no list of points (x, y, number): every image has two lines, and "
                    "the second, of the points seen in it, may be empty but has to be there"
                )


def _text_points(file: Path) -> Points:
    lines, rows = _Lines(file), []
    with lines.told("point (number, x, y, z, red, green, blue, error, pairs of numbers)"):
        for line in _speaking(iter(lines)):
            _, x, y, z, red, green, blue, _, *track = line.split()
            colour = np.array((red, green, blue), np.int64)
            if len(track) % 2 or colour.min() < 0 or colour.max() > 255:
                raise ValueError("a colour out of range, or half a pair")
            rows.append((float(x), float(y), float(z), *colour, len(track) // 2))
    table = np.array(rows, np.float64).reshape(-1, 7)
    return Points(table[:, :3], table[:, 3:6].astype(np.uint8), table[:, 6].astype(np.int64))
