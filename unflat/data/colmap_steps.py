"""Structure from motion step by step, by pycolmap on the CPU: the one module that knows its interface.

Written for pycolmap 4 (see `OLDEST`), whose interface differs from that of the releases before. Pillow has to be
imported before it, as here: the other way round, the system's zlib is bound to the one that pycolmap brings along, and
Pillow crashes when it writes a PNG file (seen with pycolmap 4.2.1 and Pillow 13.0.0 on Linux).
"""

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import ExifTags, Image

from unflat.data.recordings import CaptureError

Mapper = Literal["incremental", "global"]
Advance = Callable[[int], None]
"""is told how many parts of a stage are done"""

OLDEST = (4, 0)
"""release of pycolmap that is needed"""
MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE")
_SIMPLER = {"RADIAL": "SIMPLE_RADIAL", "OPENCV": "SIMPLE_RADIAL", "FULL_OPENCV": "SIMPLE_RADIAL"}
"""what cameras are placed with before there are points enough for the whole model: with all the coefficients of
OPENCV free from the first pair on, weak pictures do not come together"""

MATCHED = 15
"""matches that agree on how two cameras stand to each other: fewer count as chance"""
_FEATURES, _FINER_FEATURES = 4096, 8192
"""most features in a picture"""
_FINER_THRESHOLD = 0.003
"""of SIFT's contrast; its usual one is 0.0067. Twice as many features, and three times the time for matching"""
_BLOCK = 16
"""pictures are matched in blocks of so many against so many"""
_OVERLAP = 10
"""frames after each that it is matched with"""
_LANDMARK = 8
"""every so many frames, one is matched with all others of its kind: it notices when the camera comes back"""
_LIVELY = 10
"""pictures of one camera from which on its principal point is worked out"""
_FAR_OFF = 0.15
"""share of the picture by which a principal point may lie off its middle"""
_GROSS = 4.0
"""pixels: observations that are further off are no observations of their point"""


@dataclass(frozen=True)
class Job:
    """One go at placing pictures."""

    colmap: Any
    """the module"""
    database: Path
    pictures: Path
    """their folder"""
    files: tuple[str, ...]
    """their names below it, without spaces; sorted, and in the order of the video"""
    threads: int
    """-1 for all"""
    seed: int
    finer: bool = False
    """look for features that hardly stand out, too"""


def installed() -> Any:
    """The module pycolmap. CaptureError if it is missing, too old, or another module of this name."""
    try:
        import pycolmap
    except (ImportError, RuntimeError) as error:  # RuntimeError: it is there, and its library does not load
        raise CaptureError(
            f"cameras are worked out by pycolmap, which cannot be loaded ({error}): pip install 'unflat[sfm]', or give "
            "a capture whose cameras are known"
        ) from error
    version = str(getattr(pycolmap, "__version__", ""))
    numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
    if numbers < OLDEST:
        raise CaptureError(
            f"cameras are worked out by pycolmap {OLDEST[0]}.{OLDEST[1]} or later, and what is installed under this "
            f"name is {version or 'something else'}: pip install --upgrade 'unflat[sfm]'"
        )
    return pycolmap


@contextmanager
def quiet(colmap: Any) -> Iterator[None]:
    """Without what COLMAP writes to the error stream."""
    before = colmap.logging.minloglevel
    colmap.logging.minloglevel = 3
    try:
        yield
    finally:
        colmap.logging.minloglevel = before


def find_features(job: Job, model: str, shared: bool, advance: Advance) -> list[int]:
    """SIFT in every picture; how many in each. Pictures of one size and lens share a camera if `shared`."""
    colmap = job.colmap
    colmap.set_random_seed(job.seed)
    colmap.Database.open(job.database).close()
    reader = colmap.ImageReaderOptions(camera_model=_SIMPLER.get(model, model))
    mode = colmap.CameraMode.SINGLE if shared else colmap.CameraMode.PER_IMAGE
    for files in _by_camera(job) if shared else [list(job.files)]:
        colmap.import_images(job.database, job.pictures, mode, files, reader)
    options = colmap.FeatureExtractionOptions(num_threads=job.threads, max_image_size=100_000, use_gpu=False)
    options.sift.max_num_features = _FINER_FEATURES if job.finer else _FEATURES
    if job.finer:
        options.sift.peak_threshold = _FINER_THRESHOLD
    step = 4 * _threads(job)
    for first in range(0, len(job.files), step):
        files = list(job.files[first : first + step])
        colmap.extract_features(job.database, job.pictures, files, mode, reader, options, colmap.Device.cpu)
        advance(first + len(files))
    with _opened(job) as database:
        return [database.num_keypoints_for_image(id) for id in _ids(job, database)]


def _by_camera(job: Job) -> list[list[str]]:
    """Pictures of one size, taken by one device at one focal length as far as they say."""
    groups: dict[tuple, list[str]] = {}
    for file in job.files:
        with Image.open(job.pictures / file) as image:
            tags = image.getexif()
            lens = tags.get_ifd(ExifTags.IFD.Exif)
            focal = [lens.get(tag) for tag in (ExifTags.Base.FocalLength, ExifTags.Base.FocalLengthIn35mmFilm)]
            key = (image.size, str(tags.get(ExifTags.Base.Model)), *map(str, focal))
        groups.setdefault(key, []).append(file)
    return list(groups.values())


def pairs_to_match(count: int, sequential: bool) -> list[tuple[int, int]]:
    """Which of so many pictures to match with which: all, or each with the next ten, those 16, 32, ... further on, and
    every eighth with every eighth. In an order in which few pictures are in use at a time."""
    pairs = list(itertools.combinations(range(count), 2))
    if sequential:
        pairs = [
            (i, j)
            for i, j in pairs
            if j - i <= _OVERLAP or (j - i).bit_count() == 1 or (i % _LANDMARK == 0 and j % _LANDMARK == 0)
        ]
    return sorted(pairs, key=lambda pair: (pair[0] // _BLOCK, pair[1] // _BLOCK))


def match_pictures(job: Job, pairs: Sequence[tuple[int, int]], advance: Advance) -> np.ndarray:
    """Match the features of pairs. [n, n]: how many matches of two pictures agree, 0 where they were not matched."""
    colmap = job.colmap
    matching = colmap.FeatureMatchingOptions(num_threads=job.threads, use_gpu=False)
    verification = colmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = job.seed
    listed = job.database.with_suffix(".pairs.txt")
    for first in range(0, len(pairs), _BLOCK**2):
        part = pairs[first : first + _BLOCK**2]
        listed.write_text("".join(f"{job.files[i]} {job.files[j]}\n" for i, j in part))
        pairing = colmap.ImportedPairingOptions(match_list_path=listed)
        colmap.match_image_pairs(job.database, matching, pairing, verification, colmap.Device.cpu)
        advance(first + len(part))
    agreeing = np.zeros((len(job.files), len(job.files)), np.int64)
    with _opened(job) as database:
        place = {id: i for i, id in enumerate(_ids(job, database))}
        for pair, count in zip(*database.read_two_view_geometry_num_inliers(), strict=True):
            i, j = (place[id] for id in colmap.pair_id_to_image_pair(pair))
            agreeing[i, j] = agreeing[j, i] = count if count >= MATCHED else 0
    return agreeing


def map_scene(job: Job, mapper: Mapper, advance: Advance) -> list[Any]:
    """Cameras and points: pycolmap's reconstructions, the one with most cameras first; they do not join."""
    colmap, folder = job.colmap, job.database.with_suffix(".models")
    folder.mkdir(exist_ok=True)
    colmap.set_random_seed(job.seed)
    if mapper == "global":
        colmap.calibrate_view_graph(job.database, colmap.ViewGraphCalibrationOptions(random_seed=job.seed))
        options = colmap.GlobalPipelineOptions(num_threads=job.threads, random_seed=job.seed)
        found = colmap.global_mapping(job.database, job.pictures, folder, options)
    else:
        options = colmap.IncrementalPipelineOptions(num_threads=job.threads, random_seed=job.seed)
        placed = itertools.count(3)  # after the first two
        callback = lambda: advance(next(placed))  # noqa: E731
        found = colmap.incremental_mapping(job.database, job.pictures, folder, options, next_image_callback=callback)
    return sorted(found.values(), key=lambda scene: -scene.num_reg_images())


def refined(job: Job, scene: Any, model: str) -> tuple[Any, bool]:
    """All cameras and points adjusted together with the whole lens model, and whether that was possible.

    The principal point is adjusted, too, where there are pictures enough. First by least squares, then with Cauchy's
    loss, which what is wrongly matched hardly moves. If a lens comes out that cannot be, the simpler model that the
    cameras were placed with stays.
    """
    whole = job.colmap.Reconstruction(scene)
    for camera in whole.cameras.values():
        _take_model(job.colmap, camera, model)
    lively = whole.num_reg_images() >= _LIVELY * whole.num_cameras()
    possible = _adjust(job, whole, principal_point=lively) and all(map(_can_be, whole.cameras.values()))
    if not possible:
        whole = job.colmap.Reconstruction(scene)
        _adjust(job, whole, principal_point=False)
    job.colmap.ObservationManager(whole).filter_all_points3D(_GROSS, 0.0)
    whole.update_point_3d_errors()
    return whole, possible


def _take_model(colmap: Any, camera: Any, model: str) -> None:
    """The same camera with more coefficients, which are 0."""
    if camera.model_name == model:
        return
    more = colmap.Camera.create_from_model_name(
        camera.camera_id, model, camera.mean_focal_length(), camera.width, camera.height
    )
    params = np.array(more.params)
    params[more.principal_point_idxs()] = camera.principal_point_x, camera.principal_point_y
    bending = np.array(camera.params)[camera.extra_params_idxs()]
    params[more.extra_params_idxs()[: len(bending)]] = bending
    camera.model, camera.params = more.model, params


def _adjust(job: Job, scene: Any, principal_point: bool) -> bool:
    """Bundle adjustment in two rounds. Whether both came to an end that makes sense."""
    colmap = job.colmap
    config = colmap.BundleAdjustmentConfig()
    for id in scene.reg_image_ids():
        config.add_image(id)
    config.fix_gauge(colmap.BundleAdjustmentGauge.TWO_CAMS_FROM_WORLD)
    usable = True
    for loss, tolerance in (("TRIVIAL", 1e-6), ("CAUCHY", 1e-5)):
        options = colmap.BundleAdjustmentOptions(print_summary=False, refine_principal_point=principal_point)
        options.ceres.loss_function_type = getattr(colmap.LossFunctionType, loss)
        options.ceres.solver_options.function_tolerance = tolerance
        options.ceres.solver_options.num_threads = job.threads
        # the function bundle_adjustment does the same, and leaves COLMAP's log turned on
        usable &= colmap.create_default_bundle_adjuster(options, config, scene).solve().is_solution_usable()
    return usable


def _can_be(camera: Any) -> bool:
    off_x = abs(camera.principal_point_x / camera.width - 0.5)
    off_y = abs(camera.principal_point_y / camera.height - 0.5)
    return max(off_x, off_y) <= _FAR_OFF and not camera.has_bogus_params(0.1, 10.0, 1.0)


@contextmanager
def _opened(job: Job) -> Iterator[Any]:
    database = job.colmap.Database.open(job.database)
    try:
        yield database
    finally:
        database.close()


def _ids(job: Job, database: Any) -> list[int]:
    return [database.read_image_with_name(file).image_id for file in job.files]


def _threads(job: Job) -> int:
    return job.threads if job.threads > 0 else os.cpu_count() or 1
