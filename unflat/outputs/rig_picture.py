"""Cameras and the scene's box, drawn from above and from the side: a look at what was read, before anything is learned.

A camera is drawn as the pyramid of what it sees, cut off near its tip.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from unflat.data.kinds import Points, Scene
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens

COLOURS = {"train": (35, 98, 188), "val": (34, 150, 83), "test": (222, 113, 18), "cameras": (35, 98, 188)}
"""of the cameras of each split"""
OTHER = (120, 70, 160)
BOX, SOFT, INK = (20, 20, 28), (205, 209, 216), (70, 76, 88)
FINE = 3
"""drawn larger by this and shrunk: PIL's lines have no antialiasing"""
LONG = 0.055
"""of a panel's width: from a camera's tip to the base of its pyramid"""
ROOM = 0.08
"""of a panel's width, around what is drawn"""
DOTS = 20_000
"""points are drawn up to so many"""
WINDOW_DEPTH = 4.0
"""ndc: how far beyond the near plane the window is drawn"""


class Panel(NamedTuple):
    """A view onto two axes of the scene's frame."""

    title: str
    right: int
    up: int
    sign: int
    """-1 where the second axis points down in the panel"""


PANELS = (Panel("from above: x right, y up", 0, 1, 1), Panel("from the side: x right, z up", 0, 2, 1))
WINDOW_PANELS = (Panel("from above: x right, z up", 0, 2, 1), Panel("from the side: z right, y down", 2, 1, -1))


def draw_rig(
    cameras: Mapping[str, Viewpoints], scene: Scene, points: Points | None = None, side: int = 520
) -> np.ndarray:
    """Cameras by the name of their split, in its colour, with the box and the points of the scene's frame, two panels
    of `side` pixels next to each other above a line that says what is what. uint8 [h, w, 3]"""
    panels = WINDOW_PANELS if scene.space == "ndc" else PANELS
    low, high = _extent(cameras, scene)
    drawn = [_panel(panel, low, high, cameras, scene, points, side) for panel in panels]
    foot = max(26, side // 16)
    canvas = Image.new("RGB", (2 * side + 8, side + foot), "white")
    for number, picture in enumerate(drawn):
        canvas.paste(picture, (number * (side + 8), 0))
    _legend(ImageDraw.Draw(canvas), cameras, scene, side, foot)
    return np.asarray(canvas)


def _extent(cameras: Mapping[str, Viewpoints], scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Least and largest x, y, z of what is drawn."""
    places = np.concatenate([views.centres for views in cameras.values() if len(views)] or [np.zeros((1, 3))])
    corners = np.concatenate([outline for panel in (0, 1) for outline in _outlines(scene, panel)])
    every = np.concatenate([places, corners])
    return every.min(0), every.max(0)


def _outlines(scene: Scene, panel: int) -> list[Float[np.ndarray, "k 3"]]:
    """Closed lines, in the scene's frame, that bound what is looked at, as one panel has them."""
    if scene.space != "ndc":
        (x0, y0, z0), (x1, y1, z1) = scene.box[:3], scene.box[3:]
        if panel == 0:
            return [np.array([[x0, y0, z0], [x1, y0, z0], [x1, y1, z0], [x0, y1, z0]])]
        return [np.array([[x0, y0, z0], [x1, y0, z0], [x1, y0, z1], [x0, y0, z1]])]
    near, far = 1.0, WINDOW_DEPTH
    axis, half = panel, scene.window[panel]
    found = np.zeros((4, 3))
    found[:, 2] = [near, near, far, far]
    found[:, axis] = [-half * near, half * near, half * far, -half * far]
    return [found]


def _panel(
    panel: Panel,
    low: np.ndarray,
    high: np.ndarray,
    cameras: Mapping[str, Viewpoints],
    scene: Scene,
    points: Points | None,
    side: int,
) -> Image.Image:
    size = side * FINE
    picture = Image.new("RGB", (size, size), (250, 250, 251))
    pen = ImageDraw.Draw(picture)
    middle = (low + high)[[panel.right, panel.up]] / 2
    width = max(float((high - low)[[0, 1, 2]].max()), 1e-9) * (1 + 2 * ROOM + 2 * LONG)

    def place(where: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        flat = (where[..., [panel.right, panel.up]] - middle) / width * size
        return size / 2 + flat * np.array([1, -panel.sign])

    if points is not None and len(points):
        _dots(picture, place(points.places), points.colours)
    zero = place(np.zeros(3))
    for ends in ([(0, zero[1]), (size, zero[1])], [(zero[0], 0), (zero[0], size)]):
        pen.line([tuple(end) for end in ends], fill=SOFT, width=FINE)
    for outline in _outlines(scene, PANELS.index(panel) if panel in PANELS else WINDOW_PANELS.index(panel)):
        pen.line(_closed(place(outline)), fill=BOX, width=2 * FINE)
    for name, views in cameras.items():
        for pinhole, pose in zip(views.pinholes, views.scene_from_camera, strict=True):
            _camera(pen, place(_pyramid(pinhole, pose, LONG * width)), COLOURS.get(name, OTHER))
    picture = picture.resize((side, side), Image.Resampling.BOX)
    ImageDraw.Draw(picture).text((8, 6), panel.title, fill=INK, font=ImageFont.load_default(max(11, side // 36)))
    return picture


def _dots(picture: Image.Image, places: np.ndarray, colours: np.ndarray) -> None:
    """Points, three pixels of the fine picture wide, paler than they are."""
    step = max(1, len(places) // DOTS)
    at = places[::step].round().astype(np.int64)
    pixels = np.asarray(picture).copy()
    pale = (0.55 * colours[::step].astype(np.float64) + 0.45 * 235).astype(np.uint8)
    for dx in range(-1, 2):
        for dy in range(-1, 2):
            u, v = at[:, 0] + dx, at[:, 1] + dy
            inside = (u >= 0) & (v >= 0) & (u < picture.width) & (v < picture.height)
            pixels[v[inside], u[inside]] = pale[inside]
    picture.paste(Image.fromarray(pixels))


def _pyramid(pinhole: Pinhole, pose: Float[np.ndarray, "4 4"], length: float) -> Float[np.ndarray, "5 3"]:
    """Tip and base of what a camera sees, in the scene's frame."""
    plain = pinhole.plain if isinstance(pinhole, Lens) else pinhole
    w, h = float(plain.width), float(plain.height)
    corners = plain.directions(torch.tensor([[0.0, 0.0], [w, 0.0], [w, h], [0.0, h]], dtype=torch.float64)).numpy()
    return np.concatenate([pose[None, :3, 3], pose[:3, 3] + length * corners @ pose[:3, :3].T])


def _camera(pen: ImageDraw.ImageDraw, tip_and_base: Float[np.ndarray, "5 2"], colour: tuple[int, int, int]) -> None:
    tip, *base = [tuple(place) for place in tip_and_base.tolist()]
    for corner in base:
        pen.line([tip, corner], fill=colour, width=FINE)
    pen.line([*base, base[0]], fill=colour, width=FINE)
    reach = 1.2 * FINE
    pen.ellipse([tip[0] - reach, tip[1] - reach, tip[0] + reach, tip[1] + reach], fill=colour)


def _closed(places: np.ndarray) -> list[tuple[float, float]]:
    listed = [(float(x), float(y)) for x, y in places]
    return [*listed, listed[0]]


def _legend(pen: ImageDraw.ImageDraw, cameras: Mapping[str, Viewpoints], scene: Scene, side: int, foot: int) -> None:
    size = max(11, side // 36)
    font, x, y = ImageFont.load_default(size), 8.0, side + foot / 2
    entries = [(f"{len(views)} {name}", COLOURS.get(name, OTHER)) for name, views in cameras.items() if len(views)]
    bounds = {"box": "box", "contracted": "what matters; there is more outside", "ndc": "window"}[scene.space]
    for text, colour in [*entries, (bounds, BOX)]:
        pen.rectangle([x, y - 4, x + 12, y + 4], outline=colour, fill=None if text == bounds else colour)
        pen.text((x + 18, y), text, fill=INK, font=font, anchor="lm")
        x += 18 + pen.textlength(text, font=font) + 22
    unit = f"the box's unit is {scene.world_scale:.4g} of the capture's"
    pen.text((2 * side, y), unit, fill=INK, font=font, anchor="rm")
