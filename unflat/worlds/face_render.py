"""Heads as pictures with their truth: shape, pose, light and colours drawn at random, then rendered.

Samples are taken at the pixels' centres and half-way between them. Depth, mask and normals are those at the centres;
a pixel's colour is an average of the nine samples in and around it (a tent two pixels wide), against jagged edges.
"""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Integer

from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.kernels.facing import facing
from unflat.kernels.interpolated import interpolated
from unflat.kernels.visible_triangles import visible_triangles
from unflat.worlds.face_model import FaceModel, face_model
from unflat.worlds.face_paint import Look, hair_field, hair_offset, paint, random_look, smooth_colours
from unflat.worlds.staging import (
    DISTANCE,
    FIELD_OF_VIEW,
    NOTHING,
    as_bytes,
    background,
    random_background,
    random_light,
    random_view,
    tent,
    unit,
)

FRAME = 23.0
"""cm that the picture is wide at distance 1"""
PIVOT = (0.0, 2.4, 5.0)
"""the place of the rest head (cm) that stands at (0, 0, 1) and about which heads turn"""
SCALE = 2 * math.tan(FIELD_OF_VIEW / 2) * DISTANCE / FRAME

IDENTITY_SPREAD = 0.85
"""identity weights are N(0, 1) times this: at 1, one head in ten looks like a caricature"""
MOVED = 0.14
"""share of the face's movements that an expression makes, each with a weight U(0, 0.5)"""


@dataclass(frozen=True)
class Scene:
    """All that was drawn at random for one picture."""

    identity: Float[np.ndarray, "i"]
    expression: Float[np.ndarray, "e"]
    view: Float[np.ndarray, "6"]
    """as in `Photos`"""
    light: Float[np.ndarray, "5"]
    """as in `Photos`"""
    look: Look
    background: Float[np.ndarray, "5 6"]
    """as `random_background` gives it"""


@dataclass(frozen=True)
class Shots:
    """Pictures of heads with their truth, as arrays over the pictures; fields as in `Photos`."""

    rgb: np.ndarray
    depth: np.ndarray
    mask: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    view: np.ndarray
    light: np.ndarray
    landmarks: np.ndarray


def random_scene(rng: np.random.Generator) -> Scene:
    """A head, its pose, its light and what is behind it."""
    model = face_model()
    return Scene(
        identity=IDENTITY_SPREAD * rng.standard_normal(len(model.identity)),
        expression=_random_expression(rng, model.expression_names),
        view=random_view(rng),
        light=random_light(rng),
        look=random_look(rng),
        background=random_background(rng),
    )


def _random_expression(rng: np.random.Generator, names: tuple[str, ...]) -> np.ndarray:
    """Sparse movements, on the left and the right nearly alike."""
    stems, of_name = _stems(names)
    moved = (rng.random(stems) < MOVED) * rng.uniform(0, 0.5, stems)
    return moved[of_name] * rng.uniform(0.75, 1.0, len(names))


@cache
def _stems(names: tuple[str, ...]) -> tuple[int, np.ndarray]:
    """How many movements there are apart from left and right, and which one each name is."""
    stems = [name.removesuffix("_L").removesuffix("_R") for name in names]
    unique = list(dict.fromkeys(stems))
    return len(unique), np.array([unique.index(stem) for stem in stems])


def render(scenes: list[Scene], size: int) -> Shots:
    """Pictures of the scenes, `size` pixels a side."""
    model, camera = face_model(), Pinhole.across_centres(size, FIELD_OF_VIEW)
    fields = [hair_field(scene.look) for scene in scenes]
    offsets = np.stack([hair_offset(field, scene.look) for field, scene in zip(fields, scenes, strict=True)])
    canonical = to_canonical(shapes(scenes) + torch.from_numpy(offsets))
    views = torch.tensor(np.array([scene.view for scene in scenes]), dtype=torch.float32)
    pivot = torch.tensor([0.0, 0.0, DISTANCE])
    vertices = Rigid.about(pivot, rotation_from_euler(views[:, :3]), views[:, 3:]).apply(canonical)
    normals, front = facing(vertices, torch.from_numpy(model.triangles))
    corners = torch.cat([camera.project(vertices), vertices[..., 2:]], -1)
    shots = [
        _shoot(model, scene, field, corners[i : i + 1], normals[i], front[i], size)
        for i, (scene, field) in enumerate(zip(scenes, fields, strict=True))
    ]
    return Shots(*(np.stack(parts) for parts in zip(*shots, strict=True)))


def shapes(scenes: list[Scene]) -> Float[torch.Tensor, "b v 3"]:
    """The heads without hair, in the model's own frame."""
    weights = np.array([[1, *scene.identity, *scene.expression] for scene in scenes], np.float32)
    return (torch.from_numpy(weights) @ _modes()).view(len(scenes), -1, 3)


@cache
def _modes() -> Float[torch.Tensor, "m c"]:
    """Mean, identity and expression offsets, one row each, in cm."""
    model = face_model()
    rows = np.concatenate([model.mean[None], model.identity, model.expression])
    return torch.from_numpy(rows.reshape(len(rows), -1))


def to_canonical(rest: Float[torch.Tensor, "b v 3"]) -> Float[torch.Tensor, "b v 3"]:
    """From the head's own frame (cm, y up, towards the viewer) to the camera's, facing it at distance 1."""
    return (rest - torch.tensor(PIVOT)) * torch.tensor([SCALE, -SCALE, -SCALE]) + torch.tensor([0.0, 0.0, DISTANCE])


def _shoot(
    model: FaceModel,
    scene: Scene,
    field: Float[np.ndarray, "v"],
    corners: Float[torch.Tensor, "1 v 3"],
    normals: Float[torch.Tensor, "v 3"],
    front: Bool[torch.Tensor, "t"],
    size: int,
) -> tuple[np.ndarray, ...]:
    """One picture with its truth, in the order of `Shots`."""
    attributes = np.concatenate(
        [model.mean, smooth_colours(scene.look).T, field[:, None], normals, corners[0, :, 2:]], 1
    )
    triangle, values = _sampled(model, corners, attributes, front, size)
    hit = np.flatnonzero(triangle >= 0)
    at_hits = np.ascontiguousarray(values.reshape(triangle.size, -1)[hit].T)
    rgb, albedo = _colour(scene, hit, model.part[triangle.reshape(-1)[hit]], at_hits, size)
    mask, centre = triangle[1::2, 1::2] >= 0, np.moveaxis(values[1::2, 1::2], -1, 0)
    return (
        rgb,
        np.where(mask, centre[10], NOTHING),
        mask,
        np.moveaxis(np.where(mask, unit(centre[7:10]), NOTHING), 0, -1),
        albedo,
        scene.view.astype(np.float32),
        scene.light.astype(np.float32),
        corners[0, model.landmarks].numpy(),
    )


def _sampled(
    model: FaceModel,
    corners: Float[torch.Tensor, "1 v 3"],
    attributes: Float[np.ndarray, "v c"],
    front: Bool[torch.Tensor, "t"],
    size: int,
) -> tuple[Integer[np.ndarray, "n n"], Float[np.ndarray, "n n c"]]:
    """The triangle that each sample sees, -1 where none, and the attributes there; n = 2 size + 1.

    Triangles that turn their back are inside the head: they are left out. Sample 1 is the first pixel's centre.
    """
    outer = np.flatnonzero(front.numpy())
    triangles = torch.from_numpy(model.triangles[outer])
    fine = corners * torch.tensor([2.0, 2.0, 1.0]) + torch.tensor([0.5, 0.5, 0.0])
    seen = visible_triangles(fine, triangles, 2 * size + 1, 2 * size + 1)
    values = interpolated(fine, triangles, seen, torch.from_numpy(attributes)[None])
    return np.append(outer, -1)[seen[0].numpy()], values[0].numpy()


def _colour(
    scene: Scene,
    hit: Integer[np.ndarray, "k"],
    part: Integer[np.ndarray, "k"],
    values: Float[np.ndarray, "11 k"],
    size: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The picture and its albedo from the samples that hit the head. Albedo is 0 where no sample in reach does."""
    albedo = paint(values[:3], values[3:6], values[6], part, scene.look)
    light = scene.light.astype(np.float32)
    shading = light[0] + light[1] * np.maximum(light[2:] @ unit(values[7:10]), 0)
    layers = np.zeros((7, (2 * size + 1) ** 2), np.float32)
    layers[:3, hit], layers[3:6, hit], layers[6, hit] = np.minimum(albedo * shading, 1), albedo, 1
    pooled = tent(tent(layers.reshape(7, 2 * size + 1, -1)).swapaxes(1, 2)).swapaxes(1, 2)
    opacity = pooled[6]
    rgb = pooled[:3] + (1 - opacity) * background(scene.background, size)
    return as_bytes(rgb), as_bytes(pooled[3:6] / np.maximum(opacity, np.float32(1e-6)))
