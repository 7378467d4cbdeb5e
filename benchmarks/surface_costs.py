"""What a run costs against the size of what it is given, as one picture: `surfaces.py cost --plot FILE`.

A column for each of what is changed, which is logarithmic, with a tick where a run was; a row for each figure, which
begins at 0 and has the same scale in the whole row.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from unflat.outputs.curves import ticks_of

Points = Sequence[Mapping[str, float]]


class Row(NamedTuple):
    """A figure of a point, what it is multiplied by, and what it is called then."""

    key: str
    factor: float
    title: str


WIDTH, HEIGHT = 600, 270
"""of a panel, in pixels of a picture that is made twice as large as it is shown, so that letters are smooth"""
LEFT, RIGHT, TOP, BOTTOM = 110, 24, 54, 20
TITLE = 90
"""room for the ticks of the columns, and what they are called"""
SIZE = 26
"""of letters"""
LINE, INK, PALE, RULE = (35, 98, 188), (40, 40, 40), (110, 110, 110), (225, 225, 225)


def cost_plot(found: Mapping[str, Points], titles: Mapping[str, str], rows: Sequence[Row]) -> np.ndarray:
    """uint8 [h, w, 3]: every point has its `x` and the rows' figures."""
    canvas = Image.new("RGB", (len(found) * WIDTH, len(rows) * HEIGHT + TITLE), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(SIZE)
    for number, row in enumerate(rows):
        ticks = ticks_of(0.0, row.factor * max(point[row.key] for points in found.values() for point in points))
        for column, points in enumerate(found.values()):
            panel(pen, font, (column * WIDTH, number * HEIGHT), points, row, ticks)
    for column, (what, points) in enumerate(found.items()):
        y = len(rows) * HEIGHT
        for point, x in zip(points, across(points), strict=True):
            pen.text((column * WIDTH + x, y), f"{point['x']:.0f}", fill=PALE, font=font, anchor="mt")
        middle = column * WIDTH + (LEFT + WIDTH - RIGHT) / 2
        pen.text((middle, y + SIZE + 16), titles[what], fill=INK, font=font, anchor="mt")
    return np.asarray(canvas.resize((canvas.width // 2, canvas.height // 2), Image.Resampling.LANCZOS))


def panel(
    pen: ImageDraw.ImageDraw, font: Any, corner: tuple[int, int], points: Points, row: Row, ticks: Sequence[float]
) -> None:
    x0, y0 = corner
    left, right, top, bottom = x0 + LEFT, x0 + WIDTH - RIGHT, y0 + TOP, y0 + HEIGHT - BOTTOM

    def height(value: float) -> float:
        return bottom - value / ticks[-1] * (bottom - top)

    for tick in ticks:
        pen.line([(left, height(tick)), (right, height(tick))], fill=RULE, width=2)
        pen.text((left - 12, height(tick)), f"{tick:g}", fill=PALE, font=font, anchor="rm")
    pen.text((left, y0 + 8), row.title, fill=INK, font=font)
    places = [(x0 + x, height(row.factor * point[row.key])) for x, point in zip(across(points), points, strict=True)]
    pen.line(places, fill=LINE, width=4)
    for x, y in places:
        pen.ellipse([x - 7, y - 7, x + 7, y + 7], fill=LINE)


def across(points: Points) -> list[float]:
    """Where points lie in a panel, from its left edge: a constant factor is a constant way."""
    values = np.log([point["x"] for point in points])
    share = (values - values.min()) / max(values.max() - values.min(), 1e-9)
    return [float(x) for x in LEFT + 20 + share * (WIDTH - LEFT - RIGHT - 40)]
