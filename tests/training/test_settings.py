import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from unflat.training.settings import Training, from_plain, seed_of, to_plain


@dataclass(frozen=True)
class Inner:
    size: tuple[int, int] = (3, 4)


@dataclass(frozen=True)
class Outer:
    rate: float
    names: tuple[str, ...] = ()
    without: frozenset[Literal["a", "b"]] = field(default_factory=frozenset)
    maybe: float | None = None
    inner: Inner = Inner()
    on: bool = True
    counts: dict[str, int] = field(default_factory=dict)


FULL = Outer(0.1, ("x", "y"), frozenset({"b", "a"}), 2.5, Inner((1, 2)), False, {"n": 3})


def through_json(settings: Any) -> Any:
    return json.loads(json.dumps(to_plain(settings)))


@pytest.mark.parametrize("settings", [FULL, Outer(1.0), Training(), Training(steps=3, schedule="cosine")])
def test_settings_come_back_from_json_as_they_were(settings: Any) -> None:
    assert from_plain(type(settings), through_json(settings)) == settings


def test_sets_are_written_in_one_order() -> None:
    assert to_plain(FULL)["without"] == ["a", "b"]


def test_whole_numbers_are_read_as_floats_where_floats_are_meant() -> None:
    rate = from_plain(Outer, {"rate": 1}).rate
    assert rate == 1.0 and type(rate) is float


def test_missing_fields_take_their_defaults() -> None:
    assert from_plain(Outer, {"rate": 1.0}) == Outer(1.0)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({"rate": 1.0, "nmaes": ["x"]}, "Outer has no field 'nmaes'; did you mean 'names'?"),
        ({"rate": 1.0, "zzzz": 1}, "Outer has no field 'zzzz'; its fields are rate, names"),
        ({}, "Outer needs rate, which the settings do not give"),
        ({"rate": "fast"}, "Outer.rate is 'fast'; it must be of type float"),
        ({"rate": True}, "Outer.rate is True; it must be of type float"),
        ({"rate": 1.0, "on": 1}, "Outer.on is 1; it must be of type bool"),
        ({"rate": 1.0, "names": "xy"}, "Outer.names is 'xy'; it must be of type tuple"),
        ({"rate": 1.0, "without": ["c"]}, r"Outer.without\[0\] is 'c'; it must be one of 'a', 'b'"),
        ({"rate": 1.0, "inner": {"size": [1, 2, 3]}}, r"Inner.size has 3 values, \[1, 2, 3\]; it must have 2"),
        ({"rate": 1.0, "inner": {"sizes": [1, 2]}}, "Inner has no field 'sizes'"),
        ({"rate": 1.0, "inner": 3}, "Inner is read from an object of fields, not from 3"),
        ({"rate": 1.0, "maybe": "x"}, "Outer.maybe is 'x'"),
        ({"rate": 1.0, "counts": {"n": 1.5}}, r"Outer.counts\['n'\] is 1.5; it must be of type int"),
        ([1], r"Outer is read from an object of fields, not from \[1\]"),
    ],
)
def test_what_does_not_fit_is_named(plain: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_plain(Outer, plain)


def test_what_is_no_plain_data_is_not_written() -> None:
    with pytest.raises(TypeError, match="settings are plain data; object"):
        to_plain({"x": object()})


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "Training.steps is 0; it must be at least 1"),
        ({"rate": 0.0}, "Training.rate is 0.0; it must be above 0"),
        ({"ema": 1.0}, r"Training.ema is 1.0; it must be in \[0, 1\)"),
        ({"hold": -0.1}, "Training.hold is -0.1"),
    ],
)
def test_training_settings_that_make_no_sense(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Training(**wrong)


def test_seeds_depend_on_every_part_and_on_their_order() -> None:
    seeds = [seed_of(*parts) for parts in ((0,), (0, 0), (0, 1), (1, 0), (1,), (0, -1), (0, 0, 1))]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_seeds_are_the_same_in_every_process() -> None:
    code = "from unflat.training.settings import seed_of; print(seed_of(3, 14))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == seed_of(3, 14)
