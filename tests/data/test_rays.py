"""Rays of captures: where pixels look, and in which order they are drawn."""

import itertools

import numpy as np
import pytest
import torch

from unflat.data.kinds import Capture, Scene
from unflat.data.rays import RayPool, camera_rays, depth_along, of_one_picture, ordered, permuted, pooled
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens

SIZES = ((4, 6), (5, 3))


SCENE = Scene(near=0.5, far=9.0)


def capture(channels: int = 3, scene: Scene = SCENE, bent: bool = False) -> Capture:
    """Two pictures of different sizes and lenses, from different places; colours are their pixels' numbers."""
    count = sum(h * w for h, w in SIZES)
    pixels = np.arange(count * channels, dtype=np.uint8).reshape(count, channels)
    turn = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, :3, :3], poses[:, :3, 3] = turn, [[0.1, 0.2, -3.0], [-3.0, 0.1, 0.0]]
    lenses: list[Pinhole] = [Pinhole(7.0, 8.0, 3.2, 1.9, 6, 4), Pinhole(5.0, 5.0, 1.5, 2.5, 3, 5)]
    if bent:
        lenses[1] = Lens(5.0, 5.0, 1.5, 2.5, 3, 5, "opencv", (0.1, 0.02))
    return Capture(pixels, lenses, poses, ("a", "b"), scene)


@pytest.mark.parametrize("bent", [False, True])
def test_every_ray_goes_through_the_centre_of_its_pixel(bent: bool) -> None:
    found = capture(bent=bent)
    batch = RayPool(found).batch(np.arange(39))
    for i in range(2):
        mine = batch.picture == i
        cameras, pinhole = found.cameras(i), found.pinholes[i]
        points = cameras.camera_from_world.apply((batch.rays.origins + 2.5 * batch.rays.directions)[mine][None])[0]
        v, u = np.divmod(np.arange(int(mine.sum())), pinhole.width)
        expected = torch.from_numpy(np.stack([u, v], 1)).float() + 0.5
        torch.testing.assert_close(pinhole.project(points), expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(batch.rays.directions.norm(dim=1), torch.ones(39))
    assert batch.rays.index.tolist() == list(range(39))


def test_near_and_far_are_planes() -> None:
    found = capture()
    batch = RayPool(found).batch(np.arange(24))

    def depth(t: torch.Tensor) -> torch.Tensor:
        points = batch.rays.origins + t[:, None] * batch.rays.directions
        return found.cameras(0).camera_from_world.apply(points[None])[0, :, 2]

    torch.testing.assert_close(depth(batch.rays.near), torch.full((24,), 0.5))
    torch.testing.assert_close(depth(batch.rays.far), torch.full((24,), 9.0))


def test_the_rays_of_a_camera_are_those_of_its_pixels() -> None:
    for bent in (False, True):
        found = capture(bent=bent)
        for i in range(2):
            ours = camera_rays(found.scene, found.cameras(i))
            theirs = RayPool(found).batch(np.arange(found.first[i], found.first[i + 1])).rays
            for name in ("origins", "directions", "sights", "near", "far"):
                torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-5)


def test_depth_along_rays_is_along_z() -> None:
    found = capture()
    rays = camera_rays(found.scene, found.cameras(1))
    depth = depth_along(found.scene, found.cameras(1), rays, rays.near * 6)
    torch.testing.assert_close(depth, torch.full((1, 5, 3), 3.0))


def test_through_a_window_rays_meet_the_same_points() -> None:
    """A point at depth 4 of the camera is on the warped ray, where the warp has it, and its depth is found again."""
    window = Scene(space="ndc", near=1.0, far=1e3, window=(0.5, 0.25))
    found = capture(scene=window)
    plain = camera_rays(Scene(), found.cameras(0))
    rays = camera_rays(window, found.cameras(0))
    points = plain.origins + 4 / (plain.directions[:, 2:]) * plain.directions  # the camera stands at z = -3, so z = 1
    points = points + plain.directions / plain.directions[:, 2:] * 1.5  # z = 2.5
    warped = torch.stack(
        [points[:, 0] / points[:, 2] / 0.5, points[:, 1] / points[:, 2] / 0.25, 1 - 2 / points[:, 2]], 1
    )
    t = (warped - rays.origins).norm(dim=1)
    torch.testing.assert_close(rays.origins + t[:, None] * rays.directions, warped, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(depth_along(window, found.cameras(0), rays, t), torch.full((1, 4, 6), 5.5))
    assert torch.equal(rays.near, torch.zeros(24)) and torch.equal(rays.sights, plain.sights)
    torch.testing.assert_close((rays.origins + rays.far[:, None] * rays.directions)[:, 2], torch.ones(24))


def test_colours_are_laid_on_the_background() -> None:
    red = capture(4, Scene(background=(1.0, 0.0, 0.0)))
    batch = RayPool(red).batch(np.array([3, 30]))
    for row, pixel in enumerate((3, 30)):
        r, g, b, a = red.pixels[pixel] / 255
        assert batch.rgb[row].tolist() == pytest.approx([r * a + 1 - a, g * a, b * a], abs=1e-6)
        assert batch.opacity is not None and batch.opacity[row].item() == pytest.approx(a)
    assert RayPool(capture()).batch(np.array([0])).opacity is None


@pytest.mark.parametrize("count", [1, 2, 3, 5, 16, 17, 100, 1023, 4097])
def test_an_epoch_is_a_permutation(count: int) -> None:
    for epoch in range(2):
        found = permuted(np.arange(count), count, 3, epoch)
        assert sorted(found) == list(range(count))
        if count >= 100:
            assert abs(np.corrcoef(np.arange(count), found)[0, 1]) < 0.3
            assert np.mean(found == permuted(np.arange(count), count, 4, epoch)) < 0.05
            assert np.mean(found == permuted(np.arange(count), count, 3, epoch + 1)) < 0.05


def test_neighbours_are_torn_apart() -> None:
    """Steps from one drawn number to the next are spread as those of a shuffled deck are."""
    found = permuted(np.arange(4096), 4096, 1, 0)
    steps = np.abs(np.diff(found))
    assert np.mean(steps) == pytest.approx(4096 / 3, rel=0.05)
    assert np.mean(steps == 1) < 0.005


def test_the_order_may_be_asked_for_in_any_pieces() -> None:
    whole = ordered(0, 50, 7, seed=1)
    pieces = np.concatenate([ordered(a, b - a, 7, seed=1) for a, b in itertools.pairwise([0, 3, 20, 21, 50])])
    assert np.array_equal(whole, pieces)
    assert all(sorted(whole[i : i + 7]) == list(range(7)) for i in range(0, 49, 7))


def test_batches_from_any_step_on_are_the_unbroken_runs() -> None:
    pool = RayPool(capture())
    whole = [batch.rays.index for batch in itertools.islice(pooled(pool, 5, seed=2), 70)]
    for start in (1, 31, 32, 40):
        assert torch.equal(next(pooled(pool, 5, seed=2, start=start)).rays.index, whole[start])
    assert sorted(torch.cat(whole)[:39].tolist()) == list(range(39))


def test_some_of_a_batch_are_taken_and_the_others_come_no_later() -> None:
    """How many is asked before each step: the first of its batch, which are the same whoever resumes."""
    pool, wanted = RayPool(capture()), [3, 5, 1, 9, 2] * 14
    whole = [batch.rays.index for batch in itertools.islice(pooled(pool, 5, seed=2), 70)]
    step = 0
    drawn = pooled(pool, 5, seed=2, taken=lambda: wanted[step])
    for step in range(70):
        assert torch.equal(next(drawn).rays.index, whole[step][: wanted[step]])
    step = 33
    resumed = next(pooled(pool, 5, seed=2, start=33, taken=lambda: wanted[step]))
    assert torch.equal(resumed.rays.index, whole[33][: wanted[33]]) and len(resumed) == 5


def test_only_pixels_of_the_scene_and_only_those_asked_for_are_drawn() -> None:
    found = capture()
    masked = Capture(
        found.pixels, found.pinholes, found.scene_from_camera, found.names, found.scene, mask=np.arange(39) < 10
    )
    drawn = torch.cat([b.rays.index for b in itertools.islice(pooled(RayPool(masked), 4, seed=0), 5)])
    assert set(drawn.tolist()) == set(range(10))
    drawn = torch.cat(
        [b.rays.index for b in itertools.islice(pooled(RayPool(found), 4, seed=0, among=np.array([7, 30])), 5)]
    )
    assert set(drawn.tolist()) == {7, 30}
    nothing = Capture(
        found.pixels, found.pinholes, found.scene_from_camera, found.names, found.scene, mask=np.zeros(39, bool)
    )
    with pytest.raises(ValueError, match="the masks leave none"):
        pooled(RayPool(nothing), 4, seed=0)


def test_a_picture_at_a_time_and_its_middle_first() -> None:
    pool = RayPool(capture())
    drawn = list(itertools.islice(of_one_picture(pool, 6, seed=0, centre_until=20), 60))
    assert all(len(batch.picture.unique()) == 1 for batch in drawn)
    assert len({int(batch.picture[0]) for batch in drawn}) == 2
    middle = {int(i) for batch in drawn[:20] if batch.picture[0] == 0 for i in batch.rays.index}
    assert middle == {v * 6 + u for v in (1, 2) for u in (1, 2, 3)}
    later = {int(i) for batch in drawn[20:] if batch.picture[0] == 0 for i in batch.rays.index}
    assert later > middle
    assert torch.equal(next(of_one_picture(pool, 6, seed=0, start=33)).rays.index, drawn[33].rays.index)
