"""The picture of a rig: who stands where, in which colour."""

import numpy as np

from unflat.data.kinds import Points, Scene
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.cameras import Pinhole
from unflat.outputs.rig_picture import BOX, COLOURS, draw_rig

SIDE = 300


def at(*places: tuple[float, float, float]) -> Viewpoints:
    """Narrow cameras that look along z."""
    poses = np.tile(np.eye(4), (len(places), 1, 1))
    poses[:, :3, 3] = places
    return Viewpoints([Pinhole(80.0, 80.0, 20.0, 20.0, 40, 40)] * len(places), poses, tuple("abc"[: len(places)]))


def near(picture: np.ndarray, colour: tuple[int, int, int], apart: int = 60) -> np.ndarray:
    """Places (row, column) of pixels of about this colour."""
    return np.argwhere(np.abs(picture.astype(int) - colour).sum(-1) < apart)


def panels(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return picture[:SIDE, :SIDE], picture[:SIDE, SIDE + 8 :]


def test_splits_stand_where_they_are_in_their_colours() -> None:
    picture = draw_rig({"train": at((3, 0, 0)), "test": at((-3, 2, 1))}, Scene(), side=SIDE)
    assert picture.dtype == np.uint8 and picture.shape == (SIDE + 26, 2 * SIDE + 8, 3)
    above, beside = panels(picture)
    for panel in (above, beside):
        assert near(panel, COLOURS["train"])[:, 1].min() > SIDE / 2, "x is to the right"
        assert near(panel, COLOURS["test"])[:, 1].max() < SIDE / 2
    assert near(above, COLOURS["test"])[:, 0].max() < near(above, COLOURS["train"])[:, 0].min(), "y is up"
    tip = near(beside, COLOURS["test"])[:, 0].max()
    assert tip < near(beside, COLOURS["train"])[:, 0].max(), "z is up"


def test_a_camera_opens_towards_what_it_sees() -> None:
    _, beside = panels(draw_rig({"train": at((0, 0, 0))}, Scene(), side=SIDE))
    found = near(beside, COLOURS["train"])
    top, bottom = found[found[:, 0] < found[:, 0].min() + 3], found[found[:, 0] > found[:, 0].max() - 3]
    assert np.ptp(top[:, 1]) > np.ptp(bottom[:, 1]), "it looks along z, up in this panel"


def test_the_box_has_its_place_and_size() -> None:
    wide, tall = (panels(draw_rig({"train": at((0, -4, 0))}, Scene(box=box), side=SIDE))[1]
                  for box in ((-2.0, -1.0, -1.0, 2.0, 1.0, 1.0), (-1.0, -1.0, -2.0, 1.0, 1.0, 2.0)))  # fmt: skip
    for panel, ratio in ((wide, 2.0), (tall, 0.5)):
        rows, columns = near(panel[24:], BOX, 200).T  # below the title
        assert abs(np.ptp(columns) / np.ptp(rows) / ratio - 1) < 0.1


def test_points_are_drawn_pale_where_they_are() -> None:
    red = Points(np.full((50, 3), [2.0, 0.6, 0.6]), np.tile(np.uint8([255, 0, 0]), (50, 1)), np.zeros(50, np.int64))
    args = {"train": at((-3, 0, 0), (3, 0, 0))}, Scene()
    without, with_points = draw_rig(*args, side=SIDE), draw_rig(*args, red, side=SIDE)
    changed = np.argwhere((without != with_points).any(-1))
    left = changed[changed[:, 1] < SIDE]
    assert 0 < len(left) < 30 and (left[:, 1] > SIDE / 2).all()
    shown = with_points[tuple(left.T)].astype(int)
    assert (shown[:, 0] - shown[:, 1]).max() > 80, "red"


def test_a_window_is_drawn_with_the_way_that_is_looked() -> None:
    scene = Scene("ndc", window=(1.0, 0.5))
    above, _ = panels(draw_rig({"train": at((0, 0, 0), (0.5, 0, 0))}, scene, side=SIDE))
    rows, columns = near(above[24:], BOX, 200).T  # below the title
    far, close = columns[rows < rows.min() + 4], columns[rows > rows.max() - 4]
    assert np.ptp(far) > 2 * np.ptp(close), "the window grows with depth, which is up"
    assert rows.max() + 24 < near(above, COLOURS["train"])[:, 0].max(), "cameras stand before it"


def test_the_legend_counts_and_names() -> None:
    one = draw_rig({"train": at((3, 0, 0))}, Scene(), side=SIDE)[SIDE:]
    two = draw_rig({"train": at((3, 0, 0)), "test": at((3, 0, 0))}, Scene(), side=SIDE)[SIDE:]
    assert len(near(one, COLOURS["train"])) > 50 and not len(near(one, COLOURS["test"]))
    assert len(near(two, COLOURS["test"])) > 50
