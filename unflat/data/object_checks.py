"""Whether a capture can give the mesh of an object, asked before any time is spent on it.

What cannot work is an error: too few pictures, pictures that do not look at one thing, masks that say nothing, an
object that most pictures cut off. What only costs quality is a warning. Both say what was found and what to do.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Bool

from unflat.data.capture_checks import rig_warnings
from unflat.data.captures import resettled, smaller
from unflat.data.hulls import SHOWS
from unflat.data.kinds import Capture
from unflat.data.picture_checks import FILLED_BY, check_pictures
from unflat.data.recordings import CaptureError
from unflat.data.viewpoints import Viewpoints, spread_over

FEWEST, FEW = 8, 20
"""pictures: fewer give no mesh; fewer are warned about"""
SAYS_NOTHING = 0.9
"""share of the pictures: where so many show nothing, or something everywhere, the masks are of no use"""
NOTHING, EVERYTHING = 1e-4, 1 - 1e-4
"""of a picture's pixels that show something: at most, at least"""
SOLID = 128
"""of 255: opacity from which a pixel at the border is taken to show the object"""
CUT, ENDS = 0.01, 0.5
"""share of the border's pixels that show the object where a picture cuts it off, and of the pictures that may do so"""
TELLS = 0.1
"""share of the pictures that are cut off or left out, from which on it is told"""
TOGETHER, MOSTLY = 1 / 3, 0.6
"""share of the cameras that have one place in view: at least, usually"""
GRID = 9
"""places along each side of the box that are asked how many cameras see them"""
FITS = 0.2
"""of the silhouettes that their visual hull fills: less, and there is nothing that all pictures show"""
ASIDE, ARC = math.radians(60), 40
"""angle to the nearest camera from which on a side is hardly seen, and degrees of such sides that are told"""
LEVEL = math.radians(10)
"""how far above the horizon it is asked who looks from there"""
LOOKED_AT, VIEWS = 400, 40
"""pixels of the longer side in which pictures are compared, and how many of them are"""
NAMED = 5
"""pictures are named up to this number"""


def enough(count: int, what: str = "pictures") -> None:
    """CaptureError for fewer pictures than make a mesh."""
    if count < FEWEST:
        raise CaptureError(
            f"{count} {what} are too few for the mesh of an object: at least {FEWEST} are needed, and 40 to 100 are "
            "usual. Take more, all around it, each showing half of what the one before shows"
        )


def fit_for_mesh(capture: Capture) -> tuple[Capture, list[str]]:
    """The capture as a mesh is made of it, and what a user has to know of it.

    Masks that say nothing are dropped, pictures whose own mask does so are left out, and a scene that is seen from one
    side only is laid out as one that can have a mesh (`Scene.space`). Raises CaptureError for what gives no mesh.
    """
    enough(len(capture))
    capture, said = _with_useful_masks(capture)
    if capture.scene.space == "ndc":
        capture = resettled(capture, "contracted")
    seen_by = _seeing(capture)
    of_rig = rig_warnings(capture.viewpoints, capture.scene)
    if seen_by.sum() < max(2.0, TOGETHER * len(capture)):
        raise CaptureError(
            f"the pictures do not look at one thing: no place is in view of more than {seen_by.sum()} of "
            f"{len(capture)} cameras. Walk around the object with it in the middle of each picture"
            + "".join(f"; {warning}" for warning in of_rig or (_WRONG_POSES,))
        )
    if seen_by.mean() < MOSTLY:
        said.append(
            f"only {seen_by.sum()} of {len(capture)} cameras have the middle in view: pictures in which all of the "
            "object is seen make a better mesh"
        )
    said += [*of_rig, *_few(len(capture)), *_from_one_side(capture.viewpoints, capture.scene.box, seen_by)]
    return capture, [*said, *_compared(capture)]


_WRONG_POSES = "if you did, the poses or the fields of view are wrong"


def _few(count: int) -> list[str]:
    if count >= FEW:
        return []
    return [f"{count} pictures are few: {FEW} or more, from all around, make a better mesh"]


# -- masks -------------------------------------------------------------------------------------------------------------


def _with_useful_masks(capture: Capture) -> tuple[Capture, list[str]]:
    """The capture without transparency that says nothing, and without pictures whose own does."""
    if capture.mask is not None and not capture.mask.any():
        raise CaptureError(
            "the masks leave out every pixel of every picture: white is what counts in them, black what is left out. "
            "Invert them, or take them away"
        )
    if not capture.has_alpha:
        return capture, []
    shown = np.array([(capture.picture(i)[..., 3] >= SHOWS).mean() for i in range(len(capture))])
    empty, full = shown <= NOTHING, shown >= EVERYTHING
    if empty.mean() >= SAYS_NOTHING:
        raise CaptureError(
            f"{empty.sum()} of {len(capture)} pictures are transparent everywhere ({_named(capture, empty)}): nothing "
            "in them belongs to the object. Were their masks inverted, or made by a program that did not find it? Give "
            "pictures that are opaque where the object is, or pictures without transparency"
        )
    if full.mean() >= SAYS_NOTHING:
        plain = resettled(replace(capture, pixels=np.ascontiguousarray(capture.pixels[:, :3])))
        return plain, [
            f"{full.sum()} of {len(capture)} pictures are opaque everywhere: their transparency says nothing, and they "
            "are taken as pictures with a background"
        ]
    capture, said = _without(capture, empty, full)
    return capture, [*said, *_cut_off(capture)]


def _without(capture: Capture, empty: Bool[np.ndarray, "n"], full: Bool[np.ndarray, "n"]) -> tuple[Capture, list[str]]:
    """The pictures with a mask that tells the object from what is around it."""
    said = [
        f"{bad.sum()} of {len(capture)} pictures are {what} everywhere and are left out: {_named(capture, bad)}"
        for bad, what in ((empty, "transparent"), (full, "opaque"))
        if bad.any()
    ]
    kept = np.flatnonzero(~(empty | full))
    enough(len(kept), f"of {len(capture)} pictures have a mask that tells the object from what is around it; these")
    return (capture if len(kept) == len(capture) else capture[kept]), said


def _cut_off(capture: Capture) -> list[str]:
    """CaptureError where most pictures show a part of the object only."""
    cut = np.array([_at_border(capture.picture(i)[..., 3]) for i in range(len(capture))]) > CUT
    if cut.mean() > ENDS:
        raise CaptureError(
            f"the object reaches the border of {cut.sum()} of {len(capture)} pictures ({_named(capture, cut)}): they "
            "cut it off, and where it ends cannot be known. Take pictures from further away, with room around it, or "
            "leave those out that cut it off"
        )
    if cut.mean() < TELLS:
        return []
    return [
        f"{cut.sum()} of {len(capture)} pictures cut the object off at their border ({_named(capture, cut)}): pictures "
        "with room around it make a better mesh"
    ]


def _at_border(opacity: np.ndarray) -> float:
    """The share of the border's pixels that show something."""
    sides = [opacity[0], opacity[-1], opacity[1:-1, 0], opacity[1:-1, -1]]
    return float((np.concatenate(sides) >= SOLID).mean())


# -- cameras -----------------------------------------------------------------------------------------------------------


def _seeing(capture: Capture) -> Bool[np.ndarray, "n"]:
    """The cameras that have the place in view which most cameras have in view, within the scene's box."""
    low, high = np.array(capture.scene.box[:3]), np.array(capture.scene.box[3:])
    sides = [np.linspace(a, b, GRID) for a, b in zip(low, high, strict=True)]
    places = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 3)
    seen = np.zeros((len(capture), len(places)), bool)
    for i, (pinhole, pose) in enumerate(zip(capture.pinholes, capture.scene_from_camera, strict=True)):
        local = (places - pose[:3, 3]) @ pose[:3, :3]
        pixel = pinhole.project(torch.from_numpy(local)).numpy()
        with np.errstate(invalid="ignore"):
            seen[i] = (local[:, 2] > 0) & (pixel >= 0).all(1) & (pixel < (pinhole.width, pinhole.height)).all(1)
    best: np.ndarray = seen[:, seen.sum(0).argmax()]
    return best


def _from_one_side(views: Viewpoints, box: Sequence[float], seeing: Bool[np.ndarray, "n"]) -> list[str]:
    """Sides of the object that no camera looks at."""
    middle = (np.array(box[:3]) + np.array(box[3:])) / 2
    towards = views.centres[seeing] - middle
    towards = towards / np.maximum(np.linalg.norm(towards, axis=1, keepdims=True), 1e-12)
    turn = np.radians(np.arange(360))
    sides = np.stack([np.cos(LEVEL) * np.cos(turn), np.cos(LEVEL) * np.sin(turn), np.full(360, np.sin(LEVEL))], 1)
    unseen = int(((sides @ towards.T).max(1) < math.cos(ASIDE)).sum())
    if unseen < ARC:
        return []
    where = "all cameras look from above or below" if unseen == 360 else "the cameras stand on one side"
    return [
        f"{where}: of the 360 degrees around the object, nobody looks at it from {unseen}. What is seen from there "
        "only will be a guess: take pictures from all around"
    ]


def _compared(capture: Capture) -> list[str]:
    """What the pictures say against the cameras. CaptureError where silhouettes have nothing in common."""
    some = capture[spread_over(len(capture), VIEWS)]
    side = max(max(pinhole.width, pinhole.height) for pinhole in some.pinholes)
    found = check_pictures(smaller(some, max(1, round(side / LOOKED_AT))))
    fills = found.figures.get(FILLED_BY, 1.0)
    if fills < FITS:
        raise CaptureError(
            f"what the pictures show as the object does not overlap: what all of them agree on fills {fills:.0%} of "
            "their silhouettes. The poses are wrong, the object moved, or the masks show different things: look at "
            "them with unflat data inspect"
        )
    return list(found.warnings)


def _named(capture: Capture, chosen: Bool[np.ndarray, "n"]) -> str:
    """Which pictures."""
    shown = [capture.names[i] for i in np.flatnonzero(chosen)[:NAMED]]
    more = f" and {chosen.sum() - NAMED} more" if chosen.sum() > NAMED else ""
    return ", ".join(shown) + more
