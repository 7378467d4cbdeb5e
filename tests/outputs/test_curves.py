"""Curves of training as SVG: where the points are, what the axes say, what is left out."""

import math
import re
from xml.etree import ElementTree

import pytest

from unflat.outputs.curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, curves_svg


def drawn(curves: dict[str, list[tuple[float, float]]]) -> tuple[list[list[tuple[float, float]]], list[str]]:
    """The corners of each line, and the texts."""
    exact = {name: [(float(x), float(y)) for x, y in points] for name, points in curves.items()}
    page = ElementTree.fromstring(curves_svg(exact, "PSNR"))
    lines = [
        [(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", line.get("points", ""))]
        for line in page.iter("polyline")
    ]
    return lines, [text.text or "" for text in page.iter("text")]


def test_points_lie_between_the_axes_in_their_order() -> None:
    ((first, middle, last),), texts = drawn({"rays": [(0, 20.0), (500, 25.0), (1000, 30.0)]})
    assert first == (LEFT, HEIGHT - BOTTOM) and last == (WIDTH - RIGHT, TOP), "20 and 30 are the axis's ends"
    assert middle == pytest.approx(((LEFT + WIDTH - RIGHT) / 2, (HEIGHT - BOTTOM + TOP) / 2), abs=0.1)
    assert {"20", "22", "30", "0", "1000", "step", "PSNR, rays"} <= set(texts)


def test_two_curves_share_their_axes() -> None:
    (low, high), texts = drawn({"a": [(0, 1.0), (10, 1.0)], "b": [(5, 3.0), (10, 3.0)]})
    assert low[0][1] > high[0][1] and low[1][0] == high[1][0] and "PSNR, b" in texts


def test_what_is_no_number_is_left_out() -> None:
    (line,), _ = drawn({"a": [(0, 1.0), (1, math.nan), (2, 2.0)], "b": [(0, math.inf)]})
    assert len(line) == 2
    with pytest.raises(ValueError, match="no value of PSNR"):
        curves_svg({"a": [(0.0, math.nan)]}, "PSNR")


def test_one_value_and_values_that_are_alike_can_be_drawn() -> None:
    (line,), _ = drawn({"a": [(3, 7.0)]})
    assert len(line) == 1 and TOP <= line[0][1] <= HEIGHT - BOTTOM
    drawn({"a": [(0, 0.0), (1, 0.0)]})


def test_names_are_text() -> None:
    assert "PSNR, <b>" in drawn({"<b>": [(0, 1.0)]})[1]
