"""Captures of single objects with exact truth: shapes that a formula gives, or a textured mesh from a file.

The object's box is moved to the middle of the scene's frame and its diagonal is 2.2 there; z points up. Cameras look at
the middle: in the training set from points spread evenly over a sphere, in the others from random ones, so that view i
of those is the same however many there are. Light falls from one side and nothing has gloss. Every call renders anew.
The object stands before nothing, or amid a dome or a clutter that the cameras see behind it (`Objects.around`).

On disk (`Objects.write`), in the object's own frame and unit, which are the file's, or metres:

    OUT/transforms_{split}.json          as Blender's add-on writes it: the field of view, cameras with OpenGL's axes
    OUT/{split}/r_0000.png               8-bit RGBA, straight opacity; RGB where something is around
    OUT/{split}/r_0000_depth.npy         float32, along z, NaN where nothing is
"""

import json
import math
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from rich.progress import track

from unflat.data.kinds import WHITE, Capture, Scene
from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh
from unflat.geometry.similarities import Similarity, rotation_between
from unflat.worlds.files import save_array, save_png, save_text
from unflat.worlds.object_files import SUFFIXES, read_textured
from unflat.worlds.object_paint import Pattern, painted
from unflat.worlds.object_render import Surface, shoot
from unflat.worlds.object_shapes import SHAPES, shape_mesh
from unflat.worlds.sets import SPLITS, Split, random_of
from unflat.worlds.surroundings import BEHIND, clutter, dome

Around = Literal["nothing", "dome", "clutter"]

DIAGONAL = 2.2
"""of the object's box, in the scene's frame"""
MARGIN = 0.05
"""between the object and the scene's box, and its nearest and furthest depth"""
NEARER = 0.5
"""of the nearest depth, where something is around: what reading a capture makes of points (`data.scenes`)"""
SMALLEST = 8
"""pixels a side"""
MOST_SAMPLES = 8
"""a side of a pixel"""
TEXTURE, FINE = 1024, 5
"""texels a side of what is painted, and of a turntable's room over its pixels, if that is less than twice as many"""
CELLS = (0.5, 0.5, 0.3, 0.3, 0.16, 0.16, 0.09)
"""sizes of the blotches that shapes are painted with, in the scene's frame"""
AROUND: tuple[Around, ...] = ("nothing", "dome", "clutter")
ELEVATION = math.radians(25)
"""of the camera that goes around a turntable"""


@dataclass(frozen=True, repr=False)
class Objects:
    """A capture of one generated object."""

    shape: str
    """sphere, torus, box (with round edges), vase, or the path of a textured OBJ or GLB"""
    views: int = 100
    """pictures"""
    size: int = 200
    """pixels a side, 8 or more"""
    seed: int = 0
    """of the paint of shapes, and of where cameras stand"""
    split: Split = "train"
    samples: int = 2
    """a pixel has this many squared"""
    distance: float = 3.2
    """of the cameras from the object's middle; its box's diagonal is 2.2"""
    field_of_view: float = 39.6
    """degrees, from the picture's left edge to its right one"""
    around: Around = "nothing"
    """what cameras see behind the object. nothing: pictures have opacity. dome: a painted one, without end (space is
    contracted), pictures have none. clutter: also painted solids before the dome, outside of the cameras' sphere"""

    def __repr__(self) -> str:
        """Without what is around unless there is something: records hold digests from before there could be."""
        shown = [f.name for f in fields(self) if f.name != "around" or self.around != "nothing"]
        return f"Objects({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES and Path(self.shape).suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"there is no shape {self.shape!r}; take one of {', '.join(SHAPES)}, or the path of a textured "
                f"{' or '.join(SUFFIXES)}"
            )
        if self.split not in SPLITS:
            raise ValueError(f"there is no split {self.split!r} of an object; take one of {', '.join(SPLITS)}")
        if self.views < 1:
            raise ValueError(f"views is {self.views}; a capture needs at least one")
        if self.size < SMALLEST:
            raise ValueError(f"size is {self.size}; objects are rendered at {SMALLEST} pixels a side or more")
        if self.seed < 0:
            raise ValueError(f"seed is {self.seed}; it has to be 0 or more")
        if not 1 <= self.samples <= MOST_SAMPLES:
            raise ValueError(f"samples is {self.samples}; give 1 to {MOST_SAMPLES} a side of a pixel")
        if not self.distance > DIAGONAL / 2 + 2 * MARGIN:
            raise ValueError(
                f"distance is {self.distance}, within the object, whose box has a diagonal of {DIAGONAL}; "
                f"give more than {DIAGONAL / 2 + 2 * MARGIN:.3g}"
            )
        if self.around not in AROUND:
            raise ValueError(f"there is no {self.around!r} around an object; take one of {', '.join(AROUND)}")
        if not 0 < self.field_of_view < 180:
            raise ValueError(f"field_of_view is {self.field_of_view} degrees; give more than 0 and less than 180")

    def mesh(self) -> Mesh:
        """The object's true surface in the scene's frame, float32, with normals, uv and texture."""
        return self._object()[0]

    @property
    def world_from_scene(self) -> Similarity:
        """What takes the scene's frame to the object's own, in metres."""
        return self._object()[1].world_from_scene

    def capture(self, progress: bool = True) -> Capture:
        """The pictures with their truth; `scene.world_from_scene` leads to the object's own frame, in metres.

        Where something is around, pixels are RGB, and depth and normals are also those of what is behind the object.
        """
        mesh, scene = self._object()
        names = [f"{self.split}/r_{index:04d}" for index in range(self.views)]
        if self.around == "nothing":
            return self._seen([mesh], self._poses(), scene, names, progress)
        around = _surroundings(self.around, self.distance, _texels(self.size), self.seed)
        endless = self._without_end(scene, NEARER * scene.near)
        return _opaque(self._seen([mesh, *around], self._poses(), endless, names, progress))

    def write(self, folder: Path, progress: bool = True) -> Path:
        """The capture as files, laid out as the head of this module says; returns the path of the JSON."""
        capture = self.capture(progress)
        world_from_scene = capture.scene.world_from_scene
        (Path(folder) / self.split).mkdir(parents=True, exist_ok=True)
        frames = []
        for index, name in enumerate(capture.names):
            save_png(Path(folder) / f"{name}.png", Image.fromarray(capture.picture(index)))
            depth = capture.picture(index, "depth") * np.float32(world_from_scene.scale)
            save_array(Path(folder) / f"{name}_depth.npy", depth)
            world_from_camera = world_from_scene.place(capture.scene_from_camera[index])
            with_opengl_axes = world_from_camera @ np.diag([1.0, -1.0, -1.0, 1.0])
            frames.append({"file_path": f"./{name}", "transform_matrix": with_opengl_axes.tolist()})
        path = Path(folder) / f"transforms_{self.split}.json"
        content = {"camera_angle_x": math.radians(self.field_of_view), "frames": frames}
        save_text(path, json.dumps(content, indent=1) + "\n")
        return path

    def turntable(self, frames: int = 90, size: int = 400, progress: bool = True) -> Capture:
        """The frames of a video, with their truth: the camera goes once around the object, which stands on a painted
        floor under a painted dome. `write_video(path, (turntable.picture(i) for i in range(frames)))` makes a file.

        Everything keeps its place, as structure from motion needs it, and is sharp. Pixels are RGB. `views`, `size` and
        `split` of `self` do not matter.
        """
        if frames < 1 or size < SMALLEST:
            raise ValueError(f"a turntable of {frames} frames of {size} pixels a side; give 1 of {SMALLEST} or more")
        mesh, scene = self._object()
        around = _single(dome(self.distance, float(mesh.vertices[:, 2].min()), _texels(size), self.seed))
        turns = 2 * math.pi * np.arange(frames) / frames
        places = _on_sphere(turns, np.full(frames, math.sin(ELEVATION)))
        poses = np.stack([_looking_at_middle(self.distance * place) for place in places])
        names = [f"turntable/{index:04d}" for index in range(frames)]
        endless = self._without_end(scene, MARGIN)
        return _opaque(replace(self, size=size)._seen([mesh, around], poses, endless, names, progress))

    def _object(self) -> tuple[Mesh, Scene]:
        """The surface in the scene's frame, and where that lies."""
        if self.shape in SHAPES:
            mesh, world_from_scene = _painted_shape(self.shape, self.seed)
        else:
            path = Path(self.shape)
            # glTF says that y points up; what OBJ files hold mostly stands on z = 0
            up = (0.0, 1.0, 0.0) if path.suffix.lower() == ".glb" else (0.0, 0.0, 1.0)
            mesh, world_from_scene = _framed(read_textured(path), rotation_between(up, (0.0, 0.0, 1.0)))
        low, high = (mesh.vertices.amin(0) - MARGIN).tolist(), (mesh.vertices.amax(0) + MARGIN).tolist()
        reach = float(mesh.vertices.norm(dim=1).max()) + MARGIN
        box = (low[0], low[1], low[2], high[0], high[1], high[2])
        scene = Scene("box", box, self.distance - reach, self.distance + reach, WHITE)
        return mesh, scene.placed(world_from_scene)

    def _without_end(self, scene: Scene, near: float) -> Scene:
        """The scene where a dome is around."""
        return replace(scene, space="contracted", near=near, far=2 * self.distance + BEHIND, background=None)

    def _poses(self) -> Float[np.ndarray, "n 4 4"]:
        """scene_from_camera of each view."""
        if self.split == "train":
            index = np.arange(self.views)
            first = random_of(self.seed, self.split, 0).uniform(0, 2 * math.pi)
            places = _on_sphere(first + index * math.pi * (3 - math.sqrt(5)), 1 - (2 * index + 1) / self.views)
        else:
            drawn = [random_of(self.seed, self.split, index).uniform(-1, 1, 2) for index in range(self.views)]
            turn, height = np.array(drawn).T
            places = _on_sphere(math.pi * turn, height)
        return np.stack([_looking_at_middle(self.distance * place) for place in places])

    def _seen(
        self, meshes: list[Mesh], poses: Float[np.ndarray, "n 4 4"], scene: Scene, names: list[str], progress: bool
    ) -> Capture:
        """What cameras at these places see of meshes."""
        focal = self.size / 2 / math.tan(math.radians(self.field_of_view) / 2)
        camera = Pinhole(focal, focal, self.size / 2, self.size / 2, self.size, self.size)
        surfaces = [Surface.of(mesh, focal * self.samples / self.distance) for mesh in meshes]
        count = len(poses) * self.size**2
        pixels, depth = np.empty((count, 4), np.uint8), np.empty(count, np.float32)
        normals = np.empty((count, 3), np.float32)
        for index in track(range(len(poses)), f"Rendering {Path(self.shape).name}", disable=not progress):
            shot = shoot(surfaces, poses[index], camera, self.samples)
            own = slice(index * self.size**2, (index + 1) * self.size**2)
            pixels[own], depth[own] = shot.rgba.reshape(-1, 4), shot.depth.reshape(-1)
            normals[own] = shot.normals.reshape(-1, 3)
        return Capture(pixels, [camera] * len(poses), poses, names, scene, depth=depth, normals=normals)


def object_splits(
    shape: str, views: int, size: int, seed: int = 0, around: Around = "nothing"
) -> tuple[Objects, Objects, Objects]:
    """An object to learn from, to validate and to test: a tenth and a fifth as many pictures, from elsewhere."""
    return (
        Objects(shape, views, size, seed, around=around),
        Objects(shape, max(2, views // 10), size, seed, "val", around=around),
        Objects(shape, max(2, views // 5), size, seed, "test", around=around),
    )


def _texels(size: int) -> int:
    """A side of what is around the object, in pictures of this size."""
    return min(FINE * size, 2 * TEXTURE)


@lru_cache(maxsize=4)
def _surroundings(around: Around, distance: float, texels: int, seed: int) -> tuple[Mesh, ...]:
    """In the scene's frame; splits share them. The dome is a whole sphere, since cameras look up as well as down."""
    found = [dome(distance, -(distance + BEHIND), texels, seed)]
    if around == "clutter":
        found.append(clutter(distance, texels, seed))
    return tuple(_single(mesh) for mesh in found)


def _opaque(capture: Capture) -> Capture:
    """Pixels as RGB: there is something everywhere."""
    return replace(capture, pixels=np.ascontiguousarray(capture.pixels[:, :3]))


@lru_cache(maxsize=4)
def _painted_shape(name: str, seed: int) -> tuple[Mesh, Similarity]:
    """A shape in the scene's frame with its paint, and world_from_scene; splits share it."""
    mesh, world_from_scene = _framed(shape_mesh(name), np.eye(3))
    return painted(mesh, TEXTURE, Pattern(np.random.default_rng([seed, 1]), CELLS)), world_from_scene


def _framed(own: Mesh, scene_from_own: Float[np.ndarray, "3 3"]) -> tuple[Mesh, Similarity]:
    """A mesh turned, moved to the scene's middle and scaled; and own_from_scene."""
    assert own.normals is not None
    turned = own.vertices.double().numpy() @ scene_from_own.T
    low, high = turned.min(0), turned.max(0)
    middle, scale = (low + high) / 2, float(np.linalg.norm(high - low)) / DIAGONAL
    mesh = replace(
        own,
        vertices=torch.from_numpy((turned - middle) / scale),
        normals=torch.from_numpy(own.normals.double().numpy() @ scene_from_own.T),
    )
    return _single(mesh), Similarity(scale, scene_from_own.T, scene_from_own.T @ middle)


def _single(mesh: Mesh) -> Mesh:
    """In float32."""
    assert mesh.normals is not None and mesh.uv is not None
    return replace(mesh, vertices=mesh.vertices.float(), normals=mesh.normals.float(), uv=mesh.uv.float())


def _on_sphere(turn: Float[np.ndarray, "n"], height: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    """Unit vectors from a turn about z, in radians from x, and z."""
    out = np.sqrt(1 - height**2)
    return np.stack([out * np.cos(turn), out * np.sin(turn), height], -1)


def _looking_at_middle(place: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """scene_from_camera of a camera at `place` that looks at the origin, upright."""
    forward = -place / np.linalg.norm(place)
    up = (0.0, 0.0, 1.0) if abs(forward[2]) < 1 - 1e-9 else (0.0, 1.0, 0.0)
    right = np.cross(forward, up)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3] = np.stack([right, np.cross(forward, right), forward, place], -1)
    return pose
