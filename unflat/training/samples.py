"""A sheet of sample pictures while training."""

from pathlib import Path
from typing import Any

from unflat.data.kinds import Photos
from unflat.method import Method, Prediction, predict_in_pieces
from unflat.outputs.images import colour_confidence, colour_depth, colour_normals, save_png, sheet

COUNT = 8
CELL = 96


def save_samples(path: Path, method: Method, data: Any) -> None:
    """Write what the method now makes of the first few photos; data of another kind have no sheet."""
    if not isinstance(data, Photos):
        return
    photos = data[: min(COUNT, len(data))]
    prediction = predict_in_pieces(method, photos)
    names = [
        "photo",
        *(name for name in ("rgb", "depth", "normals", "albedo", "shading", "confidence") if name in prediction.filled),
    ]
    if prediction.canonical is not None and prediction.canonical.rgb is not None:
        names.append("canonical")
    rows = [[photos.rgb[i], *(_picture(prediction, name, i) for name in names[1:])] for i in range(len(photos))]
    save_png(path, sheet(rows, titles=names, cell=CELL))


def _picture(prediction: Prediction, name: str, index: int) -> Any:
    if name == "canonical":
        assert prediction.canonical is not None and prediction.canonical.rgb is not None
        return prediction.canonical.rgb[index]
    value = getattr(prediction, name)[index]
    match name:
        case "depth":
            return colour_depth(value)
        case "normals":
            return colour_normals(value)
        case "confidence":
            return colour_confidence(value)
        case "shading":
            return value / 2
    return value
