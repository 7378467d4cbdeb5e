"""Photos as a texture: of worlds whose colours are known, what is seen gets them, and nothing else does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.outputs.test_sights import globe, joined, seen_from
from unflat.data.kinds import Capture
from unflat.geometry.meshes import Mesh
from unflat.outputs.baking import points_of
from unflat.outputs.photo_texture import photo_textured
from unflat.rendering.mesh import render_mesh
from unflat.worlds.objects import Objects

AXES = [(1.0, 0.0, 0.1), (-1.0, 0.0, 0.1), (0.0, 1.0, 0.1), (0.0, -1.0, 0.1), (0.1, 0.0, 1.0), (0.1, 0.0, -1.0)]
OWN = (0.0, 0.0, 1.0)
"""the field's colour: blue, which no photo shows"""


def field(points: Tensor, directions: Tensor) -> Tensor:
    return torch.tensor(OWN).expand_as(points)


def of_place(points: Tensor) -> Tensor:
    """Smooth, and no blue."""
    return torch.stack([0.5 + 0.3 * points[:, 0], 0.5 + 0.3 * points[:, 1], torch.zeros(len(points))], -1)


def pictures(mesh: Mesh, capture: Capture) -> Capture:
    """The capture with pictures of a mesh with colours, RGBA on black."""
    shown = []
    for index, pinhole in enumerate(capture.pinholes):
        view = capture.cameras(index).camera_from_world[0]
        rgb, opacity = render_mesh(mesh, view, pinhole, background=(0.0, 0.0, 0.0))
        straight = (rgb / opacity[..., None].clamp_min(1e-6)).clamp(0, 1)
        shown.append((torch.cat([straight, opacity[..., None]], -1) * 255).round().byte().reshape(-1, 4).numpy())
    return replace(capture, pixels=np.concatenate(shown))


def colours_on(mesh: Mesh, count: int = 3000) -> tuple[Tensor, Tensor]:
    """Points all over a textured mesh and its colours there."""
    points = points_of(mesh, count)
    assert points.colours is not None
    return points.places, points.colours


@pytest.fixture(scope="module")
def ball() -> tuple[Mesh, Capture]:
    """A ball whose colour is its place, seen from six sides."""
    mesh = globe()
    return mesh, pictures(replace(mesh, colours=of_place(mesh.vertices)), seen_from(*AXES, channels=4))


def off(mesh: Mesh) -> Tensor:
    """By how much colours are wrong where points lie, for a colour that is the place."""
    places, colours = colours_on(mesh)
    return (colours - of_place(places)).abs().amax(-1)


def test_a_ball_gets_its_colours_back(ball: tuple[Mesh, Capture]) -> None:
    mesh, capture = ball
    textured = photo_textured(mesh, capture, field, 128)
    assert textured.texture is not None and max(textured.texture.shape) == 128
    assert torch.equal(textured.vertices[textured.triangles.long()], mesh.vertices[mesh.triangles.long()])
    assert off(textured).mean() < 0.006 and off(textured).quantile(0.999) < 0.04


def test_what_no_photo_sees_is_the_fields(ball: tuple[Mesh, Capture]) -> None:
    """Softly: from the photos' colour to the field's there is every step."""
    mesh, capture = ball
    places, colours = colours_on(photo_textured(mesh, capture[:1], field, 128))
    facing = places @ torch.tensor(AXES[0])
    assert torch.allclose(colours[facing < 0], torch.tensor(OWN).expand_as(colours[facing < 0]), atol=1e-3)
    wrong = (colours - of_place(places)).abs().amax(-1)
    assert wrong[facing > 0.4].max() < 0.03
    assert ((colours[:, 2] > 0.2) & (colours[:, 2] < 0.8)).sum() > 20


def test_a_photo_unlike_the_others_counts_little(ball: tuple[Mesh, Capture]) -> None:
    """Four photos from nearly one side, one of which shows something else in the middle."""
    mesh, _ = ball
    sides = [(1.0, 0.0, 0.0), (1.0, 0.1, 0.0), (1.0, 0.0, 0.1), (1.0, 0.1, 0.1)]
    capture = pictures(replace(mesh, colours=of_place(mesh.vertices)), seen_from(*sides, channels=4))
    capture.picture(0)[38:58, 38:58, :3] = (0, 0, 255)
    places, colours = colours_on(photo_textured(mesh, capture, field, 128))
    assert colours[places[:, 0] > 0.45][:, 2].max() < 0.1


def test_photos_of_other_exposure_are_brought_together(ball: tuple[Mesh, Capture]) -> None:
    mesh, capture = ball
    gains = np.array([0.8, 1.25, 1.1, 1 / 1.1, 1.0, 1.0])
    pixels = capture.pixels.copy()
    for index, gain in enumerate(gains):
        capture_pixels = pixels[capture.first[index] : capture.first[index + 1]]
        capture_pixels[:, :3] = (capture_pixels[:, :3] * gain + 0.5).clip(0, 255)
    found = off(photo_textured(mesh, replace(capture, pixels=pixels), field, 128))
    assert found.mean() < 0.03, "they differ by 0.1 and more"


def test_what_is_hidden_does_not_get_the_colour_before_it() -> None:
    """A green ball between the camera and a red one: only from the side the red one's middle is seen."""
    front, back = globe((1.5, 0.0, 0.0), 0.3), globe()
    green, red = (torch.tensor(colour) for colour in ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0)))
    both = joined(front, back)
    paint = torch.cat([green.expand(len(front.vertices), 3), red.expand(len(back.vertices), 3)])
    capture = pictures(
        replace(both, colours=paint), seen_from((1.0, 0.0, 0.0), (1.0, 0.55, 0.0), (-1.0, 0.0, 0.0), channels=4)
    )
    places, colours = colours_on(photo_textured(both, capture, field, 256))
    of_front = places[:, 0] > 0.9
    assert colours[~of_front][:, 1].max() < 0.05 and colours[of_front][:, 0].max() < 0.05
    middle = ~of_front & (places[:, 0] > 0.57)
    assert (colours[middle] - red).abs().max() < 0.05, "the second camera sees it"


def test_what_lies_behind_transparent_pixels_is_not_taken(ball: tuple[Mesh, Capture]) -> None:
    """Pixels without opacity hold anything: here blue; so do those that the mesh covers and the object does not."""
    mesh, capture = ball
    pixels = capture.pixels.copy()
    pixels[pixels[:, 3] == 0] = (0, 0, 255, 0)
    larger = Mesh(mesh.vertices * 1.06, mesh.triangles)
    _, colours = colours_on(photo_textured(larger, replace(capture, pixels=pixels), lambda p, d: 0 * p, 128))
    assert colours[:, 2].max() < 0.02


def test_photos_finer_than_texels_are_shrunk(ball: tuple[Mesh, Capture]) -> None:
    """A checkerboard of single pixels over the colours: what a texel shows is their mean, not one of them."""
    mesh, capture = ball
    pixels = capture.pixels.copy().astype(float)
    board = np.tile(np.indices((96, 96)).sum(0).reshape(-1) % 2, len(capture))
    pixels[:, :3] *= 0.8 + 0.4 * board[:, None]
    found = photo_textured(mesh, replace(capture, pixels=pixels.clip(0, 255).astype(np.uint8)), field, 64)
    assert off(found).mean() < 0.03, "the board is 0.1 to either side"


@pytest.mark.soak
def test_a_painted_box_looks_as_it_did() -> None:
    """Its true mesh with its photos on it, seen from where none was taken."""
    world = Objects("box", 20, 64)
    capture, truth = world.capture(progress=False), replace(world, views=2, split="test").capture(progress=False)
    textured = photo_textured(world.mesh(), capture, field, 256)
    for index in range(len(truth)):
        shown, _ = render_mesh(textured, truth.cameras(index).camera_from_world[0], truth.pinholes[index])
        error = (shown - torch.from_numpy(truth.rgb(index))).square().mean()
        assert -10 * error.log10() > 32


def test_a_texture_needs_triangles_and_texels(ball: tuple[Mesh, Capture]) -> None:
    mesh, capture = ball
    with pytest.raises(ValueError, match="a texture of 0 texels"):
        photo_textured(mesh, capture, field, 0)
    with pytest.raises(ValueError, match="for 0 triangles"):
        photo_textured(replace(mesh, triangles=mesh.triangles[:0]), capture, field)
