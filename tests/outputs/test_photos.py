"""The folder of outputs: what is in it, and that its numbers are the prediction's."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from unflat.data.kinds import Photos
from unflat.geometry.rotations import rotation_from_euler
from unflat.method import Prediction
from unflat.outputs.displays import one
from unflat.outputs.photos import write_outputs, write_sheets

from .conftest import SIZE, World


@pytest.fixture(scope="module")
def written(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    out = tmp_path_factory.mktemp("out")
    return out, write_outputs(world.prediction, world.photos, out, size=48, obj=True)


def factors(out: Path, name: str = "one") -> dict[str, Any]:
    held: dict[str, Any] = json.loads((out / name / "factors.json").read_text())
    return held


def test_every_path_that_is_returned_is_there_and_no_other(written: tuple[Path, list[Path]]) -> None:
    out, paths = written
    assert sorted(paths) == sorted(path for path in out.rglob("*") if path.is_file())
    names = {path.name for path in paths if path.parent.name == "one"}
    assert names >= {
        "photo.png", "reconstruction.png", "depth.png", "depth.npy", "depth_preview.png", "normals.png", "albedo.png",
        "shading.png", "confidence.png", "frontalised.png", "symmetry_line.png", "asymmetry.png", "relit.png",
        "factors.json", "mesh_canonical.glb", "mesh_input.glb", "mesh_canonical.ply", "mesh_canonical.obj",
        "canonical_depth.npy", "canonical_albedo.png",
    }  # fmt: skip
    assert {path.stem for path in paths if path.suffix in (".mp4", ".webp")} == {"turntable", "relighting"}
    assert {path.parent.name for path in paths} == {out.name, "one", "two"}


def test_depth_is_the_predictions_in_both_formats(world: World, written: tuple[Path, list[Path]]) -> None:
    out, _ = written
    assert world.prediction.depth is not None
    exact = world.prediction.depth[1].numpy()
    assert np.array_equal(np.load(out / "two" / "depth.npy"), exact, equal_nan=True)
    value = np.asarray(Image.open(out / "two" / "depth.png")).astype(np.float64)
    scale = factors(out, "two")["depth_png"]
    formula = scale["depth"].split(";")[0]  # as the file itself gives it to its user
    depth = eval(formula, {"near": scale["near"], "far": scale["far"], "value": value})
    there = np.isfinite(exact)
    assert (value[~there] == 0).all() and (value[there] > 0).all()
    assert np.abs(depth - exact)[there].max() < 1e-5
    assert scale == factors(out)["depth_png"], "one scale for the whole set"


def test_view_and_light_are_in_degrees_and_rebuild_the_pose(world: World, written: tuple[Path, list[Path]]) -> None:
    held = factors(written[0])
    view = held["view"]
    turns = [view[f"{name}_degrees"] for name in ("pitch", "yaw", "roll")]
    assert turns == pytest.approx(world.views[0, :3].rad2deg().tolist(), abs=1e-4)
    assert view["shift"] == pytest.approx(world.views[0, 3:].tolist(), abs=1e-6)
    assert held["canonical_light"]["direction"] == pytest.approx(world.lights[0, 2:].tolist(), abs=1e-6)
    turned = np.array(view["rotation"]) @ held["canonical_light"]["direction"]
    assert held["light"]["direction"] == pytest.approx(turned.tolist(), abs=1e-5)
    assert held["light"]["ambient"] == pytest.approx(0.3) and held["light"]["diffuse"] == pytest.approx(0.6)
    assert held["camera"]["width"] == SIZE and held["camera"]["fx"] == pytest.approx(world.camera.fx)


def test_the_words_about_signs_are_true(world: World, written: tuple[Path, list[Path]]) -> None:
    """The object's front moves left for positive yaw and down for positive pitch; its right side down for roll."""
    words = factors(written[0])["view"]["meaning"]
    front, right = torch.tensor([0.0, 0.0, -1.0]), torch.tensor([1.0, 0.0, 0.0])
    assert (
        "positive yaw faces the left" in words and (rotation_from_euler(torch.tensor([0.0, 0.3, 0.0])) @ front)[0] < 0
    )
    assert "positive pitch is seen from above" in words
    assert (rotation_from_euler(torch.tensor([0.3, 0.0, 0.0])) @ front)[1] > 0
    assert "positive roll is clockwise" in words and (rotation_from_euler(torch.tensor([0.0, 0.0, 0.3])) @ right)[1] > 0


def test_the_input_mesh_stands_as_in_the_photo(world: World, written: tuple[Path, list[Path]]) -> None:
    """Undoing the documented placement and projecting gives the canonical pixels where the photo shows them."""
    out, _ = written
    mesh = trimesh.load(out / "one" / "mesh_input.glb", force="mesh", process=False)
    held = factors(out)["mesh"]
    points = torch.tensor(np.asarray(mesh.vertices) * [1, -1, -1] / held["scale"] + held["centre"], dtype=torch.float32)
    cameras = world.prediction.cameras
    assert world.prediction.mesh is not None and cameras is not None
    expected = cameras.camera_from_world[0].apply(world.prediction.mesh[0].vertices)
    assert (world.camera.project(points) - world.camera.project(expected)).abs().max() < 0.01
    content = (out / "one" / "mesh_input.glb").read_bytes()
    extras = json.loads(content[20 : 20 + int.from_bytes(content[12:16], "little")])["asset"]["extras"]
    assert extras["unit"] == "metre" and extras["pose"] == "input" and extras["texture"] == "photo"
    assert extras["scale"] == held["scale"] and extras["centre"] == held["centre"]


def test_maps_are_written_with_their_documented_scale(world: World, written: tuple[Path, list[Path]]) -> None:
    out, _ = written
    prediction = world.prediction
    assert prediction.shading is not None and prediction.albedo is not None and prediction.confidence is not None
    shading = np.asarray(Image.open(out / "one" / "shading.png")) / 255 * 2
    assert np.abs(shading - prediction.shading[0].numpy()).max() < 1.1 / 255
    albedo = np.asarray(Image.open(out / "one" / "albedo.png")) / 255
    assert np.abs(albedo - prediction.albedo[0].numpy()).max() < 0.51 / 255
    confidence = np.asarray(Image.open(out / "one" / "confidence.png")) / 255
    assert np.abs(confidence - prediction.confidence[0].numpy()).max() < 0.51 / 255


def test_the_index_names_every_file(written: tuple[Path, list[Path]]) -> None:
    out, paths = written
    index = json.loads((out / "outputs.json").read_text())
    assert [entry["photo"] for entry in index["photos"]] == ["set/one.jpg", "set/two.png"]
    named = {out / entry["folder"] / name for entry in index["photos"] for name in entry["files"].values()}
    assert named | {out / "sheet.png", out / "outputs.json"} == set(paths)


def test_less_is_written_when_less_is_predicted_or_asked_for(world: World, tmp_path: Path) -> None:
    bare = Prediction(rgb=world.prediction.rgb, depth=world.prediction.depth)
    names = {path.name for path in write_outputs(bare, world.photos, tmp_path / "bare", videos=False)}
    assert names == {
        "photo.png", "reconstruction.png", "depth.png", "depth.npy", "depth_preview.png", "factors.json",
        "sheet.png", "outputs.json",
    }  # fmt: skip
    one_pose = write_outputs(
        world.prediction,
        world.photos,
        tmp_path / "pose",
        videos=False,
        pose="input",
        texture="albedo",
        steepest=1.4,
        size=32,
    )
    meshes = [path.name for path in one_pose if path.suffix in (".glb", ".ply")]
    assert sorted(set(meshes)) == ["mesh_input.glb", "mesh_input.ply"]
    assert not any(path.suffix in (".mp4", ".webp", ".obj") for path in one_pose)
    assert b"KHR_materials_unlit" not in next(p for p in one_pose if p.suffix == ".glb").read_bytes()


@pytest.mark.parametrize(
    ("light", "expected"),
    [("grid", {"relit", "turntable"}), ("sweep", {"relighting", "turntable"}), ("none", {"turntable"})],
)
def test_the_light_moves_as_asked(world: World, tmp_path: Path, light: Any, expected: set[str]) -> None:
    paths = write_outputs(one_photo(world), world.photos[:1], tmp_path, light=light, size=32)
    assert {path.stem for path in paths} & {"relit", "relighting", "turntable"} == expected


def one_photo(world: World) -> Prediction:
    return one(world.prediction, 0)


def python_in(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


def test_the_code_in_the_docs_runs(written: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text()
    monkeypatch.chdir(written[0])
    names: dict[str, Any] = {}
    for block in python_in(page):
        exec(block, names)
    assert np.nanmax(np.abs(names["depth"] - np.load("one/depth.npy"))) < 1e-5
    assert np.allclose(names["in_camera"], names["expected"], atol=1e-5)


def test_the_docs_name_every_file(written: tuple[Path, list[Path]]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "outputs.md").read_text()
    missing = {path.name for path in written[1] if path.suffix != ".webp"} - set(re.findall(r"[\w]+\.\w+", page))
    assert not missing


def test_wrong_numbers_are_refused(world: World, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are 1 photos, but the prediction holds 2"):
        write_outputs(world.prediction, world.photos[:1], tmp_path)
    with pytest.raises(ValueError, match="prediction is empty"):
        write_outputs(Prediction(), world.photos, tmp_path)


def test_photos_of_one_name_do_not_overwrite_each_other(world: World, tmp_path: Path) -> None:
    photos = Photos(world.photos.rgb, ("a/face.jpg", "b/face.png"))
    bare = replace(Prediction(), rgb=world.prediction.rgb)
    write_outputs(bare, photos, tmp_path, videos=False)
    assert {path.name for path in tmp_path.iterdir() if path.is_dir()} == {"face", "face-2"}


def test_many_photos_fill_several_sheets(tmp_path: Path) -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    paths = write_sheets(tmp_path, [{"photo": picture}] * 45, [str(n) for n in range(45)])
    assert [path.name for path in paths] == ["sheet_1.png", "sheet_2.png", "sheet_3.png"]
    heights = [np.asarray(Image.open(path)).shape[0] for path in paths]
    assert heights[0] == heights[1] > heights[2]
    assert math.isclose((heights[0] - heights[2]) / 132, 15, abs_tol=0.1)
