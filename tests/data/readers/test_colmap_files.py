"""COLMAP's files, binary and text, byte by byte and line by line."""

import struct
from pathlib import Path

import numpy as np
import pytest
from five_cameras import IDS, NAMES, quaternion, write_colmap_binary, write_colmap_text

from unflat.data.readers.camera_models import CAMERA_MODELS, COLMAP_IDS
from unflat.data.readers.colmap_files import kind_of, read_cameras, read_images, read_points
from unflat.data.recordings import CaptureError
from unflat.geometry.cameras import Pinhole
from unflat.geometry.lenses import Lens

ORDER = (3, 0, 4, 1, 2)
"""of the images in the files"""


@pytest.fixture
def text(tmp_path: Path) -> Path:
    write_colmap_text(tmp_path)
    return tmp_path / "sparse/0"


@pytest.fixture
def binary(tmp_path: Path) -> Path:
    write_colmap_binary(tmp_path)
    return tmp_path / "sparse/0"


def test_images_are_alike_in_text_and_binary(text: Path, binary: Path) -> None:
    written, packed = read_images(text, ".txt"), read_images(binary, ".bin")
    assert written == packed
    assert [image.name for image in written] == [NAMES[i] for i in ORDER]
    for image, i in zip(written, ORDER, strict=True):
        q, t = quaternion(i)
        assert (list(image.quaternion), list(image.shift), image.camera) == (q, t, 1)


def test_cameras_and_points_are_alike_in_text_and_binary(text: Path, binary: Path) -> None:
    assert read_cameras(text, ".txt") == read_cameras(binary, ".bin") == {1: Pinhole(35.0, 35.0, 20.0, 15.0, 40, 30)}
    written, packed = read_points(text, ".txt"), read_points(binary, ".bin")
    assert written is not None and packed is not None
    for name in ("places", "colours", "seen_in"):
        a, b = getattr(written, name), getattr(packed, name)
        assert np.array_equal(a, b) and a.dtype == b.dtype and len(a) == 2
    assert kind_of(text) == ".bin" and kind_of(text.parent) is None  # both are in one folder here


@pytest.mark.parametrize("number", [i for i, model in COLMAP_IDS.items() if not isinstance(model, str)])
def test_cameras_of_every_model(text: Path, number: int) -> None:
    model = COLMAP_IDS[number]
    assert not isinstance(model, str)
    parameters = [50.0 + i for i in range(model.focal)] + [20.0, 15.0] + [0.01 * (i + 1) for i in range(model.bending)]
    listed = " ".join(map(str, parameters))
    (text / "cameras.txt").write_text(f"900 {model.name} 40 30 {listed}\n\n  # a word\n2 PINHOLE 5 6 1 2 3 4\n")
    first = struct.pack(f"<IiQQ{model.count}d", 900, number, 40, 30, *parameters)
    (text / "cameras.bin").write_bytes(struct.pack("<Q", 2) + first + struct.pack("<IiQQ4d", 2, 1, 5, 6, 1, 2, 3, 4))
    expected = model.pinhole(parameters, 40, 30, "")
    assert isinstance(expected, Lens) == bool(model.lens)
    both = {900: expected, 2: Pinhole(1.0, 2.0, 3.0, 4.0, 5, 6)}
    assert read_cameras(text, ".txt") == read_cameras(text, ".bin") == both


@pytest.mark.parametrize(
    ("number", "name"),
    [(number, model) for number, model in COLMAP_IDS.items() if isinstance(model, str)] + [(99, "SOMETHING_NEW")],
)
def test_other_models_are_refused_by_name_with_what_to_do(text: Path, number: int, name: str) -> None:
    advice = "colmap image_undistorter --image_path IMAGES --input_path MODEL --output_path NEW"
    (text / "cameras.bin").write_bytes(struct.pack("<QIiQQ9d", 1, 5, number, 40, 30, *[1.0] * 9))
    with pytest.raises(CaptureError) as told:
        read_cameras(text, ".bin")
    known = f"{number}, {name}" if number < 99 else "99"
    assert f"cameras.bin, camera 5, has the camera model {known}, which is not read" in str(told.value)
    (text / "cameras.txt").write_text(f"5 {name} 40 30 1 1 1\n")
    with pytest.raises(CaptureError) as told_too:
        read_cameras(text, ".txt")
    assert f"cameras.txt, camera 5, has the camera model {name}, which is not read" in str(told_too.value)
    for error in (told, told_too):
        assert advice in str(error.value) and all(model in str(error.value) for model in CAMERA_MODELS)


@pytest.mark.parametrize("file", ["cameras.bin", "images.bin", "points3D.bin"])
def test_a_binary_file_that_is_cut_off_anywhere(binary: Path, file: str) -> None:
    whole = (binary / file).read_bytes()
    read = {"cameras.bin": read_cameras, "images.bin": read_images, "points3D.bin": read_points}[file]
    assert read(binary, ".bin")
    for length in range(len(whole)):
        (binary / file).write_bytes(whole[:length])
        with pytest.raises(
            CaptureError, match=rf"{file} ends in the middle, after {length} bytes: it is damaged or cut"
        ):
            read(binary, ".bin")


@pytest.mark.parametrize("count", [6, 2**40, 2**64 - 1])
def test_counts_that_cannot_be_end_at_the_end_of_the_file(binary: Path, count: int) -> None:
    for file, read in (("images.bin", read_images), ("points3D.bin", read_points), ("cameras.bin", read_cameras)):
        (binary / file).write_bytes(struct.pack("<Q", count) + (binary / file).read_bytes()[8:])
        with pytest.raises(CaptureError, match=f"{file} ends in the middle"):
            read(binary, ".bin")
    track = struct.pack("<Q3d3BdQ", 1, 0, 0, 0, 0, 0, 0, 0, 2**64 - 1)
    (binary / "points3D.bin").write_bytes(struct.pack("<Q", 1) + track)
    with pytest.raises(CaptureError, match=r"points3D\.bin ends in the middle"):
        read_points(binary, ".bin")


def test_observations_are_passed_over_without_being_read(binary: Path) -> None:
    """Ten million points in a picture, in a file with a hole where they would be."""
    whole = (binary / "images.bin").read_bytes()
    q, t = quaternion(0)
    with (binary / "images.bin").open("wb") as file:
        file.write(struct.pack("<Q", 2) + struct.pack("<I4d3dI", 1, *q, *t, 1) + b"x.png\0" + struct.pack("<Q", 10**7))
        file.seek(24 * 10**7, 1)
        file.write(whole[8:].split(b"d.png\0")[0] + b"d.png\0" + struct.pack("<Q", 0))
    assert [image.name for image in read_images(binary, ".bin")] == ["x.png", "d.png"]


def test_many_points(binary: Path) -> None:
    rng = np.random.default_rng(0)
    count = 70_000  # more than are taken apart at once
    places, colours, tracks = rng.normal(size=(count, 3)), rng.integers(0, 256, (count, 3)), rng.integers(0, 5, count)
    rows = [
        struct.pack("<Q3d3BdQ", i, *places[i], *colours[i].tolist(), 0.5, tracks[i]) + bytes(8 * int(tracks[i]))
        for i in range(count)
    ]
    (binary / "points3D.bin").write_bytes(struct.pack("<Q", count) + b"".join(rows))
    points = read_points(binary, ".bin")
    assert points is not None
    for found, expected in ((points.places, places), (points.colours, colours), (points.seen_in, tracks)):
        assert np.array_equal(found, expected)


def test_no_points(text: Path) -> None:
    (text / "points3D.bin").write_bytes(bytes(8))
    (text / "points3D.txt").write_text("")
    for kind in (".bin", ".txt"):
        points = read_points(text, kind)
        assert points is not None and len(points) == 0
        assert points.places.shape == points.colours.shape == (0, 3) and points.seen_in.shape == (0,)


def test_a_name_that_is_no_text(binary: Path) -> None:
    file = binary / "images.bin"
    file.write_bytes(file.read_bytes().replace(b"e.png", b"\xff.png"))
    with pytest.raises(CaptureError, match=r"images\.bin has a name at byte \d+ that is no UTF-8"):
        read_images(binary, ".bin")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1 SIMPLE_PINHOLE 40", "line 2 is no camera (number, model, width, height, parameters)"),
        ("1 SIMPLE_PINHOLE 40 x 35 20 15", "line 2 is no camera"),
        ("1 SIMPLE_PINHOLE 40 30 35 20 y", "line 2 is no camera"),
        ("x SIMPLE_PINHOLE 40 30 35 20 15", "line 2 is no camera"),
        ("1 SIMPLE_PINHOLE 40 30 35 20", "camera 1, has 2 parameters, and the camera model SIMPLE_PINHOLE has 3"),
        ("1 SIMPLE_PINHOLE 40 30 -35 20 15", "camera 1, is no camera: focal lengths -35.0"),
        ("1 SIMPLE_PINHOLE 40 30 nan 20 15", "camera 1, is no camera: focal lengths nan"),
    ],
)
def test_lines_that_are_no_cameras(text: Path, line: str, told: str) -> None:
    (text / "cameras.txt").write_text(f"# head\n{line}\n")
    with pytest.raises(CaptureError) as error:
        read_cameras(text, ".txt")
    assert f"{text / 'cameras.txt'}, {told}" in str(error.value)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("1 1 0 0 0 0 0 0 1", "line 1 is no image (number, quaternion, shift, camera's number, name)"),
        ("1 1 0 0 0 0 0 zero 1 a.png", "line 1 is no image"),
        ("1 1 0 0 0 0 0 0 1.5 a.png", "line 1 is no image"),
        ("1 1 0 0 0 0 0 0 1 a.png\n1 2", "line 2 is no list of points (x, y, number): every image has two lines, and"),
        ("1 1 0 0 0 0 0 0 1 a.png\n2 1 0 0 0 0 0 0 1 b.png", "line 2 is no list of points"),
        ("1 1 0 0 0 0 0 0 1 a.png\n2 1 0 0 0 0 0 0 1 one b c.png", "line 2 is no list of points"),
    ],
)
def test_lines_that_are_no_images(text: Path, lines: str, told: str) -> None:
    (text / "images.txt").write_text(lines)
    with pytest.raises(CaptureError) as error:
        read_images(text, ".txt")
    assert f"{text / 'images.txt'}, {told}" in str(error.value)


def test_names_with_spaces_and_no_last_line(text: Path) -> None:
    (text / "images.txt").write_text("# head\n\n1 1 0 0 0 0 0 0 1 a  view of it.png \n\n2 1 0 0 0 0 0 0 1 b.png")
    assert [image.name for image in read_images(text, ".txt")] == ["a  view of it.png", "b.png"]


@pytest.mark.parametrize(
    "line",
    ["1 0 0 0 1 2 3", "1 0 0 z 1 2 3 0.5", "1 0 0 0 1 2 256 0.5", "1 0 0 0 -1 2 3 0.5", "1 0 0 0 1 2 3 0.5 7",
     "1 0 0 0 1.5 2 3 0.5"],
)  # fmt: skip
def test_lines_that_are_no_points(text: Path, line: str) -> None:
    (text / "points3D.txt").write_text(f"# head\n2 0 0 0 1 2 3 0.5 7 0\n{line}\n")
    with pytest.raises(
        CaptureError, match=r"points3D\.txt, line 3 is no point \(number, x, y, z, red, green, blue, error"
    ):
        read_points(text, ".txt")


@pytest.mark.parametrize("kind", [".bin", ".txt"])
def test_points_that_are_nowhere(text: Path, binary: Path, kind: str) -> None:
    (text / "points3D.txt").write_text("2 0 inf 0 1 2 3 0.5\n")
    (text / "points3D.bin").write_bytes(struct.pack("<QQ3d3BdQ", 1, 2, 0, float("nan"), 0, 1, 2, 3, 0.5, 0))
    with pytest.raises(CaptureError, match=r"points3D\.(bin|txt) holds points at places that are not finite"):
        read_points(text, kind)  # type: ignore[arg-type]


def test_what_is_no_text(text: Path) -> None:
    for name, read in (("cameras", read_cameras), ("images", read_images), ("points3D", read_points)):
        (text / f"{name}.txt").write_bytes(b"\xff\xfe")
        with pytest.raises(CaptureError, match=rf"{name}\.txt cannot be read \(.+\)"):
            read(text, ".txt")


def test_ids_are_not_contiguous() -> None:
    assert sorted(IDS) != list(range(min(IDS), min(IDS) + 5))
