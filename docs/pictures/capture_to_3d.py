"""The picture of docs/capture-to-3d.md: python docs/pictures/capture_to_3d.py [FOLDER]

A generated vase is learned from 60 pictures, which takes a minute or two; then a picture that was not learned from is
compared, and the mesh that is exported is rendered from four sides.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from unflat import catalogue
from unflat.data.kinds import Capture
from unflat.method import predict_in_pieces
from unflat.outputs.comparisons import compared
from unflat.outputs.images import save_png, to_rgb
from unflat.outputs.walks import depth_range
from unflat.training.captured import export
from unflat.training.run import Run, train
from unflat.worlds.objects import Objects

IMAGES = Path(__file__).parent.parent / "images"
NAME = "capture-to-3d.png"


def main(folder: Path = IMAGES, experiment: str = "small") -> None:
    chosen = catalogue.experiment("quick_grid", experiment)
    with tempfile.TemporaryDirectory() as scratch:
        run = train("quick_grid", experiment=experiment, out=Path(scratch) / "run", quiet=True)
        above = of_held_out(run, chosen.test.capture(progress=False), 1)
        below = of_mesh(run, Path(scratch) / "mesh.glb", above.shape[1] // 4)
    room = np.full((below.shape[0], above.shape[1] - below.shape[1], 3), 255, np.uint8)
    save_png(folder / NAME, np.concatenate([above, np.concatenate([below, room], 1)]))


def of_held_out(run: Run, capture: Capture, index: int) -> np.ndarray:
    """Truth, ours, error, depth."""
    prediction = predict_in_pieces(run.method, capture.cameras(index))
    limits = depth_range(run.method, capture.viewpoints)
    return compared(capture, index, prediction, limits, capture.scene.world_scale)


def of_mesh(run: Run, file: Path, side: int) -> np.ndarray:
    """The exported file, read again and rendered."""
    export(run, file, report=lambda said: None)
    seen = Objects(str(file), 4, side, split="test").capture(progress=False)
    return np.concatenate([to_rgb(seen.rgb(i)) for i in range(4)], 1)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
