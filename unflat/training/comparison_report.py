"""The page on a comparison, made of what its folder holds: figures and pictures."""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image

from unflat import catalogue
from unflat.data.viewpoints import spread_over
from unflat.evaluation.published import PUBLISHED
from unflat.outputs.comparison_page import (
    Column,
    ComparisonPage,
    View,
    error_picture,
    most_different,
    write_comparison_page,
)
from unflat.outputs.files import safe_names
from unflat.outputs.images import save_png
from unflat.outputs.pages import Table
from unflat.training.comparison_files import LEVELS, PAGE, Compared, Comparison, view_folders

SHOWN = 4
"""held-out pictures in the page, spread over those that were looked at"""
NOT_REACHED = "\u2013"
DIFFERENCES = (
    "Read with care. The papers' PSNR is a mean over eight objects of 800 px (Synthetic-NeRF), each learned for as "
    "long as it takes, with the full models; their times are of GPUs of 2020 to 2022, and times and sizes are those of "
    "a table that is shown in lectures. Here it is one capture, at the size and for the time told above, on this "
    "machine, with smaller settings where there is no GPU. Orders of magnitude may be compared, numbers may not."
)


def write_page(out: Path, comparison: Comparison) -> Path:
    """Write comparison.html, and the parts of pictures that it shows beside them."""
    good = [one for one in comparison.methods if not one.failed]
    called = Path(comparison.capture).name
    return write_comparison_page(out / PAGE, ComparisonPage(
        title=f"{called}: {len(good)} method{'s' * (len(good) != 1)} compared",
        introduction=_introduction(comparison),
        figures=_figures(comparison),
        times={one.method: [(point.wall, point.psnr) for point in one.points] for one in good},
        sizes={one.method: (float(one.bytes), psnr) for one in good if (psnr := one.figures.get("PSNR")) is not None},
        published={name: (told.middle, told.size, told.psnr) for name, told in PUBLISHED.items()},
        beside=_beside(good),
        views=_views(out, comparison, [one for one in good if one.figures.get("PSNR") is not None]),
        facts=_facts(comparison),
        warnings=[f"{one.method} could not be compared. {one.failed}" for one in comparison.methods if one.failed],
    ))  # fmt: skip


def _introduction(comparison: Comparison) -> str:
    return (
        f"Each method learned {comparison.learned} pictures for {_in_words(comparison.seconds)} at most, one after "
        f"another on the same machine ({_threads(comparison)}), and was asked for {len(comparison.views)} pictures of "
        f"{comparison.side} px that it had not seen."
    )


def _threads(comparison: Comparison) -> str:
    return f"{comparison.threads} thread{'s' * (comparison.threads != 1)}"


def _in_words(seconds: float) -> str:
    number, unit = (seconds, "second") if seconds < 60 else (seconds / 60, "minute")
    return f"{number:.3g} {unit}{'s' * (number != 1)}"


def _figures(comparison: Comparison) -> Table:
    levels = [f"s to {level} dB" for level in LEVELS]
    columns = (
        "",
        "PSNR",
        "SSIM",
        *levels,
        "learned, s",
        "CPU s",
        "steps",
        "million parameters",
        "MB on disk",
        "frames/s",
    )
    rows = []
    for one in comparison.methods:
        if one.failed:
            continue
        reached = [one.seconds_to.get(level) for level in LEVELS]
        rows.append([
            one.method, one.figures.get("PSNR"), one.figures.get("SSIM"),
            *(NOT_REACHED if seconds is None else _short(seconds) for seconds in reached),
            _short(one.wall), _short(one.cpu), _steps(one),
            _short(one.parameters / 1e6), _short(one.bytes / 1e6), _short(one.frames_per_second),
        ])  # fmt: skip
    note = (
        f"PSNR and SSIM: at the end, mean of {len(comparison.views)} held-out pictures, higher is better. Seconds to a "
        "level: wall time of training until the held-out pictures had it, on a straight line between two looks "
        f"({NOT_REACHED}: not reached). CPU s: process time of all threads. Frames/s: pictures of "
        f"{comparison.side} px, {_threads(comparison)}."
    )
    ended = [f"{one.method} after {one.wall:.3g} s" for one in comparison.methods if one.ended]
    if ended:
        note += f" Before the time was up, these had taken all steps of their schedules: {', '.join(ended)}."
    return Table("Figures", columns, rows, note)


def _steps(one: Compared) -> str:
    """In one line of a table."""
    told = f"all {one.step:,}" if one.ended else f"{one.step:,} of {one.steps:,}"
    return told.replace(" ", "\u00a0")


def _short(number: float) -> float:
    return float(f"{number:.3g}")


def _beside(good: Sequence[Compared]) -> Table:
    ours = {one.method: one for one in good}
    rows = []
    for name, told in PUBLISHED.items():
        own = ours.get(name)
        rows.append([
            name, f"{told.psnr:.2f}", told.time, f"{told.size / 1e6:.0f} MB" if told.size else "not told",
            *(("", "", "") if own is None else (f"{own.figures.get('PSNR') or float('nan'):.2f}", f"{own.wall:.0f} s",
                                                f"{own.bytes / 1e6:.3g} MB")),
            told.note,
        ])  # fmt: skip
    columns = (
        "",
        "PSNR, paper",
        "time, paper",
        "size, paper",
        "PSNR here",
        "time here",
        "size here",
        "of the paper's figures",
    )
    return Table("Beside the papers", columns, rows, DIFFERENCES)


def _facts(comparison: Comparison) -> list[tuple[str, object]]:
    titles = {entry.name: entry.title for entry in catalogue.methods()}
    facts: list[tuple[str, object]] = [
        ("capture", comparison.capture),
        ("learned from", f"{comparison.learned} pictures, {comparison.side} px, space {comparison.space}"),
        ("held out", ", ".join(comparison.views)),
        ("time", f"{_in_words(comparison.seconds)} of wall time each; the clock counts preparation and learning, and "
         "stands still while it is looked at held-out pictures and while checkpoints are written"),
        ("machine", f"{comparison.hardware}; {comparison.threads} used"),
        ("date", datetime.fromisoformat(comparison.date).strftime("%d %B %Y")),
        ("versions", ", ".join(f"{name} {number}" for name, number in comparison.versions.items())),
    ]  # fmt: skip
    for one in comparison.methods:
        facts.append((one.method, f"{titles.get(one.method, '')} Settings: {one.experiment}, fitted to the capture; in "
                      f"runs/{one.method}"))  # fmt: skip
    return facts


# -- pictures ----------------------------------------------------------------------------------------------------------


def _views(out: Path, comparison: Comparison, good: Sequence[Compared]) -> list[View]:
    if not good:
        return []
    folders = view_folders(out, comparison.views)
    return [_view(folders[i], i, safe_names(comparison.views)[i], good) for i in spread_over(len(folders), SHOWN)]


def _view(folder: Path, index: int, name: str, good: Sequence[Compared]) -> View:
    """One picture by all methods, with the parts of it that are shown enlarged."""
    truth = _read(folder / "truth.png")
    pictures = {one.method: _read(folder / f"{one.method}.png") for one in good}
    crop = most_different(list(pictures.values()), truth)
    parts = folder / "parts"
    columns = [Column("truth", folder / "truth.png", save_png(parts / "truth.png", crop.of(truth)))]
    for one in good:
        picture = pictures[one.method]
        psnr = one.per_view["PSNR"][index]
        columns.append(Column(
            one.method, folder / f"{one.method}.png", save_png(parts / f"{one.method}.png", crop.of(picture)),
            save_png(parts / f"{one.method}-difference.png", error_picture(picture, truth)),
            "" if psnr is None else f"{psnr:.2f} dB",
        ))  # fmt: skip
    return View(name, (truth.shape[0], truth.shape[1]), crop, columns)


def _read(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture.convert("RGB"))
