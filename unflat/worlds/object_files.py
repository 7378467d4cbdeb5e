"""Textured meshes from files: OBJ with its material and picture, and GLB. Lengths stay the file's, usually metres."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from unflat.geometry.meshes import Mesh, vertex_normals

SUFFIXES = (".obj", ".glb")
BEYOND = 1e-3
"""by which texture coordinates may leave [0, 1]"""


def read_textured(path: Path) -> Mesh:
    """The mesh of a file, in the file's frame and unit, float64, with normals, uv and texture.

    Normals are the file's, or those of the triangles averaged where it has none that can be used. Raises ValueError for
    what is missing, broken, in several pieces or has no texture.
    """
    if not path.is_file():
        raise ValueError(f"there is no file {path}; give the path of a textured OBJ or GLB, or the name of a shape")
    found, world_from_mesh = _loaded(path)
    image, uv = _picture(path, found)
    turn = world_from_mesh[:3, :3]
    vertices = torch.from_numpy(np.asarray(found.vertices, np.float64) @ turn.T + world_from_mesh[:3, 3])
    normals = torch.from_numpy(np.asarray(found.vertex_normals, np.float64) @ np.linalg.inv(turn))
    triangles = torch.tensor(np.asarray(found.faces, np.int32))
    texture = torch.from_numpy(np.asarray(image.convert("RGB"), np.float32) / 255)
    down = torch.from_numpy(np.stack([uv[:, 0], 1 - uv[:, 1]], -1))  # files count v from the picture's lower edge
    return Mesh(vertices, triangles, _mended(vertices, triangles, normals), uv=down.clamp(0, 1), texture=texture)


def _loaded(path: Path) -> tuple[Any, Float[np.ndarray, "4 4"]]:
    """What trimesh makes of the file, vertices as they are, and how it is placed."""
    import trimesh

    try:
        found, placed = trimesh.load(path, process=False), np.eye(4)
        if isinstance(found, trimesh.Scene):
            nodes = list(found.graph.nodes_geometry)
            if len(nodes) != 1:
                raise ValueError(f"it holds {len(nodes)} meshes: join them into one, with one texture")
            placed, name = found.graph[nodes[0]]
            found = found.geometry[name]
    except Exception as error:  # whatever a parser stumbles over in a broken file
        raise ValueError(f"{path} cannot be read as a mesh ({error})") from error
    if not len(found.faces) or not np.isfinite(found.vertices).all():
        raise ValueError(f"{path} holds no triangles, or vertices that are no numbers; give a whole OBJ or GLB")
    return found, np.asarray(placed, np.float64)


def _picture(path: Path, found: Any) -> tuple[Image.Image, Float[np.ndarray, "v 2"]]:
    """The texture of a mesh of trimesh, and its coordinates."""
    image, uv = None, None
    if found.visual.kind == "texture":
        material, uv = found.visual.material, found.visual.uv
        image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    # where a file names no picture, trimesh makes one of four pixels of one colour
    if image is None or uv is None or (image.size == (2, 2) and len(image.getcolors()) == 1):
        raise ValueError(f"{path} has no texture; give a mesh with texture coordinates and a picture beside or in it")
    uv = np.asarray(uv, np.float64)
    if not (uv.min() >= -BEYOND and uv.max() <= 1 + BEYOND):
        raise ValueError(
            f"texture coordinates of {path} reach from {uv.min():.3g} to {uv.max():.3g}; they must lie within 0 and 1, "
            "so bake a texture that comes again into one that does not"
        )
    return image, uv


def _mended(
    vertices: Float[torch.Tensor, "v 3"], triangles: torch.Tensor, normals: Float[torch.Tensor, "v 3"]
) -> Float[torch.Tensor, "v 3"]:
    """Unit normals; those that are no directions come from the triangles around the place, also across seams."""
    length = normals.norm(dim=-1, keepdim=True)
    usable = length.isfinite() & (length > 1e-6)
    places, own = np.unique(vertices.numpy(), axis=0, return_inverse=True)
    of_place = torch.from_numpy(own.reshape(-1))
    averaged = vertex_normals(torch.from_numpy(places), of_place[triangles.long()])[of_place]
    return torch.where(usable, normals / length, averaged)
