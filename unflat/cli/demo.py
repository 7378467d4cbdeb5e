"""`unflat demo`: the main job on what the package ships, for a first look."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unflat.cli.parsing import Flag, parsed
from unflat.cli.predict import PredictOptions, write_folder

if TYPE_CHECKING:
    from unflat.data.kinds import Photos
    from unflat.evaluation.figures import Evaluation

SAMPLES = Path(__file__).parent.parent / "samples"
MEASURED = 100
"""generated faces on which the figures of the report are measured"""


@dataclass(frozen=True)
class DemoOptions:
    """A first look: three real photos (Caltech-101, CC BY 4.0) and generated faces in 3D, by the shipped face model."""

    out: Path = Path("demo")
    """where everything goes; open report.html there"""
    faces: int = 3
    """how many generated faces"""
    run: str = "faces"
    """other weights for faces: a run's folder or a file"""
    videos: Flag = True
    """write videos"""


def demo(arguments: Sequence[str]) -> None:
    options = parsed(DemoOptions, arguments, "demo")
    from unflat.evaluation.compare import evaluate
    from unflat.method import predict_in_pieces
    from unflat.training.checkpoint import load_method
    from unflat.worlds.faces import Faces

    method = load_method(options.run)
    size = method.extent.size[0]
    print(f"1/3 measuring the model on {MEASURED} generated faces that it has not seen")
    generated = Faces(MEASURED, size=size, split="test").photos()
    evaluation = evaluate(method, generated)
    print(f"2/3 explaining three real photos and {options.faces} generated ones: depth, albedo, light and view of each")
    photos = _joined(_real(size), generated[: options.faces])
    prediction = predict_in_pieces(method, photos)
    print("3/3 writing meshes, videos and the report")
    as_predict = PredictOptions(options.run, str(SAMPLES), out=options.out, crop="face", videos=options.videos)
    settings = {"weights": options.run, "method": type(method).__name__, "photos": "Caltech-101, CC BY 4.0"}
    write_folder(prediction, photos, as_predict, settings, tables=[_table(evaluation)])


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
