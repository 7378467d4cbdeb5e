"""A curve of training as a drawing that stands in a page: figures over steps, as SVG in the page's own colours."""

import math
from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT = 760, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 14, 44
"""room around what is drawn, for the numbers"""
LOOKS = ('stroke="currentColor" stroke-opacity="0.45"', 'stroke="#d9730d"', 'stroke="#2362bc"', 'stroke="#229653"')
"""of the curves, in their order"""
TICKS = 5
DOTS = 12
"""a curve of so few points has them drawn"""

Points = Sequence[tuple[float, float]]


def curves_svg(curves: Mapping[str, Points], figure: str) -> str:
    """The curves by their names, each (step, value) after value, with axes and a legend. `figure` is what the value is.

    Values that are no numbers are left out; ValueError if none is left.
    """
    shown = {name: [(x, y) for x, y in points if math.isfinite(y)] for name, points in curves.items()}
    shown = {name: points for name, points in shown.items() if points}
    if not shown:
        raise ValueError(f"there is no value of {figure} to draw")
    values = [y for points in shown.values() for _, y in points]
    last = float(max(x for points in shown.values() for x, _ in points)) or 1.0
    ticks = ticks_of(min(values), max(values))
    low, high = min(ticks[0], min(values)), max(ticks[-1], max(values))

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = x / last, (y - low) / (high - low)
        return LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [_level(place(0.0, tick)[1], tick) for tick in ticks]
    parts += [_step(place(tick, low)[0], tick) for tick in ticks_of(0.0, last) if tick <= last]
    for look, points in zip(LOOKS, shown.values(), strict=False):
        parts.append(_line([place(x, y) for x, y in points], look))
    parts += _legend(list(shown), figure)
    return f'<svg class="curve" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{"".join(parts)}</svg>'


def ticks_of(low: float, high: float) -> list[float]:
    """Round numbers from below `low` (or at it) to above `high`, some five of them."""
    high = high if high > low else low + max(abs(low), 1.0) * 0.1
    raw = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= raw * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def _level(y: float, value: float) -> str:
    line = f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" opacity="0.15" />'
    return f'{line}<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'


def _step(x: float, value: float) -> str:
    return f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:.6g}</text>'


def _line(places: Sequence[tuple[float, float]], look: str) -> str:
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="none" {look} />' for x, y in places)
    line = f'<polyline points="{corners}" fill="none" stroke-width="2" {look} />'
    return line + (dots if len(places) <= DOTS else "")


def _legend(names: Sequence[str], figure: str) -> list[str]:
    parts, x, y = [f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">step</text>'], float(LEFT), HEIGHT - 6
    for look, name in zip(LOOKS, names, strict=False):
        parts.append(f'<line x1="{x}" x2="{x + 20}" y1="{y - 4}" y2="{y - 4}" stroke-width="2" {look} />')
        parts.append(f'<text x="{x + 26}" y="{y}">{escape(f"{figure}, {name}")}</text>')
        x += 26 + 7.5 * len(f"{figure}, {name}") + 24
    return parts
