"""The figures of a method on some data: for a table, for a file, for the records."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from rich.table import Table

from unflat.records import Record, Side, Source

LOWER_IS_BETTER = ("SIDE", "MAD", "MAE", "reconstruction", "LPIPS", "depth error", "opacity error")


@dataclass(frozen=True)
class Evaluation:
    """The figures of a method on some pictures."""

    figures: dict[str, float]
    """over all pictures, by name"""
    per_image: dict[str, np.ndarray]
    """[n] of each picture, by name; NaN where it could not be scored"""
    names: tuple[str, ...]
    """of the pictures"""
    warnings: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """The figure to choose weights by."""
        return next((name for name in ("PSNR", "SIDE") if name in self.figures), "reconstruction")

    @property
    def headline_value(self) -> float:
        """Lower is better, whatever the figure. Infinite where nothing was scored, so that it is never chosen."""
        value = self.figures.get(self.headline, math.nan)
        if not math.isfinite(value):
            return -math.inf if self.headline == "PSNR" and value > 0 else math.inf
        return -value if self.headline == "PSNR" else value

    @property
    def floors(self) -> dict[str, tuple[float, Side]]:
        """What shape must at least reach to be called learned: a bound and which side of it is better, by figure."""
        if "SIDE" not in self.figures:
            return {}
        floors: dict[str, tuple[float, Side]] = {"coverage": (0.95, "higher"), "better than the twin": (0.95, "higher")}
        for metric in ("SIDE", "MAD"):
            average, constant = (self.figures[f"{metric}, {kind} depth"] for kind in ("average", "constant"))
            floors[metric] = (min(average, 0.6 * constant), "lower")
        return floors

    def missed(self, floors: Mapping[str, tuple[float, Side]] | None = None) -> list[str]:
        """What is beyond its floor, a sentence each; of `self.floors` unless others are given.

        A figure that was not measured, or could not be, is missed.
        """
        found = []
        for name, (bound, side) in (self.floors if floors is None else floors).items():
            value = self.figures.get(name, math.nan)
            if not (value <= bound if side == "lower" else value >= bound):
                found.append(f"{name} is {value:.3f}, beyond {bound:.3f} ({side} is better)")
        return found

    def records(
        self, blank: Record, published: Mapping[str, float], *, floors: Mapping[str, tuple[float, Side]] | None = None
    ) -> list[Record]:
        """The claims to append: `blank` (method, experiment, seed, command, seconds, …) with each figure filled in.

        A figure is recorded against its published value and against its floor (of `self.floors` unless others are
        given) where there are such, else by itself.
        """
        floors = self.floors if floors is None else floors
        unknown = set(published) - set(self.figures)
        if unknown:
            raise ValueError(
                f"the experiment names published figures {sorted(unknown)} that were not measured; measured were "
                f"{', '.join(self.figures)}"
            )
        found = []
        for name, value in self.figures.items():
            if not math.isfinite(value):
                continue
            usual: Side = "lower" if name.startswith(LOWER_IS_BETTER) else "higher"
            floor, side = floors.get(name, (None, usual))
            spread = float(np.nanstd(self.per_image[name])) if name in self.per_image else None
            measured = replace(blank, metric=name, ours=value, better=side, spread=spread)
            bounds: list[tuple[Source, float | None]] = [("published", published.get(name)), ("floor", floor)]
            known = [replace(measured, bound=bound, source=source) for source, bound in bounds if bound is not None]
            found += known or [measured]
        return found

    def table(self) -> Table:
        """For a terminal."""
        table = Table(title=f"{len(self.names)} pictures", caption="\n".join(self.warnings) or None)
        table.add_column("figure")
        table.add_column("value", justify="right")
        table.add_column("spread over pictures", justify="right")
        for name, value in self.figures.items():
            spread = f"{np.nanstd(self.per_image[name]):.3f}" if name in self.per_image else ""
            table.add_row(name, f"{value:.3f}", spread)
        return table

    def per_view_table(self) -> Table:
        """Every picture with its figures, for a terminal."""
        table = Table(title="Each picture", title_justify="left")
        table.add_column("picture")
        for name in self.per_image:
            table.add_column(name, justify="right")
        for index, picture in enumerate(self.names):
            table.add_row(picture, *(f"{values[index]:.3f}" for values in self.per_image.values()))
        return table

    def to_json(self) -> dict[str, Any]:
        """Plain data; what could not be scored is null."""
        return {
            "figures": {name: _or_none(value) for name, value in self.figures.items()},
            "warnings": list(self.warnings),
            "names": list(self.names),
            "per_image": {name: [_or_none(v) for v in values.tolist()] for name, values in self.per_image.items()},
        }


def mean_of(values: np.ndarray) -> float:
    """Of those that are numbers; NaN without any."""
    known = values[~np.isnan(values.astype(float))]
    return float(known.mean()) if len(known) else math.nan


def _or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
