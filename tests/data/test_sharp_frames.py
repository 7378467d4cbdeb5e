"""Sharp frames of videos and photos: which are taken, which are left out, and how they are written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageFilter

from unflat.data.recordings import CaptureError
from unflat.data.sharp_frames import sharp_frames
from unflat.outputs.video import write_video


def scene(shift: int, seed: int = 0, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A window on a picture of dots, `shift` pixels from its left."""
    rng = np.random.default_rng(seed)
    wide = Image.fromarray(rng.integers(0, 255, (24, 100), np.uint8)).resize((800, 192), Image.Resampling.NEAREST)
    return np.stack([np.asarray(wide)[: size[0], shift : shift + size[1]]] * 3, -1)


def blurred(frame: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(3)))


def save(folder: Path, name: str, pixels: np.ndarray, **options: object) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def test_the_sharp_frame_of_every_stretch_of_a_video(tmp_path: Path) -> None:
    pytest.importorskip("av")
    sharp = {2, 3, 9, 12, 19}  # of five stretches of four frames: 2 and 3 are both in the first
    frames = [scene(8 * i) if i in sharp else blurred(scene(8 * i)) for i in range(20)]
    frames[2] = np.asarray(Image.fromarray(frames[2]).filter(ImageFilter.GaussianBlur(1)))
    video = write_video(tmp_path / "walk.mp4", frames)
    chosen = sharp_frames(video, tmp_path / "out", count=5)
    numbers = [int(path.stem.removeprefix("frame_")) for path in chosen.pictures]
    assert numbers[0] == 3 and numbers[2:4] == [9, 12] and numbers[4] == 19 and 4 <= numbers[1] < 8
    assert (chosen.found, chosen.left_out, chosen.alike, chosen.in_order, chosen.video) == (20, 15, 0, True, True)
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == [f"frame_{i:05d}.jpg" for i in numbers]
    for number, path in zip(numbers, chosen.pictures, strict=True):
        with Image.open(path) as written:
            assert written.size == (128, 96)
            assert np.abs(np.asarray(written, float) - frames[number]).mean() < 12  # encoded twice


def test_a_short_video_gives_all_its_frames(tmp_path: Path) -> None:
    pytest.importorskip("av")
    video = write_video(tmp_path / "a.mp4", [scene(8 * i) for i in range(4)])
    assert len(sharp_frames(video, tmp_path / "out", count=100).pictures) == 4


def test_a_camera_that_stands_still(tmp_path: Path) -> None:
    """Frames 4 to 9 show the same, but for noise and a lamp that is turned up."""
    pytest.importorskip("av")
    rng = np.random.default_rng(1)
    frames = [scene(8 * min(i, 4), size=(192, 256)).astype(float) for i in range(10)]
    frames = [0.8 * frame + 2 * i + rng.normal(0, 1, frame.shape) for i, frame in enumerate(frames)]
    video = write_video(tmp_path / "a.mp4", [np.clip(frame, 0, 255).astype(np.uint8) for frame in frames])
    chosen = sharp_frames(video, tmp_path / "out")
    assert [path.stem[-1] for path in chosen.pictures] == ["0", "1", "2", "3", "4"]
    assert (chosen.left_out, chosen.alike) == (0, 5)


def test_a_small_thing_that_moves_before_a_wall_is_something_new(tmp_path: Path) -> None:
    for i in range(5):
        wall = np.full((120, 160, 3), 200, np.uint8)
        wall[50:60, 20 + 8 * i : 30 + 8 * i] = 60
        save(tmp_path / "in", f"{i}.png", wall)
    assert sharp_frames(tmp_path / "in", tmp_path / "out").alike == 0


def test_numbered_photos_are_thinned_and_counted_as_numbers(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / "in", f"IMG {i}.png", scene(20 * i) if i in (1, 5, 11) else blurred(scene(20 * i)))
    chosen = sharp_frames(tmp_path / "in", tmp_path / "out", count=3)
    assert [path.name for path in chosen.pictures] == ["IMG 1.png", "IMG 5.png", "IMG 11.png"]
    assert (chosen.found, chosen.left_out, chosen.in_order, chosen.video) == (12, 9, True, False)


def test_other_photos_are_all_taken(tmp_path: Path) -> None:
    for i, name in enumerate("adcbe"):
        save(tmp_path / "in", f"{name}.png", scene(20 * i))
    chosen = sharp_frames(tmp_path / "in", tmp_path / "out", count=2)
    assert [path.name for path in chosen.pictures] == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    assert not chosen.in_order and chosen.left_out == 0


def test_photos_that_need_no_change_keep_their_bytes(tmp_path: Path) -> None:
    one = save(tmp_path / "in", "deep/one.jpg", scene(0), quality=60)
    two = save(tmp_path / "in", "two.png", scene(100))
    chosen = sharp_frames(tmp_path / "in", tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in chosen.pictures] == ["deep/one.jpg", "two.png"]
    assert [path.read_bytes() for path in chosen.pictures] == [one.read_bytes(), two.read_bytes()]


def test_photos_are_written_upright_small_and_with_their_lens(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6  # to be turned by a quarter, clockwise
    tags[ExifTags.Base.Model] = "Pinhole 3"
    tags[ExifTags.Base.Artist] = "somebody"
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 28
    save(tmp_path / "in", "photo.JPG", scene(0, size=(100, 200)), exif=tags, format="JPEG")
    (path,) = sharp_frames(tmp_path / "in", tmp_path / "out", side=100).pictures
    with Image.open(path) as written:
        assert path.name == "photo.JPG" and written.size == (50, 100)
        small = Image.fromarray(np.rot90(scene(0, size=(100, 200)), -1)).resize((50, 100))
        assert np.abs(np.asarray(written, float) - np.asarray(small)).mean() < 12
        kept = written.getexif()
        assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] == 28
        assert kept[ExifTags.Base.Model] == "Pinhole 3"
        assert ExifTags.Base.Orientation not in kept and ExifTags.Base.Artist not in kept


def test_other_formats_are_written_anew(tmp_path: Path) -> None:
    rgba = np.dstack([scene(0), np.full((96, 128), 255, np.uint8)])
    rgba[:, :64, 3] = 128
    save(tmp_path / "in", "seen.webp", rgba, lossless=True, exact=True)
    save(tmp_path / "in", "scan.tif", scene(200))
    scan, seen = sharp_frames(tmp_path / "in", tmp_path / "out").pictures
    assert (scan.name, seen.name) == ("scan.tif.jpg", "seen.webp.png")
    with Image.open(seen) as written:
        pixels = np.asarray(written).astype(int)
    assert pixels.shape == (96, 128, 4)
    assert np.array_equal(pixels[..., 3], rgba[..., 3])
    assert np.abs(pixels[..., :3] - rgba[..., :3]).max() <= 2, "colours are what they were, not mixed with white"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    save(tmp_path / "in", "good.png", scene(0))
    (tmp_path / "in/phone.heic").write_bytes(b"heic")
    (tmp_path / "in/torn.png").write_bytes(b"torn")
    chosen = sharp_frames(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in chosen.pictures] == ["good.png"]
    assert sorted(name for name, _ in chosen.skipped) == ["phone.heic", "torn.png"]
    (tmp_path / "in/good.png").unlink()
    with pytest.raises(CaptureError, match=r"none of the 2 pictures .* can be read: .*HEIC"):
        sharp_frames(tmp_path / "in", tmp_path / "none")


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="holds no pictures: give one"):
        sharp_frames(tmp_path, tmp_path / "out")
    with pytest.raises(CaptureError, match="does not exist: give a folder"):
        sharp_frames(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(CaptureError, match="count=0 and side=1600 leave no pictures"):
        sharp_frames(tmp_path, tmp_path / "out", count=0)
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(CaptureError, match=r"a\.mp4"):
        sharp_frames(tmp_path / "a.mp4", tmp_path / "out")
