"""Cameras without pictures: as plain data and back, and where they stand."""

import json

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from unflat.data.kinds import Capture, Scene
from unflat.data.viewpoints import Viewpoints
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens


def views() -> Viewpoints:
    """A pinhole, a lens, and the pinhole again, anywhere."""
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, :3, :3] = Rotation.random(3, rng=np.random.default_rng(0)).as_matrix()
    poses[:, :3, 3] = np.random.default_rng(1).normal(size=(3, 3))
    pinhole, lens = Pinhole(30.0, 31.0, 8.5, 6.0, 17, 12), Lens(9.0, 9.0, 4.0, 4.0, 8, 8, "fisheye", (0.1, 0.02))
    return Viewpoints([pinhole, lens, pinhole], poses, ("a.png", "b/c.png", "ü.png"))


def test_plain_data_gives_the_same_cameras_back() -> None:
    plain = json.loads(json.dumps(views().to_plain()))
    found = Viewpoints.from_plain(plain)
    assert found.pinholes == views().pinholes and found.names == views().names
    assert np.array_equal(found.scene_from_camera, views().scene_from_camera)
    assert len(plain["pinholes"]) == 2, "equal pinholes stand once"


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a"]},
        {"scene_from_camera": [[1, 2, 3]]},
        {"scene_from_camera": [[float("nan")] * 12] * 3},
        {"pinhole_of": [0, 1, 7]},
        {"pinholes": [{"fx": 1}]},
        {"pinholes": [{"model": "odd", "coefficients": [], **views().to_plain()["pinholes"][0]}] * 2},
        {"pinholes": None},
    ],
)
def test_anything_else_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="these are no cameras as they are kept"):
        Viewpoints.from_plain({**views().to_plain(), **change})


def test_cameras_are_asked_with_the_inverse_of_their_pose() -> None:
    found, point = views(), torch.tensor([[[0.3, -0.2, 2.0]]])
    for i in range(3):
        camera = found.cameras(i)
        world = found.scene_from_camera[i, :3, :3] @ point[0, 0].double().numpy() + found.centres[i]
        back = camera.camera_from_world.apply(torch.from_numpy(world).float()[None, None])
        torch.testing.assert_close(back, point, rtol=0, atol=1e-5)
        assert camera.pinhole == found.pinholes[i]
        np.testing.assert_allclose(found.forward[i], found.scene_from_camera[i, :3, :3] @ [0, 0, 1])


def test_some_of_them() -> None:
    some = views()[[2, 1]]
    assert some.names == ("ü.png", "b/c.png") and len(some) == 2
    assert np.array_equal(some.scene_from_camera, views().scene_from_camera[[2, 1]])


def test_a_capture_has_them() -> None:
    found = views()
    pixels = np.zeros((sum(p.width * p.height for p in found.pinholes), 3), np.uint8)
    capture = Capture(pixels, found.pinholes, found.scene_from_camera, found.names, Scene())
    assert capture.viewpoints == Viewpoints(found.pinholes, capture.scene_from_camera, found.names)
    assert torch.equal(capture.cameras(1).camera_from_world.translation, found.cameras(1).camera_from_world.translation)
