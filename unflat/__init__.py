"""unflat learns 3D from 2D images, without 3D labels.

    import unflat

    photos = unflat.read_photos("cats/", size=64)
    run = unflat.train("unsup3d", photos, out="runs/cats")
    prediction = unflat.predict(run, photos)
    unflat.write_outputs(prediction, photos, "out")

Names are imported when they are first used: `import unflat` itself loads neither torch nor numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unflat.data.crops import crop_warnings
    from unflat.data.kinds import Photos
    from unflat.data.readers.photos import read_photos
    from unflat.evaluation.compare import evaluate
    from unflat.method import Prediction
    from unflat.outputs.clips import write_video_outputs
    from unflat.outputs.photos import write_outputs
    from unflat.training.checkpoint import load_method as load
    from unflat.training.run import Run, predict, train
    from unflat.training.settings import Training
    from unflat.worlds.animals import Animals
    from unflat.worlds.faces import Faces

__all__ = [
    "Animals",
    "Faces",
    "Photos",
    "Prediction",
    "Run",
    "Training",
    "crop_warnings",
    "evaluate",
    "load",
    "predict",
    "read_photos",
    "train",
    "write_outputs",
    "write_video_outputs",
]

_PLACES = {
    "Animals": "worlds.animals:Animals",
    "Faces": "worlds.faces:Faces",
    "Photos": "data.kinds:Photos",
    "Prediction": "method:Prediction",
    "Run": "training.run:Run",
    "Training": "training.settings:Training",
    "crop_warnings": "data.crops:crop_warnings",
    "evaluate": "evaluation.compare:evaluate",
    "load": "training.checkpoint:load_method",
    "predict": "training.run:predict",
    "read_photos": "data.readers.photos:read_photos",
    "train": "training.run:train",
    "write_outputs": "outputs.photos:write_outputs",
    "write_video_outputs": "outputs.clips:write_video_outputs",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'unflat' has no attribute {name!r}; it has {', '.join(__all__)}")
    module, _, there = _PLACES[name].partition(":")
    value = getattr(import_module(f"unflat.{module}"), there)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
