"""What people come with: one class per kind of data. Arrays may be memory-mapped; nothing is decoded here."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from torch import Tensor

from unflat.data.viewpoints import Viewpoints, spread_over
from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.similarities import Similarity
from unflat.geometry.spaces import CONTRACTED, speed_within, within_space

Space = Literal["box", "contracted", "ndc"]


@dataclass(frozen=True)
class Scene:
    """Where the scene of a capture lies, in the frame that its cameras are given in (the scene's frame).

    The scene's frame is chosen so that what matters lies within one unit of its origin, or within 1.43 where cameras
    look at something before a background (`box` says how far), z pointing up.
    """

    space: Space = "box"
    """box: all there is lies in `box`. contracted: `box` is what matters most, and there is no end to the rest; beyond
    the cube of side 2 about the origin it is brought in. ndc: seen from one side only, through a window"""
    box: tuple[float, float, float, float, float, float] = (-1.0, -1.0, -1.0, 1.0, 1.0, 1.0)
    """least x, y, z, then largest"""
    near: float = 0.05
    """along z of the cameras: nothing stands nearer"""
    far: float = 10.0
    """along z: nothing that can be told from the horizon stands further"""
    background: tuple[float, float, float] | None = None
    """what is seen where nothing is, in [0, 1]; None if the pictures have no such place"""
    window: tuple[float, float] = (1.0, 1.0)
    """ndc: half of the picture's width and height at distance 1, in units of that distance"""
    world_scale: float = 1.0
    """with the next two, how the files' own frame lies to the scene's: x_world = scale * rotation @ x + shift"""
    world_rotation: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)
    """row by row"""
    world_shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def limits(self) -> tuple[float, float, float, float, float, float]:
        """Of what a grid has to hold, in the coordinates that rays are walked in: the box, or all of contracted space.
        Least x, y, z, then largest."""
        return CONTRACTED if self.space == "contracted" else self.box

    def within(self, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        """Points of the scene's frame in the coordinates that rays are walked in."""
        return within_space(points, self.space, self.window)

    def speed(self, points: Float[Tensor, "n 3"], directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
        """How far `within` moves for one unit along directions: a density per unit there, times this, is one per unit
        of the scene's frame."""
        return speed_within(points, directions, self.space, self.window)

    @property
    def reach(self) -> float:
        """How far from the middle what matters lies, along each axis, in the scene's unit."""
        return max(self.box) if self.space == "contracted" else 1.0

    @property
    def backdrop(self) -> tuple[float, float, float]:
        """What a field is drawn before: the background, or grey behind pictures that have no such place."""
        return GREY if self.background is None else self.background

    @property
    def world_from_scene(self) -> Similarity:
        """What takes the scene's frame to that of the files, which is in metres if they are."""
        rotation = np.array(self.world_rotation, np.float64).reshape(3, 3)
        return Similarity(self.world_scale, rotation, np.array(self.world_shift, np.float64))

    def placed(self, world_from_scene: Similarity) -> "Scene":
        """The scene with another place in the files' frame."""
        rotation = tuple(world_from_scene.rotation.reshape(-1).tolist())
        x, y, z = world_from_scene.translation.tolist()
        return replace(self, world_scale=float(world_from_scene.scale), world_rotation=rotation, world_shift=(x, y, z))


@dataclass(frozen=True)
class Extent:
    """How far the data reach: what a method has to know before it is built. Goes into the checkpoint."""

    count: int
    """pictures in the training set"""
    size: tuple[int, int]
    """height and width of a picture in pixels; of a capture, of its largest picture"""
    scene: Scene | None = None
    """of a capture"""


class Skipped(NamedTuple):
    """A file that could not be used."""

    name: str
    why: str
    """the sentence that the name begins: `is broken (...)`"""


@dataclass(frozen=True)
class Photos:
    """Single pictures of one kind of object, square crops of one size, with no cameras.

    Everything behind `names` is truth that only evaluation may look at; it is None where it is not known, and
    named in `known`.
    """

    rgb: np.ndarray
    """uint8 [n, h, w, 3]"""
    names: Sequence[str]
    """where each picture comes from, for reports"""
    depth: np.ndarray | None = None
    """float32 [n, h, w], along z; NaN where there is no object. The object stands near distance 1"""
    mask: np.ndarray | None = None
    """bool [n, h, w], True on the object"""
    normals: np.ndarray | None = None
    """float32 [n, h, w, 3], unit, camera frame, towards the camera; NaN where there is no object"""
    albedo: np.ndarray | None = None
    """uint8 [n, h, w, 3]"""
    view: np.ndarray | None = None
    """float32 [n, 6]: turns about x, y, z in radians (R = Rz Ry Rx), then the shift, about the point (0, 0, 1)"""
    light: np.ndarray | None = None
    """float32 [n, 5]: ambient, diffuse, and the unit direction towards the light in the camera's frame"""
    landmarks: np.ndarray | None = None
    """float32 [n, k, 3]: pixel u, pixel v, depth"""
    asymmetric: np.ndarray | None = None
    """bool [n, h, w], True where the object's colour (albedo) at the point that the pixel's centre sees differs from
    that at the point's mirror image across the object's plane of symmetry: on a part that only one side has, and on
    the place opposite it. Neither can be explained by mirroring the object"""
    field_of_view: float | None = None
    """radians, from the first pixel's centre to the last one's"""
    crop: dict[str, Any] = field(default_factory=dict)
    """how the pictures were cropped, so that later photos can be cropped alike; plain data, see `data.crops`"""
    framing: np.ndarray | None = None
    """float32 [n, 3]: side of the crop over the picture's shorter side, and of the face and of the object over that of
    the crop; NaN where not measured"""
    skipped: Sequence[Skipped] = ()
    """files that were found and could not be used"""

    def __len__(self) -> int:
        return len(self.rgb)

    @property
    def extent(self) -> Extent:
        return Extent(count=len(self.rgb), size=(int(self.rgb.shape[1]), int(self.rgb.shape[2])))

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the optional fields that are there."""
        optional = ("depth", "mask", "normals", "albedo", "view", "light", "landmarks", "asymmetric")
        return tuple(name for name in optional if getattr(self, name) is not None)

    def __getitem__(self, index: slice | np.ndarray | list[int]) -> "Photos":
        """Some of the pictures, with their truth."""
        if not isinstance(index, slice):
            index = np.asarray(index)
        chosen = np.arange(len(self))[index]
        sliced = ("rgb", *self.known, *(() if self.framing is None else ("framing",)))
        parts = {name: getattr(self, name)[index] for name in sliced}
        return replace(self, **parts, names=tuple(self.names[int(i)] for i in chosen))


@dataclass(frozen=True)
class Points:
    """Points of the scene that structure from motion has found."""

    places: np.ndarray
    """float64 [m, 3], in the frame of the cameras"""
    colours: np.ndarray
    """uint8 [m, 3]"""
    seen_in: np.ndarray
    """int [m], in how many pictures; 0 where that is not known"""

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True)
class Capture:
    """Posed pictures of one still scene, which may be of different sizes.

    Pixels of all pictures lie one after the other, picture by picture and row by row: ray r of picture i is pixel
    `first[i] + r`. Cameras are OpenCV's, in the scene's frame (`Scene`).
    """

    pixels: np.ndarray
    """uint8 [p, 3], or [p, 4] with straight (not premultiplied) opacity; may be memory-mapped"""
    pinholes: Sequence[Pinhole]
    """camera of each picture, or its `Lens`"""
    scene_from_camera: np.ndarray
    """float64 [n, 4, 4]"""
    names: Sequence[str]
    """where each picture comes from"""
    scene: Scene
    mask: np.ndarray | None = None
    """bool [p], False where pixels show what does not belong to the scene, and are to be left out"""
    depth: np.ndarray | None = None
    """float32 [p], along z, in the scene's unit; NaN where it is not known"""
    normals: np.ndarray | None = None
    """float32 [p, 3], unit, in the camera's frame; truth that only evaluation may look at"""
    points: Points | None = None
    skipped: Sequence[Skipped] = ()
    """pictures that were named and could not be used"""
    origin: dict[str, Any] = field(default_factory=dict)
    """how it was read, so that another split can be read alike: arguments of `read_capture`, plain data; empty where it
    was not read"""

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def first(self) -> np.ndarray:
        """int64 [n + 1]: the pixel that each picture begins with, and the number of all pixels."""
        return np.concatenate([[0], np.cumsum([p.width * p.height for p in self.pinholes])]).astype(np.int64)

    @property
    def has_alpha(self) -> bool:
        """Whether pictures say where nothing is."""
        return bool(self.pixels.shape[1] == 4)

    @property
    def extent(self) -> Extent:
        size = max((p.height, p.width) for p in self.pinholes)
        return Extent(count=len(self), size=size, scene=self.scene)

    @property
    def known(self) -> tuple[str, ...]:
        """Names of the optional fields that are there."""
        return tuple(n for n in ("mask", "depth", "normals", "points") if getattr(self, n) is not None)

    def picture(self, index: int, field: str = "pixels") -> np.ndarray:
        """[h, w, ...]: a field of one picture, without a copy. ValueError if the capture has no such field."""
        values = getattr(self, field)
        if values is None:
            raise ValueError(f"this capture has no {field}")
        pinhole = self.pinholes[index]
        part = values[self.first[index] : self.first[index + 1]]
        return np.reshape(part, (pinhole.height, pinhole.width, *values.shape[1:]))

    def rgb(self, index: int) -> np.ndarray:
        """float32 [h, w, 3] in [0, 1]: a picture, laid on the scene's background where it is transparent."""
        pixels = self.picture(index).astype(np.float32) / 255
        return pixels if not self.has_alpha else on_background(pixels, self.scene.backdrop)

    def cameras(self, index: int) -> Cameras:
        """The camera of one picture, to be asked for."""
        return self.viewpoints.cameras(index)

    @property
    def viewpoints(self) -> Viewpoints:
        """The cameras without the pictures."""
        return Viewpoints(self.pinholes, self.scene_from_camera, self.names)

    def spread(self, most: int) -> "Capture":
        """At most so many of the pictures, over all of them."""
        if len(self) <= most:
            return self
        return self[spread_over(len(self), most)]

    def __getitem__(self, index: slice | np.ndarray | list[int]) -> "Capture":
        """Some of the pictures. A slice of step one shares the pixels' memory, anything else copies."""
        chosen = np.arange(len(self))[index]
        if len(chosen) and np.array_equal(chosen, np.arange(chosen[0], chosen[0] + len(chosen))):
            pixels: slice | np.ndarray = slice(self.first[chosen[0]], self.first[chosen[-1] + 1])
        else:
            ranges = [np.arange(self.first[i], self.first[i + 1]) for i in chosen]
            pixels = np.concatenate(ranges) if ranges else np.zeros(0, np.int64)
        return replace(
            self,
            pixels=self.pixels[pixels],
            mask=None if self.mask is None else self.mask[pixels],
            depth=None if self.depth is None else self.depth[pixels],
            normals=None if self.normals is None else self.normals[pixels],
            pinholes=[self.pinholes[i] for i in chosen],
            scene_from_camera=self.scene_from_camera[chosen],
            names=tuple(self.names[i] for i in chosen),
        )


WHITE, GREY = (1.0, 1.0, 1.0), (0.5, 0.5, 0.5)


def on_background(pixels: np.ndarray, background: tuple[float, float, float] | None) -> np.ndarray:
    """[..., 4] with straight opacity, in [0, 1], as [..., 3] laid on a colour (white unless given)."""
    opacity = pixels[..., 3:]
    colour = np.asarray(WHITE if background is None else background, pixels.dtype)
    return pixels[..., :3] * opacity + (1 - opacity) * colour
