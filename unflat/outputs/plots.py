"""Plots of several named series as SVG, either axis logarithmic: drawn by hand, in the page's own colours.

A series has its colour by its place (`style_of`) and its mark, so that it is told apart without colours too.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from unflat.outputs.curves import Points, ticks_of

COLOURS = (
    ("#2362bc", "#6ea3f0"), ("#c85f00", "#f39a4a"), ("#1b8a4b", "#5cc98a"), ("#8a3fb5", "#c58ae8"),
    ("#c0272d", "#f07c7c"), ("#0e8a94", "#4cc7d1"), ("#c2338a", "#ee86c2"), ("#7a6a00", "#cfc24a"),
    ("#8c5a2b", "#c99a6b"), ("#5b6676", "#a3afc0"),
)  # fmt: skip
"""on a light page and on a dark one; an eleventh series begins anew"""
MARKS: tuple[Callable[[float, float], str], ...] = (
    lambda x, y: f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" />',
    lambda x, y: f'<rect x="{x - 3.5:.1f}" y="{y - 3.5:.1f}" width="7" height="7" />',
    lambda x, y: f'<path d="M{x:.1f} {y - 5:.1f}l5 8.5h-10z" />',
    lambda x, y: f'<path d="M{x:.1f} {y - 5.5:.1f}l5.5 5.5l-5.5 5.5l-5.5 -5.5z" />',
    lambda x, y: f'<path d="M{x:.1f} {y + 5:.1f}l5 -8.5h-10z" />',
)
LEFT, RIGHT, TOP, BOTTOM = 56.0, 148.0, 16.0, 44.0
"""room around what is drawn, for the numbers and, on the right, for names"""
LINE = 15.0
"""pixels from a name to the next"""
SPARE = 0.04
"""of an axis, beyond the outermost point"""

DECADES = range(-3, 12)
BYTES = tuple(
    tuple(n * 10.0**exponent for exponent in DECADES for n in within)
    for within in ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,))
)
"""round numbers, from many to few"""
SECONDS = tuple(
    tuple(map(float, marks)) for marks in (
        (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600,
         7200, 18000, 36000, 72000, 180000, 360000),
        (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 180, 600, 1800, 3600, 10800, 36000, 108000, 360000),
        (0.01, 0.1, 1, 10, 60, 600, 3600, 36000, 360000),
    )
)  # fmt: skip


def in_seconds(value: float) -> str:
    """A tick of a time: 30 s, 2 min, 10 h."""
    for unit, name in ((3600, "h"), (60, "min")):
        if value >= unit:
            return f"{value / unit:g} {name}"
    return f"{value:g} s"


def in_bytes(value: float) -> str:
    """A tick of a size: 20 kB, 5 MB."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if value >= unit:
            return f"{value / unit:g} {name}"
    return f"{value / 1e3:g} kB"


@dataclass(frozen=True)
class Axis:
    """What lies along one side of a plot."""

    title: str
    marks: Sequence[Sequence[float]] = ()
    """round numbers of a logarithmic axis, from many to few; a linear one finds its own"""
    word: Callable[[float], str] = "{:.4g}".format
    """how one of them is written"""

    def span(self, values: Sequence[float]) -> tuple[float, float]:
        """The ends of the axis, which all values lie between."""
        if not self.marks:
            ticks = ticks_of(min(values), max(values))
            return min(ticks[0], min(values)), max(ticks[-1], max(values))
        low, high = math.log(min(values)), math.log(max(values))
        spare = max(SPARE * (high - low), 0.1)
        return math.exp(low - spare), math.exp(high + spare)

    def share(self, value: float, span: tuple[float, float]) -> float:
        """Where a value lies, from 0 to 1."""
        low, high, value = (math.log(n) if self.marks else n for n in (*span, value))
        return (value - low) / (high - low)

    def ticks(self, span: tuple[float, float], most: int) -> list[float]:
        """The round numbers within the ends, so many at most if there are few enough."""
        if not self.marks:
            return [tick for tick in ticks_of(*span) if span[0] <= tick <= span[1]]
        within = [[mark for mark in marks if span[0] <= mark <= span[1]] for marks in self.marks]
        return next((marks for marks in within if len(marks) <= most), within[-1])


@dataclass(frozen=True)
class Series:
    """Points that belong together."""

    name: str
    points: Points
    number: int
    """which colour and mark it has"""
    line: bool = True
    hollow: bool = False


def style_of(scheme: str = "page") -> str:
    """CSS of the series' colours: of a page that may be dark, or (`drawing`) of an SVG file, which is light."""
    light = "".join(f".s{n} {{ color: {colour}; }}\n" for n, (colour, _) in enumerate(COLOURS))
    dark = "".join(f".s{n} {{ color: {colour}; }} " for n, (_, colour) in enumerate(COLOURS))
    return light + (f"@media (prefers-color-scheme: dark) {{ {dark}}}\n" if scheme == "page" else "")


def plot_svg(
    series: Sequence[Series], across: Axis, up: Axis, *, width: int = 760, height: int = 340, most: int = 8
) -> str:
    """The series, their names on the right beside where each ends. What is no number is left out, and on a logarithmic
    axis what is not above 0; ValueError if nothing is left."""
    shown = [(one, _drawable(one.points, across, up)) for one in series]
    shown = [(one, points) for one, points in shown if points]
    if not shown:
        raise ValueError(f"there is nothing to draw: no series has a number of {up.title}")
    x_span, y_span = (axis.span([p[i] for _, points in shown for p in points]) for i, axis in enumerate((across, up)))

    def place(point: tuple[float, float]) -> tuple[float, float]:
        u, v = across.share(point[0], x_span), up.share(point[1], y_span)
        return LEFT + u * (width - LEFT - RIGHT), height - BOTTOM - v * (height - TOP - BOTTOM)

    parts = []
    for tick in up.ticks(y_span, most):
        y = place((x_span[0], tick))[1]
        parts.append(_rule(LEFT, y, width - RIGHT, y) + _text(LEFT - 8, y + 4, up.word(tick), "end"))
    for tick in across.ticks(x_span, most):
        x = place((tick, y_span[0]))[0]
        rule = _rule(x, height - BOTTOM, x, TOP)
        parts.append(rule + _text(x, height - BOTTOM + 18, across.word(tick), "middle"))
    parts.append(
        _text(width - 8.0, height - 6.0, across.title, "end") + _text(LEFT - 48, height - 6.0, up.title, "start")
    )
    placed = [[place(point) for point in points] for _, points in shown]
    heights = apart([places[-1][1] for places in placed], LINE, TOP, height - BOTTOM)
    for (one, _), places, y in zip(shown, placed, heights, strict=True):
        parts.append(_drawn(one, places, (width - RIGHT, y)))
    return f'<svg class="curve" viewBox="0 0 {width} {height}" role="img">{"".join(parts)}</svg>'


def drawing(plots: Sequence[str], width: int = 760, height: int = 340, columns: int = 1) -> str:
    """Plots of one size as a file of their own, on white, so many in a row."""
    rows = math.ceil(len(plots) / columns)
    style = (
        f"text {{ font: 12px system-ui, sans-serif; fill: #1c2230; }} svg {{ color: #1c2230; }}\n{style_of('drawing')}"
    )
    parts = [
        plot.replace("<svg ", f'<svg x="{n % columns * width}" y="{n // columns * height}" width="{width}" '
                     f'height="{height}" ', 1)
        for n, plot in enumerate(plots)
    ]  # fmt: skip
    size = f'width="{columns * width}" height="{rows * height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style>'
        f'<rect width="100%" height="100%" fill="white" />{"".join(parts)}</svg>\n'
    )


def apart(places: Sequence[float], least: float, low: float, high: float) -> list[float]:
    """The places, moved as little as their order allows until none is nearer to the next than `least`; within the
    bounds as long as there is room."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    groups: list[tuple[list[int], float]] = []
    """members, and where the first one is"""
    for index in order:
        members = [index]
        while True:
            # the least movement in squares: the mean of where each member would have its first
            first = sum(places[i] - least * k for k, i in enumerate(members)) / len(members)
            first = max(low, min(first, high - least * (len(members) - 1)))
            if not groups or groups[-1][1] + least * len(groups[-1][0]) <= first:
                break
            members = groups.pop()[0] + members
        groups.append((members, first))
    found = dict.fromkeys(order, 0.0)
    for members, first in groups:
        found |= {index: first + least * k for k, index in enumerate(members)}
    return [found[i] for i in range(len(places))]


def _drawable(points: Points, across: Axis, up: Axis) -> list[tuple[float, float]]:
    def fits(value: float, axis: Axis) -> bool:
        return math.isfinite(value) and (value > 0 or not axis.marks)

    return [(x, y) for x, y in points if fits(x, across) and fits(y, up)]


def _drawn(one: Series, places: Sequence[tuple[float, float]], label: tuple[float, float]) -> str:
    """The line, its marks, and its name in the margin."""
    number = one.number % len(COLOURS)
    mark, (x, y) = MARKS[one.number % len(MARKS)], label
    fill = 'fill="none" stroke="currentColor" stroke-width="1.6"' if one.hollow else 'fill="currentColor"'
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dashed = ' stroke-dasharray="4 4"' if one.hollow else ""
    line = f'<polyline points="{corners}" fill="none" stroke="currentColor" stroke-width="2"{dashed} />'
    marks = "".join(mark(*place) for place in places)
    named = f"<g {fill}>{mark(x + 14, y)}</g>{_text(x + 24, y + 4, one.name, 'start', '')}"
    return f'<g class="s{number}">{line if one.line else ""}<g {fill}>{marks}</g>{named}</g>'


def _rule(x: float, y: float, to_x: float, to_y: float) -> str:
    ends = f'x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}"'
    return f'<line {ends} stroke="currentColor" opacity="0.15" />'


def _text(x: float, y: float, words: str, anchor: str, more: str = ' opacity="0.8"') -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'
