"""What the files of a capture say, before any picture is decoded: what every reader of a format returns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from unflat.data.kinds import Points, Skipped
from unflat.geometry.cameras import Pinhole

Split = Literal["train", "val", "test"]


class CaptureError(ValueError):
    """A capture cannot be used: says what was given, what is needed and what to do."""


@dataclass(frozen=True)
class Frame:
    """A picture and its camera."""

    name: str
    """the picture's path below the folder, with slashes"""
    picture: Path
    pinhole: Pinhole | None
    """or its `Lens`; None where the size is the picture's own and `field_of_view` says the rest"""
    world_from_camera: Float[np.ndarray, "4 4"]
    """OpenCV's axes (x right, y down, z forward), whatever the file has; a rotation and a place, float64"""
    field_of_view: float | None = None
    """from the left edge to the right edge of the picture, radians; only without a pinhole"""
    mask: Path | None = None
    """a grey picture, black where pixels are to be left out"""
    depth: Path | None = None
    """a 16-bit or floating-point picture, or .npy, along z; 0 is unknown"""


@dataclass(frozen=True)
class Recording:
    """The frames of a capture in the files' own world."""

    reader: str
    """the name of the format"""
    frames: Sequence[Frame]
    """sorted by name"""
    splits: Mapping[str, Split] = field(default_factory=dict)
    """of the frames that the files assign to one, by name; empty where they say nothing"""
    points: Points | None = None
    """in the files' world"""
    depth_unit: float = 0.001
    """of integer depth pictures, in units of the world: millimetres of a world in metres"""
    bounds: Float[np.ndarray, "n 2"] | None = None
    """nearest and furthest depth along z of each frame, where the files say it"""
    skipped: Sequence[Skipped] = ()
    """frames that are named and whose picture is missing"""
    notes: Sequence[str] = ()
    """what the reader had to assume, for the user"""


def checked_pose(pose: np.ndarray, where: str) -> Float[np.ndarray, "4 4"]:
    """A camera's pose as float64 [4, 4], its rotation made exact. CaptureError where it is none.

    What is wrong is told by `where`: a place in a file.
    """
    pose = np.asarray(pose, np.float64)
    if pose.shape not in ((3, 4), (4, 4)):
        raise CaptureError(f"{where} is no pose: a matrix of 3 or 4 rows and 4 columns is needed, not {pose.shape}")
    if not np.isfinite(pose).all():
        raise CaptureError(f"{where} holds numbers that are not finite: its camera was not found; leave it out")
    largest = np.abs(pose[:3, :3]).max()
    u, sizes, v = np.linalg.svd(pose[:3, :3] / max(largest, 1e-300))
    if largest < 1e-6 or sizes.max() > 1.02 * sizes.min():
        raise CaptureError(f"{where} is no pose: its first three columns are not at right angles and of one length")
    if np.linalg.det(u @ v) < 0:
        raise CaptureError(
            f"{where} mirrors: the determinant of its rotation is negative. The file mixes up axes; OpenGL's have x to "
            "the right, y up and z backwards, OpenCV's x to the right, y down and z forwards"
        )
    whole = np.eye(4)
    whole[:3, :3], whole[:3, 3] = u @ v, pose[:3, 3]
    return whole


def opencv_from_opengl(pose: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """Camera-to-world with y down and z forward of one with y up and z backward; its own inverse."""
    return pose @ np.diag([1.0, -1.0, -1.0, 1.0])
