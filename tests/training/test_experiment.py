"""Rows of a paper's table: what they change in an experiment, and what stays."""

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from unflat.data.kinds import Photos
from unflat.method import Method
from unflat.training.experiment import Experiment, Row, made
from unflat.training.settings import Training


@dataclass(frozen=True)
class Config:
    width: int = 8
    without: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Dots:
    """A source of photos."""

    count: int

    def photos(self) -> Photos:
        return Photos(np.zeros((self.count, 2, 2, 3), np.uint8), [str(i) for i in range(self.count)])


@dataclass(frozen=True)
class Inverted:
    source: Dots

    def photos(self) -> Photos:
        photos = self.source.photos()
        return replace(photos, rgb=255 - photos.rgb)


BASE = Experiment(
    Method, Config(), Training(steps=5), Dots(4), test=Dots(2), published={"SIDE": 0.793}, note="narrow"
)  # fmt: skip


def test_a_row_changes_what_it_names_and_nothing_else() -> None:
    row = Row("no light", {"without": frozenset({"light"})}, {"rate": 0.5}, published={"SIDE": 2.4})
    made_of = BASE.row(row)
    assert made_of.config == Config(without=frozenset({"light"})) and made_of.training == Training(steps=5, rate=0.5)
    assert (made_of.data, made_of.test, made_of.validation, made_of.note) == (Dots(4), Dots(2), None, "narrow")
    assert BASE.config == Config() and BASE.applied is None


def test_a_row_has_no_figure_of_its_own_to_reach() -> None:
    """Published figures of a row are of the paper's data; those of the experiment are of the full model."""
    made_of = BASE.row(Row("no light", published={"SIDE": 2.4}))
    assert made_of.published == {} and made_of.applied is not None and made_of.applied.published == {"SIDE": 2.4}


def test_a_rows_data_are_made_from_each_of_the_experiments() -> None:
    made_of = BASE.row(Row("inverted", data=Inverted))
    assert (made_of.data, made_of.validation, made_of.test) == (Inverted(Dots(4)), None, Inverted(Dots(2)))
    assert made(made_of.test).rgb.min() == 255 and made(BASE.test).rgb.max() == 0


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": {"widht": 3}}, r"the row 'x' changes 'widht', which Config does not have; did you mean 'width'\?"),
        ({"config": {"zzz": 3}}, "which Config does not have; its fields are width, without"),
        ({"training": {"step": 3}}, r"changes 'step', which Training does not have; did you mean 'steps'\?"),
        ({"baseline": "constant depth"}, "the row 'x' is not trained: it is the baseline 'constant depth' in the eval"),
    ],
)
def test_a_row_that_does_not_fit_says_so(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        BASE.row(Row("x", **changes))


def test_the_digest_is_of_all_that_decides_what_is_learned_but_the_seed() -> None:
    same = replace(BASE, training=replace(BASE.training, seed=9, threads=1, log_every=7, device="cuda"), note="other")
    assert same.digest == BASE.digest == BASE.row(Row("full")).digest
    others = [
        replace(BASE, config=Config(9)),
        replace(BASE, training=replace(BASE.training, steps=6)),
        replace(BASE, data=Dots(5)),
        replace(BASE, test=Dots(5)),
        BASE.row(Row("inverted", data=Inverted)),
        BASE.row(Row("no light", {"without": frozenset({"light"})})),
        replace(BASE, method=type("Changed", (), {"__module__": BASE.method.__module__, "recipe": 1})),
    ]
    assert len({BASE.digest, *(other.digest for other in others)}) == 1 + len(others)


def test_data_themselves_are_left_as_they_are() -> None:
    assert made(math.pi) == math.pi and len(made(Dots(3))) == 3
