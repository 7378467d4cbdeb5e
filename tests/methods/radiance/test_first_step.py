"""What a first step teaches a grid that begins nearly empty."""

from dataclasses import replace

import pytest
import torch

from unflat.data.kinds import Capture
from unflat.methods.radiance import dvgo, plenoxels, quick_grid, tensorf
from unflat.training.experiment import Experiment
from unflat.training.run import build
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def vase() -> Capture:
    return Objects("vase", 12, 32).capture(progress=False)


@pytest.mark.parametrize(
    "experiment",
    [
        dvgo.chair(),
        dvgo.small(),
        tensorf.chair(),
        tensorf.small(),
        quick_grid.small(),
        plenoxels.chair(),
        plenoxels.small(),
    ],
    ids=["dvgo", "dvgo small", "tensorf", "tensorf small", "quick_grid small", "plenoxels", "plenoxels small"],
)
def test_density_gets_a_gradient(experiment: Experiment, vase: Capture) -> None:
    """Samples count, thin as they are: without any, nothing would ever be learned."""
    coarse: dict[str, object] = {"voxels": (1000, 8000)}
    if experiment.method in (quick_grid.QuickGrid, plenoxels.Plenoxels):
        coarse = (
            {"resolutions": (10, 20), "until": (9,), "smaller": (1, 1)}
            if experiment.method is plenoxels.Plenoxels
            else {}
        )
    config = replace(experiment.config, batch_size=64, **coarse)
    method = build(experiment.method, config, vase.extent, 0)
    method.prepare(vase)
    losses = method.losses(next(method.batches(vase, 0, 0)), 0)
    losses.terms["photometric"].backward()
    density = method.density if isinstance(method.density, torch.nn.Parameter) else method.density[0]
    assert density.grad is not None
    gradient = density.grad.coalesce().values() if density.grad.is_sparse else density.grad
    assert gradient.numel() and float(gradient.abs().max()) > 0


@pytest.mark.parametrize("experiment", [tensorf.chair(), tensorf.chair_cp()], ids=["VM", "CP"])
def test_samples_of_a_small_box_count_too(experiment: Experiment, vase: Capture) -> None:
    """The released settings, whose step absorbs little, and a tenth of that: of a box that is drawn tight by hand."""
    scene = replace(vase.scene, box=(-0.2, -0.2, -0.2, 0.2, 0.2, 0.2))
    config = replace(experiment.config, components=(2, 2), batch_size=256)
    method = build(experiment.method, config, replace(vase, scene=scene).extent, 0)
    losses = method.losses(next(method.batches(replace(vase, scene=scene), 0, 0)), 0)
    assert float(losses.figures["samples"]) > 1
