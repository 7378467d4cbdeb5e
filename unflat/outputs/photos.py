"""Everything a user takes away from photos: a folder for each, a contact sheet, and an index of what was written.

docs/outputs.md says what each file holds, in which frame and unit.
"""

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.progress import track
from torch import Tensor

from unflat.data.kinds import Photos
from unflat.geometry.rotations import Rigid, euler_from_rotation
from unflat.method import Light, Prediction
from unflat.outputs.displays import SHADING_WHITE, Limits, Look, Texture, one
from unflat.outputs.files import safe_names, write_npy, write_text
from unflat.outputs.images import (
    PNG_STEPS,
    array_of,
    colour_depth,
    colour_normals,
    save_depth_png16,
    save_png,
    sheet,
)
from unflat.outputs.mesh import Placement, posed, write_glb, write_obj, write_ply
from unflat.outputs.video import light_grid, light_sweep, turntable, turntable_frames, write_video

INDEX = "outputs.json"
FORMAT = 1
ROWS_A_SHEET = 20
CELL = 128
OBJECT_CENTRE = (0.0, 0.0, 1.0)
"""the point about which views turn (docs/conventions.md)"""

Pose = Literal["canonical", "input", "both"]
Relit = Literal["grid", "sweep", "both", "none"]


@dataclass
class Folder:
    """A photo's folder: writes files and remembers them by what they hold."""

    path: Path
    files: dict[str, str] = field(default_factory=dict)
    """what a file holds -> its name"""

    def png(self, role: str, picture: Any) -> None:
        self.files[role] = save_png(self.path / f"{role}.png", picture).name

    def npy(self, role: str, values: Tensor) -> None:
        written = write_npy(self.path / f"{role}.npy", array_of(values).astype(np.float32))
        self.files[f"{role}_npy"] = written.name

    def add(self, role: str, path: Path) -> None:
        self.files[role] = path.name


def write_outputs(
    prediction: Prediction,
    photos: Photos,
    out: Path | str,
    *,
    texture: Texture = "photo",
    pose: Pose = "both",
    light: Relit = "both",
    videos: bool = True,
    obj: bool = False,
    steepest: float | None = None,
    size: int = 256,
    progress: bool = True,
) -> list[Path]:
    """Write a folder `out/<name>` for every photo, contact sheets, and the index `out/outputs.json`.

    What the prediction does not hold is left out. Meshes and turntable wear the `photo` where it or its mirror image
    shows them, or the method's `shaded` colours, or its `albedo`. `light` moves over a grid (relit.png), around the
    camera (relighting.mp4), or both; without `videos` there is neither that video nor the turntable. `steepest`
    (radians) drops surface triangles that lean further from the line of sight in the object's frame; `size` is the
    width of renderings and videos in pixels. Returns all paths.
    Raises ValueError if photos and prediction differ in number, or if there is no albedo to wear.
    """
    count = count_of(prediction)
    if count != len(photos):
        raise ValueError(
            f"there are {len(photos)} photos, but the prediction holds {count}: predict these photos first"
        )
    limits = Limits.of(prediction)
    names = safe_names(photos.names)
    console = Console(stderr=True)
    folders, rows = [], []
    for index in track(range(count), "writing", console=console, disable=not progress or not console.is_terminal):
        look = Look(np.asarray(photos.rgb[index]), one(prediction, index), limits, texture, steepest, size)
        folder = Folder(Path(out) / names[index])
        write_maps(folder, look)
        _write_meshes(folder, look, photos.names[index], pose, obj)
        if light in ("grid", "both"):
            _write_light_grid(folder, look)
        if videos:
            _write_turntable(folder, look)
        if videos and light in ("sweep", "both"):
            _write_light_sweep(folder, look)
        _write_factors(folder, look, photos.names[index])
        folders.append(folder)
        rows.append(look.pictures)
    sheets = write_sheets(Path(out), rows, names)
    entries = [
        {"photo": p, "folder": f.path.name, "files": f.files} for p, f in zip(photos.names, folders, strict=True)
    ]
    held = {"format": FORMAT, "photos": entries, "sheets": [path.name for path in sheets], "limits": asdict(limits)}
    index_path = write_text(Path(out) / INDEX, json.dumps(held, indent=1))
    return [*(f.path / name for f in folders for name in f.files.values()), *sheets, index_path]


def count_of(prediction: Prediction) -> int:
    """How many photos the prediction is of; ValueError if it holds nothing."""
    for name in prediction.filled:
        value = getattr(prediction, name)
        if isinstance(value, (Tensor, tuple)):
            return len(value)
    raise ValueError("the prediction is empty: there is nothing to write")


def write_maps(folder: Folder, look: Look) -> None:
    """The photo's maps as pictures and numbers."""
    prediction, limits, canonical = look.prediction, look.limits, look.prediction.canonical
    folder.png("photo", look.photo)
    if prediction.rgb is not None:
        folder.png("reconstruction", prediction.rgb[0])
    if prediction.depth is not None:
        depth = prediction.depth[0]
        folder.add("depth", save_depth_png16(folder.path / "depth.png", depth, limits.near, limits.far))
        folder.npy("depth", depth)
        folder.png("depth_preview", colour_depth(depth, limits.near, limits.far))
    if prediction.normals is not None:
        folder.png("normals", colour_normals(prediction.normals[0]))
    if prediction.albedo is not None:
        folder.png("albedo", prediction.albedo[0])
    if prediction.shading is not None:
        folder.png("shading", prediction.shading[0] / SHADING_WHITE)
    if prediction.confidence is not None:
        folder.png("confidence", prediction.confidence[0])
    if canonical is not None and canonical.rgb is not None:
        folder.png("frontalised", canonical.rgb[0])
    if canonical is not None and canonical.albedo is not None:
        folder.png("canonical_albedo", canonical.albedo[0])
    if canonical is not None and canonical.depth is not None:
        folder.npy("canonical_depth", canonical.depth[0])
    for title in ("symmetry line", "asymmetry"):
        if title in look.pictures:
            folder.png(title.replace(" ", "_"), look.pictures[title])


def _write_meshes(folder: Folder, look: Look, photo: str, pose: Pose, obj: bool) -> None:
    """GLB, PLY and perhaps OBJ, in glTF's frame; both poses stand about the same centre at the same scale."""
    surface = look.surface
    if surface is None:
        return
    placement = Placement.around(surface.mesh)
    about = {"photo": photo, "texture": look.texture, "unit": "metre", **_placed(placement)}
    for name in ("canonical", "input") if pose == "both" else (pose,):
        mesh = placement.place(surface.mesh if name == "canonical" else posed(surface.mesh, surface.camera_from_object))
        lit = look.texture == "albedo"
        path = write_glb(folder.path / f"mesh_{name}.glb", mesh, lit=lit, about={**about, "pose": name})
        folder.add(f"mesh_{name}", path)
        folder.add(f"ply_{name}", write_ply(folder.path / f"mesh_{name}.ply", mesh))
        if obj:
            for path in write_obj(folder.path / f"mesh_{name}.obj", mesh):
                folder.add(f"{path.suffix[1:]}_{name}", path)


def _placed(placement: Placement) -> dict[str, Any]:
    return {
        "frame": "glTF: y up, z towards the viewer; x_file = scale * (1, -1, -1) * (x - centre)",
        "centre": list(placement.centre),
        "scale": placement.scale,
    }


def _write_turntable(folder: Folder, look: Look) -> None:
    surface, camera = look.surface, look.camera
    if surface is not None and camera is not None:
        path = turntable(surface.camera_from_object, surface.centre)
        frames = turntable_frames(surface.mesh, path, camera)
        folder.add("turntable", write_video(folder.path / "turntable.mp4", frames))


def _write_light_grid(folder: Folder, look: Look) -> None:
    grid = [look.relit(direction) for direction in light_grid()]
    if all(picture is not None for picture in grid):
        folder.png("relit", sheet([grid[:5], grid[5:]], cell=CELL))


def _write_light_sweep(folder: Folder, look: Look) -> None:
    frames = [frame for direction in light_sweep() if (frame := look.relit(direction)) is not None]
    if frames:
        folder.add("relighting", write_video(folder.path / "relighting.mp4", frames))


def _write_factors(folder: Folder, look: Look, photo: str) -> None:
    placement = None if look.surface is None else Placement.around(look.surface.mesh)
    factors = {"photo": photo, **factors_of(look.prediction), "depth_png": depth_scale(look.limits)}
    if placement is not None:
        factors["mesh"] = {"unit": "metre", **_placed(placement)}
    path = write_text(folder.path / "factors.json", json.dumps(factors, indent=1, allow_nan=False))
    folder.add("factors", path)


def depth_scale(limits: Limits) -> dict[str, Any]:
    """How a value of a depth PNG becomes depth, for JSON."""
    return {
        "near": limits.near,
        "far": limits.far,
        "depth": f"far + (near - far) * (value - 1) / {PNG_STEPS}; value 0 is nothing",
    }


def factors_of(prediction: Prediction) -> dict[str, Any]:
    """View, light and camera of one photo as plain data for JSON: degrees, and the frames said in words."""
    factors: dict[str, Any] = {}
    if prediction.cameras is not None:
        factors["view"] = _view(prediction.cameras.camera_from_world[0])
        pinhole = prediction.cameras.pinhole
        across = [
            2 * math.degrees(math.atan(n / 2 / f))
            for n, f in ((pinhole.width, pinhole.fx), (pinhole.height, pinhole.fy))
        ]
        factors["camera"] = {**asdict(pinhole), "field_of_view_degrees": across, "pixel_centres": "at +0.5"}
    if prediction.light is not None:
        factors["light"] = {**_light(prediction.light), "frame": "camera of the photo: x right, y down, z forward"}
    if prediction.canonical is not None and prediction.canonical.light is not None:
        factors["canonical_light"] = {
            **_light(prediction.canonical.light),
            "frame": "canonical: x right, y down, z forward",
        }
    return factors


def _view(camera_from_object: Rigid) -> dict[str, Any]:
    rotation, translation = camera_from_object.rotation.double(), camera_from_object.translation.double()
    pitch, yaw, roll = euler_from_rotation(rotation).rad2deg().tolist()
    centre = rotation.new_tensor(OBJECT_CENTRE)
    return {
        "pitch_degrees": pitch,
        "yaw_degrees": yaw,
        "roll_degrees": roll,
        "shift": (translation - (centre - rotation @ centre)).tolist(),
        "meaning": "camera_from_canonical: x' = R (x - c) + c + shift, R = Rz(roll) Ry(yaw) Rx(pitch), c = (0, 0, 1); "
        "positive pitch is seen from above, positive yaw faces the left edge of the photo, positive roll is clockwise",
        "rotation": rotation.tolist(),
        "translation": translation.tolist(),
    }


def _light(light: Light) -> dict[str, Any]:
    return {
        "ambient": light.ambient.item(),
        "diffuse": light.diffuse.item(),
        "direction": light.direction[0].tolist(),
        "meaning": "shading = ambient + diffuse * max(0, normal . direction), direction towards the light",
    }


def write_sheets(out: Path, rows: list[dict[str, np.ndarray]], names: list[str]) -> list[Path]:
    """Contact sheets of at most 20 photos each: sheet.png, or sheet_1.png, sheet_2.png, ..."""
    titles = list(rows[0])
    pages = range(0, len(rows), ROWS_A_SHEET)
    paths = []
    for number, start in enumerate(pages, 1):
        part = slice(start, start + ROWS_A_SHEET)
        cells = [[row.get(title) for title in titles] for row in rows[part]]
        name = "sheet.png" if len(pages) == 1 else f"sheet_{number}.png"
        paths.append(save_png(Path(out) / name, sheet(cells, titles, names[part], cell=CELL)))
    return paths
