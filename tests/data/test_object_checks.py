"""What gives no mesh is told before any time is spent: what was given, what is needed, what to do."""

import math
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from unflat.data import object_checks
from unflat.data.kinds import WHITE, Capture, Scene
from unflat.data.object_checks import FEW, FEWEST, enough, fit_for_mesh
from unflat.data.picture_checks import FILLED_BY, PictureChecks
from unflat.data.recordings import CaptureError
from unflat.geometry.cameras import Pinhole
from unflat.outputs.paths import looking

VIEWS, SIDE, AWAY, RADIUS = 24, 24, 3.0, 0.5
CAMERA = Pinhole(40.0, 40.0, SIDE / 2, SIDE / 2, SIDE, SIDE)
Damage = Callable[[Capture], Capture]


@pytest.fixture(scope="module")
def whole() -> Capture:
    """A grey ball, seen from all around: a pixel shows it whose ray passes its middle nearly enough."""
    height, turn = np.linspace(-0.9, 0.9, VIEWS), np.arange(VIEWS) * np.pi * (3 - math.sqrt(5))
    out = np.stack([np.sqrt(1 - height**2) * np.cos(turn), np.sqrt(1 - height**2) * np.sin(turn), height], 1)
    across = (np.arange(SIDE) + 0.5 - SIDE / 2) / CAMERA.fx
    off = AWAY * np.sin(np.arctan(np.hypot(across[:, None], across)))
    one = np.where(off[..., None] < RADIUS, [128, 128, 128, 255], 0).astype(np.uint8).reshape(-1, 4)
    names = [f"{index:02d}.png" for index in range(VIEWS)]
    scene = Scene("box", background=WHITE, near=1.0, far=5.0)
    return Capture(np.tile(one, (VIEWS, 1)), [CAMERA] * VIEWS, looking(AWAY * out, -out), names, scene)


@pytest.fixture(autouse=True)
def uncompared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are not compared with one another, which takes a second: see test_picture_checks.py."""
    monkeypatch.setattr(object_checks, "check_pictures", lambda capture: PictureChecks())


def with_opacity(capture: Capture, change: Callable[[np.ndarray], np.ndarray], which: slice) -> Capture:
    """The capture, the opacity [n, h, w] of some pictures changed."""
    pixels = capture.pixels.copy()
    opacity = pixels[:, 3].reshape(len(capture), SIDE, SIDE)
    opacity[which] = change(opacity[which])
    return replace(capture, pixels=pixels)


def turned_away(capture: Capture) -> Capture:
    """Each camera looks past what the others see."""
    poses = capture.scene_from_camera.copy()
    poses[:, :3, 3] = np.arange(len(poses))[:, None] * [30.0, 0.0, 0.0]
    return replace(capture, scene_from_camera=poses)


def looking_out(capture: Capture) -> Capture:
    """The signs of y and z are wrong."""
    return replace(capture, scene_from_camera=capture.scene_from_camera @ np.diag([1.0, -1.0, -1.0, 1.0]))


def nothing(opacity: np.ndarray) -> np.ndarray:
    return np.zeros_like(opacity)


def grown(opacity: np.ndarray) -> np.ndarray:
    """The object with a leg that leaves the picture."""
    legged = opacity.copy()
    legged[:, SIDE // 2 :, SIDE // 2 - 2 : SIDE // 2 + 2] = 255
    return legged


def masked_away(capture: Capture) -> Capture:
    return replace(capture, mask=np.zeros(len(capture.pixels), bool))


CAUSES: tuple[tuple[str, Damage, str], ...] = (
    ("few", lambda c: c[:7], "7 pictures are too few for the mesh of an object: at least 8 are needed.*Take more"),
    ("apart", turned_away, r"do not look at one thing: no place is in view of more than \d+ of 24 cameras.*"
     "Walk around the object.*fall into . groups that see nothing in common"),
    ("outwards", looking_out, r"no place is in view of more than \d of 24 cameras.*Negate the second and third column"),
    ("empty", lambda c: with_opacity(c, nothing, slice(None)), r"24 of 24 pictures are transparent everywhere \(00.png"
     r".* and 19 more\).*masks inverted.*Give pictures that are opaque where the object is"),
    ("nearly all empty", lambda c: with_opacity(c, nothing, slice(2, None)), "22 of 24 pictures are transparent"),
    ("many empty", lambda c: with_opacity(c, nothing, slice(5, None)), "5 of 24 pictures have a mask that tells"),
    ("masked", masked_away, "masks leave out every pixel of every picture.*Invert them"),
    ("cut off", lambda c: with_opacity(c, grown, slice(13)), r"the object reaches the border of 13 of 24 pictures"
     ".*from further away, with room around it"),
)  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), [case[1:] for case in CAUSES], ids=[case[0] for case in CAUSES])
def test_what_gives_no_mesh_is_told(whole: Capture, damage: Damage, said: str) -> None:
    with pytest.raises(CaptureError) as error:
        fit_for_mesh(damage(whole))
    assert re.search(said, str(error.value)), str(error.value)


def test_a_good_capture_is_taken_as_it_is_in_silence(whole: Capture) -> None:
    found, warnings = fit_for_mesh(whole)
    assert found is whole and warnings == []
    enough(FEWEST)


def test_what_the_pictures_say_against_the_cameras_is_passed_on(
    whole: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A little is a warning; silhouettes that have nothing in common leave nothing to learn from."""
    asked: list[Capture] = []

    def found(capture: Capture) -> PictureChecks:
        asked.append(capture)
        return PictureChecks({FILLED_BY: 0.6 if len(asked) == 1 else 0.12}, ("they do not fit together",))

    monkeypatch.setattr(object_checks, "check_pictures", found)
    assert fit_for_mesh(whole)[1] == ["they do not fit together"]
    said = "does not overlap: what all of them agree on fills 12% of their silhouettes.* with unflat data inspect"
    with pytest.raises(CaptureError, match=said):
        fit_for_mesh(whole)


def test_few_pictures_are_warned_about(whole: Capture) -> None:
    _, warnings = fit_for_mesh(whole.spread(FEW - 1))
    assert warnings[0] == "19 pictures are few: 20 or more, from all around, make a better mesh"


def test_a_side_that_nobody_looks_at_is_told(whole: Capture) -> None:
    seen = np.flatnonzero(whole.viewpoints.centres[:, 0] > 0)
    _, warnings = fit_for_mesh(whole[seen])
    (said,) = [warning for warning in warnings if "degrees" in warning]
    assert re.match(r"the cameras stand on one side: of the 360 degrees .* nobody looks at it from \d+\.", said)
    turn = np.linspace(0, 2 * np.pi, VIEWS, endpoint=False)
    steep = np.stack([0.2 * np.cos(turn), 0.2 * np.sin(turn), np.full(VIEWS, math.sqrt(0.96))], 1)
    _, warnings = fit_for_mesh(replace(whole, scene_from_camera=looking(AWAY * steep, -steep)))
    assert any("all cameras look from above or below: of the 360 degrees" in warning for warning in warnings)


def test_opacity_that_says_nothing_is_dropped(whole: Capture) -> None:
    """The pictures then have a background, and the scene no end."""
    found, warnings = fit_for_mesh(with_opacity(whole, lambda opacity: opacity * 0 + 255, slice(None)))
    assert not found.has_alpha and found.scene.space == "contracted" and found.scene.background is None
    assert any("24 of 24 pictures are opaque everywhere" in warning for warning in warnings)
    world = [one.scene.world_from_scene.place(one.scene_from_camera) for one in (found, whole)]
    np.testing.assert_allclose(*world, atol=1e-9, err_msg="the cameras stand where they stood")


def test_pictures_whose_own_mask_failed_are_left_out_and_named(whole: Capture) -> None:
    bad = with_opacity(whole, nothing, slice(1, 2))
    bad = with_opacity(bad, lambda opacity: opacity * 0 + 255, slice(4, 6))
    found, warnings = fit_for_mesh(bad)
    assert len(found) == 21 and found.names[:3] == (whole.names[0], whole.names[2], whole.names[3])
    assert warnings[:2] == [
        f"1 of 24 pictures are transparent everywhere and are left out: {whole.names[1]}",
        f"2 of 24 pictures are opaque everywhere and are left out: {whole.names[4]}, {whole.names[5]}",
    ]


def test_some_pictures_may_cut_the_object_off(whole: Capture) -> None:
    _, warnings = fit_for_mesh(with_opacity(whole, grown, slice(3)))
    assert any("3 of 24 pictures cut the object off at their border" in warning for warning in warnings)
    assert not any("cut" in warning for warning in fit_for_mesh(with_opacity(whole, grown, slice(1)))[1])
