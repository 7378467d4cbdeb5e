"""A mesh from eight sides, in one picture: as it is, or coloured by how many cameras have seen each part of it."""

import math

import numpy as np
import torch
from jaxtyping import Int
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh, triangle_areas
from unflat.geometry.rotations import Rigid
from unflat.outputs.images import to_uint8
from unflat.outputs.paths import looking
from unflat.rendering.mesh import render_mesh

AROUND = 6
"""sides at which it is looked at slightly from above; then come one from above and one from below"""
ELEVATION, STEEP = math.radians(20), math.radians(75)
COLUMNS = 4
FAR = 4.0
"""radii of the mesh, from its middle to the camera"""
ROOM = 1.06
"""of the mesh's radius, in the picture"""
HEADLIGHT = (0.0, 0.0, -1.0)
LEVELS = ((0, "no camera", (0.55, 0.10, 0.45)), (1, "1 or 2", (0.86, 0.20, 0.16)), (3, "3 to 5", (0.95, 0.80, 0.20)),
          (6, "6 or more", (0.30, 0.68, 0.36)))  # fmt: skip
"""least number of cameras, what the legend says, and colour"""
INK = (70, 76, 88)


def sides_picture(mesh: Mesh, side: int = 256, *, light: bool = False) -> np.ndarray:
    """uint8 [h, w, 3]: a mesh of the scene's frame, in which z points up, from eight sides, on white: six around it,
    then from above and from below. Each is `side` pixels wide and high. With `light`, a headlight falls on it."""
    camera, poses = _cameras(mesh, side)
    shown = [
        to_uint8(render_mesh(mesh, poses[k], camera, light=HEADLIGHT if light else None)[0])
        for k in range(len(poses.translation))
    ]
    rows = [np.concatenate(shown[k : k + COLUMNS], 1) for k in range(0, len(shown), COLUMNS)]
    return np.concatenate(rows, 0)


def seen_picture(mesh: Mesh, cameras: Int[Tensor, "t"], side: int = 256) -> np.ndarray:
    """uint8 [h, w, 3]: the same eight sides, each triangle coloured by how many cameras see it, above a legend that
    says for how much of the area. `cameras` is the number for each triangle (`sights.cameras_that_see`)."""
    level = torch.bucketize(cameras, torch.tensor([least for least, _, _ in LEVELS]), right=True) - 1
    colours = mesh.vertices.new_tensor([colour for _, _, colour in LEVELS])[level]
    # every triangle with its own corners, since colours are those of corners
    corners = mesh.triangles.long().flatten()
    own = torch.arange(len(corners), dtype=torch.int32).view(-1, 3)
    normals = None if mesh.normals is None else mesh.normals[corners]
    loose = Mesh(mesh.vertices[corners], own, normals=normals, colours=colours.repeat_interleave(3, 0))
    areas = torch.zeros(len(LEVELS), dtype=torch.double).index_add(0, level, triangle_areas(mesh).cpu())
    picture = sides_picture(loose, side, light=True)
    return np.concatenate([picture, _legend(picture.shape[1], (areas / areas.sum().clamp_min(1e-300)).tolist())], 0)


def _cameras(mesh: Mesh, side: int) -> tuple[Pinhole, Rigid]:
    """A camera that the mesh fits into from every side, and camera_from_scene of the sides."""
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    middle = (low + high) / 2
    radius = float((mesh.vertices - middle).norm(dim=1).max())
    turn = 2 * math.pi * np.arange(AROUND) / AROUND
    turn, up = np.append(turn, [0.0, 0.0]), np.append(np.full(AROUND, ELEVATION), [STEEP, -STEEP])
    out = np.stack([np.cos(up) * np.cos(turn), np.cos(up) * np.sin(turn), np.sin(up)], 1)
    poses = torch.from_numpy(looking(middle.double().numpy() + FAR * radius * out, -out)).float()
    focal = side / 2 * math.sqrt(FAR**2 - ROOM**2) / ROOM  # tangent to a ball of that radius
    pinhole = Pinhole(focal, focal, side / 2, side / 2, side, side)
    return pinhole, Rigid(poses[:, :3, :3], poses[:, :3, 3]).inverse


def _legend(width: int, shares: list[float]) -> np.ndarray:
    """uint8 [h, width, 3]: what the colours mean, and their shares of the area."""
    size = max(6, width // 60)
    canvas = Image.new("RGB", (width, 2 * size + 8), "white")
    pen, font, x, y = ImageDraw.Draw(canvas), ImageFont.load_default(size), 8.0, size + 4.0
    pen.text((x, y), "seen by", fill=INK, font=font, anchor="lm")
    x += pen.textlength("seen by", font=font) + size
    for (_, said, colour), share in zip(LEVELS, shares, strict=True):
        fill = tuple(round(255 * part) for part in colour)
        pen.rectangle([x, y - size / 2, x + size, y + size / 2], fill=fill)
        text = f"{said}: {share:.1%}"
        pen.text((x + 1.5 * size, y), text, fill=INK, font=font, anchor="lm")
        x += 1.5 * size + pen.textlength(text, font=font) + 2 * size
    return np.asarray(canvas)
