"""Cameras of bare photos or of a video: a COLMAP model, a contact sheet, and a report of how far to trust them."""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from unflat.data import colmap_steps
from unflat.data.colmap_steps import MATCHED, MODELS, Job, Mapper
from unflat.data.inspect import contact_sheet, whole_tile
from unflat.data.kinds import Photos, Skipped
from unflat.data.recordings import CaptureError
from unflat.data.sharp_frames import SharpFrames, sharp_frames
from unflat.data.stages import Stages

Matcher = Literal["auto", "exhaustive", "sequential"]

FEWEST = 3
"""pictures that make a capture"""
EXHAUSTIVE = 150
"""pictures up to which photos are matched each with each"""
LEAST_SHARE = 0.9
"""of the pictures that should be placed"""
LARGEST_ERROR = 1.5
"""pixels by which points should miss their pictures at most, on average"""
SHORTEST_TRACK = 4.0
"""pictures in which a point should be seen, on average"""
FEW_FEATURES = 100
"""a picture with fewer shows too little"""
CELL = 128
"""side of a picture on the contact sheet, in pixels"""
NAMED = 10
"""pictures are named up to this number in a message"""
_STALE_SECONDS = 24 * 3600
_ADVICE = (
    "Take pictures that each show half of what the one before shows, of things with texture, still, in even light and "
    "without blur; walk around the scene or step sideways, since turning on the spot tells nothing about depth"
)
_SIMPLE_LENS = (
    "the lens could not be worked out in full, and a simpler one was kept, its principal point in the middle of the "
    "picture: take more pictures, some of them nearer and some with the camera turned on its side"
)


@dataclass(frozen=True)
class Placed:
    """What became of the pictures."""

    folder: Path
    """holds images/, sparse/0/, contact-sheet.png and report.json"""
    found: int
    """pictures that can be read, or frames of the video"""
    used: int
    """of these that were chosen: sharp ones that differ"""
    placed: int
    """of these that have a camera"""
    unplaced: tuple[Skipped, ...]
    """the others, and what kept them from it"""
    skipped: tuple[Skipped, ...]
    """files that cannot be read"""
    error: float
    """pixels of the used pictures by which points miss the places where they are seen, mean over the points"""
    track_length: float
    """pictures in which a point is seen, mean over the points"""
    points: int
    models: int
    """parts that do not join; the largest was taken"""
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Go:
    """What one go at placing the pictures came to."""

    job: Job
    features: list[int]
    """in each picture"""
    agreeing: np.ndarray
    """[n, n] matches that agree"""
    scenes: list[Any]

    @property
    def placed(self) -> int:
        return len(self.placed_in(0))

    def placed_in(self, scene: int) -> set[str]:
        """The files that have a camera in a scene, the largest of which is the first."""
        if scene >= len(self.scenes):
            return set()
        return {self.scenes[scene].image(id).name for id in self.scenes[scene].reg_image_ids()}


def place_cameras(
    source: Path,
    out: Path,
    *,
    count: int = 100,
    side: int = 1600,
    shared_camera: bool = True,
    matcher: Matcher = "auto",
    mapper: Mapper = "incremental",
    model: str = "OPENCV",
    threads: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Placed:
    """Work out where the pictures of `source`, a folder of photos or a video, were taken from, and write it to `out`.

    `out` holds the pictures that were used (`images/`, the longer side at most `side` pixels), a binary COLMAP model of
    them (`sparse/0/`), all of them on one sheet, those without a camera in red (`contact-sheet.png`), and
    `report.json`. It must not be there before, or be empty, and appears when all is done: a run that is broken off
    leaves none.

    `count`: pictures taken of a video, or of more photos than that whose names number them (see `sharp_frames`).
    `shared_camera`: pictures of one size and lens have one camera; False gives each its own. `matcher`: each picture
    with each, or with those near it; `auto` takes the first for up to 150 photos, the second for videos and longer
    numbered series. `mapper`: `global` is faster with hundreds of pictures. `model`: one of `colmap_steps.MODELS`.
    `threads`: all unless given. With one thread the same pictures and `seed` give the same cameras to the last bit;
    with more, sums are added in another order, and cameras differ in their last digits. Other machines and
    releases of pycolmap differ, too.

    If pictures are left over, a second go with more features is made, in about twice the time of the first, and the
    better one is kept.
    Raises CaptureError where fewer than three pictures can be placed.
    """
    _check(matcher, mapper, model, threads)
    colmap, out, stages = colmap_steps.installed(), Path(out), Stages(progress)
    with _appearing(out) as work, colmap_steps.quiet(colmap):
        frames = sharp_frames(Path(source), work / "images", count, side=side, stages=stages)
        names = [picture.relative_to(work / "images").as_posix() for picture in frames.pictures]
        _enough(frames, names)
        files = _numbered(frames.pictures, work / "numbered")
        job = Job(colmap, work / "go-1.db", work / "numbered", files, threads or -1, seed)
        go = _best_go(job, names, model, shared_camera, _pairs(frames, matcher), mapper, stages)
        with stages.stage("Adjusting cameras and points"):
            scene, whole = colmap_steps.refined(go.job, go.scenes[0], model)
        _named(work, scene, files, names)
        placed = _outcome(out, frames, names, go, scene, whole)
        _sheet(work, names, placed.unplaced)
        settings = {"count": count, "side": side, "shared_camera": shared_camera, "matcher": matcher, "mapper": mapper,
                    "model": model, "threads": threads, "seed": seed}  # fmt: skip
        _report(work, placed, frames, scene, settings, stages, colmap)
    return placed


def _check(matcher: str, mapper: str, model: str, threads: int | None) -> None:
    given = (("matcher", matcher, get_args(Matcher)), ("mapper", mapper, get_args(Mapper)), ("model", model, MODELS))
    for what, value, known in given:
        if value not in known:
            raise CaptureError(f"{what}={value!r} is not known: one of {', '.join(known)} is")
    if threads is not None and threads < 1:
        raise CaptureError(f"threads={threads} is no number of threads; give 1 or more, or leave it out for all")


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """A folder beside `out` that becomes `out` at the end; it is gone if the block raises. CaptureError if there is
    something in `out`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise CaptureError(f"{out} is there already and is left as it is: give a new folder, or remove it first")
    prefix = f".making-{out.name}-"
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f"{prefix}*"):  # by runs that were killed
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    try:
        yield work
        for scratch in [path for path in work.iterdir() if path.name.startswith(("go-", "numbered"))]:
            shutil.rmtree(scratch) if scratch.is_dir() else scratch.unlink()
        work.chmod(0o777 & ~_umask())  # mkdtemp makes folders that only their owner may enter
        if out.exists():
            out.rmdir()
        work.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _enough(frames: SharpFrames, names: Sequence[str]) -> None:
    if len(names) >= FEWEST:
        return
    what = "frames" if frames.video else "pictures"
    still = f", since {frames.alike} hardly differ from the one before them (the camera did not move)"
    unread = (
        f", and {len(frames.skipped)} more cannot be read, as {' '.join(frames.skipped[0])}" if frames.skipped else ""
    )
    raise CaptureError(
        f"{len(names)} of {frames.found} {what} can be used{still if frames.alike else ''}{unread}; at least {FEWEST} "
        f"are needed, and 30 to 150 are usual. {_ADVICE}"
    )


def _numbered(pictures: Sequence[Path], folder: Path) -> tuple[str, ...]:
    """Move the pictures into `folder`, under numbers for names: COLMAP sorts them, and takes no names with spaces."""
    folder.mkdir()
    files = [f"{i:06d}{picture.suffix.lower()}" for i, picture in enumerate(pictures)]
    for file, picture in zip(files, pictures, strict=True):
        picture.rename(folder / file)
    return tuple(files)


def _named(work: Path, scene: Any, files: Sequence[str], names: Sequence[str]) -> None:
    """Give the pictures their names back, and write the model."""
    for file, name in zip(files, names, strict=True):
        (work / "numbered" / file).rename(work / "images" / name)
    for image in scene.images.values():
        image.name = names[files.index(image.name)]
    model = work / "sparse" / "0"
    model.mkdir(parents=True)
    scene.write(model)


def _pairs(frames: SharpFrames, matcher: Matcher) -> list[tuple[int, int]]:
    count = len(frames.pictures)
    near = matcher == "sequential" or (matcher == "auto" and (frames.video or (frames.in_order and count > EXHAUSTIVE)))
    return colmap_steps.pairs_to_match(count, near)


def _best_go(
    job: Job,
    names: Sequence[str],
    model: str,
    shared: bool,
    pairs: list[tuple[int, int]],
    mapper: Mapper,
    stages: Stages,
) -> _Go:
    """A go, and a second one with more features if not all pictures were placed: the one that placed more.

    The second does not match again pictures that have been placed and have nothing in common.
    """
    go = _go(job, model, shared, pairs, mapper, stages)
    if go.placed < len(names):
        finer = replace(job, database=job.database.with_name("go-2.db"), finer=True)
        there = go.placed_in(0)
        promising = [(i, j) for i, j in pairs if go.agreeing[i, j] or not {job.files[i], job.files[j]} <= there]
        go = max(go, _go(finer, model, shared, promising, mapper, stages), key=lambda made: made.placed)
    if go.placed < FEWEST:
        raise CaptureError(_failure(go, names))
    return go


def _go(job: Job, model: str, shared: bool, pairs: list[tuple[int, int]], mapper: Mapper, stages: Stages) -> _Go:
    again = ", second go" if job.finer else ""
    with stages.stage(f"Finding features{again}", len(job.files)) as done:
        features = colmap_steps.find_features(job, model, shared, done)
    with stages.stage(f"Matching pairs{again}", len(pairs)) as done:
        agreeing = colmap_steps.match_pictures(job, pairs, done)
    if not agreeing.any():
        return _Go(job, features, agreeing, [])
    with stages.stage(f"Placing cameras{again}", len(job.files)) as done:
        scenes = colmap_steps.map_scene(job, mapper, done)
    return _Go(job, features, agreeing, scenes)


def _failure(go: _Go, names: Sequence[str]) -> str:
    """Why hardly any picture could be placed."""
    blank = [name for name, features in zip(names, go.features, strict=True) if features < FEW_FEATURES]
    if len(names) - len(blank) < FEWEST:
        return (
            f"{len(blank)} of {len(names)} pictures show too little to hold on to, plain surfaces or blur: "
            f"{_listed(blank)}. {_ADVICE}"
        )
    alone = [name for name, row in zip(names, go.agreeing, strict=True) if not row.any()]
    if len(names) - len(alone) < FEWEST:
        return (
            f"{len(alone)} of {len(names)} pictures show nothing that another shows, too: {_listed(alone)}. {_ADVICE}"
        )
    return (
        f"no cameras could be worked out: {len(names)} pictures share things, but not from places far enough apart, or "
        f"too few of them ({_listed(names)}). {_ADVICE}"
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _outcome(out: Path, frames: SharpFrames, names: Sequence[str], go: _Go, scene: Any, whole: bool) -> Placed:
    placed = Placed(
        folder=out,
        found=frames.found,
        used=len(names),
        placed=scene.num_reg_images(),
        unplaced=_unplaced(names, go),
        skipped=frames.skipped,
        error=float(scene.compute_mean_reprojection_error()),
        track_length=float(scene.compute_mean_track_length()),
        points=scene.num_points3D(),
        models=len(go.scenes),
        warnings=(),
    )
    lens = () if whole else (_SIMPLE_LENS,)
    return replace(placed, warnings=(*_choice(frames, len(names)), *_gates(placed), *lens))


def _unplaced(names: Sequence[str], go: _Go) -> tuple[Skipped, ...]:
    there = [go.placed_in(scene) for scene in range(len(go.scenes))]
    left = []
    for i, (file, name) in enumerate(zip(go.job.files, names, strict=True)):
        if file in there[0]:
            continue
        best = int(go.agreeing[i].argmax())
        if any(file in other for other in there[1:]):
            why = "belongs to a part that does not join the largest: take pictures that lead from one to the other"
        elif go.features[i] < FEW_FEATURES:
            why = f"shows too little to hold on to ({go.features[i]} features): plain surfaces or blur"
        elif go.agreeing[i, best] == 0:
            why = f"shares fewer than {MATCHED} features with every other picture: take one between it and the others"
        else:
            why = (
                f"shares too little with the others ({go.agreeing[i, best]} features with {names[best]} at most): take "
                "more pictures near it"
            )
        left.append(Skipped(name, why))
    return tuple(left)


def _choice(frames: SharpFrames, used: int) -> list[str]:
    """What was left out before, for who wonders."""
    said = []
    if frames.left_out and not frames.video:
        said.append(
            f"of {frames.found} photos in a row only the sharpest of each stretch are used, {used} in all: a larger "
            "count uses more"
        )
    if frames.alike:
        said.append(
            f"{frames.alike} pictures were left out that hardly differ from the one before: the camera stood still"
        )
    if frames.skipped:
        name, why = frames.skipped[0]
        said.append(f"{len(frames.skipped)} pictures cannot be read: {name} {why}")
    return said


def _gates(placed: Placed) -> list[str]:
    """What speaks against trusting the cameras, each with what to do."""
    said = []
    if placed.placed < LEAST_SHARE * placed.used:
        left = _listed([name for name, _ in placed.unplaced])
        said.append(
            f"only {placed.placed} of {placed.used} pictures could be placed; without a camera are {left}. Take "
            "pictures between these and the others, or leave them out if the rest shows all of the scene"
        )
    if placed.error > LARGEST_ERROR:
        said.append(
            f"points miss their places in the pictures by {placed.error:.2f} pixels on average, and {LARGEST_ERROR} is "
            "the most that is usual: something moved, the zoom changed (shared_camera=False then), or the lens is "
            "a fisheye (model='OPENCV_FISHEYE')"
        )
    if placed.track_length < SHORTEST_TRACK:
        said.append(
            f"points are seen in {placed.track_length:.1f} pictures on average, and {SHORTEST_TRACK:g} is the least "
            "that is usual: the cameras hang together loosely. Take more pictures, in smaller steps"
        )
    if placed.models > 1:
        said.append(
            f"the pictures fall into {placed.models} parts that do not join, and the largest was taken "
            f"({placed.placed} pictures): take pictures that lead from one part to the other"
        )
    return said


def _sheet(work: Path, names: Sequence[str], unplaced: Sequence[Skipped]) -> None:
    tiles = [_tile(work / "images" / name) for name in names]
    left = [name for name, _ in unplaced]
    contact_sheet(Photos(np.stack(tiles), names), work / "contact-sheet.png", 10, len(names), CELL, marked=left)


def _tile(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return whole_tile(image, CELL)


def _report(
    work: Path, placed: Placed, frames: SharpFrames, scene: Any, settings: dict[str, Any], stages: Stages, colmap: Any
) -> None:
    listed = {what: [entry._asdict() for entry in getattr(placed, what)] for what in ("unplaced", "skipped")}
    cameras = [
        {"model": camera.model_name, "width": camera.width, "height": camera.height, "params": list(camera.params)}
        for camera in scene.cameras.values()
    ]
    said = {
        **asdict(placed), **listed, "folder": placed.folder.name, "left_out": frames.left_out, "alike": frames.alike,
        "cameras": cameras, "settings": settings, "pycolmap": str(colmap.__version__), "seconds": stages.seconds,
    }  # fmt: skip
    (work / "report.json").write_text(json.dumps(said, indent=2), encoding="utf-8")
