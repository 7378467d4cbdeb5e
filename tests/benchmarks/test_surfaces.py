"""The script that measures meshes of learned objects: its figures on surfaces that are known, its runs at the smallest
size, and what it writes."""

import argparse
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import field_kernels
import kernel_limits
import numpy as np
import pytest
import surface_costs
import surface_figures
import surface_limits
import surface_sheet
import surface_texture
import surfaces
import torch
from PIL import Image

from unflat.geometry.meshes import Mesh, vertex_normals
from unflat.kernels.clearance import clearance
from unflat.kernels.occupied_steps import occupied_steps
from unflat.kernels.voxel_march import voxel_march, voxel_raw
from unflat.kernels.walking import Walk, met
from unflat.training.experiment import Experiment
from unflat.training.settings import Training
from unflat.worlds.object_shapes import rounded_box
from unflat.worlds.objects import DIAGONAL, Objects

RADIUS = DIAGONAL / math.sqrt(12)
"""of the generated sphere, in the scene's frame"""


def ball(radius: float) -> Mesh:
    mesh = rounded_box((radius,) * 3, radius, np.zeros(3), quarter=32)
    vertices = mesh.vertices.float()
    return Mesh(vertices, mesh.triangles, normals=vertex_normals(vertices, mesh.triangles))


def options(*words: str) -> argparse.Namespace:
    return surfaces.parser().parse_args(words)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points and pixels."""
    monkeypatch.setattr(surface_figures, "DRAWN", 3000)
    monkeypatch.setattr(surface_figures, "LOOKED_AT", 64)
    monkeypatch.setattr(surface_figures, "CELLS", 24)
    monkeypatch.setattr(surface_sheet, "DRAWN", 3000)
    monkeypatch.setattr(surface_sheet, "PICTURE", 40)


# Figures


def test_a_larger_ball_is_off_by_the_difference_of_the_radii() -> None:
    world = Objects("sphere", 6, 32)
    truth = surface_figures.truth_of(world, world.capture(progress=False))
    assert truth.hidden == pytest.approx(0, abs=0.01) and 0 < truth.floor < 2
    gap = 4 * surface_figures.CELL
    found = surface_figures.figures_of(ball(RADIUS + gap), truth)
    assert found["Chamfer, cells"] == pytest.approx(4, rel=0.1)
    millimetres = world.world_from_scene.scale * surface_figures.CELL * 1000
    assert found["Chamfer, mm"] == pytest.approx(found["Chamfer, cells"] * millimetres)
    assert found["F at 1 cell"] == 0 and found["smooth normals, degrees"] < 3
    assert found["normals, degrees"] > found["smooth normals, degrees"]  # triangles are flat
    assert found["Chamfer of what cameras see, cells"] == pytest.approx(found["Chamfer, cells"], rel=0.02)


def test_the_hull_of_a_ball_is_the_ball() -> None:
    capture = Objects("sphere", 24, 48, samples=4).capture(progress=False)
    mesh = surface_figures.hull_mesh(capture, 24)
    off = mesh.vertices.norm(dim=1) - RADIUS
    assert off.min() > -0.2 * 3.2 / capture.pinholes[0].fx  # a fifth of a pixel
    assert off.mean() < 0.02 and off.max() < 0.12  # what few views leave stands out
    a, b, c = mesh.vertices[mesh.triangles.long()].unbind(1)
    assert ((a * torch.linalg.cross(b, c)).sum() / 6).item() == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.07)


def test_medians_are_of_what_all_have() -> None:
    rows = [{"a": 1.0, "b": 5.0}, {"a": 3.0}, {"a": 2.0, "b": 1.0}]
    assert surface_figures.medians(rows) == {"a": 2.0} and surface_figures.medians([]) == {}


# What is asked for


def test_objects_are_found_by_name_in_folders_and_in_folders_of_folders(tmp_path: Path) -> None:
    for name in ("mug", "can"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "textured.obj").touch()
    found = surfaces.objects_of(["box", str(tmp_path), str(tmp_path / "mug")], shapes=True)
    assert [surfaces.name_of(one) for one in found] == ["torus", "box", "vase", "can", "mug"]
    with pytest.raises(SystemExit, match="there is no mesh in it"):
        surfaces.objects_of([str(tmp_path / "nothing")])


def test_settings_are_changed_and_unknown_ones_refused() -> None:
    from unflat.methods.radiance.quick_grid import QuickGrid, small

    usual = small()
    given = options("truth", "--set", "stages=(1.0,)", "--set", "training.steps=0.5", "--set", "most=64")
    found = surfaces.changed(usual, surfaces.changes_of(given))
    assert isinstance(found, Experiment) and found.method is QuickGrid
    assert (found.config.stages, found.config.most, found.training.steps) == ((1.0,), 64, 500)
    assert isinstance(found.training, Training) and usual.training.steps == 1000
    with pytest.raises(SystemExit, match="has no setting eikonal"):
        surfaces.changed(usual, surfaces.changes_of(options("truth", "--without", "eikonal")))


# Runs


def test_a_mesh_is_measured_and_kept_and_what_is_wrong_with_it_drawn(tmp_path: Path) -> None:
    words = ["--views", "8", "--side", "24", "--keep", str(tmp_path)]
    found = surfaces.worked(options("truth", "sphere", "--worker", "hull", *words))
    assert set(found["meshes"]) == {"hull"} and found["meshes"]["hull"]["Chamfer, cells"] < 3
    sheet = tmp_path / "wrong.png"
    given = options("wrong", "sphere", "--mesh", "hull", "--keep", str(tmp_path), "--sheet", str(sheet))
    mesh = surfaces.read_mesh(surfaces.file_of(given, "sphere", "hull"))
    assert len(mesh.triangles) > 100
    surfaces.wrong(given)
    assert np.asarray(Image.open(sheet)).std() > 10


def test_a_mesh_has_the_colour_of_how_far_it_is_off() -> None:
    for cells, least, most, redder in ((0.0, 0.2, 0.6, False), (3.0, 3.0, 3.2, True)):  # points lie a cell apart
        pictures, mean = surface_sheet.pictured("sphere", ball(RADIUS + cells * surface_figures.CELL), 0)
        assert least < mean < most and len(pictures) == 3 * len(surface_sheet.SIDES)
        red, _, blue = pictures[2][pictures[2].shape[0] // 2, pictures[2].shape[1] // 2]
        assert (red > blue) == redder


def test_pictures_of_an_object_are_cut_out_alike_and_whole() -> None:
    blank = np.zeros((40, 40, 3), np.uint8)
    pictures, there = [blank.copy(), blank.copy()], [np.zeros((40, 40), bool), np.zeros((40, 40), bool)]
    pictures[0][12, 20], there[0][12, 20] = 255, True
    pictures[1][20, 30], there[1][20, 30] = 255, True
    cut = surface_sheet.cut_out(list(zip(pictures, there, strict=True)))
    assert [one.shape for one in cut] == [(34, 34, 3)] * 2  # 10.5 from the middle and 6 around, on both sides
    assert all(one.max() == 255 for one in cut)
    assert [one.shape for one in surface_sheet.cut_out([(blank, there[0] & False)])] == [(40, 40, 3)]


def test_a_mesh_in_one_colour_is_seen_as_pictures_of_that_colour() -> None:
    world, colour = Objects("sphere", 2, 32), torch.tensor([0.2, 0.4, 0.8])
    capture = world.capture(progress=False)
    pixels = capture.pixels.copy()
    pixels[:, :3] = (255 * colour).numpy().astype(np.uint8)  # as it is, without a light
    mesh = replace(world.mesh(), texture=torch.zeros(64, 48, 3))
    made = surface_texture.baked_like(mesh, lambda points, _: colour.expand(len(points), 3), torch.zeros(0, 3))
    assert made.texture is not None and made.texture.shape == (64, 48, 3)
    assert surface_texture.mean_psnr(made, replace(capture, pixels=pixels), samples=2) > 50
    assert surface_texture.mean_psnr(mesh, replace(capture, pixels=pixels), samples=2) < 20


def test_textures_are_asked_for_before_nothing_only() -> None:
    with pytest.raises(SystemExit, match="--around nothing"):
        surfaces.texture(options("texture", "sphere", "--around", "dome"))


def test_a_mesh_that_cannot_be_made_is_missing_and_the_others_are_there() -> None:
    def none() -> Mesh:
        raise ValueError("there is no surface")

    found, missing = surfaces.made({"density": none, "depth": lambda: ball(1.0)})
    assert set(found) == {"depth"} and missing == {"density": "there is no surface"}


@pytest.mark.soak
def test_the_meshes_of_a_grid_are_measured() -> None:
    found = surfaces.worked(options("truth", "box", "--worker", "grid", "--views", "24", "--side", "64"))
    assert set(found["meshes"]) == {"density", "depth"} and found["memory"] > 2**20 and found["settings"]
    for figures in found["meshes"].values():
        assert figures["Chamfer, cells"] < 2 and figures["PSNR"] > 25 and figures["CPU s"] > 0


TINY = ("box", "--experiment", "tiny", "--views", "12", "--side", "24")


@pytest.mark.soak
def test_what_a_method_has_learned_is_textured() -> None:
    found = surfaces.dressed(options("texture", *TINY, "--held-out", "2", "--texels", "64"))
    figures = found["figures"]
    assert list(figures) == [getattr(surface_texture, name) for name in ("PHOTOS", "BAKED", "FIELD", "TRUE")]
    assert figures[surface_texture.TRUE] > max(figures[surface_texture.PHOTOS], 25)


@pytest.mark.soak
def test_loops_have_shares_of_the_time_and_of_their_limits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, small in (("COPIED", 2**12), ("MULTIPLIED", 32), ("VISITS", 2**8)):
        monkeypatch.setattr(kernel_limits, name, small)
    surfaces.limits(options("limits", *TINY, "--rounds", "1"))
    told = capsys.readouterr().out
    for name in surface_limits.NAMES.values():
        assert all(f"{name}, {what}" in told for what in ("share of learning", "ns a sample", "share of its limit"))


def test_samples_of_a_march_are_counted_until_nothing_passes_any_more() -> None:
    torch.manual_seed(0)
    grid, rays, step = field_kernels.ball(24, torch.device("cpu")), field_kernels.looking(64, torch.device("cpu")), 0.06
    walk = Walk(step, False, thickness=75 * step, shift=4.0, key=1, least=0.1, last=1e-2)
    with torch.no_grad():
        ray, t = met(rays, grid.cells, walk, lambda points: voxel_raw(points, grid))
        through = voxel_march(rays, grid, walk, torch.ones(3)).through
        steps = occupied_steps(rays, grid.cells, walk)
        alphas = -torch.expm1(-walk.thickness * walk.activated(voxel_raw(steps.points, grid) - walk.shift))
    left, samples, weighing = [1.0] * len(rays), 0, 0
    for which, alpha in zip(steps.ray.tolist(), alphas.tolist(), strict=True):
        samples += left[which] >= walk.last
        if left[which] >= walk.last and alpha > walk.thinnest and left[which] * alpha > walk.least:
            left[which], weighing = left[which] * (1 - alpha), weighing + 1
    assert surface_limits.Seen.of(rays, grid.cells, walk, ray, t, through) == (samples, weighing)
    assert 0 < weighing < samples < len(steps.ray)


def test_what_kernels_took_is_added_up_and_told_as_a_share() -> None:
    grown = clearance(torch.ones(4, 4, 4, dtype=torch.bool))  # compiled
    spent = surface_limits.profiled(lambda: [clearance(grown > 0) for _ in range(50)])
    assert list(spent) == ["clearance"] and spent["clearance"] > 0
    lines = surface_limits.shares(Counter({"distance_march": 3.0, "clearance": 1.0}), 12.0)
    assert [(line.metric, line.ours) for line in lines] == [
        ("march through distances, share of learning", 0.25), ("clearance, share of learning", 1 / 12),
    ]  # fmt: skip


def test_pictures_are_written_where_the_prototype_looks_for_them(tmp_path: Path) -> None:
    """In the scene's frame; its own last line says what it reached."""
    capture = Objects("sphere", 2, 16).capture(progress=False)
    surfaces.written_in_scene(tmp_path, "train", capture)
    said = json.loads((tmp_path / "transforms_train.json").read_text())
    pose = np.array(said["frames"][1]["transform_matrix"])
    np.testing.assert_allclose(pose[:3, 3], capture.scene_from_camera[1][:3, 3])
    np.testing.assert_allclose(pose[:3, 2], -capture.scene_from_camera[1][:3, 2])
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "train_0001.png")), capture.picture(1))
    line = "400 n64 cpu 12.5 s s 95 train 30.11 test 29.50 samples/ray 3.1 eik 0.081 touched 9 occ 0.2"
    script = tmp_path / "prototype.py"
    script.write_text(f"print('density 0.01 cpu 3.0')\nprint({line!r})\n")
    assert surfaces.run_prototype(script, tmp_path, tmp_path, down=1) == [(12.5, 29.5)]
    script.write_text("raise ValueError('no such folder')")
    with pytest.raises(SystemExit, match="no such folder"):
        surfaces.run_prototype(script, tmp_path, tmp_path, down=1)


# What is written


FOUND: dict[str, Any] = {"hidden": 0.09, "floor": 0.12, "wall": 40.0, "memory": 5e8, "settings": "abc"}
FIGURES = {"CPU s": 30.0, "Chamfer, cells": 1.2, "Chamfer, mm": 2.2, "PSNR": 31.0, "hidden": 0.09}


def test_a_record_for_each_figure_beside_the_prototypes() -> None:
    lines = surfaces.records_of(options("truth", "mug"), "ours", "mug", FIGURES, FOUND)
    assert [(line.metric, line.ours, line.bound, line.better, line.met) for line in lines] == [
        ("CPU s", 30.0, 28, "lower", False), ("Chamfer, cells", 1.2, 1.31, "lower", True),
        ("Chamfer, mm", 2.2, 2.4, "lower", True), ("PSNR", 31.0, 30.8, "higher", True),
    ]  # fmt: skip
    assert {line.method for line in lines} == {"quick_surface"} and lines[0].settings == "abc"
    assert lines[0].command == "OMP_NUM_THREADS=1 python benchmarks/surfaces.py truth OBJECT --record"
    assert "9.0% of the true surface is seen by no camera" in lines[0].note


def test_other_meshes_and_backgrounds_have_records_of_their_own() -> None:
    asked = options("truth", "mug", "--around", "clutter", "--without", "curvature")
    ours = surfaces.records_of(asked, "ours", "mug", FIGURES, FOUND)[0]
    assert (ours.experiment, ours.bound) == ("surfaces, mug, clutter, without curvature", None)
    assert ours.command.endswith("truth OBJECT --around clutter --without 'curvature' --record")
    depth, hull = (surfaces.records_of(asked, mesh, "mug", FIGURES, FOUND)[0] for mesh in ("depth", "hull"))
    assert (depth.method, depth.experiment) == ("quick_grid", "surfaces, depth, mug, clutter")
    assert hull.method == "surfaces"


def test_a_row_has_a_cell_for_every_column() -> None:
    assert surfaces.row("mug", FIGURES).count("|") == surfaces.HEAD.splitlines()[0].count("|")
    assert "| 1.20 | 2.20 |" in surfaces.row("mug", FIGURES)


def test_quality_at_a_time_is_between_two_looks() -> None:
    points = [(2.0, 20.0), (4.0, 30.0)]
    assert [surfaces.at(points, t) for t in (1.0, 2.0, 3.0, 9.0)] == [None, 20.0, 25.0, 30.0]


def test_the_yardstick_compares_at_equal_times() -> None:
    pairs = [([(5.0, 30.0), (25.0, 34.0)], [(10.0, 28.0), (20.0, 32.0)])] * 3
    lines = surfaces.yardstick_records(options("yardstick", "chair"), pairs)
    assert [(line.metric, line.ours, line.bound) for line in lines] == [
        ("PSNR at 10 CPU s", 31.0, 28.0), ("PSNR at 20 CPU s", 33.0, 32.0), ("PSNR at 30 CPU s", 34.0, 32.0),
        ("PSNR at the prototype's end", 33.0, 32.0),
    ]  # fmt: skip
    with pytest.raises(SystemExit, match="--prototype FILE"):
        surfaces.yardstick(options("yardstick", "chair"))


def test_the_plot_of_costs_has_a_panel_for_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    figures = {"CPU s": 30.0, "Chamfer, cells": 0.2}
    asked: list[argparse.Namespace] = []

    def answer(given: argparse.Namespace, kind: str, shape: str) -> dict[str, Any]:
        asked.append(given)
        return {"meshes": {"ours": figures}, "grown": 5e8 * len(asked), "voxels": 20.0 * len(asked)}

    monkeypatch.setattr(surfaces, "answer", answer)
    surfaces.cost(options("cost", "vase", "--plot", str(tmp_path / "cost.png")))
    assert (asked[0].views, asked[1].views, asked[6].side, asked[6].views) == (15, 30, 400, 60) and len(asked) == 12
    assert asked[-1].set == ["most=192", "detail=0.01"] and asked[0].set == []
    with Image.open(tmp_path / "cost.png") as plot:
        assert plot.size == (3 * 300, 3 * 135 + 45)


def test_costs_are_drawn_from_zero_on_one_scale() -> None:
    """A point as large as the last tick lies at the top of its panel, where the same one lies in another panel."""
    found = {"views": [{"x": 10.0, "a": 2.5}, {"x": 20.0, "a": 5.0}], "side": [{"x": 100.0, "a": 5.0}]}
    drawn = surface_costs.cost_plot(found, {"views": "pictures", "side": "pixels"}, [surface_costs.Row("a", 2.0, "s")])
    blue = (drawn[..., 2].astype(int) - drawn[..., 0]) > 100
    first, second = (np.nonzero(half)[0] for half in np.split(blue, 2, 1))
    assert first.min() == second.min() and first.max() - second.max() == 49  # half of it, and half the pixels
