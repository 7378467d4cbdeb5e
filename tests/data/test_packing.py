"""The cache: made once, whole or not at all, also when two make the same entry."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from unflat.data import packing
from unflat.data.packing import CacheError, Column, cache_folder, digest_of, packed


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNFLAT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def writes(text: str, calls: list[str]):
    def make(folder: Path) -> None:
        calls.append(text)
        (folder / "deep").mkdir()
        (folder / "deep" / "text").write_text(text)

    return make


def test_an_entry_is_made_once() -> None:
    calls: list[str] = []
    first = packed("kind/abc", writes("one", calls))
    second = packed("kind/abc", writes("two", calls))
    assert first == second and calls == ["one"]
    assert (first / "deep" / "text").read_text() == "one"
    assert packing.find("kind/abc") == first and packing.find("kind/other") is None


@pytest.mark.parametrize("damage", ["truncated", "missing", "no manifest", "manifest cut", "manifest a list", "a file"])
def test_a_broken_entry_is_made_again(damage: str) -> None:
    entry = packed("kind/abc", writes("one", []))
    manifest = entry / packing.MANIFEST
    match damage:
        case "truncated":
            (entry / "deep" / "text").write_text("o")
        case "missing":
            (entry / "deep" / "text").unlink()
        case "no manifest":
            manifest.unlink()
        case "manifest cut":
            manifest.write_text(manifest.read_text()[:-3])
        case "manifest a list":
            manifest.write_text(json.dumps(["text"]))
        case "a file":
            entry.rename(entry.with_name("gone"))
            entry.write_text("not a folder")
    assert packing.find("kind/abc") is None
    calls: list[str] = []
    again = packed("kind/abc", writes("two", calls))
    assert calls == ["two"] and (again / "deep" / "text").read_text() == "two"
    assert not [left for left in entry.parent.iterdir() if left.name.startswith(".")]


def test_what_fails_leaves_nothing(own_cache: Path) -> None:
    def fails(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("no more paper")

    with pytest.raises(RuntimeError, match="no more paper"):
        packed("kind/abc", fails)
    assert list((own_cache / "kind").iterdir()) == []


def test_the_first_of_two_makers_stays(own_cache: Path) -> None:
    """The second finishes while the first has put its entry there: both see the first one's, whole."""

    def slow(folder: Path) -> None:
        (folder / "text").write_text("slow")
        packed("kind/abc", writes("quick", []))

    entry = packed("kind/abc", slow)
    assert (entry / "deep" / "text").read_text() == "quick" and not (entry / "text").exists()
    assert [left.name for left in entry.parent.iterdir()] == ["abc"]


def _race(cache: str, start: float, results: "multiprocessing.Queue[str]") -> None:
    os.environ["UNFLAT_CACHE"] = cache

    def make(folder: Path) -> None:
        for part in range(20):
            (folder / str(part)).write_text(str(part) * 1000)

    time.sleep(max(0.0, start - time.time()))
    for entry in range(10):
        folder = packed(f"race/{entry}", make)
        results.put("".join((folder / str(part)).read_text()[:1] for part in range(10)))


def test_processes_that_race_all_get_whole_entries(own_cache: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[str] = context.Queue()
    start = time.time() + 1.5
    racers = [context.Process(target=_race, args=(str(own_cache), start, results)) for _ in range(2)]
    for racer in racers:
        racer.start()
    seen = [results.get(timeout=60) for _ in range(20)]
    for racer in racers:
        racer.join()
    assert set(seen) == {"0123456789"}
    assert not [left for left in (own_cache / "race").iterdir() if left.name.startswith(".")]


def test_leftovers_of_killed_processes_go_after_a_day(own_cache: Path) -> None:
    old, new = own_cache / "kind" / ".making-old", own_cache / "kind" / ".making-new"
    for left in (old, new):
        left.mkdir(parents=True)
    os.utime(old, (time.time() - 2 * 24 * 3600,) * 2)
    packed("kind/abc", writes("one", []))
    assert not old.exists() and new.exists()


def test_short_texts_are_remembered(own_cache: Path) -> None:
    assert packing.recall("stated/x") is None
    packing.remember("stated/x", "photos/1")
    packing.remember("stated/x", "photos/2")
    assert packing.recall("stated/x") == "photos/2"


@pytest.mark.parametrize("key", ["", "../up", "/root", "a//b", "a b", ".hidden", "a/.b"])
def test_keys_stay_inside_the_cache(key: str) -> None:
    with pytest.raises(ValueError, match="is no cache key"):
        packed(key, writes("one", []))


def test_digests_are_equal_for_equal_parts() -> None:
    assert digest_of({"a": 1, "b": [2.5]}, "x") == digest_of({"b": [2.5], "a": 1}, "x")
    assert digest_of("ab", "c") != digest_of("a", "bc")


def test_the_folder_is_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("UNFLAT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "unflat"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "unflat"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNFLAT_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(CacheError, match=r"cannot make the cache folder .*file/cache.*UNFLAT_CACHE"):
        cache_folder()


def test_a_column_is_what_numpy_would_save(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((1234, 3, 2)).astype(np.float32)
    with Column(tmp_path / "rows.npy", (3, 2), np.float32) as column:
        for row in rows:
            column.append(row)
    assert np.array_equal(np.load(tmp_path / "rows.npy", mmap_mode="r"), rows)
    with (
        Column(tmp_path / "other.npy", (3, 2), np.float32) as column,
        pytest.raises(ValueError, match=r"a row of \(2, 3\) does not fit"),
    ):
        column.append(rows[0].T)


def test_a_column_takes_many_rows_at_once(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (50, 3), np.uint8)
    with Column(tmp_path / "rows.npy", (3,), np.float32) as column:
        for part in (rows[:0], rows[:7], rows[7:][::-1], rows[:, ::-1][:2]):
            column.extend(part)
        with pytest.raises(ValueError, match=r"a row of \(2,\) does not fit into a column of \(3,\)"):
            column.extend(rows[:, :2])
    found = np.load(tmp_path / "rows.npy")
    assert found.dtype == np.float32
    assert np.array_equal(found, np.concatenate([rows[:7], rows[7:][::-1], rows[:2, ::-1]]))
    with Column(tmp_path / "numbers.npy", (), bool) as column:
        column.extend(np.array([True, False]))
        column.append(np.asarray(True))
    assert np.load(tmp_path / "numbers.npy").tolist() == [True, False, True]


def test_what_a_files_entry_says_changes_with_it(tmp_path: Path) -> None:
    file = tmp_path / "a"
    said = [packing.stated(file)]
    for content in ("one", "three", "seven"):
        file.write_text(content)
        os.utime(file, ns=(len(said), len(said)))
        said.append(packing.stated(file))
    assert packing.stated(file) == said[-1] and len({str(entry) for entry in said}) == 4


def test_a_column_that_was_not_closed_reads_as_empty(tmp_path: Path) -> None:
    column = Column(tmp_path / "rows.npy", (2,), bool)
    column.append(np.array([True, False]))
    column._file.flush()
    assert np.load(tmp_path / "rows.npy").shape == (0, 2)
    column.close()
    column.close()
    assert np.load(tmp_path / "rows.npy").tolist() == [[True, False]]


def test_a_column_is_written_without_assertions_too(tmp_path: Path) -> None:
    """`python -O` leaves them out, and what they do with them."""
    code = (
        "import sys; from pathlib import Path; import numpy as np; from unflat.data.packing import Column\n"
        "with Column(Path(sys.argv[1]), (2,), bool) as column: column.append(np.array([True, False]))"
    )
    path = tmp_path / "rows.npy"
    subprocess.run([sys.executable, "-O", "-c", code, path], check=True, cwd=Path(__file__).parents[2])
    assert np.load(path).tolist() == [[True, False]]
