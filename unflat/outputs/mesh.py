"""Meshes for other programs: GLB, PLY and OBJ.

Inside, a mesh stands in an OpenCV frame (x right, y down, z forward) in the method's unit. Files hold glTF's frame:
y up, z towards the viewer, one metre about the width of the object, its middle at the origin (`Placement`). Both frames
are right-handed, so triangles keep their winding: counter-clockwise seen from outside.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
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
from unflat.geometry.meshes import Mesh, vertex_normals
from unflat.geometry.rotations import Rigid
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


def vertex_colours(mesh: Mesh) -> Float[Tensor, "v 3"] | None:
    """The mesh's colours, or its texture's at the vertices; None if it has neither."""
    if mesh.colours is not None or mesh.texture is None or mesh.uv is None:
        return mesh.colours
    picture = mesh.texture.permute(2, 0, 1)[None].to(mesh.uv)
    place = (mesh.uv * 2 - 1)[None, None]
    sampled = grid_sample(picture, place, mode="bilinear", padding_mode="border", align_corners=False)
    return sampled[0, :, 0].T


def write_glb(path: Path, mesh: Mesh, *, lit: bool = True, about: dict[str, Any] | None = None) -> Path:
    """One binary glTF 2.0 file with normals and an embedded texture, or vertex colours if the mesh has no texture.

    With `lit` the viewer's light falls on a matt material, right for an albedo; without, colours are shown as they are
    (KHR_materials_unlit), right for a texture that holds its light already. `about` goes into `asset.extras`.
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

    scene = trimesh.Scene(_trimesh(mesh, _matt()))
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
