"""Textured meshes from files: which way up, what of a file is used, and what is said of files that cannot be."""

from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image
from trimesh.visual.material import PBRMaterial
from trimesh.visual.texture import TextureVisuals

from unflat.rendering.mesh import sample_texture
from unflat.worlds.object_files import read_textured

RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)
PLATE = """
mtllib plate.mtl
usemtl paint
v -1 0 0
v 1 0 0
v 1 0 2
v -1 0 2
vt 0 0
vt 1 0
vt 1 1
vt 0 1
f 1/1 2/2 3/3
f 1/1 3/3 4/4
"""
"""upright, seen from -y: the picture's lower left corner at (-1, 0, 0)"""


def write_plate(folder: Path, obj: str = PLATE) -> Path:
    """A plate with a picture of four colours: red and green above, blue and yellow below."""
    pixels = np.array([[RED, GREEN], [BLUE, YELLOW]], np.uint8).repeat(8, 0).repeat(8, 1)
    Image.fromarray(pixels).save(folder / "plate.png")
    (folder / "plate.mtl").write_text("newmtl paint\nmap_Kd plate.png\n")
    (folder / "plate.obj").write_text(obj)
    return folder / "plate.obj"


def colours_at_vertices(path: Path) -> dict[tuple[int, ...], tuple[int, ...]]:
    """The texture's colour at each vertex, by the vertex's place."""
    mesh = read_textured(path)
    assert mesh.uv is not None and mesh.texture is not None
    colours = (sample_texture(mesh.texture, mesh.uv.float()) * 255).round().int()
    return {
        tuple(place): tuple(colour)
        for place, colour in zip(mesh.vertices.round().int().tolist(), colours.tolist(), strict=True)
    }


def test_the_texture_of_an_obj_is_the_right_way_up(tmp_path: Path) -> None:
    expected = {(-1, 0, 0): BLUE, (1, 0, 0): YELLOW, (1, 0, 2): GREEN, (-1, 0, 2): RED}
    assert colours_at_vertices(write_plate(tmp_path)) == expected


def test_a_glb_has_its_texture_too_whatever_its_scene_does_to_it(tmp_path: Path) -> None:
    """The same plate in glTF's way: v goes down there, and a node moves the mesh."""
    image = Image.open(write_plate(tmp_path).with_name("plate.png"))
    image.load()
    visual = TextureVisuals(np.array([[0, 0], [1, 0], [1, 1], [0, 1]]), PBRMaterial(baseColorTexture=image))
    corners = np.array([[-1.0, 0, 0], [1, 0, 0], [1, 2, 0], [-1, 2, 0]])
    slanted = np.tile([np.sqrt(0.5), 0, np.sqrt(0.5)], (4, 1))
    plate = trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, vertex_normals=slanted, process=False)
    scene = trimesh.Scene()
    quarter = trimesh.transformations.rotation_matrix(np.pi / 2, [0, 0, 1])
    scene.add_geometry(plate, transform=trimesh.transformations.translation_matrix([5, 0, 0]) @ quarter)
    (tmp_path / "plate.glb").write_bytes(scene.export(file_type="glb"))
    normals = read_textured(tmp_path / "plate.glb").normals
    assert normals is not None
    assert normals[0].tolist() == pytest.approx([0, np.sqrt(0.5), np.sqrt(0.5)])  # turned like the corners
    expected = {(5, -1, 0): BLUE, (5, 1, 0): YELLOW, (3, 1, 0): GREEN, (3, -1, 0): RED}
    assert colours_at_vertices(tmp_path / "plate.glb") == expected


def with_normals(*normals: str) -> str:
    """The plate with normals at its four vertices."""
    lines = "".join(f"vn {normal}\n" for normal in normals)
    plate = PLATE.replace("vt 0 0", f"{lines}vt 0 0")
    for k in range(1, 5):
        plate = plate.replace(f"{k}/{k}", f"{k}/{k}/{k}")
    return plate


def test_normals_of_the_file_are_kept_and_missing_ones_made(tmp_path: Path) -> None:
    mesh = read_textured(write_plate(tmp_path, with_normals("0 -3 4", "0 1 0", "0 0 0", "nan nan nan")))
    assert mesh.normals is not None
    own = {tuple(v): n for v, n in zip(mesh.vertices.int().tolist(), mesh.normals.tolist(), strict=True)}
    assert own[-1, 0, 0] == pytest.approx([0, -0.6, 0.8]) and own[1, 0, 0] == pytest.approx([0, 1, 0])
    assert own[1, 0, 2] == pytest.approx([0, -1, 0]) and own[-1, 0, 2] == pytest.approx([0, -1, 0])


def test_numbers_keep_their_precision(tmp_path: Path) -> None:
    far = PLATE.replace("v -1 0 0", "v -1 1000000.001 0")
    assert read_textured(write_plate(tmp_path, far)).vertices.max().item() == pytest.approx(1000000.001, abs=1e-9)


def test_a_file_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*no.obj; give the path of a textured OBJ or GLB"):
        read_textured(tmp_path / "no.obj")


def test_a_mesh_without_a_texture(tmp_path: Path) -> None:
    path = write_plate(tmp_path, PLATE.replace("mtllib plate.mtl", "").replace("usemtl paint", ""))
    with pytest.raises(ValueError, match=r"plate.obj has no texture; give a mesh with texture coordinates and a pic"):
        read_textured(path)


def test_a_file_with_several_meshes(tmp_path: Path) -> None:
    scene = trimesh.Scene([trimesh.creation.box(), trimesh.creation.box(transform=np.diag([2.0, 2, 2, 1]))])
    (tmp_path / "two.glb").write_bytes(scene.export(file_type="glb"))
    with pytest.raises(ValueError, match=r"two.glb cannot be read as a mesh \(it holds 2 meshes: join them into one"):
        read_textured(tmp_path / "two.glb")


def test_a_mesh_of_colours_has_no_texture(tmp_path: Path) -> None:
    (tmp_path / "box.glb").write_bytes(trimesh.Scene([trimesh.creation.box()]).export(file_type="glb"))
    with pytest.raises(ValueError, match=r"box.glb has no texture"):
        read_textured(tmp_path / "box.glb")


def test_a_mesh_without_texture_coordinates(tmp_path: Path) -> None:
    bare = "".join(line for line in PLATE.splitlines(keepends=True) if not line.startswith("vt"))
    for k in range(1, 5):
        bare = bare.replace(f"{k}/{k}", f"{k}")
    with pytest.raises(ValueError, match=r"plate.obj has no texture"):
        read_textured(write_plate(tmp_path, bare))


def test_a_texture_that_comes_again(tmp_path: Path) -> None:
    path = write_plate(tmp_path, PLATE.replace("vt 1 1", "vt 3 1"))
    with pytest.raises(ValueError, match="reach from 0 to 3; they must lie within 0 and 1, so bake a texture that"):
        read_textured(path)


@pytest.mark.parametrize("name", ["broken.obj", "broken.glb"])
def test_broken_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("hello")
    with pytest.raises(ValueError, match=rf"{name} (cannot be read as a mesh|holds no triangles)"):
        read_textured(tmp_path / name)


def test_a_vertex_that_is_no_number(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no triangles, or vertices that are no numbers; give a whole OBJ"):
        read_textured(write_plate(tmp_path, PLATE.replace("v 1 0 2", "v nan 0 2")))
