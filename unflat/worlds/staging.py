"""What the worlds of single objects share: the camera, poses, lights and backgrounds drawn at random, smooth edges.

An object stands at distance 1 in front of a camera with a field of view of 10 degrees, is lit by one distant light and
ambient light, and has a smooth picture behind it.
"""

import math

import numpy as np
from jaxtyping import Float

FIELD_OF_VIEW = math.radians(10)
DISTANCE = 1.0
YAW, PITCH, ROLL, TILT = (math.radians(angle) for angle in (45, 25, 15, 45))
"""limits: yaw is uniform within its own, pitch and roll are normal and cut off at theirs"""
PITCH_SPREAD, ROLL_SPREAD = math.radians(10), math.radians(6)
SHIFT_SPREAD = 0.0015
"""sideways and up and down, half a pixel at 64"""
NOTHING = np.float32(np.nan)
"""depth and normal where there is no object"""


def random_view(rng: np.random.Generator) -> Float[np.ndarray, "6"]:
    """As in `Photos`: yaw uniform, pitch and roll crowded around upright, as they are in photos."""
    pitch, roll = _truncated(rng, PITCH_SPREAD, PITCH), _truncated(rng, ROLL_SPREAD, ROLL)
    return np.array([pitch, rng.uniform(-YAW, YAW), roll, *rng.normal(0, SHIFT_SPREAD, 2), 0.0])


def _truncated(rng: np.random.Generator, spread: float, limit: float) -> float:
    """N(0, spread), drawn again until it is within the limit."""
    while abs(value := rng.normal(0, spread)) > limit:
        pass
    return float(value)


def random_light(rng: np.random.Generator) -> Float[np.ndarray, "5"]:
    """Ambient U(0.2, 0.7); what the light falls on squarely is lit U(0.9, 1.1) in all; the direction is uniform on the
    disc of tilts up to 45 degrees away from the camera."""
    ambient = rng.uniform(0.2, 0.7)
    tilt, turn = TILT * math.sqrt(rng.random()), rng.uniform(0, 2 * math.pi)
    direction = (math.sin(tilt) * math.cos(turn), math.sin(tilt) * math.sin(turn), -math.cos(tilt))
    return np.array([ambient, rng.uniform(0.9, 1.1) - ambient, *direction])


def random_background(rng: np.random.Generator) -> Float[np.ndarray, "5 6"]:
    """Colour (3), then waves across and down the picture and a phase; the first row is the mean colour."""
    colour = np.clip(rng.uniform(0.05, 0.95) + rng.normal(0, 0.12, 3), 0, 1)
    colours = rng.normal(0, 0.09, (4, 1)) + rng.normal(0, 0.05, (4, 3))
    waves = np.concatenate([colours, rng.normal(0, 5, (4, 2)), rng.uniform(0, 2 * np.pi, (4, 1))], 1)
    return np.concatenate([[[*colour, 0, 0, 0]], waves])


def tent(samples: Float[np.ndarray, "c n m"]) -> Float[np.ndarray, "c size m"]:
    """Each pixel's centre, and half as much of the samples on both sides of it."""
    return samples[:, 1::2] * np.float32(0.5) + (samples[:, :-1:2] + samples[:, 2::2]) * np.float32(0.25)


def background(waves: Float[np.ndarray, "5 6"], size: int) -> Float[np.ndarray, "3 h w"]:
    """A smooth picture: a mean colour and four slow waves sin(a u + b v + c), u and v in [0, 1]."""
    colours, across, down, phase = np.split(waves.astype(np.float32), [3, 4, 5], 1)
    at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / np.float32(size)
    u, v = at * across, at * down + phase  # [5, size] each; sin(u + v) = sin u cos v + cos u sin v
    rows = np.concatenate([np.cos(v), np.sin(v)]).T
    columns = np.concatenate([np.sin(u), np.cos(u)])
    columns = columns * np.concatenate([colours, colours]).T[:, :, None]
    columns[:, [0, 5]] = 0
    return np.clip(colours[0][:, None, None] + rows @ columns, 0, 1)


def unit(vectors: Float[np.ndarray, "3 *k"]) -> Float[np.ndarray, "3 *k"]:
    """Scaled to length 1; what is shorter than 1e-12 stays short."""
    x, y, z = vectors
    return vectors / np.maximum(np.sqrt(x * x + y * y + z * z), np.float32(1e-12))


def as_bytes(colour: Float[np.ndarray, "3 h w"]) -> np.ndarray:
    """uint8 [h, w, 3]"""
    return np.ascontiguousarray(
        (np.clip(colour, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 0)
    )
