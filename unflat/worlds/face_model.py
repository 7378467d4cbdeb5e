"""The shape of a head: a decimated ICT face model (MIT licence, see assets/LICENSE-ICT-FaceKit) with hair on it.

Its own frame, called *rest* where it is the mean face: centimetres, x to the person's left, y up, z out of the face.
What the faces world paints (lips, brows, hair line ...) it paints at places of the rest face, which move with the skin.
"""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Float, Integer

SKIN, MOUTH, SOCKET, EYE_LEFT, EYE_RIGHT, TEETH = range(6)
"""the parts that a triangle may belong to"""

_BEHIND_EAR = [(-11.0, -6.5), (-5.5, -5.5), (-3.0, -2.5), (-2.0, 1.0)]
_BEFORE_EAR = [(1.0, 2.4), (2.5, 2.8), (3.5, 5.5), (4.8, 8.2), (6.8, 10.0), (9.0, 10.9), (11.0, 11.5)]
HAIR_LINE = np.array(_BEHIND_EAR + _BEFORE_EAR)
"""(z, y) in cm: on the rest head, hair grows above this line"""

EAR, EAR_LEAN, EAR_RADII = (0.15, 0.85), 0.30, (3.0, 1.45)
"""centre (z, y) in cm, lean in radians, half axes in cm"""


@dataclass(frozen=True)
class FaceModel:
    """Vertices of a head = mean + identity weights (about N(0, 1)) + expression weights (in [0, 1])."""

    mean: Float[np.ndarray, "v 3"]
    identity: Float[np.ndarray, "i v 3"]
    expression: Float[np.ndarray, "e v 3"]
    expression_names: tuple[str, ...]
    triangles: Integer[np.ndarray, "t 3"]
    part: Integer[np.ndarray, "t"]
    landmarks: Integer[np.ndarray, "68"]
    """vertices; jaw 17, brows 10, nose 9, eyes 12, mouth 20 in the usual order, the person's right first"""
    normals: Float[np.ndarray, "v 3"]
    """of the mean"""
    hair: Float[np.ndarray, "v"]
    """signed distance to the hair line in cm, positive where hair grows"""
    ear: Float[np.ndarray, "v"]
    """1 on the ears, 0 elsewhere"""


@cache
def face_model() -> FaceModel:
    """The model that the package ships."""
    with (
        resources.files("unflat.worlds").joinpath("assets/ict_faces_small.npz").open("rb") as file,
        np.load(file) as asset,
    ):
        arrays = {name: asset[name] for name in asset.files}
    mean, triangles = arrays["mean"], arrays["triangles"].astype(np.int32)
    ear = _ear(mean)
    return FaceModel(
        mean=mean,
        identity=arrays["identity"] * arrays["identity_scale"][:, None, None],
        expression=arrays["expression"] * arrays["expression_scale"][:, None, None],
        expression_names=tuple(str(name) for name in arrays["expression_names"]),
        triangles=triangles,
        part=arrays["part"],
        landmarks=arrays["landmarks"].astype(np.int64),
        normals=_vertex_normals(mean, triangles),
        hair=_hair(mean, triangles, arrays["part"], ear),
        ear=ear,
    )


def _vertex_normals(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    a, b, c = (vertices[triangles[:, k]] for k in range(3))
    face = np.cross(b - a, c - a)
    total = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(total, triangles[:, k], face)
    return (total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)).astype(np.float32)


def _ear(mean: np.ndarray) -> np.ndarray:
    """Seen from the side, an ear fills an ellipse that leans back."""
    y, z = mean[:, 1] - EAR[1], mean[:, 2] - EAR[0]
    along, across = y * np.cos(EAR_LEAN) - z * np.sin(EAR_LEAN), y * np.sin(EAR_LEAN) + z * np.cos(EAR_LEAN)
    radius = np.hypot(along / EAR_RADII[0], across / EAR_RADII[1])
    return (np.clip((1.15 - radius) / 0.15, 0, 1) * (np.abs(mean[:, 0]) > 6)).astype(np.float32)


def _hair(mean: np.ndarray, triangles: np.ndarray, part: np.ndarray, ear: np.ndarray) -> np.ndarray:
    y, z = mean[:, 1], mean[:, 2]
    line, ahead = np.interp(z, *HAIR_LINE.T), np.interp(z + 0.3, *HAIR_LINE.T)
    slope = (ahead - line) / 0.3
    distance = (y - line) / np.sqrt(1 + slope**2)
    skin = np.zeros(len(mean), bool)
    skin[triangles[part == SKIN]] = True
    return np.where(skin, np.clip(distance, -6, 6) - 12 * ear, -6.0).astype(np.float32)
