"""The colours of a head: skin, lips, brows, eyes, hair, beard, moles, clothes, drawn at random and painted in code.

Smooth colour (skin tone, blush, stubble, low-frequency variation) is painted on the vertices, everything with an edge
(lips, brows, hair line, iris ...) at the very points that pixels see. All places are those of the rest face, in cm.
Colours are as displayed, in [0, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from unflat.worlds.face_model import EYE_LEFT, EYE_RIGHT, MOUTH, SOCKET, TEETH, FaceModel

SKIN_TONES = np.array([(0.95, 0.80, 0.72), (0.90, 0.71, 0.60), (0.78, 0.58, 0.45), (0.60, 0.41, 0.30), (0.40, 0.26, 0.19)])
HAIR_TONES = np.array(
    [(0.07, 0.06, 0.06), (0.17, 0.11, 0.08), (0.30, 0.19, 0.12), (0.45, 0.31, 0.19), (0.72, 0.56, 0.35), (0.52, 0.25, 0.11), (0.62, 0.61, 0.60)]
)  # fmt: skip
IRIS_TONES = np.array([(0.22, 0.12, 0.06), (0.30, 0.18, 0.08), (0.38, 0.33, 0.17), (0.30, 0.42, 0.32), (0.35, 0.48, 0.60), (0.42, 0.47, 0.50)])

# Curves on the rest face: (|x|, y) in cm.
LIP_TOP = np.array([(0.0, -2.84), (0.5, -2.70), (1.0, -2.82), (1.5, -3.03), (2.1, -3.36), (2.45, -3.56)])
LIP_LINE = np.array([(0.0, -3.36), (0.5, -3.32), (1.0, -3.33), (2.0, -3.46), (2.45, -3.54)])
LIP_BOTTOM = np.array([(0.0, -4.36), (0.75, -4.28), (1.5, -4.02), (2.1, -3.70), (2.45, -3.52)])
BROW = np.array([(0.9, 4.62), (2.0, 5.02), (3.2, 5.30), (4.3, 5.22), (5.4, 4.62)])
LID_TOP = np.array([(1.70, 3.28), (2.2, 3.72), (2.75, 3.96), (3.3, 4.04), (3.85, 3.95), (4.3, 3.68), (4.64, 3.40)])
LID_BOTTOM = np.array([(1.70, 3.28), (2.2, 3.12), (2.75, 3.01), (3.3, 2.98), (3.85, 3.06), (4.3, 3.22), (4.64, 3.40)])
EYE = (3.12, 3.60)
IRIS_RADIUS = 0.60
MOUTH_COLOUR, TEETH_COLOUR, SCLERA = (0.20, 0.07, 0.07), (0.86, 0.83, 0.76), (0.90, 0.88, 0.86)


@dataclass(frozen=True)
class Look:
    """What one head looks like, apart from its shape."""

    skin: Float[np.ndarray, "3"]
    lips: Float[np.ndarray, "3"]
    hair: Float[np.ndarray, "3"]
    brows: Float[np.ndarray, "3"]
    iris: Float[np.ndarray, "3"]
    clothes: Float[np.ndarray, "3"]
    pupil: float
    """radius in cm"""
    brow_thickness: float
    """cm"""
    brow_lift: Float[np.ndarray, "2"]
    """cm, of the person's right and left brow"""
    brow_strength: float
    lash_strength: float
    blush: float
    beard: float
    """0 shaven, 0.3 stubble, 0.9 full"""
    hair_thickness: float
    """cm; 0 is a shaven or bald head"""
    hair_strength: float
    hair_line: Float[np.ndarray, "4"]
    """how far the line moves down (cm): everywhere, per cm to the person's left, at the forehead, at the temples"""
    hair_length: float
    """how far down hair falls at the sides and back, as a y on the rest head (cm)"""
    strands: Float[np.ndarray, "2 3"]
    """waves per cm of the hair's texture"""
    neckline: float
    waves: Float[np.ndarray, "6 4"]
    """(frequency, phase) of the low-frequency variation of the skin"""
    wave_colours: Float[np.ndarray, "6 3"]
    moles: Float[np.ndarray, "k 4"]
    """x, y, radius, strength"""


def random_look(rng: np.random.Generator) -> Look:
    """A look drawn at random. Tone of hair goes with tone of skin."""
    melanin = rng.beta(1.1, 1.4)
    skin = _along(SKIN_TONES, melanin) * np.exp(rng.normal(0, 0.03, 3))
    hair = HAIR_TONES[rng.choice(7, p=_hair_odds(melanin))] * rng.uniform(0.75, 1.25) * np.exp(rng.normal(0, 0.05, 3))
    long_hair = rng.random() < 0.45
    rouge = rng.uniform(0, 1) ** 2 * (0.9 if long_hair else 0.15)
    natural = skin * np.array([0.86, 0.62, 0.62])
    lips = (1 - rouge) * natural + rouge * np.array([0.65, 0.12, 0.18]) * rng.uniform(0.7, 1.2)
    beard = 0.0 if long_hair else float(rng.choice([0, 0.15, 0.35, 0.85], p=[0.5, 0.2, 0.15, 0.15])) * rng.uniform(0.7, 1)
    bald = not long_hair and rng.random() < 0.08
    iris = IRIS_TONES[rng.choice(6) if melanin < 0.45 else rng.choice(2)]
    return Look(
        skin=skin,
        lips=lips,
        hair=hair,
        brows=np.minimum(hair * rng.uniform(0.5, 0.9), 0.7 * skin),
        iris=iris * rng.uniform(0.8, 1.2),
        clothes=rng.uniform(0.05, 0.9, 3),
        pupil=rng.uniform(0.16, 0.3),
        brow_thickness=rng.uniform(0.3, 0.62) * (0.8 if long_hair else 1.0),
        brow_lift=rng.normal(0, 0.12) + rng.normal(0, 0.06, 2),
        brow_strength=rng.uniform(0.55, 0.95),
        lash_strength=rng.uniform(0.35, 0.7) + (0.25 if long_hair else 0.0),
        blush=rng.uniform(0, 0.16),
        beard=beard,
        hair_thickness=0.0 if bald else rng.uniform(0.4, 1.8),
        hair_strength=rng.uniform(0.0, 0.5) if bald else 1.0,
        hair_line=np.array([rng.normal(0, 0.35), rng.normal(0, 0.22), rng.normal(0.3, 0.9), rng.normal(0, 0.5)]),
        hair_length=rng.uniform(-12, -2) if long_hair else 20.0,
        strands=rng.normal(0, 1, (2, 3)) * np.array([4.0, 1.2, 4.0]),
        neckline=rng.uniform(-14, -11),
        waves=np.concatenate([rng.normal(0, 0.35, (6, 3)), rng.uniform(0, 2 * np.pi, (6, 1))], 1),
        wave_colours=rng.normal(0, 0.018, (6, 1)) + rng.normal(0, 0.007, (6, 3)),
        moles=_random_moles(rng),
    )


def _along(table: np.ndarray, place: float) -> np.ndarray:
    """A colour between those of a table, place in [0, 1]."""
    return np.array([np.interp(place * (len(table) - 1), np.arange(len(table)), channel) for channel in table.T])


def _hair_odds(melanin: float) -> np.ndarray:
    fair = np.array([0.10, 0.2, 0.22, 0.16, 0.14, 0.06, 0.12])
    dark = np.array([0.62, 0.24, 0.04, 0.0, 0.0, 0.0, 0.10])
    share = np.clip((melanin - 0.25) / 0.35, 0, 1)
    odds = (1 - share) * fair + share * dark
    return odds / odds.sum()


def _random_moles(rng: np.random.Generator) -> np.ndarray:
    count = rng.choice(4, p=[0.4, 0.3, 0.2, 0.1])
    x, y = rng.uniform(-6, 6, count), rng.uniform(-6, 8, count)
    return np.stack([x, y, rng.uniform(0.12, 0.3, count), rng.uniform(0.3, 0.8, count)], 1)


def smooth_colours(model: FaceModel, look: Look) -> Float[np.ndarray, "v 3"]:
    """What needs no sharp edges, on the vertices: skin with its variation, blush, shaded hollows, beard."""
    x, y, z = model.mean.T
    side = np.abs(x)
    phase = model.mean @ look.waves[:, :3].T.astype(np.float32) + look.waves[:, 3].astype(np.float32)
    colour = look.skin + np.sin(phase) @ look.wave_colours
    front = np.clip((z - 4) / 3, 0, 1)
    cheeks = front * np.exp(-((side - 4.2) ** 2 / 3.5 + (y + 0.3) ** 2 / 3.5))
    nose = front * np.exp(-(side**2 / 1.5 + (y - 0.3) ** 2 / 1.2)) * 0.6
    red = (look.blush * (cheeks + nose + 0.5 * model.ear))[:, None]
    colour = colour * (1 - red * np.array([0.1, 1.0, 0.8]))
    hollow = 0.16 * front * np.exp(-((side - 3.1) ** 2 / 2.2 + (y - 2.5) ** 2 / 0.25))  # under the eyes
    hollow += 0.10 * front * np.exp(-((side - 3.0) ** 2 / 3.0 + (y - 4.4) ** 2 / 0.2))  # above them
    hollow += 0.20 * np.clip((-8.6 - y) / 1.5, 0, 1) * np.clip((z + 2) / 4, 0, 1)  # under the chin
    colour = colour * (1 - hollow[:, None])
    beard = (look.beard * _beard(x, y, z))[:, None]
    return (colour * (1 - beard) + beard * (0.8 * look.hair + 0.1 * look.skin)).astype(np.float32)


def _beard(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Where a beard grows, in [0, 1]: jaw and chin, upper lip, not the lips themselves."""
    side = np.abs(x)
    cheek = np.interp(side, [0, 2.6, 4, 6, 7.5], [-4.6, -3.4, -3.2, -1.5, 1.5])
    jaw = np.clip((cheek - y) / 0.9, 0, 1) * np.clip((y + 10) / 1.2, 0, 1) * np.clip((z - 1) / 1.5, 0, 1)
    upper = np.clip((-1.25 - y) / 0.5, 0, 1) * np.clip((3.1 - side) / 0.7, 0, 1) * np.clip((y + 5.5) / 0.5, 0, 1) * (z > 7)
    return np.maximum(jaw, 0.9 * upper)


def hair_field(model: FaceModel, look: Look) -> Float[np.ndarray, "v"]:
    """Signed distance to this head's own hair line in cm, on the vertices; positive where hair grows."""
    x, y, z = model.mean.T
    down, tilt, fringe, temple = look.hair_line
    front = np.clip((z - 4) / 3, 0, 1)
    moved = down + front * (tilt * np.clip(x, -6, 6) + fringe) + temple * np.exp(-((z - 3) ** 2) / 3)
    field = model.hair + np.clip(moved, -1.5, 2.5)
    falls = np.minimum((2.0 - z) / 1.0, (y - look.hair_length) / 1.2)  # behind the cheeks, down to its length
    falls = np.where(model.hair > -17.9, np.minimum(falls, 3), -6)
    return np.maximum(field, np.clip(falls, -6, 3)).astype(np.float32)


def paint(
    place: Float[np.ndarray, "k 3"],
    smooth: Float[np.ndarray, "k 3"],
    hair: Float[np.ndarray, "k"],
    part: Int[np.ndarray, "k"],
    look: Look,
) -> Float[np.ndarray, "k 3"]:
    """Albedo at points of a head, from their place on the rest face, their smooth colour, hair field and part."""
    albedo = smooth.copy()
    x, y, z = place.T
    side = np.abs(x)
    features = np.flatnonzero((z > 6.0) & (side < 5.6) & (y > -4.8) & (y < 6.2) & (part <= SOCKET))
    _paint_features(albedo, features, x[features], side[features], y[features], look)
    for mole_x, mole_y, radius, strength in look.moles:
        near = np.flatnonzero((np.abs(x - mole_x) < radius) & (np.abs(y - mole_y) < radius) & (z > 2))
        inside = np.clip(1.6 * (1 - np.hypot(x[near] - mole_x, y[near] - mole_y) / radius), 0, 1)
        _blend(albedo, near, 0.35 * look.skin, strength * inside)
    _paint_hair(albedo, np.flatnonzero(hair > -0.5), place, hair, look)
    dressed = np.flatnonzero(y + 0.25 * z < look.neckline + 1.2)
    _blend(albedo, dressed, look.clothes, np.clip((look.neckline + 1.2 - y[dressed] - 0.25 * z[dressed]) / 0.3, 0, 1))
    for number, colour in ((MOUTH, MOUTH_COLOUR), (TEETH, TEETH_COLOUR)):
        albedo[part == number] = colour
    eyes = np.flatnonzero((part == EYE_LEFT) | (part == EYE_RIGHT))
    albedo[eyes] = _eye_colours(side[eyes], y[eyes], look)
    return np.clip(albedo, 0.02, 1.0)


def _blend(albedo: np.ndarray, where: np.ndarray, colour: np.ndarray | Sequence[float], strength: np.ndarray) -> None:
    """Mix a colour into some points."""
    albedo[where] += strength[:, None] * (np.asarray(colour, np.float32) - albedo[where])


def _band(value: np.ndarray, half_width: float | np.ndarray, soft: float) -> np.ndarray:
    """1 where |value| is under half_width, with edges `soft` cm wide."""
    return np.clip((half_width - np.abs(value)) / soft + 0.5, 0, 1)


def _paint_features(
    albedo: np.ndarray, where: np.ndarray, x: np.ndarray, side: np.ndarray, y: np.ndarray, look: Look
) -> None:
    """Brows, lips, lashes and nostrils at the points `where`, whose places are given."""
    lift = np.where(x < 0, *look.brow_lift)
    along = (side - BROW[0, 0]) / (BROW[-1, 0] - BROW[0, 0])
    thickness = look.brow_thickness * np.interp(along, [0, 0.12, 0.4, 0.75, 1.0], [0.5, 0.95, 1.0, 0.65, 0.15])
    brow = _band(y - np.interp(side, *BROW.T) - lift, thickness / 2, 0.16) * _band(along - 0.5, 0.5, 0.08)
    _blend(albedo, where, look.brows, look.brow_strength * brow)
    top, line, bottom = (np.interp(side, *curve.T) for curve in (LIP_TOP, LIP_LINE, LIP_BOTTOM))
    lips = np.clip(np.minimum(top - y, y - bottom) / 0.14 + 0.5, 0, 1) * np.clip((2.5 - side) / 0.15, 0, 1)
    _blend(albedo, where, look.lips, 0.85 * lips)
    seam = np.clip(1 - np.abs(y - line) / 0.13, 0, 1) * np.clip((2.45 - side) / 0.2, 0, 1)
    _blend(albedo, where, 0.35 * look.lips, 0.75 * seam)
    between = np.clip((side - 1.6) / 0.15, 0, 1) * np.clip((4.85 - side) / 0.15, 0, 1)
    above, below = y - np.interp(side, *LID_TOP.T), y - np.interp(side, *LID_BOTTOM.T)
    lashes = np.maximum(_band(above - 0.03, 0.09, 0.1), 0.45 * _band(below + 0.02, 0.05, 0.08)) * between
    _blend(albedo, where, (0.08, 0.05, 0.04), look.lash_strength * lashes)
    crease = np.clip(1 - np.abs(above - 0.42) / 0.15, 0, 1) * between
    _blend(albedo, where, 0.6 * look.skin, 0.35 * crease)
    nostrils = np.clip(1.5 * (1 - np.hypot((side - 0.85) / 0.5, (y + 0.62) / 0.28)), 0, 1)
    _blend(albedo, where, 0.3 * look.skin, 0.85 * nostrils)


def _paint_hair(albedo: np.ndarray, where: np.ndarray, place: np.ndarray, hair: np.ndarray, look: Look) -> None:
    first, second = (place[where] @ wave.astype(np.float32) for wave in look.strands)
    tone = 1 + 0.16 * np.sin(first + np.sin(second)) + 0.10 * np.sin(2.7 * second)
    ragged = hair[where] + 0.25 * np.sin(1.7 * first) * np.sin(second)
    strength = look.hair_strength * np.clip(ragged / 0.7 + 0.5, 0, 1)
    albedo[where] += strength[:, None] * (look.hair * tone[:, None] - albedo[where])


def _eye_colours(side: np.ndarray, y: np.ndarray, look: Look) -> np.ndarray:
    """White of the eye, iris with its dark rim, pupil; the upper lid's shadow is painted in."""
    radius = np.hypot(side - EYE[0], y - EYE[1])
    colour = np.broadcast_to(np.array(SCLERA), (len(side), 3)).copy()
    iris = np.clip((IRIS_RADIUS - radius) / 0.08 + 0.5, 0, 1)[:, None]
    rim = np.clip((radius - 0.78 * IRIS_RADIUS) / 0.15, 0, 1)[:, None]
    colour += iris * (look.iris * (1 - 0.5 * rim) - colour)
    colour += np.clip((look.pupil - radius) / 0.06 + 0.5, 0, 1)[:, None] * (0.03 - colour)
    shadow = np.clip((y - (EYE[1] + 0.05)) / 0.4, 0, 1)[:, None]
    corner = np.clip((np.abs(side - EYE[0]) - 0.7) / 0.8, 0, 1)[:, None]
    return colour * (1 - 0.4 * shadow) * (1 - 0.25 * corner)


def hair_offset(model: FaceModel, field: Float[np.ndarray, "v"], look: Look) -> Float[np.ndarray, "v 3"]:
    """How far hair lifts the surface, cm: along the normals, fading in behind the hair line."""
    rise = np.clip(field / 2.0, 0, 1)
    rise = look.hair_thickness * rise * rise * (3 - 2 * rise)
    low = np.clip((2.0 - model.mean[:, 1]) / 6.0, 0, 1) * (look.hair_length < 10)  # long hair stands off the neck
    outwards = model.normals * np.array([1 + 0.6, 1, 1]) ** low[:, None]
    return (outwards * (rise * (1 + 0.8 * low))[:, None]).astype(np.float32)

