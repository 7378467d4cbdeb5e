"""The demo's capture; its faces are looked at wherever the docs' commands are run."""

from functools import partial
from pathlib import Path

import pytest
import trimesh

from unflat.cli import demo
from unflat.training import captured


def test_the_drill_is_learned_and_comes_out_in_metres(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(captured, "export", partial(captured.export, cells=32, texture=64))
    demo._drill(demo.DemoOptions(out=tmp_path, videos=False, steps=40))
    mesh = trimesh.load(tmp_path / "drill" / "drill.glb", force="mesh")
    assert max(mesh.extents) == pytest.approx(0.186, abs=0.01)
    assert len(list((tmp_path / "drill" / "run" / "samples").glob("*.png"))) == 20
    assert (tmp_path / "drill" / "report.html").is_file() and not list((tmp_path / "drill").rglob("*.mp4"))
    assert "of 9 pictures that it has not seen: PSNR" in capsys.readouterr().out


def test_the_shipped_capture_is_small() -> None:
    assert sum(file.stat().st_size for file in demo.CAPTURE.rglob("*")) < 3e6
