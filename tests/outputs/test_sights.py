"""What a camera sees of two balls: closed forms say which points, and where pixels are not to be trusted."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from unflat.data.kinds import Capture, Scene
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens
from unflat.geometry.meshes import Mesh
from unflat.outputs.paths import looking
from unflat.outputs.sights import GRAZING, cameras_that_see, looked_at, sight_of, trusted, unhidden
from unflat.outputs.surfaces import surface_of

SIZE, DISTANCE, RADIUS = 96, 4.0, 0.6
CAMERA = Pinhole(180.0, 180.0, SIZE / 2, SIZE / 2, SIZE, SIZE)


def globe(middle: tuple[float, float, float] = (0.0, 0.0, 0.0), radius: float = RADIUS, cells: int = 16) -> Mesh:
    centre = torch.tensor(middle)
    low, high = (centre - 1.1 * radius).tolist(), (centre + 1.1 * radius).tolist()
    return surface_of(lambda points: (points - centre).norm(dim=-1) - radius, [*low, *high], cells, 0.0, "below")


def joined(one: Mesh, other: Mesh) -> Mesh:
    triangles = torch.cat([one.triangles, other.triangles + len(one.vertices)])
    return Mesh(torch.cat([one.vertices, other.vertices]), triangles)


def seen_from(*directions: tuple[float, float, float], camera: Pinhole = CAMERA, channels: int = 3) -> Capture:
    """Grey pictures from these sides, opaque."""
    out = np.array(directions, np.float64)
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    pixels = np.full((len(out) * camera.width * camera.height, channels), 128, np.uint8)
    pixels[:, 3:] = 255
    names = [str(number) for number in range(len(out))]
    return Capture(pixels, [camera] * len(out), looking(DISTANCE * out, -out, (0.0, 0.6, -0.8)), names, Scene())


def spots(count: int = 4000) -> tuple[Tensor, Tensor]:
    """Points all over the globe, and its normals there."""
    normals = torch.randn(count, 3, generator=torch.Generator().manual_seed(0))
    normals = normals / normals.norm(dim=-1, keepdim=True)
    return RADIUS * normals, normals


def test_of_a_ball_what_faces_the_camera_is_seen() -> None:
    capture, (points, normals) = seen_from((1.0, 0.2, 0.1)), spots()
    sight = sight_of(globe(), capture, 0)
    seen = looked_at(sight, points, normals)
    to_eye = torch.from_numpy(capture.viewpoints.centres[0]).float() - points
    cosine = (to_eye * normals).sum(-1) / to_eye.norm(dim=-1)
    assert torch.equal(seen.which, (cosine > GRAZING).nonzero()[:, 0])
    assert torch.allclose(seen.cosine, cosine[seen.which], atol=1e-4)
    assert unhidden(sight, seen).all()


def test_cameras_are_counted() -> None:
    sides = [(1.0, 0.0, 0.1), (-1.0, 0.0, 0.1), (0.0, 1.0, 0.1), (0.3, 0.2, 1.0)]
    capture, ball = seen_from(*sides), globe()
    middle = ball.vertices[ball.triangles.long()].mean(1)
    to_eye = torch.from_numpy(capture.viewpoints.centres).float()[:, None] - middle
    cosine = (to_eye * middle).sum(-1) / to_eye.norm(dim=-1) / middle.norm(dim=-1)
    least, most = (cosine > GRAZING + 0.1).sum(0), (cosine > GRAZING - 0.1).sum(0)
    count = cameras_that_see(ball, capture)
    assert count.shape == (len(ball.triangles),)
    assert ((count >= least) & (count <= most)).float().mean() > 0.99, "but for slivers"
    assert count.min() == 0 and count.max() == 3


def test_what_stands_behind_is_not_seen() -> None:
    front, back = globe((1.5, 0.0, 0.0), 0.3), globe()
    both, capture = joined(front, back), seen_from((1.0, 0.0, 0.0))
    count, alone = cameras_that_see(both, capture)[len(front.triangles) :], cameras_that_see(back, capture)
    middle = back.vertices[back.triangles.long()].mean(1)
    aside = middle[:, 1:].norm(dim=-1) / (DISTANCE - middle[:, 0])  # tangent of the angle to the camera's axis
    edge = 0.3 / math.sqrt((DISTANCE - 1.5) ** 2 - 0.3**2)
    facing = (alone == 1) & (middle[:, 0] > 0)
    assert (count[facing & (aside < edge - 0.02)] == 0).all() and (count[facing & (aside > edge + 0.02)] == 1).all()


def test_outlines_are_not_trusted() -> None:
    """Beside the ball's outline, and on both sides of that of a ball before it."""
    both, capture = joined(globe((1.5, 0.0, 0.0), 0.3), globe(radius=0.9)), seen_from((1.0, 0.0, 0.0))
    sight = sight_of(both, capture, 0)
    row, column = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    away = torch.hypot(row - SIZE / 2, column - SIZE / 2)
    front, back = (180 * r / math.sqrt(d * d - r * r) for r, d in ((0.3, 2.5), (0.9, 4.0)))
    for outline in (front, back):
        assert sight.trust[(away - outline).abs() < 0.4].max() == 0
        assert sight.trust[(away > outline - 1.5) & (away < outline)].max() < 0.3
    assert sight.trust[away > back].max() == 0
    assert sight.trust[away < front - 5.5].min() > 0.95
    assert sight.trust[(away > front + 5.5) & (away < front + 8)].min() > 0.95


def test_transparent_and_masked_pixels_are_not_trusted() -> None:
    capture = seen_from((1.0, 0.0, 0.0), channels=4)
    picture = capture.picture(0)
    picture[:, : SIZE // 2, 3] = 0
    sight = sight_of(globe(), capture, 0)
    assert sight.trust[:, : SIZE // 2].max() == 0 and sight.trust[:, SIZE // 2 + 4 :].max() > 0.95
    assert (sight.picture[:, : SIZE // 2] == 0).all()
    masked = Capture(**{**seen_from((1.0, 0.0, 0.0)).__dict__, "mask": picture[..., 3].reshape(-1) > 0})
    masked = Capture(**{k: v for k, v in masked.__dict__.items() if k != "first"})
    assert torch.equal(sight_of(globe(), masked, 0).trust, sight.trust)


def test_a_smaller_picture_is_the_mean() -> None:
    capture = seen_from((1.0, 0.0, 0.0))
    capture.picture(0)[::2] = 0
    sight = sight_of(globe(), capture, 0, shrink=2.0)
    assert sight.camera.width == SIZE // 2 and sight.depth.shape == sight.trust.shape == (SIZE // 2, SIZE // 2)
    assert torch.allclose(sight.picture[..., :3], torch.tensor(64 / 255), atol=1e-6)


@pytest.mark.parametrize("k1", [0.0, -0.6])
def test_lenses_bend(k1: float) -> None:
    """The points of a ball land where its depth is drawn; none comes back into the picture where the formula folds."""
    wide = Lens(60.0, 60.0, SIZE / 2, SIZE / 2, SIZE, SIZE, "opencv", (k1,))
    capture = seen_from((1.0, 0.0, 0.0), camera=wide)
    points, normals = spots()
    aside = points + torch.tensor([0.0, 1.5, 0.0])
    sight = sight_of(globe((0.0, 1.5, 0.0)), capture, 0)
    seen = looked_at(sight, aside, normals)
    assert len(seen.which) > 100 and unhidden(sight, seen).float().mean() > 0.95 and trusted(sight, seen).max() > 0.9
    beyond = looked_at(sight, aside + torch.tensor([0.0, 7.0, 0.0]), -normals)
    assert len(beyond.which) == 0
