"""`unflat evaluate` on runs on captures: every picture and their mean, error pictures, LPIPS, records."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from unflat import records
from unflat.cli.main import main
from unflat.evaluation.captures import evaluate_capture
from unflat.metrics.lpips import LPIPS
from unflat.training.checkpoint import load_method
from unflat.worlds.objects import Objects

METHOD = "quick_grid"


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("captures") / "torus"
    Objects("torus", 8, 40).write(place, progress=False)
    Objects("torus", 3, 40, split="test").write(place, progress=False)
    return place


@pytest.fixture(scope="module")
def run(capture: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned little."""
    place = tmp_path_factory.mktemp("run")
    assert main(["train", METHOD, str(capture), "--tiny", "--quiet", "--out", str(place)]) == 0
    return place


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Any:
    capsys.readouterr()
    assert main(["evaluate", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_every_picture_that_was_not_learned_from_has_its_figures(
    run: Path, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are those of the function, and PSNR is what its formula says of the picture."""
    found = said(capsys, run)
    assert found["names"] == [f"test/r_{index:04d}.png" for index in range(3)]
    assert {"PSNR", "SSIM", "opacity error"} <= set(found["figures"]) and "LPIPS" not in found["figures"]
    for name, values in found["per_image"].items():
        assert found["figures"][name] == pytest.approx(np.mean(values))
    method = load_method(run)
    from unflat.cli.sources import held_out_of
    from unflat.training.checkpoint import find, read

    held_out = held_out_of(read(find(run)).header, str(capture))
    assert evaluate_capture(method, held_out).figures == pytest.approx(found["figures"])
    shown = method.predict(held_out.cameras(1)).rgb
    assert shown is not None
    error = ((shown[0].clamp(0, 1) - torch.from_numpy(held_out.rgb(1))) ** 2).double().mean()
    assert found["per_image"]["PSNR"][1] == pytest.approx(-10 * error.log10().item(), abs=0.01)


def test_each_and_their_mean_are_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["evaluate", str(run)]) == 0
    out = capsys.readouterr().out
    assert "Each picture" in out and "test/r_0002.png" in out and "spread over pictures" in out


def test_another_capture_a_side_and_a_limit_are_taken(
    run: Path, capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = said(capsys, run, capture)
    few = said(capsys, run, capture, "--limit", "2")
    assert few["names"] == [whole["names"][0], whole["names"][2]]
    assert few["per_image"]["PSNR"] == [whole["per_image"]["PSNR"][0], whole["per_image"]["PSNR"][2]]
    small = said(capsys, run, capture, "--side", "20")
    assert small["names"] == whole["names"] and small["per_image"]["PSNR"] != whole["per_image"]["PSNR"]


def test_pictures_stand_beside_the_methods(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, run, "--pictures", tmp_path / "pairs")
    files = sorted((tmp_path / "pairs").glob("*.png"))
    assert len(files) == 3
    with Image.open(files[0]) as picture:
        assert picture.width > 3 * 240


def test_lpips_is_computed_with_weights_alone(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--lpips", str(tmp_path)]) == 2
    assert "No figure is ever computed with random weights" in capsys.readouterr().err
    generator = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    trunk, heads = {}, {}
    for number, shape in shapes.items():
        trunk[f"features.{number}.weight"] = 0.1 * torch.randn(shape, generator=generator)
        trunk[f"features.{number}.bias"] = torch.zeros(shape[0])
    for number, width in enumerate((64, 192, 384, 256, 256)):
        heads[f"lin{number}.model.1.weight"] = torch.rand((1, width, 1, 1), generator=generator)
    torch.save(trunk, tmp_path / "alexnet.pth")
    torch.save(heads, tmp_path / "alex.pth")
    LPIPS.load(tmp_path, "alex")
    found = said(capsys, run, "--lpips", tmp_path, "--backbone", "alex")
    assert found["figures"]["LPIPS"] > 0 and len(found["per_image"]["LPIPS"]) == 3


def test_options_about_photos_are_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--crop", "face"]) == 2
    assert "--crop is about photos" in capsys.readouterr().err


def test_figures_on_a_users_capture_are_recorded_under_its_name(
    run: Path, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "CHECKOUT", tmp_path)
    assert main(["evaluate", str(run), str(capture), "--record"]) == 0
    found = {record.metric: record for record in records.read(METHOD, tmp_path)}
    assert {"PSNR", "SSIM"} <= set(found)
    psnr = found["PSNR"]
    assert psnr.experiment == "capture torus" and psnr.better == "higher" and psnr.bound is None
    assert str(capture) in psnr.note and "3 pictures of" in psnr.note and "40 pixels" in psnr.note
    assert psnr.command == f"unflat evaluate {run} {capture} --record"
    assert found["opacity error"].better == "lower"


def test_a_claim_on_the_experiments_own_pictures_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "CHECKOUT", tmp_path)
    assert main(["train", METHOD, "--tiny", "--quiet", "--out", str(tmp_path / "run")]) == 0
    assert main(["evaluate", str(tmp_path / "run"), "--record"]) == 0
    assert {record.experiment for record in records.read(METHOD, tmp_path)} == {"tiny"}
