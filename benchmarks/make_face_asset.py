"""Makes unflat/worlds/assets/ict_faces_small.npz from the ICT Face Model Light.

    python benchmarks/make_face_asset.py path/to/ict_faces.npz

The model (MIT licence, USC Institute for Creative Technologies) comes packed as `mean [n,3]` (cm, y up, the face looks
along +z), `identity [100,n,3]`, `expression [53,n,3]`, `triangles`, `region [n]`, `region_names`, `expression_names`.

The mean is decimated; each vertex that is left *is* one of the model's own, so the modes are taken over without any
interpolation and the lips cannot grow together. Decimation acts on a copy whose face is magnified, so that eyes, nose
and mouth keep more triangles than the neck. Backs of the eyeballs, irises behind the cornea and molars are left out.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import fast_simplification
import numpy as np

ASSET = Path(__file__).parent.parent / "unflat" / "worlds" / "assets" / "ict_faces_small.npz"
MODES = 48
"""identity modes that are kept; the 49th moves a vertex by 0.2 mm"""
LEFT_OUT = ("mouthClose",)
"""a corrective that only makes sense together with an open jaw"""
PARTS = ("skin", "mouth", "socket", "eye_left", "eye_right", "teeth")
PART_OF_REGION = {"face": 0, "head": 0, "mouth_socket": 1, "eye_socket_l": 2, "eye_socket_r": 2}
PART_OF_REGION |= {"sclera_l": 3, "sclera_r": 4, "teeth": 5}
TRIANGLES = {0: 9600, 1: 350, 2: 240, 3: 260, 4: 260, 5: 1300}
"""triangles left in each part"""
TEETH_FROM = 8.2
"""z in cm: molars behind this plane are left out"""
FACE_CENTRE, FACE_RADIUS, FACE_MAGNIFIED = np.array([0.0, 0.5, 8.0]), 5.0, 2.5

# Where the 68 landmarks are looked for on the mean: x, y in cm, person's right half and the middle line (x <= 0).
# The frontmost vertex nearest to each place is taken, then its mirror image.
JAW = [
    (-7.55, 3.2),
    (-7.45, 1.2),
    (-7.2, -0.8),
    (-6.75, -2.7),
    (-6.05, -4.5),
    (-4.95, -6.1),
    (-3.5, -7.35),
    (-1.8, -8.1),
    (0, -8.35),
]
BROW = [(-5.2, 4.95), (-4.3, 5.45), (-3.2, 5.5), (-2.0, 5.25), (-0.95, 4.75)]
NOSE_BRIDGE = [(0, 3.5), (0, 2.4), (0, 1.3), (0, 0.1)]
NOSE_BASE = [(-1.3, -0.95), (-0.65, -0.95), (0, -1.1)]
EYE = [(-4.62, 3.42), (-3.85, 3.95), (-2.75, 3.95), (-1.72, 3.28), (-2.75, 3.02), (-3.85, 3.08)]
LIPS_OUTER_UPPER = [(-2.4, -3.52), (-1.45, -3.0), (-0.5, -2.72), (0, -2.82)]
LIPS_OUTER_LOWER = [(0, -4.35), (-0.75, -4.3), (-1.6, -4.0)]
LIPS_INNER_UPPER = [(-2.1, -3.48), (-0.8, -3.27), (0, -3.3)]
LIPS_INNER_LOWER = [(0, -3.4), (-0.8, -3.4)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="ict_faces.npz")
    parser.add_argument("--out", type=Path, default=ASSET)
    arguments = parser.parse_args()
    with np.load(arguments.model) as archive:
        model = {name: archive[name] for name in archive.files}
    asset = small(model)
    np.savez_compressed(arguments.out, **asset)
    vertices, triangles = len(asset["mean"]), len(asset["triangles"])
    print(f"{arguments.out}: {vertices} vertices, {triangles} triangles, {arguments.out.stat().st_size / 1e6:.2f} MB")


def small(model: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of the asset."""
    landmarks = find_landmarks(model)
    kept, triangles, parts = decimate(model, landmarks)
    expressions = [i for i, name in enumerate(model["expression_names"]) if name not in LEFT_OUT]
    asset = {
        "mean": model["mean"][kept].astype(np.float32),
        "triangles": triangles.astype(np.uint16),
        "part": parts.astype(np.uint8),
        "part_names": np.array(PARTS),
        "landmarks": np.searchsorted(kept, landmarks).astype(np.uint16),
        "expression_names": model["expression_names"][expressions],
    }
    for name, modes in (("identity", model["identity"][:MODES]), ("expression", model["expression"][expressions])):
        offsets = modes[:, kept].astype(np.float32)
        scale = np.abs(offsets).max((1, 2)) / 127
        asset[name] = np.round(offsets / scale[:, None, None]).astype(np.int8)
        asset[f"{name}_scale"] = scale.astype(np.float32)
    return asset


def decimate(model: Mapping[str, np.ndarray], landmarks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The model's vertices that are kept (sorted), the triangles between them, and the part of each triangle."""
    mean, faces = model["mean"].astype(np.float64), model["triangles"]
    part = part_of_triangles(model)
    pieces, labels = [], []
    for number, wanted in TRIANGLES.items():
        piece = collapsed(mean, faces[part == number], wanted, landmarks)
        pieces.append(piece)
        labels.append(np.full(len(piece), number))
    triangles = np.concatenate(pieces)
    kept, flat = np.unique(triangles, return_inverse=True)
    return kept, flat.reshape(-1, 3), np.concatenate(labels)


def part_of_triangles(model: Mapping[str, np.ndarray]) -> np.ndarray:
    """Number of the part each triangle belongs to, -1 where it is left out."""
    names = [str(name) for name in model["region_names"]]
    of_region = np.array([PART_OF_REGION.get(name, -1) for name in names])
    of_vertex = of_region[model["region"]]
    part = of_vertex[model["triangles"]].min(1)
    mean = model["mean"]
    for number in (3, 4):
        eye = mean[of_vertex == number]
        middle = (eye.max(0) + eye.min(0)) / 2
        behind = mean[model["triangles"]].mean(1)[:, 2] < middle[2]
        part[(part == number) & behind] = -1
    part[(part == 5) & (mean[model["triangles"]].mean(1)[:, 2] < TEETH_FROM)] = -1
    return part


def collapsed(mean: np.ndarray, faces: np.ndarray, wanted: int, landmarks: np.ndarray) -> np.ndarray:
    """Triangles [k,3] of the decimated faces, in the model's own vertex numbers; landmarks stay vertices."""
    used, flat = np.unique(faces, return_inverse=True)
    faces = flat.reshape(-1, 3)
    points = magnified(mean[used])
    if wanted >= len(faces):
        return used[faces]
    reduction = 1 - wanted / len(faces)
    _, _, collapses = fast_simplification.simplify(points, faces, reduction, return_collapses=True)
    moved, triangles, new_of_old = fast_simplification.replay_simplification(points, faces, collapses)
    distance = np.linalg.norm(points - moved[new_of_old], axis=1)
    distance[np.isin(used, landmarks)] -= 1e3  # a landmark always stands for those it was merged with
    order = np.lexsort((-distance, new_of_old))  # the nearest of each group is written last
    stands_for = np.full(len(moved), -1)
    stands_for[new_of_old[order]] = order
    return used[stands_for[triangles]]


def magnified(points: np.ndarray) -> np.ndarray:
    """Points with the face blown up about its centre, so that decimation spares it."""
    away = points - FACE_CENTRE
    near = np.exp(-np.square(away).sum(1) / (2 * FACE_RADIUS**2))
    return FACE_CENTRE + away * (1 + (FACE_MAGNIFIED - 1) * near)[:, None]


def find_landmarks(model: Mapping[str, np.ndarray]) -> np.ndarray:
    """The 68 landmarks as vertex numbers, in the usual order (jaw, brows, nose, eyes, mouth; person's right first)."""
    mean = model["mean"]
    names = [str(name) for name in model["region_names"]]
    skin = np.flatnonzero(np.isin(model["region"], [names.index("face"), names.index("head")]))

    def nearest(place: tuple[float, float], side: int) -> int:
        x, y = side * place[0], place[1]
        far = np.hypot(mean[skin, 0] - x, mean[skin, 1] - y)
        close = skin[far < far.min() + 0.12]
        front = close[mean[close, 2] > mean[close, 2].max() - 0.5]
        return int(front[np.argmin(np.hypot(mean[front, 0] - x, mean[front, 1] - y))])

    def right(places: list[tuple[float, float]]) -> list[int]:
        return [nearest(place, 1) for place in places]

    def left(places: list[tuple[float, float]]) -> list[int]:
        return [nearest(place, -1) for place in places]

    def across(places: list[tuple[float, float]]) -> list[int]:
        return right(places) + left(places[-2::-1])

    left_eye = left(EYE)
    chosen = [
        *across(JAW),
        *right(BROW), *left(BROW)[::-1],
        *right(NOSE_BRIDGE), *across(NOSE_BASE),
        *right(EYE), *left_eye[3::-1], *left_eye[:3:-1],
        *across(LIPS_OUTER_UPPER), *left(LIPS_OUTER_LOWER)[:0:-1], *right(LIPS_OUTER_LOWER),
        *across(LIPS_INNER_UPPER), *left(LIPS_INNER_LOWER)[:0:-1], *right(LIPS_INNER_LOWER),
    ]  # fmt: skip
    assert len(set(chosen)) == 68, (len(chosen), len(set(chosen)))
    return np.array(chosen)


if __name__ == "__main__":
    main()
