"""Heads of invented animals as pictures with their truth: shape, pose, light and colours drawn at random, rendered.

Samples are taken at the pixels' centres and half-way between them. Depth, mask, normals and `asymmetric` are those at
the centres; a pixel's colour is an average of the nine samples in and around it, as in the faces' world.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float

from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.worlds.animal_paint import Coat, Mark, paint, random_coat, random_mark
from unflat.worlds.animal_shape import MIRROR, Head, random_head, to_head
from unflat.worlds.relatives import Relative
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
)

CENTRE = np.array([0.0, 0.0, DISTANCE])
DIFFERENT = 0.05
"""colours that differ by more in one of red, green and blue are not the same: 13 of 255"""
FRONT = 32
"""samples across the frontal view in which the size of a mark is measured"""


@dataclass(frozen=True)
class AnimalScene:
    """All that was drawn at random for one picture."""

    head: Head
    coat: Coat
    view: Float[np.ndarray, "6"]
    """as in `Photos`"""
    light: Float[np.ndarray, "5"]
    """as in `Photos`"""
    background: Float[np.ndarray, "5 6"]
    """as `random_background` gives it"""
    mark: Mark | None = None


def random_animal(rng: np.random.Generator, marked: bool, breed: int | None = None) -> AnimalScene:
    """An animal, its pose, its light and what is behind it. With a mark, it is the same but for the mark.

    All of a `breed`, which is a number, have the same features, and measures that are alike.
    """
    own = rng if breed is None else Relative(rng, np.random.default_rng(breed))
    scene = AnimalScene(random_head(own), random_coat(own), random_view(rng), random_light(rng), random_background(rng))
    if not marked:
        return scene
    _, points, _ = _seen(scene.head, np.zeros(6), _grid(FRONT, 1))
    front = to_head(points)
    mark = random_mark(rng, front, paint(front, scene.head, scene.coat))
    return AnimalScene(scene.head, scene.coat, scene.view, scene.light, scene.background, mark)


def render_animal(scene: AnimalScene, size: int) -> dict[str, np.ndarray]:
    """A picture of `size` pixels a side with its truth: fields of `Photos`; `asymmetric` if the scene has a mark."""
    layers, points, at_centre = _layers(scene, size)
    pooled = tent(tent(layers[:7]).swapaxes(1, 2)).swapaxes(1, 2)
    opacity, centre = pooled[6], layers[6:, 1::2, 1::2]
    mask = centre[0] > 0
    truth = {
        "rgb": as_bytes(pooled[:3] + (1 - opacity) * background(scene.background, size)),
        "depth": np.where(mask, centre[4], NOTHING),
        "mask": mask,
        "normals": np.moveaxis(np.where(mask, centre[1:4], NOTHING), 0, -1),
        "albedo": as_bytes(pooled[3:6] / np.maximum(opacity, np.float32(1e-6))),
        "view": scene.view.astype(np.float32),
        "light": scene.light.astype(np.float32),
    }
    if scene.mark is not None:
        truth["asymmetric"] = np.zeros_like(mask)
        truth["asymmetric"][mask] = differs_from_mirror(scene, points[:, at_centre])
    return truth


def _layers(
    scene: AnimalScene, size: int
) -> tuple[Float[np.ndarray, "11 n n"], Float[np.ndarray, "3 k"], Bool[np.ndarray, "k"]]:
    """Samples of a picture, n = 2 size + 1: colour (3), albedo (3), 1 on the object, normal (3) and depth, all 0 beside
    it; the points of the head, in its own frame, that samples see; and which of those are at a pixel's centre."""
    samples = 2 * size + 1
    hit, points, depth = _seen(scene.head, scene.view, _grid(size, 2))
    own = to_head(points).astype(np.float32)
    normals = rotation_of(scene.view).astype(np.float32) @ scene.head.ellipsoids.normals(points)
    albedo, light = paint(own, scene.head, scene.coat, scene.mark), scene.light.astype(np.float32)
    layers = np.zeros((11, samples * samples), np.float32)
    layers[:3, hit] = np.minimum(albedo * (light[0] + light[1] * np.maximum(light[2:] @ normals, 0)), 1)
    layers[3:6, hit], layers[6, hit], layers[7:10, hit], layers[10, hit] = albedo, 1, normals, depth
    at_centre = (hit // samples % 2 == 1) & (hit % samples % 2 == 1)
    return layers.reshape(11, samples, samples), own, at_centre


def differs_from_mirror(scene: AnimalScene, points: Float[np.ndarray, "3 n"]) -> np.ndarray:
    """Whether an animal has another colour at points of its surface (in its own frame) than at their mirror images."""
    here, there = (paint(at, scene.head, scene.coat, scene.mark) for at in (points, points * MIRROR[:, None]))
    return np.abs(here - there).max(0) > DIFFERENT


def rotation_of(view: Float[np.ndarray, "6"]) -> Float[np.ndarray, "3 3"]:
    """The turn of a view, from the head's frame to the camera's."""
    return rotation_from_euler(torch.from_numpy(view[:3])).numpy()


def _grid(size: int, fineness: int) -> Float[np.ndarray, "2 n"]:
    """x and y of the rays at the pixels' centres, and with a fineness of 2 half-way between and around them as well."""
    camera = Pinhole.across_centres(size, FIELD_OF_VIEW)
    count = size if fineness == 1 else 2 * size + 1
    at = (np.arange(count) - (count - 1) / 2) / (fineness * camera.fx)
    return np.stack([np.tile(at, count), np.repeat(at, count)])


def _seen(
    head: Head, view: Float[np.ndarray, "6"], rays: Float[np.ndarray, "2 n"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Which rays meet a head [k], where, in the canonical frame [3, k], and at what depth [k]."""
    view_from_canonical = Rigid.about(
        torch.from_numpy(CENTRE), rotation_from_euler(torch.from_numpy(view[:3])), torch.from_numpy(view[3:])
    )
    back = view_from_canonical.inverse
    direction = back.rotation.numpy()
    base = direction + np.outer(back.translation.numpy(), [0.0, 0.0, 1.0])
    s = head.ellipsoids.hits(rays, base, direction)
    hit = np.flatnonzero(np.isfinite(s))
    ahead = np.concatenate([rays[:, hit], np.ones((1, len(hit)))])
    return hit, base @ ahead + (direction @ ahead) * s[hit], 1 + s[hit]
