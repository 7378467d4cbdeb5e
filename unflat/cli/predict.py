"""`unflat predict`: photos to depth, normals, albedo, light, meshes, videos and a report."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from unflat.cli.parsing import Count, Flag, Run, Text, only_json, parsed, print_json
from unflat.cli.sources import WORLDS, photos_of

if TYPE_CHECKING:
    from unflat.data.kinds import Photos
    from unflat.method import Prediction
    from unflat.outputs.pages import Table


@dataclass(frozen=True)
class PredictOptions:
    """Photos to 3D: depth, normals, albedo, shading, light, view, confidence, meshes (GLB, PLY), videos and a report.

    Photos have to be cropped like those that were learned from; a photo whose crop differs in scale is named.
    """

    run: Run
    """a run's folder, a file of weights, or the shipped face model: faces"""
    photos: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="PHOTOS")]
    """a photo, a folder, a glob in quotes, a video (one result a frame), or generated faces: faces:8"""
    out: Path = Path("out")
    """where everything goes; open report.html there"""
    crop: Text = ""
    """square crop: centre, face, alpha, none, or a table of boxes. Left out: as the photos that were learned from"""
    limit: Count = None
    """take only so many of the photos"""
    texture: Literal["photo", "shaded", "albedo"] = "photo"
    """of meshes and turntables: the photo itself (what it hides is mirrored), or the model's colours with its light or
    without"""
    pose: Literal["canonical", "input", "both"] = "both"
    """of the meshes: frontal, as in the photo, or a file for each"""
    light: Literal["sweep", "grid", "both", "none"] = "both"
    """relighting: a video of a light that goes around, a picture of ten lights, or both"""
    videos: Flag = True
    """write the turntable and the video of the light; they take most of the time"""
    device: str = "cpu"
    """or cuda"""
    json: Flag = False
    """for scripts: the files that were written, as one object"""


def predict(arguments: Sequence[str]) -> None:
    options = parsed(PredictOptions, arguments, "predict")
    with only_json(options.json):
        files = _predicted(options)
    if options.json:
        print_json({"out": str(options.out), "files": [str(path) for path in files]})


def _predicted(options: PredictOptions) -> list[Path]:
    from unflat.data.crops import crop_warnings
    from unflat.data.frames import is_video
    from unflat.method import predict_in_pieces
    from unflat.training.checkpoint import find, load_method, read

    method = load_method(options.run, device=options.device)
    learned: dict[str, Any] = read(find(options.run)).header
    crop = options.crop or _learned_crop(learned["crop"], options.photos)
    photos = photos_of(options.photos, method.extent.size[0], crop, limit=options.limit)
    warnings = crop_warnings(photos, learned["crop"])
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    prediction = predict_in_pieces(method, photos)
    if is_video(Path(options.photos)):
        return _write_video(prediction, photos, options)
    settings = {"run": options.run, "crop": photos.crop, **{k: learned[k] for k in ("method", "config", "training")}}
    return write_folder(prediction, photos, options, settings, warnings)


def _learned_crop(learned: dict[str, Any], photos: str) -> str:
    """The way of cropping that the run learned from, as far as it can be repeated without being told more."""
    mode = learned.get("mode")
    return mode if mode in ("centre", "face", "alpha") and photos.partition(":")[0] not in WORLDS else ""


def _write_video(prediction: "Prediction", photos: "Photos", options: PredictOptions) -> list[Path]:
    from unflat.outputs.clips import write_video_outputs

    files = write_video_outputs(prediction, photos, options.out)
    print(f"{len(photos)} frames in 3D: see {options.out / 'comparison.mp4'}")
    return files


def write_folder(
    prediction: "Prediction",
    photos: "Photos",
    options: PredictOptions,
    settings: dict[str, Any],
    warnings: Sequence[str] = (),
    tables: Sequence["Table"] = (),
) -> list[Path]:
    """Everything the user gets of photos, and a word on where it is."""
    from unflat.outputs.photos import write_outputs
    from unflat.outputs.report import write_report

    out = options.out
    files = write_outputs(
        prediction, photos, out, texture=options.texture, pose=options.pose, light=options.light, videos=options.videos
    )
    report = write_report(out / "report.html", out, settings=settings, warnings=warnings, tables=tables)
    print(f"{len(photos)} photos in 3D. Open {report} in a browser; meshes and videos are in {out}/*/")
    return [*files, report]
