"""The colours of a head: skin, lips, brows, eyes, hair, beard, moles, clothes, drawn at random and painted in code.

Smooth colour (skin tone, blush, stubble, low-frequency variation) is painted on the vertices, everything with an edge
(lips, brows, hair line, iris ...) at the very points that pixels see. All places are those of the rest face, in cm.
Colours are as displayed, in [0, 1].
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from jaxtyping import Bool, Float, Integer

from unflat.worlds.face_model import EYE_LEFT, EYE_RIGHT, MOUTH, SKIN, SOCKET, TEETH, face_model

SKIN_TONES = np.array(
    [(0.95, 0.80, 0.72), (0.90, 0.71, 0.60), (0.78, 0.58, 0.45), (0.60, 0.41, 0.30), (0.40, 0.26, 0.19)]
)
"""from fair to dark"""
BLACK, BROWN, CHESTNUT, LIGHT = (0.07, 0.06, 0.06), (0.17, 0.11, 0.08), (0.30, 0.19, 0.12), (0.45, 0.31, 0.19)
BLOND, GINGER, GREY = (0.72, 0.56, 0.35), (0.52, 0.25, 0.11), (0.62, 0.61, 0.60)
HAIR_TONES = np.array([BLACK, BROWN, CHESTNUT, LIGHT, BLOND, GINGER, GREY])
DARK_IRIS, BROWN_IRIS, HAZEL = (0.22, 0.12, 0.06), (0.30, 0.18, 0.08), (0.38, 0.33, 0.17)
GREEN, BLUE, STEEL = (0.30, 0.42, 0.32), (0.35, 0.48, 0.60), (0.42, 0.47, 0.50)
IRIS_TONES = np.array([DARK_IRIS, BROWN_IRIS, HAZEL, GREEN, BLUE, STEEL])

# Curves on the rest face: (|x|, y) in cm.
LIP_TOP = np.array([(0.0, -2.84), (0.5, -2.70), (1.0, -2.82), (1.5, -3.03), (2.1, -3.36), (2.45, -3.56)])
LIP_LINE = np.array([(0.0, -3.36), (0.5, -3.32), (1.0, -3.33), (2.0, -3.46), (2.45, -3.54)])
LIP_BOTTOM = np.array([(0.0, -4.36), (0.75, -4.28), (1.5, -4.02), (2.1, -3.70), (2.45, -3.52)])
BROW = np.array([(0.9, 4.62), (2.0, 5.02), (3.2, 5.30), (4.3, 5.22), (5.4, 4.62)])
LID_TOP = np.array([(1.70, 3.28), (2.2, 3.72), (2.75, 3.96), (3.3, 4.04), (3.85, 3.95), (4.3, 3.68), (4.64, 3.40)])
LID_BOTTOM = np.array([(1.70, 3.28), (2.2, 3.12), (2.75, 3.01), (3.3, 2.98), (3.85, 3.06), (4.3, 3.22), (4.64, 3.40)])
BROW_SHAPE = np.array([(0.8, 0.0), (0.95, 0.5), (1.5, 0.95), (2.7, 1.0), (4.3, 0.65), (5.4, 0.15), (5.5, 0.0)])
"""(|x|, share of the brow's thickness)"""
EYE = (3.12, 3.60)
IRIS_RADIUS = 0.60
SCLERA, PUPIL_COLOUR, LASH_COLOUR = np.array([(0.90, 0.88, 0.86), (0.03, 0.03, 0.03), (0.08, 0.05, 0.04)], np.float32)
MOUTH_COLOUR, TEETH_COLOUR = np.array([(0.20, 0.07, 0.07), (0.86, 0.83, 0.76)], np.float32)


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
    hair = HAIR_TONES[rng.choice(7, p=_hair_odds(melanin))] * rng.uniform(0.75, 1.25) * np.exp(rng.normal(0, 0.03, 3))
    long_hair = rng.random() < 0.45
    rouge = rng.uniform(0, 1) ** 2 * (0.9 if long_hair else 0.15)
    natural = skin * np.array([0.86, 0.62, 0.62])
    lips = (1 - rouge) * natural + rouge * np.array([0.65, 0.12, 0.18]) * rng.uniform(0.7, 1.2)
    grown = float(rng.choice([0, 0.15, 0.35, 0.85], p=[0.5, 0.2, 0.15, 0.15])) * rng.uniform(0.7, 1)
    bald = not long_hair and rng.random() < 0.08
    iris = IRIS_TONES[rng.choice(6) if melanin < 0.45 else rng.choice(2)]
    return Look(
        skin=_single(skin),
        lips=_single(lips),
        hair=_single(hair),
        brows=_single(np.minimum(hair * rng.uniform(0.5, 0.9), 0.7 * skin)),
        iris=_single(iris * rng.uniform(0.8, 1.2)),
        clothes=_single(rng.uniform(0.05, 0.9, 3)),
        pupil=rng.uniform(0.16, 0.3),
        brow_thickness=rng.uniform(0.3, 0.62) * (0.8 if long_hair else 1.0),
        brow_lift=_single(rng.normal(0, 0.12) + rng.normal(0, 0.06, 2)),
        brow_strength=rng.uniform(0.55, 0.95),
        lash_strength=rng.uniform(0.35, 0.7) + (0.25 if long_hair else 0.0),
        blush=rng.uniform(0, 0.16),
        beard=0.0 if long_hair else grown,
        hair_thickness=0.0 if bald else rng.uniform(0.4, 1.8),
        hair_strength=rng.uniform(0.0, 0.5) if bald else 1.0,
        hair_line=_single(rng.normal([0, 0, 0.3, 0], [0.35, 0.22, 0.9, 0.5])),
        hair_length=rng.uniform(-12, -2) if long_hair else 20.0,
        strands=_single(rng.normal(0, [4.0, 1.2, 4.0], (2, 3))),
        neckline=rng.uniform(-14, -11),
        waves=_single(np.concatenate([rng.normal(0, 0.35, (6, 3)), rng.uniform(0, 2 * np.pi, (6, 1))], 1)),
        wave_colours=_single(rng.normal(0, 0.018, (6, 1)) + rng.normal(0, 0.007, (6, 3))),
        moles=_random_moles(rng),
    )


def _single(values: np.ndarray) -> np.ndarray:
    """In single precision, which keeps all of what is painted with it in single precision."""
    return np.asarray(values, np.float32)


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
    return _single(np.stack([x, y, rng.uniform(0.12, 0.3, count), rng.uniform(0.3, 0.8, count)], 1))


@dataclass(frozen=True)
class Ground:
    """What every head's paint has in common, on the vertices of the model."""

    places: Float[np.ndarray, "3 v"]
    """the rest face"""
    red: Float[np.ndarray, "v"]
    """where a blush shows"""
    dark: Float[np.ndarray, "v"]
    """how much darker hollows are"""
    beard: Float[np.ndarray, "v"]
    """where a beard grows"""
    front: Float[np.ndarray, "v"]
    """1 on the face, 0 on the sides and the back of the head"""
    temple: Float[np.ndarray, "v"]
    """1 at the temples"""
    below_ears: Float[np.ndarray, "v"]
    """0 above the ears, 1 on the neck"""
    combed: Float[np.ndarray, "v 3"]
    """the model's normals; on the ears those of the head under them"""
    flat_ears: Float[np.ndarray, "v 3"]
    """what lays the ears on the head, cm"""
    skin: Bool[np.ndarray, "v"]
    """True on skin, False on eyes, in the mouth"""


@cache
def ground() -> Ground:
    """Painted on the model that the package ships."""
    model = face_model()
    x, y, z = model.mean.T
    side, front = np.abs(x), np.clip((z - 4) / 3, 0, 1)
    cheeks = front * np.exp(-((side - 4.2) ** 2 / 3.5 + (y + 0.3) ** 2 / 3.5))
    nose = front * np.exp(-(side**2 / 1.5 + (y - 0.3) ** 2 / 1.2))
    under_eyes = front * np.exp(-((side - 3.1) ** 2 / 2.2 + (y - 2.5) ** 2 / 0.25))
    above_eyes = front * np.exp(-((side - 3.0) ** 2 / 3.0 + (y - 4.4) ** 2 / 0.2))
    under_chin = np.clip((-8.6 - y) / 1.5, 0, 1) * np.clip((z + 2) / 4, 0, 1)
    skin = np.zeros(len(model.mean), bool)
    skin[model.triangles[model.part == SKIN]] = True
    outwards = np.sign(x)[:, None] * np.array([1, 0, 0], np.float32)
    ear = model.ear[:, None]
    return Ground(
        places=np.ascontiguousarray(model.mean.T),
        red=cheeks + 0.6 * nose + 0.5 * model.ear,
        dark=0.16 * under_eyes + 0.10 * above_eyes + 0.20 * under_chin,
        beard=_beard(side, y, z),
        front=front,
        temple=np.exp(-((z - 3) ** 2) / 3),
        below_ears=np.clip((2.0 - y) / 6.0, 0, 1),
        combed=(1 - ear) * model.normals + ear * outwards,
        flat_ears=ear * outwards * np.minimum(6.9 - side, 0)[:, None],
        skin=skin,
    )


def _beard(side: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Where a beard grows, in [0, 1]: jaw, chin and upper lip."""
    cheek = np.interp(side, [0, 2.4, 4, 6, 7.5], [-4.2, -3.6, -2.8, -0.9, 2.0])
    jaw = np.clip((cheek - y) / 1.4, 0, 1) * np.clip((y + 10) / 1.2, 0, 1) * np.clip((z - 1) / 1.5, 0, 1)
    upper = (
        np.clip((-1.2 - y) / 0.7, 0, 1) * np.clip((3.2 - side) / 1.0, 0, 1) * np.clip((y + 5.5) / 1.2, 0, 1) * (z > 7)
    )
    return np.maximum(jaw, 0.75 * upper).astype(np.float32)


def smooth_colours(look: Look) -> Float[np.ndarray, "3 v"]:
    """What needs no sharp edges, on the vertices: skin with its variation, blush, shaded hollows, beard."""
    here = ground()
    phase = look.waves[:, :3] @ here.places + look.waves[:, 3:]
    colour = look.wave_colours.T @ np.sin(phase) + look.skin[:, None]
    colour[1:] *= 1 - np.array([[1.0], [0.8]], np.float32) * np.float32(look.blush) * here.red
    colour *= 1 - here.dark
    if look.beard > 0:
        hairs = np.float32(0.8) * look.hair + np.float32(0.1) * look.skin
        colour = _mixed(colour, hairs, np.float32(look.beard) * here.beard)
    return colour


def hair_field(look: Look) -> Float[np.ndarray, "v"]:
    """Signed distance to this head's own hair line in cm, on the vertices; positive where hair grows."""
    model, here = face_model(), ground()
    x, y, z = model.mean.T
    down, tilt, fringe, temple = look.hair_line
    moved = down + here.front * (tilt * np.clip(x, -6, 6) + fringe) + temple * here.temple
    field = model.hair + np.clip(moved, -1.5, 2.5)
    if look.hair_length < 10:
        falls = np.minimum(2.0 - z, (y - look.hair_length) / np.float32(1.2))  # behind the cheeks, down to its length
        field = np.maximum(field, np.where(here.skin, np.clip(falls, -6, 3), -6))
    return field.astype(np.float32)


def hair_offset(field: Float[np.ndarray, "v"], look: Look) -> Float[np.ndarray, "v 3"]:
    """How far hair lifts the surface, cm: along the normals, fading in behind the hair line."""
    rise = np.clip(field / np.float32(2), 0, 1)
    rise = np.float32(look.hair_thickness) * rise * rise * (3 - 2 * rise)
    if look.hair_length > 10:
        return rise[:, None] * face_model().normals
    low = ground().below_ears  # long hair stands off the neck, to the sides above all
    offset = (rise * (1 + np.float32(0.8) * low))[:, None] * ground().combed
    offset[:, 0] *= 1 + np.float32(0.6) * low
    return offset + ground().flat_ears


def _table(*curves: np.ndarray) -> Float[np.ndarray, "k curves"]:
    """Heights of curves (|x|, y) at every |x|, `STEPS` a cm."""
    at = np.arange(int(6 * STEPS)) / STEPS
    return np.stack([np.interp(at, *curve.T) for curve in curves], 1).astype(np.float32)


STEPS = 50
_MOUTH_CURVES = _table(LIP_TOP, LIP_LINE, LIP_BOTTOM)
_EYE_CURVES = _table(LID_TOP, LID_BOTTOM)
_BROW_CURVES = _table(BROW, BROW_SHAPE)


def paint(
    place: Float[np.ndarray, "3 k"],
    smooth: Float[np.ndarray, "3 k"],
    hair: Float[np.ndarray, "k"],
    part: Integer[np.ndarray, "k"],
    look: Look,
) -> Float[np.ndarray, "3 k"]:
    """Albedo at points of a head, from their place on the rest face, their smooth colour, hair field and part."""
    albedo = smooth.copy()
    x, y, z = place
    side = np.abs(x)
    on_face = np.flatnonzero((z > 6.0) & (side < 5.6) & (part <= SOCKET) & (y < 6.6) & (y > -4.8))
    height = y[on_face]
    for low, high, brush in ((-4.8, -2.4, _lips), (-1.2, -0.2, _nostrils), (2.5, 4.9, _lids), (3.9, 6.6, _brows)):
        where = on_face[(height > low) & (height < high)]
        albedo[:, where] = brush(albedo[:, where], x[where], side[where], y[where], look)
    for mole_x, mole_y, radius, strength in look.moles:
        where = np.flatnonzero((np.abs(x - mole_x) < radius) & (np.abs(y - mole_y) < radius) & (z > 2))
        inside = np.clip(1.6 * (1 - np.hypot(x[where] - mole_x, y[where] - mole_y) / radius), 0, 1)
        albedo[:, where] = _mixed(albedo[:, where], np.float32(0.35) * look.skin, strength * inside)
    where = np.flatnonzero(hair > -0.6)
    albedo[:, where] = _hair(albedo[:, where], place[:, where], hair[where], look)
    where = np.flatnonzero(y < look.neckline + 5)
    above = y[where] + np.float32(0.25) * z[where] - np.float32(look.neckline + 1.2)
    albedo[:, where] = _mixed(albedo[:, where], look.clothes, np.clip(above / np.float32(-0.3), 0, 1))
    for number, colour in ((MOUTH, MOUTH_COLOUR), (TEETH, TEETH_COLOUR)):
        albedo[:, np.flatnonzero(part == number)] = colour[:, None]
    where = np.flatnonzero((part == EYE_LEFT) | (part == EYE_RIGHT))
    albedo[:, where] = _eyes(side[where], y[where], look)
    return np.clip(albedo, np.float32(0.02), 1)


def _mixed(
    under: Float[np.ndarray, "3 _"], colour: Float[np.ndarray, "3 ..."], strength: Float[np.ndarray, "k"]
) -> Float[np.ndarray, "3 k"]:
    """Some paint, of one colour or of one at each point, over another."""
    return under + strength * (colour.reshape(3, -1) - under)


def _band(value: np.ndarray, half_width: float | np.ndarray, soft: float) -> np.ndarray:
    """1 where |value| is under half_width, with edges `soft` cm wide."""
    return np.clip((half_width - np.abs(value)) * np.float32(1 / soft) + np.float32(0.5), 0, 1)


def _at(table: np.ndarray, side: np.ndarray) -> Float[np.ndarray, "curves k"]:
    return np.ascontiguousarray(table[(side * np.float32(STEPS)).astype(np.int32)].T)


def _lips(under: np.ndarray, x: np.ndarray, side: np.ndarray, y: np.ndarray, look: Look) -> np.ndarray:
    top, line, bottom = _at(_MOUTH_CURVES, side)
    lips = np.clip(np.minimum(top - y, y - bottom) / np.float32(0.14) + np.float32(0.5), 0, 1)
    lips *= np.clip((np.float32(2.5) - side) / np.float32(0.15), 0, 1)
    seam = np.clip(1 - np.abs(y - line) / np.float32(0.13), 0, 1) * np.clip((np.float32(2.45) - side) * 5, 0, 1)
    painted = _mixed(under, look.lips, np.float32(0.85) * lips)
    return _mixed(painted, np.float32(0.35) * look.lips, np.float32(0.75) * seam)


def _nostrils(under: np.ndarray, x: np.ndarray, side: np.ndarray, y: np.ndarray, look: Look) -> np.ndarray:
    holes = np.clip(1.5 * (1 - np.hypot((side - 0.85) / 0.5, (y + 0.62) / 0.28)), 0, 1)
    return _mixed(under, np.float32(0.3) * look.skin, np.float32(0.85) * holes)


def _lids(under: np.ndarray, x: np.ndarray, side: np.ndarray, y: np.ndarray, look: Look) -> np.ndarray:
    """Lashes, and the crease of the upper lid."""
    top, bottom = _at(_EYE_CURVES, side)
    between = np.clip((side - 1.6) / 0.15, 0, 1) * np.clip((4.85 - side) / 0.15, 0, 1)
    above, below = y - top, y - bottom
    lashes = np.maximum(_band(above - 0.03, 0.09, 0.1), np.float32(0.45) * _band(below + 0.02, 0.05, 0.08))
    crease = np.clip(1 - np.abs(above - 0.42) / 0.15, 0, 1)
    painted = _mixed(under, LASH_COLOUR, np.float32(look.lash_strength) * lashes * between)
    return _mixed(painted, np.float32(0.6) * look.skin, np.float32(0.35) * crease * between)


def _brows(under: np.ndarray, x: np.ndarray, side: np.ndarray, y: np.ndarray, look: Look) -> np.ndarray:
    curve, shape = _at(_BROW_CURVES, side)
    height = y - curve - np.where(x < 0, *look.brow_lift)
    brow = _band(height, np.float32(look.brow_thickness / 2) * shape, 0.16) * np.clip(shape * 4, 0, 1)
    return _mixed(under, look.brows, np.float32(look.brow_strength) * brow)


def _hair(under: np.ndarray, place: np.ndarray, hair: np.ndarray, look: Look) -> np.ndarray:
    first, second = look.strands @ place
    ripple = np.sin(second)
    tone = 1 + np.float32(0.15) * np.sin(first + ripple) + np.float32(0.05) * np.sin(np.float32(2.7) * second)
    ragged = hair + np.float32(0.25) * np.sin(np.float32(1.7) * first) * ripple
    strength = np.float32(look.hair_strength) * np.clip(ragged / np.float32(0.7) + np.float32(0.5), 0, 1)
    return _mixed(under, look.hair[:, None] * tone, strength)


def _eyes(side: np.ndarray, y: np.ndarray, look: Look) -> np.ndarray:
    """White of the eye, iris with its dark rim, pupil; the upper lid's shadow is painted in."""
    radius = np.hypot(side - EYE[0], y - EYE[1])
    iris, rim = np.clip((IRIS_RADIUS - radius) / 0.08 + 0.5, 0, 1), np.clip((radius - 0.78 * IRIS_RADIUS) / 0.15, 0, 1)
    colour = _mixed(SCLERA[:, None], look.iris[:, None] * (1 - 0.5 * rim), iris)
    colour = _mixed(colour, PUPIL_COLOUR, np.clip((look.pupil - radius) / 0.06 + 0.5, 0, 1))
    shadow, corner = np.clip((y - (EYE[1] + 0.05)) / 0.4, 0, 1), np.clip((np.abs(side - EYE[0]) - 0.7) / 0.8, 0, 1)
    return colour * ((1 - 0.4 * shadow) * (1 - 0.25 * corner))
