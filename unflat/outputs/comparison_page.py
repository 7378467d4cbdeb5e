"""The page on a comparison of methods on one capture: quality against time and size, figures, pictures side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

import numpy as np

from unflat.outputs.comparisons import ERROR_COLOURS, MUCH
from unflat.outputs.curves import Points
from unflat.outputs.files import write_text
from unflat.outputs.images import coloured
from unflat.outputs.pages import Table, embedded, page, table_of, warning_of
from unflat.outputs.plots import BYTES, COLOURS, SECONDS, Axis, Series, in_bytes, in_seconds, plot_svg, style_of

CROPPED = 0.25
"""of the picture's shorter side: how wide what is shown enlarged is"""
ROW, WIDTHS = 1106, (340, 150)
"""pixels of the page that pictures may take beside each other, and of a column at most and at least"""
SIDE_BY_SIDE = (
    "Each column: the picture from a camera that was not learned from, the part in the frame enlarged (where the "
    "methods differ the most), and the difference to the truth (mean of the three colours): white is none, dark "
    f"{MUCH:g} of the range and more."
)


@dataclass(frozen=True)
class Crop:
    """A part of a picture, in pixels."""

    left: int
    top: int
    width: int
    height: int

    def of(self, picture: np.ndarray) -> np.ndarray:
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True)
class Column:
    """What one method makes of a view, or the truth."""

    name: str
    picture: Path
    cropped: Path
    error: Path | None = None
    said: str = ""


@dataclass(frozen=True)
class View:
    """A held-out picture and what the methods make of it."""

    name: str
    size: tuple[int, int]
    """height and width, in pixels"""
    crop: Crop
    columns: Sequence[Column]
    """the truth first"""


@dataclass(frozen=True)
class ComparisonPage:
    """What stands in the page; what is empty is left out."""

    title: str
    introduction: str
    figures: Table
    times: Mapping[str, Points] = field(default_factory=dict)
    """PSNR over seconds of training, by method"""
    sizes: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """bytes on disk and PSNR, by method"""
    published: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """seconds, bytes and PSNR that the papers tell of methods"""
    beside: Table | None = None
    """the same, beside ours"""
    views: Sequence[View] = ()
    facts: Sequence[tuple[str, object]] = ()
    warnings: Sequence[str] = ()


def write_comparison_page(path: Path, held: ComparisonPage) -> Path:
    """Write the page; all that it shows is inside."""
    names = list(dict.fromkeys([*held.times, *held.sizes, *held.published]))
    number = {name: n for n, name in enumerate(names)}
    body = [
        f"<style>{style_of()}</style>",
        f"<h1>{escape(held.title)}</h1>",
        f'<p class="soft">{escape(held.introduction)}</p>',
        *map(warning_of, held.warnings),
        _own_plots(held, number),
        table_of(held.figures),
        _views(held.views, number),
        _published(held, number),
        table_of(Table("How it was measured", ("", ""), held.facts)) if held.facts else "",
        "<footer>Made with unflat. This page asks the network for nothing.</footer>",
    ]
    return write_text(path, page(held.title, "\n".join(filter(None, body)), with_viewer=False))


TIME = Axis("time of training", SECONDS, in_seconds)
SIZE = Axis("model on disk", BYTES, in_bytes)
QUALITY = Axis("PSNR, dB")


def _own_plots(held: ComparisonPage, number: Mapping[str, int]) -> str:
    """Quality against time and against size."""
    plots = []
    if any(held.times.values()):
        series = [Series(name, points, number[name]) for name, points in held.times.items()]
        plots.append(
            (plot_svg(series, TIME, QUALITY, width=560), "Quality against time: up and to the left is better.")
        )
    if held.sizes:
        series = [Series(name, [point], number[name], line=False) for name, point in held.sizes.items()]
        plots.append(
            (plot_svg(series, SIZE, QUALITY, width=560), "Quality against size: up and to the left is better.")
        )
    return _plotted("Quality, time and size", plots)


def _published(held: ComparisonPage, number: Mapping[str, int]) -> str:
    """The papers' values and ours in the same plots: dashed from the paper's (hollow) to ours (filled)."""
    if held.beside is None:
        return ""
    plots = []
    ours = {name: (points[-1][0], held.sizes[name][0], points[-1][1])
            for name, points in held.times.items() if points and name in held.sizes}  # fmt: skip
    for axis, which in ((TIME, 0), (SIZE, 1)):
        series = []
        for name, values in held.published.items():
            series.append(Series(f"{name}, paper", [(values[which], values[2])], number[name], hollow=True))
        for name, values in ours.items():
            series.append(Series(name, [(values[which], values[2])], number[name], line=False))
        plots.append(
            (
                plot_svg(series, axis, QUALITY, width=560),
                "Hollow: the papers, on GPUs, other data. Filled: this page's.",
            )
        )
    return table_of(held.beside) + _plotted("", plots)


def _plotted(title: str, plots: Sequence[tuple[str, str]]) -> str:
    if not plots:
        return ""
    figures = "".join(
        f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>" for svg, caption in plots
    )  # fmt: skip
    return f'{f"<h2>{escape(title)}</h2>" if title else ""}<div class="plots">{figures}</div>'


def _views(views: Sequence[View], number: Mapping[str, int]) -> str:
    if not views:
        return ""
    widest, narrowest = WIDTHS
    cards = [
        f'<section class="card"><header><h3>{escape(view.name)}</h3></header><div class="beside" style="grid-template-'
        f'columns:repeat(auto-fill,{max(narrowest, min(widest, ROW // len(view.columns) - 10))}px)">'
        + "".join(_column(view, column, number) for column in view.columns)
        + "</div></section>"
        for view in views
    ]
    return f'<h2>Held-out pictures</h2><p class="note">{escape(SIDE_BY_SIDE)}</p>{"".join(cards)}'


def _column(view: View, column: Column, number: Mapping[str, int]) -> str:
    (height, width), crop = view.size, view.crop
    shares = {
        "left": crop.left / width, "top": crop.top / height, "width": crop.width / width, "height": crop.height / height
    }  # fmt: skip
    frame = ";".join(f"{name}:{100 * share:.2f}%" for name, share in shares.items())
    colour = f'<span class="mark s{number[column.name] % len(COLOURS)}"></span>' if column.name in number else ""
    parts = [f'{_image(column.picture, column.name)}<i style="{frame}"></i>', _image(column.cropped, "enlarged")]
    if column.error is not None:
        parts.append(_image(column.error, "difference"))
    # a line of its own, and one where there is nothing to say: columns stay level
    said = f'<span class="soft" style="display:block">{escape(column.said) or "&nbsp;"}</span>'
    shown = "".join(f"<div>{part}</div>" for part in parts)
    return f"<figure><figcaption>{colour}{escape(column.name)}{said}</figcaption>{shown}</figure>"


def _image(file: Path, called: str) -> str:
    return f'<img src="{embedded(file)}" alt="{escape(called)}">'


# -- what is shown enlarged --------------------------------------------------------------------------------------------


def most_different(pictures: Sequence[np.ndarray], truth: np.ndarray) -> Crop:
    """The square part, a quarter of the shorter side wide, in which pictures, uint8 [h, w, 3], differ the most from
    each other: where the sum of their variance over pictures is largest. Of a single picture, from the truth."""
    stack = np.stack([picture.astype(np.float64) / 255 for picture in (pictures if len(pictures) > 1 else
                                                                      [*pictures, truth])])  # fmt: skip
    variance = stack.var(0).mean(-1)
    height, width = variance.shape
    side = max(1, round(CROPPED * min(height, width)))
    sums = np.zeros((height + 1, width + 1))
    sums[1:, 1:] = variance.cumsum(0).cumsum(1)
    windows = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(int(windows.argmax()), windows.shape)
    return Crop(int(left), int(top), side, side)


def error_picture(picture: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3]: the mean absolute difference of the three colours, from 0 to 0.1 and more."""
    apart = np.abs(picture.astype(np.float64) - truth).mean(-1) / 255
    return coloured(apart, 0.0, MUCH, ERROR_COLOURS)
