"""Heads as pictures with their truth: shape, pose, light and colours drawn at random, then rendered."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import vertex_normals
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.kernels.visible_triangles import visible_triangles
from unflat.worlds.face_model import FaceModel, face_model
from unflat.worlds.face_paint import Look, hair_field, hair_offset, paint, random_look, smooth_colours

FIELD_OF_VIEW = math.radians(10)
DISTANCE = 1.0
FRAME = 23.5
"""cm of the head's plane that the picture is wide"""
PIVOT = (0.0, 3.0, 5.0)
"""the place of the rest head (cm) that stands at (0, 0, 1) and about which heads turn"""
SCALE = 2 * math.tan(FIELD_OF_VIEW / 2) * DISTANCE / FRAME

IDENTITY_DAMPING = 0.85
"""identity weights are N(0, 1) times this: at 1 one head in ten looks like a caricature"""
YAW, PITCH, ROLL, TILT = (math.radians(angle) for angle in (45, 25, 15, 45))
"""limits"""
PITCH_SPREAD, ROLL_SPREAD, SHIFT_SPREAD = math.radians(10), math.radians(6), 0.0015
SAMPLES = 2
"""colour is averaged over this number of samples a side"""


@dataclass(frozen=True)
class Scene:
    """All that was drawn at random for one picture."""

    identity: Float[np.ndarray, "i"]
    expression: Float[np.ndarray, "e"]
    view: Float[np.ndarray, "6"]
    light: Float[np.ndarray, "5"]
    look: Look
    background: Float[np.ndarray, "5 6"]
    """colour (3), then frequency (2) and phase of each wave; the first row is the mean"""


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
    colour = rng.uniform(0.05, 0.95) + rng.normal(0, 0.12, 3)
    waves = np.concatenate(
        [rng.normal(0, 0.09, (4, 1)) + rng.normal(0, 0.05, (4, 3)), rng.normal(0, 5, (4, 2)), rng.uniform(0, 2 * np.pi, (4, 1))], 1
    )
    return Scene(
        identity=IDENTITY_DAMPING * rng.standard_normal(len(model.identity)),
        expression=_random_expression(rng, model.expression_names),
        view=_random_view(rng),
        light=_random_light(rng),
        look=random_look(rng),
        background=np.concatenate([[[*np.clip(colour, 0, 1), 0, 0, 0]], waves]),
    )


def _random_expression(rng: np.random.Generator, names: tuple[str, ...]) -> np.ndarray:
    """Sparse: each movement is made by about one head in seven, with a weight U(0, 0.5), mostly on both sides alike."""
    stems = list(dict.fromkeys(name.removesuffix("_L").removesuffix("_R") for name in names))
    moved = {stem: (rng.random() < 0.14) * rng.uniform(0, 0.5) for stem in stems}
    sides = rng.uniform(0.75, 1.0, len(names))
    return np.array([moved[name.removesuffix("_L").removesuffix("_R")] for name in names]) * sides


def _truncated(rng: np.random.Generator, spread: float, limit: float) -> float:
    """N(0, spread), drawn again until it is within the limit."""
    while abs(value := rng.normal(0, spread)) > limit:
        pass
    return float(value)


def _random_view(rng: np.random.Generator) -> np.ndarray:
    pitch, roll = _truncated(rng, PITCH_SPREAD, PITCH), _truncated(rng, ROLL_SPREAD, ROLL)
    return np.array([pitch, rng.uniform(-YAW, YAW), roll, *rng.normal(0, SHIFT_SPREAD, 2), 0.0])


def _random_light(rng: np.random.Generator) -> np.ndarray:
    """Ambient U(0.2, 0.7); a head on which the light falls squarely is lit U(0.9, 1.1) in all; direction uniform on
    the disc of tilts up to 45 degrees about the direction towards the camera."""
    ambient = rng.uniform(0.2, 0.7)
    tilt, turn = TILT * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
    direction = (math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), -math.cos(tilt))
    return np.array([ambient, rng.uniform(0.9, 1.1) - ambient, *direction])


@cache
def _modes() -> Float[torch.Tensor, "m c"]:
    """Mean, identity and expression offsets, one row each, in cm."""
    model = face_model()
    return torch.from_numpy(np.concatenate([model.mean[None], model.identity, model.expression]).reshape(-1, model.mean.size))


def render(scenes: list[Scene], size: int) -> Shots:
    """Pictures of the scenes, `size` pixels a side."""
    model = face_model()
    weights = torch.tensor(np.array([[1, *scene.identity, *scene.expression] for scene in scenes]), dtype=torch.float32)
    shapes = (weights @ _modes()).view(len(scenes), -1, 3)
    fields = np.stack([hair_field(model, scene.look) for scene in scenes])
    offsets = np.stack([hair_offset(model, field, scene.look) for field, scene in zip(fields, scenes, strict=True)])
    canonical = to_canonical(shapes + torch.from_numpy(offsets))
    views = torch.tensor(np.array([scene.view for scene in scenes]), dtype=torch.float32)
    view_from_canonical = Rigid.about(torch.tensor([0.0, 0.0, DISTANCE]), rotation_from_euler(views[:, :3]), views[:, 3:])
    vertices = view_from_canonical.apply(canonical)
    triangles = torch.from_numpy(model.triangles)
    normals = vertex_normals(vertices, triangles).numpy()
    camera = Pinhole.across_centres(size, FIELD_OF_VIEW)
    corners = torch.cat([camera.project(vertices), vertices[..., 2:]], -1)
    fine = corners * torch.tensor([SAMPLES, SAMPLES, 1.0])
    coarse_seen = visible_triangles(corners, triangles, size, size).numpy()
    fine_seen = visible_triangles(fine, triangles, size * SAMPLES, size * SAMPLES).numpy()
    shots = [
        _shot(model, scene, field, normal, corner, seen, fine_corner, fine_see)
        for scene, field, normal, corner, seen, fine_corner, fine_see in zip(
            scenes, fields, normals, corners.numpy(), coarse_seen, fine.numpy(), fine_seen, strict=True
        )
    ]
    return Shots(*(np.stack(parts) for parts in zip(*shots, strict=True)))


def to_canonical(rest: Float[torch.Tensor, "b v 3"]) -> Float[torch.Tensor, "b v 3"]:
    """From the head's own frame (cm, y up, towards the viewer) to the camera's, facing it at distance 1."""
    return (rest - torch.tensor(PIVOT)) * torch.tensor([SCALE, -SCALE, -SCALE]) + torch.tensor([0.0, 0.0, DISTANCE])


def _shot(model, scene, field, normals, corners, seen, fine_corners, fine_seen):
    size = len(seen)
    mask = seen >= 0
    # at the pixels' centres
    index, weights, z = _weights(corners, model.triangles, seen, mask)
    depth = np.full(seen.shape, np.nan, np.float32)
    depth[mask] = z
    normal_map = np.full((*seen.shape, 3), np.nan, np.float32)
    n = (weights[..., None] * normals[index]).sum(1)
    normal_map[mask] = n / np.linalg.norm(n, axis=1, keepdims=True)
    # colour
    fine_mask = fine_seen >= 0
    index, weights, _ = _weights(fine_corners, model.triangles, fine_seen, fine_mask)
    channels = np.concatenate([model.mean, smooth_colours(model, scene.look), field[:, None], normals], 1)
    values = (weights[..., None] * channels[index]).sum(1)
    albedo = paint(values[:, :3], values[:, 3:6], values[:, 6], model.part[fine_seen[fine_mask]], scene.look)
    n = values[:, 7:] / np.linalg.norm(values[:, 7:], axis=1, keepdims=True)
    ambient, diffuse, *direction = scene.light
    shading = ambient + diffuse * np.maximum(n @ np.array(direction, np.float32), 0)
    layers = np.zeros((*fine_seen.shape, 7), np.float32)
    layers[fine_mask] = np.concatenate([np.clip(albedo * shading[:, None], 0, 1), albedo, np.ones((len(albedo), 1))], 1)
    pooled = layers.reshape(size, SAMPLES, size, SAMPLES, 7).mean((1, 3))
    opacity = pooled[..., 6:]
    rgb = pooled[..., :3] + (1 - opacity) * background(scene.background, size)
    flat = pooled[..., 3:6] / np.maximum(opacity, 1e-6)
    u, v, z = corners[model.landmarks].T
    return (
        _bytes(rgb), depth, mask, normal_map, _bytes(flat),
        scene.view.astype(np.float32), scene.light.astype(np.float32), np.stack([u, v, z], 1),
    )


def _weights(corners, triangles, seen, mask):
    row, column = np.nonzero(mask)
    index = triangles[seen[row, column]]
    p = np.stack([column, row], 1).astype(np.float32) + 0.5
    a, b, c = (corners[index[:, k]] for k in range(3))
    def area(p, q, r):
        return (q[:, 0] - p[:, 0]) * (r[:, 1] - p[:, 1]) - (q[:, 1] - p[:, 1]) * (r[:, 0] - p[:, 0])
    screen = np.stack([area(p, b, c), area(p, c, a), area(p, a, b)], 1)
    over = screen / np.stack([a[:, 2], b[:, 2], c[:, 2]], 1)
    total = over.sum(1)
    return index, over / total[:, None], screen.sum(1) / total


def background(waves: Float[np.ndarray, "5 6"], size: int) -> Float[np.ndarray, "h w 3"]:
    """A smooth picture: a mean colour and four slow waves."""
    at = (np.arange(size, dtype=np.float32) + 0.5) / size
    colour = np.broadcast_to(waves[0, :3].astype(np.float32), (size, size, 3)).copy()
    for wave in waves[1:].astype(np.float32):
        colour += np.sin(at[None, :] * wave[3] + at[:, None] * wave[4] + wave[5])[..., None] * wave[:3]
    return np.clip(colour, 0, 1)


def _bytes(colour: np.ndarray) -> np.ndarray:
    return np.round(np.clip(colour, 0, 1) * 255).astype(np.uint8)
