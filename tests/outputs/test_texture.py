"""The photo as a texture, on an ellipsoid whose paint and whose hidden side are known in closed form."""

import math
from dataclasses import replace

import pytest
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unflat.geometry.cameras import Cameras, Pinhole
from unflat.geometry.depth import unproject
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.method import Light, Prediction
from unflat.outputs.displays import surface_of
from unflat.outputs.texture import photo_texture, smooth_texture
from unflat.outputs.video import seen_from

from .conftest import MIDDLE, RADII, WALL, meet, picture

SIZE, FINE = 64, 256
CAMERA = Pinhole.across_centres(SIZE, math.radians(10))
GREY = 0.5
"""the method's own colour, which the paint has nowhere"""
FRONT = Rigid(torch.eye(3).double(), torch.zeros(3).double())


def paint(points: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3"]:
    """Red and green waves that no mirror image has, blue that every mirror image has; nowhere near grey."""
    x, y, _ = points.unbind(-1)
    waves = [0.2 * (90 * x + 40 * y).sin(), 0.15 * (70 * x - 60 * y).cos(), 0.1 * (80 * y).sin()]
    return torch.stack([0.8 + waves[0], 0.2 + waves[1], 0.8 + waves[2]], -1)


def turned_by(yaw: float) -> Rigid:
    turn = rotation_from_euler(torch.tensor([0.0, yaw, 0.0], dtype=torch.float64))
    return Rigid.about(torch.tensor(MIDDLE, dtype=torch.float64), turn, torch.zeros(3, dtype=torch.float64))


def explained(pose: Rigid) -> tuple[Float[Tensor, "s s 3"], Prediction]:
    """The painted ellipsoid's photo, and a prediction that knows its shape but no paint."""
    light = Light(torch.ones(1), torch.zeros(1), torch.tensor([[0.0, 0.0, -1.0]]))
    view, front = picture(CAMERA, pose, light), picture(CAMERA, FRONT, light)
    assert view.depth is not None and front.depth is not None
    points = unproject(view.depth.nan_to_num(1.0), CAMERA)[0].double()
    photo = paint(pose.inverse.apply(points.flatten(0, 1)).view_as(points)).clamp(0, 1).float()
    cameras = Cameras(CAMERA, Rigid(pose.rotation[None].float(), pose.translation[None].float()))
    canonical = Prediction(depth=front.depth, rgb=torch.full((1, SIZE, SIZE, 3), GREY))
    return photo, Prediction(depth=view.depth, cameras=cameras, canonical=canonical)


def facing(points: Float[Tensor, "*b 3"], pose: Rigid) -> Float[Tensor, "*b"]:
    """Cosine between the ellipsoid's normal and the line of sight: an ellipsoid hides just what looks away."""
    normal = (points - points.new_tensor(MIDDLE)) / points.new_tensor(RADII) ** 2
    sight = pose.inverse.translation - points
    return (normal * sight).sum(-1) / normal.norm(dim=-1) / sight.norm(dim=-1)


def texels(pose: Rigid) -> tuple[Float[Tensor, "k l 3"], Bool[Tensor, "k l"], Bool[Tensor, "k l"]]:
    """Every texel's point; whether the photo shows it well, whether it shows only the mirrored point well."""
    points, _ = meet(torch.zeros(3).double(), CAMERA.resized(FINE, FINE).rays().double())
    body = (points[..., 2] < WALL - 1e-3) & (facing(points, FRONT) > 0.45)  # trust begins at the rim
    across = points * points.new_tensor([-1.0, 1.0, 1.0])
    return points, body & (facing(points, pose) > 0.5), body & (facing(points, pose) < 0) & (facing(across, pose) > 0.5)


def psnr(a: Tensor, b: Tensor) -> float:
    return -10 * math.log10((a - b).square().mean().item())


@pytest.mark.parametrize("yaw", [0.9, -0.9])
def test_what_is_seen_wears_the_photo_and_what_is_hidden_its_mirror_image(yaw: float) -> None:
    pose = turned_by(yaw)
    texture = photo_texture(*explained(pose))
    assert texture is not None and texture.shape == (FINE, FINE, 3)
    points, seen, hidden = texels(pose)
    assert seen.sum() > 5000 and hidden.sum() > 1000
    own, mirrored = paint(points), paint(points * points.new_tensor([-1.0, 1.0, 1.0]))
    assert psnr(texture[seen], own[seen]) > 33
    assert psnr(texture[hidden], mirrored[hidden]) > 30
    assert psnr(texture[hidden], own[hidden]) < 20, "the paint is not symmetric"


def test_the_input_pose_gives_the_photo_back() -> None:
    for yaw in (0.0, 0.4, -0.9):
        pose = turned_by(yaw)
        photo, prediction = explained(pose)
        surface = surface_of(prediction, "photo", photo=photo.numpy())
        assert surface is not None and prediction.depth is not None
        shown = torch.from_numpy(seen_from(surface.mesh, surface.camera_from_object, CAMERA)).float() / 255
        points = pose.inverse.apply(unproject(prediction.depth.double(), CAMERA)[0].flatten(0, 1)).view(SIZE, SIZE, 3)
        well = (facing(points, pose) > 0.5) & (facing(points, FRONT) > 0.45) & (points[..., 2] < WALL - 1e-3)
        assert well.sum() > 300 and psnr(shown[well], photo[well]) > 33


def test_what_neither_side_shows_keeps_the_methods_colours() -> None:
    """Seen from far above, the chin is hidden, and so is its mirror image."""
    turn = rotation_from_euler(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    pose = Rigid.about(torch.tensor(MIDDLE, dtype=torch.float64), turn, torch.zeros(3, dtype=torch.float64))
    texture = photo_texture(*explained(pose))
    points, _, _ = texels(pose)
    body = (points[..., 2] < WALL - 1e-3) & (facing(points, FRONT) > 0.45)
    hidden = body & (facing(points, pose) < -0.05)
    assert texture is not None and hidden.sum() > 500
    assert (texture[hidden] - GREY).abs().max() < 0.02


def test_sources_go_over_into_each_other_without_edges() -> None:
    """One colour all over the photo, another all over the method's: no two texels beside each other differ much."""
    _, prediction = explained(turned_by(0.9))
    texture = photo_texture(torch.full((SIZE, SIZE, 3), 0.9), prediction)
    assert texture is not None
    lowest, highest = texture.min().item(), texture.max().item()
    assert lowest == pytest.approx(GREY, abs=0.01) and highest == pytest.approx(0.9, abs=0.01)
    steps = [texture.diff(dim=d).abs().max().item() for d in (0, 1)]
    assert max(steps) < 0.35 * (highest - lowest)


def test_mirrored_colours_suit_the_light_of_their_side() -> None:
    pose = turned_by(0.9)
    photo, prediction = explained(pose)
    assert prediction.canonical is not None
    points, seen, hidden = texels(pose)
    hidden &= facing(points, FRONT) > 0.6  # where nothing but mirrored colours is worn
    assert hidden.sum() > 500
    shading = torch.ones(1, SIZE, SIZE)
    dark = slice(0, SIZE // 2) if hidden[:, : FINE // 2].any() else slice(SIZE // 2, SIZE)
    shading[:, :, dark] = 0.6  # the hidden side's light
    plain = photo_texture(photo, prediction)
    lit = photo_texture(photo, replace(prediction, canonical=replace(prediction.canonical, shading=shading)))
    assert plain is not None and lit is not None
    assert torch.allclose(lit[hidden], 0.6 * plain[hidden], atol=0.02)
    assert torch.allclose(lit[seen], plain[seen], atol=0.02)


def test_a_sharper_photo_gives_a_sharper_texture() -> None:
    """The photo may have more pixels than the prediction; it shows the same."""
    photo, prediction = explained(turned_by(0.0))
    sharp = smooth_texture(photo)
    texture, finer = photo_texture(photo, prediction), photo_texture(sharp, prediction)
    assert texture is not None and finer is not None
    _, seen, _ = texels(turned_by(0.0))
    assert psnr(texture[seen], sharp[seen]) > 33 and psnr(finer[seen], sharp[seen]) > 40


def test_a_relief_with_a_mask_has_colours_up_to_its_rim() -> None:
    photo, prediction = explained(turned_by(0.0))
    canonical = prediction.canonical
    assert canonical is not None and canonical.depth is not None
    opacity = (canonical.depth < WALL - 1e-3).float()
    masked = replace(prediction, canonical=replace(canonical, opacity=opacity))
    surface = surface_of(masked, "photo", photo=photo.numpy())
    assert surface is not None and surface.mesh.texture is not None and surface.mesh.texture.isfinite().all()
    _, seen, _ = texels(turned_by(0.0))
    assert psnr(surface.mesh.texture[seen], smooth_texture(photo)[seen]) > 33


def test_without_a_frontal_picture_the_photo_is_the_texture() -> None:
    photo, prediction = explained(turned_by(0.4))
    surface = surface_of(replace(prediction, canonical=None), "photo", photo=photo.numpy())
    assert surface is not None and surface.mesh.texture is not None
    assert psnr(surface.mesh.texture, smooth_texture(photo)) > 45
    assert photo_texture(photo, replace(prediction, cameras=None)) is None
    with pytest.raises(ValueError, match="give photo="):
        surface_of(prediction, "photo")
