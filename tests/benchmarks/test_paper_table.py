"""A paper's table from records: order, means, spreads, shares, runs that rows have in common, and claims."""

from dataclasses import replace
from pathlib import Path

import paper_table
import pytest
from paper_table import Claim, claimed_rows, sections

from unflat import catalogue
from unflat.catalogue import Entry, TableRow
from unflat.records import Record

ROWS = {
    "average_depth": TableRow("average depth", {"SIDE": 2.0, "MAD": 20.0}, "average depth"),
    "full": TableRow("full", {"SIDE": 0.8, "MAD": 16.0}, ""),
    "no_perceptual_loss": TableRow("no perceptual loss", {"SIDE": 0.9, "MAD": 18.0}, ""),
    "no_light": TableRow("no light", {}, ""),
}
ENTRY = Entry("unsup3d", "m", Path("x"), "M", "t", "Photos", (), {"small": ""}, ROWS)
BASELINES = {"SIDE, filled, average depth": 1.0, "MAD, filled, average depth": 21.0}


def lines(name: str, seed: int, side: float, note: str = "", **more: float) -> list[Record]:
    """Records of one run."""
    figures = {"SIDE, filled": side, "MAD, filled": 20 * side, "SIDE, filled / average depth": side, "coverage": 0.98}
    found = figures | BASELINES | more
    return [
        Record("unsup3d", name, metric, ours, "lower", seed=seed, settings="d", command=f"run {name}", note=note)
        for metric, ours in found.items()
    ]


def row_of(text: str, title: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {title}")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_stand_in_the_tables_order_with_mean_and_spread_and_the_published_beside() -> None:
    made = sections(ENTRY, lines("small/no_light", 0, 2.5) + lines("small/full", 0, 0.5) + lines("small/full", 1, 0.7))
    assert row_of(made, "full")[1:6] == ["2", "0.6 [0.5, 0.7]", "0.8", "12 [10, 14]", "16"]
    assert row_of(made, "full")[6:] == ["0.6 [0.5, 0.7]", "0.4", "", "0.8", "0.98 [0.98, 0.98]"]
    assert row_of(made, "average depth")[1:] == ["", "1", "2", "21", "20", "1", "1", "1", "1", ""]
    assert row_of(made, "no light")[1:4] == ["1", "2.5", ""]
    assert row_of(made, "no perceptual loss")[1:4] == ["not run", "", "0.9"]
    starts = [made.index(f"| {row.title} |") for row in ROWS.values()]
    assert starts == sorted(starts) and "run small/full" in made


def test_a_row_that_is_another_rows_run_says_so() -> None:
    made = sections(
        ENTRY, lines("small/full", 0, 0.5) + lines("small/no_perceptual_loss", 0, 0.5, "the run of small/full")
    )
    assert "| no perceptual loss (the run of *full*) | 1 | 0.5 |" in made


def test_only_the_newest_settings_of_an_experiment_are_shown_and_only_what_the_table_measured() -> None:
    old, new, large = lines("small/full", 0, 9.0), lines("small/full, 3000 steps", 0, 0.5), lines("faces/full", 0, 0.3)
    other = [
        Record("unsup3d", "small/full", "SIDE, filled", 5.0, "lower"),
        Record("unsup3d", "small", "x", 5.0, "lower"),
    ]
    made = sections(ENTRY, old + large + new + other)
    assert "experiment `small`, 3000 steps" in made and "experiment `faces`\n" in made
    assert "| 9 |" not in made and "| 5 |" not in made
    assert "Not run yet" in sections(ENTRY, other)


def test_rows_of_tables_with_other_settings_do_not_stand_side_by_side() -> None:
    old = [replace(line, table="a") for line in lines("small/no_light", 0, 9.0) + lines("small/full", 0, 8.0)]
    made = sections(ENTRY, old + [replace(line, table="b") for line in lines("small/full", 0, 0.5)])
    assert row_of(made, "full")[1:3] == ["1", "0.5"] and row_of(made, "no light")[1] == "not run"


def test_keypoints_are_summed_over_ours_and_compared_by_their_mean() -> None:
    correlations = {"landmark correlation": 0.5, "landmark correlation, sum": 34.0, "landmark correlation, random": 0.1}
    made = sections(ENTRY, lines("small/full", 0, 0.5, **correlations))
    keypoints = made[made.index("Keypoint depth") :]
    assert row_of(keypoints, "full |")[1:] == ["34", "0.5", "48.98", "0.742"]
    assert row_of(keypoints, "random")[1:] == ["6.8", "0.1", "", ""]
    assert row_of(keypoints, "AIGN")[1:] == ["", "", "50.81", "0.77"]


@pytest.mark.parametrize(
    ("better", "worse", "clearly", "said"),
    [
        ([1.0, 1.1, 1.2], [1.5, 1.5, 1.5], False, "holds: 1.1 against 1.5, spread 0.2"),
        ([1.0, 1.1, 1.2], [1.2, 1.2, 1.2], False, "**does not hold**: 1.1 against 1.2, spread 0.2"),
        ([1.0, 1.0, 1.0], [1.1, 1.5, 1.3], False, "**does not hold**: 1 against 1.3, spread 0.4"),
        ([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], False, "**does not hold**: 2 against 1, spread 0"),
        ([0.9, 0.9, 0.9], [1.0, 1.0, 1.0], True, "**does not hold**: 0.9 against 1, spread 0"),
        ([0.7, 0.7, 0.7], [1.0, 1.0, 1.0], True, "holds: 0.7 against 1, spread 0"),
        ([1.0, 1.0], [9.0, 9.0, 9.0, 9.0], False, "not run (5 of 6 runs)"),
        ([], [], False, "not run (0 of 6 runs)"),
    ],
)
def test_a_claim_holds_by_more_than_the_spread(better: list, worse: list, clearly: bool, said: str) -> None:
    values = {"a": {"SIDE": dict(enumerate(better))}, "b": {"SIDE": dict(enumerate(worse))}}
    assert Claim("a beats b", "a", "b", clearly).of(values, "SIDE") == said


def test_claims_are_computed_from_the_records() -> None:
    full = [line for seed in range(3) for line in lines("small/full", seed, 0.5 + 0.01 * seed)]
    dark = [line for seed in range(3) for line in lines("small/no_light", seed, 1.0)]
    made = sections(ENTRY, full + dark)
    assert row_of(made, "without light")[1:] == [
        "holds: 0.51 against 1, spread 0.02",
        "holds: 10.2 against 20, spread 0.4",
    ]
    assert row_of(made, "supervised wins clearly")[1] == "not run (3 of 6 runs)"


def test_claims_are_about_rows_that_there_are() -> None:
    for entry in catalogue.methods():
        assert not entry.rows or claimed_rows(entry.name) <= set(entry.rows)
    assert paper_table.SEEDS == 3
