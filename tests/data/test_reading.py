"""Reading side by side: in order, not too far ahead, and over when something goes wrong."""

import threading
import time

import pytest

from unflat.data import reading
from unflat.data.reading import bar, side_by_side


@pytest.fixture(autouse=True)
def four_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "workers", lambda: 4)


def test_results_come_in_the_order_of_the_items() -> None:
    def slow(i: int) -> int:
        time.sleep(0.002 * (i % 3))
        return i * i

    assert list(side_by_side(slow, range(40))) == [i * i for i in range(40)]
    assert list(side_by_side(slow, [])) == []


def test_no_more_wait_than_twice_the_workers() -> None:
    begun = []
    results = side_by_side(lambda i: begun.append(i), range(1000))
    for taken in range(1, 30):
        next(results)
        assert len(begun) <= taken + 2 * 4 + 4
    results.close()


def test_an_error_ends_it() -> None:
    threads = threading.active_count()

    def fails(i: int) -> int:
        if i == 3:
            raise ValueError("three")
        return i

    results = side_by_side(fails, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)
    assert threading.active_count() == threads


def test_the_bar_is_silent_where_nobody_watches(capfd: pytest.CaptureFixture[str]) -> None:
    for wanted in (True, False):
        with bar(wanted) as shown:
            task = shown.add_task("Reading", total=2)
            shown.advance(task)
    assert capfd.readouterr() == ("", "")
