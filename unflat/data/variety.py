"""What a set of photos cannot teach: too few of them, the same ones over again, objects that are now large, now small.

A scale is read off masks, or off faces where faces are found. Nothing is said of other photos: laying them over their
mean picture gives a scale, too, but on faces turned to both sides it follows the turn and not the scale (docs/LOG.md).
"""

from dataclasses import dataclass

import numpy as np

from unflat.data.copies import near_copies
from unflat.data.crops import MEASURED, spread_over
from unflat.data.kinds import Photos

FEW = 200
"""fewer photos than this rarely teach a shape"""
COPIED = 0.05
"""share of photos that are nearly another, from which on it is worth telling: 3 % of some hundred portraits are"""
DIFFERENT = 0.2
"""spread of the scale (see `ScaleSpread`) from which on crops are not alike: finding faces alone spreads it by 0.13"""
FEWEST = 8
"""measured scales from which a spread is told"""


@dataclass(frozen=True)
class ScaleSpread:
    """How differently large the object is in the crops."""

    what: str
    """what was measured: `object` (by masks) or `face`"""
    spread: float
    """standard deviation of the logarithm of its share of the crop's side, from the middle half of the photos"""
    low: float
    """share of the crop's side that a tenth of the photos is below"""
    high: float
    """and above"""

    @property
    def differs(self) -> bool:
        """Whether that is more than measuring explains."""
        return self.spread > DIFFERENT


def scale_spread(photos: Photos) -> ScaleSpread | None:
    """How differently large the object is in the crops; None where neither masks nor faces tell.

    Read off the masks, or off the faces found in the photos looked at if at least four in ten show one.
    """
    if photos.framing is None:
        return None
    framing = np.asarray(photos.framing, dtype=np.float64)
    faces = framing[spread_over(len(framing), MEASURED), 1]
    for what, shares in (("object", framing[:, 2]), ("face", faces)):
        known = shares[np.isfinite(shares)]
        if len(known) >= max(FEWEST, 0.4 * len(shares)):
            low, quarter, three_quarters, high = np.quantile(known, (0.1, 0.25, 0.75, 0.9))
            return ScaleSpread(what, float(np.log(three_quarters / quarter) / 1.349), float(low), float(high))
    return None


def copied(photos: Photos) -> tuple[tuple[str, str], ...]:
    """Names of photos that show nearly the same, two by two (see `data.copies`)."""
    names = photos.names
    return tuple((names[i], names[j]) for i, j in near_copies(np.asarray(photos.rgb)).tolist())


def variety_warnings(photos: Photos, pairs: tuple[tuple[str, str], ...] | None = None) -> list[str]:
    """What should be known before learning from these photos; nothing where all is well.

    `pairs` are those of `copied`, if they are known already.
    """
    said = []
    if len(photos) < FEW:
        said.append(f"{len(photos)} photos are few to learn a shape from: some thousands are usual")
    pairs = copied(photos) if pairs is None else pairs
    surplus = len(pairs) and len({name for pair in pairs for name in pair}) - _groups(pairs)
    if surplus >= max(1, COPIED * len(photos)):
        one, other = pairs[0]
        said.append(
            f"{surplus} of {len(photos)} photos are nearly the same as another one, such as {one} and {other}: copies, "
            "or frames of a film that hardly differ. They teach nothing new and are learned by heart; keep one of "
            "each, or frames that are further apart"
        )
    scale = scale_spread(photos)
    if scale is not None and scale.differs:
        margin = {"face": "--crop face", "object": "--crop alpha"}[scale.what]
        said.append(
            f"the crops are of different scale: the {scale.what} fills from {scale.low:.0%} to {scale.high:.0%} of "
            f"their side (eight photos in ten). Scale is taken for shape; {margin} brings all to one scale"
        )
    return said


def _groups(pairs: tuple[tuple[str, str], ...]) -> int:
    """How many different pictures there are among photos that are nearly the same, two by two."""
    leader: dict[str, str] = {}

    def first(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for one, other in pairs:
        leader[first(one)] = first(other)
    return len({first(name) for name in list(leader)})
