"""A field's density is per unit of length in the scene's frame: added up along rays it is what is seen."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unflat import catalogue
from unflat.data.kinds import Capture
from unflat.data.rays import camera_rays, depth_along
from unflat.training.run import train
from unflat.worlds.objects import Objects

FINELY = {
    "dvgo": {"step": 0.1}, "instant_ngp": {"steps": 1024, "least": 1e-5, "last": 1e-4}, "plenoxels": {"step": 0.1},
    "quick_grid": {"step": 0.1, "least": 1e-5, "last": 1e-4},
    "tensorf": {"step": 0.05, "shown": 1e-5}, "triplanes": {"step": 0.1, "least": 1e-5},
}  # fmt: skip
"""methods that walk in contracted coordinates, with steps that are short beside what they meet"""
STEPS = 2000


@pytest.fixture(scope="module")
def capture() -> Capture:
    return Objects("vase", 4, 16).capture(progress=False)


@pytest.mark.parametrize("name", FINELY)
def test_added_up_along_a_ray_it_is_what_is_seen(name: str, capture: Capture, tmp_path: Path) -> None:
    """Where space is contracted, what is walked far out is much longer than it looks."""
    endless = replace(capture, scene=replace(capture.scene, space="contracted", background=None, near=0.1, far=1e3))
    experiment = catalogue.experiment(name, "tiny")
    training = replace(experiment.training, threads=1, save_every=1000)
    run = train(
        name, endless, out=tmp_path, config=replace(experiment.config, **FINELY[name]), training=training, quiet=True
    )
    method, camera = run.method, endless.cameras(0)
    with torch.inference_mode():
        seen = method.predict(camera)
        rays = camera_rays(endless.scene, camera)
        edges = torch.logspace(-1, 3, STEPS + 1)
        t, length = (edges[1:] + edges[:-1]) / 2, edges.diff()
        points = rays.origins[:, None] + t[:, None] * rays.directions[:, None]
        directions = rays.sights[:, None].expand_as(points)
        density, _ = method.field(points.reshape(-1, 3), directions.reshape(-1, 3))
        thickness = density.view(len(points), STEPS) * length
        weight = torch.exp(thickness - thickness.cumsum(1)) * -torch.expm1(-thickness)
        distance = (weight * t).sum(1) / weight.sum(1)
        expected = depth_along(endless.scene, camera, rays, distance)
    assert seen.depth is not None
    ratio = (seen.depth / expected).flatten()
    assert 0.9 < float(ratio.nanmedian()) < 1.15
