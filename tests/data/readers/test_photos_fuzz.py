"""Damaged photos and damaged truth: named and left out, and the good ones beside them are read as if alone.

Photos are read by the real reader in a process of its own, in which warnings are errors and memory is measured.
"""

import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from damages import DAMAGES, with_nonsense
from PIL import Image

from unflat.data.readers.photos import PhotosError, read_photos

FORMATS = ("png", "jpg", "webp", "tif", "bmp", "gif")
REASONS = re.compile(r"is (broken \(|empty$|no picture that Pillow can read$|too large to be decoded|too small: )")
TRUTH_REASONS = re.compile(
    r"has (a )?(depth|mask|view|light|landmarks)( picture)? (that cannot be read|of the (mode|shape)|of another aspect|"
    r"in truth\.jsonl that makes no sense)"
)
READER = """
import hashlib, json, resource, sys
from unflat.data.readers.photos import read_photos
at_start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
photos = read_photos(sys.argv[1], size=16, progress=False, report=lambda _: None)
at_end = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
pixels = {name: hashlib.sha256(rgb.tobytes()).hexdigest() for name, rgb in zip(photos.names, photos.rgb)}
print(json.dumps({"pixels": pixels, "skipped": dict(photos.skipped), "mebibytes": (at_end - at_start) / 1024}))
"""


def read_apart(folder: Path, cache: Path) -> dict[str, Any]:
    """What the reader says of a folder, in a process of its own that must neither die nor warn."""
    environment = {**os.environ, "UNFLAT_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", READER, str(folder)],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    # libtiff tells of damage there itself, in C, whoever uses it; nothing of Python's may stand between
    assert not re.search(r"Warning:|Traceback|Exception|Error:", done.stderr), done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def pixels_of(folder: Path) -> dict[str, str]:
    """The same, here."""
    photos = read_photos(folder, size=16, progress=False, report=lambda _: None)
    return {name: hashlib.sha256(rgb.tobytes()).hexdigest() for name, rgb in zip(photos.names, photos.rgb, strict=True)}


# -- photos ---------------------------------------------------------------------------------------------------------


def picture(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((40, 32))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    stream = BytesIO()
    Image.Image.save(image, stream, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **options)
    return stream.getvalue()


def variants(rng: np.random.Generator) -> list[tuple[str, bytes]]:
    """Sound files of all formats and of the odder modes."""
    rgb = picture(rng)
    grey, clear = rgb.convert("L"), rgb.convert("RGBA")
    clear.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    exif.get_ifd(0x8769)[0x9003] = "2026:11:21 10:00:00"
    found = [(kind, encoded(rgb, kind)) for kind in FORMATS]
    found += [(kind, encoded(rgb, kind, exif=exif)) for kind in ("png", "jpg", "webp", "tif")]
    found += [(kind, encoded(rgb.quantize(7), kind)) for kind in ("png", "tif", "bmp", "gif")]
    found += [(kind, encoded(rgb.convert("CMYK"), kind)) for kind in ("jpg", "tif")]
    found += [(kind, encoded(deep, kind)) for kind in ("png", "tif")]
    found += [(kind, encoded(clear, kind)) for kind in ("png", "webp", "tif")]
    moving = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    found += [(kind, encoded(rgb, kind, **moving)) for kind in ("gif", "webp", "png", "tif")]
    found += [("tif", encoded(rgb, "tif", compression=how)) for how in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")]
    found += [("jpg", encoded(rgb, "jpg", progressive=True)), ("png", encoded(rgb.convert("1"), "png"))]
    return found


def write_damaged(folder: Path, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sound = variants(rng)
    for i in range(count):
        kind, content = sound[i % len(sound)]
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        suffix = kind if rng.random() > 0.1 else FORMATS[int(rng.integers(len(FORMATS)))]
        (folder / f"{i:05d}.{suffix}").write_bytes(damage(rng, content))
    (folder / "zero.png").write_bytes(b"")
    (folder / "noise.jpg").write_bytes(rng.bytes(500))


def check_damaged(tmp_path: Path, count: int, seed: int) -> dict[str, Any]:
    rng, good, mixed = np.random.default_rng(seed + 1), tmp_path / "good", tmp_path / "mixed"
    for folder in (good, mixed):
        folder.mkdir()
    for name in ("first.png", "last.webp"):
        content = encoded(picture(rng), name.rpartition(".")[2])
        for folder in (good, mixed):
            (folder / name).write_bytes(content)
    write_damaged(mixed, count, seed)
    alone, found = pixels_of(good), read_apart(mixed, tmp_path / "cache")
    assert {*found["pixels"], *found["skipped"]} == {file.name for file in mixed.iterdir()}
    assert not {*found["pixels"]} & {*found["skipped"]}
    assert {name: found["pixels"][name] for name in alone} == alone != {}
    undocumented = {name: why for name, why in found["skipped"].items() if not REASONS.match(why)}
    assert not undocumented
    assert count / 10 < len(found["skipped"]) < count  # neither all sound nor all broken, or nothing is tried here
    assert found["mebibytes"] < 300
    return found


def test_two_hundred_damaged_photos(tmp_path: Path) -> None:
    check_damaged(tmp_path, 200, seed=0)


@pytest.mark.soak
@pytest.mark.timeout(3600)  # on a busy machine
def test_two_thousand_damaged_photos(tmp_path: Path) -> None:
    found = check_damaged(tmp_path, 2000, seed=1)
    print(f"{len(found['skipped'])} skipped, {len(found['pixels'])} read, {found['mebibytes']:.0f} MiB")


def test_a_damaged_exif_block_does_not_cost_the_photo(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a description"
    content = encoded(picture(np.random.default_rng(0)), "jpg", exif=exif)
    start = content.find(b"Exif\0\0") + 6
    rng = np.random.default_rng(0)
    for i in range(60):
        damaged = bytearray(content)
        for place in start + rng.integers(0, 40, 4):
            damaged[place] = int(rng.integers(256))
        (tmp_path / f"{i:02d}.jpg").write_bytes(damaged)
    photos = read_photos(tmp_path, size=16, progress=False, report=lambda _: None)
    assert photos.skipped == () and len(photos) == 60


# -- bombs ----------------------------------------------------------------------------------------------------------


def png_of(width: int, height: int, depth: int, colour: int) -> bytes:
    """A PNG that is whole, black, and small however large it says it is."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    channels = {0: 1, 2: 3, 6: 4}[colour]
    rows = bytes(height * (1 + width * channels * depth // 8))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def test_bombs_are_refused_without_being_unpacked(tmp_path: Path) -> None:
    """100 megapixels each, as a photo, as depth and as a mask: over Pillow's limit, and under twice it, where Pillow
    only warns; and an array in a file far shorter than it says."""
    bomb = png_of(10_000, 10_000, 16, 0)
    assert len(bomb) < 2e6
    home = tmp_path / "set"
    for kind in ("image", "depth", "mask"):
        (home / kind).mkdir(parents=True)
    for name in ("bomb", "depth", "mask", "npy", "good"):
        (home / "image" / f"{name}.png").write_bytes(bomb if name == "bomb" else png_of(32, 32, 8, 2))
    (home / "depth" / "depth.png").write_bytes(bomb)
    (home / "mask" / "mask.png").write_bytes(bomb)
    np.save(home / "depth" / "npy.npy", np.ones((2, 2), np.float32))
    small = (home / "depth" / "npy.npy").read_bytes()
    (home / "depth" / "npy.npy").write_bytes(small.replace(b"(2, 2), }        ", b"(90000, 90000), }"))
    found = read_apart(home, tmp_path / "cache")
    assert [*found["pixels"]] == ["image/good.png"]
    said = found["skipped"]
    assert said["image/bomb.png"].startswith("is too large to be decoded safely (10000x10000 pixels, limit ")
    assert said["image/depth.png"].startswith("has depth that cannot be read, depth.png (10000x10000 pixels, limit ")
    assert said["image/mask.png"].startswith("has a mask that cannot be read, mask.png (10000x10000 pixels, limit ")
    assert said["image/npy.png"].startswith("has depth that cannot be read, npy.npy (")
    assert found["mebibytes"] < 300


# -- truth ----------------------------------------------------------------------------------------------------------

SAID = {"view": [0.1] * 6, "light": [0.5, 0.5, 0, 0, -1], "landmarks": [[1, 2, 1.0]]}


def write_truth(home: Path) -> None:
    for kind in ("image", "depth", "mask"):
        (home / kind).mkdir(parents=True)
    lines = []
    for i in range(3):
        Image.new("RGB", (16, 16), (80 * i, 9, 9)).save(home / "image" / f"{i}.png")
        Image.new("L", (16, 16), 255).save(home / "mask" / f"{i}.png")
        Image.fromarray(np.full((16, 16), 30_000, np.uint16)).save(home / "depth" / f"{i}.png")
        lines.append(json.dumps({"name": f"{i}.png", **SAID}))
    (home / "depth" / "0.png").unlink()
    np.save(home / "depth" / "0.npy", np.ones((16, 16), np.float32))
    (home / "truth.jsonl").write_text("\n".join(lines))
    (home / "world.json").write_text(json.dumps({"field_of_view": 0.17, "depth_near": 0.9, "depth_far": 1.1}))


def damage_truth(home: Path, rng: np.random.Generator) -> None:
    file = [home / "depth" / "0.npy", home / "depth" / "1.png", home / "mask" / "2.png", home / "truth.jsonl",
            home / "world.json"][int(rng.integers(5))]  # fmt: skip
    if file.suffix in (".json", ".jsonl") and rng.random() < 0.6:
        file.write_bytes(with_nonsense(rng, file.read_text()))
    else:
        damage = DAMAGES[int(rng.integers(6))]
        file.write_bytes(damage(rng, file.read_bytes()))


def check_damaged_truth(tmp_path: Path, count: int, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNFLAT_CACHE", str(tmp_path / "cache"))
    rng, refused, skipped = np.random.default_rng(seed), 0, 0
    for i in range(count):
        home = tmp_path / str(i)
        write_truth(home)
        damage_truth(home, rng)
        try:
            photos = read_photos(home, size=16, progress=False, report=lambda _: None)
        except PhotosError as error:
            assert re.search(r"(truth\.jsonl|world\.json)", str(error)), error
            refused += 1
            continue
        skipped += len(photos.skipped)
        assert len(photos) + len(photos.skipped) == 3 and len(photos) > 0
        assert all(TRUTH_REASONS.match(why) for _, why in photos.skipped), photos.skipped
        for value in (photos.view, photos.light, photos.landmarks):
            assert value is None or np.isfinite(value).all()
        assert photos.field_of_view is None or 0 < photos.field_of_view < np.pi
    assert refused > count / 20 and skipped > count / 20


def test_damaged_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_damaged_truth(tmp_path, 40, 0, monkeypatch)


@pytest.mark.soak
def test_much_damaged_truth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_damaged_truth(tmp_path, 600, 1, monkeypatch)
