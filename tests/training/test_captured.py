"""What is taken away of a run on a capture, with a run that has learned a box of 12 cm somewhere in the world."""

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh

from unflat.data.captures import placed_in, read_capture
from unflat.data.kinds import Scene
from unflat.methods.radiance.quick_grid import Config
from unflat.training.captured import Captured, export, opened, path_of, render, warnings_of
from unflat.training.run import Run, train
from unflat.training.scene_report import report
from unflat.training.settings import Training

from .metric_capture import SHIFT, TURN, from_truth, read_metric_capture, write_metric_capture

STEPS = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_metric_capture(tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    config = Config(stages=(0.5, 1.0), until=(50,), smaller=(1, 1), batch_size=2048)
    training = Training(steps=STEPS, rate=0.5, clip=0.0)
    capture = read_metric_capture(folder)
    out = tmp_path_factory.mktemp("run")
    return train("quick_grid", capture, out=out, config=config, training=training, validation=capture[:2], quiet=True)


@pytest.fixture(scope="module")
def captured(run: Run) -> Captured:
    return opened(run)


def voxel(captured: Captured) -> float:
    """Metres."""
    method = captured.method
    return float((method.high - method.low).max()) / method.cells * captured.scene.world_scale  # type: ignore[attr-defined, operator, union-attr]


@pytest.mark.parametrize("surface", ["depth", "density"])
def test_a_mesh_of_a_metric_capture_comes_out_in_metres_where_the_object_is(
    run: Run, captured: Captured, tmp_path: Path, surface: str
) -> None:
    said: list[str] = []
    (file,) = export(run, tmp_path / "mesh.ply", surface=surface, cells=64, report=said.append)  # type: ignore[arg-type]
    apart = from_truth(np.asarray(trimesh.load(file, process=False).vertices))
    assert voxel(captured) == pytest.approx(0.0053, rel=0.2), "a pixel, of 32 over the object"
    assert np.median(apart) < 1.5 * voxel(captured), (
        "of a millimetre's size: turned, shifted or scaled it would be more"
    )
    assert np.quantile(apart, 0.95) < 4 * voxel(captured)
    assert len(said) == 1 and "triangles" in said[0]


def test_the_truth_is_measured_rightly() -> None:
    """The middle of the box is 3 cm from its top."""
    own = np.array([[0, 0, 0.03], [0.06, 0, 0.03], [0.06, 0.0, 0.13], [0.0, 0.0, -0.01]])
    np.testing.assert_allclose(from_truth(own @ TURN.T + SHIFT)[[1, 3]], [0, 0.01], atol=1e-9)
    assert from_truth(own @ TURN.T + SHIFT)[0] == pytest.approx(0.03, abs=1e-9)


def test_no_data_are_needed(run: Run, folder: Path, captured: Captured) -> None:
    """The cameras are in the weights, in the scene's frame; the scene leads back to the files' world."""
    capture = read_metric_capture(folder)
    np.testing.assert_allclose(captured.views.scene_from_camera, capture.scene_from_camera, atol=1e-9)
    again = captured.scene.world_from_scene.place(captured.views.scene_from_camera)
    files = json.loads((folder / "transforms_train.json").read_text())["frames"]
    np.testing.assert_allclose(
        again[:, :3, 3], [np.array(frame["transform_matrix"])[:3, 3] for frame in files], atol=1e-9
    )
    assert opened(run.folder).file == captured.file == run.folder / "weights.safetensors"
    assert opened(run.folder / "weights.safetensors").header["method"] == "quick_grid"


def test_paths_by_their_names(captured: Captured, tmp_path: Path) -> None:
    assert len(path_of(captured, "orbit", 7, 16)) == len(path_of(captured, "interpolate", 7, 16)) == 7
    assert path_of(captured, "orbit", 7, 16).pinholes[0].width == 16
    train_path = path_of(captured, "train")
    np.testing.assert_array_equal(train_path.scene_from_camera, captured.views.scene_from_camera)
    for wrong in ("orbits", str(tmp_path / "path.json"), str(tmp_path)):
        with pytest.raises(ValueError, match=r"there is no path .*give orbit, train, interpolate, or a file"):
            path_of(captured, wrong)


def test_a_file_of_cameras_is_in_the_world_of_the_captures_files(captured: Captured, folder: Path) -> None:
    path = path_of(captured, str(folder / "transforms_train.json"))
    np.testing.assert_allclose(path.scene_from_camera, captured.views.scene_from_camera, atol=1e-9)
    assert warnings_of(path, captured.scene) == []


def test_a_path_that_sees_nothing_of_the_scene_is_told(
    run: Run, captured: Captured, folder: Path, tmp_path: Path
) -> None:
    said = json.loads((folder / "transforms_train.json").read_text())
    said["frames"] = said["frames"][:1]
    (pose := np.array(said["frames"][0]["transform_matrix"]))[:3, 3] += 50.0
    said["frames"][0]["transform_matrix"] = pose.tolist()
    (tmp_path / "far.json").write_text(json.dumps(said))
    told: list[str] = []
    render(run, tmp_path / "out", str(tmp_path / "far.json"), side=8, progress=False, report=told.append)
    assert len(told) == 1 and told[0].startswith("warning: no camera of this path has the scene's middle")
    assert warnings_of(path_of(captured, "orbit", 4), captured.scene) == []


def test_videos_and_frames_along_a_path(run: Run, tmp_path: Path) -> None:
    files = render(run.folder, tmp_path, frames=3, side=16, depth="npy", samples=1, progress=False)
    assert {file.name for file in files} >= {"camera_path.json", "0000.png", "0002.png", "0001.npy"}
    assert sorted(file.stem for file in files if file.suffix in (".mp4", ".webp")) == ["depth", "opacity", "rgb"]
    depth = np.load(tmp_path / "depth_maps" / "0000.npy")
    assert 0.15 < np.nanmedian(depth) < 0.35, "metres"


def test_runs_on_photos_are_refused_with_what_they_can_do() -> None:
    with pytest.raises(ValueError, match=r"unsup3d learned from photos .*unflat predict"):
        opened("faces")


def test_the_report_holds_everything_in_one_page(run: Run, captured: Captured, folder: Path, tmp_path: Path) -> None:
    held_out = placed_in(read_capture(folder, split="test", progress=False), captured.scene)
    written = report(run, tmp_path, held_out, pictures=2, frames=3, side=16, warnings=["a <warning>"], progress=False)
    text = written.page.read_text()
    assert written.page == tmp_path / "report.html" == written.files[0] and all(f.exists() for f in written.files)
    assert 'src="http' not in text and "href" not in text and "default-src 'none'" in text
    for shown in (
        "<h2>Cameras", "<h2>Training", "<h2>Held-out pictures", "<h2>Turntable", "<h2>Settings", "a &lt;warning&gt;",
        "2 of 3 pictures, spread over them", "20 of 32 x 32 pixels", "weights.safetensors", "MB", f">{STEPS}<",
        "PSNR, rays learned from", "PSNR, held-out pictures", "batch_size", "test/r_0000", "test/r_0002",
    ):  # fmt: skip
        assert shown in text, shown
    assert "test/r_0001" not in text
    assert written.evaluation is not None and written.evaluation.figures["PSNR"] > 15
    kept = json.loads((tmp_path / "figures.json").read_text())
    assert kept["figures"]["PSNR"] == pytest.approx(written.evaluation.figures["PSNR"])
    assert text.count("data:image/png") == 3, "the rig and two pairs"
    size = (run.folder / "weights.safetensors").stat().st_size / 1e6
    assert f"{size:.1f} MB" in text


def test_a_report_without_pictures_and_turntable(run: Run, tmp_path: Path) -> None:
    written = report(run, tmp_path, frames=0, progress=False)
    text = written.page.read_text()
    assert written.evaluation is None and "<h2>Cameras" in text and "<h2>Training" in text
    assert "Held-out pictures<" not in text and "Turntable" not in text and "<video" not in text
    assert {file.name for file in written.files} == {"report.html", "rig.png"}


def test_a_report_of_weights_alone_has_no_curve(run: Run, tmp_path: Path) -> None:
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((run.folder / "weights.safetensors").read_bytes())
    assert "<h2>Training" not in report(alone, tmp_path / "out", frames=0, progress=False).page.read_text()


def test_the_scene_says_where_it_is(captured: Captured) -> None:
    middle = captured.scene.world_from_scene.apply(np.mean([captured.scene.box[:3], captured.scene.box[3:]], 0))
    assert isinstance(captured.scene, Scene) and np.linalg.norm(middle - SHIFT) < 0.1
