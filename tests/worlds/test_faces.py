"""The faces world: its truth against itself and against geometry, repeatability, what is drawn, what is written."""

import json
import math
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from unflat.data.kinds import Photos
from unflat.data.readers.photos import read_photos
from unflat.geometry.cameras import Pinhole
from unflat.geometry.depth import normals_of
from unflat.geometry.rotations import Rigid, rotation_from_euler
from unflat.worlds import faces as module
from unflat.worlds.face_model import EYE_LEFT, EYE_RIGHT, face_model
from unflat.worlds.face_paint import EYE, hair_field, paint, random_look, smooth_colours
from unflat.worlds.face_render import FIELD_OF_VIEW, Scene, Shots, random_scene, render, shapes, to_canonical
from unflat.worlds.faces import BLOCK, SPLITS, Faces, write_splits

CENTRE = torch.tensor([0.0, 0.0, 1.0])
MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1), 45, 44, 43, 42, 47, 46, 39, 38]
MIRRORED += [37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1)]
"""the landmark on the other side of the face"""


def scene(number: int = 0, **changes: np.ndarray) -> Scene:
    return replace(random_scene(np.random.default_rng([number])), **changes)


def plain(number: int = 0, **changes: np.ndarray) -> Scene:
    """A mean, still face, seen from the front."""
    drawn = scene(number)
    still = {"identity": 0 * drawn.identity, "expression": 0 * drawn.expression, "view": np.zeros(6)}
    return replace(drawn, **{**still, **changes})


@pytest.fixture(scope="module")
def shots() -> Shots:
    return Faces(split="test").block(0)


def of(photos: Photos, name: str) -> np.ndarray:
    """A field that is there."""
    field = getattr(photos, name)
    assert field is not None
    return np.asarray(field)


# What ships


def test_the_model_is_small_and_carries_its_licence() -> None:
    assets = resources.files("unflat.worlds").joinpath("assets")
    assert len(assets.joinpath("ict_faces_small.npz").read_bytes()) < 2e6
    licence = assets.joinpath("LICENSE-ICT-FaceKit").read_text()
    assert "MIT License" in licence and "USC Institute for Creative Technologies" in licence


def test_the_models_arrays_fit_together() -> None:
    model = face_model()
    assert model.identity.shape[1:] == model.expression.shape[1:] == model.mean.shape
    assert len(model.identity) >= 40 and len(model.expression) == len(model.expression_names) >= 50
    assert model.triangles.min() == 0 and model.triangles.max() == len(model.mean) - 1
    assert len(model.part) == len(model.triangles)


def test_landmarks_are_68_vertices_each_mirrored_by_another() -> None:
    model = face_model()
    assert len(set(model.landmarks.tolist())) == 68
    places = model.mean[model.landmarks]
    np.testing.assert_allclose(places[MIRRORED] * [-1, 1, 1], places, atol=2e-3)
    assert (places[:8, 0] < -1).all()  # the person's right first
    assert places[8, 1] < places[57, 1] < places[51, 1] < places[33, 1] < places[27, 1] < places[19, 1]  # chin to brow
    assert places[30, 2] == places[:, 2].max()  # the tip of the nose


# Geometry and truth


def test_a_pose_is_a_turn_about_the_pivot() -> None:
    """Undoing the true view gives the frontal head: its landmarks are the model's, moved to distance 1."""
    view = np.array([0.2, -0.6, 0.1, 0.01, -0.02, 0.0])
    bald = replace(random_look(np.random.default_rng(0)), hair_thickness=0.0, hair_length=20.0)
    shot = render([replace(plain(view=view), look=bald)], 32)
    u, v, z = torch.from_numpy(shot.landmarks).unbind(-1)
    camera = Pinhole.across_centres(32, FIELD_OF_VIEW)
    seen = torch.stack([(u - camera.cx) / camera.fx * z, (v - camera.cy) / camera.fy * z, z], -1)
    turned = torch.from_numpy(view).float()
    view_from_canonical = Rigid.about(CENTRE, rotation_from_euler(turned[:3]), turned[3:])
    model = face_model()
    expected = to_canonical(torch.from_numpy(model.mean[None, model.landmarks]))
    torch.testing.assert_close(view_from_canonical.inverse.apply(seen), expected, atol=1e-5, rtol=0)


def test_a_face_without_a_turn_looks_at_the_camera() -> None:
    shot = render([plain()], 64)
    u, v, z = shot.landmarks[0].T
    assert u[30] == pytest.approx(32, abs=0.05) and z[30] == z.min()  # the nose in the middle, nearest
    np.testing.assert_allclose((u + u[MIRRORED]) / 2, 32, atol=0.05)
    assert u[36] < u[45]  # the person's right eye on the left
    assert v[19] < v[37] < v[30] < v[51] < v[57] < v[8] < 64  # brow above eye above nose above mouth above chin
    depth = shot.depth[0]
    both = np.isfinite(depth) & np.isfinite(depth[:, ::-1])
    assert np.median(np.abs(depth - depth[:, ::-1])[both]) < 1e-3


def test_turning_left_and_up_moves_the_nose_as_the_axes_say() -> None:
    """About y by +30 degrees: what is near (z < 1) moves to -x; about x by +30 degrees: to +y, down."""
    still, yawed, pitched, rolled = (
        render([plain(view=np.array([*turn, 0.0, 0.0, 0.0]))], 64).landmarks[0]
        for turn in ((0, 0, 0), (0, 0.5, 0), (0.5, 0, 0), (0, 0, 0.5))
    )
    assert yawed[30, 0] < still[30, 0] - 5 and pitched[30, 1] > still[30, 1] + 5
    assert rolled[45, 1] > rolled[36, 1] + 3  # clockwise: the eye on the right goes down


def test_depth_at_visible_landmarks_is_the_landmarks_depth() -> None:
    shot = render([plain(n) for n in range(3)], 64)
    inner = np.arange(27, 36)  # the nose's bridge and base, never hidden from the front
    for n in range(3):
        for u, v, z in shot.landmarks[n, inner]:
            near = shot.depth[n, int(v) - 1 : int(v) + 2, int(u) - 1 : int(u) + 2]
            assert near.min() - 0.002 < z < near.max() + 0.002


def test_pixels_of_two_sizes_that_share_a_centre_have_the_same_depth() -> None:
    scenes = [scene(n) for n in range(2)]
    coarse, fine = render(scenes, 17), render(scenes, 65)
    assert np.array_equal(coarse.mask, fine.mask[:, ::4, ::4])
    np.testing.assert_allclose(coarse.depth, fine.depth[:, ::4, ::4], atol=2e-6)
    np.testing.assert_allclose(coarse.normals, fine.normals[:, ::4, ::4], atol=2e-3)


def test_normals_are_those_of_the_depth(shots: Shots) -> None:
    truth = shots.normals
    assert np.allclose(np.linalg.norm(truth[shots.mask], axis=-1), 1, atol=1e-5)
    depth = torch.from_numpy(np.nan_to_num(shots.depth, nan=1.2))
    measured = normals_of(depth, Pinhole.across_centres(64, FIELD_OF_VIEW)).numpy()
    inside = shots.mask.copy()
    for axis in (1, 2):
        inside &= np.roll(shots.mask, 1, axis) & np.roll(shots.mask, -1, axis)
    inside[:, [0, -1]] = inside[:, :, [0, -1]] = False
    angles = np.degrees(np.arccos((truth * measured).sum(-1)[inside].clip(-1, 1)))
    assert np.median(angles) < 5
    assert (truth[..., 2][shots.mask] < 0.2).mean() > 0.99  # towards the camera, but for smoothed edges


def test_a_picture_is_albedo_times_light(shots: Shots) -> None:
    ambient, diffuse = shots.light[:, 0, None, None], shots.light[:, 1, None, None]
    cosine = (shots.normals * shots.light[:, None, None, 2:]).sum(-1).clip(min=0)
    explained = (shots.albedo / 255 * (ambient + diffuse * cosine)[..., None]).clip(0, 1)
    error = np.abs(explained - shots.rgb / 255)[shots.mask]
    assert np.median(error) < 0.01 and error.mean() < 0.03


def test_light_falls_from_where_it_is_said_to() -> None:
    right = render([plain(light=np.array([0.3, 0.7, 0.6, 0.0, -0.8]))], 64).rgb[0].astype(float)
    left = render([plain(light=np.array([0.3, 0.7, -0.6, 0.0, -0.8]))], 64).rgb[0].astype(float)
    assert right[20:50, 40:50].mean() > 1.2 * left[20:50, 40:50].mean()
    assert left[20:50, 14:24].mean() > 1.2 * right[20:50, 14:24].mean()


def test_mask_and_depth_say_the_same(shots: Shots) -> None:
    assert np.array_equal(shots.mask, np.isfinite(shots.depth))
    assert np.array_equal(shots.mask, np.isfinite(shots.normals).all(-1))


def test_heads_stand_where_learning_needs_them(shots: Shots) -> None:
    coverage = shots.mask.mean((1, 2))
    assert 0.6 < coverage.mean() < 0.8 and coverage.min() > 0.4
    assert 0.96 < np.nanmean(shots.depth) < 1.0
    assert np.nanpercentile(shots.depth, 0.5) > 0.9 and np.nanpercentile(shots.depth, 99) < 1.1
    assert (shots.rgb == 255).mean() < 0.03  # exposure seldom clips


def test_what_is_drawn_at_random_keeps_its_limits() -> None:
    scenes = [scene(n) for n in range(400)]
    pitch, yaw, roll = np.degrees([s.view[:3] for s in scenes]).T
    assert np.abs(yaw).max() < 45 < np.abs(yaw).max() + 3 and np.std(yaw) == pytest.approx(45 / math.sqrt(3), rel=0.1)
    assert np.abs(pitch).max() < 25 and np.abs(roll).max() < 15
    ambient, diffuse, x, y, z = np.array([s.light for s in scenes]).T
    assert 0.2 <= ambient.min() < 0.25 and 0.65 < ambient.max() <= 0.7
    assert ((ambient + diffuse) >= 0.9).all() and ((ambient + diffuse) <= 1.1).all()
    np.testing.assert_allclose(x**2 + y**2 + z**2, 1)
    tilt = np.degrees(np.arccos(-z))
    assert 40 < tilt.max() <= 45
    moved = np.array([s.expression for s in scenes])
    assert moved.min() == 0 and 0.45 < moved.max() <= 0.5 and 0.1 < (moved > 0).mean() < 0.2


# Paint


def test_features_are_painted_where_they_belong() -> None:
    look = replace(random_look(np.random.default_rng(0)), beard=0.0, moles=np.zeros((0, 4), np.float32))
    skin = look.skin
    front = {"pupil": (*EYE, 9.5), "lip": (0.3, -3.9, 11.0), "brow": (3.2, 5.3 + look.brow_lift[1], 10.0)}
    places = np.array([*front.values(), (3.0, -1.5, 10.0), (3.0, 14.0, 0.0)], np.float32).T
    part = np.array([EYE_LEFT, 0, 0, 0, 0])
    smooth = np.repeat(skin[:, None], 5, 1)
    hair = np.array([-6, -6, -6, -6, 3], np.float32)
    pupil, lip, brow, cheek, crown = paint(places, smooth, hair, part, look).T
    assert pupil.max() < 0.1
    np.testing.assert_allclose(cheek, skin.clip(0.02, 1), atol=1e-6)
    assert lip[1] / lip[0] < cheek[1] / cheek[0]  # redder than skin
    assert brow.mean() < 0.75 * skin.mean()
    assert np.abs(crown / look.hair - 1).max() < 0.25


def test_looks_are_not_symmetric() -> None:
    """Partings, moles and skin differ from side to side, as the paper's confidence is there to find."""
    model = face_model()
    pair = model.landmarks[[2, 14]]
    tones, lines = [], []
    for number in range(20):
        look = random_look(np.random.default_rng(number))
        tones.append(np.abs(np.diff(smooth_colours(look)[:, pair])).max())
        field = hair_field(look)
        forehead = np.argsort(np.abs(model.mean - [[3.5, 10.0, 7.0]]).sum(1))[0]
        mirrored = np.argsort(np.abs(model.mean - model.mean[forehead] * [-1, 1, 1]).sum(1))[0]
        lines.append(abs(field[forehead] - field[mirrored]))
    assert np.mean(tones) > 0.02 and np.mean(lines) > 0.2


def test_identities_and_expressions_move_the_face() -> None:
    still, other, smiling = plain(), scene(1), plain()
    names = face_model().expression_names
    smiling.expression[[names.index("mouthSmile_L"), names.index("mouthSmile_R")]] = 0.5
    heads = shapes([still, other, smiling]).numpy()
    corner = face_model().landmarks[48]
    assert heads[2, corner, 1] > heads[0, corner, 1] + 0.2  # the corner of the mouth goes up, cm
    assert np.abs(heads[1] - heads[0]).mean() > 0.1
    np.testing.assert_allclose(heads[0], face_model().mean, atol=1e-5)


def test_eyes_are_on_both_sides() -> None:
    model = face_model()
    left, right = (model.mean[model.triangles[model.part == part]].reshape(-1, 3) for part in (EYE_LEFT, EYE_RIGHT))
    assert left[:, 0].min() > 0 > right[:, 0].max()


# Sets


def test_a_picture_does_not_depend_on_how_many_there_are() -> None:
    few, many = Faces(3, split="val").photos(progress=False), Faces(BLOCK + 8, split="val").photos(progress=False)
    for name in ("rgb", "depth", "mask", "normals", "albedo", "view", "light", "landmarks"):
        np.testing.assert_array_equal(of(few, name), of(many, name)[:3])
    assert len(many) == BLOCK + 8 and many.names[-1] == f"faces/val/{BLOCK + 7:06d}" and few.names == many.names[:3]


def test_seeds_and_splits_give_other_pictures() -> None:
    sets = [Faces(3, 16, seed=0, split="val"), Faces(3, 16, seed=1, split="val"), Faces(3, 16, seed=0, split="test")]
    views = [of(faces.photos(progress=False), "view") for faces in sets]
    assert len(np.unique(np.concatenate(views), axis=0)) == 9


def test_photos_hold_all_that_is_known_and_come_from_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    faces = Faces(2, 16, seed=5)
    photos = faces.photos(progress=False)
    assert photos.known == ("depth", "mask", "normals", "albedo", "view", "light", "landmarks")
    assert photos.rgb.shape == (2, 16, 16, 3) and photos.rgb.dtype == np.uint8
    assert of(photos, "depth").dtype == np.float32 and of(photos, "landmarks").shape == (2, 68, 3)
    assert photos.field_of_view == pytest.approx(math.radians(10))
    monkeypatch.setattr(Faces, "block", None)  # a second call renders nothing
    again = faces.photos(progress=False)
    assert isinstance(again.rgb, np.memmap)
    np.testing.assert_array_equal(again.rgb, photos.rgb)


def test_big_sets_keep_no_normals_and_no_albedo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAPS_KEPT", 2 * 16 * 16)
    assert Faces(2, 16, seed=6).photos(progress=False).normals is not None
    big = Faces(3, 16, seed=6).photos(progress=False)
    assert big.normals is None and big.albedo is None and big.depth is not None


def test_the_presets() -> None:
    assert SPLITS == {"train": 20_000, "val": 1_000, "test": 1_000}
    assert Faces() == Faces(20_000, 64, 0, "train")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "count is 0; a set needs at least one picture"),
        ({"size": 300}, "size is 300; faces are rendered at 8 to 256 pixels a side"),
        ({"size": 4}, "size is 4; faces are rendered at 8 to 256"),
        ({"seed": -1}, "seed is -1; it has to be 0 or more"),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Faces(**settings)


def test_a_split_that_there_is_not() -> None:
    faces = Faces()
    object.__setattr__(faces, "split", "dev")  # the type checker of the tests would be first to complain
    with pytest.raises(ValueError, match="no split 'dev' of the faces; take one of train, val, test"):
        faces.__post_init__()


def test_the_largest_size() -> None:
    shot = render([scene()], 256)
    assert shot.rgb.shape == (1, 256, 256, 3) and 0.4 < shot.mask.mean() < 0.9


def test_what_is_drawn_has_not_changed() -> None:
    """If this fails on purpose, raise `faces.VERSION`, or old caches are read, and put the new figures here."""
    shot = Faces(split="test").block(0)
    drawn = [*shot.rgb[:4].mean((1, 2, 3)), *(1e3 * np.nanmean(shot.depth[:4], axis=(1, 2)))]
    assert module.VERSION == DRAWN_VERSION
    np.testing.assert_allclose(drawn, DRAWN, atol=0.2)


DRAWN_VERSION = 1
DRAWN = [104.0, 81.4, 156.34, 126.61, 972.04, 975.11, 979.96, 976.05]


# Files


def test_files_hold_what_the_photos_do(tmp_path: Path) -> None:
    faces = Faces(3, 32, split="test")
    photos = faces.photos(progress=False)
    assert faces.write(tmp_path, progress=False) == tmp_path / "test"
    world = json.loads((tmp_path / "world.json").read_text())
    assert world["field_of_view"] == pytest.approx(math.radians(10)) and "MIT" in world["credit"]
    lines = [json.loads(line) for line in (tmp_path / "test" / "truth.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == ["000000.png", "000001.png", "000002.png"]
    for index, line in enumerate(lines):
        files = [tmp_path / "test" / kind / line["name"] for kind in ("image", "depth", "mask")]
        image, depth, mask = (np.asarray(Image.open(file)) for file in files)
        np.testing.assert_array_equal(image, photos.rgb[index])
        np.testing.assert_array_equal(mask, of(photos, "mask")[index] * np.uint8(255))
        assert depth.dtype == np.uint16 and np.array_equal(depth > 0, of(photos, "mask")[index])
        near, far = world["depth_near"], world["depth_far"]
        decoded = np.where(depth > 0, far + (near - far) * (depth.astype(float) - 1) / 65534, np.nan)
        np.testing.assert_allclose(decoded, of(photos, "depth")[index], atol=4e-6)
        for kind in ("view", "light", "landmarks"):
            np.testing.assert_allclose(line[kind], of(photos, kind)[index], atol=1e-6)
    assert not list(tmp_path.rglob("*.part"))


def test_all_splits_are_written_and_read_back_as_photos(tmp_path: Path) -> None:
    write_splits(tmp_path, count=20, size=32, seed=3, progress=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test", "train", "val", "world.json"]
    truth = Faces(20, 32, 3).photos(progress=False)
    photos = read_photos(tmp_path, size=32, split="train", progress=False)
    assert len(photos) == 20 and photos.field_of_view == pytest.approx(FIELD_OF_VIEW)
    np.testing.assert_array_equal(photos.rgb, truth.rgb)
    np.testing.assert_array_equal(of(photos, "mask"), of(truth, "mask"))
    np.testing.assert_allclose(of(photos, "depth"), of(truth, "depth"), atol=1e-5)
    for kind in ("view", "light", "landmarks"):
        np.testing.assert_allclose(of(photos, kind), of(truth, kind), atol=1e-5)
