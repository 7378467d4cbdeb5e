"""A capture of five known cameras, written in every format by hand: nothing here is the package's.

Every picture is black, but for a pixel that is lit where a known point of the world is seen, in its very middle.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

WIDTH, HEIGHT, FOCAL = 40, 30, 35.0
NAMES = ("a view.png", "b.png", "c.png", "d.png", "e.png")
LIT = ((0, 0), (39, 29), (3, 20), (17, 8), (25, 25))
"""column and row of the pixel that is lit in each picture"""
DEPTHS = (2.0, 3.0, 2.5, 4.0, 3.5)


def pose(i: int) -> np.ndarray:
    """[4, 4] world from camera, x right, y down, z forward: on a circle about the origin, looking at it, rolled."""
    turn = Rotation.from_euler("yxz", [0.5 * i, -0.2 * i, 0.1 * i])
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = turn.as_matrix()
    world_from_camera[:3, 3] = turn.apply([0.1 * i, 0.0, -3.0])
    return world_from_camera


POSES = tuple(pose(i) for i in range(5))


def rays(i: int) -> tuple[np.ndarray, np.ndarray]:
    """Origin [3], and [h, w, 3] directions in the world whose z in the camera is one, of all pixels' centres."""
    u, v = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    inside = np.stack([(u - WIDTH / 2) / FOCAL, (v - HEIGHT / 2) / FOCAL, np.ones_like(u)], -1)
    return POSES[i][:3, 3], inside @ POSES[i][:3, :3].T


def lit_point(i: int) -> np.ndarray:
    """The point of the world that lights picture i."""
    column, row = LIT[i]
    origin, directions = rays(i)
    return origin + DEPTHS[i] * directions[row, column]


def picture(i: int) -> np.ndarray:
    made = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    column, row = LIT[i]
    made[row, column] = (255, 50 * i, 7)
    return made


def write_pictures(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(NAMES):
        Image.fromarray(picture(i)).save(folder / name)


def opengl(i: int) -> list[list[float]]:
    """x right, y up, z backwards, as nested lists."""
    x, y, z, place = POSES[i].T
    return np.stack([x, -y, -z, place], 1).tolist()


def quaternion(i: int) -> tuple[list[float], list[float]]:
    """w, x, y, z and the shift of camera from world."""
    camera_from_world = np.linalg.inv(POSES[i])
    x, y, z, w = Rotation.from_matrix(camera_from_world[:3, :3]).as_quat().tolist()
    return [w, x, y, z], camera_from_world[:3, 3].tolist()


def write_json(file: Path, said: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(said))


def blender_said(chosen: tuple[int, ...]) -> dict[str, Any]:
    """The angle is that of the width; pictures are named without their suffix."""
    frames = [{"file_path": f"./pictures/{NAMES[i][:-4]}", "transform_matrix": opengl(i)} for i in chosen]
    return {"camera_angle_x": 2 * np.arctan(WIDTH / 2 / FOCAL), "frames": frames}


def write_blender(folder: Path) -> None:
    write_pictures(folder / "pictures")
    for split, chosen in {"train": (0, 2, 4), "val": (1,), "test": (3,)}.items():
        write_json(folder / f"transforms_{split}.json", blender_said(chosen))


def nerfstudio_said() -> dict[str, Any]:
    frames = [{"file_path": f"images/{name}", "transform_matrix": opengl(i)} for i, name in enumerate(NAMES)]
    camera = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": WIDTH / 2, "cy": HEIGHT / 2, "w": WIDTH, "h": HEIGHT}
    return {"camera_model": "OPENCV", **camera, "frames": frames[::-1]}


def write_nerfstudio(folder: Path) -> None:
    write_pictures(folder / "images")
    write_json(folder / "transforms.json", nerfstudio_said())


IDS = (7, 3, 900, 4, 12)
"""of the images, in the order of NAMES; of cameras 1"""
POINTS = ((11, (255, 0, 9), (7, 3, 900)), (5, (1, 2, 3), ()))
"""number, colour, and the images it is seen in; places are those of `lit_point`"""


def write_colmap_text(folder: Path, model: str = "sparse/0") -> None:
    write_pictures(folder / "images")
    place = folder / model
    place.mkdir(parents=True, exist_ok=True)
    (place / "cameras.txt").write_text(f"# a comment\n1 SIMPLE_PINHOLE {WIDTH} {HEIGHT} {FOCAL} 20 15\n")
    lines = ["# two lines each"]
    for i in (3, 0, 4, 1, 2):
        q, t = quaternion(i)
        numbers = " ".join(repr(float(value)) for value in (*q, *t))
        seen = "" if i == 4 else "1.5 2.5 -1 3.5 4.5 11"
        lines += [f"{IDS[i]} {numbers} 1 {NAMES[i]}", seen]
    (place / "images.txt").write_text("\n".join(lines) + "\n")
    rows = []
    for i, (number, colour, track) in enumerate(POINTS):
        numbers = [number, *lit_point(i).tolist(), *colour, 0.5, *(part for image in track for part in (image, 0))]
        rows.append(" ".join(map(str, numbers)))
    (place / "points3D.txt").write_text("# points\n" + "\n".join(rows) + "\n")


def write_colmap_binary(folder: Path, model: str = "sparse/0") -> None:
    write_pictures(folder / "images")
    place = folder / model
    place.mkdir(parents=True, exist_ok=True)
    (place / "cameras.bin").write_bytes(struct.pack("<QIiQQ3d", 1, 1, 0, WIDTH, HEIGHT, FOCAL, 20, 15))
    images = struct.pack("<Q", 5)
    for i in (3, 0, 4, 1, 2):
        q, t = quaternion(i)
        images += struct.pack("<I4d3dI", IDS[i], *q, *t, 1) + NAMES[i].encode() + b"\0"
        images += struct.pack("<Q", 0) if i == 4 else struct.pack("<QddqddQ", 2, 1.5, 2.5, -1, 3.5, 4.5, 11)
    (place / "images.bin").write_bytes(images)
    points = struct.pack("<Q", len(POINTS))
    for i, (number, colour, track) in enumerate(POINTS):
        points += struct.pack("<Q3d3BdQ", number, *lit_point(i), *colour, 0.5, len(track))
        points += b"".join(struct.pack("<II", image, 0) for image in track)
    (place / "points3D.bin").write_bytes(points)


def llff_rows() -> np.ndarray:
    """[5, 17]: down, right, backwards, place, size and focal length; nearest and furthest depth."""
    rows = []
    for i in range(5):
        x, y, z, place = POSES[i][:3].T
        matrix = np.stack([y, x, -z, place, np.array([HEIGHT, WIDTH, FOCAL])], 1)
        rows.append([*matrix.reshape(-1), 1.0 + i, 5.0 + i])
    return np.array(rows)


def write_llff(folder: Path) -> None:
    write_pictures(folder / "images")
    np.save(folder / "poses_bounds.npy", llff_rows())


FORMATS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "blender": ("blender", write_blender),
    "nerfstudio": ("nerfstudio", write_nerfstudio),
    "colmap text": ("colmap", write_colmap_text),
    "colmap binary": ("colmap", write_colmap_binary),
    "llff": ("llff", write_llff),
}
"""the reader's name, and what writes the capture into an empty folder"""
