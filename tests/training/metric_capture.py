"""A capture of a box of 12 cm in a world that is shifted, turned and in metres, and how far points are from it."""

import json
import math
from pathlib import Path

import numpy as np

from unflat.data.captures import read_capture
from unflat.data.kinds import Capture
from unflat.worlds.object_shapes import BOX, ROUNDING
from unflat.worlds.objects import Objects

COS, SIN = math.cos(0.7), math.sin(0.7)
TURN = np.array([[1, 0, 0], [0, COS, -SIN], [0, SIN, COS]]) @ np.array([[COS, -SIN, 0], [SIN, COS, 0], [0, 0, 1]])
SHIFT = np.array([2.0, -1.0, 0.5])


def write_metric_capture(folder: Path, views: int = 20, side: int = 32) -> Path:
    """A Blender folder, its pictures rendered in the object's own frame, its cameras in the other world."""
    for split, count in (("train", views), ("test", 3)):
        path = Objects("box", count, side, split=split).write(folder, progress=False)  # type: ignore[arg-type]
        said = json.loads(path.read_text())
        world_from_own = np.eye(4)
        world_from_own[:3, :3], world_from_own[:3, 3] = TURN, SHIFT
        for frame in said["frames"]:
            frame["transform_matrix"] = (world_from_own @ np.array(frame["transform_matrix"])).tolist()
        path.write_text(json.dumps(said))
    return folder


def read_metric_capture(folder: Path) -> Capture:
    return read_capture(folder, split="train", progress=False)


def from_truth(points: np.ndarray) -> np.ndarray:
    """Metres from the true surface, of points in the capture's world, in closed form."""
    own = (points - SHIFT) @ TURN - [0.0, 0.0, BOX[2]]
    beyond = np.abs(own) - (np.array(BOX) - ROUNDING)
    return np.asarray(
        np.abs(np.linalg.norm(beyond.clip(0), axis=1) + np.minimum(beyond.max(1), 0) - ROUNDING), np.float64
    )
