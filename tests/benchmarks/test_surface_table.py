"""The tables of surfaces beside the truth, and the page that they stand in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import make_readme
import surface_table
import surfaces

from unflat.records import Record, append, read

FOUND: dict[str, Any] = {"hidden": 0.1, "wall": 40.0, "memory": 5e8, "settings": "abc"}


def figures(chamfer: float) -> dict[str, float]:
    return {
        "CPU s": 20.4, "Chamfer, cells": chamfer, "Chamfer, mm": 2 * chamfer, "F at 1/2 cell": 1 - chamfer / 4,
        "normals, degrees": 10 * chamfer, "PSNR": 30.0,
    }  # fmt: skip


def record(folder: Path, mesh: str, name: str, chamfer: float, *words: str) -> None:
    """As the benchmark does."""
    of_hull = {"Chamfer, cells": chamfer, "F at 1/2 cell": 1 - chamfer / 4}
    asked = surfaces.parser().parse_args(["truth", "OBJECT", *words])
    found = of_hull if mesh == "hull" else figures(chamfer)
    lines = surfaces.records_of(asked, mesh, name, found, FOUND)
    append([replace(line, commit="0", hardware="abacus") for line in lines], folder)


def recorded(folder: Path) -> Sequence[Record]:
    return [line for name in ("quick_surface", "quick_grid", "surfaces") for line in read(name, folder)]


def test_a_row_for_each_object_and_one_of_the_medians(tmp_path: Path) -> None:
    for name, own in (("mug", 0.6), ("vase", 0.2)):
        record(tmp_path, "ours", name, own)
        record(tmp_path, "density", name, 1.0)
        record(tmp_path, "depth", name, 0.4)
        record(tmp_path, "hull", name, 1.5)
    record(tmp_path, "prototype", "vase", 0.3)
    record(tmp_path, "ours", "median of 2", 7.0)
    rows = surface_table.truth_tables(recorded(tmp_path)).splitlines()
    assert rows[0] == (
        "*Before nothing (pictures have opacity); 60 views, 200 px, one thread. Each cell: quick surface / the quick "
        "grid's density / its depth / the visual hull / the prototype. The best is bold.*"
    )
    assert rows[2] == "|  | Chamfer, cells | Chamfer, mm | F at 1/2 cell | normals, degrees | CPU s |"
    # of the mug, the prototype's figures are those that the records of ours are beside
    assert rows[4].startswith("| mug | 0.60 / 1.00 / **0.40** / 1.50 / 1.31 | 1.20 / 2.00 / **0.80** / - / 2.40 |")
    assert rows[5] == (
        "| vase | **0.20** / 1.00 / 0.40 / 1.50 / 0.30 | **0.40** / 2.00 / 0.80 / - / 0.60 | "
        "**0.950** / 0.750 / 0.900 / 0.625 / 0.925 | **2.0** / 10.0 / 4.0 / - / 3.0 | 20 / 20 / 20 / - / 20 |"
    )
    assert rows[6].startswith("| median of 2 | **0.40** / 1.00 / **0.40** / 1.50 / ") and len(rows) == 7


def test_medians_are_of_what_all_meshes_have_and_runs_on_other_pictures_are_left_out(tmp_path: Path) -> None:
    for name, own in (("can", 0.2), ("box", 0.4)):
        record(tmp_path, "ours", name, own)
    record(tmp_path, "depth", "can", 0.3)
    record(tmp_path, "depth", "box", 0.1, "--views", "30")
    rows = surface_table.truth_tables(recorded(tmp_path)).splitlines()
    assert [row.split(" | ")[:2] for row in rows[4:]] == [
        ["| box", "0.40 / -"], ["| can", "**0.20** / 0.30"], ["| median of the 1 that all have", "**0.20** / 0.30"],
    ]  # fmt: skip


def test_what_objects_stand_before_has_a_table_of_its_own(tmp_path: Path) -> None:
    record(tmp_path, "ours", "can", 0.2)
    record(tmp_path, "ours", "can", 0.9, "--around", "dome")
    first, second = surface_table.truth_tables(recorded(tmp_path)).split("\n\n*")
    assert "| can | 0.20 |" in first and second.startswith("Amid a dome (pictures have none)")
    assert "| can | 0.90 |" in second


def test_an_ablation_stands_beside_the_usual_settings_on_its_own_objects(tmp_path: Path) -> None:
    for name, own in (("can", 0.2), ("box", 0.4), ("mug", 1.0)):
        record(tmp_path, "ours", name, own)
    for name, own in (("can", 0.5), ("box", 0.7), ("vase", 3.0)):  # of the vase the usual was not run
        record(tmp_path, "ours", name, own, "--without", "curvature")
    record(tmp_path, "ours", "mug", 1.1, "--set", "until=(100, 200)")
    rows = surface_table.ablation_table(recorded(tmp_path)).splitlines()
    assert rows[2].startswith("|  | objects | Chamfer, cells |")
    assert rows[4].startswith("| until=(100, 200) | 1 | 1.10 (1.00) |")
    assert rows[5].startswith("| without curvature | 2 | 0.60 (0.30) | 1.20 (0.60) | 0.850 (0.925) |")
    assert len(rows) == 6


def test_an_ablation_older_than_the_usual_settings_is_of_others(tmp_path: Path) -> None:
    record(tmp_path, "ours", "can", 0.5, "--without", "curvature")
    record(tmp_path, "ours", "can", 0.2)
    lines = recorded(tmp_path)
    again = [
        line if "curvature" in line.experiment else replace(line, date="2999-01-01T00:00:00+00:00") for line in lines
    ]
    assert "without curvature | 1 | 0.50 (0.20)" in surface_table.ablation_table(lines)
    assert surface_table.ablation_table(again) == "Not run yet."


def test_other_parts_of_the_benchmark_are_no_objects() -> None:
    others = ("chair beside the prototype", "cost, vase", "texture, vase", "limits")
    for other in (*(f"surfaces, {one}" for one in others), "quick_grid_speed, levels"):
        assert surface_table.named(other) is None
    assert surface_table.named("surfaces, depth, mug, clutter") == ("depth", "mug", "clutter", "")


def test_without_records_the_tables_say_so() -> None:
    assert surface_table.truth_tables([]) == surface_table.ablation_table([]) == "Not run yet."
    assert surface_table.texture_table([]) == surface_table.limits_table([]) == "Not run yet."


def test_textured_meshes_have_a_row_an_object_of_runs_like_the_newest(tmp_path: Path) -> None:
    asked = surfaces.parser().parse_args(["texture", "OBJECT"])
    other = surfaces.parser().parse_args(["texture", "OBJECT", "--views", "20"])
    for name, psnr, options in (("box", 1.0, other), ("mug", 34.0, asked), ("can", 30.0, asked)):
        found = {"settings": "abc", "figures": {"photos on the mesh": psnr, "the field": psnr + 1}}
        lines = surfaces.texture_records(options, name, found)
        date = "2026-01-01" if options is other else "2026-02-01"
        append([replace(line, commit="0", hardware="abacus", date=date) for line in lines], tmp_path)
    assert surface_table.texture_table(recorded(tmp_path)).splitlines() == [
        "*PSNR in dB; 60 views, 200 px, 8 held out, 2048 texels, one thread.*",
        "",
        "|  | photos on the mesh | the field |",
        "| --- | --- | --- |",
        "| can | 30.0 | 31.0 |",
        "| mug | 34.0 | 35.0 |",
        "| median of 2 | 32.0 | 33.0 |",
    ]


def test_the_dearest_loop_stands_first_and_what_was_not_measured_has_a_dash() -> None:
    def line(metric: str, ours: float, note: str = "") -> Record:
        return Record("quick_surface", "surfaces, limits", metric, ours, "lower", note=f"drill; {note}")

    lines = [
        line("touched_adam, share of learning", 0.1), line("march, share of learning", 0.3),
        line("march, ns a sample", 150.4), line("march, share of its limit", 0.28, "random visits, 13 of 3.35 ns"),
    ]  # fmt: skip
    assert surface_table.limits_table(lines).splitlines() == [
        "*drill, one thread.*",
        "",
        "|  | of the CPU time of learning | ns a sample | of the limit |",
        "| --- | --- | --- | --- |",
        "| march | 30% | 150 | 28% of random visits, 13 of 3.35 ns |",
        "| touched adam | 10% | - | - |",
    ]


def test_the_tables_stand_between_the_pages_comments(tmp_path: Path) -> None:
    page = "# It\n\n<!-- surfaces -->\nwas here\n<!-- end of surfaces -->\n\nmore\n\n<!-- ablations -->\n"
    page += "<!-- end of ablations -->\n<!-- texture -->\n<!-- end of texture -->\n"
    record(tmp_path, "ours", "can", 0.2)
    record(tmp_path, "hull", "can", 1.5)
    written = make_readme.quick_surface(page, tmp_path)
    assert written.startswith("# It\n\n<!-- surfaces -->\n\n*Before nothing") and "was here" not in written
    assert "| **0.20** / 1.50" in written and written.endswith("Not run yet.\n\n<!-- end of texture -->\n")
    assert make_readme.quick_surface(written, tmp_path) == written


def test_the_page_has_its_comments() -> None:
    page = (Path(make_readme.HERE).parent / "docs" / "methods" / "quick_surface.md").read_text()
    for mark in ("surfaces", "ablations", "texture", "limits"):
        assert f"<!-- {mark} -->\n" in page and f"<!-- end of {mark} -->" in page
