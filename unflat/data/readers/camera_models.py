"""COLMAP's camera models, whose names nerfstudio uses too, as pinholes and lenses."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from unflat.data.recordings import CaptureError
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import MODELS, Lens

LARGEST = 2**24
"""pixels a side: more is a damaged file"""


@dataclass(frozen=True)
class CameraModel:
    """What the parameters of a camera mean: one or two focal lengths, the principal point, then coefficients."""

    name: str
    focal: int
    """how many focal lengths"""
    lens: str = ""
    """one of `geometry.lenses.MODELS`; none bends nothing"""
    bending: int = 0
    """how many coefficients, the first ones of the lens, in its order"""

    @property
    def count(self) -> int:
        """How many parameters."""
        return self.focal + 2 + self.bending

    def pinhole(self, parameters: Sequence[float], width: int, height: int, where: str) -> Pinhole:
        """The camera, or its `Lens`. CaptureError, told by `where`, for what is no camera."""
        if len(parameters) != self.count:
            raise CaptureError(
                f"{where} has {len(parameters)} parameters, and the camera model {self.name} has {self.count}"
            )
        fx, fy = parameters[0], parameters[self.focal - 1]
        cx, cy, *bending = parameters[self.focal :]
        if not (all(map(math.isfinite, parameters)) and fx > 0 and fy > 0):
            raise CaptureError(f"{where} is no camera: focal lengths {fx} and {fy}, principal point ({cx}, {cy})")
        if not (0 < width <= LARGEST and 0 < height <= LARGEST):
            raise CaptureError(f"{where} is no camera: its pictures have {width}x{height} pixels")
        if not self.lens or (self.lens in _STRAIGHT_AT_ZERO and not any(bending)):
            return Pinhole(fx, fy, cx, cy, width, height)
        return Lens(fx, fy, cx, cy, width, height, self.lens, tuple(bending))


_STRAIGHT_AT_ZERO = ("opencv", "fov")
_EVERY = len(MODELS["opencv"].names)

COLMAP_IDS: Mapping[int, CameraModel | str] = MappingProxyType(
    {
        0: CameraModel("SIMPLE_PINHOLE", 1),
        1: CameraModel("PINHOLE", 2),
        2: CameraModel("SIMPLE_RADIAL", 1, "opencv", 1),
        3: CameraModel("RADIAL", 1, "opencv", 2),
        4: CameraModel("OPENCV", 2, "opencv", 4),
        5: CameraModel("OPENCV_FISHEYE", 2, "fisheye", 4),
        6: CameraModel("FULL_OPENCV", 2, "opencv", _EVERY),
        7: CameraModel("FOV", 2, "fov", 1),
        8: CameraModel("SIMPLE_RADIAL_FISHEYE", 1, "fisheye", 1),
        9: CameraModel("RADIAL_FISHEYE", 1, "fisheye", 2),
        10: CameraModel("THIN_PRISM_FISHEYE", 2, "thin_prism_fisheye", 8),
        11: "RAD_TAN_THIN_PRISM_FISHEYE",
        12: "SIMPLE_DIVISION",
        13: "DIVISION",
        14: CameraModel("SIMPLE_FISHEYE", 1, "fisheye"),
        15: CameraModel("FISHEYE", 2, "fisheye"),
        16: "EUCM",
        17: "EQUIRECTANGULAR",
    }
)
"""by COLMAP's number; of those that are not read only the name, checked against COLMAP 4.2"""
CAMERA_MODELS: Mapping[str, CameraModel] = MappingProxyType(
    {model.name: model for model in COLMAP_IDS.values() if isinstance(model, CameraModel)}
)
"""by name"""
