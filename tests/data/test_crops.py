"""Crops: the right square, cut exactly, measured, and held against those of the training photos."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unflat.data import crops
from unflat.data.crops import Boxes, CropError, Cropping, check_square, crop_warnings, cut, read_boxes, steadied
from unflat.data.detection import Box, face_box, face_in_crop, square_about
from unflat.data.kinds import Photos
from unflat.data.pictures import Picture, PictureError

SAMPLES = Path(crops.__file__).parent.parent / "samples"


def picture_of(width: int, height: int) -> Picture:
    """Red grows to the right, green downwards, a step a pixel."""
    v, u = np.mgrid[:height, :width]
    rgb = np.dstack([u, v, np.zeros_like(u)]).astype(np.uint8)
    return Picture(Image.fromarray(rgb), None, (width, height))


@pytest.mark.parametrize(
    ("mode", "margin", "size", "square"),
    [
        ("centre", 1.0, (100, 60), (20, 0, 60, 60)),
        ("centre", 0.5, (60, 100), (15, 35, 30, 30)),
        ("centre", 1.5, (60, 60), (-15, -15, 90, 90)),
        ("none", 1.0, (80, 80), (0, 0, 80, 80)),
        ("box", 1.0, (100, 60), (30, 20, 20, 20)),
        ("box", 2.0, (100, 60), (20, 10, 40, 40)),
        ("alpha", 1.0, (100, 60), (10, 20, 30, 30)),
        ("alpha", 1.2, (100, 60), (7, 17, 36, 36)),
    ],
)
def test_squares(mode: crops.CropMode, margin: float, size: tuple[int, int], square: tuple[float, ...]) -> None:
    boxes = Boxes({"a.png": Box(30, 25, 20, 10)}, {}) if mode == "box" else None
    mask = np.zeros((size[1], size[0]), bool)
    mask[20:50, 15:35] = True
    found, face = Cropping(mode, margin, boxes).square("deep/a.png", picture_of(*size), mask)
    assert found == pytest.approx(square) and math.isnan(face)


def test_a_mask_of_other_size_shows_the_same_view() -> None:
    mask = np.zeros((30, 50), bool)
    mask[10:20, 5:15] = True
    square, _ = Cropping("alpha").square("a", picture_of(100, 60), mask)
    assert square == pytest.approx((10, 20, 20, 20))


def test_cutting_is_exact_where_pixels_fit() -> None:
    picture = picture_of(100, 60).rgb
    crop = np.asarray(cut(picture, Box(20, 10, 40, 40), 40))
    assert np.array_equal(crop, np.asarray(picture)[10:50, 20:60])


def test_outside_the_picture_its_edge_is_repeated() -> None:
    picture = picture_of(30, 20).rgb
    crop = np.asarray(cut(picture, Box(-10, -5, 50, 50), 50))
    padded = np.pad(np.asarray(picture), ((5, 25), (10, 10), (0, 0)), mode="edge")
    assert np.array_equal(crop, padded)


@pytest.mark.parametrize("left", [-3.5, 0.0, 2.25, 11.5])
def test_a_shrunk_ramp_is_the_ramp_at_the_new_centres(left: float) -> None:
    """An antialiased reduction leaves a straight ramp straight: value = centre of the pixel, in the inside."""
    picture = picture_of(120, 120).rgb
    crop = np.asarray(cut(picture, Box(left + 20, 20, 64, 64), 16)).astype(float)
    centres = left + 20 + (np.arange(16) + 0.5) * 4 - 0.5
    assert abs(crop[8, :, 0] - centres).max() <= 0.75


def test_stripes_finer_than_the_pixels_vanish() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    small = np.asarray(cut(Image.fromarray(stripes), Box(0, 0, 256, 256), 32)).astype(int)
    assert abs(small - 127).max() <= 2


@pytest.mark.parametrize(
    ("box", "size", "says"),
    [
        (Box(0, 0, 20, 20), (100, 100), "is too small: the crop is 20 pixels wide, at least 32 are needed"),
        (Box(-40, 0, 60, 60), (100, 100), r"mostly outside: 60 pixels from \(-40, 0\) of 100x100"),
        (Box(500, 0, 60, 60), (100, 100), "mostly outside"),
    ],
)
def test_squares_that_are_refused(box: Box, size: tuple[int, int], says: str) -> None:
    with pytest.raises(PictureError, match=says):
        check_square(box, size, 32.0)


def test_margins_about_a_whole_picture_are_fine() -> None:
    check_square(Box(-30, -30, 160, 160), (100, 100), 32.0)
    check_square(Box(-10, 0, 100, 100), (100, 100), 32.0)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"margin": 0.0}, "margin=0.0 makes no sense"),
        ({"margin": math.nan}, "makes no sense"),
        ({"mode": "box"}, "crop='box' needs a table"),
        ({"boxes": Boxes({}, {})}, "a table of boxes needs crop='box'"),
    ],
)
def test_croppings_that_make_no_sense(settings: dict[str, object], says: str) -> None:
    with pytest.raises(CropError, match=says):
        Cropping(**{"mode": "centre", **settings})  # type: ignore[arg-type]


def test_ways_of_cropping_that_do_not_exist() -> None:
    with pytest.raises(CropError, match="crop='middle' is not known: one of centre, alpha, box, face, none"):
        crops.check_mode("middle")


@pytest.mark.parametrize(
    ("mode", "mask", "says"),
    [
        ("none", None, "is not square"),
        ("alpha", None, "has neither transparency nor a mask"),
        ("alpha", np.zeros((60, 100), bool), "shows nothing"),
        ("box", None, "has no line in the box table"),
        ("face", None, "shows no face that was found"),
    ],
)
def test_photos_that_do_not_allow_a_crop(mode: crops.CropMode, mask: np.ndarray | None, says: str) -> None:
    boxes = Boxes({"b.png": Box(0, 0, 9, 9)}, {}) if mode == "box" else None
    with pytest.raises(PictureError, match=says):
        Cropping(mode, 1.0, boxes).square("a.png", picture_of(100, 60), mask)


def test_box_tables(tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text("file,split,x0,y0,w,h\na.png,0,1,2,30,30\ndeep/b c.png,test,4.5,-6,70,80\n\n")
    read = read_boxes(table)
    assert read.boxes == {"a.png": Box(1, 2, 30, 30), "deep/b c.png": Box(4.5, -6, 70, 80)}
    assert read.split_of("folder/a.png") == "train" and read.split_of("deep/b c.png") == "test"
    table.write_text("202599\nimage_id x_1 y_1 width height\na.png 1 2 30 30\nb c.png 2 5 6 70 80\n")
    read = read_boxes(table)
    assert read.boxes == {"a.png": Box(1, 2, 30, 30), "b c.png": Box(5, 6, 70, 80)}
    assert read.splits == {"b c.png": "test"} and read["x/a.png"] == Box(1, 2, 30, 30) and read["z.png"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no line"),
        ("file x y w h\n", "holds no line"),
        ("a.png 1 2 3 4\nb.png 1 2\n", r"line 2: expected `file \[split\] x0 y0 w h`, found 'b.png 1 2'"),
        ("a.png 1 2 3 4\nb.png 1 2 0 4\n", "line 2: a file and a box of some width"),
        ("1 2 3 4\n", "line 1: a file and a box"),
        ("a.png 1 2 nan 4\n", "line 1: a file and a box"),
    ],
)
def test_box_tables_that_make_no_sense(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(CropError, match=says):
        read_boxes(tmp_path / "t.txt")
    with pytest.raises(CropError, match="cannot read the box table"):
        read_boxes(tmp_path / "none.txt")


# Faces. The three photos that the package ships


@pytest.mark.parametrize("name", ["frontal", "smiling", "turned"])
def test_faces_are_found_and_framed_alike(name: str) -> None:
    photo = Image.open(SAMPLES / f"{name}.jpg").convert("RGB")
    square, face = Cropping("face", 1.4).square(name, Picture(photo, None, photo.size), None)
    assert face == pytest.approx(1 / 1.4)
    crop = cut(photo, square, 64)
    assert crops.face_share(crop) == pytest.approx(1 / 1.4, rel=0.08)
    again = face_in_crop(crop)
    assert again is not None and again.centre == pytest.approx((32, 32 + crops.FACE_RISE * again.width), abs=3)


@pytest.mark.parametrize("margin", [0.95, 1.2, 1.6, 2.4])
def test_the_size_of_a_face_in_a_crop_is_measured_at_any_margin(margin: float) -> None:
    (share,) = [crops.face_share(Image.fromarray(rgb)) for rgb in photos_of([margin]).rgb]
    assert share == pytest.approx(1 / margin, rel=0.13)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_face_is_found_at_any_size_and_place(scale: float) -> None:
    photo = Image.open(SAMPLES / "frontal.jpg").convert("RGB")
    plain = face_box(photo)
    small = photo.resize((round(photo.width * scale), round(photo.height * scale)))
    canvas = Image.new("RGB", (int(small.width * 2.2), int(small.height * 1.6)), (90, 120, 90))
    canvas.paste(small, (small.width, small.height // 3))
    found = face_box(canvas)
    assert plain is not None and found is not None
    assert found.width == pytest.approx(plain.width * scale, rel=0.12)
    wanted = (small.width + plain.centre[0] * scale, small.height // 3 + plain.centre[1] * scale)
    assert found.centre == pytest.approx(wanted, abs=0.1 * found.width)


def test_of_two_faces_the_larger_one_near_the_middle() -> None:
    large, small = (Image.open(SAMPLES / f"{name}.jpg").convert("RGB") for name in ("frontal", "smiling"))
    canvas = Image.new("RGB", (600, 400), (90, 120, 90))
    canvas.paste(large, (180, 40))
    canvas.paste(small.resize((120, 137)), (10, 230))
    found = face_box(canvas)
    assert found is not None and 180 < found.centre[0] < 440


def test_what_is_no_face_is_none() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (200, 160, 3), np.uint8)
    assert face_box(Image.fromarray(noise)) is None
    assert face_box(Image.new("RGB", (30, 300), "grey")) is None


def test_without_scikit_image_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from unflat.data import detection

    monkeypatch.setitem(__import__("sys").modules, "skimage.feature", None)
    detection._cascade.cache_clear()
    try:
        with pytest.raises(ValueError, match=r"needs scikit-image.*pip install 'unflat\[mesh\]'"):
            face_box(picture_of(200, 200).rgb)
    finally:
        detection._cascade.cache_clear()


def test_boxes_of_a_video_are_filled_and_calm() -> None:
    rng = np.random.default_rng(0)
    true = [Box(50 + i, 40, 100, 100) for i in range(60)]
    seen: list[Box | None] = [Box(*(np.array(box) + rng.normal(0, 2, 4))) for box in true]
    seen[20] = Box(300, 300, 30, 30)  # something else
    seen[0] = seen[40] = seen[41] = None
    calm = steadied(seen)
    assert len(calm) == 60
    assert max(abs(a.left - b.left) for a, b in zip(calm[5:-5], true[5:-5], strict=True)) < 2.5
    jumps = np.abs(np.diff([box.left for box in calm]) - 1)
    assert jumps.max() < 2
    with pytest.raises(CropError, match="no frame shows a face"):
        steadied([None, None])


# Measuring and warning


def photos_of(crop_sides: list[float], crop: dict[str, object] | None = None) -> Photos:
    """The frontal sample, its face box widened by each of the sides."""
    photo = Image.open(SAMPLES / "frontal.jpg").convert("RGB")
    face = face_box(photo)
    assert face is not None
    cuts = [np.asarray(cut(photo, square_about(face.centre, side * face.width), 64)) for side in crop_sides]
    names = [f"{side}.jpg" for side in crop_sides]
    return Photos(rgb=np.stack(cuts), names=names, crop=crop or {"mode": "centre"})


def test_faces_of_another_scale_are_named() -> None:
    training = crops.with_framing(photos_of([1.5] * 5)).crop
    assert training["face"] == pytest.approx(1 / 1.5, rel=0.08) and training["faces_found"] == 1
    warnings = crop_warnings(photos_of([1.0, 1.4, 1.5, 1.6, 2.4]), training)
    assert [line.split(":")[0] for line in warnings] == ["1.0.jpg", "2.4.jpg"]
    assert "larger face" in warnings[0] and "smaller face" in warnings[1]
    assert "crop='face' with margin=1." in warnings[0]
    assert crop_warnings(photos_of([1.5, 1.6]), training) == []


def test_photos_without_a_face_are_counted_not_accused() -> None:
    training = crops.with_framing(photos_of([1.5] * 5)).crop
    blank = Photos(rgb=np.full((3, 64, 64, 3), 99, np.uint8), names=["a", "b", "c"])
    (said,) = crop_warnings(blank, training)
    assert said == (
        "no face was found in 3 of 3 cropped photos, so that their scale could not be compared with the training "
        "photos: a, b, c"
    )


def test_objects_of_another_scale_are_named_by_their_masks() -> None:
    masks = np.zeros((4, 20, 20), bool)
    for mask, side in zip(masks, (16, 15, 10, 20), strict=True):
        mask[:side, 3:8] = True
    photos = Photos(rgb=np.zeros((4, 20, 20, 3), np.uint8), names=list("abcd"), mask=masks)
    assert crops.with_framing(photos).framing[:, 2] == pytest.approx([0.8, 0.75, 0.5, 1.0])
    (said,) = crop_warnings(photos, {"mode": "alpha", "object": 0.8, "face": None})
    assert said.startswith("c: the object fills 50% of the crop's side, in the training photos 80%")
    assert "crop='alpha' with margin=1.25" in said


def test_where_nothing_can_be_measured_the_way_of_cropping_counts() -> None:
    photos = Photos(rgb=np.zeros((2, 20, 20, 3), np.uint8), names=["a", "b"], crop={"mode": "centre"})
    assert crop_warnings(photos, {"mode": "centre", "face": None, "object": None}) == []
    (said,) = crop_warnings(photos, {"mode": "alpha", "face": None, "object": 0.8})
    assert said.startswith("the training photos were cropped by 'alpha', these by 'centre'")
    assert crop_warnings(photos, {}) == []


def test_measurements_are_sliced_with_the_photos() -> None:
    photos = crops.with_framing(photos_of([1.4, 1.6, 2.0]))
    assert photos.framing is not None
    assert np.array_equal(photos[[2, 0]].framing, photos.framing[[2, 0]], equal_nan=True)
    assert replace(photos, framing=None)[:2].framing is None


def test_sets_that_show_no_faces_have_no_face_size() -> None:
    framing = np.full((10, 3), np.nan, np.float32)
    framing[:3, 1] = 0.5  # by mistake
    framing[:, 0] = 1
    said = crops.summary(framing)
    assert said == {"share": 1.0, "face": None, "faces_found": 0.3, "object": None}
    framing[:4, 1] = 0.5
    assert crops.summary(framing)["face"] == 0.5
    assert crops.spread_over(5, 64) == [0, 1, 2, 3, 4] and len(crops.spread_over(1000, 64)) == 64
