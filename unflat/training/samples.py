"""A sheet of sample pictures while training."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unflat.data.captures import smaller
from unflat.data.kinds import Capture, Photos
from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import normals_of
from unflat.method import Method, Prediction, predict_in_pieces
from unflat.outputs.images import colour_confidence, colour_depth, colour_normals, save_png, sheet, to_rgb

COUNT = 8
CELL = 96
VIEWS, VIEW = 3, 160
"""pictures of a capture that are looked at, and about how many pixels their longer side has"""


def save_samples(path: Path, method: Method, data: Any) -> np.ndarray | None:
    """Write what the method now makes of the first few photos, or of a few pictures of a capture, beside them.

    Returns one picture of it, uint8 [h, w, 3]; None for data of another kind, which have no sheet.
    """
    if isinstance(data, Capture):
        return _of_capture(path, method, data)
    if not isinstance(data, Photos):
        return None
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
    return to_rgb(rows[0][names.index("rgb") if "rgb" in names else 1])


def _of_capture(path: Path, method: Method, capture: Capture) -> np.ndarray:
    """Small pictures, since they are looked at while others wait."""
    few = capture.spread(VIEWS)
    longest = max(max(p.width, p.height) for p in few.pinholes)
    few = smaller(few, max(1, round(longest / VIEW)))
    predictions = [predict_in_pieces(method, few.cameras(i)) for i in range(len(few))]
    shown = [to_rgb(p.rgb[0]) for p in predictions if p.rgb is not None]
    depth = [colour_depth(p.depth[0]) for p in predictions if p.depth is not None]
    shape = [_lit(p.depth, few.pinholes[i]) for i, p in enumerate(predictions) if p.depth is not None]
    pictures = [to_rgb(few.rgb(i)) for i in range(len(few))]
    columns = {"picture": pictures, "learned": shown, "depth": depth, "shape": shape}
    given = {name: column for name, column in columns.items() if column}
    save_png(path, sheet(list(zip(*given.values(), strict=True)), titles=list(given), cell=VIEW))
    return (shown or depth)[0]


def _lit(depth: Float[Tensor, "1 h w"], camera: Pinhole) -> np.ndarray:
    """uint8 [h, w, 3]: what a depth map shows, as plaster under a headlight; white where nothing is."""
    facing = (-normals_of(depth.cpu(), camera)[0, ..., 2]).clamp(0, 1)
    facing = torch.where(depth[0].cpu().isfinite() & facing.isfinite(), 0.1 + 0.8 * facing, 1.0)
    return to_rgb(facing[..., None].expand(-1, -1, 3))


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
