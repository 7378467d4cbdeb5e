"""GLB, PLY and OBJ, read back by a reader written here from the glTF 2.0 specification alone."""

import json
import math
import struct
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from unflat.geometry.cameras import Pinhole
from unflat.geometry.meshes import Mesh, SurfacePoints, only, relief_mesh, vertex_normals
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.geometry.similarities import Similarity
from unflat.outputs.mesh import (
    Placement,
    in_world,
    posed,
    slant,
    vertex_colours,
    write_glb,
    write_obj,
    write_ply,
    write_points,
)
from unflat.outputs.texture import smooth_texture

COMPONENTS = {5121: np.uint8, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
SIZE = 24
CAMERA = Pinhole.across_centres(SIZE, math.radians(10))


def read_glb(path: Path) -> tuple[dict[str, Any], bytes]:
    """JSON and binary chunk; the container's own rules are asserted."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON" and size % 4 == 0
    tree = json.loads(content[20 : 20 + size])
    binary_size, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert kind == b"BIN\0" and binary_size % 4 == 0 and 28 + size + binary_size == length
    return tree, content[28 + size :]


def view(tree: dict[str, Any], binary: bytes, index: int) -> bytes:
    part = tree["bufferViews"][index]
    start = part.get("byteOffset", 0)
    assert start + part["byteLength"] <= len(binary)
    return binary[start : start + part["byteLength"]]


def accessor(tree: dict[str, Any], binary: bytes, index: int) -> np.ndarray:
    held = tree["accessors"][index]
    width = WIDTHS[held["type"]]
    values = np.frombuffer(view(tree, binary, held["bufferView"]), COMPONENTS[held["componentType"]])
    values = values[: held["count"] * width].reshape(held["count"], width)
    assert np.allclose(values.min(0), held["min"]) and np.allclose(values.max(0), held["max"])
    return values


def primitive(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray, dict[str, Any], Image.Image | None]:
    """Attributes, triangles, material and texture of a file's only surface."""
    tree, binary = read_glb(path)
    assert tree["asset"]["version"] == "2.0" and "scene" in tree
    ((surface,),) = [mesh["primitives"] for mesh in tree["meshes"]]
    assert surface.get("mode", 4) == 4
    assert all("matrix" not in node or np.allclose(node["matrix"], np.eye(4).ravel()) for node in tree["nodes"])
    attributes = {name: accessor(tree, binary, index) for name, index in surface["attributes"].items()}
    triangles = accessor(tree, binary, surface["indices"]).reshape(-1, 3)
    assert triangles.max() < len(attributes["POSITION"])
    material = tree["materials"][surface["material"]]
    texture = None
    if "baseColorTexture" in material.get("pbrMetallicRoughness", {}):
        source = tree["textures"][material["pbrMetallicRoughness"]["baseColorTexture"]["index"]]["source"]
        texture = Image.open(BytesIO(view(tree, binary, tree["images"][source]["bufferView"])))
    return attributes, triangles, material, texture


@pytest.fixture
def dome() -> Mesh:
    """A dome towards the camera, red on its left half, green on its right one, black in its top rows."""
    x, y, _ = (CAMERA.rays() / 0.0875).unbind(-1)
    depth = 1.02 - 0.05 * (1 - (x * x + y * y) / 2.2)
    texture = torch.stack([(x < 0).float(), (x > 0).float(), torch.zeros_like(x)], -1)
    texture[:4] = 0
    return relief_mesh(depth, CAMERA, smooth_texture(texture))


def test_positions_are_y_up_towards_the_viewer_and_one_metre_wide(dome: Mesh, tmp_path: Path) -> None:
    placement = Placement.around(dome)
    path = write_glb(tmp_path / "a.glb", placement.place(dome))
    positions = primitive(path)[0]["POSITION"]
    assert np.allclose(positions.max(0)[:2] - positions.min(0)[:2], 1, atol=1e-5)
    assert np.abs(positions.max(0) + positions.min(0)).max() < 1e-5
    expected = placement.scale * (dome.vertices.numpy() - placement.centre) * [1, -1, -1]
    assert np.abs(positions - expected).max() < 1e-5
    assert positions[0, 0] < 0 < positions[0, 1]  # the photo's first pixel, top left
    middle = positions[np.abs(positions[:, :2]).sum(1).argmin()]
    assert middle[2] == pytest.approx(positions[:, 2].max(), abs=1e-2)  # the dome's top is nearest to the viewer


def test_triangles_wind_outwards_and_agree_with_the_normals(dome: Mesh, tmp_path: Path) -> None:
    attributes, triangles, _, _ = primitive(write_glb(tmp_path / "a.glb", Placement.around(dome).place(dome)))
    a, b, c = (attributes["POSITION"][triangles[:, k]].astype(np.float64) for k in range(3))
    faces = np.cross(b - a, c - a)
    assert (faces[:, 2] > 0).all(), "counter-clockwise seen from the viewer"
    assert np.allclose(np.linalg.norm(attributes["NORMAL"], axis=1), 1, atol=1e-5)
    assert ((faces[:, None] * attributes["NORMAL"][triangles]).sum(-1) > 0).all()


def test_the_texture_lies_where_the_pixels_were(dome: Mesh, tmp_path: Path) -> None:
    attributes, _, _, texture = primitive(write_glb(tmp_path / "a.glb", Placement.around(dome).place(dome)))
    assert texture is not None and texture.size[0] >= 256 and texture.size[0] >= 4 * SIZE
    texels = np.asarray(texture.convert("RGB"))
    uv = attributes["TEXCOORD_0"]  # glTF: (0, 0) is the upper left corner of the image
    assert np.allclose(uv[0], 0.5 / SIZE, atol=1e-6)
    seen = texels[(uv[:, 1] * texels.shape[0]).astype(int), (uv[:, 0] * texels.shape[1]).astype(int)]
    x, y = attributes["POSITION"][:, 0], attributes["POSITION"][:, 1]
    body = y < 0.25
    assert (seen[body & (x < -0.06)] == [255, 0, 0]).all() and (seen[body & (x > 0.06)] == [0, 255, 0]).all()
    assert seen[y > 0.4].max() == 0


def test_a_shaded_texture_is_unlit_and_an_albedo_is_matt(dome: Mesh, tmp_path: Path) -> None:
    shaded = write_glb(tmp_path / "shaded.glb", dome, lit=False, about={"photo": "x.jpg"})
    tree, _ = read_glb(shaded)
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"] and tree["asset"]["extras"] == {"photo": "x.jpg"}
    assert "KHR_materials_unlit" in primitive(shaded)[2]["extensions"]
    albedo = write_glb(tmp_path / "albedo.glb", dome, lit=True)
    assert "extensionsUsed" not in read_glb(albedo)[0]
    material = primitive(albedo)[2]
    assert material["pbrMetallicRoughness"]["metallicFactor"] == 0
    assert material["pbrMetallicRoughness"]["roughnessFactor"] == 1 and material["doubleSided"]


def test_a_mesh_without_texture_keeps_its_vertex_colours(dome: Mesh, tmp_path: Path) -> None:
    coloured = replace(dome, texture=None, colours=vertex_colours(dome))
    attributes, _, material, texture = primitive(write_glb(tmp_path / "a.glb", coloured))
    assert texture is None and material["pbrMetallicRoughness"]["metallicFactor"] == 0
    expected = (np.asarray(coloured.colours) * 255).round()
    assert np.abs(attributes["COLOR_0"][:, :3].astype(float) - expected).max() <= 1


def test_ply_holds_colours_and_normals(dome: Mesh, tmp_path: Path) -> None:
    read = trimesh.load(write_ply(tmp_path / "a.ply", dome), process=False)
    assert np.allclose(read.vertices, dome.vertices, atol=1e-6) and np.array_equal(read.faces, dome.triangles)
    assert b"property float nx" in (tmp_path / "a.ply").read_bytes()[:500]
    colours = np.asarray(read.visual.vertex_colors)[:, :3]
    left = (dome.uv[:, 0] < 0.4) & (dome.uv[:, 1] > 0.3)  # type: ignore[index]
    assert (colours[left.numpy()] == [255, 0, 0]).all()


def test_obj_names_its_material_and_texture(dome: Mesh, tmp_path: Path) -> None:
    names = {path.name for path in write_obj(tmp_path / "shape.obj", dome)}
    assert names == {"shape.obj", "shape.mtl", "shape.png"}
    text, material = (tmp_path / "shape.obj").read_text(), (tmp_path / "shape.mtl").read_text()
    assert "mtllib shape.mtl" in text and "map_Kd shape.png" in material
    assert text.count("\nvn ") == text.count("\nvt ") == len(dome.vertices)
    corner = [float(part) for part in text.split("\nvt ")[1].split("\n")[0].split()]
    assert corner == pytest.approx([0.5 / SIZE, 1 - 0.5 / SIZE], abs=1e-6)  # OBJ counts v upwards


def test_no_depth_no_surface() -> None:
    depth = torch.ones(SIZE, SIZE)
    depth[:, : SIZE // 2] = torch.nan
    mesh = relief_mesh(depth, CAMERA)
    assert len(mesh.vertices) == SIZE * SIZE // 2 and len(mesh.triangles) == 2 * (SIZE - 1) * (SIZE // 2 - 1)
    assert mesh.vertices.isfinite().all() and mesh.uv is not None and mesh.uv[:, 0].min() > 0.5


def test_slant_of_a_wall_is_its_angle_and_bridges_are_nearly_edge_on() -> None:
    across = CAMERA.rays()[..., 0]
    assert slant(relief_mesh(1 / (1 + across), CAMERA)).rad2deg().median().item() == pytest.approx(45, abs=0.5)
    step = torch.ones(SIZE, SIZE)
    step[:, SIZE // 2 :] = 1.2
    mesh = relief_mesh(step, CAMERA)
    kept = only(mesh, slant(mesh) < math.radians(75))
    assert len(mesh.triangles) - len(kept.triangles) == 2 * (SIZE - 1)
    assert len(kept.vertices) == SIZE * SIZE


def test_only_keeps_what_belongs_to_the_vertices() -> None:
    mesh = Mesh(
        torch.arange(15.0).view(5, 3),
        torch.tensor([[0, 1, 2], [2, 3, 4]]),
        colours=torch.arange(15.0).view(5, 3),
        uv=torch.arange(10.0).view(5, 2),
    )
    kept = only(mesh, torch.tensor([False, True]))
    assert torch.equal(kept.triangles, torch.tensor([[0, 1, 2]]))
    assert torch.equal(kept.vertices, mesh.vertices[2:]) and torch.equal(kept.colours, mesh.vertices[2:])
    assert kept.uv is not None and torch.equal(kept.uv, torch.arange(10.0).view(5, 2)[2:])


def test_the_input_pose_moves_normals_with_the_vertices(dome: Mesh) -> None:
    turn = rotation_from_euler(torch.tensor([0.1, 0.5, -0.2]))
    moved = posed(dome, Rigid(turn, torch.tensor([0.1, 0.0, 0.2])))
    fresh = relief_normals(moved)
    assert moved.normals is not None and torch.allclose(moved.normals, fresh, atol=1e-4)


def relief_normals(mesh: Mesh) -> torch.Tensor:
    surface = trimesh.Trimesh(mesh.vertices.numpy(), mesh.triangles.numpy(), process=False)
    faces = surface.face_normals * surface.area_faces[:, None]
    total = np.zeros((len(mesh.vertices), 3))
    for corner in range(3):
        np.add.at(total, mesh.triangles[:, corner].numpy(), faces)
    return torch.tensor(total / np.linalg.norm(total, axis=1, keepdims=True), dtype=torch.float32)


def test_what_cannot_be_written_is_refused(dome: Mesh, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no triangles"):
        write_glb(tmp_path / "a.glb", only(dome, torch.zeros(len(dome.triangles), dtype=torch.bool)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        write_ply(tmp_path / "a.ply", replace(dome, vertices=dome.vertices * torch.nan))
    assert list(tmp_path.iterdir()) == []


def turned_world() -> Similarity:
    """A world in metres, of which a unit of the scene is 0.12, turned and far away."""
    turn = rotation_from_euler(torch.tensor([math.pi / 2, 0.3, 0.0])).double().numpy()
    return Similarity(0.12, turn, np.array([4.0, -2.0, 30.0]))


def a_box() -> Mesh:
    """A coloured box in the scene's frame, 1.0 x 0.5 x 0.25 m in the world; its top (greatest z) is red."""
    sides = np.array([1.0, 0.5, 0.25]) / 0.12
    read = trimesh.creation.box(extents=sides)
    vertices = torch.tensor(read.vertices, dtype=torch.float32)
    triangles = torch.tensor(np.asarray(read.faces), dtype=torch.int32)
    red = torch.stack([(vertices[:, 2] > 0).float(), torch.zeros(8), torch.zeros(8)], -1)
    return Mesh(vertices, triangles, vertex_normals(vertices, triangles), red)


def edges_of(vertices: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Lengths of the edges along the box's sides, sorted; diagonals left out."""
    ends = vertices[np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])]
    lengths = np.unique(np.linalg.norm(ends[:, 0] - ends[:, 1], axis=1).round(4))
    return lengths[np.isin(lengths, [0.25, 0.5, 1.0])]


def test_a_mesh_in_the_world_has_the_places_and_the_size_of_the_capture(tmp_path: Path) -> None:
    """Told by arithmetic on one corner, and by the lengths that every file holds."""
    world, box = turned_world(), a_box()
    mesh = in_world(box, world)
    corner = 0.12 * world.rotation @ box.vertices[0].double().numpy() + [4.0, -2.0, 30.0]
    assert np.allclose(mesh.vertices[0], corner, atol=1e-5)
    assert mesh.normals is not None and torch.allclose(
        mesh.normals, vertex_normals(mesh.vertices, mesh.triangles), atol=1e-5
    )
    back = in_world(mesh, world.inverse)
    assert torch.allclose(back.vertices, box.vertices, atol=1e-4)
    assert torch.equal(mesh.colours, box.colours)  # type: ignore[arg-type]
    written = [write_glb(tmp_path / "a.glb", mesh, up=world.turn(np.array([0.0, 0, 1])))]
    written += [write_ply(tmp_path / "a.ply", mesh), write_obj(tmp_path / "a.obj", mesh)[0]]
    for path in written:
        read = trimesh.load(path, process=False)
        part = next(iter(read.geometry.values())) if isinstance(read, trimesh.Scene) else read
        assert np.abs(part.vertices - mesh.vertices.numpy()).max() < 1e-5, "the numbers are the capture's own"
        assert edges_of(np.asarray(part.vertices), np.asarray(part.faces)).tolist() == [0.25, 0.5, 1.0]
        assert part.volume == pytest.approx(0.125, rel=1e-3) and part.is_winding_consistent


@pytest.mark.parametrize("up", [(0.0, -1.0, 0.0), (0.0, 0.0, 2.0), (0.0, 3.0, 0.0), (0.3, -0.2, 0.8)])
def test_viewers_show_a_capture_upright(up: tuple[float, float, float], tmp_path: Path) -> None:
    """The node's matrix, in glTF's order of columns, turns `up` to y: only turns, and mirrors nothing."""
    tree, _ = read_glb(write_glb(tmp_path / "a.glb", a_box(), up=up))
    (node,) = [node for node in tree["nodes"] if "mesh" in node]
    matrix = np.array(node.get("matrix", np.eye(4).ravel())).reshape(4, 4).T
    assert np.allclose(matrix[:3, :3] @ up / np.linalg.norm(up), [0, 1, 0], atol=1e-6)
    assert np.allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-6)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
    assert np.allclose(matrix[:3, 3], 0) and np.allclose(matrix[3], [0, 0, 0, 1])
    shown = trimesh.load(tmp_path / "a.glb", process=False).to_geometry()
    heights = a_box().vertices.numpy() @ up / np.linalg.norm(up)
    assert np.allclose(shown.vertices[:, 1], heights, atol=1e-5)


def test_without_up_there_is_no_matrix(tmp_path: Path) -> None:
    tree, _ = read_glb(write_glb(tmp_path / "a.glb", a_box()))
    assert all("matrix" not in node or np.allclose(node["matrix"], np.eye(4).ravel()) for node in tree["nodes"])


@pytest.mark.parametrize("up", [(0.0, 0.0, 0.0), (0.0, math.nan, 1.0), (1.0, 0.0)])
def test_up_is_a_direction(up: tuple[float, ...], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="give a direction, three finite numbers"):
        write_glb(tmp_path / "a.glb", a_box(), up=up)
    assert list(tmp_path.iterdir()) == []


def test_points_are_written_with_normals_and_colours(tmp_path: Path, generator: torch.Generator) -> None:
    places = torch.randn(7, 3, generator=generator)
    normals = torch.nn.functional.normalize(torch.randn(7, 3, generator=generator), dim=-1)
    colours = torch.linspace(0, 1, 21).view(7, 3)
    path = write_points(tmp_path / "points.ply", SurfacePoints(places, normals, colours))
    head, rows = path.read_bytes().split(b"end_header\n")
    assert head.decode().splitlines() == [
        "ply", "format binary_little_endian 1.0", "element vertex 7",
        *(f"property float {name}" for name in ("x", "y", "z", "nx", "ny", "nz")),
        *(f"property uchar {name}" for name in ("red", "green", "blue")),
    ]  # fmt: skip
    assert len(rows) == 7 * (6 * 4 + 3)
    fourth = struct.unpack_from("<6f3B", rows, 3 * 27)
    assert np.allclose(fourth[:3], places[3]) and np.allclose(fourth[3:6], normals[3])
    assert fourth[6:] == tuple((colours[3] * 255).round().int().tolist())
    read = trimesh.load(path)
    assert np.allclose(read.vertices, places) and np.abs(read.colors[:, :3] / 255 - colours.numpy()).max() < 0.003


def test_points_may_have_no_colours_but_must_have_places(tmp_path: Path) -> None:
    path = write_points(tmp_path / "points.ply", SurfacePoints(torch.ones(2, 3), torch.ones(2, 3)))
    assert b"red" not in path.read_bytes() and np.allclose(trimesh.load(path).vertices, 1)
    for wrong in (torch.zeros(0, 3), torch.full((2, 3), torch.nan)):
        with pytest.raises(ValueError, match="cannot be written"):
            write_points(tmp_path / "none.ply", SurfacePoints(wrong, wrong))
    assert not (tmp_path / "none.ply").exists()
