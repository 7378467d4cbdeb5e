"""Meshes for other programs: GLB, PLY and OBJ.

The mesh of a photo stands in an OpenCV frame (x right, y down, z forward) in the method's unit. Its files hold glTF's
frame: y up, z towards the viewer, one metre about the width of the object, its middle at the origin (`Placement`). The
mesh of a capture stands in the scene's frame. Its files hold the numbers of the capture's own world, in metres if that
is (`in_world`); a GLB says beside them which way is up. All frames are right-handed, so triangles keep their winding:
counter-clockwise seen from outside.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn.functional import grid_sample
from trimesh.exchange.gltf import export_glb
from trimesh.exchange.obj import export_obj
from trimesh.exchange.ply import export_ply
from trimesh.visual.material import PBRMaterial, SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from unflat.geometry.depth import cross
from unflat.geometry.meshes import Mesh, SurfacePoints, vertex_normals
from unflat.geometry.rotations import Rigid
from unflat.geometry.similarities import Similarity, rotation_between
from unflat.outputs.files import write_bytes
from unflat.outputs.images import to_rgb, to_uint8

# two-sided: a relief has no back, and viewers that cull it would show a hole from behind
BARE_MATERIAL = {"doubleSided": True, "pbrMetallicRoughness": {"metallicFactor": 0.0, "roughnessFactor": 1.0}}


@dataclass(frozen=True)
class Placement:
    """How files are placed: x_file = scale * (1, -1, -1) * (x - centre)."""

    centre: tuple[float, float, float]
    """of the mesh's box, in the method's frame and unit"""
    scale: float
    """metres in the file for one unit of the method"""

    @staticmethod
    def around(mesh: Mesh) -> "Placement":
        """The longer of the mesh's width and height becomes one metre, its box's centre the origin."""
        low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
        x, y, z = ((low + high) / 2).tolist()
        return Placement((x, y, z), 1 / max((high - low)[:2].max().item(), 1e-12))

    def place(self, mesh: Mesh) -> Mesh:
        """The mesh in glTF's frame."""
        half_turn = mesh.vertices.new_tensor([1.0, -1.0, -1.0])
        vertices = (mesh.vertices - mesh.vertices.new_tensor(self.centre)) * half_turn * self.scale
        return replace(mesh, vertices=vertices, normals=None if mesh.normals is None else mesh.normals * half_turn)


def slant(mesh: Mesh) -> Float[Tensor, "t"]:
    """Angle in radians between each triangle's normal and the ray to the camera at the frame's origin, 0 to pi.

    A triangle that bridges a jump of depth, from the object to what is behind it, is seen nearly edge-on: near pi / 2.
    """
    a, b, c = mesh.vertices[mesh.triangles.long()].unbind(1)
    normal, sight = cross(b - a, c - a), -(a + b + c)
    cosine = (normal * sight).sum(-1) / (normal.norm(dim=-1) * sight.norm(dim=-1)).clamp_min(1e-30)
    return cosine.clamp(-1, 1).acos()


def posed(mesh: Mesh, camera_from_object: Rigid) -> Mesh:
    """The mesh where the camera sees it: in the camera's frame."""
    normals = None if mesh.normals is None else camera_from_object.turn(mesh.normals)
    return replace(mesh, vertices=camera_from_object.apply(mesh.vertices), normals=normals)


def in_world(mesh: Mesh, world_from_scene: Similarity) -> Mesh:
    """A mesh of the scene's frame in that of the capture's files, in their unit (`Scene.world_from_scene`)."""
    vertices = torch.from_numpy(world_from_scene.apply(_numbers(mesh.vertices))).to(mesh.vertices)
    if mesh.normals is None:
        return replace(mesh, vertices=vertices)
    normals = torch.from_numpy(world_from_scene.turn(_numbers(mesh.normals))).to(mesh.normals)
    return replace(mesh, vertices=vertices, normals=normals)


def vertex_colours(mesh: Mesh) -> Float[Tensor, "v 3"] | None:
    """The mesh's colours, or its texture's at the vertices; None if it has neither."""
    if mesh.colours is not None or mesh.texture is None or mesh.uv is None:
        return mesh.colours
    picture = mesh.texture.permute(2, 0, 1)[None].to(mesh.uv)
    place = (mesh.uv * 2 - 1)[None, None]
    sampled = grid_sample(picture, place, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[0, :, 0].T


def write_glb(
    path: Path,
    mesh: Mesh,
    *,
    lit: bool = True,
    about: dict[str, Any] | None = None,
    up: Sequence[float] | np.ndarray | None = None,
) -> Path:
    """One binary glTF 2.0 file with normals and an embedded texture, or vertex colours if the mesh has no texture.

    With `lit` the viewer's light falls on a matt material, right for an albedo; without, colours are shown as they are
    (KHR_materials_unlit), right for a texture that holds its light already. `about` goes into `asset.extras`. `up` is
    the direction, in the mesh's frame, that viewers shall show upwards: vertices stay as they are, and the node's
    matrix turns it to glTF's y. Of a mesh that is `in_world` it is what the scene's z has become:
    `world_from_scene.turn(np.array([0, 0, 1]))`.
    """
    _check(mesh)

    def finish(tree: dict[str, Any]) -> None:
        tree["asset"]["generator"] = "unflat"
        tree["asset"]["extras"] = about or {}
        for material in tree.setdefault("materials", [dict(BARE_MATERIAL)]):
            material["extensions"] = {} if lit else {"KHR_materials_unlit": {}}
        for primitive in (p for m in tree["meshes"] for p in m["primitives"]):
            primitive["material"] = 0
        if not lit:
            tree["extensionsUsed"] = ["KHR_materials_unlit"]

    scene = trimesh.Scene()
    scene.add_geometry(_trimesh(mesh, _matt()), transform=None if up is None else _upright(up))
    return write_bytes(path, export_glb(scene, include_normals=True, tree_postprocessor=finish))


def write_ply(path: Path, mesh: Mesh) -> Path:
    """A binary PLY with normals and 8-bit vertex colours."""
    _check(mesh)
    colours = vertex_colours(mesh)
    plain = _trimesh(replace(mesh, texture=None, colours=colours), _matt())
    return write_bytes(path, export_ply(plain, vertex_normal=True))


def write_obj(path: Path, mesh: Mesh) -> list[Path]:
    """A Wavefront OBJ with normals; beside it its MTL and its texture, named alike."""
    _check(mesh)
    material = SimpleMaterial(diffuse=[255] * 4, specular=[0, 0, 0, 255], glossiness=0.0)
    material.name = path.stem
    text, beside = export_obj(
        _trimesh(mesh, material), include_normals=True, return_texture=True, mtl_name=f"{path.stem}.mtl", header=None
    )
    written = [write_bytes(path.parent / name, content) for name, content in beside.items()]
    return [write_bytes(path, text.encode()), *written]


def write_points(path: Path, points: SurfacePoints) -> Path:
    """A binary PLY of points with normals and, if they have any, 8-bit colours."""
    if len(points.places) == 0 or not bool(points.places.isfinite().all()):
        raise ValueError(f"{len(points.places)} points, or some that are not finite, cannot be written: draw some anew")
    columns = [_numbers(points.places), _numbers(points.normals)]
    names, kinds = ["x", "y", "z", "nx", "ny", "nz"], ["<f4"] * 6
    if points.colours is not None:
        columns.append(to_uint8(points.colours))
        names, kinds = [*names, "red", "green", "blue"], [*kinds, "u1", "u1", "u1"]
    rows = np.rec.fromarrays([v for column in columns for v in column.T], list(zip(names, kinds, strict=True)))
    spelt = {"<f4": "float", "u1": "uchar"}
    properties = [f"property {spelt[kind]} {name}" for name, kind in zip(names, kinds, strict=True)]
    head = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}", *properties, "end_header", ""]
    return write_bytes(path, "\n".join(head).encode() + rows.tobytes())


def _upright(up: Sequence[float] | np.ndarray) -> Float[np.ndarray, "4 4"]:
    """The turn that takes `up` to y."""
    length = float(np.linalg.norm(up))
    if len(up) != 3 or not np.isfinite(length) or length == 0:
        raise ValueError(f"up is {tuple(up)}; give a direction, three finite numbers that are not all 0")
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_between(up, (0.0, 1.0, 0.0))
    return matrix


def _trimesh(mesh: Mesh, material: PBRMaterial | SimpleMaterial) -> trimesh.Trimesh:
    """The same for trimesh, which counts v up the texture; the material gets the mesh's texture."""
    normals = vertex_normals(mesh.vertices, mesh.triangles) if mesh.normals is None else mesh.normals
    surface = trimesh.Trimesh(
        _numbers(mesh.vertices), _numbers(mesh.triangles), vertex_normals=_numbers(normals), process=False
    )
    if mesh.texture is not None and mesh.uv is not None:
        picture = Image.fromarray(to_rgb(mesh.texture))
        if isinstance(material, PBRMaterial):
            material.baseColorTexture = picture
        else:
            material.image = picture
        uv = _numbers(mesh.uv) * [1.0, -1.0] + [0.0, 1.0]
        surface.visual = TextureVisuals(uv=uv, material=material)
    elif mesh.colours is not None:
        surface.visual.vertex_colors = to_uint8(mesh.colours)
    return surface


def _matt() -> PBRMaterial:
    return PBRMaterial(name="surface", metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True)


def _numbers(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()


def _check(mesh: Mesh) -> None:
    if len(mesh.triangles) == 0:
        raise ValueError("the mesh has no triangles: nothing to write; is its mask empty, or its trimming too strict?")
    if not bool(mesh.vertices.isfinite().all()):
        raise ValueError(
            "the mesh has vertices that are NaN or infinite; drop their triangles first (outputs.mesh.only)"
        )
