"""Every triangle asks every pixel: the slow and obvious version of `unflat.kernels.visible_triangles`."""

import numpy as np

from unflat.kernels.visible_triangles import EDGE, THIN


def depth_of_triangles(corners: np.ndarray, triangles: np.ndarray, height: int, width: int) -> np.ndarray:
    """Depth of every triangle at every pixel centre [t, h, w], inf where it does not cover it.

    `corners` [v, 3] holds u, v and depth. Depth is that of the ray's meeting point with the triangle's plane in space,
    found by solving for the plane and not by 1/z on the screen, within the range of the corners' depths.
    """
    depth = np.full((len(triangles), height, width), np.inf)
    corners = np.asarray(corners, np.float64)
    for t, triangle in enumerate(triangles):
        corner = corners[triangle]
        area = np.linalg.det(np.column_stack([corner[:, :2], np.ones(3)]))
        if not abs(area) >= THIN or not np.all(corner[:, 2] > 0):
            continue
        points = np.column_stack([corner[:, 0], corner[:, 1], np.ones(3)]) * corner[:, 2:]  # of the pinhole with K = 1
        plane = np.linalg.solve(points, np.ones(3))  # plane . x = 1
        for row in range(height):
            for column in range(width):
                point = np.array([column + 0.5, row + 0.5])
                if covers(corner[:, :2], area, point):
                    nearness = max(plane @ [*point, 1], 1e-30)  # a ray that meets the plane behind the camera: far
                    depth[t, row, column] = np.clip(1 / nearness, corner[:, 2].min(), corner[:, 2].max())
    return depth


def covers(corner: np.ndarray, area: float, point: np.ndarray) -> bool:
    """Whether a point is inside each edge of a triangle [3, 2] of twice this signed area, or outside by at most EDGE
    along its row or column and at most EDGE of the triangle's height over that edge."""
    for k in range(3):
        (du, dv), (x, y) = corner[(k + 1) % 3] - corner[k], point - corner[k]
        outside = -np.sign(area) * (du * y - dv * x)
        if outside > EDGE * max(abs(du), abs(dv)) or outside > EDGE * abs(area):
            return False
    return True
