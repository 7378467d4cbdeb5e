"""The colours of an invented animal's head: coat, markings, nose, mouth and eyes, alike on both sides, and marks that
only one side has.

Paint is a function of the place on the head and even in x. Places are in the units of `animal_shape`, colours as
displayed, in [0, 1].
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from unflat.worlds.animal_shape import Head
from unflat.worlds.relatives import Draws

ORANGE, BROWN, CREAM, GREY, RUST = (
    (0.80, 0.52, 0.26),
    (0.62, 0.42, 0.28),
    (0.86, 0.74, 0.56),
    (0.6, 0.6, 0.62),
    (0.74, 0.36, 0.2),
)
FAIR, SLATE, MOSS, ROSE, DUN = (
    (0.90, 0.88, 0.84),
    (0.45, 0.50, 0.60),
    (0.55, 0.62, 0.42),
    (0.78, 0.56, 0.58),
    (0.42, 0.33, 0.28),
)
COATS = np.array([ORANGE, BROWN, CREAM, GREY, RUST, FAIR, SLATE, MOSS, ROSE, DUN])
COAT_ODDS = np.array([0.16, 0.14, 0.14, 0.14, 0.12, 0.08, 0.07, 0.05, 0.05, 0.05])
IRISES = np.array([(0.80, 0.62, 0.15), (0.45, 0.62, 0.25), (0.35, 0.55, 0.75), (0.50, 0.28, 0.10), (0.30, 0.16, 0.08)])
NOSES = np.array([(0.10, 0.09, 0.09), (0.22, 0.14, 0.12), (0.75, 0.45, 0.43)])
MARKS = np.array([(0.95, 0.94, 0.92), (0.12, 0.11, 0.12), (0.72, 0.30, 0.12), (0.92, 0.76, 0.45), (0.35, 0.40, 0.50)])
LOWEST_MARK = 3.0
"""marks are centred on the head, not on the neck, of which pictures show more or less"""
DARK, WHITE = np.array([0.06, 0.05, 0.05], np.float32), np.array([0.97, 0.97, 0.95], np.float32)


@dataclass(frozen=True)
class Coat:
    """What one animal looks like, apart from its shape. Weights are 0 where a feature is missing."""

    base: Float[np.ndarray, "3"]
    light: Float[np.ndarray, "3"]
    """of muzzle, chin and throat"""
    dark: Float[np.ndarray, "3"]
    """of the pattern"""
    inner_ear: Float[np.ndarray, "3"]
    nose: Float[np.ndarray, "3"]
    iris: Float[np.ndarray, "3"]
    bib: float
    """how far the light colour reaches from the muzzle"""
    pattern: Float[np.ndarray, "3"]
    """weights of stripes, spots and blotches"""
    waves: Float[np.ndarray, "4 4"]
    """of blotches and of what bends stripes and spots: x, y, z in radians a unit, and a phase"""
    spacing: float
    """of stripes and spots, radians a unit"""
    slant: float
    """by which stripes climb outwards"""
    eye_patch: Float[np.ndarray, "4"]
    """around the eye: weight (negative: light), half-width, half-height, slope"""
    blaze: Float[np.ndarray, "2"]
    """down the middle: weight (negative: dark), half-width"""
    ear_tip: float
    fur: Float[np.ndarray, "5 4"]
    """fine waves, like `waves`"""
    fur_strength: float
    pupil: Float[np.ndarray, "2"]
    """half-width and half-height over the eye's radius"""


@dataclass(frozen=True)
class Mark:
    """A patch of another colour on one side of the head."""

    centre: Float[np.ndarray, "3"]
    radius: float
    colour: Float[np.ndarray, "3"]
    waves: Float[np.ndarray, "3 4"]
    """of its outline, like those of `Coat`"""

    def weight(self, points: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "n"]:
        """1 inside, 0 outside, and 0 on the other side of the head."""
        away = points - self.centre.astype(np.float32)[:, None]
        rough = np.sin(self.waves[:, :3] @ points + self.waves[:, 3:]).mean(0)
        reach = np.float32(self.radius) * (1 + np.float32(0.35) * rough) - np.sqrt((away * away).sum(0))
        side = np.float32(np.sign(self.centre[0]))
        return _step(reach, 0.15) * _step(side * points[0] - np.float32(0.15), 0.15)


def random_coat(rng: Draws) -> Coat:
    """Colours and markings drawn at random; nearly all have a pattern."""
    base = np.clip(
        COATS[rng.choice(len(COATS), p=COAT_ODDS)] * rng.uniform(0.85, 1.1) + rng.normal(0, 0.04, 3), 0.25, 1
    )
    kind = rng.choice(4, p=[0.35, 0.25, 0.28, 0.12])
    return Coat(
        base=base,
        light=base + (WHITE - base) * rng.uniform(0.35, 0.85),
        dark=np.clip(base * rng.uniform(0.25, 0.55) + rng.normal(0, 0.02, 3), 0.06, 1),
        inner_ear=base * 0.35 + np.array([0.85, 0.58, 0.52]) * rng.uniform(0.4, 0.65),
        nose=NOSES[rng.choice(3, p=[0.5, 0.25, 0.25])],
        iris=IRISES[rng.choice(5)] * rng.uniform(0.85, 1.15),
        bib=rng.uniform(0.9, 1.9) * float(rng.random() < 0.8),
        pattern=np.eye(4)[kind, :3] * rng.uniform(0.7, 1.0),
        waves=np.concatenate([rng.normal(0, 0.55, (4, 3)), rng.uniform(0, 2 * np.pi, (4, 1))], 1),
        spacing=rng.uniform(2.4, 3.8),
        slant=rng.uniform(-1.2, 0.3),
        eye_patch=np.array(
            [
                rng.choice([0, 0.9, -0.9], p=[0.5, 0.3, 0.2]),
                rng.uniform(1.2, 1.9),
                rng.uniform(1.3, 2.2),
                rng.normal(0, 0.4),
            ]
        ),
        blaze=np.array([rng.choice([0, 0.95, -0.8], p=[0.6, 0.25, 0.15]), rng.uniform(0.35, 0.9)]),
        ear_tip=float(rng.choice([0, 0.9], p=[0.65, 0.35])),
        fur=np.concatenate([rng.normal(0, 3.2, (5, 3)), rng.uniform(0, 2 * np.pi, (5, 1))], 1),
        fur_strength=rng.uniform(0.12, 0.28),
        pupil=np.array([(0.42, 0.42), (0.14, 0.62), (0.5, 0.5)][rng.choice(3)]),
    )


def random_mark(rng: np.random.Generator, front: Float[np.ndarray, "3 n"], coat: Float[np.ndarray, "3 n"]) -> Mark:
    """A patch over U(0.06, 0.14) of the head as it is seen from the front, in the colour that stands out most from it.

    `front` are points evenly spread over that picture, `coat` their colours.
    """
    side = rng.choice([-1.0, 1.0])
    own = np.flatnonzero(side * front[0] > 0.3)
    middle = front[:, rng.choice(np.flatnonzero((side * front[0] > 1.6) & (front[1] < LOWEST_MARK)))]
    distance = np.sqrt(((front[:, own] - middle[:, None]) ** 2).sum(0))
    order = np.argsort(distance)[: max(1, round(rng.uniform(0.06, 0.14) * front.shape[1]))]
    colours = np.clip(MARKS * rng.uniform(0.85, 1.1, (len(MARKS), 1)), 0, 1)
    contrast = np.abs(colours[:, :, None] - coat[None][:, :, own[order]]).max(1)
    waves = np.concatenate([rng.normal(0, 1.0, (3, 3)), rng.uniform(0, 2 * np.pi, (3, 1))], 1).astype(np.float32)
    best = colours[np.argmax(np.quantile(contrast, 0.1, axis=1))]
    return Mark(middle.astype(np.float32), float(distance[order[-1]]), best.astype(np.float32), waves)


def paint(
    points: Float[np.ndarray, "3 n"], head: Head, coat: Coat, mark: Mark | None = None
) -> Float[np.ndarray, "3 n"]:
    """Albedo at points of the surface."""
    folded = points.astype(np.float32)
    folded[0] = np.abs(folded[0])
    colour = np.repeat(coat.base[:, None], points.shape[1], 1).astype(np.float32)
    _paint_coat(colour, folded, head, coat)
    if mark is not None:
        _mix(colour, mark.colour, mark.weight(points.astype(np.float32)))
    fur = _even_waves(coat.fur, folded).mean(0)
    colour *= 1 + np.float32(coat.fur_strength) * fur
    _paint_muzzle(colour, folded, head, coat)
    _paint_eye(colour, folded, head, coat)
    return np.clip(colour, np.float32(0.02), np.float32(1))


def _paint_coat(colour: np.ndarray, at: np.ndarray, head: Head, coat: Coat) -> None:
    """The pattern, the light muzzle, ears, the surroundings of the eye, the blaze."""
    x, y, _ = at
    waves = _even_waves(coat.waves, at)
    to_muzzle = np.sqrt((head.muzzle.local(at) ** 2).sum(0))
    stripes, spots, blotches = coat.pattern
    bend = np.float32(0.8) * waves[0]
    if stripes:
        lines = np.sin(np.float32(coat.spacing) * (y + np.float32(coat.slant) * np.sqrt(x * x + 1)) + bend)
        _mix(colour, coat.dark, np.float32(stripes) * _step(lines - np.float32(0.15), 0.25))
    if spots:
        f = np.float32(0.8 * coat.spacing)
        dots = np.cos(f * (x + np.float32(0.5) * waves[1])) * np.cos(f * (y + np.float32(0.5) * waves[2]))
        _mix(colour, coat.dark, np.float32(spots) * _step(np.abs(dots) - np.float32(0.5), 0.15))
    if blotches:
        _mix(colour, coat.dark, np.float32(blotches) * _step(waves.sum(0) - np.float32(0.4), 0.2))
    if coat.bib:
        _mix(colour, coat.light, _step(np.float32(1 + 0.5 * coat.bib) - to_muzzle, 0.25))
    _paint_ear(colour, at, head, coat)
    weight, wide, high, slope = (np.float32(value) for value in coat.eye_patch)
    if weight:
        u, v = x - np.float32(head.eye.centre[0]), y - np.float32(head.eye.centre[1])
        _mix(
            colour,
            coat.dark if weight > 0 else coat.light,
            abs(weight) * _step(1 - np.sqrt((u / wide) ** 2 + ((v - slope * u) / high) ** 2), 0.12),
        )
    weight, wide = (np.float32(value) for value in coat.blaze)
    if weight:
        down = np.float32(head.nose.centre[1])
        _mix(
            colour,
            coat.light if weight > 0 else coat.dark,
            abs(weight) * _step(wide * (1 - np.float32(0.1) * (y - down)) - x, 0.12) * _step(down - y, 0.3),
        )


def _paint_ear(colour: np.ndarray, at: np.ndarray, head: Head, coat: Coat) -> None:
    u, v, w = head.ear.local(at)
    within = np.sqrt(u * u + v * v)
    near = u * u + v * v + w * w < np.float32(2.2)
    _mix(colour, coat.inner_ear, near * _step(np.float32(0.68) - within, 0.1) * _step(-w, 0.2))
    if coat.ear_tip:
        _mix(colour, coat.dark, np.float32(coat.ear_tip) * near * _step(-v - np.float32(0.45), 0.12))


def _paint_muzzle(colour: np.ndarray, at: np.ndarray, head: Head, coat: Coat) -> None:
    """Mouth and nose."""
    x, y, z = at
    low, wide = head.muzzle.centre[1], np.float32(head.muzzle.radii[0])
    front = _step(np.float32(head.muzzle.centre[2]) - z, 0.2)
    curve = np.float32(low + 0.95) + np.float32(0.35) * np.cos(np.float32(3.0) * x / wide)
    lips = _step(np.float32(0.13) - np.abs(y - curve), 0.06) * _step(wide * np.float32(0.95) - x, 0.1)
    seam = _step(np.float32(0.09) - x, 0.05) * _step(y - np.float32(head.nose.centre[1]), 0.05) * _step(curve - y, 0.05)
    _mix(colour, DARK, np.float32(0.85) * front * np.maximum(lips, seam))
    inside = np.sqrt((head.nose.local(at) ** 2).sum(0))
    _mix(colour, coat.nose, _step(np.float32(1.12) - inside, 0.06))


def _paint_eye(colour: np.ndarray, at: np.ndarray, head: Head, coat: Coat) -> None:
    """Lids, iris, pupil and a glint, about the direction straight ahead and a little outwards."""
    x, y, z = head.eye.local(at)
    across = x - np.float32(0.2)
    _mix(colour, DARK, np.float32(0.85) * _step(np.float32(1.22) - np.sqrt(x * x + y * y + z * z), 0.08))
    globe = _step(np.float32(1.06) - np.sqrt(x * x + y * y + z * z), 0.04)
    _mix(colour, coat.iris, globe * _step(np.float32(0.8) - np.sqrt(across * across + y * y), 0.05))
    wide, high = (np.float32(value) for value in coat.pupil)
    _mix(colour, DARK, globe * _step(1 - np.sqrt((across / wide) ** 2 + (y / high) ** 2), 0.12))
    glint = np.sqrt((across - np.float32(0.22)) ** 2 + (y + np.float32(0.3)) ** 2)
    _mix(colour, WHITE, globe * _step(np.float32(0.17) - glint, 0.05))


def _even_waves(waves: Float[np.ndarray, "k 4"], at: Float[np.ndarray, "3 n"]) -> Float[np.ndarray, "k n"]:
    """cos(a x) cos(b y + c z + phase), which mirroring leaves as they are."""
    a, b, c, phase = (waves[:, i : i + 1].astype(np.float32) for i in range(4))
    return np.cos(a * at[0]) * np.cos(b * at[1] + c * at[2] + phase)


def _step(inside: np.ndarray, edge: float) -> np.ndarray:
    """From 0 to 1 smoothly where `inside` goes from -edge to edge."""
    t = np.clip(inside * np.float32(0.5 / edge) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def _mix(colour: np.ndarray, other: np.ndarray, weight: np.ndarray) -> None:
    """Cover `colour` [3, n] in place by another, as far as its weight [n] says."""
    colour += weight * (other.astype(np.float32)[:, None] - colour)
