"""What the opacity of a capture's pictures says of space: the visual hull, and which pixels can see it.

Laurentini 1994, "The visual hull concept for silhouette-based image understanding"; before learning a field, as in
VaxNeRF (Kondo et al. 2021).
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn.functional import max_pool2d

from unflat.data.kinds import Capture
from unflat.fields.voxels import coarse_shape, corners_of, grid_shape, middles_of
from unflat.geometry.cameras import Pinhole
from unflat.geometry.rotations import Rigid
from unflat.geometry.spaces import expanded
from unflat.kernels.carving import carve
from unflat.kernels.clearance import clearance

LOOKED_AT = 200
"""pixels of the longer side of the silhouettes"""
SHOWS = 5
"""of 255: opacity from which a pixel shows something"""
AT_ONCE = 2**20
"""cells of which it is asked at once how many pictures see them"""
MARGIN = 0.25
"""cells around the hull that its box keeps"""
CARVED = (48, 64)
"""cells along the longest side of the box that is carved to be drawn tight, and of the tight one that is carved"""
NEAR = 4
"""pixels around the object's picture that see something of its hull, where pictures are a little off"""
SEEN = 128
"""voxels along a side of which it is asked how many pictures see them"""


class Silhouette(NamedTuple):
    """Where a picture shows the object."""

    distance: UInt8[Tensor, "h w"]
    """pixels to the nearest one that does"""
    pinhole: Pinhole
    camera_from_scene: Rigid


def silhouettes(capture: Capture) -> list[Silhouette]:
    """Of every picture, small. ValueError for a capture without opacity."""
    if not capture.has_alpha:
        raise ValueError("the pictures have no opacity: there are no silhouettes to carve with")
    found = []
    for i in range(len(capture)):
        shown = torch.from_numpy(capture.picture(i)[..., 3] >= SHOWS)[None].float()
        pinhole = capture.pinholes[i]
        factor = max(1, -(-max(pinhole.width, pinhole.height) // LOOKED_AT))
        small = max_pool2d(shown, factor, ceil_mode=True)[0] > 0
        height, width = small.shape
        # pixels beside the picture's end make the last ones whole: the small picture is a little wider than the old
        wider = pinhole.cropped(0, 0, width * factor, height * factor).resized(width, height)
        found.append(Silhouette(clearance(small[None])[0], wider, capture.cameras(i).camera_from_world[0]))
    return found


def visual_hull(
    shown: list[Silhouette], low: Float[Tensor, "3"], high: Float[Tensor, "3"], cells: tuple[int, int, int]
) -> Bool[Tensor, "i j k"]:
    """The cells of a box that no silhouette rules out."""
    inside = torch.ones(cells, dtype=torch.bool)
    for one in shown:
        carve(inside, low, high, one.distance, one.camera_from_scene, one.pinhole)
    return inside


def agreed_hull(
    capture: Capture,
    low: Float[Tensor, "3"],
    high: Float[Tensor, "3"],
    cells: tuple[int, int, int],
    agreement: float = 1.0,
    dilation: float = 0.0,
) -> Bool[Tensor, "i j k"]:
    """The cells of a box in which at least this share of the pictures that see them show something (VaxNeRF); what none
    sees is out. `dilation` is how far silhouettes are widened first, as a share of a picture's longer side."""
    widened = []
    for one in silhouettes(capture):
        pixels = round(dilation * max(one.distance.shape))
        widened.append(one._replace(distance=(one.distance.int() - pixels).clamp_min(0).to(torch.uint8)))
    if agreement >= 1:
        against = (~visual_hull(widened, low, high, cells)).short()  # one is enough
    else:
        against = torch.zeros(cells, dtype=torch.int16)
        for one in widened:
            against += ~visual_hull([one], low, high, cells)
    cell = (against <= (1 - min(agreement, 1.0)) * len(capture)).nonzero()  # even if all of the pictures saw them
    side, inside = (high - low) / torch.tensor(cells), torch.zeros(cells, dtype=torch.bool)
    for part in torch.split(cell, AT_ONCE):
        seen = seen_by(capture, low + (part + 0.5) * side)
        i, j, k = part.unbind(1)
        inside[i, j, k] = (seen > 0) & (seen - against[i, j, k] >= agreement * seen)
    return inside


def box_of(
    inside: Bool[Tensor, "i j k"], low: Float[Tensor, "3"], high: Float[Tensor, "3"]
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The part of the box that holds all cells that are in; the whole of it if none is."""
    cell = inside.nonzero()
    if not len(cell):
        return low, high
    side = (high - low) / torch.tensor(inside.shape)
    first, last = cell.amin(0), cell.amax(0) + 1
    return torch.maximum(low, low + (first - MARGIN) * side), torch.minimum(high, low + (last + MARGIN) * side)


class Carved(NamedTuple):
    """A box with what may hold something in it."""

    inside: Bool[Tensor, "i j k"]
    low: Float[Tensor, "3"]
    high: Float[Tensor, "3"]


def carved(capture: Capture, low: Float[Tensor, "3"], high: Float[Tensor, "3"], least: float) -> Carved:
    """What the pictures leave of the box, between two corners, that a scene lies in: the visual hull of an object, in
    the part of the box that it fills; of a space without end what a share `least` of them sees; else all of it.
    ValueError if that is nothing."""
    found = Carved(torch.ones(1, 1, 1, dtype=torch.bool), low, high)
    if capture.has_alpha and capture.scene.space == "box":
        found = tight_hull(capture, low, high)
    if capture.scene.space == "contracted":
        found = Carved(seen_cells(capture, low, high, least), low, high)
    if not found.inside.any():
        raise ValueError(NOTHING_LEFT)
    return found


def object_box(
    capture: Capture, low: Float[Tensor, "3"], high: Float[Tensor, "3"]
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    """The box of the object that pictures with silhouettes show, within another box; that one where they have none."""
    if not capture.has_alpha:
        return low, high
    hull = tight_hull(capture, low, high)
    if not hull.inside.any():
        raise ValueError(NOTHING_LEFT)
    return hull.low, hull.high


NOTHING_LEFT = "the pictures leave nothing: look at the cameras and the box (unflat data inspect)"


def tight_hull(capture: Capture, low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> Carved:
    """The visual hull in the part of a box that it fills."""
    shown, inside = silhouettes(capture), torch.ones(1, 1, 1, dtype=torch.bool)
    for cells in CARVED:
        x, y, z = (n - 1 for n in grid_shape(low, high, cells))
        inside = visual_hull(shown, low, high, (x, y, z))
        if cells == CARVED[0]:
            low, high = box_of(inside, low, high)
    return Carved(inside, low, high)


def seen_cells(
    capture: Capture, low: Float[Tensor, "3"], high: Float[Tensor, "3"], least: float
) -> Bool[Tensor, "i j k"]:
    """The cells of a contracted space, between two corners, that at least such a share of the pictures sees: what few
    see, they explain by haze before them."""
    shape = coarse_shape(grid_shape(low, high, SEEN))
    places = expanded(middles_of(shape, low, high))
    seen = seen_by(capture, places) >= least * len(capture)
    return (seen & ~between(capture, places)).view(shape)


def between(capture: Capture, places: Float[Tensor, "v 3"]) -> Bool[Tensor, "v"]:
    """The places outside of the scene's box that are nearer to its middle than all cameras are, where all of the box is
    so, too: then what matters is in it, and nothing stands before it."""
    box = torch.tensor(capture.scene.box)
    nearest = float(np.linalg.norm(capture.viewpoints.centres, axis=1).min())
    if float(torch.maximum(-box[:3], box[3:]).norm()) >= nearest:
        return torch.zeros(len(places), dtype=torch.bool)
    outside = ((places < box[:3]) | (places > box[3:])).any(1)
    return outside & (places.norm(dim=1) < nearest)


def seen_by(capture: Capture, places: Float[Tensor, "v 3"]) -> Int[Tensor, "v"]:
    """In how many of the pictures each place lies, in front of the camera and not nearer than the scene's near plane;
    -1 where it is nearer than that to any."""
    count = torch.zeros(len(places), dtype=torch.int32)
    too_near = torch.zeros(len(places), dtype=torch.bool)
    for i in range(len(capture)):
        pinhole, local = capture.pinholes[i], capture.cameras(i).camera_from_world.apply(places[None])[0]
        too_near |= local.norm(dim=1) < capture.scene.near
        pixel = pinhole.project(local)
        inside = (pixel >= 0).all(1) & (pixel[:, 0] < pinhole.width) & (pixel[:, 1] < pinhole.height)
        count += inside & (local[:, 2] > capture.scene.near)
    return count.masked_fill(too_near, -1)


def near_object(capture: Capture, pixels: int = NEAR) -> Int[np.ndarray, "m"]:
    """Numbers of the capture's pixels that are at most so many pixels from one that shows the object.

    The others see nothing of its visual hull.
    """
    found = []
    for i in range(len(capture)):
        shown = torch.from_numpy(capture.picture(i)[..., 3] >= SHOWS)[None].float()
        near = max_pool2d(shown, 2 * pixels + 1, 1, pixels)[0] > 0
        found.append(np.flatnonzero(near.numpy()) + capture.first[i])
    kept = np.concatenate(found)
    return kept if capture.mask is None else kept[capture.mask[kept]]


def pixels_of_box(capture: Capture, low: Float[Tensor, "3"], high: Float[Tensor, "3"]) -> Int[np.ndarray, "m"]:
    """Numbers of the capture's pixels in the rectangles around what a box of the scene's frame looks like: all of a
    picture whose camera stands in the box or beside it."""
    corners = corners_of(low, high)
    found = []
    for i, pinhole in enumerate(capture.pinholes):
        local = capture.cameras(i).camera_from_world.apply(corners[None])[0]
        left, top, right, bottom = 0, 0, pinhole.width, pinhole.height
        if bool((local[:, 2] > capture.scene.near).all()):
            least, largest = pinhole.project(local).aminmax(dim=0)
            left, top = (int(v) for v in least.floor().clamp_min(0))
            right, bottom = min(right, int(largest[0].ceil())), min(bottom, int(largest[1].ceil()))
        rows, columns = np.arange(top, bottom), np.arange(left, right)
        found.append((capture.first[i] + rows[:, None] * pinhole.width + columns).reshape(-1))
    kept = np.concatenate(found)
    return kept if capture.mask is None else kept[capture.mask[kept]]
