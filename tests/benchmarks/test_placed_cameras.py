"""How far placed cameras are from known ones, whatever the frame; structure from motion itself is tested elsewhere."""

from dataclasses import replace

import numpy as np
import placed_cameras
import pytest

from unflat.geometry.similarities import Similarity, rotation_between
from unflat.worlds.objects import Objects


def test_another_frame_is_no_distance_and_a_moved_camera_is() -> None:
    theirs = Objects("box", 9, 16).capture(progress=False).viewpoints
    away = Similarity(3.0, rotation_between((0.0, 0.0, 1.0), (0.3, 0.8, -0.4)), np.array([5.0, 1.0, 2.0]))
    ours = replace(theirs, scene_from_camera=away.place(theirs.scene_from_camera))
    assert placed_cameras.distance(ours, theirs) == pytest.approx((0.0, 0.0), abs=1e-4)
    turned = ours.scene_from_camera.copy()
    turned[:, :3, :3] = turned[:, :3, :3] @ rotation_between(
        np.array([0.0, 0.0, 1.0]), np.array([0.0, np.sin(0.02), np.cos(0.02)])
    )
    apart = placed_cameras.distance(replace(ours, scene_from_camera=turned), theirs)
    assert apart.degrees == pytest.approx(np.degrees(0.02), rel=1e-3) and apart.centres < 1e-4
    nudged = ours.scene_from_camera.copy()
    nudged[::2, :3, 3] += 0.01 * 3.0 * 3.2 * np.array([1.0, 0.0, 0.0])  # a hundredth of the cameras' distance
    assert 0.3 < placed_cameras.distance(replace(ours, scene_from_camera=nudged), theirs).centres < 1.0
