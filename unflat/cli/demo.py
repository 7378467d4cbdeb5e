"""`unflat demo`: the three main jobs on what the package ships, for a first look."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unflat.cli.parsing import Count, Flag, parsed
from unflat.cli.predict import PredictOptions, write_folder

if TYPE_CHECKING:
    from unflat.data.kinds import Photos
    from unflat.evaluation.figures import Evaluation

SAMPLES = Path(__file__).parent.parent / "samples"
CAPTURE = Path(__file__).parent.parent / "captures" / "power_drill"
MEASURED = 100
"""generated faces on which the figures of the report are measured"""


@dataclass(frozen=True)
class DemoOptions:
    """A first look: three real photos (Caltech-101, CC BY 4.0) and generated faces in 3D, by the shipped face model;
    and, from 48 pictures of a power drill (rendered from a YCB model, CC BY 4.0), a radiance field and a mesh."""

    out: Path = Path("demo")
    """where everything goes; open report.html there"""
    faces: int = 3
    """how many generated faces"""
    run: str = "faces"
    """other weights for faces: a run's folder or a file"""
    videos: Flag = True
    """write videos"""
    capture: Flag = True
    """also learn the power drill, to OUT/drill: a minute or two"""
    steps: Count = None
    """of its radiance field. Left out: as many as `unflat train` takes"""


def demo(arguments: Sequence[str]) -> None:
    options = parsed(DemoOptions, arguments, "demo")
    _faces(options)
    if options.capture:
        _drill(options)
        _mesh(options)


def _faces(options: DemoOptions) -> None:
    from unflat.evaluation.compare import evaluate
    from unflat.method import predict_in_pieces
    from unflat.training.checkpoint import load_method
    from unflat.worlds.faces import Faces

    method = load_method(options.run)
    size = method.extent.size[0]
    print(f"{_part(1, options)} measuring the model on {MEASURED} generated faces that it has not seen")
    generated = Faces(MEASURED, size=size, split="test").photos()
    evaluation = evaluate(method, generated)
    number = _part(2, options)
    print(f"{number} explaining three real photos and {options.faces} generated ones: depth, albedo, light and view")
    photos = _joined(_real(size), generated[: options.faces])
    prediction = predict_in_pieces(method, photos)
    print(f"{_part(3, options)} writing meshes, videos and the report")
    as_predict = PredictOptions(options.run, str(SAMPLES), out=options.out, crop="face", videos=options.videos)
    settings = {"weights": options.run, "method": type(method).__name__, "photos": "Caltech-101, CC BY 4.0"}
    write_folder(prediction, photos, as_predict, settings, tables=[_table(evaluation)])


def _drill(options: DemoOptions) -> None:
    """A radiance field of the shipped capture, and what a user would make of it."""
    from dataclasses import replace

    from unflat import catalogue
    from unflat.data.captures import read_capture
    from unflat.training.run import train
    from unflat.training.scene_report import report

    print(f"{_part(4, options)} learning a power drill from 48 pictures of it: look at {options.out / 'drill' / 'run'}")
    chosen = catalogue.experiment("quick_grid", "small")
    steps = chosen.training.steps if options.steps is None else options.steps
    training = replace(chosen.training, steps=steps, sample_every=max(1, steps // 20), log_every=max(1, steps // 10))
    learned, unseen = (read_capture(CAPTURE, split=split, progress=False) for split in ("train", "test"))
    run = train(
        "quick_grid", learned, out=options.out / "drill" / "run", config=chosen.config, training=training,
        validation=unseen, resume=False,
    )  # fmt: skip
    print(f"{_part(5, options)} writing a video and the report")
    frames = 60 if options.videos else 0
    written = report(run, options.out / "drill", unseen, pictures=4, frames=frames, side=240, progress=False)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in run.figures.items())
    print(f"of {len(unseen)} pictures that it has not seen: {shown}. Open {written.page} in a browser.")


def _mesh(options: DemoOptions) -> None:
    """What `unflat mesh` makes of the same capture."""
    from unflat.data.captures import read_capture
    from unflat.training.object_run import mesh_of

    file = options.out / "drill" / "drill.glb"
    print(f"{_part(6, options)} making a mesh of it, to {file}: what `unflat mesh` does with pictures of yours")
    made = mesh_of(read_capture(CAPTURE, split="train", progress=False), file, resume=False)
    print("\n".join(f"{name}: {said}" for name, said in made.facts.items()))
    print(f"Open {made.page} in a browser, and {file} in Blender.")


def _part(number: int, options: DemoOptions) -> str:
    return f"{number}/{6 if options.capture else 3}"


def _real(size: int) -> "Photos":
    from unflat.data.readers.photos import read_photos

    return read_photos(SAMPLES, size=size, crop="face", progress=False)


def _joined(first: "Photos", second: "Photos") -> "Photos":
    """Both sets of pictures, without what else is known of them."""
    from unflat.data.kinds import Photos

    rgb = np.concatenate([first.rgb, second.rgb])
    return Photos(rgb, (*first.names, *(f"generated-{i}" for i in range(1, len(second) + 1))))


def _table(evaluation: "Evaluation") -> Any:
    from unflat.outputs.pages import Table

    figures = evaluation.figures
    rows = [
        [name, *(f"{figures[f'{metric}{key}']:.2f}" for metric in ("SIDE", "MAD"))]
        for name, key in (("this model", ""), ("average depth", ", average depth"), ("flat", ", constant depth"))
    ]
    note = (
        f"{MEASURED} generated faces of the test split. SIDE: error of depth up to scale, in 1e-2. MAD: mean angle "
        f"between normals, in degrees. Lower is better. {figures['coverage']:.1%} of the face is covered."
    )
    return Table("How well does it do?", ("", "SIDE", "MAD"), rows, note)
