"""Photos in: found, cropped, packed, and read again without looking at a single pixel."""

import json
import logging
import math
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unflat.data import cutting, photo_files
from unflat.data.crops import crop_warnings
from unflat.data.kinds import Skipped
from unflat.data.photo_files import find_photos
from unflat.data.readers import photos as reader
from unflat.data.readers.photos import PhotosError, read_photos

SAMPLES = Path(photo_files.__file__).parent.parent / "samples"


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("UNFLAT_CACHE", str(folder))
    return folder


def save(path: Path, colour: int = 90, size: tuple[int, int] = (40, 30)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 0, 255 - colour)).save(path)
    return path


def read(source: Any, **settings: Any) -> reader.Photos:
    return read_photos(source, **{"size": 16, "progress": False, "report": lambda _: None, **settings})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate(("b.png", "a.jpg", "deep/er/c.bmp", "deep/d.PNG")):
        save(tmp_path / "set" / name, 40 + 20 * i)
    (tmp_path / "set" / "notes.txt").write_text("not a picture")
    save(tmp_path / "set" / ".hidden.png")
    save(tmp_path / "set" / ".cache" / "e.png")
    save(tmp_path / "set" / "__MACOSX" / "f.png")
    return tmp_path / "set"


# Sources


def test_a_folder_is_searched_with_all_its_folders(folder: Path) -> None:
    photos = read(folder)
    assert list(photos.names) == ["a.jpg", "b.png", "deep/d.PNG", "deep/er/c.bmp"]
    assert photos.rgb.shape == (4, 16, 16, 3) and photos.rgb.dtype == np.uint8
    assert abs(photos.rgb[:, 8, 8, 0].astype(int) - [60, 40, 100, 80]).max() <= 2
    assert photos.known == () and photos.skipped == () and photos.field_of_view is None
    assert photos.crop["mode"] == "centre" and photos.framing is not None
    assert (photos.framing[:, 0] == 1).all()
    json.dumps(photos.crop)


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.png", ["b.png"]),
        ("**/*.[bp]*", ["b.png", "deep/er/c.bmp"]),
        ("deep/*", ["d.PNG"]),
        ("*", ["a.jpg", "b.png"]),
    ],
)
def test_globs(folder: Path, pattern: str, names: list[str]) -> None:
    found = find_photos(f"{folder}/{pattern}")
    assert [photo.name for photo in found.photos] == names


def test_a_list_keeps_its_order_and_a_name_may_hold_brackets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(folder / "x[1].png")
    assert list(read([folder / "deep/d.PNG", folder / "a.jpg"]).names) == ["deep/d.PNG", "a.jpg"]
    assert list(read(folder / "x[1].png").names) == ["x[1].png"]
    monkeypatch.chdir(folder)
    assert list(read("deep/../b.png").names) == ["b.png"]
    assert list(read(["b.png", str(folder / "deep/d.PNG")]).names) == ["b.png", "deep/d.PNG"]
    assert list(read(".", limit=2).names) == ["a.jpg", "b.png"]


def test_splits_of_folders(tmp_path: Path) -> None:
    for name in ("train/a.png", "train/b.png", "test/c.png"):
        save(tmp_path / name)
    assert list(read(tmp_path, split="train").names) == ["train/a.png", "train/b.png"]
    assert len(read(tmp_path)) == 3
    with pytest.raises(PhotosError, match="is split into train, test, and 'val' was asked for"):
        read(tmp_path, split="val")
    with pytest.raises(PhotosError, match="split='all' is not known: one of train, val, test"):
        read(tmp_path, split="all")
    assert len(read(tmp_path / "train", split="val")) == 2  # knows no splits: all


def test_splits_and_boxes_of_a_table(folder: Path, tmp_path: Path) -> None:
    table = tmp_path / "boxes.txt"
    table.write_text("a.jpg 0 5 5 20 20\nb.png 2 0 0 10 10\ndeep/d.PNG 2 -4 -4 20 20\n")
    photos = read(folder, crop="box", boxes=table, split="test")
    assert list(photos.names) == ["b.png", "deep/d.PNG"]
    assert photos.framing is not None and photos.framing[:, 0] == pytest.approx([10 / 30, 20 / 30])
    everything = read(folder, crop="box", boxes=table)
    assert everything.skipped == (Skipped("deep/er/c.bmp", "has no line in the box table"),)


# Errors


@pytest.mark.parametrize(
    ("make", "settings", "says"),
    [
        (lambda p: p, {}, r"the folder .* holds no pictures: give one with .jpg"),
        (lambda p: p / "none", {}, r"none does not exist: give a folder of photos"),
        (lambda p: f"{p}/*.png", {}, r"\*.png matches 0 files, and no picture among them"),
        (lambda p: [], {}, "the list of photos is empty"),
        (lambda p: [p / "x.png", p / "y.png"], {}, r"2 of 2 listed photos are no files: .*x.png, .*y.png"),
        (lambda p: p, {"size": 4}, "size=4 is no size"),
        (lambda p: p, {"limit": 0}, "limit=0 leaves no photos"),
        (lambda p: p, {"boxes": "nowhere.csv"}, "cannot read the box table nowhere.csv"),
        (lambda p: p, {"crop": "box"}, "crop='box' needs a table"),
        (lambda p: p, {"margin": 99.0}, "margin=99.0 makes no sense"),
    ],
)
def test_sources_and_settings_that_make_no_sense(
    tmp_path: Path, make: Any, settings: dict[str, Any], says: str
) -> None:
    with pytest.raises(PhotosError, match=says):
        read(make(tmp_path), **settings)


def test_one_photo_is_enough_to_look_at_and_not_to_learn_from(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    assert len(read(tmp_path)) == 1
    with pytest.raises(PhotosError, match="holds a single photo that can be used, and at least 2 are needed"):
        read(tmp_path, minimum=2)


def test_what_cannot_be_used_is_named_and_left_out(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "broken.jpg").write_bytes((folder / "a.jpg").read_bytes()[:300])
    (folder / "text.png").write_text("text")
    save(folder / "tiny.png", size=(7, 90))
    (folder / "phone.HEIC").write_bytes(b"")
    said: list[str] = []
    photos = read(folder, report=said.append)
    assert list(photos.names) == ["a.jpg", "b.png", "deep/d.PNG", "deep/er/c.bmp"]
    reasons = dict(photos.skipped)
    assert reasons.keys() == {"broken.jpg", "text.png", "tiny.png", "phone.HEIC"}
    assert reasons["broken.jpg"].startswith("is broken (")
    assert reasons["tiny.png"] == "is too small: 7x90 pixels, at least 8 are needed for crops of 16"
    assert reasons["phone.HEIC"] == "is a HEIC file, which Pillow does not read: save it as JPEG"
    assert "skipped: text.png is no picture that Pillow can read" in said and len(said) == 4
    again: list[str] = []
    read(folder, report=again.append)
    assert again == said  # told at every start, though nothing was decoded
    with caplog.at_level(logging.WARNING):
        read_photos(folder, size=16)
    assert "skipped: text.png is no picture" in caplog.text


def test_many_skipped_files_are_counted(tmp_path: Path) -> None:
    save(tmp_path / "good.png")
    for i in range(30):
        (tmp_path / f"{i:02d}.png").write_text("text")
    said: list[str] = []
    read(tmp_path, report=said.append)
    assert len(said) == 21 and said[-1] == "skipped: 10 more files"


def test_where_nothing_can_be_used_the_reasons_are_told(tmp_path: Path, own_cache: Path) -> None:
    for name in ("a.png", "b.png", "c.png", "d.png"):
        (tmp_path / name).write_text("text")
    says = r"none of the 4 pictures of the folder .* can be used: a.png is no picture .*; and 1 more"
    with pytest.raises(PhotosError, match=says):
        read(tmp_path)
    assert not list(own_cache.glob("photos/*"))


def test_bombs_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    save(tmp_path / "bomb.png", size=(100, 100))
    with pytest.raises(PhotosError, match=r"bomb.png is too large to be decoded safely"):
        read(tmp_path)
    save(tmp_path / "good.png")
    assert [name for name, _ in read(tmp_path).skipped] == ["bomb.png"]


def test_videos_among_photos_and_alone(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mov"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(PhotosError, match=r"holds no photos, but 2 videos: give one of them"):
        read(tmp_path)
    save(tmp_path / "c.png")
    assert list(read(tmp_path).names) == ["c.png"]


# The pack


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(cutting, "open_picture", fails)
    monkeypatch.setattr(Image, "open", fails)


def test_the_second_start_opens_no_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(folder)
    forbid_decoding(monkeypatch)
    monkeypatch.setattr(reader, "content_of", lambda _: pytest.fail("hashed"))
    second = read(folder)
    assert np.array_equal(first.rgb, second.rgb) and first.crop == second.crop
    assert isinstance(second.rgb, np.memmap)


def test_moved_photos_are_known_by_their_content(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder)
    shutil.copytree(folder, tmp_path / "copy")
    forbid_decoding(monkeypatch)
    assert len(read(tmp_path / "copy")) == 4


@pytest.mark.parametrize("change", ["content", "content with its old time", "more", "fewer", "size", "crop", "name"])
def test_any_change_is_seen(folder: Path, change: str) -> None:
    before = read(folder)
    entry = (folder / "b.png").stat()
    settings: dict[str, Any] = {}
    match change:
        case "content":
            save(folder / "b.png", 200)
        case "content with its old time":
            save(folder / "b.png", 200)
            os.utime(folder / "b.png", ns=(entry.st_atime_ns, entry.st_mtime_ns))
        case "more":
            save(folder / "z.png")
        case "fewer":
            (folder / "b.png").unlink()
        case "size":
            settings["size"] = 12
        case "crop":
            settings["margin"] = 0.8
        case "name":
            (folder / "b.png").rename(folder / "bb.png")
    after = read(folder, **settings)
    assert not (
        np.array_equal(before.rgb, after.rgb) and before.names == after.names and before.crop == after.crop
    )  # fmt: skip
    assert np.array_equal(read(folder, **settings).rgb, after.rgb)


def test_a_damaged_pack_is_made_again(folder: Path, own_cache: Path) -> None:
    before = np.array(read(folder).rgb)
    (pack,) = own_cache.glob("photos/*")
    (pack / "rgb.npy").write_bytes(b"")
    assert np.array_equal(read(folder).rgb, before)
    for file in own_cache.glob("stated/*"):
        file.write_text("photos/../../elsewhere")
    assert np.array_equal(read(folder).rgb, before)


# Truth


def write_truth(home: Path, count: int = 3, side: int = 32) -> np.ndarray:
    """Photos with depth, mask and lines of truth; returns the depth."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0.95, 1.05, (count, 1, 1)) + np.zeros((count, side, side))
    depth[:, :, : side // 4] = np.nan
    lines = []
    for i in range(count):
        save(home / f"image/{i}.png", size=(side, side))
        level = np.where(np.isnan(depth[i]), 0, 1 + 65534 * (1.2 - np.nan_to_num(depth[i])) / 0.4)
        for kind, values in (
            ("depth", level.round().astype(np.uint16)),
            ("mask", (~np.isnan(depth[i])).astype(np.uint8) * 255),
        ):
            (home / kind).mkdir(exist_ok=True)
            Image.fromarray(values).save(home / kind / f"{i}.png")
        lines.append(
            {"name": f"{i}.png", "view": [i, 0, 0, 0, 0, 0], "light": [0.5, 0.5, 0, 0, -1], "landmarks": [[16, 8, 1.0]]}
        )
    (home / "truth.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (home.parent / "world.json").write_text(json.dumps({"field_of_view": 0.17, "depth_near": 0.8, "depth_far": 1.2}))
    return depth


def test_truth_comes_with_the_photos(tmp_path: Path) -> None:
    depth = write_truth(tmp_path / "test", side=16)
    photos = read(tmp_path, split="test")
    assert list(photos.names) == ["test/image/0.png", "test/image/1.png", "test/image/2.png"]
    assert photos.known == ("depth", "mask", "view", "light", "landmarks")
    assert photos.depth is not None and photos.mask is not None and photos.view is not None
    assert np.allclose(photos.depth, depth, atol=1e-5, equal_nan=True)
    assert np.array_equal(photos.mask, ~np.isnan(depth))
    assert photos.view[:, 0].tolist() == [0, 1, 2] and photos.field_of_view == pytest.approx(0.17)
    assert photos.landmarks is not None and photos.landmarks[0, 0].tolist() == [16, 8, 1]
    assert photos.framing is not None and photos.framing[:, 2] == pytest.approx([1, 1, 1])
    assert photos[1:].known == photos.known


def test_truth_is_cropped_and_resized_with_the_photos(tmp_path: Path) -> None:
    depth = write_truth(tmp_path / "test")
    photos = read(tmp_path / "test", margin=0.5)  # pixels 8 to 24 of 32: all on the object
    assert photos.depth is not None and photos.landmarks is not None
    assert np.allclose(photos.depth, depth[:, 8:24, 8:24], atol=1e-5)
    assert photos.landmarks[0, 0].tolist() == [8, 0, 1] and photos.field_of_view is None
    small = read(tmp_path / "test")
    assert small.depth is not None and small.mask is not None
    assert np.array_equal(np.isnan(small.depth[0, 0]), np.arange(16) < 4)
    focal = 31 / 2 / math.tan(0.17 / 2)
    assert 15 / 2 / math.tan(small.field_of_view / 2) == pytest.approx(focal / 2)


def test_partial_truth(tmp_path: Path) -> None:
    write_truth(tmp_path / "test", side=16)
    (tmp_path / "test/depth/1.png").unlink()
    (tmp_path / "test/mask/1.png").unlink()
    lines = (tmp_path / "test/truth.jsonl").read_text().splitlines()
    (tmp_path / "test/truth.jsonl").write_text("\n".join(lines[:2]))
    photos = read(tmp_path / "test")
    assert photos.known == ("depth",) and photos.depth is not None
    assert np.isnan(photos.depth[1]).all() and not np.isnan(photos.depth[0]).all()


def test_broken_truth_is_named(tmp_path: Path) -> None:
    write_truth(tmp_path / "test", side=16)
    (tmp_path / "test/depth/0.png").write_bytes(b"nothing")
    Image.new("L", (16, 99)).save(tmp_path / "test/mask/1.png")
    reasons = dict(read(tmp_path / "test").skipped)
    assert reasons["image/0.png"].startswith("has depth that cannot be read, 0.png")
    assert reasons["image/1.png"].startswith("has a mask of another aspect")
    (tmp_path / "test/truth.jsonl").write_text("{")
    with pytest.raises(PhotosError, match=r"truth.jsonl, line 1 is no JSON"):
        read(tmp_path / "test")


def test_depth_without_masks_knows_its_masks(tmp_path: Path) -> None:
    depth = write_truth(tmp_path / "test", side=16)
    shutil.rmtree(tmp_path / "test/mask")
    photos = read(tmp_path / "test")
    assert photos.mask is not None and np.array_equal(photos.mask, ~np.isnan(depth))


def test_transparency_is_a_mask_and_a_crop(tmp_path: Path) -> None:
    for i in range(2):
        rgba = np.zeros((60, 80, 4), np.uint8)
        rgba[10:40, 20 + i : 50 + i] = (200, 10, 10, 255)
        Image.fromarray(rgba).save(tmp_path / f"{i}.png")
    photos = read(tmp_path, crop="alpha", margin=2.0)
    assert photos.mask is not None and photos.crop["object"] == pytest.approx(0.5)
    assert np.array_equal(photos.rgb[0], photos.rgb[1])
    assert (photos.rgb[0, 0, 0] == 255).all() and photos.rgb[0, 8, 8].tolist() == [200, 10, 10]
    save(tmp_path / "2.png")
    assert [name for name, _ in read(tmp_path, crop="alpha").skipped] == ["2.png"]
    assert read(tmp_path).mask is None  # not known for all


# Faces and videos


def test_faces_are_cropped_alike(tmp_path: Path) -> None:
    for name in ("frontal", "smiling", "turned"):
        photo = Image.open(SAMPLES / f"{name}.jpg")
        photo.save(tmp_path / f"{name}.jpg", quality=95)
    save(tmp_path / "nobody.png", size=(100, 100))
    photos = read(tmp_path, size=64, crop="face")
    assert list(photos.names) == ["frontal.jpg", "smiling.jpg", "turned.jpg"]
    assert dict(photos.skipped) == {"nobody.png": "shows no face that was found (crop='centre' takes it as it is)"}
    assert photos.crop["face"] == pytest.approx(1 / photos.crop["margin"], abs=1e-3)
    assert crop_warnings(photos, photos.crop) == []
    wide = read([tmp_path / "frontal.jpg"], size=64, crop="face", margin=2.6)
    (said,) = crop_warnings(wide, photos.crop)
    assert said.startswith("frontal.jpg: the face fills 38% of the crop's side, in the training photos 72%")


def test_a_video_is_photos(tmp_path: Path, write_video: Any, greys: Any) -> None:
    video = write_video(tmp_path / "clip.mp4", greys(5))
    photos = read(video)
    assert list(photos.names) == [f"clip_{i:05d}" for i in range(5)] and photos.rgb.shape == (5, 16, 16, 3)
    assert [round(float(frame[10, 14].mean()) / 20) for frame in photos.rgb] == [1, 2, 3, 4, 5]
    assert len(read(video, limit=2)) == 2
    assert len(read(tmp_path)) == 5  # a folder with nothing but a video
    with pytest.raises(PhotosError, match="no frame shows a face that was found"):
        read(video, crop="face")
    (tmp_path / "broken.mp4").write_text("text")
    with pytest.raises(PhotosError, match=r"broken.mp4 is no video that can be read"):
        read(tmp_path / "broken.mp4")


def test_faces_of_a_video_are_followed_without_jitter(tmp_path: Path, write_video: Any) -> None:
    face = Image.open(SAMPLES / "frontal.jpg").convert("RGB").resize((180, 220))
    frames = []
    for i in range(14):
        canvas = Image.new("RGB", (320, 240), (80, 110, 90))
        if i != 6:
            canvas.paste(face, (40 + 4 * i, 10))
        frames.append(np.asarray(canvas))
    photos = read(write_video(tmp_path / "clip.mp4", frames), size=64, crop="face")
    assert len(photos) == 14 and photos.framing is not None
    assert np.ptp(photos.framing[:, 0]) < 0.06
    eyes = photos.rgb[[3, 4, 8, 9], 16:40].astype(float)
    assert abs(eyes - eyes.mean(0)).mean() < 12  # the face stands still
