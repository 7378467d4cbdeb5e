"""Captures of objects: the sphere in closed form, what two views say of one surface, frames, files, repeatability."""

import json
import math
import re
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from unflat.data.kinds import Capture
from unflat.outputs.video import write_video
from unflat.worlds.object_shapes import BOX, ROUNDING, SPHERE, TORUS
from unflat.worlds.objects import DIAGONAL, Objects
from unflat.worlds.source import CaptureSource, PhotoSource

RADIUS = DIAGONAL / math.sqrt(12)
"""of the sphere whose box has the diagonal"""
SAG = RADIUS * (math.pi / 2 / 64) ** 2 / 3
"""by which its mesh, of 64 steps a quarter turn, lies inside at most"""
ROUNDED = 2e-6
"""single precision, at depths of 3"""


@pytest.fixture(scope="module")
def sphere() -> Capture:
    return Objects("sphere", views=5, size=64, samples=4).capture(progress=False)


def field(capture: Capture, index: int, name: str) -> np.ndarray:
    return capture.picture(index, name)


def rays(capture: Capture, index: int, finer: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A camera's place [3] and its rays [h, w, 3] in the scene's frame, one unit of depth long: written out here."""
    pinhole, pose = capture.pinholes[index], capture.scene_from_camera[index]
    at = (np.arange(pinhole.width * finer) + 0.5) / finer
    u, v = np.meshgrid(at, at)
    in_camera = np.stack([(u - pinhole.cx) / pinhole.fx, (v - pinhole.cy) / pinhole.fy, np.ones_like(u)], -1)
    return pose[:3, 3], in_camera @ pose[:3, :3].T


def points(capture: Capture, index: int) -> np.ndarray:
    """[h, w, 3] in the scene's frame, NaN where nothing is."""
    centre, along = rays(capture, index)
    return centre + field(capture, index, "depth")[..., None] * along


def meets_sphere(centre: np.ndarray, along: np.ndarray, radius: float) -> np.ndarray:
    """Depth at which rays meet a sphere about the origin, NaN where they miss it."""
    a, b, c = (along**2).sum(-1), along @ centre, centre @ centre - radius**2
    inside = b * b - a * c
    return (-b - np.sqrt(np.where(inside >= 0, inside, np.nan))) / a


# Truth


def test_depth_of_the_sphere_is_where_rays_meet_it(sphere: Capture) -> None:
    for index in range(len(sphere)):
        centre, along = rays(sphere, index)
        depth = field(sphere, index, "depth")
        outer, inner = (meets_sphere(centre, along, radius) for radius in (RADIUS, RADIUS - SAG))
        assert np.isfinite(depth[np.isfinite(inner)]).all() and np.isnan(depth[np.isnan(outer)]).all()
        seen = np.isfinite(depth) & np.isfinite(inner)
        assert seen.sum() > 800
        assert (depth >= outer - ROUNDED)[seen].all() and (depth <= inner + ROUNDED)[seen].all()


def test_normals_of_the_sphere_point_away_from_its_middle(sphere: Capture) -> None:
    for index in range(len(sphere)):
        places, normals = points(sphere, index), field(sphere, index, "normals")
        seen = np.isfinite(places[..., 0])
        assert np.array_equal(np.isfinite(normals).all(-1), seen) and np.isnan(normals[~seen]).all()
        in_scene = normals @ sphere.scene_from_camera[index][:3, :3].T
        outwards = places / np.linalg.norm(places, axis=-1, keepdims=True)
        np.testing.assert_allclose(in_scene[seen], outwards[seen], atol=5e-4)


@pytest.mark.parametrize("shape", ["sphere", "torus", "box", "vase"])
def test_normals_are_unit_and_towards_the_camera(shape: str) -> None:
    capture = Objects(shape, views=6, size=48).capture(progress=False)
    for index in range(len(capture)):
        normals, seen = field(capture, index, "normals"), np.isfinite(field(capture, index, "depth"))
        np.testing.assert_allclose(np.linalg.norm(normals[seen], axis=-1), 1, atol=1e-6)
        _, along = rays(capture, index)
        in_scene = normals @ capture.scene_from_camera[index][:3, :3].T
        assert ((in_scene * along).sum(-1)[seen] < 1e-6).all()


def test_normals_that_bend_too_far_are_seen_edge_on(tmp_path: Path) -> None:
    """Averaged over the sharp edges of octahedra, many point away from the camera that sees the side."""
    path = write_solids(tmp_path)
    flat = path.read_text()
    path.write_text(
        "\n".join(re.sub(r"/\d( |$)", r"\1", line) for line in flat.splitlines() if line[:2] != "vn") + "\n"
    )
    capture = Objects(str(path), views=6, size=64).capture(progress=False)
    edge_on = 0
    for index in range(len(capture)):
        seen = np.isfinite(field(capture, index, "depth"))
        _, along = rays(capture, index)
        in_scene = field(capture, index, "normals") @ capture.scene_from_camera[index][:3, :3].T
        cosine = (in_scene * along).sum(-1)[seen] / np.linalg.norm(along[seen], axis=-1)
        assert cosine.max() < 1e-6
        edge_on += (np.abs(cosine) < 1e-6).sum()
    assert edge_on > 5


def test_points_of_all_views_lie_on_the_surface_in_metres() -> None:
    """Unprojected, taken to the world's frame, and put into the equation of the torus and of the rounded box."""

    def off_torus(at: np.ndarray) -> np.ndarray:
        return np.hypot(np.hypot(at[:, 0], at[:, 1]) - TORUS[0], at[:, 2] - TORUS[1]) - TORUS[1]

    def off_box(at: np.ndarray) -> np.ndarray:
        beyond = np.abs(at - [0, 0, BOX[2]]) - (np.array(BOX) - ROUNDING)
        return np.linalg.norm(beyond.clip(min=0), axis=1) + beyond.max(1).clip(max=0) - ROUNDING

    deepest = {"torus": (TORUS[0] + TORUS[1]) * (2 * math.pi / 96) ** 2 / 8, "box": ROUNDING * (math.pi / 128) ** 2 / 3}
    for shape, off in {"torus": off_torus, "box": off_box}.items():
        capture = Objects(shape, views=4, size=48).capture(progress=False)
        for index in range(4):
            places = points(capture, index)[np.isfinite(field(capture, index, "depth"))]
            away = off(capture.scene.world_from_scene.apply(places))
            assert len(away) > 200 and np.abs(away).max() < deepest[shape] + 1e-6


def test_two_views_show_a_point_in_one_colour() -> None:
    """What one camera sees is projected into another: there it has the depth, or is hidden, and the same colour."""
    capture = Objects("vase", views=12, size=160, samples=3).capture(progress=False)
    compared = 0
    for one, other in [(3, 6), (4, 7), (5, 8), (6, 3), (2, 5)]:
        places = points(capture, one)
        seen = np.isfinite(places[..., 0]) & (capture.picture(one)[..., 3] == 255)
        pose, pinhole = capture.scene_from_camera[other], capture.pinholes[other]
        x, y, z = ((places[seen] - pose[:3, 3]) @ pose[:3, :3]).T
        column, row = (pinhole.fx * x / z + pinhole.cx).astype(int), (pinhole.fy * y / z + pinhole.cy).astype(int)
        same = np.abs(field(capture, other, "depth")[row, column] - z) < 0.01
        theirs, ours = capture.picture(other)[row, column].astype(float), capture.picture(one)[seen].astype(float)
        same &= theirs[:, 3] == 255
        difference = np.abs(theirs - ours)[same, :3].max(1)
        compared += len(difference)
        assert np.median(difference) < 6  # pixels do not lie on one another, and edges of blotches differ
    assert compared > 2000


def test_opacity_is_the_share_of_the_pixel_that_is_covered(sphere: Capture) -> None:
    """Of 4 x 4 samples a pixel, those whose ray meets the sphere."""
    for index in range(len(sphere)):
        shares = []
        for radius in (RADIUS - SAG, RADIUS):
            hit = np.isfinite(meets_sphere(*rays(sphere, index, finer=4), radius))
            shares.append(hit.reshape(64, 4, 64, 4).mean((1, 3)))
        opacity = sphere.picture(index)[..., 3] / 255
        assert (opacity >= shares[0] - 0.003).all() and (opacity <= shares[1] + 0.003).all()
        assert ((opacity > 0) & (opacity < 1)).sum() > 80


def test_the_object_has_the_size_it_should_in_the_picture(sphere: Capture) -> None:
    """The outline of a sphere seen from distance d is a circle of radius f r / sqrt(d^2 - r^2) about the middle."""
    focal = 32 / math.tan(math.radians(39.6) / 2)
    assert sphere.pinholes[0].fx == sphere.pinholes[0].fy == pytest.approx(focal)
    outline = focal * RADIUS / math.sqrt(3.2**2 - RADIUS**2)
    at = np.arange(64) + 0.5
    for index in range(len(sphere)):
        opacity = sphere.picture(index)[..., 3] / 255
        assert opacity.sum() == pytest.approx(math.pi * outline**2, rel=0.003)
        assert (opacity.sum(0) @ at / opacity.sum(), opacity.sum(1) @ at / opacity.sum()) == pytest.approx(
            (32, 32), abs=0.02
        )


def test_cameras_look_at_the_object_from_where_they_say(sphere: Capture) -> None:
    pose = sphere.scene_from_camera
    np.testing.assert_allclose(
        pose[:, :3, :3].swapaxes(1, 2) @ pose[:, :3, :3], np.tile(np.eye(3), (5, 1, 1)), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(pose[:, :3, :3]), 1)
    np.testing.assert_allclose(pose[:, :3, 3] + 3.2 * pose[:, :3, 2], 0, atol=1e-12)
    assert (pose[:, 2, 1] < 0).all() and np.allclose(pose[:, 2, 0], 0)  # y down, x level


def test_training_cameras_are_spread_evenly() -> None:
    capture = Objects("sphere", views=100, size=8, samples=1).capture(progress=False)
    places = capture.scene_from_camera[:, :3, 3] / 3.2
    np.testing.assert_allclose(places.mean(0), 0, atol=0.02)
    apart = np.linalg.norm(places[:, None] - places, axis=-1) + 9 * np.eye(100)
    assert apart.min(1).min() > 0.2 and apart.min(1).max() < 0.45  # 100 even patches are 0.35 wide


# Objects from files

SOLIDS = np.array([[10.0, -4.0, 2.0], [11, -4, 2], [10, -3.2, 2], [10, -4, 2.6], [11, -3.2, 2.6]])
"""where small solids stand, in metres"""
REACH = 0.05
"""from their middles to their corners"""


def write_solids(folder: Path, colour: int = 200) -> Path:
    """An OBJ of octahedra about these places, in one grey, each side flat."""
    Image.fromarray(np.full((16, 16, 3), colour, np.uint8)).save(folder / "grey.png")
    (folder / "grey.mtl").write_text("newmtl grey\nmap_Kd grey.png\n")
    signs = list(product((1, -1), repeat=3))
    lines = ["mtllib grey.mtl", "usemtl grey", "vt 0.2 0.2", "vt 0.8 0.2", "vt 0.5 0.8"]
    lines += [f"vn {x} {y} {z}" for x, y, z in signs]
    for number, place in enumerate(SOLIDS):
        corners = [place + sign * REACH * axis for axis in np.eye(3) for sign in (1, -1)]
        lines += ["v " + " ".join(f"{value:.9f}" for value in corner) for corner in corners]
        for side, of_axes in enumerate(signs):
            own = [6 * number + 2 * axis + (sign < 0) + 1 for axis, sign in enumerate(of_axes)]
            lines.append("f " + " ".join(f"{corner}/{k + 1}/{side + 1}" for k, corner in enumerate(own)))
    (folder / "solids.obj").write_text("\n".join(lines) + "\n")
    return folder / "solids.obj"


def test_known_places_are_seen_where_the_camera_projects_them(tmp_path: Path) -> None:
    """The middle of each solid's blot is the projection of its middle, with pixel centres at +0.5."""
    objects = Objects(str(write_solids(tmp_path)), views=6, size=120, samples=5)
    capture = objects.capture(progress=False)
    middles = capture.scene.world_from_scene.inverse.apply(SOLIDS)
    at, compared = np.arange(120) + 0.5, 0
    for index in range(len(capture)):
        pose, pinhole = capture.scene_from_camera[index], capture.pinholes[index]
        x, y, z = ((middles - pose[:3, 3]) @ pose[:3, :3]).T
        spots = np.stack([pinhole.fx * x / z + pinhole.cx, pinhole.fy * y / z + pinhole.cy], -1)
        opacity = capture.picture(index)[..., 3] / 255
        for number, (u, v) in enumerate(spots):
            if np.delete(np.linalg.norm(spots - [u, v], axis=1), number).min() < 18:
                continue  # another is before or behind it
            near = opacity * (np.abs(at - u) < 9)[None, :] * (np.abs(at - v) < 9)[:, None]
            assert near.sum() > 8
            assert near.sum(0) @ at / near.sum() == pytest.approx(u, abs=0.06)
            assert near.sum(1) @ at / near.sum() == pytest.approx(v, abs=0.06)
            compared += 1
    assert compared > 15


def test_the_mesh_comes_back_in_metres_and_in_its_place(tmp_path: Path) -> None:
    objects = Objects(str(write_solids(tmp_path)), views=1, size=8)
    mesh, scene = objects.mesh(), objects.capture(progress=False).scene
    own = scene.world_from_scene.apply(mesh.vertices.numpy())
    np.testing.assert_allclose(own.min(0), SOLIDS.min(0) - REACH, atol=1e-6)
    np.testing.assert_allclose(own.max(0), SOLIDS.max(0) + REACH, atol=1e-6)
    away = np.linalg.norm(own[:, None] - SOLIDS, axis=-1)
    np.testing.assert_allclose(away.min(1), REACH, atol=1e-6)
    assert set(away.argmin(1)) == set(range(5))
    low, high = mesh.vertices.amin(0), mesh.vertices.amax(0)
    assert (high - low).norm().item() == pytest.approx(DIAGONAL, rel=1e-6)
    torch.testing.assert_close(low, -high, atol=1e-6, rtol=0)
    box = np.array(scene.box)
    assert (box[:3] < low.numpy()).all() and (box[3:] > high.numpy()).all()
    assert np.abs(box).max() < 1.2


def test_a_glb_stands_upright_and_comes_back_lying(tmp_path: Path) -> None:
    """glTF's y points up; the scene's z does."""
    trimesh = pytest.importorskip("trimesh")
    solids = trimesh.load(write_solids(tmp_path), process=False)
    (tmp_path / "solids.glb").write_bytes(solids.export(file_type="glb"))
    objects = Objects(str(tmp_path / "solids.glb"), views=1, size=8)
    mesh, scene = objects.mesh(), objects.capture(progress=False).scene
    own = scene.world_from_scene.apply(mesh.vertices.numpy())
    np.testing.assert_allclose(sorted(own.tolist()), sorted(solids.vertices.tolist()), atol=2e-6)
    highest = mesh.vertices[:, 2].argmax()
    assert own[highest, 1] == pytest.approx(SOLIDS[:, 1].max() + REACH, abs=2e-6)


def test_edges_are_not_mixed_with_what_is_behind(tmp_path: Path) -> None:
    """Opacity is straight: a pixel that is hardly covered has the object's own colour, in its light."""
    capture = Objects(str(write_solids(tmp_path, colour=200)), views=4, size=64).capture(progress=False)
    covered = capture.pixels[capture.pixels[:, 3] > 0]
    assert (covered[:, 3] < 255).mean() > 0.2
    assert covered[:, :3].min() >= 0.55 * 200 - 1 and covered[:, :3].max() <= 201
    assert not capture.pixels[capture.pixels[:, 3] == 0].any()


def test_light_is_ambient_and_from_one_side(tmp_path: Path) -> None:
    """Of a grey object, colour follows from the normal: 0.55 + 0.45 max(0, n . l), l towards (0.36, -0.48, 0.8)."""
    capture = Objects(str(write_solids(tmp_path, colour=200)), views=4, size=200, samples=1).capture(progress=False)
    for index in range(len(capture)):
        normals = field(capture, index, "normals") @ capture.scene_from_camera[index][:3, :3].T
        seen = np.isfinite(normals[..., 0])
        expected = 200 * (0.55 + 0.45 * (normals[seen] @ [0.36, -0.48, 0.8]).clip(min=0))
        assert np.abs(capture.picture(index)[seen][:, :3] - expected[:, None]).max() <= 1


PLATE = """
mtllib plate.mtl
usemtl paint
v -1 0 -1
v 1 0 -1
v 1 0 1
v -1 0 1
vt 0 0
vt 1 0
vt 1 1
vt 0 1
f 1/1 2/2 3/3
f 1/1 3/3 4/4
"""


def write_plate(folder: Path, picture: np.ndarray) -> str:
    """An upright square of side 2 with a picture that is the right way round from -y."""
    Image.fromarray(picture).save(folder / "plate.png")
    (folder / "plate.mtl").write_text("newmtl paint\nmap_Kd plate.png\n")
    (folder / "plate.obj").write_text(PLATE)
    return str(folder / "plate.obj")


def test_a_picture_on_an_object_is_neither_turned_nor_mirrored(tmp_path: Path) -> None:
    quarters = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 0)]], np.uint8)
    capture = Objects(write_plate(tmp_path, quarters.repeat(32, 0).repeat(32, 1)), views=40, size=64).capture(False)
    front = int(capture.scene_from_camera[:, 1, 3].argmin())
    picture = capture.picture(front)
    for row, column, colour in [(24, 24, (1, 0, 0)), (24, 40, (0, 1, 0)), (40, 24, (0, 0, 1)), (40, 40, (1, 1, 0))]:
        assert tuple((picture[row, column, :3] > 60).astype(int)) == colour
    behind = int(capture.scene_from_camera[:, 1, 3].argmax())
    back = capture.picture(behind)
    assert tuple((back[24, 24, :3] > 60).astype(int)) == (0, 1, 0)  # the other side is seen too, mirrored
    for index in (front, behind):
        assert field(capture, index, "normals")[32, 32, 2] == pytest.approx(-1, abs=0.2)


def test_a_texture_finer_than_the_pixels_is_averaged(tmp_path: Path) -> None:
    """Black and white texels in turn: grey, without moiré."""
    board = (np.indices((512, 512)).sum(0) % 2 * 255).astype(np.uint8)
    plate = write_plate(tmp_path, np.repeat(board[..., None], 3, 2))
    capture = Objects(plate, views=40, size=32).capture(progress=False)
    front = capture.picture(int(capture.scene_from_camera[:, 1, 3].argmin()))
    inside = front[front[..., 3] == 255][:, 0].astype(float)
    assert len(inside) > 100 and inside.std() < 3


# Repeatability


def test_the_same_settings_give_the_same_bytes() -> None:
    one, two = (Objects("box", views=2, size=32, seed=4).capture(progress=False) for _ in range(2))
    for name in ("pixels", "depth", "normals", "scene_from_camera"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    assert one.scene == two.scene and one.names == two.names


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_random_view_does_not_depend_on_how_many_there_are(split: str) -> None:
    few, many = (Objects("box", views=n, size=24, split=split).capture(progress=False) for n in (2, 5))  # type: ignore[arg-type]
    for name in ("pixels", "depth", "normals", "scene_from_camera"):
        assert getattr(many[:2], name).tobytes() == getattr(few, name).tobytes()
    assert tuple(many.names)[:2] == tuple(few.names)


def test_splits_and_seeds_show_other_views() -> None:
    def places(**settings: object) -> np.ndarray:
        return Objects("sphere", views=3, size=8, **settings).capture(progress=False).scene_from_camera[:, :3, 3]  # type: ignore[arg-type]

    sets = [places(split=split, seed=seed) for split in ("train", "val", "test") for seed in (0, 1)]
    assert len(np.unique(np.concatenate(sets).round(6), axis=0)) == 18


def test_splits_show_one_object_and_seeds_differently_painted_ones() -> None:
    meshes = [
        Objects("torus", split="train").mesh(),
        Objects("torus", split="test").mesh(),
        Objects("torus", seed=1).mesh(),
    ]
    textures = [mesh.texture for mesh in meshes]
    assert torch.equal(textures[0], textures[1]) and not torch.equal(textures[0], textures[2])  # type: ignore[arg-type]
    assert torch.equal(meshes[0].vertices, meshes[2].vertices)


def test_what_a_capture_holds(sphere: Capture) -> None:
    assert sphere.known == ("depth", "normals") and sphere.has_alpha and len(sphere) == 5
    assert sphere.pixels.shape == (5 * 64 * 64, 4) and sphere.pixels.dtype == np.uint8
    assert (sphere.scene.space, sphere.scene.background) == ("box", (1.0, 1.0, 1.0))
    assert sphere.extent.size == (64, 64) and sphere.names[2] == "train/r_0002"
    assert sphere.depth is not None and sphere.depth.dtype == np.float32
    assert sphere.scene.near < np.nanmin(sphere.depth) and np.nanmax(sphere.depth) < sphere.scene.far
    assert sphere.scene.world_from_scene.apply(np.zeros(3)) == pytest.approx([0, 0, SPHERE])
    assert sphere.scene.world_scale == pytest.approx(SPHERE / RADIUS)


def test_it_is_a_source_of_captures_that_says_what_it_is() -> None:
    objects = Objects("vase", views=7, seed=2, split="val")
    assert isinstance(objects, CaptureSource) and not isinstance(objects, PhotoSource)
    assert repr(objects).startswith("Objects(shape='vase', views=7, size=200, seed=2, split='val'")


def test_the_camera_can_be_chosen() -> None:
    capture = Objects("sphere", views=1, size=32, distance=6.0, field_of_view=20.0).capture(progress=False)
    assert capture.pinholes[0].fx == pytest.approx(16 / math.tan(math.radians(10)))
    assert np.nanmin(field(capture, 0, "depth")) == pytest.approx(6 - RADIUS, abs=2e-3)


# Files


def test_files_hold_the_capture_in_metres_with_opengls_axes(tmp_path: Path) -> None:
    """Read by hand: depth in metres, unprojected by cameras that look along -z with y up, lies on the sphere."""
    objects = Objects("sphere", views=3, size=40, split="test")
    capture = objects.capture(progress=False)
    path = objects.write(tmp_path, progress=False)
    assert path == tmp_path / "transforms_test.json"
    content = json.loads(path.read_text())
    assert content["camera_angle_x"] == pytest.approx(math.radians(39.6)) and len(content["frames"]) == 3
    focal = 20 / math.tan(content["camera_angle_x"] / 2)
    u, v = np.meshgrid(np.arange(40) + 0.5, np.arange(40) + 0.5)
    along = np.stack([(u - 20) / focal, -(v - 20) / focal, -np.ones_like(u)], -1)
    for index, frame in enumerate(content["frames"]):
        picture = np.asarray(Image.open(tmp_path / f"{frame['file_path']}.png"))
        np.testing.assert_array_equal(picture, capture.picture(index))
        depth = np.load(tmp_path / f"{frame['file_path']}_depth.npy")
        assert depth.dtype == np.float32
        pose = np.array(frame["transform_matrix"])
        assert np.linalg.det(pose[:3, :3]) == pytest.approx(1) and pose[2, 1] > 0  # y up
        seen = np.isfinite(depth)
        places = depth[seen][:, None] * along[seen] @ pose[:3, :3].T + pose[:3, 3]
        off = np.linalg.norm(places - [0, 0, SPHERE], axis=1) - SPHERE
        assert seen.sum() > 200 and np.abs(off).max() < SAG * SPHERE / RADIUS + 1e-6
    assert sorted(file.name for file in (tmp_path / "test").iterdir()) == [
        f"r_000{i}{end}" for i in range(3) for end in (".png", "_depth.npy")
    ]


def test_splits_are_written_beside_each_other(tmp_path: Path) -> None:
    for split in ("train", "val"):
        Objects("box", views=1, size=8, split=split).write(tmp_path, progress=False)  # type: ignore[arg-type]
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "train",
        "transforms_train.json",
        "transforms_val.json",
        "val",
    ]


# The turntable


@pytest.fixture(scope="module")
def turntable() -> Capture:
    return Objects("vase").turntable(frames=8, size=64, progress=False)


def test_a_turntable_goes_once_around(turntable: Capture) -> None:
    places = turntable.scene_from_camera[:, :3, 3]
    turns = np.unwrap(np.arctan2(places[:, 1], places[:, 0]))
    np.testing.assert_allclose(np.diff(turns), 2 * math.pi / 8)
    np.testing.assert_allclose(places[:, 2], 3.2 * math.sin(math.radians(25)))


def test_a_turntable_is_filled_with_detail_to_the_edges(turntable: Capture) -> None:
    assert turntable.pixels.shape == (8 * 64 * 64, 3) and not turntable.has_alpha
    assert turntable.scene.background is None and turntable.scene.space == "contracted"
    assert turntable.depth is not None and np.isfinite(turntable.depth).all()
    assert turntable.scene.near < turntable.depth.min() and turntable.depth.max() < turntable.scene.far
    for index in range(8):
        picture = turntable.picture(index).astype(float)
        blocks = picture.reshape(4, 16, 4, 16, 3).std((1, 3)).max(-1)
        assert blocks.min() > 8  # no part of the picture is plain


def test_the_object_stands_on_the_floor_of_the_turntable(turntable: Capture) -> None:
    mesh = Objects("vase").mesh()
    floor = mesh.vertices[:, 2].min().item()
    for index in (0, 3):
        heights = points(turntable, index)[..., 2]
        assert heights.min() == pytest.approx(floor, abs=1e-5) and (np.abs(heights - floor) < 1e-5).mean() > 0.2
    alone = Objects("vase", views=1, size=64).capture(progress=False).scene
    assert turntable.scene.world_from_scene.scale == alone.world_from_scene.scale


def test_all_of_a_turntable_keeps_its_place(turntable: Capture) -> None:
    """What one frame sees of the floor, the next one sees at the same place."""
    places = points(turntable, 0)
    floor = np.abs(places[..., 2] - places[..., 2].min()) < 1e-5
    pose, pinhole = turntable.scene_from_camera[1], turntable.pinholes[1]
    x, y, z = ((places[floor] - pose[:3, 3]) @ pose[:3, :3]).T
    column, row = pinhole.fx * x / z + pinhole.cx, pinhole.fy * y / z + pinhole.cy
    within = (z > 0) & (column > 0) & (column < 64) & (row > 0) & (row < 64)
    column, row, z = column[within].astype(int), row[within].astype(int), z[within]
    seen = np.abs(field(turntable, 1, "depth")[row, column] - z) < 0.05
    ours, theirs = turntable.picture(0)[floor][within][seen], turntable.picture(1)[row, column][seen]
    assert seen.sum() > 150 and np.median(np.abs(ours.astype(float) - theirs)) < 20
    assert np.median(np.abs(ours.astype(float) - np.roll(theirs, 7, axis=0))) > 25  # as any two places would be


def test_a_turntable_becomes_a_video(turntable: Capture, tmp_path: Path) -> None:
    path = write_video(tmp_path / "turn.mp4", (turntable.picture(index) for index in range(len(turntable))))
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 8 and frames[0].shape == (64, 64, 3)
    assert np.abs(frames[3].astype(float) - turntable.picture(3)).mean() < 12


def test_a_turntable_of_nothing() -> None:
    with pytest.raises(ValueError, match="a turntable of 0 frames of 400 pixels a side; give 1 of 8 or more"):
        Objects("box").turntable(frames=0)


# What cannot be


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"shape": "cone"},
            "no shape 'cone'; take one of sphere, torus, box, vase, or the path of a textured .obj or .glb",
        ),
        ({"views": 0}, "views is 0; a capture needs at least one"),
        ({"size": 7}, "size is 7; objects are rendered at 8 pixels a side or more"),
        ({"seed": -1}, "seed is -1; it has to be 0 or more"),
        ({"samples": 0}, "samples is 0; give 1 to 8 a side of a pixel"),
        ({"samples": 9}, "samples is 9; give 1 to 8"),
        ({"distance": 1.0}, "distance is 1.0, within the object, whose box has a diagonal of 2.2; give more than 1.2"),
        ({"field_of_view": 0.0}, "field_of_view is 0.0 degrees; give more than 0 and less than 180"),
        ({"field_of_view": 180.0}, "field_of_view is 180.0 degrees"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Objects(**{"shape": "sphere", **settings})  # type: ignore[arg-type]


def test_a_split_that_there_is_not() -> None:
    objects = Objects("sphere")
    object.__setattr__(objects, "split", "dev")  # the type checker of the tests would be first to complain
    with pytest.raises(ValueError, match="no split 'dev' of an object; take one of train, val, test"):
        objects.__post_init__()


def test_a_file_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*mug.obj; give the path of a textured OBJ or GLB"):
        Objects(str(tmp_path / "mug.obj")).capture(progress=False)
