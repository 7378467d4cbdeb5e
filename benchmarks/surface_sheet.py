"""Where meshes of learned objects are off, in one picture: `surfaces.py wrong`.

A row an object, as large as it fits: from above and from below the true surface, the mesh in the same light, and the
mesh coloured by how far each of its points is from the true surface. What the mesh lacks has no colour: a hollow that
is full shows as a lid.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from surface_figures import CELL, DRAWN

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh
from unflat.geometry.rotations import Rigid
from unflat.metrics.surfaces import apart
from unflat.outputs.baking import points_of
from unflat.outputs.images import coloured, sheet, to_uint8
from unflat.outputs.paths import looking
from unflat.outputs.surfaces import without_floaters
from unflat.rendering.mesh import render_mesh
from unflat.worlds.objects import Objects

SIDES = ((120, 30), (300, -30))
"""turn about z and height of the cameras, degrees"""
PICTURE, SHOWN = 400, 180
"""pixels a side of a picture, of which what shows something is cut out, and of one on the sheet"""
ROOM = 6
"""pixels around what is cut out"""
DISTANCE, VIEW = 3.2, 40.0
"""of the camera from the object's middle, and degrees that it sees: all of a box with a diagonal of 2.2"""
LIGHT = (0.3, -0.4, -1.0)
"""towards the light, in the camera's frame"""
WORST = 2.0
"""cells, from where on colours do not change"""
ERRORS = ((0.15, 0.25, 0.75), (0.2, 0.7, 0.75), (0.95, 0.95, 0.6), (0.95, 0.5, 0.2), (0.7, 0.05, 0.1))
INK = (40, 40, 40)


def error_sheet(meshes: Mapping[str, tuple[str, Mesh]], what: str, seed: int = 0) -> np.ndarray:
    """uint8 [h, w, 3], for objects as `Objects` takes them: their names, and meshes in the scene's frame, which are
    called `what`."""
    rows, names = [], []
    for shape, (name, mesh) in meshes.items():
        pictures, mean = pictured(shape, mesh, seed)
        rows.append(pictures)
        names.append(f"{name.removeprefix('a_').replace('_', ' ')}: {mean:.2f}")
    made = sheet(rows, ["truth", what, "how far off"] * len(SIDES), names, cell=SHOWN)
    return np.concatenate([made, scale_bar(made.shape[1])], 0)


def pictured(shape: str, mesh: Mesh, seed: int) -> tuple[list[np.ndarray], float]:
    """A row of the sheet, and the mean distance of the mesh's vertices from the true surface, in cells."""
    real, mesh = Objects(shape, seed=seed).mesh(), without_floaters(mesh, least=1.0)
    off = apart(points_of(mesh), points_of(real, 3 * DRAWN)).distance / CELL
    colours = torch.from_numpy(coloured(off, 0.0, WORST, ERRORS) / 255).float()
    shown = replace(real, uv=None, texture=None), mesh, replace(mesh, colours=colours)
    return cut_out([seen_from(one, *side) for side in SIDES for one in shown]), float(off.mean())


def seen_from(mesh: Mesh, turn: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """A picture, uint8 [h, w, 3], and where it shows something, bool [h, w]."""
    a, b = math.radians(turn), math.radians(height)
    out = np.array([[math.cos(a) * math.cos(b), math.sin(a) * math.cos(b), math.sin(b)]])
    pose = torch.from_numpy(looking(DISTANCE * out, -out)[0]).float()
    focal = PICTURE / 2 / math.tan(math.radians(VIEW / 2))
    pinhole = Pinhole(focal, focal, PICTURE / 2, PICTURE / 2, PICTURE, PICTURE)
    place = Rigid(pose[:3, :3], pose[:3, 3]).inverse
    rgb, opacity = render_mesh(mesh, place, pinhole, light=LIGHT)
    return to_uint8(rgb), opacity.numpy() > 0


def cut_out(pictures: Sequence[tuple[np.ndarray, np.ndarray]]) -> list[np.ndarray]:
    """The same square of all, about their middle, that holds all that they show."""
    rows, columns = np.nonzero(np.any([there for _, there in pictures], 0))
    middle = PICTURE / 2 - 0.5
    reach = max((abs(ends - middle).max() for ends in (rows, columns) if len(ends)), default=middle)
    first = max(0, math.floor(middle - reach) - ROOM)
    return [picture[first : PICTURE - first, first : PICTURE - first] for picture, _ in pictures]


def scale_bar(width: int) -> np.ndarray:
    """uint8 [h, width, 3]: which distance has which colour, and what the numbers beside the names are."""
    size = max(10, width // 80)
    canvas = Image.new("RGB", (width, 3 * size + 12), "white")
    pen, font, y = ImageDraw.Draw(canvas), ImageFont.load_default(size), size + 2
    told = "from the true surface, in cells; beside the names the mesh's mean"
    left, right = 2 * size, width // 2 - size
    steps = coloured(np.linspace(0, WORST, right - left), 0.0, WORST, ERRORS)
    canvas.paste(Image.fromarray(np.tile(steps[None], (size, 1, 1))), (left, y - size // 2))
    for tick in np.linspace(0, WORST, 5):
        x = left + tick / WORST * (right - left)
        text = f"{tick:g}" if tick < WORST else f"{tick:g} and more"
        pen.text((x, y + size), text, fill=INK, font=font, anchor="mt")
    pen.text((right + size, y), told, fill=INK, font=font, anchor="lm")
    return np.asarray(canvas)
