"""Pictures that belong to their cameras are told from pictures that do not, by whatever the files hold."""

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from unflat.data.kinds import Capture, Points
from unflat.data.picture_checks import PictureChecks, check_pictures
from unflat.worlds.objects import Objects


@pytest.fixture(scope="module")
def vase() -> Capture:
    """With silhouettes and depth."""
    return Objects("vase", 24, 100).capture(progress=False)


@pytest.fixture(scope="module")
def turntable() -> Capture:
    """With a room behind, and depth."""
    return Objects("vase").turntable(24, 100, progress=False)


def with_points(capture: Capture) -> Capture:
    """What every 50th pixel shows, with its colour, as structure from motion would find it; nothing else but pictures.

    Unlike there, nothing says which pictures something else hides them in.
    """
    assert capture.depth is not None
    shown = np.flatnonzero(np.isfinite(capture.depth))[::50]
    picture = np.searchsorted(capture.first, shown, side="right") - 1
    rays = torch.stack([pinhole.rays(dtype=torch.float64).view(-1, 3) for pinhole in capture.pinholes]).view(-1, 3)
    local = rays[shown].numpy() * capture.depth[shown, None]
    poses = capture.scene_from_camera[picture]
    places = np.einsum("mij,mj->mi", poses[:, :3, :3], local) + poses[:, :3, 3]
    points = Points(places, capture.pixels[shown, :3], np.zeros(len(shown), np.int64))
    return replace(capture, depth=None, points=points)


def only_pictures(capture: Capture) -> Capture:
    return replace(capture, depth=None)


def shuffled(capture: Capture) -> Capture:
    """Each picture has the pose of another."""
    order = np.random.default_rng(0).permutation(len(capture))
    return replace(capture, scene_from_camera=capture.scene_from_camera[order])


def looking_away(capture: Capture) -> Capture:
    return replace(capture, scene_from_camera=capture.scene_from_camera @ np.diag([1.0, -1.0, -1.0, 1.0]))


def mirrored(capture: Capture) -> Capture:
    """The world in a mirror: every pose is a good one, and right to the camera is still right."""
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    return replace(capture, scene_from_camera=mirror @ capture.scene_from_camera @ mirror)


def in_another_unit(capture: Capture) -> Capture:
    assert capture.depth is not None
    return replace(capture, depth=capture.depth * np.float32(1.3))


def test_good_captures_are_silent(vase: Capture, turntable: Capture) -> None:
    for capture in (vase, turntable, with_points(vase), with_points(turntable), only_pictures(turntable)):
        assert check_pictures(capture).warnings == ()


def test_what_is_there_is_asked(vase: Capture, turntable: Capture) -> None:
    def asked(checks: PictureChecks) -> set[str]:
        return set(checks.figures)

    depth = {"depth that other pictures see through", "colours agree at depth"}
    points = {"points in two pictures or more", "colours agree at points"}
    hull, lines = {"silhouettes that the visual hull fills"}, {"spots found again on their lines"}
    assert asked(check_pictures(vase)) == depth | hull | lines
    assert asked(check_pictures(turntable)) == depth | lines
    assert asked(check_pictures(with_points(turntable))) == points | lines
    only = check_pictures(only_pictures(turntable))
    assert asked(only) == lines and any("no depth" in reason for reason in only.left_out)


MISTAKES: tuple[tuple[str, Callable[[Capture], Capture], str], ...] = (
    ("turntable", mirrored, "the colours of a place differ .* places of the depth"),
    ("vase", shuffled, "the silhouettes do not fit together: .*% of them"),
    ("vase", looking_away, "the silhouettes do not fit together"),
    ("vase", shuffled, "the colours of a place differ .* places of the depth"),
    ("turntable", in_another_unit, "depth maps contradict one another: .* millimetres"),
)


@pytest.mark.parametrize(("name", "mistake", "said"), MISTAKES)
def test_a_mistake_is_named(
    name: str, mistake: Callable[[Capture], Capture], said: str, request: pytest.FixtureRequest
) -> None:
    warnings = check_pictures(mistake(request.getfixturevalue(name))).warnings
    assert any(re.search(said, warning) for warning in warnings), warnings


def test_points_that_do_not_belong_to_the_poses_are_named(turntable: Capture) -> None:
    warnings = check_pictures(looking_away(with_points(turntable))).warnings
    assert any(re.search("only 0% of the points lie in front of", warning) for warning in warnings)
    warnings = check_pictures(mirrored(with_points(turntable))).warnings
    assert any(re.search("colours of a place differ .* places of the points", warning) for warning in warnings)


@pytest.mark.parametrize("mistake", [shuffled, mirrored, looking_away])
def test_pictures_alone_tell(mistake: Callable[[Capture], Capture], turntable: Capture) -> None:
    """Without points, depth or transparency."""
    warnings = check_pictures(mistake(only_pictures(turntable))).warnings
    assert len(warnings) == 1 and "are found again on their lines, where chance is 50%" in warnings[0]


def test_what_a_mask_leaves_out_is_not_compared(turntable: Capture) -> None:
    """Two thirds of every picture show something that moved."""
    noise = np.random.default_rng(0).integers(0, 256, turntable.pixels.shape, np.uint8)
    stays = (np.arange(len(turntable.pixels)) % 100) < 34
    moved = replace(turntable, pixels=np.where(stays[:, None], turntable.pixels, noise))
    assert check_pictures(moved).figures["colours agree at depth"] < 0.3
    masked = check_pictures(replace(moved, mask=stays))
    assert masked.figures["colours agree at depth"] > 0.8


def test_plain_pictures_say_nothing(turntable: Capture) -> None:
    plain = replace(only_pictures(turntable), pixels=np.full_like(turntable.pixels, 128))
    checks = check_pictures(plain)
    assert checks.figures == {} and checks.warnings == ()
    assert any("too few spots with texture" in reason for reason in checks.left_out)
