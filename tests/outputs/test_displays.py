"""The symmetry line, the asymmetry, surfaces and looks, on the painted ellipsoids."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from unflat.geometry.cameras import Cameras
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.method import Prediction
from unflat.outputs.displays import (
    LINE_COLOUR,
    PICTURES,
    Limits,
    Look,
    draw_asymmetry,
    draw_line,
    one,
    surface_of,
    symmetry_line,
)

from .conftest import MIDDLE, RADII, SIZE, WALL, World


def look_at(world: World, index: int = 0, **changes: object) -> Look:
    prediction = replace(one(world.prediction, index), **changes)  # type: ignore[arg-type]
    return Look(world.photos.rgb[index], prediction, Limits.of(world.prediction), size=64)


def test_one_photo_of_several_keeps_every_field(world: World) -> None:
    second = one(world.prediction, 1)
    assert second.filled == world.prediction.filled
    assert second.depth is not None and world.prediction.depth is not None
    assert torch.equal(second.depth[0].nan_to_num(), world.prediction.depth[1].nan_to_num())
    assert second.cameras is not None and second.cameras.camera_from_world.rotation.shape == (1, 3, 3)
    assert second.canonical is not None and second.canonical.light is not None
    assert second.canonical.light.ambient.tolist() == [world.lights[1, 0].item()]
    assert second.mesh is not None and len(second.mesh) == 1


def test_the_symmetry_line_is_the_image_of_the_mid_plane(world: World) -> None:
    """Every point of it is the image of a point of the ellipsoid (or the wall) with canonical x = 0."""
    for index in range(2):
        line = symmetry_line(one(world.prediction, index))
        assert line is not None and line.points.shape == (SIZE, 2)
        cameras = world.prediction.cameras
        assert cameras is not None
        heights = torch.linspace(-0.9, 0.9, 400, dtype=torch.float64) * RADII[1]
        front = MIDDLE[2] - RADII[2] * (1 - (heights / RADII[1]) ** 2).sqrt()
        exact = torch.stack([torch.zeros_like(heights), heights, front], -1).float()
        exact = world.camera.project(cameras.camera_from_world[index].apply(exact[exact[:, 2] < WALL]))
        nearest = torch.cdist(exact, line.points).amin(1)
        assert nearest.max() < 1.2, "no farther than the next of its points"
        between = torch.cdist(line.points[8:-8], exact).amin(1)
        assert between.max() < 0.3, "and the line does not leave the mid-plane"


def test_the_line_is_hidden_where_the_object_stands_before_it(world: World) -> None:
    prediction = one(world.prediction, 0)
    assert prediction.cameras is not None and prediction.depth is not None
    line = symmetry_line(prediction)
    assert line is not None and line.visible[10:22].all()
    nearer = replace(prediction, depth=prediction.depth - 0.1)
    hidden = symmetry_line(nearer)
    assert hidden is not None and not hidden.visible.any()
    away = Rigid.about(torch.tensor(MIDDLE), rotation_from_euler(torch.zeros(1, 3)), torch.tensor([[0.5, 0.0, 0.0]]))
    outside = symmetry_line(replace(prediction, cameras=Cameras(world.camera, away)))
    assert outside is not None and not outside.visible.any()


def test_the_line_is_drawn_where_it_is_seen_only(world: World) -> None:
    line = symmetry_line(one(world.prediction, 0))
    assert line is not None
    photo = np.full((SIZE, SIZE, 3), 90, np.uint8)
    drawn = draw_line(photo, line, world.camera, 128)
    green = drawn[..., 1] > 150
    rows, columns = np.nonzero(green & (np.abs(np.arange(128) - 60) < 30)[:, None])  # away from jumps of depth
    places = np.stack([columns + 0.5, rows + 0.5], 1) / 4
    assert np.linalg.norm(places[:, None] - line.points.numpy()[None], axis=2).min(1).max() < 1.5
    assert green[30:90].any(1).all(), "unbroken along the body"
    hidden = draw_line(photo, line._replace(visible=torch.zeros(SIZE, dtype=torch.bool)), world.camera, 128)
    assert (hidden == 90).all() and LINE_COLOUR[1] == 255


def test_asymmetry_is_red_where_confidence_is_low(world: World) -> None:
    confidence = world.prediction.confidence
    assert confidence is not None
    limits = Limits.of(world.prediction)
    assert limits.unsure == pytest.approx(0.3) and limits.sure == pytest.approx(0.9)
    shown = draw_asymmetry(np.full((SIZE, SIZE, 3), 128, np.uint8), confidence[0], limits, 64).astype(int)
    redness = shown[..., 0] - shown[..., 2]
    assert redness[18:26, 10:18].min() > 80 and np.abs(redness[40:]).max() < 3


def test_constant_confidence_is_not_shown_as_asymmetric() -> None:
    limits = Limits.of(Prediction(confidence=torch.full((1, 8, 8), 0.7)))
    shown = draw_asymmetry(np.full((8, 8, 3), 128, np.uint8), np.full((8, 8), 0.7), limits, 8).astype(int)
    assert np.abs(shown[..., 0] - shown[..., 2]).max() < 3


def test_the_surface_wears_what_is_asked_for(world: World) -> None:
    prediction = one(world.prediction, 0)
    shaded, albedo = surface_of(prediction), surface_of(prediction, "albedo")
    assert shaded is not None and albedo is not None
    assert shaded.mesh.texture is not None and albedo.mesh.texture is not None
    assert shaded.mesh.texture.shape == (256, 256, 3)
    assert (albedo.mesh.texture - shaded.mesh.texture).abs().mean() > 0.02
    photo = world.photos.rgb[0].copy()
    photo.flags.writeable = False  # as of a memory-mapped set
    worn = surface_of(prediction, "photo", photo=photo)
    assert worn is not None and worn.mesh.texture is not None
    assert 0.002 < (worn.mesh.texture - shaded.mesh.texture).abs().mean() < 0.1, "the true reconstruction is similar"
    assert prediction.canonical is not None
    with pytest.raises(ValueError, match="choose the photo or shaded texture"):
        surface_of(replace(prediction, canonical=replace(prediction.canonical, albedo=None)), "albedo")


def test_the_surface_ends_at_the_mask_and_at_steep_bridges(world: World) -> None:
    prediction = one(world.prediction, 0)
    assert prediction.canonical is not None and prediction.canonical.depth is not None
    opacity = (prediction.canonical.depth < WALL - 1e-3).float()
    masked = surface_of(replace(prediction, canonical=replace(prediction.canonical, opacity=opacity)))
    assert masked is not None and len(masked.mesh.vertices) <= opacity.sum() < SIZE * SIZE
    assert masked.mesh.vertices[:, 2].max() < WALL
    whole, trimmed = surface_of(prediction), surface_of(prediction, steepest=math.radians(75))
    assert whole is not None and trimmed is not None
    assert len(whole.mesh.triangles) == 2 * (SIZE - 1) ** 2
    assert 0 < len(whole.mesh.triangles) - len(trimmed.mesh.triangles) < 400


def test_a_prediction_without_a_mesh_gets_the_surface_of_its_depth(world: World) -> None:
    prediction = replace(one(world.prediction, 0), mesh=None)
    canonical = surface_of(prediction)
    assert canonical is not None and canonical.camera_from_object.rotation.shape == (3, 3)
    seen = surface_of(replace(prediction, canonical=None))
    assert seen is not None and torch.equal(seen.camera_from_object.rotation, torch.eye(3))
    assert prediction.depth is not None and len(seen.mesh.vertices) <= prediction.depth.isfinite().sum()
    assert surface_of(Prediction(rgb=torch.zeros(1, 8, 8, 3))) is None


def test_a_look_shows_what_there_is(world: World) -> None:
    pictures = look_at(world).pictures
    assert tuple(pictures) == PICTURES
    assert all(picture.dtype == np.uint8 and picture.shape[2] == 3 for picture in pictures.values())
    bare = look_at(world, albedo=None, confidence=None, light=None, mesh=None, cameras=None, canonical=None)
    assert tuple(bare.pictures) == ("photo", "reconstruction", "depth", "normals", "shading")
    with pytest.raises(ValueError, match="no picture called 'colour'; there are photo, "):
        bare.picture("colour")


def test_relit_from_the_photos_own_light_is_the_photo(world: World) -> None:
    look = look_at(world)
    light = look.prediction.light
    assert light is not None and look.prediction.depth is not None
    shown = look.relit(light.direction[0])
    assert shown is not None and shown.shape == (64, 64, 3)
    half = shown.reshape(SIZE, 2, SIZE, 2, 3).mean((1, 3))
    body = (look.prediction.depth[0] < 0.96).numpy()
    assert np.abs(half - look.photo)[body].mean() < 5


def test_turned_shows_the_side_that_turns_into_view(world: World) -> None:
    """The blue patch is on the upper left: turned to face left (positive yaw) it narrows, turned right it widens."""
    look = look_at(world)

    def blue(yaw: float) -> int:
        picture = look.turned(yaw)
        assert picture is not None
        return int(((picture[..., 2] > 120) & (picture[..., 0] < 90)).sum())

    assert blue(math.radians(-40)) > blue(0.0) * 0.8 > blue(math.radians(40))
