"""Whether pictures and cameras of a capture belong together: what cameras show of one place has to look alike.

What is there is asked: points of structure from motion and depth maps name places, which have one colour in all
pictures that see them; silhouettes leave a visual hull, which has to fill them; and a spot of any picture lies on a
line in its neighbour, where something alike has to be found. Chance is measured beside each, on the same pictures.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from unflat.data.capture_checks import subject_depths
from unflat.data.hulls import SHOWS, silhouettes, visual_hull
from unflat.data.kinds import Capture

VIEWS = 40
"""pictures that are looked at, spread over all"""
PLACES = 2000
"""places whose colours are compared"""
LEAST_VIEWS = 3
"""pictures in which a place has to be seen, to be compared"""
LEAST_PLACES = 30
"""fewer say nothing"""
SAME_DEPTH, THROUGH = 0.02, 0.05
"""shares of the depth: places that a depth map shows, and such that it says can be seen through"""
VISIBLE = 0.25
"""of the pictures in which a point lies, in which nothing is taken to be in front of it"""
AGREES = 0.3
"""of the difference between colours of any two places: by so much those of one place should differ less"""
IN_VIEW = 0.5
"""of the points, which should lie in two pictures or more"""
MOST_THROUGH = 0.25
"""of places, that depth maps of other pictures may say are empty: edges do"""
CELLS = 64
"""along the longest side of the box, of the visual hull"""
STEPS, SPOTS = 128, 200
"""along a ray, and pixels of a silhouette that are asked whether they see the hull"""
FILLED_BY = "silhouettes that the visual hull fills"
"""what its share is called among the figures"""
FILLED = 0.8
"""of the silhouettes, that the hull should fill"""
LINE, REACH = 96, 3
"""places along a spot's line, and pixels from a spot's middle to its edge"""
OFFSETS = np.stack(np.meshgrid(*2 * [np.arange(-REACH, REACH + 1)], indexing="ij"), -1).reshape(-1, 2)
"""rows and columns of a spot's pixels"""
LINES_OF, PLAIN = 40, 6.0
"""spots of a picture, and grey levels by which one has to vary"""
FOUND = 0.65
"""of the spots, that should look more like something on their line than like something elsewhere; chance is a half, and
of 21 captures right ones came to 0.69 to 0.92, and mirrored ones, unless their pictures are tiny, to 0.48 to 0.66"""
LEAST_SPOTS = 100
"""fewer leave it to chance"""


@dataclass(frozen=True)
class PictureChecks:
    """What was found."""

    figures: dict[str, float] = field(default_factory=dict)
    """shares from 0 to 1, by what was asked"""
    warnings: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """what could not be asked, and why"""


def check_pictures(capture: Capture) -> PictureChecks:
    """Compare the pictures with one another through their cameras; about 400 pixels a side are enough for it."""
    checked = capture.spread(VIEWS)
    parts = (_points(checked), _depth(checked), _hull(checked), _lines(checked))
    return PictureChecks(
        {name: value for part in parts for name, value in part.figures.items()},
        tuple(warning for part in parts for warning in part.warnings),
        tuple(reason for part in parts for reason in part.left_out),
    )


_ADVICE = (
    "the poses, the lens or the order of the pictures are wrong, or the axes have another convention than the format "
    "asks for"
)


# -- places that the files name ----------------------------------------------------------------------------------------


def _points(capture: Capture) -> PictureChecks:
    """The points of structure from motion."""
    if capture.points is None or len(capture.points) < LEAST_PLACES:
        return PictureChecks(left_out=("the files hold no points of structure from motion",))
    chosen = np.random.default_rng(0).permutation(len(capture.points))[:PLACES]
    seen = _sightings(capture, capture.points.places[chosen])
    in_view = float((seen.inside.sum(0) >= 2).mean())
    figures, said = {"points in two pictures or more": in_view}, []
    if in_view < IN_VIEW:
        said.append(
            f"only {in_view:.0%} of the points lie in front of and within two pictures or more: points and poses do "
            "not belong together, or the cameras look away (the signs of y and z)"
        )
    own = capture.points.colours[chosen].astype(np.float64)
    agreement = _agreement(own, np.where(seen.inside[..., None], seen.colours, np.nan), VISIBLE)
    return _with_agreement(figures, said, "points", agreement)


def _depth(capture: Capture) -> PictureChecks:
    """Places that depth maps show, in the other pictures."""
    if capture.depth is None:
        return PictureChecks(left_out=("the files hold no depth",))
    places, own, picture = _shown_by_depth(capture)
    if len(places) < LEAST_PLACES:
        return PictureChecks(left_out=("depth is known of too few pixels",))
    seen = _sightings(capture, places)
    known = seen.inside & np.isfinite(seen.depth)
    through = float((seen.depth > (1 + THROUGH) * seen.z)[known].mean()) if known.any() else 0.0
    figures, said = {"depth that other pictures see through": through}, []
    if through > MOST_THROUGH:
        said.append(
            f"depth maps contradict one another: {through:.0%} of what one shows is empty in others. Their unit is not "
            "that of the poses (integers are taken as millimetres of a world in metres), they hold the distance along "
            "the ray instead of depth along z, or the poses are wrong"
        )
    there = known & (np.abs(seen.depth - seen.z) < SAME_DEPTH * seen.z)
    there[picture, np.arange(len(picture))] = False
    agreement = _agreement(own, np.where(there[..., None], seen.colours, np.nan))
    return _with_agreement(figures, said, "depth", agreement)


def _with_agreement(figures: dict[str, float], said: list[str], what: str, agreement: float) -> PictureChecks:
    if np.isnan(agreement):
        return PictureChecks(
            figures, tuple(said), (f"too few places of {what} are seen in several pictures, or they have one colour",)
        )
    figures[f"colours agree at {what}"] = agreement
    if agreement < AGREES:
        said.append(
            f"the colours of a place differ from picture to picture nearly as much as those of any two "
            f"({agreement:.2f} of 1 less, at places of the {what}): {_ADVICE}"
        )
    return PictureChecks(figures, tuple(said))


@dataclass(frozen=True)
class _Sightings:
    """Of m places in v pictures."""

    inside: Bool[np.ndarray, "v m"]
    """in front of the camera, and in its picture"""
    colours: Float[np.ndarray, "v m 3"]
    """0 to 255, where inside; NaN where a mask leaves the pixel out"""
    z: Float[np.ndarray, "v m"]
    depth: Float[np.ndarray, "v m"]
    """what the picture's depth map says, if there is one: NaN where it knows none"""


def _sightings(capture: Capture, places: Float[np.ndarray, "m 3"]) -> _Sightings:
    views, count = len(capture), len(places)
    inside, z = np.zeros((views, count), bool), np.zeros((views, count))
    colours, depth = np.zeros((views, count, 3)), np.full((views, count), np.nan)
    for i in range(views):
        pixel, z[i], inside[i] = projected(capture, i, places)
        u, v = pixel[inside[i]].T
        colours[i, inside[i]] = 255 * capture.rgb(i)[v, u]
        if capture.mask is not None:  # what does not belong to the scene is not compared
            colours[i, inside[i]] = np.where(capture.picture(i, "mask")[v, u, None], colours[i, inside[i]], np.nan)
        if capture.depth is not None:
            depth[i, inside[i]] = capture.picture(i, "depth")[v, u]
    return _Sightings(inside, colours, z, depth)


def projected(
    capture: Capture, index: int, places: Float[np.ndarray, "*m 3"]
) -> tuple[Int[np.ndarray, "*m 2"], Float[np.ndarray, "*m"], Bool[np.ndarray, "*m"]]:
    """In which pixel (u, v) of a picture places of the scene lie, how deep, and whether they do."""
    pinhole, pose = capture.pinholes[index], capture.scene_from_camera[index]
    local = (places - pose[:3, 3]) @ pose[:3, :3]
    z = local[..., 2]
    pixel = pinhole.project(torch.from_numpy(local)).numpy()
    with np.errstate(invalid="ignore"):
        inside = (z > 0) & (pixel >= 0).all(-1) & (pixel < (pinhole.width, pinhole.height)).all(-1)
    return np.where(inside[..., None], pixel, 0).astype(np.int64), z, inside


def _agreement(own: Float[np.ndarray, "m 3"], colours: Float[np.ndarray, "v m 3"], quantile: float = 0.5) -> float:
    """1 where pictures show the places' own colours, 0 where they differ from them as much as from those of any place.
    `colours` are NaN where a picture does not show a place. NaN where too little is seen.

    Of the pictures of a place the one at `quantile` counts, from the most alike on; then the median over places."""
    kept = np.isfinite(colours[..., 0]).sum(0) >= LEAST_VIEWS
    if kept.sum() < LEAST_PLACES:
        return float("nan")
    own, colours = own[kept], colours[:, kept]

    def differing(other: Float[np.ndarray, "k 3"]) -> float:
        return float(np.median(np.nanquantile(np.abs(colours - other).mean(-1), quantile, axis=0)))

    chance = differing(np.random.default_rng(0).permutation(own))
    return float("nan") if chance < 1 else 1 - differing(own) / chance


class _Places(NamedTuple):
    """Places that depth maps show."""

    places: Float[np.ndarray, "m 3"]
    colours: Float[np.ndarray, "m 3"]
    picture: Int[np.ndarray, "m"]
    """whose depth map it is"""


def _shown_by_depth(capture: Capture) -> _Places:
    """Some of them, over all pictures."""
    each, rng, found = max(1, PLACES // len(capture)), np.random.default_rng(0), []
    for i in range(len(capture)):
        depth = capture.picture(i, "depth")
        shown = np.isfinite(depth)
        known = np.argwhere(shown if capture.mask is None else shown & capture.picture(i, "mask"))
        v, u = known[rng.permutation(len(known))[:each]].T
        rays = capture.pinholes[i].directions(torch.from_numpy(np.stack([u, v], -1) + 0.5)).numpy()
        places = _placed(capture, i, rays * depth[v, u].astype(np.float64)[:, None])
        straight = np.isfinite(places).all(1)
        found.append((places[straight], 255.0 * capture.rgb(i)[v, u][straight], np.full(straight.sum(), i)))
    places, colours, picture = (np.concatenate(part) for part in zip(*found, strict=True))
    return _Places(places, colours.astype(np.float64), picture)


def _placed(capture: Capture, index: int, local: Float[np.ndarray, "*m 3"]) -> Float[np.ndarray, "*m 3"]:
    """Places in a camera's frame, in the scene's."""
    pose = capture.scene_from_camera[index]
    moved: np.ndarray = local @ pose[:3, :3].T + pose[:3, 3]
    return moved


# -- silhouettes -------------------------------------------------------------------------------------------------------


def _hull(capture: Capture) -> PictureChecks:
    """Whether silhouettes fit together: a place that all pictures show as full must be behind each of their pixels."""
    if not capture.has_alpha or capture.scene.space == "ndc":
        return PictureChecks(left_out=("the pictures have no transparency that would give a visual hull",))
    box = np.array(capture.scene.box)
    low, high = (torch.from_numpy(part).float() for part in (box[:3], box[3:]))
    sides = np.maximum(1, (CELLS * (box[3:] - box[:3]) / (box[3:] - box[:3]).max()).round().astype(int)).tolist()
    hull = visual_hull(silhouettes(capture), low, high, (sides[0], sides[1], sides[2])).numpy()
    _leave_seen(capture, hull, box)
    shares = [_filled(capture, i, hull, box) for i in range(len(capture))]
    filled = float(np.nanmean(shares)) if np.isfinite(shares).any() else 0.0
    figures = {FILLED_BY: filled}
    if filled >= FILLED:
        return PictureChecks(figures)
    return PictureChecks(
        figures,
        (
            f"the silhouettes do not fit together: what all pictures show as full fills {filled:.0%} of them, and "
            f"nearly all is usual. Either {_ADVICE}, or the box does not hold the object, or it moved",
        ),
    )


def _leave_seen(capture: Capture, hull: Bool[np.ndarray, "i j k"], box: Float[np.ndarray, "6"]) -> None:
    """Take the cells out that too few pictures could have ruled out: in place."""
    cell = np.argwhere(hull)
    places = box[:3] + (cell + 0.5) / hull.shape * (box[3:] - box[:3])
    seen = sum(projected(capture, i, places)[2].astype(int) for i in range(len(capture)))
    hull[tuple(cell[seen < min(LEAST_VIEWS, len(capture))].T)] = False


def _filled(capture: Capture, index: int, hull: Bool[np.ndarray, "i j k"], box: Float[np.ndarray, "6"]) -> float:
    """The share of a picture's silhouette behind whose pixels there is some of the hull; NaN if it shows nothing."""
    full = np.argwhere(capture.picture(index)[..., 3] >= SHOWS)
    if not len(full):
        return float("nan")
    chosen = full[np.random.default_rng(0).permutation(len(full))[:SPOTS]]
    rays = capture.pinholes[index].directions(torch.from_numpy(chosen[:, ::-1] + 0.5)).numpy()
    depths = np.linspace(capture.scene.near, capture.scene.far, STEPS)
    places = _placed(capture, index, rays[:, None] * depths[:, None])
    cell = np.floor((places - box[:3]) / (box[3:] - box[:3]) * hull.shape)
    within = ((cell >= 0) & (cell < hull.shape)).all(-1)
    i, j, k = np.moveaxis(np.where(within[..., None], cell, 0).astype(np.int64), -1, 0)
    return float((hull[i, j, k] & within).any(1).mean())


# -- spots and their lines ---------------------------------------------------------------------------------------------


def _lines(capture: Capture) -> PictureChecks:
    """Whether spots of a picture are found again in its neighbour, on the line where the cameras say that they are,
    rather than on the same line turned by half a turn about the picture's middle."""
    depths, wins = subject_depths(capture.viewpoints, capture.scene), []
    grey = [255 * capture.rgb(i).mean(-1) for i in range(len(capture))]
    for i in range(len(capture)):
        other = _neighbour(capture, i, float(depths[i]))
        if other is not None:
            wins.append(_spots_found(capture, grey, i, other, float(depths[i])))
    found = np.concatenate(wins) if wins else np.zeros(0)
    if len(found) < LEAST_SPOTS:
        return PictureChecks(left_out=("too few spots with texture are seen by neighbours",))
    share = float(found.mean())
    figures = {"spots found again on their lines": share}
    if share >= FOUND:
        return PictureChecks(figures)
    return PictureChecks(
        figures,
        (
            f"pictures do not show what their neighbours show where the cameras say so: {share:.0%} of the spots are "
            f"found again on their lines, where chance is 50%: {_ADVICE}",
        ),
    )


def _neighbour(capture: Capture, index: int, depth: float) -> int | None:
    """The camera that looks most alike from another place: by a twentieth to seven tenths of the scene's depth."""
    views = capture.viewpoints
    apart = np.linalg.norm(views.centres - views.centres[index], axis=1) / depth
    usable = np.flatnonzero((apart > 0.05) & (apart < 0.7))
    if not len(usable):
        return None
    return int(usable[np.argmax(views.forward[usable] @ views.forward[index])])


def _spots_found(
    capture: Capture, grey: list[Float[np.ndarray, "_h _w"]], index: int, other: int, depth: float
) -> Bool[np.ndarray, "s"]:
    """Of some spots with texture, whether they look more like something on their line than on the turned one.

    A spot is taken to be a small square that faces its own camera, at all depths of its line."""
    spots = _textured(grey[index], index)[:, None] + OFFSETS
    if capture.mask is not None:
        spots = spots[capture.picture(index, "mask")[spots[..., 0], spots[..., 1]].all(-1)]
    rays = capture.pinholes[index].directions(torch.from_numpy(spots[..., ::-1] + 0.5)).numpy()
    depths = depth / np.linspace(1 / 0.4, 1 / 4, LINE)
    pixel, _, inside = projected(capture, other, _placed(capture, index, rays[:, None] * depths[:, None, None]))
    whole: np.ndarray = np.all(inside, axis=-1)
    kept = whole.sum(1) >= LINE // 8
    spots, pixel, whole = spots[kept], pixel[kept], whole[kept]
    height, width = grey[other].shape
    middle = pixel[..., len(OFFSETS) // 2, :][..., None, :]
    turned = np.clip((width - 1, height - 1) - middle + (pixel - middle), 0, (width - 1, height - 1))
    own = _unit(grey[index][spots[..., 0], spots[..., 1]])[:, None]
    scores = []
    for line in (pixel, turned):
        alike = (own * _unit(grey[other][line[..., 1], line[..., 0]])).sum(-1)
        scores.append(np.where(whole, alike, -1).max(1, initial=-1))
    found: np.ndarray = scores[0] > scores[1]
    return found


def _textured(grey: Float[np.ndarray, "_h _w"], seed: int) -> Int[np.ndarray, "s 2"]:
    """Rows and columns of spots that are not plain."""
    height, width = grey.shape
    if min(height, width) <= 4 * REACH:
        return np.zeros((0, 2), np.int64)
    rng = np.random.default_rng(seed)
    tried = rng.integers(REACH, (height - REACH, width - REACH), (8 * LINES_OF, 2))
    spots = tried[:, None] + OFFSETS
    return tried[grey[spots[..., 0], spots[..., 1]].std(-1) > PLAIN][:LINES_OF]


def _unit(values: Float[np.ndarray, "*s p"]) -> Float[np.ndarray, "*s p"]:
    """Without their mean, and at length 1."""
    centred = values - values.mean(-1, keepdims=True)
    unit: np.ndarray = centred / np.maximum(np.linalg.norm(centred, axis=-1, keepdims=True), 1e-6)
    return unit
