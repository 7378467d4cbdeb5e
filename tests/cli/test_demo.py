"""The demo's capture; its faces are looked at wherever the docs' commands are run."""

from functools import partial
from pathlib import Path

import pytest
import trimesh

from unflat.cli import demo
from unflat.training import object_run


def test_the_drill_is_learned_and_comes_out_in_metres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    little = partial(object_run.mesh_of, experiment="tiny", faces=500, texture=64, previews=32)
    monkeypatch.setattr(object_run, "mesh_of", little)
    options = demo.DemoOptions(out=tmp_path, videos=False, steps=40)
    demo._drill(options)
    demo._mesh(options)
    mesh = trimesh.load(tmp_path / "drill" / "drill.glb", force="mesh")
    assert max(mesh.extents) == pytest.approx(0.186, abs=0.03), "it has hardly learned"
    assert (tmp_path / "drill" / "drill-mesh" / "report.html").is_file()
    assert len(list((tmp_path / "drill" / "run" / "samples").glob("*.png"))) == 20
    assert (tmp_path / "drill" / "report.html").is_file() and not list((tmp_path / "drill").rglob("*.mp4"))
    out = capsys.readouterr().out
    assert "of 9 pictures that it has not seen: PSNR" in out and "6/6 making a mesh of it" in out
    assert "along x, y, z, in the capture's unit" in out


def test_the_shipped_capture_is_small() -> None:
    assert sum(file.stat().st_size for file in demo.CAPTURE.rglob("*")) < 3e6
