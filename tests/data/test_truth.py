"""Truth beside photos: read in every format, cut with the photo, and never mixed over a silhouette."""

import json
import math
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from unflat.data import truth
from unflat.data.detection import Box
from unflat.data.pictures import PictureError
from unflat.data.truth import TruthError, cut_depth, cut_mask, read_depth, read_mask, read_world
from unflat.geometry.cameras import Pinhole


def relief(size: int = 32) -> np.ndarray:
    v, u = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    depth = (0.95 + 0.06 * (u**2 + v**2)).astype(np.float32)
    depth[u**2 + v**2 > 0.9] = np.nan
    return depth


def save_16(path: Path, depth: np.ndarray, near: float, far: float, said: bool) -> None:
    level = np.where(np.isnan(depth), 0, 1 + 65534 * (far - np.nan_to_num(depth)) / (far - near))
    text = PngImagePlugin.PngInfo()
    if said:
        text.add_text("near", str(near))
        text.add_text("far", str(far))
    Image.fromarray(level.round().astype(np.uint16)).save(path, pnginfo=text)


@pytest.mark.parametrize("said", [True, False])
def test_16_bit_depth_comes_back(tmp_path: Path, said: bool) -> None:
    save_16(tmp_path / "d.png", relief(), 0.8, 1.2, said)
    read = read_depth(tmp_path / "d.png", *((0.1, 9.0) if said else (0.8, 1.2)))
    assert read.dtype == np.float32
    assert np.array_equal(np.isnan(read), np.isnan(relief()))
    assert np.nanmax(abs(read - relief())) < 0.4 / 65534


def test_8_bit_depth_is_the_published_formula(tmp_path: Path) -> None:
    values = np.array([[0, 1, 128, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "d.png")
    read = read_depth(tmp_path / "d.png")
    assert np.isnan(read[0, 0])
    assert read[0, 1:] == pytest.approx([0.9 + 0.2 * (1 - v / 255) for v in (1, 128, 255)])


def test_depth_arrays_are_taken_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "d.npy", np.array([[0.9, np.nan, np.inf], [0, -1, 1.1]]))
    nan = math.nan
    wanted = np.array([[0.9, nan, nan], [nan, nan, 1.1]], np.float32)
    assert np.array_equal(read_depth(tmp_path / "d.npy"), wanted, equal_nan=True)


@pytest.mark.parametrize(
    ("name", "write", "says"),
    [
        ("d.npy", lambda p: np.save(p, np.zeros((2, 2, 3))), r"has depth of the shape \[2, 2, 3\], d.npy"),
        ("d.npy", lambda p: p.write_bytes(b"nothing"), "has depth that cannot be read, d.npy"),
        ("d.png", lambda p: p.write_bytes(b"nothing"), "has depth that cannot be read, d.png"),
        ("d.png", lambda p: Image.new("RGB", (4, 4)).save(p), "has a depth picture of the mode RGB"),
    ],
)
def test_depth_that_cannot_be_read(tmp_path: Path, name: str, write: object, says: str) -> None:
    write(tmp_path / name)  # type: ignore[operator]
    with pytest.raises(PictureError, match=says):
        read_depth(tmp_path / name)


def test_masks_of_all_sorts(tmp_path: Path) -> None:
    mask = ~np.isnan(relief())
    np.save(tmp_path / "m.npy", mask)
    grey = mask.astype(np.uint8) * 255
    Image.fromarray(grey).save(tmp_path / "l.png")
    Image.fromarray(mask).save(tmp_path / "1.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    Image.fromarray(np.dstack([grey] * 3)).save(tmp_path / "rgb.png")
    Image.fromarray(np.dstack([255 - grey] * 3 + [grey])).save(tmp_path / "rgba.png")
    for file in tmp_path.iterdir():
        assert np.array_equal(read_mask(file), mask), file.name
    (tmp_path / "l.png").write_bytes(b"nothing")
    with pytest.raises(PictureError, match="has a mask that cannot be read"):
        read_mask(tmp_path / "l.png")


def test_depth_of_the_same_pixels_is_untouched() -> None:
    assert np.array_equal(cut_depth(relief(), Box(0, 0, 32, 32), 32), relief(), equal_nan=True)
    assert np.array_equal(cut_depth(relief(), Box(4, 6, 20, 20), 20), relief()[6:26, 4:24], equal_nan=True)


@pytest.mark.parametrize(
    ("box", "size"), [(Box(0, 0, 64, 64), 16), (Box(3.3, 1.7, 51, 51), 20), (Box(10, 9, 20, 20), 50)]
)
def test_a_plane_stays_the_plane_at_the_new_centres(box: Box, size: int) -> None:
    v, u = np.mgrid[:64, :64] + 0.5
    plane = (1 + 0.001 * u - 0.0004 * v).astype(np.float32)
    x = box.left + (np.arange(size) + 0.5) * box.width / size
    y = box.top + (np.arange(size) + 0.5) * box.width / size
    assert np.allclose(cut_depth(plane, box, size), 1 + 0.001 * x[None] - 0.0004 * y[:, None], atol=1e-6)


@pytest.mark.parametrize("size", [7, 16, 31, 50])
def test_no_depth_comes_out_between_two_surfaces(size: int) -> None:
    rng = np.random.default_rng(size)
    steps = rng.choice(np.array([0.9, 1.0, 1.1, np.nan], np.float32), (40, 40))
    out = cut_depth(steps, Box(-2.3, 1.1, 39.7, 39.7), size)
    known = out[~np.isnan(out)]
    assert len(known) and np.isin(known, np.array([0.9, 1.0, 1.1], np.float32)).all()


def test_outside_there_is_nothing() -> None:
    out = cut_depth(np.ones((10, 10), np.float32), Box(-5, -5, 20, 20), 20)
    assert np.isnan(out[:5]).all() and np.isnan(out[:, 15:]).all() and (out[5:15, 5:15] == 1).all()
    mask = cut_mask(np.ones((10, 10), bool), Box(-5, -5, 20, 20), 20)
    assert mask.sum() == 100 and mask[5:15, 5:15].all()


def test_a_mask_pixel_counts_when_half_of_it_is_covered() -> None:
    mask = np.zeros((8, 8), bool)
    mask[:, :3] = True  # of the second pixel, one half
    mask[0, 4] = True  # of the third, a quarter
    assert cut_mask(mask, Box(0, 0, 8, 8), 4)[0].tolist() == [True, True, False, False]
    mask[1, 2] = False
    assert cut_mask(mask, Box(0, 0, 8, 8), 4)[0].tolist() == [True, False, False, False]


@pytest.mark.parametrize("image", ["image", "images"])
def test_maps_stand_in_sibling_folders(tmp_path: Path, image: str) -> None:
    for name in (f"{image}/a/x.jpg", "depth/a/x.npy", "mask/a/x.png", f"{image}/image_7.png", "depth/depth_7.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    beside = truth.MapFinder().beside
    assert beside(tmp_path / image / "a/x.jpg", "depth") == tmp_path / "depth/a/x.npy"
    assert beside(tmp_path / image / "a/x.jpg", "mask") == tmp_path / "mask/a/x.png"
    assert beside(tmp_path / image / "image_7.png", "depth") == tmp_path / "depth/depth_7.png"
    assert beside(tmp_path / image / "image_7.png", "mask") is None
    assert beside(tmp_path / "depth/a/x.npy", "mask") is None
    assert truth.is_truth(PurePosixPath("mask/a/x.png"), tmp_path)
    assert not truth.is_truth(PurePosixPath(f"{image}/a/x.jpg"), tmp_path)
    assert not truth.is_truth(PurePosixPath("depth/x.png"), tmp_path / "elsewhere")
    assert truth.home_of(tmp_path / image / "a") == truth.home_of(tmp_path / image) == tmp_path


def test_worlds_are_read(tmp_path: Path) -> None:
    home = tmp_path / "train"
    home.mkdir()
    assert read_world(home).field_of_view is None and read_world(home).near == 0.9
    (tmp_path / "world.json").write_text(json.dumps({"field_of_view": 0.2, "depth_near": 0.8, "depth_far": 1.2}))
    (home / "truth.jsonl").write_text('{"name": "000001.png", "light": [1, 2, 3, 4, 5]}\n\n')
    world = read_world(home)
    assert (world.field_of_view, world.near, world.far) == (0.2, 0.8, 1.2)
    assert world.lines["000001"]["light"] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("world.json", "{", r"world.json is no JSON \("),
        ("world.json", "[1]", "is no JSON object"),
        ("world.json", '{"depth_near": "close"}', "holds no numbers where it should"),
        ("truth.jsonl", '{"name": "a"}\n{', r"truth.jsonl, line 2 is no JSON"),
        ("truth.jsonl", '{"view": []}', 'line 1: no "name" says which photo'),
    ],
)
def test_worlds_that_make_no_sense(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(TruthError, match=says):
        read_world(tmp_path)


def test_a_field_of_view_at_another_size_is_the_same_camera() -> None:
    angle = math.radians(10)
    fine = Pinhole.across_centres(256, angle).resized(64, 64)
    coarse = Pinhole.across_centres(64, truth.field_of_view_at(angle, 256, 64))
    assert coarse.fx == pytest.approx(fine.fx) and coarse.cx == pytest.approx(fine.cx)


def test_landmarks_move_with_the_crop() -> None:
    moved = truth.cut_landmarks(np.array([[10.0, 20.0, 0.95]]), Box(4, 5, 32, 32), 64)
    assert moved == pytest.approx(np.array([[12, 30, 0.95]]))


def test_maps_of_another_aspect_are_refused() -> None:
    truth.check_shape("mask", (50, 100), (200, 100))
    truth.check_shape("mask", (33, 67), (200, 100))
    with pytest.raises(PictureError, match="has a mask of another aspect, 100x60 pixels beside 200x100"):
        truth.check_shape("mask", (60, 100), (200, 100))
