"""A claim that can be run again: method, settings, data, and the figure to reach; and the rows of a paper's table."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from unflat.data.packing import digest_of
from unflat.training.settings import WITHOUT_EFFECT, Training, to_plain
from unflat.worlds.source import CaptureSource, PhotoSource

S = TypeVar("S")


@dataclass(frozen=True)
class Row:
    """A row of a paper's table: what it changes in the experiment that it is a row of.

    A method's file has them in one dict literal, `ROWS: dict[str, Row]`, and `EXPERIMENT/ROW` is then the name of the
    experiment with the row's changes, such as `small/no_light`.
    """

    title: str
    """as the table prints it"""
    config: Mapping[str, Any] = field(default_factory=dict)
    """fields of the method's `Config` with other values; a set may stand for a frozenset"""
    training: Mapping[str, Any] = field(default_factory=dict)
    """fields of `Training` with other values"""
    data: Callable[[Any], Any] | None = None
    """what is done to each source of data, to learn from, to validate and to test: a function of it, or a class"""
    published: Mapping[str, float] = field(default_factory=dict)
    """the paper's figures on the paper's data, by the names `evaluate` gives them"""
    baseline: str = ""
    """for a row that is not trained: the baseline of every evaluation that it is, such as `constant depth`"""


@dataclass(frozen=True)
class Experiment:
    """What a function without arguments at the end of a method's file returns."""

    method: type
    config: Any
    training: Training
    data: Any = None
    """a source such as `worlds.faces.Faces(...)`, data themselves, or None if the user brings them"""
    validation: Any = None
    """the same, to choose the best weights with"""
    test: Any = None
    """the same, to be claimed on"""
    published: Mapping[str, float] = field(default_factory=dict)
    """the paper's figures by the names `evaluate` gives them"""
    note: str = ""
    """what differs from the paper's experiment"""
    applied: Row | None = None
    """the row of a table that this experiment is: it has no figure of its own to reach, published or floor"""

    def row(self, row: Row) -> "Experiment":
        """This experiment with a row's changes. ValueError for a field that is not there, or a row that is a baseline.

        The row's published figures stand in the table only: they are of the paper's data.
        """
        if row.baseline:
            raise ValueError(
                f"the row {row.title!r} is not trained: it is the baseline {row.baseline!r} in the evaluation of every "
                "other row"
            )
        change = row.data or _unchanged
        data, validation, test = (
            None if source is None else change(source) for source in (self.data, self.validation, self.test)
        )
        return replace(
            self,
            config=_changed(self.config, row.config, row.title),
            training=_changed(self.training, row.training, row.title),
            data=data,
            validation=validation,
            test=test,
            published={},
            applied=row,
        )

    @property
    def digest(self) -> str:
        """Equal for experiments that learn alike but for the seed: the same method and recipe (`Method.recipe`),
        settings, and sources of data."""
        training = to_plain(self.training)
        kept = {name: value for name, value in training.items() if name not in {*WITHOUT_EFFECT, "seed"}}
        sources = [repr(source) for source in (self.data, self.test)]
        recipe = [self.method.recipe] if self.method.recipe else []  # type: ignore[attr-defined]
        return digest_of(self.method.__module__, to_plain(self.config), kept, sources, *recipe)


def made(data: Any) -> Any:
    """The data themselves: a source is asked for them, anything else is returned as it is."""
    if isinstance(data, CaptureSource):
        return data.capture()
    return data.photos() if isinstance(data, PhotoSource) else data


def _unchanged(source: Any) -> Any:
    return source


def _changed(settings: S, changes: Mapping[str, Any], row: str) -> S:
    """Settings with some fields replaced; ValueError naming the nearest for one that is not there."""
    known = [f.name for f in dataclasses.fields(settings)]  # type: ignore[arg-type]
    for name in changes:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"its fields are {', '.join(known)}"
            raise ValueError(f"the row {row!r} changes {name!r}, which {type(settings).__name__} does not have; {hint}")
    values = {name: frozenset(value) if isinstance(value, set) else value for name, value in changes.items()}
    return replace(settings, **values)  # type: ignore[type-var]
