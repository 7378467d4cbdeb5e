"""What captures hold, picture by picture."""

import numpy as np
import pytest
import torch

from unflat.data.kinds import Capture, Extent, Scene, on_background
from unflat.geometry.cameras import Pinhole
from unflat.geometry.similarities import Similarity
from unflat.training.settings import from_plain, to_plain

SIZES = ((2, 3), (4, 2), (1, 5))


def capture(channels: int = 3) -> Capture:
    """Three pictures of different sizes; every pixel holds its own number."""
    count = sum(h * w for h, w in SIZES)
    pixels = np.arange(count * channels, dtype=np.uint8).reshape(count, channels)
    poses = np.stack([np.eye(4)] * 3)
    poses[:, :3, 3] = [[0, 0, -3], [1, 0, -3], [0, 2, -3]]
    pinholes = [Pinhole(10.0, 10.0, w / 2, h / 2, w, h) for h, w in SIZES]
    return Capture(pixels, pinholes, poses, ("a", "b", "c"), Scene(), depth=np.arange(count, dtype=np.float32))


def test_pictures_lie_one_after_the_other() -> None:
    found = capture()
    assert found.first.tolist() == [0, 6, 14, 19]
    assert [found.picture(i).shape for i in range(3)] == [(2, 3, 3), (4, 2, 3), (1, 5, 3)]
    assert found.picture(1)[0, 0].tolist() == [18, 19, 20]
    assert found.picture(2, "depth").tolist() == [[14, 15, 16, 17, 18]]
    assert found.extent == Extent(3, (4, 2), Scene())
    assert found.known == ("depth",)


@pytest.mark.parametrize("index", [slice(1, 3), [1, 2], [2, 0], np.array([1]), slice(0, 3, 2), slice(3, 3)])
def test_some_of_the_pictures(index: object) -> None:
    found, part = capture(), capture()[index]  # type: ignore[index]
    chosen = np.arange(3)[index]  # type: ignore[index]
    assert part.names == tuple("abc"[i] for i in chosen)
    for place, i in enumerate(chosen):
        assert np.array_equal(part.picture(place), found.picture(int(i)))
        assert np.array_equal(part.picture(place, "depth"), found.picture(int(i), "depth"))
        assert np.array_equal(part.scene_from_camera[place], found.scene_from_camera[i])
    assert len(part.pixels) == part.first[-1]


def test_neighbours_share_memory() -> None:
    found = capture()
    assert np.shares_memory(found[1:].pixels, found.pixels)


@pytest.mark.parametrize(("most", "chosen"), [(1, [0]), (2, [0, 2]), (3, [0, 1, 2]), (9, [0, 1, 2])])
def test_some_over_all_of_the_pictures(most: int, chosen: list[int]) -> None:
    all_of_them = capture()
    assert list(all_of_them.spread(most).names) == [all_of_them.names[i] for i in chosen]


def test_a_camera_is_asked_with_the_inverse_of_its_pose() -> None:
    cameras = capture().cameras(1)
    assert torch.equal(
        cameras.camera_from_world.apply(torch.tensor([[[1.0, 0.0, 0.0]]])), torch.tensor([[[0.0, 0, 3]]])
    )
    assert len(cameras) == 1 and cameras.pinhole.width == 2


def test_transparent_pixels_show_the_background() -> None:
    pixels = np.array([[0.2, 0.4, 0.6, 0.0], [0.2, 0.4, 0.6, 1.0], [0.2, 0.4, 0.6, 0.5]], np.float32)
    laid = on_background(pixels, (1.0, 0.0, 0.0))
    np.testing.assert_allclose(laid, [[1, 0, 0], [0.2, 0.4, 0.6], [0.6, 0.2, 0.3]], atol=1e-6)
    np.testing.assert_allclose(on_background(pixels, None)[0], [1, 1, 1])
    assert capture(4).rgb(0).shape == (2, 3, 3)


def test_a_field_that_is_not_there_is_said() -> None:
    with pytest.raises(ValueError, match="this capture has no normals"):
        capture().picture(0, "normals")


def test_a_scene_is_plain_data_and_keeps_its_place_in_the_files() -> None:
    rotation = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    scene = Scene(space="contracted").placed(Similarity(2.0, rotation, np.array([1.0, 2.0, 3.0])))
    extent = Extent(3, (4, 5), scene)
    assert from_plain(Extent, to_plain(extent)) == extent
    np.testing.assert_allclose(scene.world_from_scene.apply(np.array([1.0, 0.0, 0.0])), [1.0, 4.0, 3.0])
    assert from_plain(Extent, {"count": 1, "size": [2, 3]}) == Extent(1, (2, 3)), "older weights know no scene"
