"""Captures as users have them: found, read, normalised, and their pictures decoded."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from unflat.data.frame_pictures import SHARE, Pictures, load_pictures, pinhole_of
from unflat.data.kinds import Capture, Points, Scene, Skipped, Space
from unflat.data.photo_files import absolute_path
from unflat.data.pictures import PictureError, open_stored, quiet_pillow, stored_header
from unflat.data.readers.captures import read_recording, split_names
from unflat.data.recordings import CaptureError, Frame, Recording, Split
from unflat.data.scenes import Rig, depths_of, settled
from unflat.data.shrinking import shrunk, shrunk_mask
from unflat.geometry.similarities import Similarity

REPORTED = 20
"""skipped pictures are named up to this number, then counted"""
LOOKED_AT = 5
"""pictures whose opacity is looked at"""


def read_capture(
    source: Path | str,
    *,
    split: Split | None = None,
    side: int | None = None,
    reader: str = "",
    space: Space | None = None,
    box: Sequence[float] | None = None,
    share: float = SHARE,
    report: Callable[[str], None] | None = None,
    progress: bool = True,
) -> Capture:
    """Posed pictures of one scene: Blender's and nerfstudio's transforms, COLMAP's sparse models, LLFF's poses.

    `source`: the folder (or its transforms.json, poses_bounds.npy). `split`: train, val or test, as the files say, else
    every eighth picture for testing; all pictures if None. `side`: the longer side in pixels, of pictures that are
    larger. `reader`: its name, instead of the one that recognises the folder. `space` (box, contracted or ndc) and
    `box` (least and largest x, y, z in the files' world) win over what the cameras say.

    The scene is the same whichever split is read. What was assumed and skipped is told to `report` (the log unless
    given). Raises CaptureError, which says what is wrong with the files.
    """
    recording = read_recording(Path(source), reader)
    tell = report or logging.getLogger(__name__).warning
    for note in recording.notes:
        tell(note)
    frames = _of_split(recording, split)
    sized, alpha = _sized(recording.frames)
    scene_from_world, scene = _settled(sized, recording, alpha, space, box)
    pictures = load_pictures(
        frames, side=side, depth_unit=recording.depth_unit, share=share, minimum=1 if split in ("val", "test") else 2,
        progress=progress,
    )  # fmt: skip
    skipped = (*recording.skipped, *pictures.skipped)
    for name, why in skipped[:REPORTED]:
        tell(f"skipped: {name} {why}")
    if len(skipped) > REPORTED:
        tell(f"skipped: {len(skipped) - REPORTED} more pictures")
    origin = {
        "source": str(absolute_path(Path(source))), "split": split, "side": side, "reader": reader,
        "space": space, "box": None if box is None else [float(value) for value in box],
    }  # fmt: skip
    return replace(_joined(pictures, recording.points, scene_from_world, scene, alpha, skipped), origin=origin)


def smaller(capture: Capture, factor: int) -> Capture:
    """The same capture with pictures so many times smaller, areas averaged; without depth and normals."""
    if factor == 1:
        return capture
    pinholes, pixels, masks = [], [], []
    for i, pinhole in enumerate(capture.pinholes):
        width, height = max(1, pinhole.width // factor), max(1, pinhole.height // factor)
        pinholes.append(pinhole.resized(width, height))
        pixels.append(shrunk(capture.picture(i), width, height).reshape(-1, capture.pixels.shape[1]))
        if capture.mask is not None:
            masks.append(shrunk_mask(capture.picture(i, "mask"), width, height).reshape(-1))
    return replace(
        capture, pixels=np.concatenate(pixels), pinholes=pinholes, mask=np.concatenate(masks) if masks else None,
        depth=None, normals=None,
    )  # fmt: skip


def _of_split(recording: Recording, split: Split | None) -> list[Frame]:
    if split is None:
        return list(recording.frames)
    names = split_names(recording)
    found = [frame for frame in recording.frames if names.get(frame.name) == split]
    if not found:
        there = ", ".join(sorted(set(names.values())))
        raise CaptureError(f"this capture has no pictures of the split {split}; it has {there}")
    return found


def _sized(frames: Sequence[Frame]) -> tuple[list[Frame], bool]:
    """The frames, each with its pinhole, and whether pictures say where nothing is. What cannot be read is left out."""
    sized, transparent = [], []
    with quiet_pillow():
        for frame in frames:
            try:
                size, alpha = stored_header(frame.picture)
            except PictureError:
                continue  # told when the pictures are decoded
            sized.append(replace(frame, pinhole=pinhole_of(frame, size)))
            transparent += [frame] if alpha else []
        # many programs write an opacity that is 1 everywhere
        looked_at = transparent[:: max(1, len(transparent) // LOOKED_AT)][:LOOKED_AT]
        return sized, any(_is_transparent(frame) for frame in looked_at)


def _is_transparent(frame: Frame) -> bool:
    try:
        return bool((open_stored(frame.picture)[..., 3] < 255).any())
    except PictureError:
        return False


def _settled(
    frames: Sequence[Frame], recording: Recording, alpha: bool, space: Space | None, box: Sequence[float] | None
) -> tuple[Similarity, Scene]:
    """The scene, from all frames of the recording."""
    pinholes = [frame.pinhole for frame in frames if frame.pinhole is not None]
    rig = Rig(np.stack([frame.world_from_camera for frame in frames]), pinholes)
    depths, points = recording.bounds, recording.points
    if depths is None and points is not None and len(points):
        depths = depths_of(rig, points.places, points.seen_in)
    return settled(replace(rig, depths=depths), alpha=alpha, space=space, box=box)


def _joined(
    pictures: Pictures,
    points: Points | None,
    scene_from_world: Similarity,
    scene: Scene,
    alpha: bool,
    skipped: Sequence[Skipped],
) -> Capture:
    """All of it in the scene's frame."""
    poses = scene_from_world.place(np.stack([frame.world_from_camera for frame in pictures.frames]))
    depth = pictures.depth
    return Capture(
        # a split of a capture with transparent pictures may hold none, and the other way round
        pixels=pictures.pixels if alpha or pictures.pixels.shape[1] == 3 else pictures.pixels[:, :3],
        pinholes=pictures.pinholes,
        scene_from_camera=poses,
        names=tuple(frame.name for frame in pictures.frames),
        scene=scene,
        mask=pictures.mask,
        depth=None if depth is None else depth * np.float32(scene_from_world.scale),
        points=None if points is None else replace(points, places=scene_from_world.apply(points.places)),
        skipped=skipped,
    )


def resettled(capture: Capture, space: Space | None = None) -> Capture:
    """The capture in the frame and with the scene that its cameras say, as `read_capture` would find them: for pictures
    that have lost their transparency, or in another space."""
    world = capture.scene.world_from_scene
    rig = Rig(world.place(capture.scene_from_camera), capture.pinholes)
    if capture.points is not None and len(capture.points):
        rig = replace(rig, depths=depths_of(rig, world.apply(capture.points.places), capture.points.seen_in))
    _, scene = settled(rig, alpha=capture.has_alpha, space=space)
    origin = {**capture.origin, "space": scene.space} if capture.origin else {}
    return replace(placed_in(capture, scene), origin=origin)


def placed_in(capture: Capture, scene: Scene) -> Capture:
    """The capture with its cameras, depth and points in the frame of another scene of the same world.

    What a run has learned from some pictures is asked for others so, whatever their own files say of the frame.
    """
    scene_from_own = scene.world_from_scene.inverse @ capture.scene.world_from_scene
    points, depth = capture.points, capture.depth
    return replace(
        capture,
        scene=scene,
        scene_from_camera=scene_from_own.place(capture.scene_from_camera),
        depth=None if depth is None else depth * np.float32(scene_from_own.scale),
        points=None if points is None else replace(points, places=scene_from_own.apply(points.places)),
    )
