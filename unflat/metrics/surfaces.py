"""How far two surfaces are from each other: Chamfer distance, F-score and the angle between normals.

All compare points drawn evenly on both, in any unit, each with the nearest point of the other surface. Points lie on
their surface at random, so of two equal ones with n points on an area A a distance of about 0.5 sqrt(A / n) is left:
100,000 points on the sphere of radius 1 lie 0.0056 apart.

`seen_points` says which points a camera sees, so that what no picture shows, such as the hollow of a closed bottle, can
be left out of the comparison.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unflat.geometry.cameras import Cameras
from unflat.geometry.meshes import Mesh, SurfacePoints
from unflat.rendering.mesh import rasterise

STEEPEST = 0.15
"""cosine between a ray and a normal under which a pixel is too long on the surface to say whether a point is seen"""
BEHIND = 1e-3
"""share of its depth by which a point may lie behind what its pixel sees and still be seen: single precision"""


class Apart(NamedTuple):
    """Points of one surface, and the nearest of another's."""

    distance: Float[np.ndarray, "n"]
    """in the points' unit"""
    angle: Float[np.ndarray, "n"]
    """between their normals, radians, from 0 to pi"""


def apart(points: SurfacePoints, others: SurfacePoints) -> Apart:
    """From each point to the nearest of the others. ValueError where there are none, where places are not finite, and
    without scipy."""
    try:
        from scipy.spatial import cKDTree
    except ImportError as error:
        raise ValueError("distances between surfaces need scipy: pip install 'unflat[mesh]'") from error

    for one, said in ((points, "the first"), (others, "the second")):
        if len(one.places) == 0:
            raise ValueError(
                f"{said} surface has no points, so it has no distance to another: draw some, or count it as missed"
            )
        if not one.places.isfinite().all():
            raise ValueError(f"{said} surface has points that are no numbers: is the mesh broken?")
    distance, nearest = cKDTree(others.places.double().numpy()).query(points.places.double().numpy())
    a, b = points.normals.double(), others.normals.double()[torch.from_numpy(nearest)]
    # the arc cosine would lose half of the digits at 0, where most normals are
    angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=1), (a * b).sum(1))
    return Apart(distance, angle.numpy())


def chamfer(ours: Apart, truth: Apart) -> float:
    """The mean of the mean distances in both directions, in the points' unit."""
    return float(ours.distance.mean() + truth.distance.mean()) / 2


def f_score(ours: Apart, truth: Apart, within: float) -> float:
    """The harmonic mean of precision and recall, from 0 to 1: the shares of points that are so near to the other
    surface (Knapitsch et al. 2017, Tanks and Temples)."""
    precision, recall = float((ours.distance < within).mean()), float((truth.distance < within).mean())
    return 2 * precision * recall / max(precision + recall, 1e-12)


def normal_error(ours: Apart, truth: Apart, sides: bool = True) -> float:
    """The mean angle between the normals of nearest points, of both directions, in degrees.

    A surface that faces the wrong way is 180 degrees off; 0 without `sides`, where it does not matter which side is
    outside. At walls so thin that the nearest point may be one of the other side, only that tells anything.
    """
    angles = (one.angle if sides else np.minimum(one.angle, np.pi - one.angle) for one in (ours, truth))
    return float(np.rad2deg(sum(float(angle.mean()) for angle in angles))) / 2


def normal_consistency(ours: Apart, truth: Apart) -> float:
    """The mean of |cos| of the angle between the normals of nearest points, of both directions, from 0 to 1. It does
    not ask which side is outside (Mescheder et al. 2019, Occupancy Networks)."""
    return float(np.abs(np.cos(ours.angle)).mean() + np.abs(np.cos(truth.angle)).mean()) / 2


def chosen(points: SurfacePoints, kept: Bool[Tensor, "n"]) -> SurfacePoints:
    """Some of the points."""
    colours = None if points.colours is None else points.colours[kept]
    return SurfacePoints(points.places[kept], points.normals[kept], colours)


def seen_points(points: SurfacePoints, mesh: Mesh, cameras: Sequence[Cameras]) -> Bool[Tensor, "n"]:
    """Which points of a mesh some camera sees: that lie in its picture, and not behind what their pixel shows of the
    mesh, all in one frame. `cameras` hold one view each.

    Both sides of the mesh hide what is behind them. A view at a grazing angle does not say, so it does not count; nor
    do distances under a pixel's on the surface, so a hollow so thin is taken for seen.
    """
    seen = torch.zeros(len(points.places), dtype=torch.bool)
    for camera in cameras:
        camera_from_world, pinhole = camera.camera_from_world[0], camera.pinhole
        depth = rasterise(camera_from_world.apply(mesh.vertices)[None], mesh.triangles, pinhole).depth[0]
        left = (~seen).nonzero()[:, 0]
        local, normals = camera_from_world.apply(points.places[left]), camera_from_world.turn(points.normals[left])
        z, cosine = local[:, 2], ((local * normals).sum(1) / local.norm(dim=1)).abs()
        pixel = pinhole.project(local)
        size = pixel.new_tensor([pinhole.width, pinhole.height])
        within = (z > 0) & (pixel >= 0).all(1) & (pixel < size).all(1) & (cosine > STEEPEST)
        column, row = pixel[within].long().unbind(1)
        # from the pixel's centre to its corner the surface falls away by so much
        z, cosine = z[within], cosine[within]
        slope = z / min(pinhole.fx, pinhole.fy) / 2**0.5 * (1 - cosine**2).sqrt() / cosine
        seen[left[within]] = z <= depth[row, column] + slope + BEHIND * z
    return seen
