"""Cropped photos on disk: a column of rows for every kind of map, and one page of JSON."""

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from unflat.data import crops
from unflat.data.crops import Cropping
from unflat.data.cutting import SAID, Cut
from unflat.data.detection import can_find_faces
from unflat.data.kinds import Photos, Skipped
from unflat.data.packing import Column
from unflat.data.pictures import BACKGROUND

PAGE = "photos.json"
MAPS = ("rgb", "depth", "mask")


class PackWriter:
    """Writes cuts into a folder as they come."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        self.names: list[str] = []
        self.skipped: list[Skipped] = []
        self._columns = {
            "rgb": Column(folder / "rgb.npy", (size, size, 3), np.uint8),
            "depth": Column(folder / "depth.npy", (size, size), np.float32),
            "mask": Column(folder / "mask.npy", (size, size), bool),
        }
        self._nothing = np.full((size, size), np.nan, np.float32)
        self._known = dict.fromkeys(("depth", "mask"), 0)
        self._framing: list[crops.Framing] = []
        self._said: dict[str, list[np.ndarray]] = {what: [] for what in SAID}
        self._fields_of_view: set[float | None] = set()

    def add(self, cut: Cut | Skipped) -> None:
        """Append a photo, or note that it was skipped."""
        if isinstance(cut, Skipped):
            self.skipped.append(cut)
            return
        depth = self._nothing if cut.depth is None else cut.depth
        mask = np.isfinite(depth) if cut.mask is None else cut.mask
        self._columns["rgb"].append(cut.rgb)
        self._columns["depth"].append(depth)
        self._columns["mask"].append(mask)
        self._known["depth"] += cut.depth is not None
        self._known["mask"] += cut.mask is not None or cut.depth is not None
        for what, value in cut.said.items():
            self._said[what].append(value)
        self.names.append(cut.name)
        self._framing.append(cut.framing)
        self._fields_of_view.add(cut.field_of_view)

    def finish(self, cropping: Cropping) -> None:
        """Write what is known of the whole set; drop maps that are not known for it.

        Depth is kept if any photo has it (the others read "no object" all over), masks, views, lights and landmarks if
        every photo has them.
        """
        self.close()
        if not self._known["depth"]:
            (self.folder / "depth.npy").unlink()
        if self._known["mask"] < len(self.names):
            (self.folder / "mask.npy").unlink()
        for what, values in self._said.items():
            if len(values) == len(self.names) and len({value.shape for value in values}) == 1:
                np.save(self.folder / f"{what}.npy", np.stack(values))
        framing = self._measured(cropping)
        np.save(self.folder / "framing.npy", framing)
        settings = {"mode": cropping.mode, "margin": cropping.margin, "background": list(BACKGROUND)}
        page = {
            "names": self.names,
            "skipped": self.skipped,
            "crop": {**settings, **crops.summary(framing)},
            "field_of_view": self._fields_of_view.pop() if len(self._fields_of_view) == 1 else None,
        }
        (self.folder / PAGE).write_text(json.dumps(page), encoding="utf-8")

    def close(self) -> None:
        """Close the columns."""
        with ExitStack() as stack:
            for column in self._columns.values():
                stack.callback(column.close)

    def _measured(self, cropping: Cropping) -> np.ndarray:
        """The framing of all photos, [n, 3], with faces looked for in a sample unless they were cropped by them."""
        framing = np.array(self._framing, np.float32).reshape(-1, 3)
        if cropping.mode != "face" and can_find_faces():
            rgb = np.load(self.folder / "rgb.npy", mmap_mode="r")
            for i in crops.spread_over(len(rgb), crops.MEASURED):
                framing[i, 1] = crops.face_share(Image.fromarray(rgb[i]))
        return framing


def load_pack(folder: Path) -> Photos:
    """The photos of a pack, memory-mapped."""
    page: dict[str, Any] = json.loads((folder / PAGE).read_text(encoding="utf-8"))
    arrays = {file.stem: np.load(file, mmap_mode="r") for file in folder.glob("*.npy")}
    return Photos(
        **arrays,
        names=tuple(page["names"]),
        field_of_view=page["field_of_view"],
        crop=page["crop"],
        skipped=tuple(Skipped(*entry) for entry in page["skipped"]),
    )
