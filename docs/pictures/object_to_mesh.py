"""The pictures of docs/object-to-mesh.md: python docs/pictures/object_to_mesh.py [FOLDER]

The shipped capture of a power drill becomes a mesh, which takes a minute or two.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from unflat.cli.demo import CAPTURE
from unflat.data.captures import read_capture
from unflat.data.kinds import Capture
from unflat.outputs.images import resized, to_rgb
from unflat.outputs.sides import COLUMNS, seen_picture
from unflat.outputs.sights import cameras_that_see
from unflat.training.object_run import mesh_of

IMAGES = Path(__file__).parent.parent / "images"
STAGES, SEEN = "object-to-mesh.jpg", "object-to-mesh-seen.jpg"
SIDE = 240
"""pixels of each side"""
QUALITY = 88


def main(folder: Path = IMAGES, experiment: str = "small") -> None:
    capture = read_capture(CAPTURE, split="train", progress=False)
    with tempfile.TemporaryDirectory() as scratch:
        made = mesh_of(capture, Path(scratch) / "drill.glb", previews=SIDE, experiment=experiment, quiet=True)
        textured, shaded = (np.asarray(Image.open(file).convert("RGB"))[:SIDE] for file in made.previews[:2])
    save(folder / STAGES, np.concatenate([photos(capture), textured, shaded]))
    above = capture[np.flatnonzero(capture.viewpoints.centres[:, 2] > 0)]
    save(folder / SEEN, seen_picture(made.found.mesh, cameras_that_see(made.found.mesh, above), SIDE))


def photos(capture: Capture) -> np.ndarray:
    """As many of them as there are sides in a row."""
    some = capture.spread(COLUMNS)
    return np.concatenate([to_rgb(resized(some.rgb(i), SIDE, SIDE)) for i in range(len(some))], 1)


def save(file: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(file, quality=QUALITY)


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
