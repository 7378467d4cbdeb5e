"""Pictures of faces with exact truth: our stand-in for the Basel-model set of Unsup3D, which may not be redistributed.

A head of the ICT face model, random in identity, expression and hair, stands at distance 1 in front of a camera with a
field of view of 10 degrees, is lit by one distant light and ambient light, and painted at random. Picture i of a seed
and split is the same whatever the number of pictures.

On disk (`Faces.write`), for every split:

    OUT/world.json                       field of view, depth limits, conventions, the model's credit
    OUT/{split}/image/000000.png         8-bit RGB
    OUT/{split}/depth/000000.png         16-bit grey: depth = far + (near - far) * (value - 1) / 65534; 0 is no object
    OUT/{split}/mask/000000.png          255 on the head, 0 behind it
    OUT/{split}/truth.jsonl              a line a picture: name, view (6), light (5), landmarks (68 of u, v, depth)
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin
from rich.progress import track

from unflat.data.kinds import Photos
from unflat.data.packing import digest_of
from unflat.worlds.face_render import Shots, random_scene, render
from unflat.worlds.files import save_png, save_text
from unflat.worlds.sets import MAPS, MAPS_KEPT, SPLITS, Split, check_set, random_of, stored
from unflat.worlds.staging import FIELD_OF_VIEW

VERSION = 1
"""of what is drawn: raise it with every change that shows in a picture, so that no old cache is read"""
BLOCK = 32
"""pictures are always rendered in the same groups, so that rounding does not depend on their number"""
NEAR, FAR = 0.8, 1.2
"""limits of a depth PNG"""


@dataclass(frozen=True)
class Faces:
    """A set of generated faces."""

    count: int = SPLITS["train"]
    """pictures"""
    size: int = 64
    """pixels a side, 8 to 256"""
    seed: int = 0
    split: Split = "train"

    def __post_init__(self) -> None:
        check_set("faces", self.count, self.size, self.seed, self.split)

    @property
    def names(self) -> tuple[str, ...]:
        """A name for every picture."""
        return tuple(f"faces/{self.split}/{index:06d}" for index in range(self.count))

    def photos(self, progress: bool = True) -> Photos:
        """The pictures with all that is known about them, memory-mapped from a cache that is filled at the first call.

        `normals` and `albedo` are None for big sets (see `MAPS_KEPT`).
        """
        key = digest_of("faces", VERSION, asdict(self))
        arrays = stored(f"faces/{key}", lambda: self._pictures(progress))
        return Photos(**arrays, names=self.names, field_of_view=FIELD_OF_VIEW)

    def write(self, folder: Path, progress: bool = True) -> Path:
        """The pictures as files, laid out as the head of this module says; returns the split's folder."""
        photos, split = self.photos(progress), Path(folder) / self.split
        for kind in ("image", "depth", "mask"):
            (split / kind).mkdir(parents=True, exist_ok=True)
        depth, mask, lines = photos.depth, photos.mask, []
        assert depth is not None and mask is not None
        for index in track(range(self.count), f"Writing {self.split}", disable=not progress):
            name = f"{index:06d}.png"
            save_png(split / "image" / name, Image.fromarray(photos.rgb[index]))
            _save_depth(split / "depth" / name, depth[index])
            save_png(split / "mask" / name, Image.fromarray(mask[index].astype(np.uint8) * 255))
            truth = {kind: _rounded(getattr(photos, kind)[index]) for kind in ("view", "light", "landmarks")}
            lines.append(json.dumps({"name": name, **truth}))
        save_text(split / "truth.jsonl", "\n".join(lines) + "\n")
        save_text(Path(folder) / "world.json", json.dumps(self._world(), indent=2) + "\n")
        return split

    def _world(self) -> dict[str, object]:
        return {
            "world": "faces",
            "size": self.size,
            "seed": self.seed,
            "field_of_view": FIELD_OF_VIEW,
            "depth_near": NEAR,
            "depth_far": FAR,
            "depth_of_value": "far + (near - far) * (value - 1) / 65534; 0 is no object",
            "view": "turns about x, y, z in radians (R = Rz Ry Rx), then the shift, about the point (0, 0, 1)",
            "light": "ambient, diffuse, unit direction towards the light in the camera's frame",
            "landmarks": "pixel u, pixel v (first centre at 0.5), depth",
            "credit": "shapes from ICT-FaceKit, (c) 2020 USC Institute for Creative Technologies, MIT licence",
        }

    def _pictures(self, progress: bool) -> Iterator[dict[str, np.ndarray]]:
        """The fields of each picture."""
        names = [field.name for field in fields(Shots)]
        if self.count * self.size**2 > MAPS_KEPT:
            names = [name for name in names if name not in MAPS]
        blocks = track(self._blocks(), f"Rendering faces ({self.split})", -(-self.count // BLOCK), disable=not progress)
        for shots in blocks:
            for index in range(len(shots.rgb)):
                yield {name: getattr(shots, name)[index] for name in names}

    def _blocks(self) -> Iterator[Shots]:
        for start in range(0, self.count, BLOCK):
            shots = self.block(start)
            left = min(BLOCK, self.count - start)
            yield Shots(**{field.name: getattr(shots, field.name)[:left] for field in fields(Shots)})

    def block(self, start: int) -> Shots:
        """`BLOCK` pictures from number `start` on."""
        randoms = [random_of(self.seed, self.split, index) for index in range(start, start + BLOCK)]
        return render([random_scene(random) for random in randoms], self.size)


def write_splits(
    folder: Path, count: int = SPLITS["train"], size: int = 64, seed: int = 0, progress: bool = True
) -> Path:
    """All three splits as files: `count` pictures to train on, a twentieth as many each to validate and to test."""
    for split, usual in SPLITS.items():
        share = max(1, round(count * usual / SPLITS["train"]))
        Faces(share, size, seed, split).write(folder, progress)
    return Path(folder)


def _rounded(values: np.ndarray) -> list[Any]:
    return np.round(values.astype(np.float64), 7).tolist()


def _save_depth(path: Path, depth: np.ndarray) -> None:
    level = 1 + 65534 * ((FAR - depth.astype(np.float64)) / (FAR - NEAR)).clip(0, 1)
    values = np.where(np.isfinite(depth), np.nan_to_num(level).round(), 0).astype(np.uint16)
    text = PngImagePlugin.PngInfo()
    text.add_text("near", repr(NEAR))
    text.add_text("far", repr(FAR))
    save_png(path, Image.fromarray(values), text)
