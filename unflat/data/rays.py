"""Rays of a capture: batches of pixels with their colours for learning, and all rays of a camera for pictures.

A batch is a function of the seed and the step: pixels are drawn epoch by epoch in an order that is a keyed permutation,
so nothing is shuffled in memory and a resumed run draws what the unbroken one would have drawn.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from unflat.data.batches import hashed
from unflat.data.kinds import Capture, Scene, on_background
from unflat.geometry.cameras import Cameras
from unflat.geometry.lenses import Lens
from unflat.geometry.spaces import Rays, window_depth, window_rays
from unflat.kernels.meeting_cells import meet
from unflat.kernels.walking import Cells, Walk

ROUNDS = 4
"""of the Feistel network: two are no permutation to speak of, four pass for one"""
BLOCK = 32
"""batches whose order is worked out at once"""
PIECE = 2**19
"""pixels that are looked at at once"""


@dataclass(frozen=True)
class RayBatch:
    """Some pixels of a capture."""

    rays: Rays
    rgb: Float[Tensor, "r 3"]
    """in [0, 1], laid on the scene's background where the picture is transparent"""
    opacity: Float[Tensor, "r"] | None
    """of the picture; None if it has none"""
    picture: Int[Tensor, "r"]
    """which of the capture's pictures each is in"""

    def __len__(self) -> int:
        return len(self.rgb)


class RayPool:
    """The pixels of a capture by their numbers, ready to be drawn from."""

    def __init__(self, capture: Capture) -> None:
        self.capture = capture
        self._turn = np.ascontiguousarray(capture.scene_from_camera[:, :3, :3], np.float32)
        self._place = np.ascontiguousarray(capture.scene_from_camera[:, :3, 3], np.float32)
        self._lens = np.array([(p.fx, p.fy, p.cx, p.cy) for p in capture.pinholes], np.float32)
        self._width = np.array([p.width for p in capture.pinholes])
        self._bent = {i: _straightened(p) for i, p in enumerate(capture.pinholes) if isinstance(p, Lens)}

    def __len__(self) -> int:
        return len(self.capture.pixels)

    @cached_property
    def usable(self) -> Int[np.ndarray, "m"] | None:
        """Numbers of the pixels that belong to the scene; None if all do."""
        return None if self.capture.mask is None else np.flatnonzero(self.capture.mask)

    def batch(self, pixels: Int[np.ndarray, "r"]) -> RayBatch:
        """The pixels of these numbers."""
        capture = self.capture
        picture = np.searchsorted(capture.first, pixels, side="right") - 1
        colours = capture.pixels[pixels].astype(np.float32) * np.float32(1 / 255)
        opacity = colours[:, 3:] if capture.has_alpha else None
        if opacity is not None:
            colours = on_background(colours, capture.scene.backdrop)
        local = self._local(pixels - capture.first[picture], picture)
        return RayBatch(
            into_space(
                capture.scene, torch.from_numpy(self._place[picture]),
                torch.from_numpy(np.einsum("rij,rj->ri", self._turn[picture], local)), torch.from_numpy(pixels),
            ),
            torch.from_numpy(colours),
            None if opacity is None else torch.from_numpy(opacity[:, 0]),
            torch.from_numpy(picture),
        )  # fmt: skip

    def _local(self, within: Int[np.ndarray, "r"], picture: Int[np.ndarray, "r"]) -> Float[np.ndarray, "r 3"]:
        """Directions (x, y, 1) in the frames of their cameras."""
        v, u = np.divmod(within, self._width[picture])
        fx, fy, cx, cy = self._lens[picture].T
        half = np.float32(0.5)
        points = np.stack([(u + half - cx) / fx, (v + half - cy) / fy, np.ones_like(fx)], 1)
        for i in self._bent.keys() & set(np.unique(picture).tolist()) if self._bent else ():
            points[picture == i, :2] = self._bent[i][within[picture == i]]
        return points.astype(np.float32)


def _straightened(lens: Lens) -> Float[np.ndarray, "p 2"]:
    """(x, y) that every pixel of a lens looks at. Lenses that are alike share it."""
    found: np.ndarray = np.ascontiguousarray(lens.rays(dtype=torch.float64)[..., :2].reshape(-1, 2).numpy(), np.float32)
    return found


def into_space(
    scene: Scene, origins: Float[Tensor, "r 3"], directions: Float[Tensor, "r 3"], index: Int[Tensor, "r"]
) -> Rays:
    """Rays as a field of the scene is asked along them, from rays in the scene's frame.

    `directions` reach the plane at depth 1 of their camera: (x, y, 1) turned.
    """
    length = directions.norm(dim=1, keepdim=True)
    sights = directions / length
    if scene.space != "ndc":
        return Rays(origins, sights, sights, scene.near * length[:, 0], scene.far * length[:, 0], index)
    origins, directions = window_rays(origins, directions, scene.window)
    length = directions.norm(dim=1, keepdim=True)
    return Rays(origins, directions / length, sights, torch.zeros_like(length[:, 0]), length[:, 0], index)


def camera_rays(scene: Scene, cameras: Cameras, device: torch.device | None = None) -> Rays:
    """The rays of all pixels of all cameras, camera by camera and row by row."""
    scene_from_camera = cameras.camera_from_world.inverse
    local = cameras.pinhole.rays().reshape(-1, 3)
    directions = scene_from_camera.turn(local.expand(len(cameras), -1, -1)).flatten(0, 1)
    origins = scene_from_camera.translation[:, None].expand(-1, len(local), -1).flatten(0, 1)
    index = torch.arange(len(directions))
    return into_space(scene, origins.to(device), directions.to(device), index.to(device))


def depth_along(scene: Scene, cameras: Cameras, rays: Rays, distance: Float[Tensor, "r"]) -> Float[Tensor, "b h w"]:
    """The depth along z, in the scene's unit, of points at a distance along all rays of cameras (`camera_rays`)."""
    points = rays.origins + distance[:, None] * rays.directions
    if scene.space == "ndc":
        z = window_depth(points[:, 2])
        points = (
            torch.cat([points[:, :2] * points.new_tensor(scene.window), torch.ones_like(z)[:, None]], 1) * z[:, None]
        )
    local = cameras.camera_from_world.apply(points.view(len(cameras), -1, 3).cpu())
    return local[..., 2].view(len(cameras), cameras.pinhole.height, cameras.pinhole.width)


def pictures_along(
    scene: Scene,
    cameras: Cameras,
    rays: Rays,
    rgb: Float[Tensor, "r 3"],
    distance: Float[Tensor, "r"],
    through: Float[Tensor, "r"],
) -> tuple[Float[Tensor, "b h w 3"], Float[Tensor, "b h w"], Float[Tensor, "b h w"]]:
    """Colour, depth and opacity as pictures, of what all rays of cameras (`camera_rays`) composite: colours, distances
    times weight, and the share of light that passes. Depth is NaN where more than half of it does."""
    size = len(cameras), cameras.pinhole.height, cameras.pinhole.width
    opacity = 1 - through
    depth = depth_along(scene, cameras, rays, distance / opacity.clamp_min(1e-6)).to(opacity)
    opacity = opacity.view(size)
    return rgb.clamp(0, 1).view(*size, 3), depth.where(opacity >= 0.5, torch.nan), opacity


# -- in which order pixels are drawn -----------------------------------------------------------------------------------


def pooled(
    pool: RayPool,
    batch_size: int,
    *,
    seed: int,
    start: int = 0,
    among: Int[np.ndarray, "m"] | None = None,
    taken: Callable[[], int] | None = None,
) -> Iterator[RayBatch]:
    """Batches without end from step `start` on, of all pictures at once: of every pixel, or of those numbered `among`,
    and only of those that belong to the scene. Every pixel comes once an epoch.

    `taken` says before each step how many rays of its batch are wanted; the others are left out of this epoch.

    Raises ValueError if no pixel is left.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; it has to be at least 1")
    among = pool.usable if among is None else among
    count = len(pool) if among is None else len(among)
    if count == 0:
        raise ValueError("there are no pixels to draw batches from: the masks leave none")
    if taken is not None:
        return _taken(pool, batch_size, seed, start, among, count, taken)
    return _pooled(pool, batch_size, seed, start, among, count)


def _taken(
    pool: RayPool, batch_size: int, seed: int, step: int, among: Int[np.ndarray, "m"] | None, count: int,
    taken: Callable[[], int],
) -> Iterator[RayBatch]:  # fmt: skip
    """Few of many may be wanted: no more are put in order than that."""
    while True:
        pixels = ordered(step * batch_size, min(batch_size, taken()), count, seed)
        yield pool.batch(pixels if among is None else among[pixels])
        step += 1


def _pooled(
    pool: RayPool, batch_size: int, seed: int, step: int, among: Int[np.ndarray, "m"] | None, count: int
) -> Iterator[RayBatch]:
    block, chosen = -1, np.zeros(0, np.int64)
    while True:
        if step // BLOCK != block:  # the order of many batches at once: a batch alone is too few for numpy
            block = step // BLOCK
            chosen = ordered(block * BLOCK * batch_size, BLOCK * batch_size, count, seed)
        first = (step - block * BLOCK) * batch_size
        pixels = chosen[first : first + batch_size]
        yield pool.batch(pixels if among is None else among[pixels])
        step += 1


def pixels_that_meet(pool: RayPool, cells: Cells, walk: Walk) -> Int[np.ndarray, "m"]:
    """Numbers of the usable pixels whose rays, walked so, have a sample where something may be."""
    cells = Cells(*(part.cpu() for part in cells))  # as the rays of a pool are
    among = np.arange(len(pool)) if pool.usable is None else pool.usable
    pieces = np.array_split(among, max(1, len(among) // PIECE))
    return np.concatenate([piece[meet(pool.batch(piece).rays, cells, walk).numpy()] for piece in pieces])


def of_one_picture(
    pool: RayPool, batch_size: int, *, seed: int, start: int = 0, centre_until: int = 0, centre: float = 0.5
) -> Iterator[RayBatch]:
    """Batches without end, each of one picture drawn at random; before step `centre_until` only of its middle, `centre`
    of its width and height."""
    capture, step = pool.capture, start
    while True:
        i = int(hashed(seed, step, 0)[0] % np.uint64(len(capture)))
        pinhole = capture.pinholes[i]
        share = centre if step < centre_until else 1.0
        height, width = max(1, round(share * pinhole.height)), max(1, round(share * pinhole.width))
        top, left = (pinhole.height - height) // 2, (pinhole.width - width) // 2
        chosen = permuted(np.arange(min(batch_size, height * width)), height * width, seed, step)
        v, u = np.divmod(chosen, width)
        yield pool.batch(capture.first[i] + (top + v) * pinhole.width + left + u)
        step += 1


def ordered(first: int, length: int, count: int, seed: int) -> Int[np.ndarray, "length"]:
    """Numbers below `count` in the order of their epochs, laid end to end, from place `first` on."""
    parts = []
    while length:
        epoch, within = divmod(first, count)
        here = min(length, count - within)
        parts.append(permuted(np.arange(within, within + here), count, seed, epoch))
        first, length = first + here, length - here
    return np.concatenate(parts)


def permuted(places: Int[np.ndarray, "r"], count: int, seed: int, epoch: int) -> Int[np.ndarray, "r"]:
    """Where each place below `count` goes in the order of an epoch: a permutation of all places, keyed by seed and
    epoch. A Feistel network over the next power of four, walked on until it is below `count`."""
    half = np.uint64(max(1, (max(count - 1, 1).bit_length() + 1) // 2))
    low = (np.uint64(1) << half) - np.uint64(1)
    keys = [hashed(seed, epoch, 2 + r)[0] for r in range(ROUNDS)]
    state, left = places.astype(np.uint64), np.arange(len(places))
    while len(left):
        a, b = state[left] >> half, state[left] & low
        for key in keys:
            mixed = (b + key) * np.uint64(0x9E3779B97F4A7C15)
            mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
            a, b = b, a ^ ((mixed >> np.uint64(32)) & low)
        state[left] = (a << half) | b
        left = left[state[left] >= np.uint64(count)]
    return state.astype(np.int64)
