"""What benchmarks/scene_mesh.py measures, on surfaces whose distance is known."""

from pathlib import Path

import numpy as np
import pytest
import scene_mesh

from tests.oracles.ball import around, ball
from unflat.outputs.scene_mesh import scene_mesh as mesh_of
from unflat.worlds.objects import Objects


def test_points_are_drawn_on_the_mesh_in_the_objects_frame() -> None:
    mesh = mesh_of(ball(), around(), cells=32)
    drawn = scene_mesh.drawn(mesh, lambda places: 0.1 * places + [1.0, 0.0, 0.0])
    np.testing.assert_allclose(np.linalg.norm(drawn - [1.0, 0.0, 0.0], axis=1), 0.06, atol=0.003)


def test_all_is_measured_of_a_run_that_has_hardly_learned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silhouettes alone make a hull of the box of 12 cm, some millimetres off."""
    monkeypatch.setattr(scene_mesh, "DRAWN", 2000)
    monkeypatch.setattr(scene_mesh, "SURFACES", ("depth",))  # its density is mist
    figures = scene_mesh.measured(Objects("box", 12, 24), "quick_grid", tmp_path, "tiny")
    assert len(figures) == 3 and all(name.endswith(", mm") for name in figures)
    assert 0.3 < figures["depth: mesh to truth, median, mm"] < 20
    assert figures["depth: mesh to truth, 95 %, mm"] > figures["depth: mesh to truth, median, mm"]
