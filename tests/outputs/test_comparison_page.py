"""The page on a comparison: complete in itself, and it shows what differs."""

from pathlib import Path

import numpy as np
import pytest

from unflat.outputs.comparison_page import (
    Column,
    ComparisonPage,
    Crop,
    View,
    error_picture,
    most_different,
    write_comparison_page,
)
from unflat.outputs.images import save_png
from unflat.outputs.pages import Table

from .test_report import Page


def flat(value: int, height: int = 24, width: int = 32) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_what_is_enlarged_is_where_the_pictures_differ() -> None:
    one, other = flat(100), flat(100)
    other[13:17, 20:24] = 200
    crop = most_different([one, other], flat(0))
    assert (crop.width, crop.height) == (6, 6), "a quarter of the shorter side"
    assert crop.left <= 20 and crop.left + 6 >= 24 and crop.top <= 13 and crop.top + 6 >= 17
    assert crop.of(other).shape == (6, 6, 3) and (crop.of(other) == 200).sum() == 48


def test_a_single_picture_is_held_against_the_truth() -> None:
    truth = flat(100)
    truth[:3, :3] = 0
    assert most_different([flat(100)], truth) == Crop(0, 0, 6, 6)


def test_the_window_is_that_of_brute_force() -> None:
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (16, 20, 3), dtype=np.uint8) for _ in range(3)]
    crop = most_different(pictures, pictures[0])
    variance = np.stack(pictures).astype(float).var(0).mean(-1)
    sums = {(top, left): variance[top : top + 4, left : left + 4].sum() for top in range(13) for left in range(17)}
    assert sums[crop.top, crop.left] == pytest.approx(max(sums.values()))


def test_no_error_is_white_and_much_is_dark() -> None:
    picture = flat(100)
    picture[0, 0] = 255
    shown = error_picture(picture, flat(100))
    assert (shown[1:] == 255).all() and shown[0, 0].max() < 80


@pytest.fixture
def held(tmp_path: Path) -> ComparisonPage:
    file = save_png(tmp_path / "a.png", flat(100))
    columns = [Column("truth", file, file), Column("grid", file, file, file, "30.00 dB")]
    return ComparisonPage(
        title="a <b>", introduction="said", figures=Table("Figures", ("", "PSNR"), [["grid", 30.0]]),
        times={"grid": [(1.0, 20.0), (10.0, 30.0)]}, sizes={"grid": (5e6, 30.0)},
        published={"nerf": (1e5, 5e6, 31.0), "ngp": (300.0, 0.0, 33.0)},
        beside=Table("Papers", ("", ""), [["nerf", 31.0]]),
        views=[View("view_1", (24, 32), Crop(8, 6, 6, 6), columns)], facts=[("machine", "here")],
        warnings=["mlp could not be compared. ValueError: why"],
    )  # fmt: skip


def test_all_of_it_is_in_the_page_and_nothing_is_fetched(held: ComparisonPage, tmp_path: Path) -> None:
    text = write_comparison_page(tmp_path / "page.html", held).read_text()
    page = Page(text)
    words = " ".join(page.words)
    assert page.sources and all(source.startswith("data:") for _, source in page.sources)
    assert "default-src 'none'" in page.policy
    expected = ("a <b>", "view_1", "30.00 dB", "mlp could not be compared", "nerf, paper", "10 s", "5 MB", "machine")
    for said in expected:
        assert said in words, said
    assert words.count("ngp, paper") == 1, "what tells no size is in the plot of times alone"
    assert text.count("left:25.00%;top:25.00%;width:18.75%;height:25.00%") == 2, "the frame is in every column"


def test_a_page_of_nothing_that_learned_is_one(tmp_path: Path) -> None:
    figures = Table("Figures", ("",), [])
    page = write_comparison_page(tmp_path / "page.html", ComparisonPage("t", "i", figures, warnings=["all failed"]))
    assert "all failed" in page.read_text() and "<svg" not in page.read_text()
