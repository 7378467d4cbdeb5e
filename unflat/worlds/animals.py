"""Pictures of animals that do not exist, with exact truth: a smooth, left-right symmetric category other than faces.

A head of ellipsoids that run together, random in shape, ears, coat and pattern, is seen by the camera, in the poses and
under the lights of the faces' world, and is alike on both sides. With a `breed`, all are of one kind: the same ears and
markings, each with its own measures. With `marked`, the same animals carry one patch of another colour on one side, and
`Photos.asymmetric` says where mirroring cannot explain the picture. Picture i of a seed and split is the same whatever
the number of pictures.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
from rich.progress import track

from unflat.data.kinds import Photos
from unflat.data.packing import digest_of
from unflat.worlds.animal_render import random_animal, render_animal
from unflat.worlds.sets import MAPS, MAPS_KEPT, SPLITS, Split, check_set, random_of, stored
from unflat.worlds.staging import FIELD_OF_VIEW

BREEDS = {"tigers": 1}
"""what a breed has is drawn at random from its number"""
VERSION = 1
"""of what is drawn: raise it with every change that shows in a picture, so that no old cache is read"""


@dataclass(frozen=True)
class Animals:
    """A set of generated animals."""

    count: int = SPLITS["train"]
    """pictures"""
    size: int = 64
    """pixels a side, 8 to 256"""
    seed: int = 0
    split: Split = "train"
    marked: bool = False
    """whether each has a patch on one side, over about 5 to 15 % of its frontal picture"""
    breed: str = ""
    """one of `BREEDS`, which all belong to; empty: each is of its own"""

    def __post_init__(self) -> None:
        check_set("animals", self.count, self.size, self.seed, self.split)
        if self.breed and self.breed not in BREEDS:
            raise ValueError(f"there is no breed {self.breed!r} of the animals; there are {', '.join(BREEDS)}")

    @property
    def names(self) -> tuple[str, ...]:
        """A name for every picture."""
        world = (self.breed or "animals") + "-marked" * self.marked
        return tuple(f"{world}/{self.split}/{index:06d}" for index in range(self.count))

    def photos(self, progress: bool = True) -> Photos:
        """The pictures with all that is known about them, memory-mapped from a cache that is filled at the first call.

        There are no landmarks; `asymmetric` is there if they are marked. `normals` and `albedo` are None for big sets
        (see `MAPS_KEPT`).
        """
        key = digest_of("animals", VERSION, asdict(self))
        arrays = stored(f"animals/{key}", lambda: self._pictures(progress))
        return Photos(**arrays, names=self.names, field_of_view=FIELD_OF_VIEW)

    def picture(self, index: int) -> dict[str, np.ndarray]:
        """The fields of one picture."""
        drawn = random_animal(random_of(self.seed, self.split, index), self.marked, BREEDS.get(self.breed))
        return render_animal(drawn, self.size)

    def _pictures(self, progress: bool) -> Iterator[dict[str, np.ndarray]]:
        left_out = MAPS if self.count * self.size**2 > MAPS_KEPT else ()
        for index in track(range(self.count), f"Rendering animals ({self.split})", disable=not progress):
            yield {name: value for name, value in self.picture(index).items() if name not in left_out}
