"""The script that measures how steps of radiance fields grow: that it runs, and what it draws."""

import sys

import field_costs
import numpy as np
import pytest


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for memory")
@pytest.mark.parametrize("method", ["quick_grid", "tensorf"])
def test_more_voxels_are_more_memory(method: str) -> None:
    sizes = (field_costs.Size(rays=64, voxels=voxels, pictures=6) for voxels in (16, 128))
    small, large = (field_costs.measured(method, size, side=32, warm=2) for size in sizes)
    assert small["seconds"] > 0 and small["samples"] > 0
    assert large["memory"] > small["memory"] + 2**20


def test_the_plot_has_a_column_for_each_of_what_is_changed() -> None:
    points = [{"x": float(n), "seconds": 1e-3 * n, "memory": 1e8 * n, "samples": 5.0} for n in (1, 2, 4)]
    found = {what: {"quick_grid": points, "tensorf": points[::-1]} for what in field_costs.CHANGED}
    picture = field_costs.plotted(found)
    for column in range(4):
        for row in range(2):
            top, left = row * field_costs.HEIGHT, column * field_costs.WIDTH
            panel = picture[top : top + field_costs.HEIGHT, left : left + field_costs.WIDTH].reshape(-1, 3)
            for colour in field_costs.COLOURS:
                assert (panel == np.array(colour)).all(1).any()


def test_a_record_for_each_point() -> None:
    point = {"x": 512.0, "seconds": 0.01, "memory": 1e8, "samples": 5.0}
    lines = field_costs.records({"rays": {"quick_grid": [point]}})
    assert [(line.metric, line.ours, line.memory) for line in lines] == [
        ("CPU ms of a step, 512 rays a step", 10.0, 1e8)
    ]
