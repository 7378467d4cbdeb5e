"""Plots with logarithmic axes: where points and names are, what the axes say, what is left out."""

import itertools
import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from unflat.outputs.plots import (
    BOTTOM,
    BYTES,
    COLOURS,
    LEFT,
    RIGHT,
    SECONDS,
    TOP,
    Axis,
    Series,
    apart,
    drawing,
    in_bytes,
    in_seconds,
    plot_svg,
    style_of,
)

TIME, DB = Axis("time", SECONDS, in_seconds), Axis("PSNR")
WIDTH, HEIGHT = 760, 340


def lines_of(svg: str) -> list[list[tuple[float, float]]]:
    found = (line.get("points", "") for line in ElementTree.fromstring(svg).iter("polyline"))
    return [[(float(x), float(y)) for x, y in re.findall(r"([\d.]+),([\d.]+)", points)] for points in found]


def texts_of(svg: str) -> list[str]:
    return [text.text or "" for text in ElementTree.fromstring(svg).iter("text")]


def test_equal_ratios_are_equal_distances() -> None:
    svg = plot_svg([Series("a", [(1.0, 10.0), (10.0, 20.0), (100.0, 30.0)], 0)], TIME, DB)
    ((first, second, third),) = lines_of(svg)
    assert second[0] - first[0] == pytest.approx(third[0] - second[0], abs=0.2)
    assert second[1] - first[1] == pytest.approx(third[1] - second[1], abs=0.2) and third[1] < first[1]
    assert first[0] > LEFT and third[0] < WIDTH - RIGHT and third[1] == TOP and first[1] == HEIGHT - BOTTOM
    assert {"1 s", "10 s", "1 min", "10", "30", "time", "PSNR", "a"} <= set(texts_of(svg))


def test_a_tick_lies_where_a_point_of_its_value_does() -> None:
    svg = plot_svg([Series("a", [(2.0, 1.0), (30.0, 2.0), (700.0, 3.0)], 0)], TIME, DB)
    tick = next(text for text in ElementTree.fromstring(svg).iter("text") if text.text == "30 s")
    assert float(tick.get("x", "")) == pytest.approx(lines_of(svg)[0][1][0], abs=0.1)


def test_ticks_are_few_and_round() -> None:
    for low, high in ((1e3, 3e3), (1e5, 2e9), (4e6, 9e6)):
        axis = Axis("size", BYTES, in_bytes)
        ticks = axis.ticks(axis.span([low, high]), 8)
        assert 1 <= len(ticks) <= 10 and all(low / 2 < tick < high * 2 for tick in ticks)
    assert [in_bytes(2e4), in_bytes(5e6), in_bytes(1e9)] == ["20 kB", "5 MB", "1 GB"]
    assert [in_seconds(0.5), in_seconds(120.0), in_seconds(36000.0)] == ["0.5 s", "2 min", "10 h"]


def test_what_cannot_be_drawn_is_left_out() -> None:
    svg = plot_svg(
        [Series("a", [(0.0, 1.0), (1.0, math.nan), (2.0, 2.0), (3.0, 3.0)], 0), Series("b", [], 1)], TIME, DB
    )
    assert len(lines_of(svg)[0]) == 2 and "b" not in texts_of(svg)
    with pytest.raises(ValueError, match="no series has a number of PSNR"):
        plot_svg([Series("a", [(0.0, 1.0)], 0)], TIME, DB)


def test_one_point_has_a_place() -> None:
    plot_svg(
        [Series("<a>", [(3.0, 7.0)], 11, hollow=True)], TIME, DB
    )  # parsed without an error, or text that is markup


def test_names_move_apart_as_little_as_can_be() -> None:
    assert apart([10.0, 50.0, 90.0], 15.0, 0.0, 100.0) == [10, 50, 90]
    assert apart([50.0, 50.0], 10.0, 0.0, 100.0) == [45, 55]
    assert apart([2.0, 1.0, 0.0], 10.0, 0.0, 100.0) == [20, 10, 0], "at the edge, in their order"
    assert apart([100.0, 99.0, 60.0], 10.0, 0.0, 100.0) == [100, 90, 60]


def test_names_are_where_brute_force_puts_them() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        places = sorted(random.integers(0, 9, 3).tolist())
        found = apart([float(place) for place in places], 2.0, 0.0, 8.0)
        grid = np.arange(0, 8.01, 0.25)
        allowed = (p for p in itertools.product(grid, repeat=3) if p[1] - p[0] >= 2 and p[2] - p[1] >= 2)
        best = min(sum((a - b) ** 2 for a, b in zip(p, places, strict=True)) for p in allowed)
        ours = sum((a - b) ** 2 for a, b in zip(found, places, strict=True))
        assert ours <= best + 1e-9 and min(found[1] - found[0], found[2] - found[1]) >= 2 - 1e-9


def test_colours_can_be_told_from_the_page() -> None:
    """Contrast of 3 to 1, as WCAG asks of graphics, on the light card and on the dark one."""
    for light, dark in COLOURS:
        assert contrast(light, "#ffffff") > 3 and contrast(dark, "#1b2029") > 3
    assert all(light in style_of() and dark in style_of() for light, dark in COLOURS)
    assert "@media" not in style_of("drawing")


def contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_drawing_is_a_file_of_its_own() -> None:
    plot = plot_svg([Series("a", [(1.0, 1.0)], 0)], TIME, DB)
    drawn = ElementTree.fromstring(drawing([plot, plot, plot], WIDTH, HEIGHT, columns=2))
    assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
    assert (drawn.get("width"), drawn.get("height")) == (str(2 * WIDTH), str(2 * HEIGHT))
    places = [(panel.get("x"), panel.get("y")) for panel in drawn if panel.tag.endswith("svg")]
    assert places == [("0", "0"), (str(WIDTH), "0"), ("0", str(HEIGHT))]
