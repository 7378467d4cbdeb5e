"""Any picture that Pillow reads comes out upright, eight-bit and RGB; what is broken says so."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unflat.data.pictures import (
    PictureError,
    open_picture,
    open_stored,
    picture_header,
    picture_suffixes,
    quiet_pillow,
    stored_header,
)

# The upright scene all formats show: red | green over blue | grey
SCENE = np.zeros((48, 64, 3), np.uint8)
SCENE[:24, :32], SCENE[:24, 32:], SCENE[24:, :32], SCENE[24:, 32:] = (200, 30, 30), (30, 200, 30), (30, 30, 200), 128
GREY = np.repeat(np.linspace(0, 255, 64).round().astype(np.uint8)[None], 48, 0)


def corners(picture: Image.Image) -> np.ndarray:
    w, h = picture.size
    return np.array([picture.getpixel((x, y)) for y in (h // 4, 3 * h // 4) for x in (w // 4, 3 * w // 4)])


def shows_the_scene(picture: Image.Image, tolerance: int = 0) -> bool:
    wanted = corners(Image.fromarray(SCENE)).astype(int)
    return picture.mode == "RGB" and bool((abs(corners(picture).astype(int) - wanted) <= tolerance).all())


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("a.png", 0), ("a.jpg", 6), ("a.JPEG", 6), ("a.bmp", 0), ("a.ppm", 0), ("a.tif", 0), ("a.tiff", 0),
        ("a.webp", 12), ("a.tga", 0), ("a.gif", 2), ("a.jp2", 12), ("a.pcx", 0), ("a.ico", 0), ("a.qoi", 0),
    ],
)  # fmt: skip
def test_formats(tmp_path: Path, name: str, tolerance: int) -> None:
    path = tmp_path / name
    Image.fromarray(SCENE).save(path)
    assert path.suffix.lower() in picture_suffixes()
    picture = open_picture(path)
    assert shows_the_scene(picture.rgb, tolerance) and picture.alpha is None
    if name != "a.ico":
        assert picture.size == (64, 48)


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        ("CMYK", "tif", 0),
        ("CMYK", "jpg", 8),
        ("YCbCr", "tif", 3),
        ("LAB", "tif", 24),
        ("P", "png", 30),
        ("RGBX", "tif", 0),
    ],
)
def test_colour_modes(tmp_path: Path, mode: str, suffix: str, tolerance: int) -> None:
    image = Image.fromarray(SCENE)
    if mode == "LAB":
        from PIL import ImageCms

        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.applyTransform(image, ImageCms.buildTransform(srgb, lab, "RGB", "LAB"))
    else:
        image = image.convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    assert shows_the_scene(open_picture(tmp_path / f"a.{suffix}").rgb, tolerance)


@pytest.mark.parametrize(
    ("values", "suffix"),
    [
        (GREY, "png"),
        (GREY.astype(np.uint16) * 257, "png"),
        (GREY.astype(np.uint16) * 257, "tif"),
        (GREY.astype(np.int32) * 257, "tif"),
        (GREY.astype(np.int32), "tif"),
        (GREY.astype(np.int32) * 1_000_003, "tif"),
        (GREY.astype(np.float32) / 255, "tif"),
        (GREY.astype(np.float32), "tif"),
    ],
    ids=["8", "16 png", "16 tif", "32 of 16", "32 of 8", "32", "float to 1", "float to 255"],
)
def test_grey_of_any_depth_is_the_same_grey(tmp_path: Path, values: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(values).save(path)
    rgb = np.asarray(open_picture(path).rgb)
    assert rgb.dtype == np.uint8 and (rgb == GREY[..., None]).all()


def test_a_16_bit_picture_is_not_stretched(tmp_path: Path) -> None:
    """A dark 16-bit PNG stays dark: its white is 65535, whatever it holds."""
    Image.fromarray(np.full((40, 40), 257 * 9, np.uint16)).save(tmp_path / "dark.png")
    assert (np.asarray(open_picture(tmp_path / "dark.png").rgb) == 9).all()


def test_black_and_white(tmp_path: Path) -> None:
    Image.fromarray(GREY > 100).save(tmp_path / "a.png")
    assert np.unique(np.asarray(open_picture(tmp_path / "a.png").rgb)).tolist() == [0, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(tmp_path: Path, orientation: int) -> None:
    turned = {
        1: SCENE, 2: SCENE[:, ::-1], 3: SCENE[::-1, ::-1], 4: SCENE[::-1], 5: SCENE.transpose(1, 0, 2),
        6: np.rot90(SCENE), 7: SCENE.transpose(1, 0, 2)[::-1, ::-1], 8: np.rot90(SCENE, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(turned)).save(tmp_path / "a.png", exif=exif)
    picture = open_picture(tmp_path / "a.png")
    assert np.array_equal(np.asarray(picture.rgb), SCENE) and picture.size == (64, 48)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_transparency_is_laid_on_white_and_kept_as_alpha(tmp_path: Path, suffix: str) -> None:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, 32:] = 255
    alpha[:, 30:32] = 51  # a fifth
    Image.fromarray(np.dstack([SCENE, alpha])).save(
        tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {})
    )
    picture = open_picture(tmp_path / f"a.{suffix}")
    rgb = np.asarray(picture.rgb).astype(int)
    assert (rgb[:, :30] == 255).all() and (rgb[:, 32:] == SCENE[:, 32:]).all()
    assert (abs(rgb[:, 30:32] - (0.2 * SCENE[:, 30:32] + 0.8 * 255)) <= 1).all()
    assert picture.alpha is not None and np.array_equal(np.asarray(picture.alpha), alpha)


def test_transparent_palettes_and_greys(tmp_path: Path) -> None:
    palette = Image.fromarray(SCENE).quantize(8)
    red = palette.getpixel((5, 5))
    palette.save(tmp_path / "p.png", transparency=red)
    Image.fromarray(np.dstack([GREY, GREY])).save(tmp_path / "la.png")
    keyed = open_picture(tmp_path / "p.png")
    assert keyed.alpha is not None and keyed.alpha.getpixel((5, 5)) == 0 and keyed.alpha.getpixel((60, 40)) == 255
    assert keyed.rgb.getpixel((5, 5)) == (255, 255, 255)
    grey = open_picture(tmp_path / "la.png")
    assert grey.alpha is not None and np.array_equal(np.asarray(grey.alpha), GREY)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(SCENE), Image.new("RGB", (64, 48), "black")]
    frames[0].save(tmp_path / f"a.{suffix}", save_all=True, append_images=frames[1:])
    assert shows_the_scene(open_picture(tmp_path / f"a.{suffix}").rgb, 12)


def test_a_large_jpeg_is_decoded_small_and_never_too_small(tmp_path: Path) -> None:
    Image.fromarray(SCENE).resize((1600, 1200)).save(tmp_path / "a.jpg")
    picture = open_picture(tmp_path / "a.jpg", at_least=64)
    assert picture.size == (1600, 1200)
    assert 128 <= min(picture.rgb.size) < 1200 and shows_the_scene(picture.rgb, 6)
    assert open_picture(tmp_path / "a.jpg").rgb.size == (1600, 1200)


def broken_png() -> bytes:
    """A PNG whose header promises 40,000 x 40,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 40_000, 40_000, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def test_bombs_are_refused_unopened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.png").write_bytes(broken_png())
    with quiet_pillow(), pytest.raises(PictureError, match=r"too large to be decoded safely .* make it smaller"):
        open_picture(tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # the scene has 3072: Pillow would only warn
    Image.fromarray(SCENE).save(tmp_path / "a.png")
    with quiet_pillow(), pytest.raises(PictureError, match=r"too large .*64x48 pixels, limit 2000"):
        open_picture(tmp_path / "a.png")


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_truncated_files_are_broken(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(PictureError, match="is broken"):
        open_picture(path)


def test_what_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "empty.png").write_bytes(b"")
    for name, says in [("text.jpg", "is no picture"), ("empty.png", "is empty"), ("none.png", "does not exist")]:
        with pytest.raises(PictureError, match=says):
            open_picture(tmp_path / name)
    with pytest.raises(PictureError, match="is no picture"):
        picture_header(tmp_path / "text.jpg")


def test_noise_in_a_file_never_raises_anything_else(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    seeds = {}
    for suffix in ("png", "jpg", "gif", "tif", "webp", "bmp", "tga"):
        Image.fromarray(SCENE).save(tmp_path / f"seed.{suffix}")
        seeds[suffix] = (tmp_path / f"seed.{suffix}").read_bytes()
    with quiet_pillow():
        for _ in range(40):
            for suffix, content in seeds.items():
                damaged = bytearray(content)
                for place in rng.integers(0, min(len(content), 200), 4):
                    damaged[place] = rng.integers(0, 256)
                (tmp_path / f"damaged.{suffix}").write_bytes(damaged)
                try:
                    assert open_picture(tmp_path / f"damaged.{suffix}").rgb.mode == "RGB"
                except PictureError as error:
                    assert str(error).startswith("is ")


def test_headers_are_read_without_decoding(tmp_path: Path) -> None:
    Image.fromarray(SCENE).save(tmp_path / "a.jpg")
    assert picture_header(tmp_path / "a.jpg") == ("JPEG", "RGB", (64, 48))
    assert ".pdf" not in picture_suffixes() and ".mpg" not in picture_suffixes() and ".txt" not in picture_suffixes()


# As they are stored


def test_stored_pictures_are_not_turned(tmp_path: Path) -> None:
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(open_stored(tmp_path / "a.png"), pixels)
    assert stored_header(tmp_path / "a.png") == ((6, 4), False)
    assert open_picture(tmp_path / "a.png").size == (4, 6)


@pytest.mark.parametrize("suffix", ["png", "webp", "tif"])
def test_stored_opacity_is_straight(tmp_path: Path, suffix: str) -> None:
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:4] = (200, 100, 50, 128)
    pixels[4:] = (10, 20, 30, 0)
    Image.fromarray(pixels).save(
        tmp_path / f"a.{suffix}", **({"lossless": True, "exact": True} if suffix == "webp" else {})
    )
    assert np.array_equal(open_stored(tmp_path / f"a.{suffix}"), pixels)
    assert stored_header(tmp_path / f"a.{suffix}") == ((8, 8), True)


def test_what_is_wrong_with_a_stored_picture(tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:-500])
    assert stored_header(tmp_path / "cut.jpg") == ((40, 40), False)
    with pytest.raises(PictureError, match=r"^is broken \(.+\)$"):
        open_stored(tmp_path / "cut.jpg")
    for read in (open_stored, stored_header):
        (tmp_path / "empty.png").write_bytes(b"")
        for name, told in {"none.png": "does not exist", "empty.png": "is empty"}.items():
            with pytest.raises(PictureError, match=f"^{told}$"):
                read(tmp_path / name)
