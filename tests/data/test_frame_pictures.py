"""Pictures of frames: what becomes of every pixel, of cameras, masks and depth, and of what cannot be read."""

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unflat.data import frame_pictures
from unflat.data.frame_pictures import Pictures, load_pictures
from unflat.data.recordings import CaptureError, Frame
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens

SIZES = ((12, 8), (6, 10), (9, 9))
"""width and height"""


def noise(i: int, channels: int = 3) -> np.ndarray:
    width, height = SIZES[i]
    return np.random.default_rng(i).integers(0, 256, (height, width, channels), np.uint8)


def frame(path: Path, size: tuple[int, int] | None = None, **more: Path) -> Frame:
    if size is None:
        with Image.open(path) as image:
            size = image.size
    w, h = size
    return Frame(path.name, path, Pinhole(10.0, 11.0, w / 2 + 0.5, h / 2, w, h), np.eye(4), **more)


def saved(path: Path, values: np.ndarray, **options: object) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


@pytest.fixture
def frames(tmp_path: Path) -> list[Frame]:
    return [frame(saved(tmp_path / f"{i}.png", noise(i))) for i in range(3)]


def load(frames: list[Frame], **options: object) -> Pictures:
    return load_pictures(frames, progress=False, **options)  # type: ignore[arg-type]


def parts(pictures: Pictures, values: np.ndarray) -> list[np.ndarray]:
    counts = [p.width * p.height for p in pictures.pinholes]
    assert len(values) == sum(counts)
    split = np.split(values, np.cumsum(counts)[:-1])
    return [part.reshape(p.height, p.width, *part.shape[1:]) for part, p in zip(split, pictures.pinholes, strict=True)]


def test_pictures_lie_one_after_the_other_as_they_are(frames: list[Frame]) -> None:
    pictures = load(frames)
    assert pictures.pixels.dtype == np.uint8 and pictures.pixels.shape == (12 * 8 + 6 * 10 + 9 * 9, 3)
    for i, part in enumerate(parts(pictures, pictures.pixels)):
        assert np.array_equal(part, noise(i))
    assert pictures.frames == frames and pictures.pinholes == [f.pinhole for f in frames]
    assert pictures.mask is pictures.depth is None and pictures.skipped == ()


def test_all_get_opacity_if_one_has_it(frames: list[Frame], tmp_path: Path) -> None:
    clear = noise(1, 4)
    clear[0, 0] = (9, 8, 7, 0)
    saved(tmp_path / "1.png", clear)
    first, second, third = parts(pictures := load(frames), pictures.pixels)
    assert np.array_equal(second, clear)  # straight, and what is hidden is kept
    for i, opaque in ((0, first), (2, third)):
        assert np.array_equal(opaque[..., :3], noise(i)) and (opaque[..., 3] == 255).all()


def test_modes_become_eight_bits_of_rgb(tmp_path: Path) -> None:
    grey = noise(0, 1)[..., 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    Image.fromarray(noise(0)).quantize(5).save(tmp_path / "few.png")
    Image.fromarray(np.full((8, 12, 4), (0, 255, 255, 0), np.uint8), "CMYK").save(tmp_path / "print.tif")
    pictures = load([frame(tmp_path / name) for name in ("grey.png", "deep.png", "few.png", "print.tif")])
    plain, deep, few, printed = parts(pictures, pictures.pixels)
    assert np.array_equal(plain, np.dstack([grey] * 3)) and np.array_equal(deep, plain)
    assert len(np.unique(few.reshape(-1, 3), axis=0)) <= 5
    assert (printed == (255, 0, 0)).all()


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.new("P", (12, 8), 1)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(0, (0, 0, 6, 8))
    image.save(tmp_path / "p.png", transparency=0)
    first, _ = parts(pictures := load([frame(tmp_path / "p.png")] * 2), pictures.pixels)
    assert (first[:, :6, 3] == 0).all() and (first[:, 6:] == (200, 100, 50, 255)).all()


def test_a_note_that_pictures_be_turned_is_not_looked_at(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    paths = [saved(tmp_path / name, noise(0), exif=exif) for name in ("a.png", "b.png")]
    pictures = load([frame(path) for path in paths])
    assert np.array_equal(parts(pictures, pictures.pixels)[0], noise(0))


# Sizes and cameras


def test_a_field_of_view_becomes_a_pinhole_of_the_pictures_own_size(frames: list[Frame]) -> None:
    angle = 2 * math.atan(0.5)
    open_frames = [Frame(f.name, f.picture, None, f.world_from_camera, angle) for f in frames]
    numbers = [(p.fx, p.fy, p.cx, p.cy, p.width, p.height) for p in load(open_frames).pinholes]
    assert numbers[0] == pytest.approx((12, 12, 6, 4, 12, 8)) and numbers[1] == pytest.approx((6, 6, 3, 5, 6, 10))
    small = load(open_frames, side=6).pinholes[0]
    assert (small.fx, small.cx, small.cy, small.width, small.height) == (pytest.approx(6.0), 3.0, 2.0, 6, 4)
    with pytest.raises(CaptureError, match=r"0\.png has neither a pinhole nor a field of view"):
        load([Frame("0.png", frames[0].picture, None, np.eye(4))] * 2)


def test_the_longer_side_is_made_as_long_as_asked_and_never_longer(frames: list[Frame]) -> None:
    pictures = load(frames, side=9)
    assert [(p.width, p.height) for p in pictures.pinholes] == [(9, 6), (5, 9), (9, 9)]
    assert pictures.pinholes[0] == Pinhole(10 * 0.75, 11 * 0.75, 6.5 * 0.75, 4 * 0.75, 9, 6)
    first, _, third = parts(pictures, pictures.pixels)
    assert np.array_equal(third, noise(2)) and first.shape == (6, 9, 3)
    assert load(frames, side=1).pixels.shape == (3, 3)
    assert np.array_equal(load(frames, side=1000).pixels, load(frames).pixels)
    with pytest.raises(CaptureError, match="side=0 is no size for pictures; give their longer side in pixels"):
        load(frames, side=0)


def test_whole_multiples_are_means_of_blocks(tmp_path: Path) -> None:
    paths = [saved(tmp_path / f"{i}.png", noise(0)) for i in range(2)]
    found = load([frame(path) for path in paths], side=3)
    blocks = noise(0).reshape(2, 4, 3, 4, 3).mean((1, 3))
    assert np.abs(parts(found, found.pixels)[0] - blocks).max() <= 0.5


@pytest.mark.parametrize(("said", "scale"), [((24, 16), 0.5), ((23, 16), 12 / 23), ((6, 4), 2.0)])
def test_a_pinhole_of_the_same_shape_is_scaled(frames: list[Frame], said: tuple[int, int], scale: float) -> None:
    lens = Lens(20.0, 20.0, said[0] / 2, said[1] / 2, *said, "opencv", (0.1,))
    found = load([Frame("0.png", frames[0].picture, lens, np.eye(4)), *frames]).pinholes[0]
    assert isinstance(found, Lens) and (found.width, found.height) == (12, 8)
    assert (found.fx, found.cx, found.coefficients) == (pytest.approx(20 * scale), pytest.approx(6.0), (0.1,))


def test_a_pinhole_of_another_shape_is_told_with_both_sizes(frames: list[Frame]) -> None:
    with pytest.raises(CaptureError) as told:
        load([frame(frames[0].picture, (120, 120)), *frames])
    assert "0.png has 12x8 pixels, and its camera is one for 120x120: the picture was cut or turned" in str(told.value)
    assert "(a note on rotation in the file is not looked at)" in str(told.value)
    assert "by a quarter" not in str(told.value)
    with pytest.raises(CaptureError, match=r"one for 80x120: .* It looks turned by a quarter: turn the pixels back"):
        load([frame(frames[0].picture, (80, 120)), *frames])


# Masks and depth


def test_masks(frames: list[Frame], tmp_path: Path) -> None:
    keep = np.zeros((8, 12), np.uint8)
    keep[:, :7] = 255
    saved(tmp_path / "mask.png", keep)
    masked = [frame(frames[0].picture, mask=tmp_path / "mask.png"), *frames[1:]]
    first, second, _ = parts(pictures := load(masked), pictures.mask)
    assert pictures.mask is not None and pictures.mask.dtype == bool
    assert np.array_equal(first, keep > 0) and second.all()
    small = load(masked, side=6)
    assert small.mask is not None
    assert parts(small, small.mask)[0].tolist() == [[True] * 3 + [False] * 3] * 4  # of the fourth column half is kept


def test_depth(frames: list[Frame], tmp_path: Path) -> None:
    values = np.arange(8 * 12, dtype=np.uint16).reshape(8, 12)
    saved(tmp_path / "depth.png", values)
    deep = [frame(frames[0].picture, depth=tmp_path / "depth.png"), *frames[1:]]
    first, second, _ = parts(pictures := load(deep, depth_unit=0.5), pictures.depth)
    assert pictures.depth is not None and pictures.depth.dtype == np.float32
    np.testing.assert_array_equal(first, np.where(values == 0, np.nan, values * np.float32(0.5)))
    assert np.isnan(second).all()
    small = load(deep, side=4, depth_unit=1.0)
    assert small.depth is not None
    np.testing.assert_array_equal(parts(small, small.depth)[0], values[[1, 4, 6]][:, [1, 4, 7, 10]].astype(np.float32))


# What cannot be read


def test_what_cannot_be_read_is_left_out_with_its_reason(frames: list[Frame], tmp_path: Path) -> None:
    whole = (tmp_path / "0.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_bytes(b"text")
    size = (12, 8)
    broken = [frame(tmp_path / f"{name}.png", size) for name in ("cut", "empty", "text", "none")]
    broken += [frame(frames[0].picture, mask=tmp_path / "no.png"), frame(frames[0].picture, depth=tmp_path / "no.png")]
    pictures = load([broken[0], frames[0], *broken[1:], frames[2]])
    assert [f.name for f in pictures.frames] == ["0.png", "2.png"]
    for i, part in zip((0, 2), parts(pictures, pictures.pixels), strict=True):
        assert np.array_equal(part, noise(i))
    said = dict(pictures.skipped)
    assert said["empty.png"] == "is empty" and said["none.png"] == "does not exist"
    assert said["text.png"] == "is no picture that Pillow can read"
    assert said["cut.png"].startswith("is broken (")
    assert sorted(why for name, why in pictures.skipped if name == "0.png") == [
        "has a mask, no.png, that does not exist",
        f"has depth, no.png, that cannot be read ([Errno 2] No such file or directory: {str(tmp_path / 'no.png')!r})",
    ]


def test_fewer_than_two_are_no_capture(frames: list[Frame], tmp_path: Path) -> None:
    for i in (1, 2):
        (tmp_path / f"{i}.png").write_bytes((tmp_path / f"{i}.png").read_bytes()[:-40])
    for share in (0.25, 0.0):
        with pytest.raises(CaptureError, match=r"^1 of 3 pictures .*are needed: 1\.png is broken .*; 2\.png is broken"):
            load(frames, share=share)
    (tmp_path / "1.png").unlink()
    with pytest.raises(CaptureError, match=r"^1 of 3 pictures .*are needed: 1\.png does not exist; 2\.png is broken"):
        load(frames)
    with pytest.raises(CaptureError, match=r"^0 of 0 pictures can be read, and at least 2 are needed$"):
        load([])
    with pytest.raises(CaptureError, match=r"^1 of 1 pictures can be read, and at least 2 are needed$"):
        load(frames[:1])
    assert len(load(frames[:1], minimum=1).frames) == 1
    with pytest.raises(CaptureError, match=r"^2 of 3 pictures .*, and at least 3 are needed: 1"):
        load(frames, minimum=3)


# Memory


@pytest.fixture
def rich_frames(frames: list[Frame], tmp_path: Path) -> list[Frame]:
    """With opacity, a mask, depth, and one that cannot be read."""
    saved(tmp_path / "0.png", noise(0, 4))
    saved(tmp_path / "mask.png", noise(1, 1)[..., 0])
    saved(tmp_path / "depth.png", np.arange(81, dtype=np.uint16).reshape(9, 9))
    (tmp_path / "cut.png").write_bytes((tmp_path / "1.png").read_bytes()[:100])
    rich = [
        frame(frames[1].picture, mask=tmp_path / "mask.png"),
        frame(frames[2].picture, depth=tmp_path / "depth.png"),
    ]
    return [frames[0], frame(tmp_path / "cut.png", (6, 10)), *rich]


@pytest.mark.parametrize("side", [None, 5])
def test_what_is_mapped_is_the_same(rich_frames: list[Frame], side: int | None) -> None:
    held, mapped = (load(rich_frames, side=side, share=share) for share in (1.0, 0.0))
    for name in ("pixels", "mask", "depth"):
        a, b = getattr(held, name), getattr(mapped, name)
        assert isinstance(b, np.memmap) and not isinstance(a, np.memmap)
        assert a.dtype == b.dtype and np.array_equal(a, b, equal_nan=name == "depth")
    assert held.frames == mapped.frames and held.pinholes == mapped.pinholes and held.skipped == mapped.skipped
    assert [entry.name for entry in held.skipped] == ["cut.png"]


def test_the_second_start_decodes_nothing(rich_frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    first = load(rich_frames, share=0.0)
    monkeypatch.setattr(frame_pictures, "open_stored", lambda _: pytest.fail("decoded"))
    second = load(rich_frames, share=0.0)
    assert np.array_equal(first.pixels, second.pixels) and first.skipped == second.skipped


@pytest.mark.parametrize("change", ["picture", "mask", "side", "unit", "order"])
def test_whatever_pixels_depend_on_is_packed_anew(rich_frames: list[Frame], tmp_path: Path, change: str) -> None:
    before = load(rich_frames, share=0.0)
    if change == "picture":
        saved(tmp_path / "0.png", noise(0, 4)[::-1])
    if change == "mask":
        saved(tmp_path / "mask.png", 255 - noise(1, 1)[..., 0])
    options = {"side": {"side": 5}, "unit": {"depth_unit": 1.0}}.get(change, {})
    after = load(rich_frames[::-1] if change == "order" else rich_frames, share=0.0, **options)
    fresh = load(rich_frames[::-1] if change == "order" else rich_frames, share=1.0, **options)
    for name in ("pixels", "mask", "depth"):
        assert np.array_equal(getattr(after, name), getattr(fresh, name), equal_nan=name == "depth")
    assert not all(
        np.array_equal(getattr(before, name), getattr(after, name), equal_nan=name == "depth")
        for name in ("pixels", "mask", "depth")
    )


def test_a_share_of_memory_decides(frames: list[Frame], monkeypatch: pytest.MonkeyPatch) -> None:
    size = load(frames).pixels.nbytes
    for memory, mapped in ((4 * size, False), (4 * size - 4, True)):
        monkeypatch.setattr(frame_pictures, "_memory", lambda memory=memory: memory)
        assert isinstance(load(frames).pixels, np.memmap) == mapped


def test_a_machine_that_does_not_say_has_eight_gibibytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert frame_pictures._memory() > 2**28
    monkeypatch.delattr(frame_pictures.os, "sysconf")
    assert frame_pictures._memory() == 8 * 2**30
