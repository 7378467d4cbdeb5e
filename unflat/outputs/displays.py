"""What one photo's prediction looks like: its surface, its symmetry line, what is not symmetric, a row of a sheet.

Functions here take a `Prediction` of one photo (`one`), with a batch of one.
"""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.meshes import Mesh, only, relief_mesh
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.method import Light, Prediction
from unflat.outputs.images import (
    Picture,
    array_of,
    colour_confidence,
    colour_depth,
    colour_normals,
    depth_limits,
    resized,
    to_rgb,
)
from unflat.outputs.mesh import slant
from unflat.outputs.texture import photo_texture, smooth_texture
from unflat.outputs.video import Relighting, display_camera, seen_from

Texture = Literal["photo", "shaded", "albedo"]
"""what a surface wears: the photo itself, the method's colours with light in them, or those without"""

PICTURES = (
    "photo", "reconstruction", "depth", "normals", "albedo", "shading", "frontalised", "turned", "relit",
    "symmetry line", "confidence", "asymmetry",
)  # fmt: skip
"""what a `Look` shows, in the order of a sheet"""
MAPS = {
    "reconstruction": "rgb", "depth": "depth", "normals": "normals", "albedo": "albedo", "shading": "shading",
    "confidence": "confidence", "asymmetry": "confidence",
}  # fmt: skip
"""those that show one field of the prediction"""

SHADING_WHITE = 2.0
"""shading that is white in pictures: ambient and diffuse light of 1 each, facing the light"""
LINE_COLOUR, LINE_STRENGTH = (0, 255, 60), 0.6
SIDE_TURN = math.radians(40)
"""yaw of the turned picture"""
SIDE_LIGHT = (-1.2, -0.4, -1.0)
"""towards the light of the relit picture: from the left"""


@dataclass(frozen=True)
class Limits:
    """Ranges that all photos of a set share, so that their pictures can be compared."""

    near: float
    far: float
    """depth of the lightest and the darkest colour"""
    unsure: float
    sure: float
    """confidence of the reddest and the bluest colour: 2nd and 98th percentile of the set, 0.1 apart or more"""

    @staticmethod
    def of(prediction: Prediction) -> "Limits":
        near, far = (0.0, 1.0) if prediction.depth is None else depth_limits(prediction.depth)
        if prediction.confidence is None:
            return Limits(near, far, 0.0, 1.0)
        unsure, sure = np.percentile(array_of(prediction.confidence), [2, 98]).tolist()
        return Limits(near, far, min(unsure, sure - 0.1), sure)


def one(prediction: Prediction, index: int) -> Prediction:
    """The prediction of one photo, a batch of one, on the CPU."""

    def pick(value: Any) -> Any:
        match value:
            case Tensor():
                return value[index : index + 1].detach().cpu()
            case tuple():
                return (_on_cpu(value[index]),)
            case Light():
                return Light(pick(value.ambient), pick(value.diffuse), pick(value.direction))
            case Cameras():
                pose = value.camera_from_world
                return Cameras(value.pinhole, Rigid(pick(pose.rotation), pick(pose.translation)))
            case Prediction():
                return one(value, index)
        return value

    return replace(prediction, **{name: pick(getattr(prediction, name)) for name in prediction.filled})


def _on_cpu(mesh: Mesh) -> Mesh:
    parts = {f.name: getattr(mesh, f.name) for f in fields(mesh)}
    return replace(mesh, **{name: part.detach().cpu() for name, part in parts.items() if part is not None})


class Surface(NamedTuple):
    """A photo's surface in the object's own frame, with a texture."""

    mesh: Mesh
    camera_from_object: Rigid

    @property
    def centre(self) -> Float[Tensor, "3"]:
        """Of the mesh's box."""
        return (self.mesh.vertices.amin(0) + self.mesh.vertices.amax(0)) / 2


def surface_of(
    prediction: Prediction,
    texture: Texture = "shaded",
    steepest: float | None = None,
    *,
    photo: Picture | None = None,
) -> Surface | None:
    """The mesh of one photo, or its canonical depth (or else its depth) as one; None if there is none of these.

    Where canonical opacity is under 0.5 there is no surface. `steepest` (radians) drops triangles whose normal leans
    further from the line of sight in the object's frame: those that bridge jumps of depth. By default all stay.
    The texture 'photo' needs the `photo`; ValueError if that or the albedo asked for is missing.
    """
    own = prediction.canonical or prediction
    surface = _bare_surface(prediction, own)
    if surface is None:
        return None
    if texture == "albedo" and own.albedo is None:
        raise ValueError("this method gives no albedo, so the mesh cannot wear it; choose the photo or shaded texture")
    mesh = surface.mesh
    worn = _texture(prediction, texture, photo)
    if worn is not None and mesh.uv is not None:
        mesh = replace(mesh, texture=worn, colours=None)
    elif mesh.texture is not None:
        mesh = replace(mesh, texture=smooth_texture(mesh.texture))
    if own.opacity is not None and own.opacity[0].numel() == len(mesh.vertices):
        mesh = only(mesh, (own.opacity[0].flatten()[mesh.triangles.long()] >= 0.5).all(1))
    if steepest is not None:
        mesh = only(mesh, slant(mesh) <= steepest)
    return Surface(mesh, surface.camera_from_object) if len(mesh.triangles) else None


def _texture(prediction: Prediction, texture: Texture, photo: Picture | None) -> Float[Tensor, "k l 3"] | None:
    """In the canonical picture's uv, or the photo's if there is none; None if nothing has these colours."""
    own = prediction.canonical or prediction
    if texture == "photo":
        if photo is None:
            raise ValueError("the surface cannot wear the photo without it: give photo=, or choose the shaded texture")
        colours = torch.tensor(to_rgb(photo)).float() / 255
        worn = smooth_texture(colours) if own is prediction else photo_texture(colours, prediction)
        if worn is not None:
            return worn
    picture = own.albedo if texture == "albedo" else own.rgb
    return None if picture is None else smooth_texture(picture[0])


def _bare_surface(prediction: Prediction, own: Prediction) -> Surface | None:
    pose = Rigid(torch.eye(3), torch.zeros(3))
    if prediction.cameras is not None and own is prediction.canonical:
        pose = prediction.cameras.camera_from_world[0]
    if prediction.mesh is not None:
        return Surface(prediction.mesh[0], pose)
    if own.depth is None or prediction.cameras is None:
        return None
    mesh = relief_mesh(own.depth[0], prediction.cameras.pinhole)
    return Surface(mesh, pose) if len(mesh.triangles) else None


class Line(NamedTuple):
    """Points of the symmetry line in the photo, from top to bottom."""

    points: Float[Tensor, "k 2"]
    """pixels of the prediction's camera"""
    visible: Bool[Tensor, "k"]
    """not hidden behind another part of the object"""


def symmetry_line(prediction: Prediction) -> Line | None:
    """Where the canonical picture's vertical mid-line (x = 0) lies in the photo; None without a canonical depth."""
    if prediction.canonical is None or prediction.canonical.depth is None or prediction.cameras is None:
        return None
    depth, camera = prediction.canonical.depth[0], prediction.cameras.pinhole
    left = min(max(math.floor(camera.cx - 0.5), 0), depth.shape[1] - 2)
    middle = depth[:, left].lerp(depth[:, left + 1], camera.cx - 0.5 - left)
    up_down = (torch.arange(len(middle)) + 0.5 - camera.cy) / camera.fy
    points = torch.stack([torch.zeros_like(middle), up_down * middle, middle], -1)
    points = prediction.cameras.camera_from_world[0].apply(points)
    return Line(camera.project(points), points.isfinite().all(1) & _visible(points, prediction.depth, camera))


def _visible(points: Float[Tensor, "k 3"], depth: Tensor | None, camera: Pinhole) -> Bool[Tensor, "k"]:
    """In the picture, and not behind the depth map by more than a few pixels' width."""
    u, v = camera.project(points.nan_to_num(1.0)).floor().long().unbind(-1)
    inside = (u >= 0) & (v >= 0) & (u < camera.width) & (v < camera.height)
    if depth is None:
        return inside
    nearest = depth[0, v.clamp(0, camera.height - 1), u.clamp(0, camera.width - 1)]
    slack = 4 * points[:, 2] / camera.fx
    return inside & (points[:, 2] <= nearest + slack)


def draw_line(photo: Picture, line: Line, camera: Pinhole, size: int) -> np.ndarray:
    """The photo, `size` pixels wide, with the visible parts of a line over it. uint8"""
    base = Image.fromarray(to_rgb(photo))
    height = round(size * base.height / base.width)
    base = base.resize((size, height), Image.Resampling.BICUBIC)
    fine = 4  # drawn larger and shrunk: PIL's lines have no antialiasing
    mask = Image.new("L", (size * fine, height * fine), 0)
    pen = ImageDraw.Draw(mask)
    scale = np.array([size * fine / camera.width, height * fine / camera.height])
    places = [tuple(place) for place in (line.points.numpy() * scale).tolist()]
    for start, end, shown in zip(places[:-1], places[1:], (line.visible[:-1] & line.visible[1:]).tolist(), strict=True):
        if shown:
            pen.line([start, end], fill=round(255 * LINE_STRENGTH), width=fine * max(2, size // 85))
    mask = mask.resize((size, height), Image.Resampling.BOX)
    return np.asarray(Image.composite(Image.new("RGB", base.size, LINE_COLOUR), base, mask))


def draw_asymmetry(photo: Picture, confidence: Picture, limits: Limits, size: int) -> np.ndarray:
    """The photo, dimmed, under red where its mirror image does not explain it. uint8 [h, size, 3]"""
    image = to_rgb(photo)
    height = round(size * image.shape[0] / image.shape[1])
    large = resized(image, height, size).astype(np.float64) / 255
    sureness = (array_of(confidence) - limits.unsure) / (limits.sure - limits.unsure)
    unsure = 1 - resized(sureness.clip(0, 1), height, size)[..., :1] / 255
    grey = large.mean(-1, keepdims=True) * 0.6 + 0.25
    tinted = (1 - unsure) * (0.6 * large + 0.4 * grey) + unsure * (0.35 * grey + 0.65 * np.array([0.9, 0.08, 0.12]))
    return (tinted.clip(0, 1) * 255 + 0.5).astype(np.uint8)


@dataclass(frozen=True)
class Look:
    """All pictures of one photo, each made when it is asked for."""

    photo: np.ndarray
    """uint8 [h, w, 3]"""
    prediction: Prediction
    """of this photo: a batch of one"""
    limits: Limits
    texture: Texture = "photo"
    steepest: float | None = None
    size: int = 256
    """width of overlays and renderings in pixels"""

    @cached_property
    def surface(self) -> Surface | None:
        return surface_of(self.prediction, self.texture, self.steepest, photo=self.photo)

    @cached_property
    def camera(self) -> Pinhole | None:
        """Of renderings: all of the object, in the middle."""
        return None if self.surface is None else display_camera(self.surface.mesh, self.size)

    @cached_property
    def relighting(self) -> Relighting | None:
        """In the photo's pose; needs an albedo and a light."""
        own = self.prediction.canonical or self.prediction
        if own.albedo is None or own.light is None or self.prediction.cameras is None:
            return None
        surface = surface_of(self.prediction, "albedo", self.steepest)
        pinhole = self.prediction.cameras.pinhole
        camera = pinhole.resized(self.size, round(self.size * pinhole.height / pinhole.width))
        return None if surface is None else Relighting(surface.mesh, surface.camera_from_object, camera)

    def relit(self, direction: Float[Tensor, "3"]) -> np.ndarray | None:
        """Under the photo's own light, come from elsewhere (towards the light, camera's frame)."""
        light = (self.prediction.canonical or self.prediction).light
        if self.relighting is None or light is None:
            return None
        return self.relighting.under(direction, light.ambient.item(), light.diffuse.item())

    def turned(self, yaw: float = SIDE_TURN) -> np.ndarray | None:
        """The surface, turned from the front."""
        if self.surface is None or self.camera is None:
            return None
        turn = rotation_from_euler(torch.tensor([0.0, yaw, 0.0]))
        pose = Rigid.about(self.surface.centre, turn, torch.zeros(3))
        return seen_from(self.surface.mesh, pose, self.camera)

    @cached_property
    def pictures(self) -> dict[str, np.ndarray]:
        """One row of a contact sheet: what this prediction holds, by the titles of `PICTURES` and in their order."""
        found = {title: self.picture(title) for title in PICTURES}
        return {title: picture for title, picture in found.items() if picture is not None}

    def picture(self, title: str) -> np.ndarray | None:
        """One of `PICTURES`, uint8 [h, w, 3]; None where the prediction does not hold what it shows."""
        made = self._map(title) if title in MAPS else self._display(title)
        return None if made is None else to_rgb(made)

    def _map(self, title: str) -> Picture | None:
        values = getattr(self.prediction, MAPS[title])
        if values is None:
            return None
        match title:
            case "depth":
                return colour_depth(values[0], self.limits.near, self.limits.far)
            case "normals":
                return colour_normals(values[0])
            case "shading":
                return cast(Tensor, values[0] / SHADING_WHITE)
            case "confidence":
                return colour_confidence(values[0], self.limits.unsure, self.limits.sure)
            case "asymmetry":
                return draw_asymmetry(self.photo, values[0], self.limits, self.size)
        return cast(Tensor, values[0])

    def _display(self, title: str) -> Picture | None:
        match title:
            case "photo":
                return self.photo
            case "frontalised":
                canonical = self.prediction.canonical
                return None if canonical is None or canonical.rgb is None else canonical.rgb[0]
            case "turned":
                return self.turned()
            case "relit":
                return self.relit(torch.tensor(SIDE_LIGHT))
            case "symmetry line":
                line, cameras = symmetry_line(self.prediction), self.prediction.cameras
                if line is not None and cameras is not None:
                    return draw_line(self.photo, line, cameras.pinhole, self.size)
                return None
        raise ValueError(f"there is no picture called {title!r}; there are {', '.join(PICTURES)}")
